"""Typing in a 130 KB prompt, beside a bare QPlainTextEdit.

A keystroke is measured from the key event to the painted text, in CPU time and by the clock; then its forecast with the
repaint of the zones, in CPU time. The window forecasts FORECAST_MS after the key.

Run: python -m tests.benchmarks.bench_typing [KEYSTROKES]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QVBoxLayout, QWidget

from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.session import Collector
from playground.ui.theme import apply_theme, load_theme

FRAME_MS = 16.7
LINES = 7_750
MESSAGES = 200


def one_message() -> Document:
    """130 KB in one message of short lines."""
    text = "\n".join(f"{number}. A short rule." for number in range(LINES))
    return Document(messages=(Message("system", text), Message("user", "{{question}}")))


def many_messages() -> Document:
    """130 KB in two hundred messages."""
    text = "\n".join(f"{number}. A line of a conversation." for number in range(19))
    roles = ("user", "assistant")
    return Document(messages=tuple(Message(roles[n % 2], f"{n}\n{text}") for n in range(MESSAGES)))  # type: ignore[arg-type]


@dataclass
class Times:
    """Milliseconds of each keystroke by the clock and in CPU time, and of the CPU time of its forecast."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    forecast: list[float] = field(default_factory=list)


class Bench:
    """A real pane in a real window; after each keystroke its prompt is forecast, as the window does in a pause."""

    def __init__(self, document: Document) -> None:
        self.forecaster = CacheForecaster()
        view = view_of_document(document).view
        sent = Sent("run", "request", time.time(), view.text, view)
        self.forecaster.record("endpoint", "electron", sent)
        self.pane = PromptPane()
        self.pane.set_document(document)
        self.pane.resize(560, 640)
        self.pane.show()
        self.show_forecast()
        settle()

    def show_forecast(self) -> None:
        self.pane.set_forecast(self.forecaster.look(self.pane.document(), "endpoint", "electron"))

    def times(self, message: int, share: float, count: int) -> Times:
        """Return the times of keystrokes at `share` of a message's text."""
        text = self.pane.prompt_tab.cards[message].text
        self.pane.show_place(message, int(len(text.exact.text) * share))
        settle()
        return typed(text, count, self.show_forecast)


def settle() -> None:
    for _ in range(5):
        QApplication.processEvents()


def typed(target: QPlainTextEdit, count: int, forecast: Callable[[], None] | None = None) -> Times:
    """Type, mostly letters, now and then a blank or a new line, and forecast after each key."""
    found = Times()
    for number in range(count):
        key = "\n" if number % 40 == 39 else " " if number % 6 == 5 else "a"
        clock, cpu = time.perf_counter(), time.process_time()
        if key == "\n":
            QTest.keyClick(target, Qt.Key.Key_Return)
        else:
            QTest.keyClicks(target, key)
        # What the first pass causes is painted by the second.
        QApplication.processEvents()
        QApplication.processEvents()
        found.clock.append((time.perf_counter() - clock) * 1e3)
        found.cpu.append((time.process_time() - cpu) * 1e3)
        if forecast is not None:
            cpu = time.process_time()
            forecast()
            QApplication.processEvents()
            found.forecast.append((time.process_time() - cpu) * 1e3)
    return found


def bare(text: str, count: int) -> Times:
    """The floor: a plain QPlainTextEdit of the same size."""
    window = QWidget()
    edit = QPlainTextEdit()
    edit.setPlainText(text)
    QVBoxLayout(window).addWidget(edit)
    window.resize(560, 640)
    window.show()
    edit.setFocus()
    settle()
    return typed(edit, count)


def report(name: str, times: Times, floor: float) -> float:
    """Print one line; return the 99th percentile by the clock."""
    clock = sorted(times.clock)
    p99 = clock[min(int(len(clock) * 0.99), len(clock) - 1)]
    within = sum(value <= FRAME_MS for value in clock) / len(clock)
    cpu = median(times.cpu)
    after = f"  forecast {median(times.forecast):5.2f} ms of CPU" if times.forecast else ""
    print(
        f"{name:<30} {cpu:5.2f} ms of CPU, × bare {cpu / floor:5.1f}  by the clock {median(clock):6.2f} ms, "
        f"99 % {p99:6.2f} ms, within a frame {within:6.1%}{after}",
        flush=True,
    )
    return p99


def main() -> None:
    """Measure and print."""
    application = QApplication.instance() or QApplication([])
    assert isinstance(application, QApplication)
    apply_theme(application, load_theme("light"))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    text = one_message().messages[0].content or ""
    floor_times = bare(text, count)
    floor = median(floor_times.cpu)
    report("bare QPlainTextEdit", floor_times, floor)
    worst = 0.0
    # As the program does: collecting has its own time, and a prompt that was opened is not looked through again.
    collector = Collector()
    collector.start()
    single = Bench(one_message())
    collector.keep()
    for words, share in (("at its start", 0.0), ("in its middle", 0.5), ("at its end", 1.0)):
        worst = max(worst, report(f"one message, {words}", single.times(0, share, count), floor))
    single.pane.close()
    many = Bench(many_messages())
    collector.keep()
    for words, message in (("in the first", 0), ("in the middle", MESSAGES // 2), ("in the last", MESSAGES - 1)):
        worst = max(worst, report(f"{MESSAGES} messages, {words}", many.times(message, 0.5, count), floor))
    print(f"worst 99th percentile {worst:.2f} ms; a frame has {FRAME_MS} ms")


if __name__ == "__main__":
    main()

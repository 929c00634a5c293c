"""Event-loop gaps while one stream of 1,000 content deltas per second is displayed in the real panes.

Run with `python -m tests.benchmarks.bench_stream_pane`. A ticker on the qasync loop wakes every millisecond; a gap
between two wakings is the delay of a keystroke. The same ticker runs first in the same window without a stream: the
difference is the cost of the panes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from time import perf_counter

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QSplitter
from qasync import QEventLoop

from playground.client.events import ContentDelta, RawEvent
from playground.runs.state import RunState
from playground.ui.panes.inspector.pane import InspectorPane
from playground.ui.panes.response.pane import ResponsePane
from playground.ui.theme import apply_theme, load_theme
from tests.ui import runs_on_show as runs

SECONDS = 5.0
DELTAS_A_SECOND = 1_000
FRAME_MS = 16
WORDS = ("Your", "balance", "is", "₹12,450.", "आपका", "बैलेंस", "है।", "Anything", "else?\n\n")


class Window:
    """Both panes in a splitter, as in the program's window."""

    def __init__(self) -> None:
        self.response, self.inspector = ResponsePane(), InspectorPane()
        self.splitter = QSplitter()
        self.splitter.addWidget(self.response)
        self.splitter.addWidget(self.inspector)
        self.splitter.resize(800, 560)
        self.splitter.show()


async def gaps(seconds: float) -> list[float]:
    """Return milliseconds between wakings, for that time."""
    found = []
    end = perf_counter() + seconds
    last = perf_counter()
    while last < end:
        await asyncio.sleep(0.001)
        now = perf_counter()
        found.append((now - last) * 1000)
        last = now
    return found


def feeder(state: RunState) -> Callable[[], None]:
    """Applies all due deltas each time it is called."""
    begin = perf_counter()
    done = 0

    def feed() -> None:
        nonlocal done
        at = perf_counter() - begin
        while done < at * DELTAS_A_SECOND:
            piece = WORDS[done % len(WORDS)] + " "
            state.apply(RawEvent(at, runs.chunk({"content": piece})))
            state.apply(ContentDelta(at, piece))
            done += 1

    return feed


async def stream(window: Window, tab: int) -> tuple[list[float], int]:
    """Return the gaps while a response streams into that tab, and the number of deltas."""
    state = runs.grown(RunState(), runs.sent())
    model = runs.model(state)
    window.response.show_state(state)
    window.response.show_tab(tab)
    frame, source = QTimer(), QTimer()
    feed = feeder(state)
    source.timeout.connect(feed)
    frame.timeout.connect(window.response.refresh)
    frame.timeout.connect(lambda: window.inspector.show_model(model))
    source.start(1)
    frame.start(FRAME_MS)
    found = await gaps(SECONDS)
    source.stop()
    frame.stop()
    runs.grown(state, runs.ending())
    window.response.refresh()
    return found, len(state.raw) - 1


def report(name: str, found: list[float], empty: list[float]) -> None:
    """Return p99 and the longest gap, and both as ratios to the empty loop's."""
    p99, longest = _p99(found), max(found)
    print(
        f"{name:34s} p99 {p99:6.2f} ms ({p99 / _p99(empty):4.1f} x empty)   "
        f"max {longest:6.2f} ms ({longest / max(empty):4.1f} x empty)"
    )


def _p99(found: list[float]) -> float:
    return sorted(found)[int(len(found) * 0.99)]


async def measure() -> None:
    """The empty loop, then each tab."""
    window = Window()
    await gaps(0.5)
    empty = await gaps(SECONDS)
    report("empty loop, same window", empty, empty)
    for tab, name in enumerate(("Text", "Rendered", "Tool calls", "Events", "JSON")):
        found, count = await stream(window, tab)
        report(f"{name}, {count:,} deltas in {SECONDS:g} s", found, empty)


def main() -> int:
    """Measure on the available display; offscreen if none is configured."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    app = QApplication(sys.argv)
    apply_theme(app, load_theme("light"))
    with QEventLoop(app) as loop:
        loop.run_until_complete(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())

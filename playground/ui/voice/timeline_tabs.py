"""Tabs of the voice timeline: one run or conversation with its figures and table, and one run in three variants."""

from __future__ import annotations

import time

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QScrollBar, QWidget

from playground.ui.theme import GRID, scaled
from playground.ui.voice.canvas import Canvas
from playground.ui.voice.picture import EMPTY, brief, milliseconds, picture, rows
from playground.ui.widgets.labels import copy_text, push_button, toned
from playground.ui.widgets.layouts import column_of, row_of, scrolled, split_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.voice.speech import SpeechSettings
from playground.voice.timeline import VARIANTS, Comparison, MeasuredTurn, Timeline, Variant, compare

PERIOD_COLUMNS = ("at", "length", "lane", "what", "known")
FIGURES = (
    ("first sound", "first_sound_at", "first_sound_s"),
    ("answer heard", "answer_heard_at", "answer_s"),
    ("longest silence", "longest_silence_s", "longest_silence_s"),
    ("total silence", "total_silence_s", "total_silence_s"),
)
"""The main figures: name, attribute of a `Timeline`, and attribute of the time saved."""
TABLE_S = 0.5
"""Minimum interval between updates of the table during a run."""
LEGEND = "Solid edge: measured. Dashed edge and ≈: computed from text and speech settings. Arrow keys move, + − 0 zoom."


LEAST_PX = 260
"""Height for the picture and the table."""


class TimelineTab(QWidget):
    """Accepts `show_timeline` once per frame."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = EMPTY
        """The drawing."""
        self._filled_at = 0.0
        self.figures = words("", "strong")
        self.canvas = Canvas("Voice timeline")
        self.moment = words(LEGEND, "muted")
        self.bar = QScrollBar(Qt.Orientation.Horizontal)
        self.bar.setAccessibleName("Visible part of the timeline")
        self.table = plain_table("The timeline's figures", PERIOD_COLUMNS, 3, {0: 84, 1: 100, 2: 108, 4: 108})
        self.copy = push_button("Copy the table", clicked=self._copy)
        self.canvas.chosen.connect(lambda said: self.moment.setText(said or LEGEND))
        self.canvas.view_changed.connect(self._show_view)
        self.bar.valueChanged.connect(lambda value: self.canvas.look_from(value / 1000))
        self._lay_out()

    def _lay_out(self) -> None:
        scroll = scrolled(self.canvas, sideways=False)
        upper = QWidget()
        column_of((scroll, 1), self.bar, self.moment, on=upper, margins=0, spacing=GRID // 2)
        halves = split_of(Qt.Orientation.Vertical, upper, self.table, sizes=(370, 150))
        head = row_of((self.figures, 1), self.copy)
        column_of(head, (halves, 1), on=self, margins=(0, GRID, 0, 0))
        self._show_view()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out the table and the legend if there is room for the picture only."""
        super().resizeEvent(event)
        for widget in (self.table, self.copy, self.moment):
            widget.setVisible(self.height() >= scaled(LEAST_PX))

    def show_timeline(self, timeline: Timeline, turns: tuple[MeasuredTurn, ...], *, live: bool) -> None:
        """Draw a timeline. The table is updated less often, and at the end."""
        self.picture = picture(timeline, turns) if turns else EMPTY
        self.figures.setText(headline(timeline) if turns else "No run yet.")
        self.canvas.show_picture(self.picture)
        if not live or time.monotonic() - self._filled_at >= TABLE_S:
            self._filled_at = time.monotonic()
            fill_table(self.table, rows(self.picture))
        self.copy.setEnabled(bool(turns))

    def _show_view(self) -> None:
        begins, length, whole = (round(value * 1000) for value in self.canvas.view)
        with QSignalBlocker(self.bar):
            self.bar.setRange(0, max(whole - length, 0))
            self.bar.setPageStep(max(length, 1))
            self.bar.setSingleStep(max(length // 10, 1))
            self.bar.setValue(begins)
        self.bar.setVisible(whole > length)

    def _copy(self) -> None:
        copy_text("\n".join("\t".join(row) for row in [PERIOD_COLUMNS, *rows(self.picture)]))


def headline(timeline: Timeline) -> str:
    said = [f"{name} {milliseconds(getattr(timeline, field), computed=True)}" for name, field, _ in FIGURES]
    return "  ·  ".join(said).capitalize()


NAMES: dict[Variant, str] = {
    "parallel": "Filler, tool in parallel (as measured)",
    "after_speech": "Filler, tool after speech (≈ computed)",
    "no_filler": "No filler (≈ computed)",
}
VARIANT_COLUMNS = ("", "tool in parallel", "tool after speech", "gained", "no filler", "gained")
TABLE = "Time saved by running the tool during the filler"


class SideBySideTab(QWidget):
    """Variants computed from one run's measured times. Sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.said = words("")
        self._sentence = ""
        self.canvases = {
            variant: Canvas(NAMES[variant], brief=True, axis=variant == VARIANTS[0]) for variant in VARIANTS
        }
        self.table = plain_table(TABLE, VARIANT_COLUMNS, 0, {1: 140, 2: 148, 3: 104, 4: 104, 5: 104})
        self.table.setFixedHeight(142)
        self.copy = push_button("Copy the table", clicked=self._copy)
        self._rows: list[tuple[str, ...]] = []
        self._lay_out()

    def _lay_out(self) -> None:
        inner = QWidget()
        stack = column_of(on=inner, margins=0)
        for variant, canvas in self.canvases.items():
            stack.addWidget(toned(NAMES[variant], "strong"))
            stack.addWidget(canvas)
            canvas.chosen.connect(lambda text: self.said.setText(text or self._sentence))
        stack.addStretch(1)
        scroll = scrolled(inner, sideways=False)
        head = row_of((self.said, 1), self.copy)
        column_of(head, (scroll, 1), self.table, on=self, margins=(0, GRID, 0, 0))

    def show_turns(self, turns: tuple[MeasuredTurn, ...], settings: SpeechSettings) -> None:
        found = compare(turns, settings)
        self._sentence = sentence(found, turns)
        self.said.setText(self._sentence)
        axis = max(one.ends_at for one in found.timelines.values())
        for variant, canvas in self.canvases.items():
            canvas.show_picture(brief(picture(found.timelines[variant], turns)), axis)
        self._rows = saved_rows(found)
        fill_table(self.table, self._rows)

    def _copy(self) -> None:
        copy_text("\n".join("\t".join(row) for row in [VARIANT_COLUMNS, *self._rows]))


def sentence(found: Comparison, turns: tuple[MeasuredTurn, ...]) -> str:
    if not turns:
        return "No run yet."
    if not any(turn.times.calls for turn in turns):
        return "No tool was called: there is nothing to run beside a filler, and all three are alike."
    if not found.has_filler:
        return "No turn spoke before its call. Ask for a filler in the system prompt; until then all three are alike."
    saved = {one.over: one for one in found.saved}
    after, none = saved["after_speech"], saved["no_filler"]
    return (
        f"The tool beside the filler: the answer is heard {gained(after.answer_s)} than after its speech; "
        f"the filler: the first sound is heard {gained(none.first_sound_s)} than without one."
    )


def gained(value: float | None) -> str:
    """Format as `≈ 853 ms earlier`, or `later`."""
    if value is None:
        return "— (it did not happen)"
    return f"{milliseconds(abs(value), computed=True)} {'later' if value < 0 else 'earlier'}"


def saved_rows(found: Comparison) -> list[tuple[str, ...]]:
    """Return a row for each of FIGURES."""
    saved = {one.over: one for one in found.saved}
    rows: list[tuple[str, ...]] = []
    for name, field, gain in FIGURES:
        times = [milliseconds(getattr(found.timelines[variant], field), computed=True) for variant in VARIANTS]
        after, none = (signed(getattr(saved[over], gain)) for over in ("after_speech", "no_filler"))
        rows.append((name, times[0], times[1], after, times[2], none))
    return rows


def signed(value: float | None) -> str:
    """Format as `≈ +853 ms` for saved time, `≈ −20 ms` for lost time."""
    if value is None:
        return "—"
    size = round(value * 1000)
    return f"≈ {'−' if size < 0 else '+' if size else ''}{abs(size):,} ms"

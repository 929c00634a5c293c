"""Variants tab: one run in three variants on one axis, and the time saved by running the tool during the filler."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from playground.ui.theme import GRID
from playground.ui.voice.canvas import Canvas
from playground.ui.voice.picture import brief, milliseconds, picture
from playground.ui.widgets.id_label import copy_text
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.voice.speech import SpeechSettings
from playground.voice.timeline import VARIANTS, Comparison, MeasuredTurn, Timeline, Variant, compare

NAMES: dict[Variant, str] = {
    "parallel": "Filler, tool in parallel (as measured)",
    "after_speech": "Filler, tool after speech (≈ computed)",
    "no_filler": "No filler (≈ computed)",
}
COLUMNS = ("", "tool in parallel", "tool after speech", "gained", "no filler", "gained")
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
        self.table = plain_table(TABLE, COLUMNS, 0, dict.fromkeys(range(1, 6), 128))
        self.table.verticalHeader().setDefaultSectionSize(26)
        self.table.setFixedHeight(142)
        self.copy = QPushButton("Copy the table")
        self.copy.clicked.connect(self._copy)
        self._rows: list[tuple[str, ...]] = []
        self._lay_out()

    def _lay_out(self) -> None:
        inner = QWidget()
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 0, 0)
        for variant, canvas in self.canvases.items():
            name = QLabel(NAMES[variant])
            name.setProperty("tone", "strong")
            stack.addWidget(name)
            stack.addWidget(canvas)
            canvas.chosen.connect(lambda text: self.said.setText(text or self._sentence))
        stack.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        head = QHBoxLayout()
        head.addWidget(self.said, 1)
        head.addWidget(self.copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GRID, 0, 0)
        column.addLayout(head)
        column.addWidget(scroll, 1)
        column.addWidget(self.table)

    def show_turns(self, turns: tuple[MeasuredTurn, ...], settings: SpeechSettings) -> None:
        """Compute and draw all three variants."""
        found = compare(turns, settings)
        self._sentence = sentence(found, turns)
        self.said.setText(self._sentence)
        axis = max(one.ends_at for one in found.timelines.values())
        for variant, canvas in self.canvases.items():
            canvas.show_picture(brief(picture(found.timelines[variant], turns)), axis)
        self._rows = gain_rows(found)
        fill_table(self.table, self._rows)

    def _copy(self) -> None:
        copy_text("\n".join("\t".join(row) for row in [COLUMNS, *self._rows]))


def sentence(found: Comparison, turns: tuple[MeasuredTurn, ...]) -> str:
    """Return the result of the comparison as a text."""
    if not turns:
        return "No run yet."
    if not any(turn.times.calls for turn in turns):
        return "No tool was called: there is nothing to run beside a filler, and all three are alike."
    if not found.has_filler:
        return "No turn spoke before its call. Ask for a filler in the system prompt; until then all three are alike."
    gains = {gain.over: gain for gain in found.gains}
    after, none = gains["after_speech"], gains["no_filler"]
    return (
        f"The tool beside the filler: the answer is heard {gained(after.answer_s)} than after its speech; "
        f"the filler: the first sound is heard {gained(none.first_sound_s)} than without one."
    )


def gained(value: float | None) -> str:
    """Format as `≈ 853 ms earlier`, or `later`."""
    if value is None:
        return "— (it did not happen)"
    return f"{milliseconds(abs(value), computed=True)} {'later' if value < 0 else 'earlier'}"


def gain_rows(found: Comparison) -> list[tuple[str, ...]]:
    """Return first sound, answer, longest silence and total silence."""
    gains = {gain.over: gain for gain in found.gains}
    after, none = gains["after_speech"], gains["no_filler"]

    def row(name: str, value: object, over_after: float | None, over_none: float | None) -> tuple[str, ...]:
        assert callable(value)
        figures = [milliseconds(value(found.timelines[variant]), computed=True) for variant in VARIANTS]
        return name, figures[0], figures[1], signed(over_after), figures[2], signed(over_none)

    def first(one: Timeline) -> float | None:
        return one.first_sound_at

    def answer(one: Timeline) -> float | None:
        return one.answer_heard_at

    def longest(one: Timeline) -> float:
        return one.longest_silence_s

    def total(one: Timeline) -> float:
        return one.total_silence_s

    return [
        row("first sound", first, after.first_sound_s, none.first_sound_s),
        row("answer heard", answer, after.answer_s, none.answer_s),
        row("longest silence", longest, after.longest_silence_s, none.longest_silence_s),
        row("total silence", total, after.total_silence_s, none.total_silence_s),
    ]


def signed(value: float | None) -> str:
    """Format as `≈ +853 ms` for saved time, `≈ −20 ms` for lost time."""
    if value is None:
        return "—"
    size = round(value * 1000)
    return f"≈ {'−' if size < 0 else '+' if size else ''}{abs(size):,} ms"

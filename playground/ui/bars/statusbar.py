"""The line at the bottom: how much of the plan's limits is in use, and whether what was typed is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy

from playground.client.endpoint import PlanLimits
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID
from playground.ui.widgets.plain_tip import plain_tip

if TYPE_CHECKING:
    from playground.client.rate_limiter import Load

MAX_BOXES = 20


class StatusBar(QFrame):
    """Plain words; each has an accessible name by being text."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "footer")
        self._in_flight = QLabel()
        self._minute = QLabel()
        self._trouble = QLabel()
        self._trouble.setTextFormat(Qt.TextFormat.PlainText)
        self._trouble.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._saved = QLabel()
        self._hint = QLabel()
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID + 4, 3, GRID + 4, 3)
        row.setSpacing(GRID * 2)
        for label in (self._in_flight, self._minute, self._trouble, self._saved, self._hint):
            label.setProperty("tone", "muted")
            row.addWidget(label, 1 if label is self._trouble else 0)

    def show_load(self, load: Load, plan: PlanLimits) -> None:
        """In flight and this minute, against the plan's limits where it has any."""
        self._in_flight.setText(f"in flight {load.in_flight}{_of(plan.in_flight)}{_boxes(load.in_flight, plan)}")
        self._minute.setText(f"this minute {load.this_minute}{_of(plan.requests_per_minute)}")
        over = plan.requests_per_minute is not None and load.this_minute >= plan.requests_per_minute
        self._minute.setToolTip(
            "What your windows and commands have sent. The account's other programs count too."
            + (" The next request waits for its place." if over else "")
        )
        _tone(self._minute, "variable" if over else "muted")

    def show_saved(self, words: str) -> None:
        """Whether the draft is on disk."""
        self._saved.setText(words)

    def show_hint(self, words: str) -> None:
        """The key that leads to everything else."""
        self._hint.setText(words)

    def show_trouble(self, sentence: str) -> None:
        """A sentence about something that does not stop the work, such as a log that cannot be written."""
        self._trouble.setText(sentence)
        self._trouble.setToolTip(plain_tip(sentence))
        _tone(self._trouble, "failure" if sentence else "muted")


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit}"


def _boxes(in_flight: int, plan: PlanLimits) -> str:
    if plan.in_flight is None or plan.in_flight > MAX_BOXES:
        return ""
    return "  " + "▣" * min(in_flight, plan.in_flight) + "▢" * max(plan.in_flight - in_flight, 0)


def _tone(label: QLabel, tone: str) -> None:
    if label.property("tone") != tone:
        label.setProperty("tone", tone)
        restyle(label)

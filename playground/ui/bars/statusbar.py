"""The status bar: use of the plan's limits, a message, when the prompt was saved, and two keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy

from playground.client.endpoint import PlanLimits
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID
from playground.ui.widgets.plain_table import plain_tip

if TYPE_CHECKING:
    from playground.client.retry import Load
    from playground.requestlog.recovery import RecoveryProgress

HEIGHT_PX = 24


class StatusBar(QFrame):
    """Labels only; their texts are their accessible names."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "footer")
        self.setFixedHeight(HEIGHT_PX)
        self._in_flight = QLabel()
        self._minute = QLabel()
        self._error = QLabel()
        self._error.setTextFormat(Qt.TextFormat.PlainText)
        self._error.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._recovery = QLabel()
        self._saved = QLabel()
        self._hint = QLabel()
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID + 4, 0, GRID + 4, 0)
        row.setSpacing(GRID * 2)
        for label in (self._in_flight, self._minute, self._recovery, self._error, self._saved, self._hint):
            label.setProperty("tone", "muted")
            row.addWidget(label, 1 if label is self._error else 0)

    def show_load(self, load: Load, plan: PlanLimits) -> None:
        """Show requests in flight and in this minute, with the plan's limits if it has any."""
        self._in_flight.setText(f"{load.in_flight}{_of(plan.in_flight)} in flight")
        self._minute.setText(f"{load.this_minute}{_of(plan.requests_per_minute)} this minute")
        over = plan.requests_per_minute is not None and load.this_minute >= plan.requests_per_minute
        self._minute.setToolTip(
            "Requests of your windows and commands. The account's other programs count too."
            + (" The next request is queued." if over else "")
        )
        _tone(self._minute, "variable" if over else "muted")

    def show_saved(self, words: str) -> None:
        """Show when the prompt was saved."""
        self._saved.setText(words)

    def show_hint(self, words: str) -> None:
        """Show the most important keys."""
        self._hint.setText(words)

    def show_recovery(self, progress: RecoveryProgress) -> None:
        """Show how much of a damaged log is recovered; nothing at the end, unless requests could not be read."""
        lost = f", {progress.damaged:,} could not be read" if progress.damaged else ""
        if progress.finished:
            self._recovery.setText(f"Log recovered: {progress.done:,} requests{lost}" if lost else "")
        else:
            self._recovery.setText(f"Recovering the log: {progress.done:,} of {progress.total:,} requests{lost}")

    def show_error(self, sentence: str) -> None:
        """Show a message that does not stop the work, such as a log that cannot be written."""
        self._error.setText(sentence)
        self._error.setToolTip(plain_tip(sentence))
        _tone(self._error, "failure" if sentence else "muted")


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit}"


def _tone(label: QLabel, tone: str) -> None:
    if label.property("tone") != tone:
        label.setProperty("tone", tone)
        restyle(label)

"""The strip below the recorded requests: how the selected one differs from the request before it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QPushButton

from playground.experiments.comparison import Piece
from playground.recorder.difference import RequestDifference
from playground.requestlog.records import LogRow
from playground.runs.metrics import Figure
from playground.ui.compare.column import PieceView
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.icons import set_icon
from playground.ui.widgets.labels import ElidedLabel, toned
from playground.ui.widgets.layouts import column_of, row_of
from playground.ui.widgets.notice import words

_LINES = 3
_NOTABLE = 64
"""Tokens from which a report contradicts the estimate."""


class Compared(Struct, frozen=True):
    """A request, the one that it is compared with, and their difference. `within`: "conversation" or "program"."""

    row: LogRow
    earlier: LogRow
    within: str
    difference: RequestDifference
    pieces: Sequence[Piece] = ()


class DifferenceStrip(QFrame):
    """Hidden without two requests to compare."""

    earlier_wanted = Signal(str)
    """The run_id of the earlier request, which is to be selected."""
    compare_wanted = Signal(list)
    """run_ids of both requests, the earlier first."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "footer")
        self.setAccessibleName("Difference from the request before")
        self.compared: Compared | None = None
        self.title = toned("", "strong")
        self.place = ElidedLabel("First difference", Qt.TextElideMode.ElideRight)
        self.place.setProperty("tone", "muted")
        self.pieces = PieceView("Text at the first difference", margin=0)
        self.pieces.setFont(mono_font(12))
        self.show_zoom()
        self.pieces.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.pieces.setStyleSheet("background: transparent;")
        self.note = words("", "muted")
        earlier, compare = QPushButton("Show earlier"), QPushButton("Compare…")
        set_icon(compare, "diff", "accent")
        head = row_of(self.title, (self.place, 1), spacing=GRID)
        for button in (earlier, compare):
            button.setProperty("look", "link")
            head.addWidget(button)
        earlier.setAccessibleName("Select the earlier request")
        compare.setAccessibleName("Compare both requests in Compare mode")
        earlier.clicked.connect(lambda _checked: self._emit_earlier())
        compare.clicked.connect(lambda _checked: self._emit_compare())
        column_of(head, self.pieces, self.note, on=self, margins=(GRID * 2, 6, GRID, 6), spacing=4)
        self.hide()

    def show_compared(self, compared: Compared | None) -> None:
        """Show a difference, or hide."""
        if compared == self.compared:
            return
        self.compared = compared
        self.setVisible(compared is not None)
        if compared is None:
            return
        found = compared.difference
        times = [f"{row.started_utc.astimezone():%H:%M:%S}" for row in (compared.row, compared.earlier)]
        self.title.setText(f"{times[0]} {'differs from' if found.place else 'continues'} {times[1]}")
        shared = f"{Figure.estimated(found.shared_tokens).text} tokens shared"
        place = found.place or found.words
        self.place.set_full_text(f"{place} · {shared}", short=place)
        self.title.setToolTip(f"Compared with the request before in its {compared.within}")
        self.pieces.setVisible(bool(found.place))
        self.pieces.show_pieces(compared.pieces)
        self.note.setText(note(compared))

    def show_zoom(self) -> None:
        """Keep room for the same number of lines after the text size has changed."""
        self.pieces.setFixedHeight(self.pieces.fontMetrics().lineSpacing() * _LINES + 2)

    def _emit_earlier(self) -> None:
        if self.compared is not None:
            self.earlier_wanted.emit(self.compared.earlier.run_id)

    def _emit_compare(self) -> None:
        if self.compared is not None:
            self.compare_wanted.emit([self.compared.earlier.run_id, self.compared.row.run_id])


def note(compared: Compared) -> str:
    """Return what the difference costs, with the reported figures."""
    row, found = compared.row, compared.difference
    if row.phase == "failed":
        return "This request failed: no tokens were reported, and it does not change the cache."
    cached, prompt = Figure.reported(row.cached_tokens).text, Figure.reported(row.prompt_tokens).text
    reported = f"Reported: {cached} of {prompt} prompt tokens cached."
    if row.cached_tokens is not None and row.cached_tokens > found.shared_tokens * 1.25 + _NOTABLE:
        return f"{reported} Another earlier request shares more with this one."
    if not found.place:
        return reported
    repeated = Figure.estimated(found.repeated_tokens).text
    return f"{found.words}. {repeated} unchanged tokens behind it were sent again. {reported}"

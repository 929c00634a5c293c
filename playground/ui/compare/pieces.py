"""Read-only text of a difference: added text is underlined, removed text struck through."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QTimer
from PySide6.QtGui import QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit

from playground.experiments.comparison import Piece
from playground.export.terminal import visible
from playground.prompt.diff import DiffRow
from playground.ui.theme import GRID, current_theme, mono_font

MOST_PIECES = 4_000
SLICE = 200
"""Pieces that are inserted in one turn of the event loop: a frame."""


class PieceView(QPlainTextEdit):
    """Displays pieces as plain text. Copying gives the displayed text, removed parts included."""

    def __init__(self, name: str, *, margin: int = GRID * 2) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setFont(mono_font())
        self.setProperty("textZoom", True)
        self.document().setDocumentMargin(margin)
        self._pieces: tuple[tuple[str, str], ...] = ()
        self._left: list[tuple[str, str]] = []
        self._next = QTimer(self, interval=0, singleShot=True)
        self._next.timeout.connect(self._insert)

    def show_pieces(self, pieces: Sequence[Piece]) -> None:
        """Show a difference of two texts, at most MOST_PIECES pieces of it."""
        self._show(tuple((piece.sign, piece.text) for piece in pieces))

    def show_rows(self, rows: Sequence[DiffRow]) -> None:
        """Show a difference of two prompts, one line per row; unchanged lines are left out."""
        changed = [row for row in rows if row.sign in ("head", "gone", "come")]
        last = len(changed) - 1
        self._show(tuple((row.sign, row.text + ("\n" if at < last else "")) for at, row in enumerate(changed)))

    def set_theme(self) -> None:
        """Show the same pieces in the colors of the current theme."""
        pieces, self._pieces = self._pieces, ()
        self._show(pieces)

    def _show(self, pieces: tuple[tuple[str, str], ...]) -> None:
        if pieces == self._pieces:
            return
        self._pieces = pieces
        self.clear()
        shown = list(pieces[:MOST_PIECES])
        if len(pieces) > MOST_PIECES:
            shown.append(("head", f"\n⋯ {len(pieces) - MOST_PIECES:,} more differences"))
        self._left = shown
        self._insert()
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def _insert(self) -> None:
        """Insert the next pieces; the rest follows in later turns of the event loop."""
        formats = {sign: _format(sign) for sign in ("same", "gone", "come", "head")}
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for sign, text in self._left[:SLICE]:
            cursor.insertText(visible(text), formats[sign])
        cursor.endEditBlock()
        self._left = self._left[SLICE:]
        if self._left:
            self._next.start()
        else:
            self._next.stop()


def _format(sign: str) -> QTextCharFormat:
    theme, form = current_theme(), QTextCharFormat()
    form.setForeground(theme.muted if sign in ("gone", "head") else theme.text)
    form.setFontStrikeOut(sign == "gone")
    if sign == "come":
        form.setBackground(theme.selection)
        form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        form.setUnderlineColor(theme.accent)
    return form

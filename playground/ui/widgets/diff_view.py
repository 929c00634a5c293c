"""A difference between two prompts as text: added text is underlined, removed text is struck through."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtGui import QTextBlockFormat, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QTextEdit, QWidget

from playground.prompt.diff import DiffRow
from playground.ui.theme import current_theme, mono_font

_SIGNS = {"head": "", "same": "   ", "gone": "−  ", "come": "+  ", "skipped": "⋯  "}
MOST_ROWS = 2_000


class DifferenceView(QTextEdit):
    """Read-only. Text is inserted as plain text, never as markup."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setAccessibleName("What changes")
        self.setFont(mono_font(12))
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QTextEdit.LineWrapMode.WidgetWidth)

    def show_rows(self, rows: Sequence[DiffRow]) -> None:
        """Show a difference, at most MOST_ROWS of it."""
        self.clear()
        cursor = QTextCursor(self.document())
        for number, row in enumerate(rows[:MOST_ROWS]):
            if number:
                cursor.insertBlock()
            cursor.setBlockFormat(self._block(row))
            cursor.insertText(_SIGNS[row.sign], self._form(DiffRow("skipped", "")))
            cursor.insertText(row.text, self._form(row))
        if len(rows) > MOST_ROWS:
            cursor.insertBlock()
            cursor.insertText(f"⋯  {len(rows) - MOST_ROWS:,} lines more", self._form(DiffRow("skipped", "")))
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def _block(self, row: DiffRow) -> QTextBlockFormat:
        block = QTextBlockFormat()
        if row.sign == "come":
            block.setBackground(current_theme().selection)
        if row.sign == "head":
            block.setTopMargin(6)
        return block

    def _form(self, row: DiffRow) -> QTextCharFormat:
        form = QTextCharFormat()
        form.setForeground(current_theme().text if row.sign in ("head", "come") else current_theme().muted)
        form.setFontStrikeOut(row.sign == "gone")
        if row.sign == "come":
            form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
            form.setUnderlineColor(current_theme().accent)
        if row.sign == "head":
            form.setFontWeight(700)
        return form

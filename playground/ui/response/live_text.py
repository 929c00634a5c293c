"""A read-only text that grows while it is read: exact when copied, followed only while the reader is at its end."""

from __future__ import annotations

from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QTextEdit, QWidget

from playground.ui.response.display_map import DisplayMap
from playground.ui.theme import GRID, mono_font


class LiveText(QPlainTextEdit):
    """Append-only view of one text. The exact text is `exact_text`; Qt's own copy of it is for display only."""

    def __init__(self, name: str, *, follows: bool = True, parent: QWidget | None = None) -> None:
        """`follows`: stays at the end while the reader is there; else a new text is shown from its top."""
        super().__init__(parent)
        self._follows = follows
        self._map = DisplayMap()
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setAccessibleName(name)
        self.setFont(mono_font())
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.document().setDocumentMargin(GRID * 2)

    @property
    def exact_text(self) -> str:
        """The text as it came, to the code point."""
        return self._map.text

    def show_text(self, text: str, *, final: bool = True) -> None:
        """Show `text`. Where it only grew, only what is new is added and the reader's place and selection stay."""
        if not text.startswith(self._map.text) or (self._map.taken > len(text)):
            self._start_again()
        if len(text) == len(self._map.text) and self._map.taken == len(text):
            return
        # A text that is there at once, such as one from the log, is read from its top.
        follow = self._follows and self.at_end() and not (final and not self._map.text)
        self._append(self._map.take(text, final=final), follow)

    def selected_exact_text(self) -> str:
        """What is selected, as it came."""
        cursor = self.textCursor()
        begin = self._exact(cursor.selectionStart())
        return self._map.text[begin : self._exact(cursor.selectionEnd())]

    def mark_place(self, offset: int | None, color: QColor) -> None:
        """Underline the character at code point `offset` of the exact text (the last one where it is the end), and
        bring it into view; None: no mark.
        """
        if offset is None:
            self.setExtraSelections([])
            return
        mark = QTextEdit.ExtraSelection()
        mark.cursor = self._around(offset)
        mark.format = _marked(color)
        self.setExtraSelections([mark])
        caret = QTextCursor(mark.cursor)
        caret.setPosition(caret.anchor())
        self.setTextCursor(caret)
        self.centerCursor()

    def _around(self, offset: int) -> QTextCursor:
        paragraph, unit = self._map.place(offset)
        block = self.document().findBlockByNumber(paragraph)
        cursor = QTextCursor(block)
        cursor.setPosition(block.position() + unit)
        forward = QTextCursor.MoveOperation.NextCharacter
        back = QTextCursor.MoveOperation.PreviousCharacter
        cursor.movePosition(back if cursor.atBlockEnd() else forward, QTextCursor.MoveMode.KeepAnchor)
        return cursor

    def createMimeDataFromSelection(self) -> QMimeData:
        """Copying gives the exact text: no break that is for display only, no no-break space made a blank."""
        data = QMimeData()
        data.setText(self.selected_exact_text())
        return data

    def at_end(self) -> bool:
        """Whether the reader is at the end, so that the view follows."""
        bar = self.verticalScrollBar()
        return bar.value() >= bar.maximum()

    def _start_again(self) -> None:
        self._map = DisplayMap()
        self.clear()

    def _exact(self, position: int) -> int:
        block = self.document().findBlock(position)
        return self._map.exact_offset(block.blockNumber(), position - block.position())

    def _append(self, lines: list[str], follow: bool) -> None:
        mine = self.textCursor()
        anchor, position = mine.anchor(), mine.position()
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        # One insertion, not one a line: U+2029 is how Qt spells a new paragraph.
        cursor.insertText("\u2029".join(lines))
        cursor.endEditBlock()
        if self.textCursor().position() != position or self.textCursor().anchor() != anchor:
            self._restore(anchor, position)
        if follow:
            bar = self.verticalScrollBar()
            bar.setValue(bar.maximum())

    def _restore(self, anchor: int, position: int) -> None:
        cursor = self.textCursor()
        cursor.setPosition(anchor)
        cursor.setPosition(position, QTextCursor.MoveMode.KeepAnchor)
        place = self.verticalScrollBar().value()
        self.setTextCursor(cursor)
        self.verticalScrollBar().setValue(place)


def _marked(color: QColor) -> QTextCharFormat:
    form = QTextCharFormat()
    form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
    form.setUnderlineColor(color)
    ground = QColor(color)
    ground.setAlphaF(0.3)
    form.setBackground(ground)
    return form

"""The answer's tokens as running text, each tinted by how probable it was."""

from __future__ import annotations

import re
from bisect import bisect_right

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QToolTip

from playground.client.events import TokenProbability
from playground.ui.response.token_words import probability, sentence
from playground.ui.theme import GRID, Theme, mono_font
from playground.ui.widgets.plain_tip import plain_tip

A_STEP = 1_000
"""Tokens added at once: no more than a frame's time (measured: about 5 µs a token)."""
UNSURE = 0.5
"""Tokens less probable than this are underlined as well: colour is not the only sign."""
STRONGEST = 0.6
LONG_PARAGRAPH = 2_000
"""Qt slows down on longer paragraphs; here they are broken for display."""
_BREAKS = re.compile("\r\n|[\n\r\u2029\ufdd0\ufdd1]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class TintedText(QPlainTextEdit):
    """One hue; the stronger, the less probable. The caret is on a token: arrow keys step through them."""

    token_chosen = Signal(int)
    """The token (from 0) that the caret came to."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._tokens: list[TokenProbability] = []
        self._ends: list[int] = []
        self._paragraph = 0
        self._showing = False
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setAccessibleName("Tokens by probability")
        self.setFont(mono_font())
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.document().setDocumentMargin(GRID * 2)
        self.cursorPositionChanged.connect(self._tell)

    @property
    def shown(self) -> int:
        """Tokens that stand here already."""
        return len(self._ends)

    def show_tokens(self, tokens: list[TokenProbability]) -> None:
        """Begin with another run's tokens; `grow` adds them."""
        self._tokens, self._ends, self._paragraph = tokens, [], 0
        self._showing = True
        self.clear()
        self.setExtraSelections([])
        self._showing = False

    def grow(self) -> bool:
        """Add up to A_STEP tokens. Returns whether there are more."""
        fresh = self._tokens[self.shown : self.shown + A_STEP]
        if fresh:
            self._append(fresh)
        return self.shown < len(self._tokens)

    def _append(self, fresh: list[TokenProbability]) -> None:
        self._showing = True
        mine, place = self.textCursor(), self.verticalScrollBar().value()
        anchor, position = mine.anchor(), mine.position()
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for token in fresh:
            self._add(cursor, token)
        cursor.endEditBlock()
        # A caret at the end went along with what was added there.
        mine.setPosition(anchor)
        mine.setPosition(position, QTextCursor.MoveMode.KeepAnchor)
        self.setTextCursor(mine)
        self.verticalScrollBar().setValue(place)
        self._showing = False

    def set_theme(self, theme: Theme) -> None:
        """Tint anew."""
        self._theme = theme
        tokens, shown = self._tokens, self.shown
        if shown:
            self.show_tokens(tokens)

    def token_at(self, position: int) -> int | None:
        """The token (from 0) at a position of the document."""
        index = bisect_right(self._ends, position)
        return index if index < len(self._ends) else None

    def mark(self, index: int) -> None:
        """Select a token and bring it into view."""
        if not 0 <= index < self.shown:
            return
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._ends[index - 1] if index else 0)
        cursor.setPosition(self._ends[index], QTextCursor.MoveMode.KeepAnchor)
        self._showing = True
        self.setTextCursor(cursor)
        self._showing = False
        self.ensureCursorVisible()

    def event(self, event: QEvent) -> bool:
        """The number on hover."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            self._tip(event.pos(), event.globalPos())
            return True
        return super().event(event)

    def _tip(self, at: QPoint, on_screen: QPoint) -> None:
        place = self.viewport().mapFrom(self, at)
        index = self.token_at(self.cursorForPosition(place).position())
        if index is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(on_screen, plain_tip(sentence(self._tokens[index], index)), self)

    def _tell(self) -> None:
        if self._showing or self.textCursor().hasSelection():
            return
        index = self.token_at(self.textCursor().position())
        if index is not None:
            self.token_chosen.emit(index)

    def _add(self, cursor: QTextCursor, token: TokenProbability) -> None:
        text = _BREAKS.sub("\u2029", _SURROGATE.sub("\ufffd", token.token))
        last = text.rfind("\u2029")
        self._paragraph = len(text) - last - 1 if last >= 0 else self._paragraph + len(text)
        if self._paragraph >= LONG_PARAGRAPH:
            text, self._paragraph = text + "\u2029", 0
        cursor.insertText(text, self._form(token))
        self._ends.append(cursor.position())

    def _form(self, token: TokenProbability) -> QTextCharFormat:
        form = QTextCharFormat()
        share = probability(token.logprob)
        if share is None:
            return form
        tint = QColor(self._theme.output)
        tint.setAlphaF(STRONGEST * (1 - share))
        form.setBackground(tint)
        if share < UNSURE:
            form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.DotLine)
            form.setUnderlineColor(self._theme.text)
        return form

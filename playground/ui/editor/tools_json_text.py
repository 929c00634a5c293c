"""A tool's JSON as text: coloured, with its faults underlined at their place."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QTextEdit

from playground.ui.editor.card_text import CardText
from playground.ui.editor.marks import ink, marks_of
from playground.ui.theme import Theme

_REST_MS = 60
"""Colours follow the typing that soon; in between Qt moves them along with the text."""


class JsonText(CardText):
    """Variables have no place in a definition, so nothing is shown as a chip."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self._faults: tuple[tuple[int, int], ...] = ()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._color_marks)

    def mark_faults(self, faults: Sequence[tuple[int, int]]) -> None:
        """Underline code points [start, end) of the text."""
        if tuple(faults) != self._faults:
            self._faults = tuple(faults)
            self._color_marks()

    @property
    def faults(self) -> tuple[str, ...]:
        """What is underlined, as text."""
        return tuple(self.exact.text[start:end] for start, end in self._faults)

    def settled(self) -> None:
        """Characters that nobody could see stay marked; colours follow in a moment."""
        self._marks = [mark for mark in marks_of(self.exact, {}) if mark.kind == "odd"]
        if self.extraSelections():
            self._rest.start()
        else:
            self._color_marks()

    def _color_marks(self) -> None:
        # Imported here: only this tab shows code.
        from playground.ui.widgets.highlight import spans

        self._rest.stop()
        text = self.exact.image
        chosen = [
            self._over(at, at + length, _colored(color)) for at, length, color in spans(text, "json", self._theme)
        ]
        for mark in self._marks:
            chosen.append(self._over(mark.start, mark.end, _colored(ink(self._theme, mark.kind))))
        for start, end in self._faults:
            first, last = self.exact.unit(start), self.exact.unit(min(max(end, start + 1), len(text)))
            # At the end of the text there is nothing to underline but what comes before.
            chosen.append(self._over(min(first, max(last - 1, 0)), last, self._underlined()))
        self.setExtraSelections(chosen)

    def _underlined(self) -> QTextCharFormat:
        form = QTextCharFormat()
        form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
        form.setUnderlineColor(self._theme.failure)
        return form

    def _over(self, start: int, end: int, form: QTextCharFormat) -> QTextEdit.ExtraSelection:
        selection = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.document())
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        selection.cursor, selection.format = cursor, form
        return selection


def _colored(color: QColor) -> QTextCharFormat:
    form = QTextCharFormat()
    form.setForeground(color)
    return form

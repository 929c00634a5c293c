"""The parts of the context as a table under the meter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QGridLayout, QLabel

from playground.ui.bars.context_meter import ContextMeter, amount_words, left_words
from playground.ui.theme import GRID, ui_font

if TYPE_CHECKING:
    from playground.prefix_cache.composition import Composition

_MEANINGS = {
    "tools": "the catalogue, sent on every turn",
    "system": "system messages",
    "history": "turns before this one",
    "rest": "this turn's question and all after it",
    "max_tokens": "kept for the answer",
}


class ContextTable(QDialog):
    """The parts with their meanings."""

    def __init__(self, parts: Composition, parent: ContextMeter) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setProperty("look", "popup")
        self.setWindowTitle("Context")
        self.setAccessibleName("What the context holds")
        self.setAccessibleDescription(parent.words)
        grid = QGridLayout(self)
        grid.setContentsMargins(GRID * 2, GRID + 4, GRID * 2, GRID + 4)
        grid.setHorizontalSpacing(GRID * 2)
        for row, (name, amount) in enumerate(parts.parts):
            text = amount_words(name, amount) if amount or name != "max_tokens" else "not set"
            for column, (words, tone) in enumerate(((name, ""), (text, ""), (_MEANINGS[name], "muted"))):
                grid.addWidget(_label(words, tone, right=column == 1), row, column)
        last = _label(left_words(parts), "failure" if parts.over else "strong")
        grid.addWidget(last, len(parts.parts), 0, 1, 3)
        limit = f"Input and output together are at most {parts.room:,} tokens. " if parts.room else ""
        note = f"{limit}≈ is this program's estimate."
        grid.addWidget(_label(note, "muted"), len(parts.parts) + 1, 0, 1, 3)


def _label(text: str, tone: str, *, right: bool = False) -> QLabel:
    label = QLabel(text)
    label.setFont(ui_font(13, tabular=True))
    label.setProperty("tone", tone)
    if right:
        label.setAlignment(Qt.AlignmentFlag.AlignRight)
    return label

"""A framed field as tall as its text, exact to the character: values, tool definitions, stop strings."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout

from playground.ui.panes.prompt.card_text import CardText
from playground.ui.stylesheet import restyle
from playground.ui.theme import Theme


class FieldText(QFrame):
    """Undo is the prompt's, not the field's."""

    edited = Signal(str)
    """The whole exact text, after every edit by the user."""
    undo_requested = Signal()
    redo_requested = Signal()
    caret_moved = Signal()

    def __init__(self, theme: Theme, name: str, placeholder: str = "", text: CardText | None = None) -> None:
        super().__init__()
        self.setProperty("look", "field")
        self.text = text or CardText(theme, sides=(8, 8))
        self.text.setAccessibleName(name)
        self.text.setPlaceholderText(placeholder)
        self.text.typed.connect(lambda _splice: self.edited.emit(self.text.exact.text))
        self.text.undo_requested.connect(self.undo_requested)
        self.text.redo_requested.connect(self.redo_requested)
        self.text.caret_moved.connect(self.caret_moved)
        self.setFocusProxy(self.text)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 5, 0, 5)
        column.addWidget(self.text)

    @property
    def exact(self) -> str:
        """The text, exact to the character."""
        return self.text.exact.text

    def set_exact(self, text: str) -> None:
        """Show a text by its smallest change, which keeps the cursor if possible."""
        splice = self.text.exact.whole(text)
        if splice.removed or splice.inserted:
            self.text.apply(splice, select=False)

    def set_theme(self, theme: Theme) -> None:
        """Apply a theme."""
        self.text.set_theme(theme)

    def mark(self, bad: bool) -> None:
        """Mark the field as invalid, or remove the mark."""
        self.setProperty("bad", "true" if bad else "false")
        restyle(self)

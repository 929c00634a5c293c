"""The Prompt pane: five tabs over one document and one history."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from playground.prefix.workbench import Outlook
from playground.prompt.document import Document
from playground.prompt.problems import Problem
from playground.ui.editor.prompt_tab import PromptTab
from playground.ui.editor.undo import History
from playground.ui.theme import Theme


class PromptPane(QWidget):
    """Edits one Document. Every change is told at once and can be undone."""

    edited = Signal(object)
    """The Document, after every change, also by undo and redo."""
    send_requested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._history = History(self)
        self._prompt = PromptTab(theme, self._history)
        self._tabs = QTabWidget()
        self._tabs.addTab(self._prompt, "Prompt")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._tabs)
        self._history.changed.connect(self.edited)
        self._prompt.send_requested.connect(self.send_requested)

    def document(self) -> Document:
        """The document as it is now, to the character."""
        return self._history.document

    def set_document(self, document: Document, *, undoable: bool = False, label: str = "") -> None:
        """Put a document in place: as one step that can be undone, or as a new beginning."""
        if undoable:
            self._history.replace(document, label)
        else:
            self._history.reset(document)

    @property
    def undo_stack(self) -> QUndoStack:
        """The history of the whole prompt."""
        return self._history.stack

    def undo(self) -> None:
        """Take the last step back."""
        self._history.stack.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        self._history.stack.redo()

    def set_outlook(self, outlook: Outlook | None) -> None:
        """Paint zones, tokens, boundary and forecast."""
        self._prompt.set_outlook(outlook)

    def set_reported(self, cached_tokens: int | None, prompt_tokens: int | None) -> None:
        """Mark the point up to which the server says it read from its cache."""

    def set_model(self, model: str) -> None:
        """The model that the body preview names."""

    def show_problem(self, problem: Problem) -> None:
        """Go to the place that the problem names."""

    def show_place(self, message: int, offset: int) -> None:
        """Put the cursor at a code point of a message's template."""
        self._prompt.cards[message].text.select(offset, offset)
        self._prompt.cards[message].text.setFocus()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self._prompt.set_theme(theme)

    def focus_editor(self) -> None:
        """The keyboard goes to the text."""
        if self._prompt.cards:
            self._prompt.cards[0].text.setFocus()

    take_focus = focus_editor

    def show_find(self) -> None:
        """Open the find bar."""

    def composing(self) -> bool:
        """Whether an input method is in the middle of a composition."""
        return any(card.text.composing for card in self._prompt.cards)

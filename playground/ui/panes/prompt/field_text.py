"""A framed field as tall as its text, exact to the character: values, tool definitions, stop strings."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QAction, QContextMenuEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QFrame, QLineEdit, QMenu

from playground.ui.panes.prompt.card_text import CardText
from playground.ui.stylesheet import restyle
from playground.ui.theme import mono_font
from playground.ui.widgets.layouts import column_of
from playground.ui.widgets.lossless_text_edit import is_key_of_undo
from playground.ui.widgets.plain_table import plain_tip


class FieldLine(QLineEdit):
    """`textEdited` is emitted for the user's input only."""

    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, name: str, placeholder: str = "", *, mono: bool = False) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setPlaceholderText(placeholder)
        if mono:
            self.setFont(mono_font())

    def show_text(self, text: str) -> None:
        """Show a text from its start; the same text changes nothing."""
        if self.text() != text:
            self.setText(text)
            if not self.hasFocus():
                self.setCursorPosition(0)

    def mark(self, why: str) -> None:
        """Mark the field as wrong, with the reason at its tip; empty: nothing is."""
        restyle(self, bad=bool(why))
        self.setToolTip(plain_tip(why))
        self.setAccessibleDescription(why)

    @property
    def bad(self) -> bool:
        """Whether it is marked."""
        return bool(self.property("bad") == "true")

    def event(self, event: QEvent) -> bool:
        """Leave the keys of undo and redo to the window."""
        if event.type() == QEvent.Type.ShortcutOverride and is_key_of_undo(event):
            event.ignore()
            return False
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Typing; undo and redo are passed on."""
        if event.matches(QKeySequence.StandardKey.Undo):
            self.undo_requested.emit()
        elif event.matches(QKeySequence.StandardKey.Redo):
            self.redo_requested.emit()
        else:
            super().keyPressEvent(event)

    def menu(self) -> QMenu:
        """Qt's own menu, with the prompt's undo in it in place of the field's."""
        menu = self.createStandardContextMenu()
        undo, redo = menu.actions()[:2]
        for old, signal in ((undo, self.undo_requested), (redo, self.redo_requested)):
            action = QAction(old.text(), menu)
            action.triggered.connect(lambda _checked=False, signal=signal: signal.emit())
            menu.insertAction(old, action)
            menu.removeAction(old)
        return menu

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Open the menu at the cursor."""
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())


class FieldText(QFrame):
    """Undo is the prompt's, not the field's."""

    edited = Signal(str)
    """The whole exact text, after every edit by the user."""
    undo_requested = Signal()
    redo_requested = Signal()
    caret_moved = Signal()

    def __init__(self, name: str, placeholder: str = "", text: CardText | None = None) -> None:
        super().__init__()
        self.setProperty("look", "field")
        self.text = text or CardText(sides=(8, 8))
        self.text.setAccessibleName(name)
        self.text.setPlaceholderText(placeholder)
        self.text.typed.connect(lambda _splice: self.edited.emit(self.text.exact.text))
        self.text.undo_requested.connect(self.undo_requested)
        self.text.redo_requested.connect(self.redo_requested)
        self.text.caret_moved.connect(self.caret_moved)
        self.setFocusProxy(self.text)
        column_of(self.text, on=self, margins=(0, 5, 0, 5))

    @property
    def exact(self) -> str:
        """The text, exact to the character."""
        return self.text.exact.text

    def set_exact(self, text: str) -> None:
        """Show a text by its smallest change, which keeps the cursor if possible."""
        splice = self.text.exact.whole(text)
        if splice.removed or splice.inserted:
            self.text.apply(splice, select=False)

    def mark(self, bad: bool) -> None:
        """Mark the field as invalid, or remove the mark."""
        restyle(self, bad=bad)

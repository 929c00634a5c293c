"""Framed fields as tall as their text, exact to the character; and those of the tool calls of a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QAction, QContextMenuEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget

from playground.export.terminal import visible_line
from playground.prompt.document import Json, Message, ToolCall
from playground.ui.panes.prompt.axis_paint import SIDE_PX
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.panes.prompt.undo import UndoHistory
from playground.ui.theme import GRID, mono_font, restyle
from playground.ui.widgets.form import line_edit
from playground.ui.widgets.labels import push_button, show_or_hide, toned
from playground.ui.widgets.layouts import Panel, column_of, row_of
from playground.ui.widgets.lossless_text_edit import TextBox, is_key_of_undo
from playground.ui.widgets.plain_table import plain_tip


class FieldLine(QLineEdit):
    """`textEdited` is emitted for the user's input only."""

    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, history: UndoHistory, name: str, placeholder: str = "", *, mono: bool = False) -> None:
        super().__init__()
        history.serve(self)
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
        return bool(self.property("bad") == "true")

    def event(self, event: QEvent) -> bool:
        """Leave the keys of undo and redo to the window."""
        if event.type() == QEvent.Type.ShortcutOverride and is_key_of_undo(event):
            event.ignore()
            return False
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
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
            action.triggered.connect(signal)
            menu.insertAction(old, action)
            menu.removeAction(old)
        return menu

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())


class FieldText(Panel):
    """Undo is the prompt's, not the field's."""

    edited = Signal(str)
    """The whole exact text, after every edit by the user."""

    def __init__(self, history: UndoHistory, name: str, placeholder: str = "", text: CardText | None = None) -> None:
        super().__init__("field")
        self.text = text or CardText(sides=(8, 8))
        self.text.setAccessibleName(name)
        self.text.setPlaceholderText(placeholder)
        self.text.typed.connect(lambda _splice: self.edited.emit(self.text.exact.text))
        history.serve(self.text)
        self.setFocusProxy(self.text)
        column_of(self.text, on=self, margins=(0, 5, 0, 5))

    @property
    def exact(self) -> str:
        """The text, exact to the character."""
        return self.text.exact.text

    def set_exact(self, text: str) -> None:
        """Show a text by its smallest change, which keeps the cursor if possible."""
        self.text.show_exact(text)

    def mark(self, bad: bool) -> None:
        restyle(self, bad=bad)


_CALLS_PX = 110
_ARGUMENT_CHARS = 40


class CallFields(QWidget):
    """Two fields, each visible only for its role. Invalid input changes nothing and shows an error."""

    changed = Signal(object)
    """The Message with the new value."""

    def __init__(self, open_calls: Callable[[], tuple[ToolCall, ...]], parent: QWidget | None = None) -> None:
        """`open_calls` names the calls that a tool message here could answer."""
        super().__init__(parent)
        self._message = Message("user", "")
        self._open_calls = open_calls
        self.answers = line_edit("tool_call_id", "tool_call_id: the id of the call that this answers")
        self.answers.setFont(mono_font(12))
        self.choose = push_button("Calls", "menu", name="Choose the call that this answers")
        self.choices = QMenu(self)
        self.choices.aboutToShow.connect(self._fill)
        self.choose.setMenu(self.choices)
        self.calls = TextBox("tool_calls as JSON", font=mono_font(12))
        self.calls.setFixedHeight(_CALLS_PX)
        self.error = toned("", "failure", wraps=True)
        self.error.hide()
        answers, margins = row_of((self.answers, 1), self.choose), (SIDE_PX, GRID // 2, SIDE_PX, 0)
        column_of(answers, self.calls, self.error, on=self, margins=margins)
        self.answers.textEdited.connect(self._on_answers)
        self.calls.textChanged.connect(self._on_calls)

    def show_message(self, message: Message, *, visible: bool) -> None:
        """Show the fields of a message; hide itself without fields."""
        self._message = message
        is_tool, has_calls = message.role == "tool", bool(message.tool_calls)
        self.setVisible(visible and (is_tool or has_calls))
        self.answers.setVisible(is_tool)
        self.choose.setVisible(is_tool)
        self.calls.setVisible(has_calls)
        if self.answers.text() != (message.tool_call_id or ""):
            self.answers.setText(message.tool_call_id or "")
        if has_calls and _read(self.calls.exact.text)[0] != message.tool_calls:
            self.calls.blockSignals(True)
            self.calls.set_exact(_written(message.tool_calls))
            self.calls.blockSignals(False)
            self._update_text("")

    def _fill(self) -> None:
        self.choices.clear()
        for call in self._open_calls():
            label = visible_line(f"{call.id}   {call.name}({call.arguments[:_ARGUMENT_CHARS]})")
            self.choices.addAction(label.replace("&", "&&"), partial(self._on_answers, call.id))
        if self.choices.isEmpty():
            self.choices.addAction("No assistant message before this one makes a call").setEnabled(False)

    def _on_answers(self, text: str) -> None:
        if text != self.answers.text():
            self.answers.setText(text)
        self._message = replace(self._message, tool_call_id=text)
        self.changed.emit(self._message)

    def _on_calls(self) -> None:
        calls, wrong = _read(self.calls.exact.text)
        self._update_text(wrong)
        if calls is not None and calls != self._message.tool_calls:
            # Without a call, an assistant message must have a text (electron-api.md, Request fields).
            content = self._message.content if calls else self._message.content or ""
            self._message = replace(self._message, tool_calls=calls, content=content)
            self.changed.emit(self._message)

    def _update_text(self, wrong: str) -> None:
        show_or_hide(self.error, wrong)
        restyle(self.calls, bad=bool(wrong))


def _written(calls: tuple[ToolCall, ...]) -> str:
    fields = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]
    return json.dumps(fields, ensure_ascii=False, indent=1)


def _read(text: str) -> tuple[tuple[ToolCall, ...] | None, str]:
    try:
        value: Json = json.loads(text)
    except ValueError as error:
        return None, f"tool_calls: this is not JSON yet ({error}). The last readable calls are kept."
    if not isinstance(value, list):
        return None, "tool_calls: should be a list of calls; an empty list takes them away."
    calls = []
    for index, item in enumerate(value):
        fields = item if isinstance(item, dict) else {}
        parts = [fields.get(key) for key in ("id", "name", "arguments")]
        if not all(isinstance(part, str) for part in parts):
            return None, f"tool_calls[{index}]: needs id, name and arguments, each as text."
        calls.append(ToolCall(*(str(part) for part in parts)))
    return tuple(calls), ""

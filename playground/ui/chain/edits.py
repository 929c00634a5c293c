"""A text of a conversation, edited: what a call returned, or what the model said and called."""

from __future__ import annotations

import json

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from playground.prompt.document import Json, ToolCall
from playground.prompt.problems import BadInput, Problem
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.notice import words


class EditDialog(QDialog):
    """The old text is kept: what is given makes a branch."""

    given = Signal(str)
    answer_given = Signal(str, tuple)
    """(text, ToolCalls)"""

    def __init__(self, title: str, text: str, parent: QWidget | None = None, *, as_answer: bool = False) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._as_answer = as_answer
        self.text = QPlainTextEdit(text)
        self.text.setFont(mono_font())
        self.text.setAccessibleName(title)
        self.text.setTabChangesFocus(True)
        self.wrong = words("", "failure")
        self.wrong.hide()
        self.branch = QPushButton("Make a branch")
        self.branch.setProperty("look", "primary")
        self.branch.clicked.connect(self._take)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton(self.branch, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        if as_answer:
            column.addWidget(words('As JSON: "content", and "tool_calls" where there are any.', "muted"))
        column.addWidget(self.text, 1)
        column.addWidget(self.wrong)
        column.addWidget(buttons)
        self.resize(560, 320)
        self.finished.connect(lambda _result: self.deleteLater())

    def _take(self) -> None:
        text = self.text.toPlainText()
        try:
            if self._as_answer:
                self.answer_given.emit(*read_answer(text))
            else:
                self.given.emit(text)
        except BadInput as bad:
            self.wrong.setText(str(bad.problems[0]))
            self.wrong.show()
            return
        self.accept()


def edited_answer(text: str, calls: tuple[ToolCall, ...]) -> str:
    """An answer as a person edits it."""
    fields: dict[str, Json] = {"content": text}
    if calls:
        fields["tool_calls"] = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]
    return json.dumps(fields, ensure_ascii=False, indent=1)


def read_answer(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """An answer out of what a person has edited. Raises BadInput that names the field."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(Problem((), f"this is not JSON: {error}.")) from None
    if not isinstance(fields, dict) or not isinstance(fields.get("content", ""), str):
        raise BadInput(Problem(("content",), "should be text."))
    calls = fields.get("tool_calls", [])
    if not isinstance(calls, list):
        raise BadInput(Problem(("tool_calls",), "should be a list."))
    return fields.get("content", ""), tuple(_call(call, number) for number, call in enumerate(calls))


def _call(value: object, number: int) -> ToolCall:
    if not isinstance(value, dict):
        raise BadInput(Problem(("tool_calls", number), "should be an object."))
    texts = [value.get(name) for name in ("id", "name", "arguments")]
    for name, text in zip(("id", "name", "arguments"), texts, strict=True):
        if not isinstance(text, str):
            raise BadInput(Problem(("tool_calls", number, name), "should be text."))
    return ToolCall(*(str(text) for text in texts))

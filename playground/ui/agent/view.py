"""Widgets of the agent dialog and their layout."""

from __future__ import annotations

import asyncio
import json

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSplitter,
    QWidget,
)

from playground.agent.loop import DEFAULT_LIMIT, MOST_REQUESTS
from playground.agent.tool_executor import Question, ToolExecutionError
from playground.prompt.document import Json, ToolCall
from playground.prompt.field_errors import FieldError, InputError
from playground.ui.agent.tool_mocks_pane import AnswersPane
from playground.ui.agent.turn_card import pretty, stretch
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.form import spin_box
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import STRETCH, FlowLayout, column_of, row_of, scrolled
from playground.ui.widgets.notice import words
from playground.ui.widgets.task_dialog import TaskDialog

BESIDE_PX = 760
"""From this width on, tool mocks are beside the turns."""


class EditDialog(QDialog):
    """Editor of a result or an answer. Saving makes a branch and keeps the old text."""

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
        self.branch = push_button("Make a branch", "primary", self._take)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton(self.branch, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column = column_of(on=self, margins=GRID * 2)
        if as_answer:
            column.addWidget(words('As JSON: "content", and "tool_calls" if any.', "muted"))
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
        except InputError as bad:
            self.wrong.setText(str(bad.problems[0]))
            self.wrong.show()
            return
        self.accept()


def edited_answer(text: str, calls: tuple[ToolCall, ...]) -> str:
    """Return an answer as the JSON text that the user edits."""
    fields: dict[str, Json] = {"content": text}
    if calls:
        fields["tool_calls"] = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]
    return json.dumps(fields, ensure_ascii=False, indent=1)


def read_answer(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Parse an edited answer. Raises InputError with the path of the invalid field."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(FieldError((), f"this is not JSON: {error}.")) from None
    if not isinstance(fields, dict) or not isinstance(fields.get("content", ""), str):
        raise InputError(FieldError(("content",), "should be text."))
    calls = fields.get("tool_calls", [])
    if not isinstance(calls, list):
        raise InputError(FieldError(("tool_calls",), "should be a list."))
    return fields.get("content", ""), tuple(_call(call, number) for number, call in enumerate(calls))


def _call(value: object, number: int) -> ToolCall:
    if not isinstance(value, dict):
        raise InputError(FieldError(("tool_calls", number), "should be an object."))
    texts = [value.get(name) for name in ("id", "name", "arguments")]
    for name, text in zip(("id", "name", "arguments"), texts, strict=True):
        if not isinstance(text, str):
            raise InputError(FieldError(("tool_calls", number, name), "should be text."))
    return ToolCall(*(str(text) for text in texts))


class AskBar(QFrame):
    """Shows the open questions to the user one at a time. Hidden if there are none."""

    waiting = Signal(int)
    """Emitted with the number of open questions."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "callout")
        self._open: list[tuple[Question, asyncio.Future[str]]] = []
        self._shown: Question | None = None
        self.question = words("", "strong")
        self.hint = words("", "muted")
        self.text = QPlainTextEdit()
        self.text.setFont(mono_font(12))
        self.text.setTabChangesFocus(True)
        self.text.setMaximumHeight(90)
        self.text.setAccessibleName("What the tool returns")
        self.give = push_button("Return this", "primary", lambda: self._answer(failed=False))
        self.fail = push_button("Return it as an error", clicked=lambda: self._answer(failed=True))
        row = row_of(STRETCH, self.fail, self.give)
        column_of(self.question, self.hint, self.text, row, on=self, margins=(GRID + 4, GRID, GRID, GRID))
        self.hide()

    async def ask(self, question: Question) -> str:
        """Wait for the result that the user types. Raises ToolExecutionError if the user returns an error."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open.append((question, answer))
        self._show()
        try:
            return await answer
        finally:
            self._open = [pair for pair in self._open if pair[1] is not answer]
            self._show()

    def _show(self) -> None:
        self.setVisible(bool(self._open))
        self.waiting.emit(len(self._open))
        if not self._open:
            return
        question = self._open[0][0]
        if question is not self._shown:
            # Text typed for another question must not become this answer.
            self.text.clear()
            self._shown = question
        more = f" ({len(self._open) - 1} more wait)" if len(self._open) > 1 else ""
        self.question.setText(f"{question.call.name}({pretty(question.call.arguments)}) waits for you{more}")
        self.hint.setText(question.hint)
        self.hint.setVisible(bool(question.hint))
        self.text.setFocus()

    def _answer(self, *, failed: bool) -> None:
        if not self._open:
            return
        _, answer = self._open[0]
        text = self.text.toPlainText()
        self.text.clear()
        if answer.done():
            return
        if failed:
            answer.set_exception(ToolExecutionError(text or "The tool failed."))
        else:
            answer.set_result(text)


MOCKS_PX = 260
"""Minimum width of the tool mocks, and twice their minimum height: in a small panel they scroll."""


class AgentView(TaskDialog):
    """Layout: turns and next message on the left, tool mocks on the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Agent loop")
        self._build()
        self._lay_out()

    def _build(self) -> None:
        self.go = push_button("Run agent loop", "primary")
        self.go.setAutoDefault(False)
        self.limit = spin_box(1, MOST_REQUESTS, DEFAULT_LIMIT, "Requests at most")
        self.branch = QComboBox()
        self.branch.setAccessibleName("Branch of the conversation")
        self.branch.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.state = words(
            "Runs the current prompt: request, tool calls, results, next request, until the model answers."
        )
        self.totals = words("", "muted")
        self.ask = AskBar()
        self.reply = QLineEdit()
        self.reply.setPlaceholderText("Next user message")
        self.reply.setAccessibleName("Next user message")
        self.send_reply = QPushButton("Send reply")
        self.send_reply.setAutoDefault(False)
        self.answers = AnswersPane()
        self.ways = {
            name: self._button(label)
            for name, label in (
                ("prompt", "Use as prompt"),
                ("save", "Save as a prompt file…"),
                ("code", "Copy as Python"),
                ("timeline", "Voice timeline…"),
                ("trim", "Delete last turn"),
                ("new", "Start over"),
            )
        }

    def _button(self, label: str) -> QPushButton:
        button = push_button(label, "quiet")
        button.setAutoDefault(False)
        return button

    def _lay_out(self) -> None:
        head = row_of(self.go, QLabel("at most"), self.limit, QLabel("requests"), STRETCH, self.branch)
        inside = QWidget()
        self.column = column_of(on=inside, margins=(0, 0, GRID, 0), spacing=GRID)
        self.empty = words(
            "Each turn appears here after it has run: messages, tool calls and results, request_id, usage, and tokens "
            "added to the prefix.",
            "muted",
        )
        self.empty.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        self.column.addWidget(self.empty)
        self.column.addWidget(stretch(), 1)
        self.view = QScrollArea()
        self.view.setWidget(inside)
        self.view.setWidgetResizable(True)
        self.view.setAccessibleName("The conversation")
        next_line = row_of((self.reply, 1), self.send_reply)
        left = QWidget()
        column_of(self.state, self.totals, (self.view, 1), self.ask, next_line, on=left, margins=(0, 0, GRID, 0))
        self.halves = QSplitter()
        self.halves.addWidget(left)
        mocks = scrolled(self.answers)
        mocks.setMinimumSize(MOCKS_PX, MOCKS_PX // 2)
        self.halves.addWidget(mocks)
        self.halves.setSizes([640, 360])
        self.halves.setChildrenCollapsible(False)
        row = FlowLayout()
        row.add_all(list(self.ways.values()))
        column_of(head, (self.halves, 1), row, on=self, margins=(GRID * 2, GRID * 2, GRID * 2, GRID))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the mocks below the turns if there is no room beside them."""
        super().resizeEvent(event)
        beside = self.width() >= BESIDE_PX
        wanted = Qt.Orientation.Horizontal if beside else Qt.Orientation.Vertical
        if self.halves.orientation() != wanted:
            self.halves.setOrientation(wanted)
            self.halves.setSizes([640, 360])

"""The agent view: a start to write, the tools, and a card per turn with its answer, tool calls, usage and cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QComboBox, QDialog, QLabel, QPushButton, QSizePolicy, QWidget

from playground.agent.conversation import Conversation, Result, Sum, Turn
from playground.agent.loop import DEFAULT_LIMIT, MOST_REQUESTS, AgentLoopEnded
from playground.agent.tool_mocks import Question, ToolExecutionError
from playground.export.terminal import visible, visible_line
from playground.prompt.document import Json, ToolCall
from playground.prompt.field_errors import InputError
from playground.runs.metrics import UNKNOWN, Figure, counted, finish_text, seconds
from playground.ui.agent.tool_mocks_pane import AnswersPane
from playground.ui.panes.response.live_text import LiveText
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.form import combo_box, line_edit, spin_box
from playground.ui.widgets.labels import IdRow, push_button, show_or_hide, toned
from playground.ui.widgets.layouts import STRETCH, FlowLayout, PageScroll, Panel, column_of, row_of, scrolled, split_of
from playground.ui.widgets.lossless_text_edit import TextBox
from playground.ui.widgets.notice import shortened, words
from playground.ui.widgets.task_dialog import TaskDialog, button_box, fill_dialog, open_once

RESULT_WORDS = {
    "answered": "returned",
    "error": "returned an error",
    "bad_json": "was not called: its arguments are not valid JSON",
    "wrong_arguments": "was not called: its arguments do not fit its schema",
    "unknown_tool": "was not called: there is no such tool",
    "failed": "could not be answered",
    "running": "runs",
    "stopped": "was stopped",
}
END_WORDS = {
    "answered": "Answered",
    "limit": "Ended at the limit: the model still calls tools",
    "stopped": "Stopped",
    "failed": "Failed",
}


def outcome(turn: Turn) -> str:
    if turn.edited:
        return "edited by you"
    return visible_line(finish_text(turn.finish_reason)) if turn.phase == "done" else turn.phase


def usage_words(turn: Turn, forecast_cached: float | None) -> str:
    """Format as `1,204 in (1,152 cached · forecast ≈ 1,160) · 86 out`; `—` for values that were not reported."""
    usage = turn.usage
    cached = Figure.reported(usage.cached_tokens if usage else None).text
    forecast = "" if forecast_cached is None else f" · forecast ≈ {forecast_cached:,.0f}"
    prompt = Figure.reported(usage.prompt_tokens if usage else None).text
    output = Figure.reported(usage.completion_tokens if usage else None).text
    return f"{prompt} in ({cached} cached{forecast}) · {output} out"


def prefix_words(conversation: Conversation, turn_id: str, added_tokens: float) -> str:
    """Return the tokens that the turn's request adds, and whether it keeps the previous request as its prefix."""
    turn = conversation.turns[turn_id]
    if turn.parent is None:
        return ""
    if conversation.keeps_prefix(turn_id):
        return f"adds ≈ {added_tokens:,.0f} tokens to the prefix, and keeps it"
    return f"changes the previous request: ≈ {added_tokens:,.0f} tokens from there on are fresh"


def result_words(result: Result, now: float) -> str:
    """Format as `returned in 520 ms`, `runs, 0.4 s so far`."""
    word = RESULT_WORDS[result.kind]
    if result.edited:
        return "returns what you typed"
    if result.started_at is None:
        return word
    if result.kind == "running":
        return f"{word}, {seconds(max(now - result.started_at, 0.0))} so far"
    if result.ended_at is None or word.startswith("was not called"):
        return word
    missing = ", ".join(f"{{{{{visible_line(problem.field)}}}}}" for problem in result.problems)
    sent = f"; {missing} of the template was no argument and is sent as written" if missing else ""
    return f"{word} in {seconds(result.ended_at - result.started_at)}{sent}"


def end_words(ended: AgentLoopEnded) -> str:
    """Return the reason for the end of the loop, as a sentence."""
    many = counted(ended.requests, "request")
    return f"{END_WORDS[ended.reason]}, after {many}. {ended.error}".strip()


def totals_words(conversation: Conversation, turn_id: str | None) -> str:
    """Return the sums over the path to a turn.

    If a report is missing, the sum is a lower bound ("at least").
    """
    totals = conversation.totals(turn_id)
    if not totals.requests:
        return ""
    parts = (
        counted(totals.requests, "request"),
        f"{_sum(totals.prompt_tokens)} in ({_sum(totals.cached_tokens)} cached)",
        f"{_sum(totals.completion_tokens)} out",
    )
    return " · ".join(parts)


def _sum(found: Sum) -> str:
    if found.value is None:
        return UNKNOWN
    return f"{found.value:,}" if found.complete else f"at least {found.value:,}"


def pretty(arguments: str) -> str:
    """Return arguments as indented JSON; unchanged if they are not JSON."""
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


SHOWN, SHOWN_LINES = 2_000, 40
"""Characters and lines of a text in a card: Qt lays out the whole text of a label each time."""
STEP = 20_000
"""Characters that are added to the dialog of a whole text in one turn of the event loop."""


class CutText(QWidget):
    """The beginning of a text, and a link to all of it. Hidden without a text."""

    def __init__(self, name: str, tone: str = "", *, mono: bool = False) -> None:
        super().__init__()
        self._name, self._whole = name, ""
        self._label = _mono("") if mono else words("", tone)
        self.all = push_button("", "link", lambda: open_once(WholeText(self._name, self._whole, self)))
        column_of(self._label, (self.all, 0, Qt.AlignmentFlag.AlignLeft), on=self, margins=0, spacing=0)
        self.all.hide()
        self.hide()

    def show_text(self, text: str) -> None:
        if text == self._whole:
            return
        self._whole = text
        beginning = "\n".join(text[:SHOWN].split("\n", SHOWN_LINES)[:SHOWN_LINES])
        is_cut = len(beginning) < len(text)
        self._label.setText(visible(beginning) + (" …" if is_cut else ""))
        self.all.setText(f"Show all ({counted(len(text), 'character')})…")
        self.all.setAccessibleName(f"Show all of {self._name}")
        self.all.setVisible(is_cut)
        self.setVisible(bool(text))

    def text(self) -> str:
        """Return the text as displayed."""
        return self._label.text()


class WholeText(QDialog):
    """A whole text, read-only; filled in steps, so that the window can be used meanwhile."""

    def __init__(self, name: str, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(name[:1].upper() + name[1:])
        self.text = LiveText(name, follows=False)
        self.text.setFont(mono_font())
        self._text = text
        fill_dialog(self, (720, 480), (self.text, 1), button_box(self.reject, label="Close"))
        self._add()

    def _add(self) -> None:
        end = len(self.text.exact_text) + STEP
        self.text.show_text(self._text[:end], final=end >= len(self._text))
        if end < len(self._text):
            QTimer.singleShot(0, self, self._add)


class CallRow(Panel):
    edit_asked = Signal(str)
    """Emitted with the call's id."""

    def __init__(self, call: ToolCall, model_id: str | None = None) -> None:
        """`model_id`: the id that the model gave it, if it has another one here."""
        super().__init__("aside")
        self.call = call
        reason = f"the model used {shortened(visible_line(model_id))} before" if model_id else "the model sent none"
        changed = "" if model_id is None else f" with the id {visible_line(call.id)}: {reason}"
        self.head = words(f"calls {visible_line(call.name)}{changed}", "strong")
        self.arguments = CutText(f"the arguments of {visible_line(call.name)}", mono=True)
        self.arguments.show_text(pretty(call.arguments))
        self.state = words("", "muted")
        self.result = CutText(f"the result of {visible_line(call.name)}", mono=True)
        self.edit = push_button("Edit the result…", "link", lambda: self.edit_asked.emit(call.id))
        self.edit.setAccessibleName(f"Edit the result of {visible_line(call.name)}")
        row = row_of((self.state, 1), self.edit)
        column_of(
            self.head,
            self.arguments,
            row,
            self.result,
            on=self,
            margins=(GRID + 4, GRID // 2, GRID, GRID // 2),
            spacing=2,
        )

    def show_result(self, result: Result | None, now: float, *, running: bool) -> None:
        """Show a result; None: not called yet. Editing is disabled while the loop runs."""
        self.state.setText("not called yet" if result is None else result_words(result, now))
        self.result.show_text("" if result is None or result.kind in ("running", "stopped") else result.text)
        self.edit.setVisible(not running)


class TurnCard(Panel):
    """Shows one turn, also while it streams."""

    result_asked = Signal(str, str)
    """(turn id, call id): the user wants to edit this result."""
    answer_asked = Signal(str)
    """Emitted when the user wants to edit the answer."""
    go_on_asked = Signal(str)

    def __init__(self, number: int, turn_id: str) -> None:
        super().__init__("card")
        self.turn_id = turn_id
        self.displayed: object = None
        """What the owner of the card showed in it last."""
        self.title = toned(f"Turn {number}", "strong")
        self.state = words("", "muted")
        self.request_id = IdRow(f"request_id of turn {number}")
        self.added = CutText(f"what turn {number} adds")
        self.text = CutText(f"the answer of turn {number}")
        self.filler = words("filler: spoken while the tool runs", "muted")
        self.coming = CutText(f"the calls of turn {number}", mono=True)
        self.figures = words("", "muted")
        self.prefix = words("", "muted")
        self.error = CutText(f"the error of turn {number}", "failure")
        self.edit = push_button("Edit the answer…", "link", lambda: self.answer_asked.emit(turn_id))
        self.go_on = push_button("Branch from here", "link", lambda: self.go_on_asked.emit(turn_id))
        self._calls: dict[str, CallRow] = {}
        self._lay_out()

    def _lay_out(self) -> None:
        for widget in (self.title, self.state):
            widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        head = row_of(self.title, self.state, STRETCH)
        self.calls = column_of(spacing=GRID // 2)
        tail = row_of(self.edit, self.go_on, STRETCH)
        column_of(
            head,
            self.request_id,
            self.added,
            self.text,
            self.filler,
            self.calls,
            self.coming,
            self.error,
            self.figures,
            self.prefix,
            tail,
            on=self,
            margins=(GRID * 2, GRID, GRID * 2, GRID),
            spacing=GRID // 2,
        )

    def show_turn(
        self, turn: Turn, *, figures: str, prefix: str, added: str, coming: str, now: float, running: bool
    ) -> None:
        """Show the turn. `coming`: calls whose arguments are incomplete."""
        show_or_hide(self.state, visible(outcome(turn)))
        self.request_id.show_id(turn.request_id or "")
        self.request_id.setVisible(bool(turn.request_id))
        self.added.show_text(added)
        self.text.show_text(turn.text)
        self.filler.setVisible(bool(turn.text and turn.calls))
        self.coming.show_text(coming)
        self.error.show_text(turn.error)
        show_or_hide(self.figures, visible(figures))
        show_or_hide(self.prefix, visible(prefix))
        self._show_calls(turn, now, running=running)
        self.edit.setVisible(not running)
        self.go_on.setVisible(not running and turn.phase == "done")

    def _show_calls(self, turn: Turn, now: float, *, running: bool) -> None:
        for call in turn.calls:
            if call.id not in self._calls:
                row = CallRow(call, turn.changed_ids.get(call.id))
                row.edit_asked.connect(lambda call_id: self.result_asked.emit(self.turn_id, call_id))
                self._calls[call.id] = row
                self.calls.addWidget(row)
        results = {result.call_id: result for result in turn.results}
        for call_id, row in self._calls.items():
            row.show_result(results.get(call_id), now, running=running)

    @property
    def call_rows(self) -> list[CallRow]:
        return list(self._calls.values())


def _mono(text: str) -> QLabel:
    label = words(text)
    label.setFont(mono_font(12))
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    return label


BESIDE_PX = 760
"""From this width on, tool mocks are beside the turns."""


class EditDialog(QDialog):
    """Editor of a result or an answer. `take` makes a branch from the text and keeps the old one; it may raise
    InputError, which is shown."""

    def __init__(
        self, title: str, text: str, take: Callable[[str], object], parent: QWidget | None = None, note: str = ""
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._take_text = take
        self.text = TextBox(title, font=mono_font())
        self.text.set_exact(text)
        self.wrong = words("", "failure")
        self.wrong.hide()
        self.branch = push_button("Make a branch", "primary", self._take)
        buttons = button_box(self.reject, self.branch, label="Cancel")
        notes = (words(note, "muted"),) if note else ()
        fill_dialog(self, (560, 320), *notes, (self.text, 1), self.wrong, buttons)
        self.finished.connect(lambda _result: self.deleteLater())

    def _take(self) -> None:
        try:
            self._take_text(self.text.exact.text)
        except InputError as bad:
            self.wrong.setText(str(bad.problems[0]))
            self.wrong.show()
        else:
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
        raise InputError.of((), f"this is not JSON: {error}.") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("content", ""), str):
        raise InputError.of(("content",), "should be text.")
    calls = fields.get("tool_calls", [])
    if not isinstance(calls, list):
        raise InputError.of(("tool_calls",), "should be a list.")
    return fields.get("content", ""), tuple(_call(call, number) for number, call in enumerate(calls))


def _call(value: object, number: int) -> ToolCall:
    if not isinstance(value, dict):
        raise InputError.of(("tool_calls", number), "should be an object.")
    texts = [value.get(name) for name in ("id", "name", "arguments")]
    for name, text in zip(("id", "name", "arguments"), texts, strict=True):
        if not isinstance(text, str):
            raise InputError.of(("tool_calls", number, name), "should be text.")
    return ToolCall(*(str(text) for text in texts))


class AskBar(Panel):
    """Shows the open questions to the user one at a time. Hidden if there are none."""

    def __init__(self) -> None:
        super().__init__("callout")
        self._open: list[tuple[Question, asyncio.Future[str]]] = []
        self._shown: Question | None = None
        self.question = words("", "strong")
        self.hint = words("", "muted")
        self.text = TextBox("What the tool returns", font=mono_font(12))
        self.text.setMaximumHeight(90)
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
        if not self._open:
            return
        question = self._open[0][0]
        if question is not self._shown:
            # Text typed for another question must not become this answer.
            self.text.set_exact("")
            self._shown = question
        more = f" ({len(self._open) - 1} more wait)" if len(self._open) > 1 else ""
        arguments = shortened(pretty(question.call.arguments))
        self.question.setText(visible(f"{question.call.name}({arguments}) waits for you{more}"))
        show_or_hide(self.hint, question.hint)
        self.text.setFocus()

    def _answer(self, *, failed: bool) -> None:
        if not self._open:
            return
        _, answer = self._open[0]
        text = self.text.exact.text
        self.text.set_exact("")
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
        self.branch = combo_box("Branch of the conversation")
        self.branch.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.state = words(
            "Runs the current prompt: request, tool calls, results, next request, until the model answers."
        )
        self.totals = words("", "muted")
        self.ask = AskBar()
        self.reply = line_edit("Next user message", "Next user message")
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
        head = FlowLayout()
        head.addWidget(self.go)
        head.add_labelled("at most", self.limit, QLabel("requests"))
        head.addWidget(self.branch)
        inside = QWidget()
        self.column = column_of(on=inside, margins=(0, 0, GRID, 0), spacing=GRID)
        self.empty = words(
            "Each turn appears here after it has run: messages, tool calls and results, request_id, usage, and tokens "
            "added to the prefix.",
            "muted",
        )
        self.empty.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        self.column.addWidget(self.empty)
        self.column.addStretch(1)
        self.view = PageScroll()
        self.view.setWidget(inside)
        self.view.setAccessibleName("The conversation")
        next_line = row_of((self.reply, 1), self.send_reply)
        left = QWidget()
        column_of(self.state, self.totals, (self.view, 1), self.ask, next_line, on=left, margins=(0, 0, GRID, 0))
        mocks = scrolled(self.answers)
        mocks.setMinimumSize(MOCKS_PX, MOCKS_PX // 2)
        self.halves = split_of(Qt.Orientation.Horizontal, left, mocks, sizes=(640, 360))
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

"""Card of one turn: user message, answer, tool calls with results, usage and cost; and the labels of all of these."""

from __future__ import annotations

import json

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from playground.agent.conversation import Conversation, Result, Sum, Turn
from playground.agent.loop import AgentLoopEnded
from playground.export.terminal import visible, visible_line
from playground.prompt.document import ToolCall
from playground.runs.metrics import UNKNOWN, Figure, counted, finish_text, seconds
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.labels import CopyButton, push_button, toned
from playground.ui.widgets.layouts import STRETCH, column_of, row_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import plain_tip

RESULT_WORDS = {
    "answered": "returned",
    "error": "returned an error",
    "bad_json": "was not called: its arguments are no JSON",
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
    """Return how a turn ended, in the words of the log."""
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
    return f"{word} in {seconds(result.ended_at - result.started_at)}" if result.ended_at is not None else word


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
        f"{totals.requests} requests" if totals.requests > 1 else "1 request",
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


class CallRow(QFrame):
    """A call with its arguments, state and result."""

    edit_asked = Signal(str)
    """Emitted with the call's id."""

    def __init__(self, call: ToolCall) -> None:
        super().__init__()
        self.call = call
        self.setProperty("look", "aside")
        self.head = words(f"calls {visible_line(call.name)}", "strong")
        self.arguments = _mono(visible(pretty(call.arguments)))
        self.state = words("", "muted")
        self.result = _mono("")
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
        text = "" if result is None or result.kind in ("running", "stopped") else visible(result.text)
        if self.result.text() != text:
            self.result.setText(text)
        self.result.setVisible(bool(text))
        self.edit.setVisible(not running)


class TurnCard(QFrame):
    """Shows one turn, also while it streams."""

    result_asked = Signal(str, str)
    """(turn id, call id): the user wants to edit this result."""
    answer_asked = Signal(str)
    """Emitted when the user wants to edit the answer."""
    go_on_asked = Signal(str)

    def __init__(self, number: int, turn_id: str) -> None:
        super().__init__()
        self.turn_id = turn_id
        self.setProperty("look", "card")
        self.title = toned(f"Turn {number}", "strong")
        self.state = words("", "muted")
        self.request_id = words("", "muted")
        self.copy = CopyButton(f"the request_id of turn {number}")
        self.added = words("")
        self.text = words("")
        self.filler = words("filler: spoken while the tool runs", "muted")
        self.coming = _mono("")
        self.figures = words("", "muted")
        self.prefix = words("", "muted")
        self.error = words("", "failure")
        self.edit = push_button("Edit the answer…", "link", lambda: self.answer_asked.emit(turn_id))
        self.go_on = push_button("Branch from here", "link", lambda: self.go_on_asked.emit(turn_id))
        self._calls: dict[str, CallRow] = {}
        self._lay_out()

    def _lay_out(self) -> None:
        for widget in (self.title, self.state):
            widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        head = row_of(self.title, self.state, STRETCH, self.request_id, self.copy)
        self.calls = column_of(spacing=GRID // 2)
        tail = row_of(self.edit, self.go_on, STRETCH)
        column_of(
            head,
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
        self._update_text(self.state, outcome(turn))
        self._update_text(self.request_id, turn.request_id[:8] if turn.request_id else "")
        self.request_id.setToolTip(plain_tip(visible_line(turn.request_id or "")))
        self.copy.set_text_to_copy(turn.request_id or "")
        self._update_text(self.added, added)
        self._update_text(self.text, turn.text)
        self.filler.setVisible(bool(turn.text and turn.calls))
        self._update_text(self.coming, coming)
        self._update_text(self.error, turn.error)
        self._update_text(self.figures, figures)
        self._update_text(self.prefix, prefix)
        self._show_calls(turn, now, running=running)
        self.edit.setVisible(not running)
        self.go_on.setVisible(not running and turn.phase == "done")

    def _show_calls(self, turn: Turn, now: float, *, running: bool) -> None:
        for call in turn.calls:
            if call.id not in self._calls:
                row = CallRow(call)
                row.edit_asked.connect(lambda call_id: self.result_asked.emit(self.turn_id, call_id))
                self._calls[call.id] = row
                self.calls.addWidget(row)
        results = {result.call_id: result for result in turn.results}
        for call_id, row in self._calls.items():
            row.show_result(results.get(call_id), now, running=running)

    @property
    def call_rows(self) -> list[CallRow]:
        """Return the calls in order."""
        return list(self._calls.values())

    def _update_text(self, label: QLabel, text: str) -> None:
        text = visible(text)
        if label.text() != text:
            label.setText(text)
        label.setVisible(bool(text))


def _mono(text: str) -> QLabel:
    label = words(text)
    label.setFont(mono_font(12))
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    return label


def stretch() -> QWidget:
    """Return the flexible space below the last turn."""
    widget = QWidget()
    widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
    return widget

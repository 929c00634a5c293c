"""The JSON tab: the response as a highlighted object, or the validated answer if JSON was requested."""

from __future__ import annotations

import json
from collections.abc import Callable

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from playground.runs.record import Asked
from playground.runs.state import RunState
from playground.runs.summary import wire_tool_calls
from playground.tools.json_position import JsonFault, read_json
from playground.ui.panes.response.live_text import LiveText, SlowSteps
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, Recolored, current_theme
from playground.ui.widgets.highlight import JsonHighlighter
from playground.ui.widgets.labels import CopyButton


def answer_json(state: RunState) -> tuple[str, str]:
    """Return (label, indented JSON text). An error body that is not JSON is returned unchanged."""
    if state.error is not None and state.error.body:
        return "The error's body, as received", _pretty(state.error.body)
    if len(state.raw) == 1 and not _is_chunk(state.raw[0].data):
        return "The response's body, as received", _pretty(state.raw[0].data)
    pieces = f"{len(state.raw):,} events" if state.raw else "the stream"
    return f"Put together from {pieces}", json.dumps(_merged(state), indent=2, ensure_ascii=False)


def judged(text: str, finish_reason: str | None) -> tuple[str, JsonFault | None]:
    """Validate an answer requested as JSON. Return (message, first error). `text` is the complete answer."""
    value = read_json(text)
    if isinstance(value, JsonFault):
        why = " · cut at the token limit (finish_reason length)" if finish_reason == "length" else ""
        return f"✗ Not JSON: {value}{why}", value
    if isinstance(value, dict):
        return "✓ The answer is a JSON object, as asked", None
    return "✗ JSON, but not an object, which is what response_format asks for", None


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _is_chunk(data: str) -> bool:
    return '"chat.completion.chunk"' in data or data.strip() == "[DONE]"


def _merged(state: RunState) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": state.text or None}
    if state.tool_calls:
        message["tool_calls"] = wire_tool_calls(state)
    return {
        "id": state.body_id,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": state.finish_reason}],
        "usage": _usage(state),
    }


def _usage(state: RunState) -> dict[str, object] | None:
    usage = state.usage
    if usage is None:
        return None
    fields: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        fields["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return fields


NOTHING = "The response appears here as JSON."
COMING = "The answer as it comes; it is checked when it is whole."
ANSWER, WHOLE = "Show the answer only", "Show the whole response"


class JsonTab(Recolored, QFrame):
    """Made again in slow steps while the response comes, and once at its end."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("look", "pane")
        self.text = LiveText("The answer's JSON", follows=False, parent=self)
        self._colors: JsonHighlighter | None = None
        self._state: RunState | None = None
        self._asked: Asked | None = None
        self._answer_only = True
        self._titled: RunState | None = None
        self._title = "JSON"
        self._fault: JsonFault | None = None
        self._steps = SlowSteps()
        self._what = QLabel(NOTHING)
        self._what.setProperty("tone", "muted")
        self._what.setWordWrap(True)
        self._copy = CopyButton("the answer's JSON")
        self.place = _link("Go to the fault", self._mark)
        self.switch = _link(WHOLE, self._switch)
        row = QHBoxLayout()
        row.setContentsMargins(GRID * 2, GRID, GRID, 0)
        for widget in (self._what, self.place, self.switch, self._copy):
            row.addWidget(widget, 1 if widget is self._what else 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(self.text, 1)
        self.colored()

    @property
    def caption(self) -> str:
        """What the JSON below is, and whether it is JSON."""
        return self._what.text()

    def set_asked(self, asked: Asked | None) -> None:
        """Set the options of the request, None if unknown. Applies to the next state shown."""
        self._asked = asked

    def title(self, state: RunState | None) -> str:
        """Return the title: ✗ says that the answer is not the requested JSON. Checked once, when it is complete."""
        if state is None or not state.ended or not self._has_answer(state):
            return "JSON"
        if self._titled is not state:
            self._titled = state
            self._title = "JSON" if judged(state.text, state.finish_reason)[0].startswith("✓") else "JSON ✗"
        return self._title

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        """Show the received part of the answer if an update is due."""
        if state is not self._state:
            self._state, self._steps, self._fault = state, SlowSteps(), None
            self._mark()
        if state is None or not (state.raw or state.text or state.error or state.tool_calls):
            self._show(NOTHING, "")
            self.switch.setVisible(False)
        else:
            self._steps.run(lambda: self._show_answer(state), now=state.ended)

    def _has_answer(self, state: RunState) -> bool:
        """Whether there is an answer to judge; the text that a model says before it calls a tool is none."""
        return bool(self._asked and self._asked.json and state.text and not state.tool_calls)

    def _show_answer(self, state: RunState) -> None:
        has_answer = self._has_answer(state)
        self.switch.setVisible(has_answer)
        if not (has_answer and self._answer_only):
            self._show(*answer_json(state))
        elif not state.ended:
            self._show(COMING, state.text, final=False)
        else:
            said, fault = judged(state.text, state.finish_reason)
            self._show(said, state.text, fault, "warm" if said.startswith("✓") else "failure")

    def _show(
        self, what: str, text: str, fault: JsonFault | None = None, tone: str = "muted", *, final: bool = True
    ) -> None:
        if self._colors is None and text:
            self._colors = JsonHighlighter(self.text.document())
        if self._what.text() != what:
            self._what.setText(what)
            self._what.setProperty("tone", tone)
            restyle(self._what)
        self._copy.set_text_to_copy(text)
        self.text.show_text(text, final=final)
        if fault != self._fault:
            self._fault = fault
            self._mark()
        self.place.setVisible(fault is not None)

    def recolor(self) -> None:
        """Color the text and the fault again."""
        if self._colors is not None:
            self._colors.rehighlight()
        if self._fault is not None:
            self._mark()

    def _mark(self) -> None:
        self.text.mark_place(self._fault.offset if self._fault else None, current_theme().failure)

    def _switch(self) -> None:
        self._answer_only = not self._answer_only
        self.switch.setText(WHOLE if self._answer_only else ANSWER)
        if self._state is not None:
            self._show_answer(self._state)


def _link(label: str, clicked: Callable[[], object]) -> QPushButton:
    button = QPushButton(label)
    button.setProperty("look", "link")
    button.setVisible(False)
    button.clicked.connect(lambda: clicked())
    return button

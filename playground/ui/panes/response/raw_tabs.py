"""The Request tab (bytes sent), the Events tab (merged text, raw events) and the JSON tab (response or answer)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from msgspec import Struct
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QButtonGroup, QFrame, QLabel, QTableView, QWidget

from playground.client.events import RawEvent, Usage
from playground.export.terminal import visible, visible_line
from playground.prompt.json_text import JsonFault, read_json
from playground.runs.metrics import counted
from playground.runs.record import Asked
from playground.runs.state import SINCE_SENT, Attempt, RunState
from playground.runs.summary import wire_choice, wire_choices
from playground.ui.panes.response.live_text import LiveText, SlowSteps
from playground.ui.theme import GRID, Recolored, current_theme, mono_font, restyle, ui_font
from playground.ui.widgets.highlight import JsonHighlighter
from playground.ui.widgets.labels import ChoiceButton, CopyButton, copy_text, push_button, toned
from playground.ui.widgets.layouts import STRETCH, Panel, column_of, row_of, split_of
from playground.ui.widgets.plain_table import set_list_look
from playground.ui.widgets.row_table import GrowingModel

COLUMNS = ("time", "after", "kind", "carries", "data")
LONGEST_CELL = 400
LONGEST_TIP = 4_000


class EventsModel(GrowingModel[RawEvent]):
    """The raw events of a run, timed from the attempt that they belong to. Nothing is parsed before its row is
    painted."""

    titles = COLUMNS
    right = (0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.attempts: Sequence[Attempt] = ()
        self._fonts = {"time": ui_font(12, tabular=True), "carries": mono_font(12), "data": mono_font(12)}

    def text(self, row: int, column: int) -> str:
        event = self.rows[row]
        if column == 0:
            began = max((one.started_at for one in self.attempts if one.started_at <= event.at), default=0.0)
            return f"{event.at - began:.3f} s"
        if column == 1:
            return f"{(event.at - self.rows[row - 1].at) * 1000:.0f} ms" if row else ""
        if column in (2, 3):
            return read(event.data)[column - 2]
        data = event.data[:LONGEST_CELL].replace("\n", " ")
        return data + ("…" if len(event.data) > LONGEST_CELL else "")

    def tip(self, row: int, _column: int) -> str:
        return visible(self.rows[row].data[:LONGEST_TIP])

    def hint(self, column: int) -> str:
        return SINCE_SENT if column == 0 else ""

    def font(self, column: int) -> QFont | None:
        return self._fonts.get("time" if column in self.right else COLUMNS[column])


@lru_cache(maxsize=512)
def read(data: str) -> tuple[str, str]:
    if data.strip() == "[DONE]":
        return "[DONE]", ""
    try:
        body = json.loads(data)
    except ValueError:
        return "not JSON", ""
    return _read_body(body) if isinstance(body, dict) else ("other", "")


def _read_body(body: dict[str, object]) -> tuple[str, str]:
    if body.get("error"):
        return "error", _short(body["error"])
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = first.get("delta") or first.get("message")
    carried = delta if isinstance(delta, dict) else {}
    parts = {
        "text": carried.get("content"),
        "tool call": carried.get("tool_calls"),
        "finish": first.get("finish_reason"),
        "usage": body.get("usage"),
    }
    found = [(kind, value) for kind, value in parts.items() if value]
    if not found:
        return ("role", _short(carried["role"])) if carried.get("role") else ("empty", "")
    return " + ".join(kind for kind, _ in found), _short(found[0][1])


def _short(value: object) -> str:
    """JSON, so that blanks and line ends can be seen."""
    return json.dumps(value, ensure_ascii=False)[:LONGEST_CELL]


NO_EVENTS = "Server-sent events appear here with their times."
ROW_PX = 24


class EventsTable(QTableView):
    """Ctrl+C copies the complete, unmodified data of the selected events."""

    def __init__(self, model: EventsModel) -> None:
        super().__init__()
        self._events = model
        self.setModel(model)
        set_list_look(self, "Raw events", ROW_PX, (72, 64, 80, 112))
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            rows = sorted(index.row() for index in self.selectionModel().selectedRows())
            copy_text("\n".join(self._events.rows[row].data for row in rows))
        else:
            super().keyPressEvent(event)


class EventsTab(QFrame):
    """Follows the newest event only while the reader is at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.model = EventsModel()
        self.merged = LiveText("Merged text of all events")
        self.table = EventsTable(self.model)
        self._state: RunState | None = None
        self._words = toned(NO_EVENTS, "muted")
        self._words.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        self._split = split_of(Qt.Orientation.Vertical, self.merged, self.table, sizes=(84, 400), shares=(0, 1))
        self.merged.setMinimumHeight(GRID * 6)
        column_of(self._words, (self._split, 1), on=self, margins=0)

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        if state is not self._state:
            self._state = state
            self.model.attempts = state.attempts if state else ()
            self.model.show_rows(state.raw if state else [])
        bar = self.table.verticalScrollBar()
        follow = bar.value() >= bar.maximum()
        if self.model.grow() and follow:
            self.table.scrollToBottom()
        self.merged.show_text(state.text if state else "", final=state is None or state.ended)
        there_are = self.model.rowCount() > 0
        self._words.setVisible(not there_are)
        self._split.setVisible(there_are)


_CHUNK = re.compile(r'"chat\.completion\.chunk"|^\s*\[DONE\]\s*$')


def answer_json(state: RunState) -> tuple[str, str]:
    """Return (label, indented JSON text). An error body that is not JSON is returned unchanged."""
    if state.error is not None and state.error.body:
        return "The error's body, as received", _pretty(state.error.body)
    if len(state.raw) == 1 and not _CHUNK.search(state.raw[0].data):
        return "The response's body, as received", _pretty(state.raw[0].data)
    pieces = counted(len(state.raw), "event") if state.raw else "the stream"
    merged = {
        "id": state.body_id,
        "object": "chat.completion",
        "choices": [wire_choice(state), *wire_choices(state)],
        "usage": _usage(state.usage),
    }
    return f"Put together from {pieces}", _json(merged)


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
        return _json(json.loads(text))
    except ValueError:
        return text


def _usage(usage: Usage | None) -> dict[str, object] | None:
    if usage is None:
        return None
    cached = {} if usage.cached_tokens is None else {"prompt_tokens_details": {"cached_tokens": usage.cached_tokens}}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        **cached,
    }


NO_ANSWER = "The response appears here as JSON."
COMING = "The answer as it comes; it is checked when it is whole."
ANSWER, WHOLE = "Show the answer only", "Show the whole response"


class JsonTab(Recolored, Panel):
    """Made again in slow steps while the response comes, and once at its end."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("pane", parent=parent)
        self.text = LiveText("The answer's JSON", follows=False, parent=self)
        self._colors: JsonHighlighter | None = None
        self._state: RunState | None = None
        self._asked: Asked | None = None
        self._answer_only = True
        self._titled: tuple[RunState | None, str] = None, "JSON"
        self._fault: JsonFault | None = None
        self._steps = SlowSteps()
        self.what = toned(NO_ANSWER, "muted", wraps=True)
        self._copy = CopyButton("the answer's JSON")
        self.place = push_button("Go to the fault", "link", lambda: self._mark())
        self.switch = push_button(WHOLE, "link", lambda: self._switch())
        for button in (self.place, self.switch):
            button.setVisible(False)
        row = row_of((self.what, 1), self.place, self.switch, self._copy, margins=(GRID * 2, GRID, GRID, 0))
        column_of(row, (self.text, 1), on=self, margins=0, spacing=0)
        self.colored()

    def set_asked(self, asked: Asked | None) -> None:
        """Set the options of the request, None if unknown. Applies to the next state shown."""
        self._asked = asked

    def title(self, state: RunState | None) -> str:
        """Return the title: ✗ says that the answer is not the requested JSON. Checked once, when it is complete."""
        if state is None or not state.ended or not self._has_answer(state):
            return "JSON"
        if self._titled[0] is not state:
            fits = judged(state.text, state.finish_reason)[0].startswith("✓")
            self._titled = state, "JSON" if fits else "JSON ✗"
        return self._titled[1]

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        """Show the received part of the answer if an update is due."""
        if state is not self._state:
            self._state, self._steps, self._fault = state, SlowSteps(), None
            self._mark()
        if state is None or not (state.raw or state.text or state.error or state.tool_calls):
            self._show(NO_ANSWER, "")
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
        self.what.setText(what)
        restyle(self.what, tone=tone)
        self._copy.set_text_to_copy(text)
        self.text.show_text(text, final=final)
        if fault != self._fault:
            self._fault = fault
            self._mark()
        self.place.setVisible(fault is not None)

    def recolor(self) -> None:
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


NOTHING = "The request appears here when it is sent: messages, tools, parameters and the exact body."
LONGEST = 200_000
"""Maximum number of code points shown of a body; Copy copies the whole body."""


class DisplayedRequest(Struct, frozen=True):
    """A request as it left this computer; the key is not part of it."""

    body: bytes
    base_url: str
    endpoint_name: str
    started_utc: datetime
    keyed: bool = False

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def url(self) -> str:
        """Where it was sent, with the secrets of the address masked."""
        # Imported here: the first frame needs no address.
        from playground.prompt.secret_values import masked_address

        return masked_address(f"{self.base_url.rstrip('/')}/chat/completions")


class RequestTab(Panel):
    """Readable parts, or the exact body with its headers. `show_request` selects the request."""

    def __init__(self, parent: QWidget | None = None, *, narrow: bool = False, nothing: str = NOTHING) -> None:
        """`narrow`: time and endpoint are above the buttons. `nothing`: shown without a request."""
        super().__init__("pane", parent=parent)
        self._nothing = nothing
        self.sent: DisplayedRequest | None = None
        """The request on display."""
        self._stale = True
        self._line = QLabel(nothing, self)
        self._line.setProperty("tone", "muted")
        self._line.setWordWrap(True)
        self.parts, self.exact = ChoiceButton("Readable"), ChoiceButton("Exact body")
        self.parts.setChecked(True)
        group = QButtonGroup(self)
        for button in (self.parts, self.exact):
            group.addButton(button)
        self.exact.toggled.connect(lambda _on: self._show())
        self._copy = CopyButton("the request body")
        self.text = LiveText("Request as sent", follows=False, parent=self)
        buttons = self.parts, self.exact, self._copy
        margins = (GRID * 2, GRID // 2, GRID, 0)
        row = row_of(STRETCH if narrow else (self._line, 1), *buttons, margins=margins, spacing=2)
        above = (self._line, row) if narrow else (row,)
        column_of(*above, (self.text, 1), on=self, margins=0, spacing=0)
        if narrow:
            self._line.setContentsMargins(GRID * 2, GRID, GRID, 0)

    def show_request(self, sent: DisplayedRequest | None) -> None:
        """Show another request; None: nothing was sent."""
        if sent != self.sent:
            self.sent, self._stale = sent, True
            if self.isVisible():
                self.refresh(None)

    def refresh(self, _state: RunState | None, _elapsed_s: float = 0.0) -> None:
        """Show the request, if it is another one."""
        if self._stale:
            self._stale = False
            self._show()

    def _show(self) -> None:
        sent = self.sent
        for button in (self.parts, self.exact, self._copy):
            button.setVisible(sent is not None)
        if sent is None:
            self._line.setText(self._nothing)
            self.text.show_text("")
            return
        self._copy.set_text_to_copy(sent.text)
        when = sent.started_utc.astimezone()
        self._line.setText(f"Sent {when:%H:%M:%S} to {visible_line(sent.endpoint_name)}")
        text = exact_text(sent) if self.exact.isChecked() else readable(sent.text)
        cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST:,} more characters"
        self.text.show_text(cut)


def exact_text(sent: DisplayedRequest) -> str:
    """Return the request line, the headers with the key hidden, and the body as sent."""
    head = [f"POST {sent.url}", "Content-Type: application/json"]
    if sent.keyed:
        head.append("Authorization: Bearer (hidden)")
    return "\n".join((*head, "", sent.text))


def readable(body: str) -> str:
    """Return messages, tools and parameters of a body; a body that is not an object unchanged."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(fields, dict):
        return body
    messages, tools = (_list(fields.pop(name, None)) for name in ("messages", "tools"))
    sections = [_message(message) for message in messages]
    if tools:
        sections.append("\n".join((f"── tools · {len(tools)}", *map(_json, tools))))
    parameters = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n\n".join((*sections, "\n".join(("── parameters", *parameters))))


def _message(message: object) -> str:
    if not isinstance(message, dict):
        return _json(message)
    content = message.get("content")
    text = content if isinstance(content, str) else "" if content is None else _json(content)
    other = {name: value for name, value in message.items() if name not in ("role", "content")}
    parts = f"── {message.get('role', 'message')}", text, _json(other) if other else ""
    return "\n".join(part for part in parts if part)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

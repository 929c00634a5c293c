"""The Request tab: the bytes that the request on display sent. It never shows a draft."""

from __future__ import annotations

import json
from datetime import datetime

from msgspec import Struct
from PySide6.QtWidgets import QButtonGroup, QFrame, QLabel, QWidget

from playground.export.terminal import visible_line
from playground.runs.state import RunState
from playground.ui.panes.response.live_text import LiveText
from playground.ui.theme import GRID
from playground.ui.widgets.labels import ChoiceButton, CopyButton
from playground.ui.widgets.layouts import column_of, row_of

NOTHING = "The request appears here when it is sent: messages, tools, parameters and the exact body."
LONGEST = 200_000
"""Maximum number of code points shown of a body; Copy copies the whole body."""


class SentRequest(Struct, frozen=True):
    """A request as it left this computer. `url` ends in /chat/completions; the key is not part of it."""

    body: bytes
    url: str
    endpoint_name: str
    started_utc: datetime
    keyed: bool = False

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class RequestTab(QFrame):
    """Readable parts, or the exact body with its headers. `show_request` selects the request."""

    def __init__(self, parent: QWidget | None = None, *, narrow: bool = False) -> None:
        """`narrow`: time and endpoint are above the buttons."""
        super().__init__(parent)
        self.setProperty("look", "pane")
        self.sent: SentRequest | None = None
        """The request on display."""
        self._stale = True
        self._line = QLabel(NOTHING, self)
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
        row = row_of(margins=(GRID * 2, GRID // 2, GRID, 0), spacing=2)
        if narrow:
            self._line.setContentsMargins(GRID * 2, GRID, GRID, 0)
            row.addStretch(1)
        else:
            row.addWidget(self._line, 1)
        row.addWidget(self.parts)
        row.addWidget(self.exact)
        row.addWidget(self._copy)
        column = column_of(on=self, margins=0, spacing=0)
        if narrow:
            column.addWidget(self._line)
        column.addLayout(row)
        column.addWidget(self.text, 1)

    def show_request(self, sent: SentRequest | None) -> None:
        """Show another request; None: nothing was sent."""
        if sent != self.sent:
            self.sent, self._stale = sent, True
            self._copy.set_text_to_copy(sent.text if sent else "")
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
            self._line.setText(NOTHING)
            self.text.show_text("")
            return
        when = sent.started_utc.astimezone()
        self._line.setText(f"Sent {when:%H:%M:%S} to {visible_line(sent.endpoint_name)}")
        text = exact_text(sent) if self.exact.isChecked() else readable(sent.text)
        cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST:,} more characters"
        self.text.show_text(cut)


def exact_text(sent: SentRequest) -> str:
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
    sections = [_message(message) for message in _list(fields.get("messages"))]
    tools = _list(fields.get("tools"))
    if tools:
        sections.append(f"── tools · {len(tools)}\n" + "\n".join(_json(tool) for tool in tools))
    parameters = {name: value for name, value in fields.items() if name not in ("messages", "tools")}
    sections.append(
        "── parameters\n"
        + "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in parameters.items())
    )
    return "\n\n".join(sections)


def _message(message: object) -> str:
    if not isinstance(message, dict):
        return _json(message)
    content = message.get("content")
    text = content if isinstance(content, str) else "" if content is None else _json(content)
    other = {name: value for name, value in message.items() if name not in ("role", "content")}
    lines = [f"── {message.get('role', 'message')}", *([text] if text else []), *([_json(other)] if other else [])]
    return "\n".join(lines)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

"""Tokenizer and chat template of the simulator: deterministic, with realistic token density, not Electron's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_PIECES = re.compile(
    r" ?[A-Za-z]{1,6}"  # Latin words, in pieces of at most six letters
    r"|\d{1,3}"
    r"|[\u0900-\u0dff\u0e00-\u0eff]{1,2}"  # Indic and Thai scripts
    r"| ?[\u0370-\u05ff\u0600-\u06ff]{1,3}"  # Greek, Cyrillic, Hebrew, Arabic
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff]"  # East Asian scripts
    r"|\s+|.",
    re.DOTALL,
)
MESSAGE_START, MESSAGE_END = "<|start|>", "<|end|>"
ToolsPosition = Literal["first", "system", "first-user", "last-user"]
TOOLS_POSITIONS: tuple[ToolsPosition, ...] = ("first", "system", "first-user", "last-user")


@dataclass(frozen=True)
class Template:
    """A chat template.

    `tools`: position of the tools: before all messages, after the system text, or before the first or the last user
    message. `head_tokens`: constant tokens at the beginning. `message_tokens`: constant tokens of each message, in
    addition to its start, role and end.
    """

    tools: ToolsPosition = "first"
    head_tokens: int = 0
    message_tokens: int = 0

    def prompt(self, fields: Mapping[str, Any]) -> list[str]:
        """Return the whole prompt as tokens, up to the beginning of the answer."""
        tokens = [f"<|head {number}|>" for number in range(self.head_tokens)]
        tools = list(_tools(fields.get("tools") or ()))
        messages = fields["messages"]
        at = self._tools_index([str(message["role"]) for message in messages])
        if at is None:
            tokens += tools
        for index, message in enumerate(messages):
            if index == at and self.tools != "system":
                tokens += tools
            inside = tools if index == at and self.tools == "system" else ()
            tokens += self._message(message, inside)
        return [*tokens, *self._start("assistant")]

    def answer(self, message: Mapping[str, Any]) -> list[str]:
        """Return the tokens of an answer as they appear in the next request, without its role and end."""
        return list(_content(message))

    def _tools_index(self, roles: Sequence[str]) -> int | None:
        role = "system" if self.tools == "system" else "user"
        found = [index for index, name in enumerate(roles) if name == role]
        if self.tools == "first" or not found:
            return None
        return found[-1] if self.tools == "last-user" else found[0]

    def _message(self, message: Mapping[str, Any], inside: Sequence[str]) -> list[str]:
        return [*self._start(str(message["role"])), *_content(message), *inside, MESSAGE_END]

    def _start(self, role: str) -> list[str]:
        return [MESSAGE_START, role, *(f"<|extra {number}|>" for number in range(self.message_tokens))]


def prompt_tokens(fields: Mapping[str, Any]) -> list[str]:
    """Return the prompt as tokens with the default template."""
    return Template().prompt(fields)


def pieces(text: str) -> list[str]:
    """Return the text cut into tokens; joined they are the text again."""
    return _PIECES.findall(text)


def _tools(tools: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for tool in tools:
        yield from (MESSAGE_START, "tool", *pieces(_compact(tool)), MESSAGE_END)


def _content(message: Mapping[str, Any]) -> Iterator[str]:
    for name, value in message.items():
        if name == "role" or value is None:
            continue
        if name != "content":
            yield f"<|{name}|>"
        yield from pieces(value if isinstance(value, str) else _compact(value))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

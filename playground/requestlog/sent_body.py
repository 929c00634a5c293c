"""A request body, decoded once: the pieces in which it is stored, its prompt and its question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from playground.requestlog.index import column_text

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder().decode
_BETWEEN = re.compile(rb"[ \t\r\n,]*")
_KNOWN_BY = 48
"""Length in bytes of the beginning by which a list is found; searching for a long list whole is slower than reading."""

Piece: TypeAlias = tuple[bytes, bytes]
"""A part of a JSON text: what precedes an element of a list, and the element."""


class SentBody:
    """The bytes of a request body, with its prompt and question; both are empty if it is not a JSON object.

    `prompt`: the JSON texts of its messages, without the last user message (`message`), and of its tool list.
    `question`: text of that message. `pieces` join to `data`.
    """

    __slots__ = ("_fields", "_lists", "data", "message", "prompt", "question")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.message, self.question = b"", ""
        self._fields = fields = _fields(data)
        self._lists = lists = _lists(fields)
        self.prompt = self._without_question(lists["messages"]) if "messages" in lists else []
        tools = bytes(fields.get("tools", b"null"))
        if tools not in (b"null", b"[]"):
            self.prompt.append(tools)

    @property
    def pieces(self) -> list[Piece]:
        """Return the pieces. Not cached: only a new request needs them, once."""
        return _cut(self.data, self._fields, self._lists)

    def _without_question(self, messages: list[bytes]) -> list[bytes]:
        """Find the last user message; return the others. Only the last ones are decoded."""
        for place in range(len(messages) - 1, -1, -1):
            message = messages[place]
            if b'"user"' in message:
                value = value_of(message)
                if isinstance(value, dict) and value.get("role") == "user":
                    self.message, self.question = message, column_text(_text(value.get("content")))
                    return messages[:place] + messages[place + 1 :]
        return list(messages)


def pieces_of(data: bytes) -> list[Piece]:
    """Cut a JSON object's text at the ends of the elements of its lists. Other bytes are one piece."""
    fields = _fields(data)
    return _cut(data, fields, _lists(fields))


def value_of(element: bytes) -> Any:
    """Return a decoded JSON text; None if it is not JSON."""
    try:
        return _decode_value(element)
    except (ValueError, RecursionError):  # msgspec refuses half a surrogate pair, which json reads
        try:
            return json.loads(element)
        except (ValueError, RecursionError):
            return None


def _fields(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_fields(data)
    except (ValueError, RecursionError):
        return {}


def _lists(fields: dict[str, msgspec.Raw]) -> dict[str, list[bytes]]:
    found = {}
    for name, value in fields.items():
        if bytes(memoryview(value)[:1]) == b"[":
            try:
                found[name] = [bytes(element) for element in _decode_list(value)]
            except (ValueError, RecursionError):
                continue
    return found


def _cut(data: bytes, fields: dict[str, msgspec.Raw], lists: dict[str, list[bytes]]) -> list[Piece]:
    pieces, last = [], 0
    for end, element in sorted(_ends(data, fields, lists)):
        start = end - len(element)
        # If the same bytes occur before a list, its ends are at other offsets, where the elements are not.
        if start >= last and data.startswith(element, start):
            pieces.append((data[last:start], element))
            last = end
    return pieces if last == len(data) else [*pieces, (data[last:], b"")]


def _ends(data: bytes, fields: dict[str, msgspec.Raw], lists: dict[str, list[bytes]]) -> Iterator[tuple[int, bytes]]:
    for name, elements in lists.items():
        at = data.find(bytes(memoryview(fields[name])[:_KNOWN_BY])) + 1
        for element in elements:
            between = _BETWEEN.match(data, at)
            at = (between.end() if between else at) + len(element)
            yield at, element


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""

"""Assigns the pieces of streamed tool calls to calls, also where servers leave out or repeat `index`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from playground.client.events import ToolCallDelta
from playground.client.tolerant_json import count, text_of

_TOKEN = re.compile(r'[{}\[\]"\\]|[^{}\[\]"\\\s]')


class _ObjectEnd:
    """Follows JSON text piece by piece: `complete` once one object has closed and nothing but space followed."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_start", "complete")

    def __init__(self) -> None:
        self._depth, self._in_string, self._escaped = 0, False, False
        self.complete, self._start = False, ""

    @property
    def open(self) -> bool:
        """Whether the text began as JSON does and ended inside a string, a list or an object."""
        return (self._in_string or self._depth > 0) and _JSON_START.match(self._start) is not None

    def feed(self, text: str) -> None:
        if not text:
            return
        if len(self._start) < _START:
            self._start = (self._start + text.lstrip(" \t\r\n") if not self._start else self._start + text)[:_START]
        if self._escaped:
            self._escaped, text = False, text[1:]
        position = 0
        while found := _STRING_END.search(text, position) if self._in_string else _TOKEN.search(text, position):
            position = found.end()
            self._step(found.group())
            if self._escaped:
                self._escaped, position = position >= len(text), position + 1

    def _step(self, token: str) -> None:
        if self._in_string:
            self._in_string, self._escaped = token != '"', token == "\\"
            return
        self._depth += (token in "{[") - (token in "}]")
        self._in_string = token == '"'
        self.complete = token == "}" and self._depth == 0


_START = 64
"""Code points from which it is seen whether a text began as JSON does."""
_JSON_START = re.compile(r'\{[ \t\r\n]*(?:["}]|$)|\[[ \t\r\n]*(?:[\[{"0-9\]-]|$|n(?:u|$)|t(?:r|$)|f(?:a|$))|"')
"""An object, a list or a string: not `[see the note`, which is text with a bracket."""
_STRING_END = re.compile(r'["\\]')


class _Call:
    """A call so far."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index, self.id, self.name = index, "", ""
        self.arguments = _ObjectEnd()


class ToolCallAssembler:
    """Yields each piece with the index of its call.

    Uses the server's index if it identifies one call. A new call also begins with another id, with a name after
    arguments, and with a second object of arguments: Ollama labels every call 0, Gemini none.
    """

    def __init__(self) -> None:
        self._by_wire_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._used: set[int] = set()
        self._calls: list[_Call] = []
        self._last: _Call | None = None

    @property
    def cut(self) -> bool:
        """Whether the arguments of a call are no complete object. Without any, a call in pieces is cut."""
        return not all(call.arguments.complete for call in self._calls)

    @property
    def open(self) -> bool:
        """Whether the arguments of a call have begun and end inside a string, a list or an object."""
        return any(call.arguments.open for call in self._calls)

    def pieces(self, calls: list[Any], at: float) -> Iterator[ToolCallDelta]:
        """Return the pieces in one chunk's `delta.tool_calls`."""
        for call in calls:
            wire_index = _index(call.index)
            id, name, arguments = text_of(call.id), _name(call), _arguments(call)
            found = self._call(wire_index, id or "", name or "", arguments)
            found.id, found.name = found.id or id or "", found.name or name or ""
            found.arguments.feed(arguments)
            if found.id:
                self._by_id.setdefault(found.id, found)
            if wire_index is not None:
                self._by_wire_index[wire_index] = found
            self._last = found
            # The first id counts: some servers make up another one for each piece.
            yield ToolCallDelta(at, found.index, id if id == found.id else None, name, arguments)

    def whole(self, calls: list[Any], at: float) -> Iterator[ToolCallDelta]:
        """Return the calls of a complete message: each entry is one call."""
        for call in calls:
            found, arguments = self._new(None), _arguments(call)
            # A whole message without arguments is a call of a function without parameters.
            found.arguments.feed(arguments or "{}")
            yield ToolCallDelta(at, found.index, text_of(call.id), _name(call), arguments)

    def _call(self, wire_index: int | None, id: str, name: str, arguments: str) -> _Call:
        if wire_index is not None:
            known = self._by_wire_index.get(wire_index)
            if known is None or _begins_another(known, id, name, arguments):
                same = self._by_id.get(id)
                # A model may give one id to two calls: a name after complete arguments begins the second.
                repeated = same is None or (known is None and bool(name) and same.arguments.complete)
                return self._new(wire_index) if same is None or repeated else same
            return known
        if id and id in self._by_id:
            return self._by_id[id]
        if self._last is None or id or _begins_another(self._last, id, name, arguments):
            return self._new(None)
        return self._last

    def _new(self, wanted: int | None) -> _Call:
        if wanted is None or wanted in self._used:
            wanted = max(self._used, default=-1) + 1
        self._used.add(wanted)
        self._calls.append(_Call(wanted))
        return self._calls[-1]


def _begins_another(call: _Call, id: str, name: str, arguments: str) -> bool:
    complete = call.arguments.complete
    if id and id == call.id:
        return False
    if id and call.id:
        # Some servers make up another id for each piece: without a name it begins a call only after a complete one.
        return bool(name) or complete
    if name and call.name:
        return name != call.name or complete
    return complete and arguments.lstrip().startswith("{")


def _index(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        return int(value)
    return count(value)


def _name(call: Any) -> str | None:
    return None if call.function is None else text_of(call.function.name)


def _arguments(call: Any) -> str:
    """Return the argument text, also if it is an object."""
    value = None if call.function is None else call.function.arguments
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)

"""Answers of other servers: tolerant parsing, token counts under other names, pieces of tool calls without `index`.

A lone surrogate (`"\\ud83d"` alone) is no character: it becomes U+FFFD here, so that all later code has valid text.
NaN, Infinity and numbers that overflow a float become null: they are no value. A whole number beyond 64 bits becomes a
float.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from playground.client.events import ToolCallDelta, Usage
from playground.prompt.json_bounds import check_depth

MAX_TOKENS = 2**53
"""A count above this counts as not reported."""
CACHED_FIELDS = (
    "cached_tokens",  # Moonshot, at the top level of usage
    "prompt_cache_hit_tokens",  # DeepSeek
    "cache_read_input_tokens",  # Anthropic, and gateways in front of it
    "cached_input_tokens",
    "cached_prompt_tokens",
    "prompt_cached_tokens",
    "num_cached_tokens",  # vLLM
    "cache_read_tokens",
)
DETAILS_FIELDS = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details")
"""Objects inside usage that have `cached_tokens`, or another of CACHED_FIELDS: OpenAI, Electron, Groq, vLLM."""


def count(value: object) -> int | None:
    """Return a token count: a whole number from 0, also as a float; None for everything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < MAX_TOKENS else None


def usage_of(fields: object) -> Usage | None:
    """Read a usage object; None if `fields` is not an object or has no count. A count that is absent is unknown."""
    if not isinstance(fields, dict):
        return None
    cached = _cached(fields)
    prompt = count(fields.get("prompt_tokens"))
    if prompt is None:
        prompt = _input(fields)
    output = _first(fields, ("completion_tokens", "output_tokens"))
    usage = Usage(prompt, output, count(fields.get("total_tokens")), cached)
    return None if usage == _NOTHING else usage


def usage_of_timings(fields: object) -> Usage | None:
    """Read llama.cpp's `timings`: `cache_n` cached and `prompt_n` processed prompt tokens, `predicted_n` generated."""
    if not isinstance(fields, dict):
        return None
    cached, fresh = count(fields.get("cache_n")), count(fields.get("prompt_n"))
    prompt = None if cached is None or fresh is None else cached + fresh
    usage = Usage(prompt, count(fields.get("predicted_n")), None, cached)
    return None if usage == _NOTHING else usage


def merged(known: Usage | None, later: Usage | None) -> Usage | None:
    """Return `known` updated by the counts of `later`; a later usage with fewer counts erases none.

    A later prompt count of 0 after a positive one is a placeholder: no request has an empty prompt.
    """
    if known is None or later is None:
        return later if known is None else known
    if later.prompt_tokens == 0 and known.prompt_tokens:
        return known
    return Usage(
        *(
            before if after is None else after
            for before, after in (
                (known.prompt_tokens, later.prompt_tokens),
                (known.completion_tokens, later.completion_tokens),
                (known.total_tokens, later.total_tokens),
                (known.cached_tokens, later.cached_tokens),
            )
        )
    )


class UsageReader:
    """Collects the token counts of one response from all objects that servers use for them."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._timings: Usage | None = None
        self._reported: Usage | None = None

    def read(self, usages: tuple[object, ...], timings: object) -> Usage | None:
        """Add one chunk's usage objects. Returns all counts known so far if they have changed, else None."""
        for fields in usages:
            self._usage = merged(self._usage, usage_of(fields))
        self._timings = merged(self._timings, usage_of_timings(timings))
        usage = merged(self._timings, self._usage)
        if usage is None or usage == self._reported:
            return None
        self._reported = usage
        return usage


_NOTHING = Usage(None, None, None, None)


def _cached(fields: Mapping[str, object]) -> int | None:
    for place in _places(fields):
        found = _first(place, CACHED_FIELDS)
        if found is not None:
            return found
    return None


def _places(fields: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for name in DETAILS_FIELDS:
        details = fields.get(name)
        if isinstance(details, dict):
            yield details
    yield fields


def _input(fields: Mapping[str, object]) -> int | None:
    """Anthropic's `input_tokens` leaves out cached tokens, which have counts of their own; others' includes them."""
    fresh = count(fields.get("input_tokens"))
    if fresh is None:
        return None
    read, written = count(fields.get("cache_read_input_tokens")), count(fields.get("cache_creation_input_tokens"))
    return fresh + (read or 0) + (written or 0)


def _first(fields: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := count(fields.get(name))) is not None), None)


_LONE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 18


def loads(text: str) -> object:
    """Parse JSON. Raises ValueError if it is not JSON, JsonBoundsError (a ValueError) if it is nested too deep."""
    value = loads_raw(_without_lone(text))
    written = json.dumps(value, ensure_ascii=False)
    return loads_raw(_without_lone(written)) if _LONE.search(written) else value


def loads_raw(text: str) -> object:
    """Parse like `loads`, but keep lone surrogates."""
    check_depth(text)
    value: object = json.loads(text, parse_int=_number, parse_float=_finite, parse_constant=_nothing)
    return value


def _without_lone(text: str) -> str:
    return _LONE.sub("\ufffd", text)


def _number(digits: str) -> int | float | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else _finite(digits)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _nothing(_constant: str) -> None:
    return None


_TOKEN = re.compile(r'[{}\[\]"\\]|[^{}\[\]"\\\s]')


class _ObjectEnd:
    """Follows JSON text piece by piece: `complete` once one object has closed and nothing but space followed."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_start", "complete", "empty")

    def __init__(self) -> None:
        self._depth, self._in_string, self._escaped = 0, False, False
        self.complete, self.empty = False, True
        self._start = ""

    @property
    def open(self) -> bool:
        """Whether the text began as JSON does and ended inside a string, a list or an object."""
        return (self._in_string or self._depth > 0) and _JSON_START.match(self._start) is not None

    def feed(self, text: str) -> None:
        if not text:
            return
        if len(self._start) < _START:
            self._start = (self._start + text.lstrip(" \t\r\n") if not self._start else self._start + text)[:_START]
        self.empty = False
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
            id, name, arguments = _text(call.id), _name(call), _arguments(call)
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
            yield ToolCallDelta(at, found.index, _text(call.id), _name(call), arguments)

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
    return None if call.function is None else _text(call.function.name)


def _arguments(call: Any) -> str:
    """Return the argument text, also if it is an object."""
    value = None if call.function is None else call.function.arguments
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

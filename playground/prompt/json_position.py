"""Positions in JSON text: of a value by its path, and of the first fault with its description."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from playground.prompt.document import Json
from playground.prompt.field_errors import Path
from playground.prompt.json_bounds import JsonBoundsError, loads

_SPACE = re.compile(r"[ \t\r\n]*")
_READ = json.JSONDecoder()
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"?|-?Infinity|NaN', re.DOTALL)
_CONSTANTS = ("NaN", "Infinity", "-Infinity")


class Member(Struct, frozen=True):
    """A member of an object (with a key) or an array. `start` is the key's or the value's, `end` the value's."""

    key: str
    start: int
    value: int
    end: int


def after_space(text: str, at: int) -> int:
    """Return the offset of the first character from `at` on that is no white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def members(text: str, at: int) -> Iterator[Member]:
    """Yield the members of the object or array at `at` in a valid JSON text."""
    keyed = text[at] == "{"
    at = after_space(text, at + 1)
    while text[at] not in "}]":
        start, key = at, ""
        if keyed:
            key, at = _READ.raw_decode(text, at)
            at = after_space(text, after_space(text, at) + 1)
        value, end = at, value_end(text, at)
        yield Member(key, start, value, end)
        at = after_space(text, end)
        if text[at] == ",":
            at = after_space(text, at + 1)


def value_end(text: str, at: int) -> int:
    """Return the offset behind the value at `at`. Raises ValueError if there is none."""
    return _READ.raw_decode(text, at)[1]


def span_at(text: str, path: Path) -> tuple[int, int]:
    """Return the code points [start, end) of the value at `path` in a valid JSON text.

    If a part of the path does not exist, returns the opening bracket of the value that should contain it.
    """
    at = after_space(text, 0)
    for step in path:
        found = _child(text, at, step)
        if found is None:
            return at, at + 1
        at = found
    return at, value_end(text, at)


def _child(text: str, at: int, step: str | int) -> int | None:
    """Return the offset of a member's value. Of several members with one name, the last one counts."""
    if text[at] != ("{" if isinstance(step, str) else "["):
        return None
    if isinstance(step, int):
        return next((member.value for member in islice(members(text, at), step, None)), None)
    return next((value for value in reversed([m.value for m in members(text, at) if m.key == step])), None)


class JsonFault(Struct, frozen=True):
    """`offset` in code points of the text; `line` and `column` count from 1, the column in code points too."""

    offset: int
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line:,}, column {self.column:,}: {self.message}"


def read_json(text: str) -> Json | JsonFault:
    """Parse within the bounds of `json_bounds`. Returns the value, or the first fault and its position."""
    try:
        value: Json = loads(text)
    except json.JSONDecodeError as error:
        return _fault(text, error)
    except JsonBoundsError as error:
        offset = 0
        if str(error).startswith(_CONSTANTS):
            found = _STRING_OR_CONSTANT.finditer(text)
            offset = next((match.start() for match in found if match[0] in _CONSTANTS), 0)
        return fault_at(text, offset, str(error).rstrip("."))
    return value


def fault_at(text: str, offset: int, message: str) -> JsonFault:
    """Return a fault at a code point of `text`."""
    line_start = text.rfind("\n", 0, offset) + 1
    return JsonFault(offset, text.count("\n", 0, offset) + 1, offset - line_start + 1, message)


def _fault(text: str, error: json.JSONDecodeError) -> JsonFault:
    if text.lstrip().startswith("```"):
        return fault_at(text, text.index("`"), "the JSON is inside a code fence")
    if not text.strip():
        return JsonFault(0, 1, 1, "the text is empty")
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return fault_at(text, len(text.rstrip()), "the text ends before the JSON does")
    message = "more text follows the end of the JSON" if error.msg == "Extra data" else error.msg
    return fault_at(text, error.pos, message[:1].lower() + message[1:])

"""Positions in JSON text: of a value by its path, and of the first fault with its description."""

from __future__ import annotations

import json

from msgspec import Struct

from playground.prompt.document import Json
from playground.prompt.field_errors import Path
from playground.prompt.json_bounds import JsonBoundsError, loads

_SPACES = " \t\r\n"
_READ = json.JSONDecoder()


def span_at(text: str, path: Path) -> tuple[int, int]:
    """Return the code points [start, end) of the value at `path` in a valid JSON text.

    If a part of the path does not exist, returns the opening bracket of the value that should contain it.
    """
    at = _past(text, 0)
    for step in path:
        found = _member(text, at, step) if isinstance(step, str) else _item(text, at, step)
        if found is None:
            return at, at + 1
        at = found
    return at, _READ.raw_decode(text, at)[1]


def _past(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACES:
        at += 1
    return at


def _member(text: str, at: int, name: str) -> int | None:
    """Return the offset of the last member with that name, which is the one that counts."""
    if text[at] != "{":
        return None
    found = None
    at = _past(text, at + 1)
    while text[at] == '"':
        key, end = _READ.raw_decode(text, at)
        value = _past(text, _past(text, end) + 1)
        found = value if key == name else found
        at = _next(text, value)
    return found


def _item(text: str, at: int, index: int) -> int | None:
    if text[at] != "[":
        return None
    at = _past(text, at + 1)
    while index and text[at] != "]":
        at = _next(text, at)
        index -= 1
    return None if text[at] == "]" else at


def _next(text: str, value: int) -> int:
    """Return the offset after a value: of the next value, or of the closing bracket."""
    at = _past(text, _READ.raw_decode(text, value)[1])
    return _past(text, at + 1) if text[at] == "," else at


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
        constant = next((name for name in _CONSTANTS if str(error).startswith(name)), None)
        offset = _outside_strings(text, constant) if constant else 0
        return fault_at(text, offset, str(error).rstrip("."))
    return value


_CONSTANTS = ("NaN", "Infinity", "-Infinity")


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
    return fault_at(text, error.pos, _words(error.msg))


def _words(message: str) -> str:
    """Return the parser's message as a part of a sentence."""
    if message == "Extra data":
        return "more text follows the end of the JSON"
    return message[:1].lower() + message[1:]


def _outside_strings(text: str, word: str) -> int:
    inside, at = False, 0
    while at < len(text):
        char = text[at]
        if inside and char == "\\":
            at += 1
        elif char == '"':
            inside = not inside
        elif not inside and text.startswith(word, at):
            return at
        at += 1
    return 0

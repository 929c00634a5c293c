"""Where a text stops being JSON: the place, and in words what is wrong there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Never

from playground.prompt.document import Json
from playground.prompt.field_errors import Path

_SPACES = " \t\r\n"
_READ = json.JSONDecoder()


def span_at(text: str, path: Path) -> tuple[int, int]:
    """Code points [start, end) of the value at `path` in a valid JSON text.

    Where the path leads on to what is not there, the value that should have it is meant: its opening sign.
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
    """The last member of that name, which is the one that counts."""
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
    """The start of what follows a value: another one, or the closing sign."""
    at = _past(text, _READ.raw_decode(text, value)[1])
    return _past(text, at + 1) if text[at] == "," else at


@dataclass(frozen=True, slots=True)
class Fault:
    """`offset` in code points of the text; `line` and `column` count from 1, the column in code points too."""

    offset: int
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line:,}, column {self.column:,}: {self.message}"


class _NoNumber(ValueError):  # noqa: N818 - a signal of this file
    pass


def read_json(text: str) -> Json | Fault:
    """The value, or the first fault. NaN and infinities, which Python's reader takes, are faults: JSON has none."""
    try:
        value: Json = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return _fault(text, error)
    except _NoNumber as error:
        return fault_at(text, _outside_strings(text, str(error)), f"{error} is no JSON number")
    except (RecursionError, ValueError) as error:
        return Fault(0, 1, 1, "nested too deep" if isinstance(error, RecursionError) else "a number is too long")
    return value


def fault_at(text: str, offset: int, message: str) -> Fault:
    """A fault at a code point of `text`."""
    line_start = text.rfind("\n", 0, offset) + 1
    return Fault(offset, text.count("\n", 0, offset) + 1, offset - line_start + 1, message)


def _refuse(word: str) -> Never:
    raise _NoNumber(word)


def _fault(text: str, error: json.JSONDecodeError) -> Fault:
    if text.lstrip().startswith("```"):
        return fault_at(text, text.index("`"), "a code fence stands around the JSON")
    if not text.strip():
        return Fault(0, 1, 1, "there is no text")
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return fault_at(text, len(text.rstrip()), "the text ends before the JSON does")
    return fault_at(text, error.pos, _words(error.msg))


def _words(message: str) -> str:
    """The reader's message as part of a sentence."""
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

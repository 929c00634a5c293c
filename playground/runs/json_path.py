"""Where in a JSON text the value at a path stands."""

from __future__ import annotations

import json

from playground.prompt.problems import Path

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

"""JSON text from outside: its encoding, reading within bounds, and positions of values and faults.

The bounds keep all later code safe: at 100 levels no recursive function reaches Python's recursion limit, and a number
of 300 digits still converts to a float.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Any, NoReturn

from msgspec import Struct

from playground.prompt.document import Json
from playground.prompt.field_errors import Path

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
MAX_DIGITS = 300

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


class JsonBoundsError(ValueError):
    """JSON that exceeds a bound. The text names the bound and reads well after "the file: "."""


def loads(data: str | bytes, *, max_bytes: int = MAX_BYTES, finite: bool = True) -> Any:
    """Parse JSON within the bounds.

    Args:
        data: text, or bytes in UTF-8, UTF-16 or UTF-32 (detected as `json.loads` does); a byte-order mark is accepted.
        max_bytes: bound on the length of `data` (characters of a str count as bytes).
        finite: refuse NaN, Infinity and numbers that overflow a float. If false, they become float values.

    Raises:
        JsonBoundsError: too large, too deep, a number with too many digits, or not finite.
        ValueError: not JSON (`json.JSONDecodeError`), or bytes in another encoding (`UnicodeDecodeError`).
    """
    if len(data) > max_bytes:
        raise JsonBoundsError(_too_large(max_bytes))
    text = data if isinstance(data, str) else bytes(data).decode(json.detect_encoding(data), "surrogatepass")
    text = text.removeprefix("\ufeff")
    check_depth(text)
    return json.loads(
        text,
        parse_int=_int,
        parse_float=_finite if finite else None,
        parse_constant=_refuse_constant if finite else None,
    )


def check_depth(text: str) -> None:
    """Raise JsonBoundsError if arrays and objects are nested deeper than MAX_DEPTH. Linear in the text's length.

    Works on any text, also on text that is not JSON, and never recurses.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise JsonBoundsError(f"the JSON is nested more than {MAX_DEPTH} levels deep.")


def _too_large(max_bytes: int) -> str:
    size = f"{max_bytes // 1024 // 1024} MiB" if max_bytes >= 1024 * 1024 else f"{max_bytes:,} bytes"
    return f"the JSON is larger than {size}."


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise JsonBoundsError(f"the JSON has a number of more than {MAX_DIGITS} digits.")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JsonBoundsError("the JSON has a number that is too large for a float.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise JsonBoundsError(f"{name} is not a number in JSON.")


class _Repeated(Struct, frozen=True):
    path: Path


def _repeated_in(value: object) -> _Repeated | None:
    if isinstance(value, list):
        for place, item in enumerate(value):
            if item is not None and (inner := _repeated_in(item)) is not None:
                return _Repeated((place, *inner.path))
    return value if isinstance(value, _Repeated) else None


def _repeated_among(members: list[tuple[str, object]]) -> _Repeated | None:
    seen: set[str] = set()
    for name, value in members:
        if name in seen:
            return _Repeated((name,))
        seen.add(name)
        if value is not None and (inner := _repeated_in(value)) is not None:
            return _Repeated((name, *inner.path))
    return None


_read_names = json.JSONDecoder(object_pairs_hook=_repeated_among, parse_int=len, parse_float=len).decode


def repeated_name(text: str) -> Path | None:
    """Return the path of a member whose object has another one of the same name; None if there is none.

    The text is valid JSON. Programs differ in which of the members counts.
    """
    repeated = _repeated_in(_read_names(text))
    return repeated.path if repeated else None


_LINE_END = re.compile(r"\r\n|\n|\r")


def json_lines(text: str) -> list[str]:
    """Return the lines of JSON lines. Unlike `str.splitlines`: JSON strings may hold U+0085, U+2028 and U+2029 as they
    are."""
    lines = _LINE_END.split(text)
    return lines[:-1] if not lines[-1] else lines


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
    """Parse within the bounds. Returns the value, or the first fault and its position."""
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


_LEAST_ZEROS = 16
"""A text of wide characters without a byte-order mark has a zero in so many bytes, or it is one with a damaged byte."""


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text: UTF-8, or UTF-16 or UTF-32 by its byte-order mark or its zeros."""
    encoding: str = json.detect_encoding(data)
    by_zeros = encoding.endswith(("-le", "-be"))
    return "utf-8" if by_zeros and data.count(0) * _LEAST_ZEROS < len(data) else encoding


def as_utf8(data: bytes) -> bytes:
    """Return a text in UTF-16 or UTF-32 as UTF-8; any other data unchanged.

    Recognizes a byte-order mark, and the zeros beside the first characters if these are ASCII.
    """
    encoding = encoding_of(data)
    if not encoding.startswith(("utf-16", "utf-32")):
        return data
    try:
        return data.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data

"""Reading of JSON from outside, within bounds on size, depth and digits.

The bounds keep all later code safe: at 100 levels no recursive function reaches Python's recursion limit, and a number
of 300 digits still converts to a float.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, NoReturn

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


_LINE_END = re.compile(r"\r\n|\n|\r")


def json_lines(text: str) -> list[str]:
    """Return the lines of JSON lines. Unlike `str.splitlines`: JSON strings may hold U+0085, U+2028 and U+2029 as they
    are."""
    lines = _LINE_END.split(text)
    return lines[:-1] if not lines[-1] else lines

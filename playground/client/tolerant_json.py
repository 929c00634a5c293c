"""Tolerant parsing of JSON from servers. The result can be displayed, stored and encoded again.

A lone surrogate (`"\\ud83d"` alone) is no character: it becomes U+FFFD here, so that all later code has valid text.
NaN, Infinity and numbers that overflow a float become null: they are no value. A whole number beyond 64 bits becomes a
float.
"""

from __future__ import annotations

import json
import math
import re

from playground.prompt.json_bounds import check_depth

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

"""JSON from a server that may be odd: what comes out can be shown, stored and encoded again.

A lone surrogate (`"\\ud83d"` alone) stands for no character: it becomes U+FFFD, here and nowhere else, so that every
later room holds valid text. A whole number that no 64 bits hold becomes a float.
"""

from __future__ import annotations

import json
import re

_LONE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 18


def loads(text: str) -> object:
    """The JSON value. Raises ValueError where it is none, or is nested deeper than can be read."""
    try:
        value: object = json.loads(_without_lone(text), parse_int=_number)
        written = json.dumps(value, ensure_ascii=False)
        return json.loads(_without_lone(written), parse_int=_number) if _LONE.search(written) else value
    except RecursionError as error:
        raise ValueError("JSON that is nested too deep") from error


def _without_lone(text: str) -> str:
    return _LONE.sub("\ufffd", text)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)

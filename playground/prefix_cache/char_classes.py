"""Character classes that tokenizers treat alike, and a fast count of each in a text."""

from __future__ import annotations

import operator
import re
from string import ascii_letters, digits

CLASSES = (
    "letter",
    "space",
    "digit",
    "punctuation",
    "separator",
    "accented",
    "devanagari",
    "indic",
    "cyrillic",
    "semitic",
    "east_asian",
    "other",
    "tool",
    "prompt_head",
    "tools_head",
    "tools_tail",
)
"""letter, space: ASCII · separator: ends of parts of a CacheView · accented: Latin beyond ASCII · indic: the other
scripts of South and South-East Asia · cyrillic: Greek too · semitic: Hebrew and Arabic · other: the rest, emoji
included · tool: a tool definition, in estimated tokens · prompt_head, tools_head, tools_tail: constant template
text per prompt and per tool catalogue."""

Counts = tuple[float, ...]
"""One count per class, in the order of CLASSES."""

NOTHING: Counts = (0.0,) * len(CLASSES)
PROMPT_HEAD: Counts = (0.0,) * 13 + (1.0, 0.0, 0.0)
TOOLS_HEAD: Counts = (0.0,) * 13 + (0.0, 1.0, 0.0)
TOOLS_TAIL: Counts = (0.0,) * 13 + (0.0, 0.0, 1.0)

_LETTERS = ascii_letters.encode()
_SPACES = b" \t\n\r\v\f"
_DIGITS = digits.encode()
_SEPARATOR = b"\x1e"
_ASCII = re.compile("[\x00-\x7f]+")
_RANGES = (
    re.compile("[\u0080-\u036f\u1e00-\u1eff\u2010-\u2027]+"),
    re.compile("[\u0900-\u097f]+"),
    re.compile("[\u0980-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]+"),
    re.compile("[\u0370-\u058f]+"),
    re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]+"),
    re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"),
)
_CONSTANT = (0.0, 0.0, 0.0, 0.0)


def count(text: str) -> Counts:
    """Return how many characters of each class `text` has."""
    if text.isascii():
        return (*_count_ascii(text.encode()), *(0.0,) * 7, *_CONSTANT)
    ascii_part = "".join(_ASCII.findall(text))
    rest = _ASCII.sub("", text)
    found = []
    for pattern in _RANGES:
        shorter = pattern.sub("", rest)
        found.append(float(len(rest) - len(shorter)))
        rest = shorter
    return (*_count_ascii(ascii_part.encode()), *found, float(len(rest)), *_CONSTANT)


def _count_ascii(data: bytes) -> tuple[float, ...]:
    letters = len(data) - len(data.translate(None, _LETTERS))
    spaces = len(data) - len(data.translate(None, _SPACES))
    numerals = len(data) - len(data.translate(None, _DIGITS))
    separators = data.count(_SEPARATOR)
    punctuation = len(data) - letters - spaces - numerals - separators
    return float(letters), float(spaces), float(numerals), float(punctuation), float(separators)


def add(left: Counts, right: Counts) -> Counts:
    """Return the sum of both counts."""
    return tuple(map(operator.add, left, right))


def subtract(left: Counts, right: Counts) -> Counts:
    """Return `left` minus `right`."""
    return tuple(map(operator.sub, left, right))

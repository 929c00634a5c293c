"""Classes of characters that tokenizers treat alike, and a fast count of each in a text."""

from __future__ import annotations

import operator
import re
from string import ascii_letters, digits

CLASSES = ("word", "digit", "punctuation", "mark", "accented", "indic", "near_east", "east_asian", "other")
"""word: ASCII letters and white space · mark: the separators of a CacheView · accented: Latin beyond ASCII ·
near_east: Greek, Cyrillic, Hebrew, Arabic · other: what is left, emoji among it."""

Counts = tuple[int, ...]
"""One count a class, in the order of CLASSES."""

_WORD = (ascii_letters + " \t\n\r\v\f").encode()
_DIGIT = digits.encode()
_MARK = b"\x1e"
_ASCII = re.compile("[\x00-\x7f]+")
_RANGES = (
    re.compile("[\u0080-\u036f\u1e00-\u1eff\u2010-\u2027]+"),
    re.compile("[\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]+"),
    re.compile("[\u0370-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]+"),
    re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"),
)


def count(text: str) -> Counts:
    """How many characters of each class `text` has."""
    if text.isascii():
        return _count_ascii(text.encode())
    ascii_part = "".join(_ASCII.findall(text))
    rest = _ASCII.sub("", text)
    found = []
    for pattern in _RANGES:
        shorter = pattern.sub("", rest)
        found.append(len(rest) - len(shorter))
        rest = shorter
    return (*_count_ascii(ascii_part.encode())[:4], *found, len(rest))


def _count_ascii(data: bytes) -> Counts:
    word = len(data) - len(data.translate(None, _WORD))
    digit = len(data) - len(data.translate(None, _DIGIT))
    mark = data.count(_MARK)
    return (word, digit, len(data) - word - digit - mark, mark, 0, 0, 0, 0, 0)


def add(left: Counts, right: Counts) -> Counts:
    """Both counts together."""
    return tuple(map(operator.add, left, right))


def subtract(left: Counts, right: Counts) -> Counts:
    """What `left` has more than `right`."""
    return tuple(map(operator.sub, left, right))

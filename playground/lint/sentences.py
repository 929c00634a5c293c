"""Sentences and clauses of a text in any language, and a lower case that keeps every place."""

from __future__ import annotations

import re
from collections.abc import Iterable

_END = re.compile(r"(?:[.!?…]+(?=[\s\"'”’)\]]|$)|[。！？।॥؟۔\n]+)[\"'”’)\]]*")
_SHORT = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|incl|resp|dr|mr|mrs|ms|st|no|fig|z\.\s?b|bzw|ca|ej|p\.\s?ej|p\.\s?ex|ex|напр|"
    r"т\.\s?е|bijv|np|örn)|\b\w)$",
    re.IGNORECASE,
)
"""What a full stop does not end: an abbreviation, or a single letter."""
_FAR = 600
"""Maximum search distance for sentence boundaries, in code points."""
_CLAUSE = re.compile(r"[,;:،、，；：—–()]")


def fold(text: str) -> str:
    """Lower case, as many code points as before: İ alone would become two."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the sentences of `text` as [start, end), with end punctuation, without surrounding white space."""
    found, start = [], 0
    for match in _END.finditer(text):
        if match[0].startswith(".") and _SHORT.search(text, max(start, match.start() - 8), match.start()):
            continue
        found.append(_stripped(text, start, match.end()))
        start = match.end()
    found.append(_stripped(text, start, len(text)))
    return [(a, b) for a, b in found if a < b]


def sentence_at(text: str, index: int) -> tuple[int, int]:
    """Return the sentence that contains code point `index`."""
    low, high = max(index - _FAR, 0), min(index + _FAR, len(text))
    for start, end in sentences(text[low:high]):
        if low + start <= index < low + end:
            return low + start, low + end
    return low, high


def clause_at(text: str, index: int) -> tuple[int, int]:
    """Return the clause (delimited by commas or similar) that contains code point `index`."""
    start, end = sentence_at(text, index)
    before = [m.end() for m in _CLAUSE.finditer(text, start, index)]
    after = _CLAUSE.search(text, index, end)
    return (before[-1] if before else start), (after.start() if after else end)


def has_any(text: str, stems: Iterable[str]) -> bool:
    """Return whether `text` (lower case) contains any of the stems."""
    return any(stem in text for stem in stems)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end

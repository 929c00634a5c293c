"""The sentence or the line that a place of a text lies in, in any script."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cache, lru_cache

from playground.prefix_cache.moments import any_of, months
from playground.prompt.variables import places

_JOINING = r"(?![\u0300-\u036f\u200d\ufe0e\ufe0f])"
_STOPS = "\u0964\u0965\u061f\u06d4\u3002\uff01\uff1f\uff0e\uff61\u1362\u0589\u17d4\u104b"
_END = re.compile(
    r"(?:(?<![.!?…])[.!?…]++[\"”’')\]»]*+(?=[ \t]|$)"
    rf"|[{_STOPS}]++[”」』）)\"»]*+{_JOINING}[ \t]*)"
)
"""Ends of sentences: Latin ones need a space after them (2.5 is none), those of Devanagari, Arabic, Urdu, Chinese,
Japanese, Ethiopic, Armenian, Khmer and Burmese do not."""
_ABBREVIATION = re.compile(
    r"(?:(?<!\w)(?:mrs?|ms|dr|prof|no|st|vs|approx|tel|e\.g|i\.e|etc|z\.b|bzw|nr|ca|sr|sra|mme|art|inc|ltd|[a-z]))\.$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?<![\w.,-])\d{1,2}\.$")


@cache
def _goes_on() -> re.Pattern[str]:
    return re.compile(rf"[ \t]+(?:(?-i:[a-zäöü])|{any_of(months())}(?!\w))", re.IGNORECASE)


_REACH = 16
"""Code points before a full stop in which an abbreviation begins."""
BULLETS = " \t-*•–—#>"


def unit_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Code points [from, to) of what can be moved as a whole: the sentence around [start, end).

    Where the line has no other sentence it is the whole line with its line feed; a value over several lines takes
    all of them.
    """
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", max(end, start))
    line_end = len(text) if line_end < 0 else line_end
    first, last = _sentence(text, line_start, line_end, start, end)
    alone = not text[line_start:first].strip(BULLETS) or _is_list_number(text[line_start:first])
    if alone and not text[last:line_end].strip():
        return line_start, min(line_end + 1, len(text))
    while last == line_end and first > line_start and text[first - 1] in " \t":
        first -= 1
    return first, last


def _is_list_number(head: str) -> bool:
    number = head.strip()
    return len(number) <= 3 and bool(_NUMBERED.search(number))


@lru_cache(maxsize=2)
def _sentence_ends(text: str, line_start: int, line_end: int) -> tuple[list[int], list[int]]:
    """Return where the ends of the line's sentences start and end, ascending. Cached: a line may have many values."""
    held = [(place.start, place.end) for place in places(text) if line_start <= place.start < line_end]
    starts: list[int] = []
    ends: list[int] = []
    for found in _END.finditer(text, line_start, line_end):
        before = bisect_left(held, (found.end(),)) - 1
        inside = before >= 0 and found.end() < held[before][1]
        if not inside and not _is_no_end(text, line_start, line_end, found):
            starts.append(found.start())
            ends.append(found.end())
    return starts, ends


def _sentence(text: str, line_start: int, line_end: int, start: int, end: int) -> tuple[int, int]:
    starts, ends = _sentence_ends(text, line_start, line_end)
    before = bisect_right(ends, start)
    first = ends[before - 1] if before else line_start
    after = max(before, bisect_left(starts, end - 1))
    last = ends[after] if after < len(ends) else line_end
    while first < start and text[first] in " \t":
        first += 1
    # The space after a sentence goes with it, so that its neighbours stay one space apart.
    while last < line_end and text[last] in " \t":
        last += 1
    return first, last


def _is_no_end(text: str, line_start: int, line_end: int, found: re.Match[str]) -> bool:
    """Whether the full stop belongs to an abbreviation, to the number of a list's point, or to a day (23. November)."""
    if not found.group().startswith("."):
        return False
    stop = found.start() + 1
    begin = max(line_start, stop - _REACH)
    if _ABBREVIATION.search(text, begin, stop):
        return True
    if not _NUMBERED.search(text, begin, stop):
        return False
    return _is_list_number(text[line_start:stop]) or bool(_goes_on().match(text, stop, line_end))

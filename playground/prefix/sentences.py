"""The sentence or the line that a place of a text lies in, in any script."""

from __future__ import annotations

import re

_END = re.compile(r"(?:[.!?…]+[\"”’')\]]*(?=[ \t]|$)|[।؟!?。！？]+[”」』)]*[ \t]*)")
"""Ends of sentences: Latin ones need a space after them (2.5 is none), those of other scripts do not."""
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|no|st|vs|approx|e\.g|i\.e|z\.b|bzw|nr)|(?<![\d-])\b\d{1,2}|\b[A-Z])\.$", re.IGNORECASE
)


def unit_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Code points [from, to) of what can be moved as a whole: the sentence around [start, end).

    Where the line has no other sentence it is the whole line with its line feed; a value over several lines takes
    all of them.
    """
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", max(end, start))
    line_end = len(text) if line_end < 0 else line_end
    first, last = _sentence(text, line_start, line_end, start, end)
    if not text[line_start:first].strip(" \t-*•#>") and not text[last:line_end].strip():
        return _with_heading(text, line_start, line_end), min(line_end + 1, len(text))
    while last == line_end and first > line_start and text[first - 1] in " \t":
        first -= 1
    return first, last


def _with_heading(text: str, line_start: int, line_end: int) -> int:
    """Where the line above ends in a colon and has nothing else below it, it goes along."""
    above = text.rfind("\n", 0, max(line_start - 1, 0)) + 1
    heading = text[above : max(line_start - 1, 0)].rstrip()
    followed = text[line_end + 1 :].split("\n", 1)[0].strip() if line_end < len(text) else ""
    return above if heading.endswith((":", "：")) and not followed else line_start


def _sentence(text: str, line_start: int, line_end: int, start: int, end: int) -> tuple[int, int]:
    first, last = line_start, line_end
    for found in _END.finditer(text, line_start, line_end):
        if _ABBREVIATION.search(text, line_start, found.start() + 1):
            continue
        if found.end() <= start:
            first = found.end()
        elif found.start() >= end - 1:
            last = found.end()
            break
    while first < start and text[first] in " \t":
        first += 1
    # The space after a sentence goes with it, so that its neighbours stay one space apart.
    while last < line_end and text[last] in " \t":
        last += 1
    return first, last

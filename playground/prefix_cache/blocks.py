"""What belongs together over several lines: a fence, a table, a tagged block, a heading with what stands below it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from playground.prefix_cache.sentences import BULLETS

Range = tuple[int, int]
"""Code points [from, to) of a text; both at the beginning of a line, or at the text's end."""

_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_OPEN = re.compile(r"[ \t]*<([^\W\d][\w.:-]{0,60})(?: [^<>\n]{0,200})?>[ \t]*$")
_CLOSE = re.compile(r"[ \t]*</([^\W\d][\w.:-]{0,60})>[ \t]*$")
_HEADING = re.compile(r"[ \t]{0,3}(?:#{1,6}[ \t]|\*\*[^*\n]{1,120}\*\*:?[ \t]*$)")
TOO_LARGE = 0.5
"""The share of its text from which on a tagged block is the prompt itself, and not a part that can be moved."""


def widened(text: str, units: Iterable[Range]) -> list[Range]:
    """Units of a text, each with the block that it cannot leave and the heading that would be left without a text.

    In order and apart: units with nothing but white space between them are one.
    """
    whole = list(blocks(text))
    # A heading may belong to one unit alone, or to several that fill its section together.
    alone = merged(text, (_with_headings(text, _held(unit, whole)) for unit in units))
    lines = merged(text, (_whole_lines(text, unit) for unit in alone))
    return merged(text, (_with_headings(text, unit) for unit in lines))


def merged(text: str, units: Iterable[Range]) -> list[Range]:
    """Units in order; those that overlap or have nothing but white space between them are one."""
    found: list[Range] = []
    for start, end in sorted(units):
        if found and (start <= found[-1][1] or not text[found[-1][1] : start].strip()):
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def blocks(text: str) -> Iterator[Range]:
    """Fences, tables and tagged blocks; inner ones before those around them."""
    fence: tuple[str, int] | None = None
    tags: list[tuple[str, int]] = []
    table: int | None = None
    for start, end, line in _lines(text):
        mark = _FENCE.match(line)
        if fence is not None:
            if mark and mark[1].startswith(fence[0]) and not line[mark.end() :].strip():
                yield fence[1], end
                fence = None
            continue
        is_row = line.lstrip().startswith("|")
        if table is not None and not is_row:
            yield table, start
            table = None
        if mark:
            fence = (mark[1], start)
        elif is_row:
            table = start if table is None else table
        else:
            yield from _tagged(line, start, end, tags, len(text))
    if table is not None:
        yield table, len(text)


def _tagged(line: str, start: int, end: int, tags: list[tuple[str, int]], length: int) -> Iterator[Range]:
    """Follows the tags that have a line of their own. One that is never closed encloses nothing."""
    opened, closed = _OPEN.match(line), _CLOSE.match(line)
    if opened:
        tags.append((opened[1], start))
    elif closed and closed[1] in (name for name, _ in tags):
        while tags[-1][0] != closed[1]:
            tags.pop()
        _, began = tags.pop()
        if end - began < TOO_LARGE * length:
            yield began, end


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end with the line feed, the line without it)."""
    start = 0
    while start < len(text):
        feed = text.find("\n", start)
        end = len(text) if feed < 0 else feed + 1
        yield start, end, text[start : end if feed < 0 else feed]
        start = end


def _held(unit: Range, whole: list[Range]) -> Range:
    """The unit, or the innermost block around its beginning."""
    around = next((block for block in whole if block[0] <= unit[0] < block[1]), None)
    return unit if around is None else (around[0], max(around[1], unit[1]))


def _whole_lines(text: str, unit: Range) -> Range:
    """With the line feed, and the sign of a list's point, where sentences together are all that a line has."""
    start, end = unit
    line_start, feed = text.rfind("\n", 0, start) + 1, text.find("\n", max(end - 1, start))
    line_end = len(text) if feed < 0 else feed + 1
    if text[line_start:start].strip(BULLETS) or text[end:line_end].strip():
        return unit
    return line_start, max(line_end, end)


def _with_headings(text: str, unit: Range) -> Range:
    start, end = unit
    while (above := _heading_above(text, start)) is not None and _section_over(text, text[above:start], end):
        start = above
    return start, end


def _heading_above(text: str, start: int) -> int | None:
    """Where the line that stands over `start` begins, if it is a heading; blank lines between do not count."""
    if start and text[start - 1] != "\n":
        return None
    head = text[:start].rstrip()
    above = head.rfind("\n") + 1
    line = head[above:]
    return above if line and _is_heading(line) else None


def _is_heading(line: str) -> bool:
    return bool(_HEADING.match(line)) or line.rstrip().endswith((":", "："))


def _section_over(text: str, heading: str, end: int) -> bool:
    """Whether nothing else stands below the heading: up to the next one, and below “Caller:” up to a blank line."""
    if end < len(text) and text[end - 1] != "\n":
        return False
    marked = bool(_HEADING.match(heading))
    for _, _, line in _lines(text[end:]):
        if not line.strip():
            if not marked:
                return True
        else:
            return _is_heading(line)
    return True

"""Parts of a text that can be moved: sentences and lines in any script, fences, tables, lists, JSON, sections."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import pairwise

from playground.prefix_cache.moments import any_of, months
from playground.prompt.document import places

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


Range = tuple[int, int]
"""Code points [from, to) of a text; both at the beginning of a line, or at the text's end."""

_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_OPEN = re.compile(r"[ \t]*<([^\W\d][\w.:-]{0,60})(?: [^<>\n]{0,200})?>[ \t]*$")
_CLOSE = re.compile(r"[ \t]*</([^\W\d][\w.:-]{0,60})>[ \t]*$")
_HEADING = re.compile(r"[ \t]{0,3}(?:#{1,6}[ \t]|\*\*[^*\n]{1,120}\*\*:?[ \t]*$)")
TOO_LARGE = 0.5
"""The share of its text from which on a block is the prompt itself: a tagged block is opened, others do not move."""
_ITEM = re.compile(r"[ \t]*(?:(?P<number>\d{1,3}|[a-z]|[ivx]{1,5})[.)]|\(\w{1,3}\)|(?P<bullet>[-*•–+]))[ \t]+\S")
_STEP = re.compile(
    r"[ \t]*(?:step|schritt|étape|paso|passo|चरण|கட்டம்|ধাপ|步骤|ステップ)\s*\d{1,3}\s*[:.)：]", re.IGNORECASE
)
_SPEAKER = re.compile(
    r"[ \t]*(?:\*\*|[-*>] )?(?P<who>user|assistant|agent|caller|customer|client|human|ai|bot|model|system"
    r"|q|a|question|answer|input|output|kunde|anrufer|agentin|utilisateur|appelant|cliente|agente|usuario|asistente|klient|müşteri"
    r"|उपयोगकर्ता|ग्राहक|सहायक|एजेंट|प्रश्न|उत्तर|বাদী|গ্রাহক|এজেন্ট|வாடிக்கையாளர்|முகவர்|కస్టమర్|ఏజెంట్|عميل|العميل|الوكيل"
    r"|客户|用户|助手|客服"
    r"|お客様|担当|고객|상담원|问|答)(?:[ \t]?\d{1,3})?(?:\*\*)?[ \t]?[:：]",
    re.IGNORECASE,
)
_JSON_OPEN = re.compile(r"[ \t]*(?:[\w \"'-]{0,40}[:=][ \t]*)?[{\[][ \t]*$|[ \t]*[{\[](?=[ \t]*[\"'{\[])")
_MAX_JSON = 200_000


def widened(text: str, units: Iterable[Range]) -> list[Range]:
    """Units of a text, each with the block that it cannot leave and the heading that would be left without a text.

    In order and apart: units with nothing but white space between them are one.
    """
    whole, firm = _all_blocks(text)
    held = [placed for unit in units if (placed := _firmly_held(text, _held(unit, whole), firm)) is not None]
    # A heading may belong to one unit alone, or to several that fill its section together.
    alone = merged(text, (_with_headings(text, unit) for unit in held))
    lines = merged(text, (_whole_lines(text, unit) for unit in alone))
    return merged(text, (_with_headings(text, unit) for unit in lines))


@lru_cache(maxsize=16)
def _all_blocks(text: str) -> tuple[list[Range], list[Range]]:
    """Return the blocks and the firm blocks of a text; a rewrite asks for those of the same few texts ten times."""
    return list(blocks(text)), list(firm_blocks(text))


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


def firm_blocks(text: str) -> Iterator[Range]:
    """Yield lists, numbered steps, JSON values and dialogues: they move as a whole or not at all."""
    lines = list(_lines(text))
    yield from _json_values(text, lines)
    at = 0
    while at < len(lines):
        end = max(_list_end(lines, at), _dialogue_end(lines, at))
        if end > at + 1:
            yield lines[at][0], lines[end - 1][1]
        at = max(end, at + 1)


_Line = tuple[int, int, str]


def _list_end(lines: list[_Line], at: int) -> int:
    """Return the line behind a list of two or more items that begins at line `at`; `at` if there is none."""
    first = _item_kind(lines[at][2])
    if first is None:
        return at
    indent = len(lines[at][2]) - len(lines[at][2].lstrip())
    items, end, blank = 1, at + 1, False
    for number in range(at + 1, len(lines)):
        line = lines[number][2]
        if not line.strip():
            if blank:
                break
            blank = True
            continue
        depth = len(line) - len(line.lstrip())
        same = _item_kind(line) == first and depth <= indent + 1
        # An indented line continues its item; a line at the margin ends the list.
        if not same and depth <= indent:
            break
        items += same
        end, blank = number + 1, False
    return end if items > 1 else at


def _item_kind(line: str) -> str | None:
    if _STEP.match(line):
        return "step"
    item = _ITEM.match(line)
    if item is None:
        return None
    return item["bullet"] or "number"


def _dialogue_end(lines: list[_Line], at: int) -> int:
    """Return the line behind turns of two speakers that begin at line `at`; `at` if there are none."""
    if not _SPEAKER.match(lines[at][2]):
        return at
    speakers: list[str] = []
    end, blank = at, False
    for number in range(at, len(lines)):
        line = lines[number][2]
        turn = _SPEAKER.match(line)
        if turn:
            speakers.append(turn["who"].lower())
        elif not line.strip():
            if blank:
                break
            blank = True
            continue
        elif blank:
            break
        end, blank = number + 1, False
    alternating = all(left != right for left, right in pairwise(speakers))
    return end if len(set(speakers)) > 1 and (alternating or len(speakers) > 3) else at


def _json_values(text: str, lines: list[_Line]) -> Iterator[Range]:
    """Yield whole lines around objects and arrays that begin on a line and close on the same or a later one."""
    last = 0
    for start, _, line in lines:
        opened = _JSON_OPEN.match(line) if start >= last else None
        if opened:
            first = start + min(at for at in (line.find("{"), line.find("[")) if at >= 0)
            closed = _closing(text, first)
            if closed is not None and "\n" in text[first:closed]:
                feed = text.find("\n", closed)
                last = len(text) if feed < 0 else feed + 1
                yield start, last


_JSON_SIGNS = re.compile(r'\{\{|\}\}|"(?:[^"\\\n]|\\.)*"|[{}\[\]]')


def _closing(text: str, start: int) -> int | None:
    """Return the offset behind the bracket that closes the one at `start`; variables {{name}} are no brackets."""
    depth, variables = 0, [(place.start, place.end) for place in places(text)]
    for sign in _JSON_SIGNS.finditer(text, start, start + _MAX_JSON):
        if sign.group() in "{}[]" and not any(a <= sign.start() < b for a, b in variables):
            depth += 1 if sign.group() in "{[" else -1
        elif sign.group() in ("{{", "}}") and not any(a <= sign.start() < b for a, b in variables):
            depth += 2 if sign.group() == "{{" else -2
        if depth <= 0:
            return sign.end() if depth == 0 else None
    return None


def _firmly_held(text: str, unit: Range, firm: list[Range]) -> Range | None:
    """Return the unit with the firm blocks that it touches; None if that is the prompt itself, which does not move."""
    start, end = unit
    found = False
    for first, last in firm:
        if first < end and start < last:
            start, end, found = min(start, first), max(end, last), True
    return None if found and end - start > max(TOO_LARGE * len(text), unit[1] - unit[0]) else (start, end)


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
    """Return the unit, or the innermost block around its beginning."""
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
    """Return the start of the heading line above `start`, ignoring blank lines; None if that line is no heading."""
    if start and text[start - 1] != "\n":
        return None
    head = text[:start].rstrip()
    above = head.rfind("\n") + 1
    line = head[above:]
    return above if line and _is_heading(line) else None


def _is_heading(line: str) -> bool:
    return bool(_HEADING.match(line)) or line.rstrip().endswith((":", "："))


def _section_over(text: str, heading: str, end: int) -> bool:
    """Return whether the heading has no other text, up to the next one or (“Caller:”) to a blank line."""
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

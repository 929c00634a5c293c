"""Align many versions of one text and find the ranges that differ between them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, chain

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.moved_text import MovedText, moved_text
from playground.prefix_cache.text_compare import common_prefix, once
from playground.prefix_cache.value_kinds import REACH, kind_of, typed_values
from playground.prompt.diff import increasing

LONG_UNIT = 240
"""Code points from which a line is cut into sentences."""
MAX_SAMPLES = 24
"""Distinct versions of a region that are compared word by word."""
MAX_TYPED = 600
"""Code points of a region in which dates, times and numbers are searched, to complete a value that differs in part."""
_MIN_PARAGRAPH, _MAX_RANGES = 80, 3
"""A region of so many code points, with more ranges than this and little in common, is one replaced paragraph."""
_SENTENCES = re.compile(r".+?(?:[.!?…](?=\s)\s*|[。！？।]\s*|\Z)", re.DOTALL)
_MARKS = "\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e00-\u0e7f"
_HAN, _KANA = "\u3400-\u9fff\uf900-\ufaff", "\u3040-\u30ff"
_TOKENS = re.compile(rf"\d+|[{_HAN}]|[{_KANA}]+|(?:[^\W\d_{_HAN}{_KANA}]|(?!\d)[{_MARKS}])+|\s+|.", re.DOTALL)


class VaryingRange(Struct, frozen=True):
    """A range that differs between texts.

    `start`, `end`: code points in the first text. `values[i]`, `heads[i]`: its text and the rest of the line in front,
    in sampled version i. `versions[n]`: which version text n has. `exact`: `values` holds every version, so `versions`
    are indexes of `values`. `reordered`: all versions have the same words in another order; `known`: the share of the
    range that these are.
    """

    start: int
    end: int
    values: tuple[str, ...]
    heads: tuple[str, ...]
    versions: tuple[int, ...]
    exact: bool
    reordered: bool = False
    known: float = 1.0


def varying_ranges(texts: Sequence[str]) -> list[VaryingRange]:
    """Return the ranges that differ between versions of a text, in order. Time is linear in the total length."""
    version_of: dict[str, int] = {}
    for text in texts:
        version_of.setdefault(text, len(version_of))
    if len(version_of) < 2:
        return []
    distinct = list(version_of)
    head = distinct[0].rfind("\n", 0, common_prefix(min(distinct), max(distinct))) + 1  # whole lines
    numbers = [version_of[text] for text in texts]
    if head:
        distinct = [text[head:] for text in distinct]
    found = _ranges(distinct, numbers)
    return [replace(one, start=one.start + head, end=one.end + head) for one in found]


def _ranges(distinct: Sequence[str], numbers: Sequence[int]) -> list[VaryingRange]:
    """Return the ranges that differ between versions; `numbers`: which version each text has."""
    if (moved := moved_text(distinct)) is not None:
        begins, ends = ([bounds[at] for bounds in moved.bounds] for at in (0, 1))
        front = _ranges([text[:begin] for text, begin in zip(distinct, begins, strict=True)], numbers)
        paragraphs = _in_region(distinct, begins, ends, numbers, moved)
        behind = _ranges([text[end:] for text, end in zip(distinct, ends, strict=True)], numbers)
        return [
            *front,
            *paragraphs,
            *(replace(one, start=one.start + ends[0], end=one.end + ends[0]) for one in behind),
        ]
    rows = [_units(text) for text in distinct]
    starts = [_starts(row) for row in rows]
    found: list[VaryingRange] = []
    for region in _regions(rows):
        for part in _by_position(rows, region):
            found += _in_units(distinct, starts, part, numbers)
    return found


def _in_units(
    texts: Sequence[str], starts: Sequence[Sequence[int]], region: _Region, numbers: Sequence[int]
) -> list[VaryingRange]:
    begins = [start[begin] for start, (begin, _) in zip(starts, region, strict=True)]
    ends = [start[end] for start, (_, end) in zip(starts, region, strict=True)]
    return _in_region(texts, begins, ends, numbers)


def _by_position(rows: Sequence[Sequence[str]], region: _Region) -> list[_Region]:
    """Return the units of a region one by one, if each is a variant of its neighbours in all rows; else the region."""
    count = region[0][1] - region[0][0]
    if count < 2 or any(end - begin != count for begin, end in region):
        return [region]
    parts = [[(begin + at, begin + at + 1) for begin, _ in region] for at in range(count)]
    columns = [list(dict.fromkeys(row[begin] for row, (begin, _) in zip(rows, part, strict=True))) for part in parts]
    variants = all(len(column) == 1 or _are_variants(column[:MAX_SAMPLES]) for column in columns)
    return parts if variants else [region]


def _are_variants(units: Sequence[str]) -> bool:
    rows = [_TOKENS.findall(unit) for unit in units]
    head, tail = _shared_ends(rows)
    shared = [*rows[0][:head], *rows[0][len(rows[0]) - tail :]]
    # Most lines of a list begin with the same punctuation.
    words = any(token.isalnum() for token in shared)
    return (words and sum(map(len, shared)) >= _SAME_LINE * len(units[0])) or _reordered(rows)


_SAME_LINE = 0.3
"""Share of a line that all its versions begin or end with."""


def _units(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if max(map(len, lines), default=0) <= LONG_UNIT:
        return lines
    units: list[str] = []
    for line in lines:
        units += [line] if len(line) <= LONG_UNIT else _SENTENCES.findall(line)
    return units


def _starts(row: Sequence[str]) -> list[int]:
    return list(accumulate(map(len, row), initial=0))


_Region = list[tuple[int, int]]
"""Units [from, to) of each row."""


def _regions(rows: Sequence[Sequence[str]]) -> list[_Region]:
    """Return the units between those that all rows have in common, and common ones that differ in white space."""
    normal = {unit: "".join(unit.split()).rstrip(",") for unit in set().union(*rows)}
    respaced = len(set(normal.values())) < len(normal)
    regions: list[_Region] = []
    last = (0,) * len(rows)
    ends = tuple(map(len, rows))
    keys = [[normal[unit] for unit in row] for row in rows]
    for at in [*_anchors(keys), ends]:
        if last != at:
            regions.append(list(zip(last, at, strict=True)))
        if respaced and at is not ends and len({row[position] for row, position in zip(rows, at, strict=True)}) > 1:
            regions.append([(position, position + 1) for position in at])
        last = tuple([position + 1 for position in at])
    return _rejoined(regions, keys)


def _rejoined(regions: list[_Region], keys: Sequence[Sequence[str]]) -> list[_Region]:
    """Join neighbouring regions, with the units between, that only together have the same units in every row.

    Of lines in another order some keep their order by chance; they are no anchors inside a paragraph.
    """
    joined: list[_Region] = []
    at = 0
    while at < len(regions):
        end = _paragraph_end(regions, at, keys)
        joined.append([(first, last) for (first, _), (_, last) in zip(regions[at], regions[end], strict=True)])
        at = end + 1
    return joined


def _paragraph_end(regions: Sequence[_Region], at: int, keys: Sequence[Sequence[str]]) -> int:
    """Return the last region of a paragraph in several orders that begins at region `at`; `at` without one.

    A few of its units may differ too, such as the time in a list of keys.
    """
    ends = range(at, min(at + _MAX_JOINED, len(regions)))
    exact = (end for end in ends if _permuted(regions, at, end, keys, 1.0))
    # Text that differs in front of a paragraph is no part of it.
    changed = (
        end
        for end in ends
        if _permuted(regions, at, end, keys, _SAME_UNITS)
        and not (end > at and _permuted(regions, at + 1, end, keys, _SAME_UNITS))
    )
    return next(chain(exact, changed), at)


def _permuted(regions: Sequence[_Region], at: int, end: int, keys: Sequence[Sequence[str]], share: float) -> bool:
    """Whether a share of three or more units, from region `at` to region `end`, is in several orders in the rows."""
    bounds = [(first, last) for (first, _), (_, last) in zip(regions[at], regions[end], strict=True)]
    count = bounds[0][1] - bounds[0][0]
    if not 3 <= count <= _MAX_PERMUTED or any(last - first != count for first, last in bounds):
        return False
    rows = [row[first:last] for row, (first, last) in zip(keys, bounds, strict=True)]
    common = set(rows[0]).intersection(*rows[1:])
    moved = {tuple(filter(common.__contains__, row)) for row in rows}
    same = {tuple(sorted(row)) for row in moved}
    return len(moved) > 1 and len(same) == 1 and len(same.pop()) >= share * count


_MAX_JOINED, _MAX_PERMUTED = 8, 200
"""Regions and units that are searched for one reordered paragraph."""
_SAME_UNITS = 0.8
"""Share of the units of such a paragraph that all rows have."""


def _anchors(rows: Sequence[Sequence[str]]) -> list[tuple[int, ...]]:
    """Return the positions of each key that every row has exactly once, where all rows have them in one order."""
    positions = [once(row) for row in rows]
    shared = set(positions[0]).intersection(*positions[1:])
    common = [key for key in positions[0] if key and key in shared]
    for row in positions[1:]:
        order = [row[key] for key in common]
        if order != sorted(order):
            common = [common[index] for index in increasing(order)]
    return list(zip(*([row[key] for key in common] for row in positions), strict=True))


def _in_region(
    texts: Sequence[str],
    begins: Sequence[int],
    ends: Sequence[int],
    numbers: Sequence[int],
    moved: MovedText | None = None,
) -> list[VaryingRange]:
    version_of: dict[str, int] = {}
    of_text = []
    sample: list[tuple[str, int]] = []
    for text, begin, end in zip(texts, begins, ends, strict=True):
        region = text[begin:end]
        if region not in version_of:
            version_of[region] = len(version_of)
            if len(sample) < MAX_SAMPLES:
                sample.append((region, begin))
        of_text.append(version_of[region])
    if len(version_of) < 2:
        return []
    heads = [text[text.rfind("\n", 0, begin) + 1 : begin] for text, begin in _texts_of(texts, begins, sample, ends)]
    versions = tuple(of_text[number] for number in numbers)
    exact = len(version_of) == len(sample)
    return [
        VaryingRange(
            begins[0] + spans[0][0],
            begins[0] + spans[0][1],
            tuple(region[a:b] for (region, _), (a, b) in zip(sample, spans, strict=True)),
            tuple(
                (head + region[:a]).rsplit("\n", 1)[-1]
                for head, (region, _), (a, _) in zip(heads, sample, spans, strict=True)
            ),
            versions,
            exact,
            reordered,
            moved.known if moved else 1.0,
        )
        for spans, reordered in _spans([region for region, _ in sample], whole=moved is not None)
    ]


def _texts_of(
    texts: Sequence[str], begins: Sequence[int], sample: Sequence[tuple[str, int]], ends: Sequence[int]
) -> list[tuple[str, int]]:
    """Return the text and offset that each sampled region was first seen at."""
    first: dict[str, tuple[str, int]] = {}
    wanted = {region for region, _ in sample}
    for text, begin, end in zip(texts, begins, ends, strict=True):
        region = text[begin:end]
        if region in wanted and region not in first:
            first[region] = (text, begin)
            if len(first) == len(wanted):
                break
    return [first[region] for region, _ in sample]


_Spans = list[tuple[int, int]]
"""Code points of one range in each version of a region."""


def _spans(regions: Sequence[str], *, whole: bool) -> list[tuple[_Spans, bool]]:
    """Return the ranges that differ inside a region, and whether each is only a change of order.

    `whole`: the region is one in any case.
    """
    if whole:
        return [([(0, len(region)) for region in regions], True)]
    rows = [_TOKENS.findall(region) for region in regions]
    head, tail = _shared_ends(rows)
    starts = [_starts(row) for row in rows]
    middle = [(start[head], start[len(row) - tail]) for start, row in zip(starts, rows, strict=True)]
    middles = [row[head : len(row) - tail] for row in rows]
    if _reordered(middles):
        return [(middle, True)]
    if len({"".join(region.split()) for region in regions}) == 1:
        return [(middle, False)]
    found = [
        [(start[head + a], start[head + b]) for start, (a, b) in zip(starts, gap, strict=True)]
        for gap in _gaps(middles)
    ]
    if _is_paragraph(regions, middle, found):
        return [(middle, False)]
    return [(spans, False) for spans in _completed(regions, found)]


def _shared_ends(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    shortest = min(len(row) for row in rows)
    first = rows[0]
    head = 0
    while head < shortest and all(row[head] == first[head] for row in rows):
        head += 1
    tail = 0
    while tail < shortest - head and all(row[-1 - tail] == first[-1 - tail] for row in rows):
        tail += 1
    return head, tail


_MIN_REORDERED = 4


def _reordered(rows: Sequence[Sequence[str]]) -> bool:
    """Whether all have the same words, not in the same order."""
    words = [[token for token in row if token.isalnum()] for row in rows]
    if len(words[0]) < _MIN_REORDERED or any(len(row) != len(words[0]) for row in words):
        return False
    return all(row != words[0] for row in words[1:]) and len({frozenset(Counter(row).items()) for row in words}) == 1


def _gaps(rows: Sequence[Sequence[str]]) -> list[list[tuple[int, int]]]:
    """Return tokens [from, to) of each row between words that all have once, in one order."""
    keyed = [[token if token[0].isalpha() else "" for token in row] for row in rows]
    found = []
    last = [0] * len(rows)
    for at in [*_anchors(keyed), tuple(len(row) for row in rows)]:
        pieces = [row[begin:end] for row, begin, end in zip(rows, last, at, strict=True)]
        if any(piece != pieces[0] for piece in pieces):
            head, tail = _shared_ends(pieces)
            found.append([(begin + head, end - tail) for begin, end in zip(last, at, strict=True)])
        last = [position + 1 for position in at]
    return found


def _is_paragraph(regions: Sequence[str], whole: _Spans, found: Sequence[_Spans]) -> bool:
    """Whether a region is replaced as a whole: it is long, and what its versions have in common are single words."""
    length = max(end - start for start, end in whole)
    if length < _MIN_PARAGRAPH:
        return False
    if any("\n" in region[start:end].strip("\n") for region, (start, end) in zip(regions, whole, strict=True)):
        return len(found) > 1
    varied = max(sum(b - a for a, b in spans) for spans in zip(*found, strict=True))
    return len(found) > _MAX_RANGES and varied > length / 3


def _completed(regions: Sequence[str], found: Sequence[_Spans]) -> list[_Spans]:
    """Widen each range to the dates, times and numbers that it is a part of, and join those that then touch."""
    typed = [typed_values(region) if len(region) <= MAX_TYPED else None for region in regions]
    joined: list[_Spans] = []
    for spans in found:
        wide = [
            _widened(span, _typed_near(region, span) if values is None else values)
            for region, span, values in zip(regions, spans, typed, strict=True)
        ]
        if joined and _touch(regions, joined[-1], wide):
            wide = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(joined.pop(), wide, strict=True)]
        joined.append(wide)
    return joined


def _typed_near(region: str, span: tuple[int, int]) -> list[tuple[int, int]]:
    """Return typed values around a short range of a long region."""
    if span[1] - span[0] > REACH:
        return []
    start = max(span[0] - REACH, 0)
    return [(start + first, start + last) for first, last in typed_values(region[start : span[1] + REACH])]


def _widened(span: tuple[int, int], values: Sequence[tuple[int, int]]) -> tuple[int, int]:
    start, end = span
    for first, last in values:
        if first < end and start < last:
            start, end = min(start, first), max(end, last)
    return start, end


_JOINT = re.compile(r"[\s,.:;/'’_-]{0,2}")


def _touch(regions: Sequence[str], left: _Spans, right: _Spans) -> bool:
    """Whether two ranges overlap, or have nothing but a separator between them, in most versions."""
    votes = sum(
        a[1] >= b[0] or bool(_JOINT.fullmatch(region[a[1] : b[0]]))
        for region, a, b in zip(regions, left, right, strict=True)
    )
    return 2 * votes >= len(regions) and (
        any(a[1] >= b[0] for a, b in zip(left, right, strict=True))
        or _is_moment(regions, left) == _is_moment(regions, right)
    )


def _is_moment(regions: Sequence[str], spans: _Spans) -> bool:
    """Whether a range is a date or a time: an identifier next to it is another value."""
    first, second, *_ = (region[start:end] for region, (start, end) in zip(regions, spans, strict=True))
    return kind_of(first, second) in ("date", "time")

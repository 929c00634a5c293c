"""The heads (tools and leading messages) of the requests of a program: which earlier one is most alike, and which of
their spans are one finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.prefix_cache.varying_spans import HeadItem, SpanKind, VaryingSpan, numbered

_HEADS = 24
"""Newest heads that are compared at the beginning of a conversation."""
_TOGETHER = 3
"""Spans of one kind that always change together, or are states in prose, from which on they are one finding."""
_STATES: tuple[SpanKind, ...] = ("text", "name", "number", "counter", "retrieved_text", "whitespace", "identifier")
"""Kinds of values that can be the state of an entry of a list."""
_ORDERS: tuple[SpanKind, ...] = ("whitespace", "reordered_keys", "reordered_text")
"""Kinds of changes that are no values."""
_MOMENTS: tuple[SpanKind, ...] = ("date", "time")
_NEAR = 160
"""Code points between two states of one list."""
_NEWEST = 8
"""Newest spans of a list with which another one is compared."""
_PROSE = ({""}, {"key"}, {"", "key"})
"""Beginnings of rows that may be no entries of a list."""
FAMILIES: Mapping[SpanKind, str] = {**dict.fromkeys(_STATES, "state"), **dict.fromkeys(_MOMENTS, "moment")}


class Heads:
    """The heads of earlier requests, as versions of their spans."""

    def __init__(self, items: Sequence[HeadItem], requests: int) -> None:
        self._items = items
        varying = [(at, item.versions) for at, item in enumerate(items) if item.span is not None]
        self._places = [at for at, _ in varying]
        self.rows: list[tuple[int, ...]] = (
            list(zip(*(versions for _, versions in varying), strict=True)) or [()] * requests
        )
        """The versions of each request."""
        self._count = len(items)
        self._tree: dict[int, Any] = {}
        self._newest: dict[tuple[int, ...], int] = {}

    def add(self, number: int) -> None:
        node: dict[int, Any] = self._tree
        row = self.rows[number]
        for version in row:
            node = node.setdefault(version, {})
        self._newest.pop(row, None)
        self._newest[row] = number

    def served(self, number: int) -> int:
        """Return the first item at which no earlier request is the same; the number of items if one is in all."""
        node: dict[int, Any] = self._tree
        for at, version in zip(self._places, self.rows[number], strict=True):
            if version not in node:
                return at
            node = node[version]
        return self._count

    def tokens_served(self, number: int) -> float:
        """Return the ≈ tokens in front of that item."""
        served = self.served(number)
        tokens = 0.0
        for at, item in enumerate(self._items[: served + 1]):
            size = max(item.sizes[number], 0.0) if item.sizes else 0.0
            if at < served:
                tokens += item.tokens + size
            elif item.shares:
                tokens += item.shares[number] * size
        return tokens

    def nearest(self, number: int) -> int | None:
        """Return the earlier request whose head is most alike, the newest of equals."""
        row = self.rows[number]
        rows = list(self._newest.items())[-_HEADS:]
        best, most = None, -1
        for other, request in reversed(rows):
            equal = sum(map(int.__eq__, row, other))
            if equal > most:
                best, most = request, equal
        return best


def merged_items(items: Sequence[HeadItem]) -> dict[int, int]:
    """Return for each item with a span the first one of its finding.

    The same value in several places is one finding, and so are several spans of one kind that always change together
    and back, and those that change only with them: they follow from one value, such as the tenant of a white-label
    program. So are values in one line that always change together, such as a time and a counter. Reordered keys of all
    tools are one finding, and so are those of a message: the same code serializes them. So are the states of a list in
    a message, such as the tasks of a plan, which change one after the other, and the entries that it loses.
    """
    found: dict[int, int] = {}
    by_value: dict[object, int] = {}
    by_line: dict[object, int] = {}
    together: dict[object, list[int]] = {}
    for at, item in enumerate(items):
        if item.span is None:
            continue
        versions = numbered(item.versions)
        samples = tuple(" ".join(sample.casefold().split()) for sample in item.span.samples)
        value: object = (item.span.part, versions, samples)
        if item.span.kind == "reordered_keys":
            value = "tools" if item.span.part == "tool" else item.span.index
        in_line = item.span.part == "message" and item.span.kind not in _ORDERS
        first = by_line.setdefault((item.span.index, item.line, versions) if in_line else at, at)
        found[at] = by_value.setdefault(value, found.get(first, at))
        if found[at] == at and 2 * len(set(versions)) <= len(versions):
            together.setdefault((*_kind(item.span), versions), []).append(at)
    leaders = sorted((group for group in together.values() if len(group) >= _TOGETHER), key=len, reverse=True)
    for at, item in enumerate(items):
        if item.span is None or found[at] != at:
            continue
        for group in leaders:
            leader = items[group[0]]
            if group[0] != at and leader.span and _kind(leader.span) == _kind(item.span) and _follows(item, leader):
                found.update((other, group[0]) for other, first in list(found.items()) if first == at)
                break
    for group in _lists_of_states(items):
        joined = {found[at] for at in group}
        found.update((at, group[0]) for at, leader in list(found.items()) if leader in joined)
    return _first_places(found)


def _lists_of_states(items: Sequence[HeadItem]) -> list[list[int]]:
    """Return the items of each list of states: spans in neighbouring rows of a message or tool.

    In prose and rows of keys these are three values or more of one family; in other rows that begin alike two of one
    family tell that the rows are entries of one list. A span of several rows counts as so many values.
    """
    lists: list[list[int]] = []
    for at, item in enumerate(items):
        kind = item.span.kind if item.span is not None else None
        if kind in FAMILIES or kind == "reordered_text":
            near = (row for row in reversed(lists) if any(_in_one_list(items[one], item) for one in row[-_NEWEST:]))
            if (row := next(near, None)) is not None:
                row.append(at)
            else:
                lists.append([at])
    found: list[list[int]] = []
    for members in lists:
        by_family: dict[str, list[int]] = {}
        for at in members:
            by_family.setdefault(_family(items[at]), []).append(at)
        if "" in by_family:
            found.append(members)
        elif {items[at].row[1] for at in members} in _PROSE:
            found += [row for row in by_family.values() if _values(items, row) >= _TOGETHER]
        elif any(_values(items, row) > 1 for row in by_family.values()):
            found.append(members)
    return found


def _in_one_list(before: HeadItem, item: HeadItem) -> bool:
    """Whether two spans are in rows that begin alike, or near each other with a state that both have.

    Entries that come and go have no text as a state, and white space around them.
    """
    left, right = before.span, item.span
    if left is None or right is None or (left.part, left.index) != (right.part, right.index):
        return False
    near = right.start - left.end <= _NEAR
    kinds = {left.kind, right.kind}
    if "whitespace" in kinds and near:
        return any("\n" in sample for one in (left, right) if one.kind == "whitespace" for sample in one.samples)
    if "reordered_text" in kinds:
        return False
    if before.row == item.row and (near or item.row[1]):
        return True
    return (near or before.row[0] == item.row[0]) and bool(_states(left) & _states(right))


def _states(span: VaryingSpan) -> set[str]:
    return {row.strip().casefold() for sample in span.samples for row in sample.strip().splitlines() or [""]}


def _values(items: Sequence[HeadItem], row: Sequence[int]) -> int:
    """Return the number of values of spans: the rows of the longest sample of each."""
    spans = [span for at in row if (span := items[at].span)]
    return sum(max((len(sample.splitlines()) for sample in span.samples), default=1) or 1 for span in spans)


def _family(item: HeadItem) -> str:
    return FAMILIES.get(item.span.kind, "") if item.span else ""


def _kind(span: VaryingSpan) -> tuple[str, str]:
    return span.part, "number" if span.kind == "counter" else span.kind


def _follows(item: HeadItem, leader: HeadItem) -> bool:
    """Whether the value of a span is known if that of another one is."""
    pairs = set(zip(leader.versions, item.versions, strict=True))
    return len(pairs) == len(set(leader.versions))


def _first_places(found: Mapping[int, int]) -> dict[int, int]:
    """Return groups named by their first member."""
    first: dict[int, int] = {}
    for at in sorted(found):
        first.setdefault(found[at], at)
    return {at: first[group] for at, group in found.items()}

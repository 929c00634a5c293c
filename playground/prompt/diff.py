"""Differences of two documents: which lines of which part were removed and added."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

from msgspec import Struct

from playground.prompt.document import Document, Message

Sign = Literal["head", "same", "gone", "come", "skipped"]
"""The name of a part; an unchanged, removed or added line; unchanged lines that are not displayed."""
AROUND = 2
"""Number of unchanged lines displayed before and after a change."""
MOST_STEPS = 100_000
"""Steps (pairs of equal items, times the items of the shorter part) up to which difflib compares two parts."""

Opcode = tuple[Literal["equal", "replace"], int, int, int, int]
"""Items [a, b) of the old sequence correspond to [c, d) of the new one."""


def opcodes(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[Opcode]:
    """Yield the difference of two sequences; all items of both are covered, in order.

    Unlike difflib, it takes less than quadratic time: what many equal items make expensive is divided at items that
    occur once in both; a part without such items is replaced whole.
    """
    first = common_items(old, new)
    last = common_items(old[first:][::-1], new[first:][::-1])
    if first:
        yield "equal", 0, first, 0, first
    yield from _between(old, new, first, len(old) - last, first, len(new) - last)
    if last:
        yield "equal", len(old) - last, len(old), len(new) - last, len(new)


def common_items(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Return the number of leading items that two sequences share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _between(old: Sequence[Hashable], new: Sequence[Hashable], a: int, b: int, c: int, d: int) -> Iterator[Opcode]:
    """Yield the difference of old[a:b] and new[c:d], which differ at both ends."""
    before, after = Counter(old[a:b]), Counter(new[c:d])
    pairs = sum(count * after[item] for item, count in before.items())
    if not pairs:
        if a < b or c < d:
            yield "replace", a, b, c, d
        return
    if pairs * min(b - a, d - c) <= MOST_STEPS:
        for tag, i, j, k, m in SequenceMatcher(None, old[a:b], new[c:d], autojunk=False).get_opcodes():
            yield "equal" if tag == "equal" else "replace", a + i, a + j, c + k, c + m
        return
    anchors = _anchors(old, new, a, b, c, d, before, after)
    if not anchors:
        yield "replace", a, b, c, d
        return
    for i, k in (*anchors, (b, d)):
        if i < a or k < c:
            continue  # inside the equal items after the anchor before
        yield from _between(old, new, a, i, c, k)
        a, c = i, k
        while a < b and c < d and old[a] == new[c]:
            a, c = a + 1, c + 1
        if a > i:
            yield "equal", i, a, k, c


def _anchors(
    old: Sequence[Hashable],
    new: Sequence[Hashable],
    a: int,
    b: int,
    c: int,
    d: int,
    before: Counter[Hashable],
    after: Counter[Hashable],
) -> list[tuple[int, int]]:
    """Return the positions of items that occur once in both parts, the longest sequence that rises in both."""
    places = {item: at for at, item in enumerate(new[c:d], c) if after[item] == 1}
    unique = [(at, places[item]) for at, item in enumerate(old[a:b], a) if before[item] == 1 and item in places]
    return [unique[index] for index in increasing([at for _, at in unique])]


def increasing(values: Sequence[int]) -> list[int]:
    """Return the indexes of a longest increasing subsequence."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        at = bisect_left(tails, value)
        tails[at : at + 1], ends[at : at + 1] = [value], [index]
        before.append(ends[at - 1] if at else -1)
    found: list[int] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        found.append(index)
        index = before[index]
    return found[::-1]


class DiffRow(Struct, frozen=True):
    """One line of a difference; a head names the part that follows it."""

    sign: Sign
    text: str


def changes(before: Document, after: Document) -> tuple[DiffRow, ...]:
    """Return the differences in `after`, message by message and tool by tool, without the parts that stay the same."""
    return (*_tools(before, after), *_messages(before, after), *_parameters(before, after))


def _tools(before: Document, after: Document) -> Iterator[DiffRow]:
    old, new = ([tool.name or tool.json_text for tool in document.tools] for document in (before, after))
    if before.tools == after.tools:
        return
    if old != new:
        yield DiffRow("head", "tools, in the order in which they are sent")
        yield from line_changes(old, new)
    by_name = {tool.name: tool for tool in before.tools}
    for tool in after.tools:
        other = by_name.get(tool.name)
        if other is not None and other != tool:
            yield DiffRow("head", f"tool {tool.name}")
            yield from line_changes(tool_lines(other.json_text), tool_lines(tool.json_text))


def tool_lines(json_text: str) -> list[str]:
    """Return a definition with one line for each member, so that a difference is not the whole of it."""
    return json_text.replace('","', '",\n"').replace("},", "},\n").split("\n")


def _messages(before: Document, after: Document) -> Iterator[DiffRow]:
    old, new = before.messages, after.messages
    for tag, a, b, c, d in opcodes(old, new):
        if tag == "equal":
            continue
        pairs = max(b - a, d - c)
        for number in range(pairs):
            one = old[a + number] if a + number < b else None
            other = new[c + number] if c + number < d else None
            yield DiffRow("head", _name(one, other, a + number, c + number))
            yield from line_changes(_text(one), _text(other))


def _name(one: Message | None, other: Message | None, was: int, now: int) -> str:
    if one is None and other is not None:
        return f"message {now + 1} ({other.role}), new"
    if other is None and one is not None:
        return f"message {was + 1} ({one.role}), gone"
    return f"message {now + 1} ({other.role if other else ''})"


def _text(message: Message | None) -> list[str]:
    return (message.content or "").split("\n") if message is not None else []


def line_changes(old: list[str], new: list[str]) -> Iterator[DiffRow]:
    for tag, a, b, c, d in opcodes(old, new):
        if tag == "equal":
            yield from _unchanged(old[a:b], first=a == 0, last=b == len(old))
        else:
            yield from (DiffRow("gone", line) for line in old[a:b])
            yield from (DiffRow("come", line) for line in new[c:d])


def _unchanged(lines: list[str], *, first: bool, last: bool) -> Iterator[DiffRow]:
    head, tail = (0 if first else AROUND), (0 if last else AROUND)
    if len(lines) <= head + tail + 1:
        yield from (DiffRow("same", line) for line in lines)
        return
    yield from (DiffRow("same", line) for line in lines[:head])
    yield DiffRow("skipped", f"{len(lines) - head - tail:,} lines stay")
    yield from (DiffRow("same", line) for line in lines[len(lines) - tail :])


def _parameters(before: Document, after: Document) -> Iterator[DiffRow]:
    old, new = (_settings(document) for document in (before, after))
    if old != new:
        yield DiffRow("head", "parameters")
        yield from line_changes(old, new)


def _settings(document: Document) -> list[str]:
    lines = [f"{name}: {value!r}" for name, value in document.parameters.items()]
    if document.stream and not document.include_usage:
        lines.append("stream_options.include_usage: off")
    return lines

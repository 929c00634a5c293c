"""Find what varies between the requests of an unknown program: no template is needed.

The heads (tools and leading messages) of the requests of one family (`program_groups`) are aligned. Pure functions;
nothing is sent or stored.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.alignment import VaryingRange, varying_ranges
from playground.prefix_cache.history_changes import HistoryChange
from playground.prefix_cache.message_content import content_text, field_place
from playground.prefix_cache.moved_text import ReorderedObject, moved_share, reordered_objects
from playground.prefix_cache.program_groups import (
    Body,
    are_alike,
    body_messages,
    body_tools,
    leading_messages,
    tool_name,
)
from playground.prefix_cache.repeated_text import RepeatedText, is_template
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.value_kinds import kind_of
from playground.prefix_cache.view import ViewPart

SpanKind = Literal[
    "date",
    "time",
    "uuid",
    "identifier",
    "counter",
    "name",
    "number",
    "contact",
    "reordered_keys",
    "reordered_tools",
    "reordered_text",
    "changed_tools",
    "whitespace",
    "retrieved_text",
    "history_truncation",
    "arguments",
    "call_ids",
    "inserted_messages",
    "removed_messages",
    "text",
]
Rewrite = Literal[
    "move_behind_stable_text",
    "sort_keys",
    "sort_tools",
    "normalize_whitespace",
    "append_only",
    "keep_history",
    "keep_arguments",
    "keep_ids",
    "insert_behind_history",
    "keep_order",
    "none",
]
_REWRITES: dict[SpanKind, Rewrite] = {
    "reordered_keys": "sort_keys",
    "reordered_tools": "sort_tools",
    "reordered_text": "keep_order",
    "changed_tools": "none",
    "whitespace": "normalize_whitespace",
    "history_truncation": "append_only",
    "arguments": "keep_arguments",
    "call_ids": "keep_ids",
    "inserted_messages": "insert_behind_history",
    "removed_messages": "keep_history",
}
MAX_SAMPLES = 5
_LONG_VALUE, _MANY_WORDS = 90, 12
"""Code points or words from which a value is retrieved text."""
_AROUND = " \n:：,;.()[]<>\"'"
"""Punctuation around a value."""
_SHORT_WORDS = 3
"""Words up to which text in front of repeated text may be one value, such as a date with its time."""
_LONG_NAME, _SENTENCE = 60, 8
"""Code points or words from which words of no other kind are retrieved text."""


class VaryingSpan(Struct, frozen=True):
    """A span that differs between requests of one family.

    `part` and `index`: a message, or a tool (-1: the tool list as a whole). `start`, `end`: code points in the
    message's content or the tool's JSON text, in request `request`; with `path`, in that field of the body.
    `changes` of `comparisons` requests differ here from the request that they continue, or from the one before;
    `changed` are their indexes. `tokens_behind`: ≈ tokens behind it that such a request repeats, on average.
    `lost_tokens`: ≈ tokens of all requests that are sent fresh because of it once the spans in front are fixed;
    `lost_between`: the interval in which these are, by block, minimum and tokenizer where reports do not tell them;
    `tokens_per_request` is their average over the requests of the family. `behind`: index in the result of the span in
    front, which must be fixed first; None for the first one. `tools_after`: ≈ tokens per request that it costs more if
    the server writes the tools behind the system text (for a span in a tool: in front of it), where reports do not
    tell. `places`: how many places vary
    together; the span is the first. `history`: it is in turns of a conversation that were sent before. `between`: it
    differs only between conversations. `recurring`: its values are used again in other conversations, and only the
    first request with each of them pays. `once`: it changed once in the recording, and not back.
    """

    kind: SpanKind
    part: Literal["message", "tool"]
    index: int
    request: int
    start: int
    end: int
    samples: tuple[str, ...]
    distinct: int
    changes: int = 0
    comparisons: int = 0
    tokens_behind: float = 0.0
    tokens_per_request: float = 0.0
    family: int = 0
    behind: int | None = None
    changed: tuple[int, ...] = ()
    lost_tokens: float = 0.0
    lost_between: tuple[float, float] = (0.0, 0.0)
    tools_after: float = 0.0
    places: int = 1
    history: bool = False
    between: bool = False
    recurring: bool = False
    once: bool = False
    path: tuple[str | int, ...] = ()

    @property
    def rewrite(self) -> Rewrite:
        """Return the change of the program that removes the span from the prefix."""
        return _REWRITES.get(self.kind, "keep_history" if self.history else "move_behind_stable_text")


Estimate = Callable[[str], float]
_Number = TypeVar("_Number", int, float)


_LONG_TEMPLATE = 128
"""Tokens of stable text behind values from which on the first user message is part of the head."""
_SAME_PARAGRAPHS, _LONG_MOVED = 0.75, 120
"""Share of values that is the same in another order, and bytes in UTF-8 from which on that is worth a price."""
_ENDS = " \t\n.!?…。！？।*-–•·|"
"""Characters around a paragraph or line that are not compared: space, full stops, marks of lists and tables."""

_KEYS = re.compile(r"""([\w.-]+)["'”]\s*[:=]|[{,;(][ \t]*([\w.-]+)[ \t]*[:=]|[&?]([\w.-]+)=|^([\w.-]+)=\S""")
"""Keys of an object: with a quotation mark behind them, or between separators. `id="…"` in a tag is none."""

_ROW = re.compile(r"\s*(?:[-*•+|–](?=\s)|\(?\d+[.):]|\[[^\]\n]{0,6}\]|</?[\w:.-]+|(?P<key>[^\s:=]+)\s*[:=](?=\s|$))")
"""Mark, number, tag or key that a line of a list begins with."""

_LINE_KEYS = re.compile(r"^[\w.-]+(?=\s*:\s)", re.MULTILINE)


class HeadItem(Struct, frozen=True):
    """A span of the head and the ≈ stable tokens up to the next one; without a span, stable tokens at the beginning.

    `versions[n]`: which of its values request n of the family has. `sizes[n]`: ≈ tokens of that value.
    `shares`: if all values are the same paragraphs or keys in another order, the share of each value with which an
    earlier one begins. `row`: the paragraph of a message that the span is in, and what its line begins with.
    `line`: the number of that line.
    """

    span: VaryingSpan | None
    tokens: float
    versions: tuple[int, ...] = ()
    sizes: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    row: tuple[int, str] = (0, "")
    line: int = 0


def head_items(
    bodies: Sequence[Body], requests: Sequence[int], estimate: Estimate, tool_estimate: Estimate
) -> tuple[int, list[HeadItem], list[HeadItem]]:
    """Return how many messages are in the head of all bodies of a family, and what varies in tools and head.

    The second list has the tools behind the first message, if that is a system message, as many templates do.
    `requests` are the indexes by which spans name the bodies; the estimates are ≈ tokens of texts and of definitions.
    """
    head = _Head(bodies, requests, estimate, tool_estimate)
    tools, messages = list(head.in_tools()), [list(head.in_message(index)) for index in range(head.lead)]
    system = 1 if head.has_system else 0
    parts = [*messages[:system], tools, *messages[system:]]
    return head.lead, [*tools, *chain.from_iterable(messages)], list(chain.from_iterable(parts))


class _Head:
    """Tools and leading messages of the requests of one family."""

    def __init__(
        self, bodies: Sequence[Body], requests: Sequence[int], estimate: Estimate, tool_estimate: Estimate
    ) -> None:
        self._bodies, self._requests, self._estimate, self._of_tool = bodies, requests, estimate, tool_estimate
        self._all_messages = [body_messages(body) for body in bodies]
        self.lead = min(leading_messages(row) or min(len(row), 1) for row in self._all_messages)
        self.has_system = all(map(leading_messages, self._all_messages))
        if self.lead and not self.has_system and not are_alike([row[0] for row in self._all_messages]):
            self.lead = 0  # conversations that share only tools
        if all(leading_messages(row) == self.lead < len(row) for row in self._all_messages) and self._is_template():
            self.lead += 1

    def _is_template(self) -> bool:
        """Whether the first user message is one text with values that change, as a head is."""
        if any(messages[self.lead].get("role") != "user" for messages in self._all_messages):
            return False
        # While it is the last message, a user may edit it and send it again.
        sent = [messages for messages in self._all_messages if len(messages) > self.lead + 1] or self._all_messages
        texts = [content_text(messages[self.lead].get("content") or "") for messages in sent]
        return is_template(texts, lambda text: self._estimate(text) >= _LONG_TEMPLATE)

    def in_tools(self) -> Iterator[HeadItem]:
        lists = [body_tools(body) for body in self._bodies]
        texts = [json.dumps(tools, ensure_ascii=False) for tools in lists]
        if len(set(texts)) < 2:
            yield HeadItem(None, self._of_tool(texts[0]) if lists[0] else 0.0)
            return
        names = [tuple(tool_name(tool) for tool in tools) for tools in lists]
        if len(set(names)) > 1:
            kind: SpanKind = "reordered_tools" if len({frozenset(row) for row in names}) == 1 else "changed_tools"
            samples = [", ".join(row) for row in names]
            # The first tool that is another one somewhere; the whole list if the first request has none there.
            places = range(min(map(len, names)))
            first = next((at for at in places if len({row[at] for row in names}) > 1), len(places))
            known = first < len(names[0])
            index, end = (first, len(json.dumps(lists[0][first], ensure_ascii=False))) if known else (-1, len(texts[0]))
            span = _span(kind, "tool", index, self._requests, (0, end), samples)
            yield HeadItem(span, self._of_tool(texts[0]), numbered(names), (0.0,) * len(names))
        for name in dict.fromkeys(name for row in names for name in row):
            yield from self._in_tool(name, lists, ordered=len(set(names)) == 1)

    def _in_tool(self, name: str, lists: Sequence[Sequence[dict[str, Any]]], *, ordered: bool) -> Iterator[HeadItem]:
        """Yield what varies in a tool. `ordered`: its stable tokens are not part of an item for the whole list."""
        rows = [
            (position, index, tool)
            for position, tools in enumerate(lists)
            for index, tool in enumerate(tools)
            if tool_name(tool) == name
        ]
        texts = [json.dumps(tool, ensure_ascii=False) for _, _, tool in rows]
        positions, index = [position for position, _, _ in rows], rows[0][1]
        requests = [self._requests[position] for position in positions]
        if len(set(texts)) == 1:
            if ordered:
                yield HeadItem(None, self._of_tool(texts[0]))
        elif len({json.dumps(tool, ensure_ascii=False, sort_keys=True) for _, _, tool in rows}) == 1:
            # The first moved key begins with the quotation mark in front of the first difference.
            start = texts[0].rfind('"', 0, common_prefix(min(texts), max(texts)))
            moved = [text[start:] for text in texts]
            span = _span("reordered_keys", "tool", index, requests, (start, len(texts[0])), moved)
            tokens = self._of_tool(texts[0]) if ordered else 0.0
            versions, shares = self._spread(positions, numbered(texts)), self._spread(positions, _shares(texts))
            yield HeadItem(span, 0.0, versions, (tokens,) * len(lists), shares if ordered else ())
        else:
            for item in self._aligned(texts, "tool", index, requests):
                versions, sizes = self._spread(positions, item.versions), self._spread(positions, item.sizes)
                yield replace(item, tokens=item.tokens if ordered else 0.0, versions=versions, sizes=sizes)

    def _spread(self, positions: Sequence[int], values: Sequence[_Number]) -> tuple[_Number, ...]:
        """Return values of some requests as values of all: -1 for those without."""
        found: list[_Number] = [-1] * len(self._bodies)
        for position, value in zip(positions, values, strict=False):
            found[position] = value
        return tuple(found) if values else ()

    def in_message(self, index: int) -> Iterator[HeadItem]:
        texts = [content_text(messages[index].get("content") or "") for messages in self._all_messages]
        yield from self._aligned(texts, "message", index, self._requests)

    def _in_part(self, span: VaryingSpan) -> VaryingSpan:
        """Return a span of a message with its place in the part of a list of content parts that it is in."""
        if span.part != "message" or not isinstance(self._all_messages[0][span.index].get("content"), list):
            return span
        path, start = field_place(self._bodies[0], ViewPart("content", span.index, 0, 0), span.start)
        return replace(span, path=path, start=start, end=start + span.end - span.start)

    def _aligned(
        self, texts: Sequence[str], part: Literal["message", "tool"], index: int, requests: Sequence[int]
    ) -> Iterator[HeadItem]:
        estimate = self._of_tool if part == "tool" else self._estimate
        same_order, objects = reordered_objects(texts) if part == "message" else (texts, [])
        ranges = [_outside(one, objects) for one in varying_ranges(same_order)]
        starts = [*sorted([*(one.start for one in objects), *(one.start for one in ranges)]), len(texts[0])]
        yield HeadItem(None, estimate(texts[0][: starts[0]]))
        changes: list[VaryingRange | ReorderedObject] = [*ranges, *objects]
        changes.sort(key=lambda one: one.start)
        rows = _rows(texts[0], [one.start for one in changes])
        for found, next_start, row in zip(changes, starts[1:], rows, strict=True):
            behind = estimate(texts[0][found.end : next_start])
            if isinstance(found, ReorderedObject):
                place = found.start, found.end
                span = self._in_part(_span("reordered_keys", part, index, requests, place, found.values))
                sizes = tuple(estimate(value) * share for value, share in zip(found.values, found.known, strict=True))
                yield HeadItem(span, behind, numbered(found.values), sizes, _shares(found.values))
            else:
                line = texts[0].count("\n", 0, found.start)
                yield replace(self._varying(found, part, index, requests, behind), row=row, line=line)

    def _varying(
        self, found: VaryingRange, part: Literal["message", "tool"], index: int, requests: Sequence[int], behind: float
    ) -> HeadItem:
        """Return an item for a range. `behind`: ≈ stable tokens behind it."""
        estimate = self._of_tool if part == "tool" else self._estimate
        samples = [found.values[version] if version < len(found.values) else "" for version in found.versions]
        span = _span(kind_of_range(found), part, index, requests, (found.start, found.end), samples)
        if not found.exact:
            changed = _changed(requests, found.versions)
            span = replace(span, changes=len(changed), changed=changed, distinct=len(set(found.versions)))
        known = [estimate(value) * found.known for value in found.values]
        usual = sum(known) / len(known)
        sizes = tuple(known[version] if version < len(known) else usual for version in found.versions)
        span = self._in_part(span)
        moved = part == "message" and (are_moved(found.values) or (found.reordered and _is_worth(found.values)))
        if moved and span.kind != "reordered_keys":
            span = replace(span, kind="reordered_text")
        return HeadItem(span, behind, found.versions, sizes, _shares(samples) if moved else ())


def _rows(text: str, places: Sequence[int]) -> list[tuple[int, str]]:
    """Return for each code point the paragraph that it is in, and what its line begins with.

    Lines that begin alike are one paragraph also with empty lines between them.
    """
    rows: list[tuple[int, str]] = []
    starts: list[int] = []
    at = paragraph = 0
    above, empty = "", False
    for line in text.splitlines(keepends=True):
        mark = _row_mark(line)
        if not line.strip():
            empty = True
        elif empty:
            paragraph += mark != above or not mark
            empty = False
        above = mark if line.strip() else above
        starts.append(at)
        rows.append((paragraph, mark))
        at += len(line)
    return [rows[max(bisect_right(starts, place) - 1, 0)] if rows else (0, "") for place in places]


def _row_mark(line: str) -> str:
    """Return the mark, number or tag of a line of a list, or "key" for a key; empty for prose."""
    found = _ROW.match(line)
    if found is None:
        return ""
    return "key" if found["key"] else re.sub(r"\d+|(?<=\[)[^\]]*", "0", found[0].strip())


def _outside(found: VaryingRange, objects: Sequence[ReorderedObject]) -> VaryingRange:
    """Return a range without what it has of an object: text beside it may begin or end with the same characters."""
    for one in objects:
        in_front = found.start - one.start < one.end - found.end
        if in_front and one.start < found.end:
            return replace(found, start=min(found.start, one.start), end=one.start)
        if not in_front and found.start < one.end:
            return replace(found, start=one.end, end=max(found.end, one.end))
    return found


def _shares(values: Sequence[str]) -> tuple[float, ...]:
    """Return the share of each value with which an earlier value begins."""
    known: list[str] = []
    shares: list[float] = []
    for value in values:
        at = bisect_left(known, value)
        # Of all earlier values, a neighbour in alphabetical order has the longest prefix in common.
        shared = max((common_prefix(value, other) for other in known[max(at - 1, 0) : at + 1]), default=0)
        shares.append(shared / max(len(value), 1))
        if shared < len(value):
            known.insert(at, value)
    return tuple(shares)


def _is_worth(values: Sequence[str]) -> bool:
    return max(len(value.encode(errors="surrogatepass")) for value in values) >= _LONG_MOVED


def are_moved(values: Sequence[str]) -> bool:
    """Whether values are the same long paragraphs in another order, but for text at their ends."""
    for separator in ("\n\n", "\n"):
        # Where the values begin or end, they may leave out a mark or a full stop that all have.
        rows = [Counter(one.strip(_ENDS) for one in value.split(separator) if one.strip(_ENDS)) for value in values]
        if all(len(row) > 1 and _code_points(row & rows[0]) >= _SAME_PARAGRAPHS * _code_points(row) for row in rows):
            return _is_worth(values)
    return False


def _code_points(texts: Counter[str]) -> int:
    return sum(len(one) * count for one, count in texts.items())


def numbered(values: Sequence[object]) -> tuple[int, ...]:
    """Return a number for each value, equal for equal ones."""
    numbers: dict[object, int] = {}
    return tuple(numbers.setdefault(value, len(numbers)) for value in values)


def _span(
    kind: SpanKind,
    part: Literal["message", "tool"],
    index: int,
    requests: Sequence[int],
    position: tuple[int, int],
    values: Sequence[str],
) -> VaryingSpan:
    """Return a span from its value in each of `requests`; its price is filled in later."""
    distinct = list(dict.fromkeys(values))
    samples = tuple(distinct[:MAX_SAMPLES])
    changes = sum(left != right for left, right in pairwise(values))
    counts = len(distinct), changes, len(values) - 1
    return VaryingSpan(kind, part, index, requests[0], *position, samples, *counts, changed=_changed(requests, values))


def _changed(requests: Sequence[int], values: Sequence[object]) -> tuple[int, ...]:
    """Return the requests whose value differs from the value of the request before."""
    pairs = zip(requests[1:], pairwise(values), strict=False)  # samples of a history belong to one request
    return tuple(request for request, (left, right) in pairs if left != right)


def kind_of_range(found: VaryingRange) -> SpanKind:
    values = found.values
    present = [value for value in values if value.strip()]
    if 1 < len(present) < len(values):
        # Where some requests have nothing, the values of the others include the words around them.
        inner = varying_ranges(present)
        return kind_of_range(inner[0]) if inner else "text"
    if len({"".join(value.split()) for value in values}) == 1:
        return "whitespace"
    if found.reordered:
        lines, keys = _LINE_KEYS.findall(values[0]), _KEYS.findall(values[0])
        same_words = len({tuple(sorted(value.split())) for value in values}) == 1
        # Examples and documents repeat the words in front of their lines and values.
        keyed = 1 < len(keys) < 2 * len(set(keys)) or (same_words and 1 < len(lines) == len(set(lines)))
        return "reordered_keys" if keyed else "reordered_text"
    if any(_is_long(value) for value in values):
        return "retrieved_text"
    rows = [(value, head) for value, head in zip(values, found.heads, strict=True) if value.strip()]
    pairs = list(pairwise(rows)) if len(rows) > 1 else [(rows[0], rows[0])] if rows else []
    votes = Counter(kind_of(before, after, head) for (before, _), (after, head) in pairs if before != after)
    votes = votes or Counter(kind_of(value, f"{value}0", head) for value, head in rows)
    kind = votes.most_common(1)[0][0] if votes else "text"
    if kind in ("number", "identifier", "text") and _counts(found):
        return "counter"
    if kind in ("text", "name") and any(len(value) > _LONG_NAME or len(value.split()) >= _SENTENCE for value in values):
        return "retrieved_text"
    return "name" if kind == "text" and all(_looks_like_name(value) for value, _ in rows) else kind


def _is_long(value: str) -> bool:
    return len(value) >= _LONG_VALUE or "\n" in value.strip() or len(value.split()) > _MANY_WORDS


def _counts(found: VaryingRange) -> bool:
    """Whether the values are whole numbers that grow by one from request to request, or begin again."""
    if not found.exact or not all(value.strip().isdecimal() for value in found.values):
        return False
    numbers = [int(found.values[version]) for version in found.versions]
    steps = [right - left for left, right in pairwise(numbers)]
    return bool(steps) and sum(step in (0, 1) or step < 0 for step in steps) >= len(steps) * 0.9 and 1 in steps


def _looks_like_name(value: str) -> bool:
    words = value.split()
    cased = value.lower() != value.upper()
    return (
        0 < len(words) <= 5
        and not any(character.isdigit() for character in value)
        and (not cased or all(word[0].isupper() or word == "&" for word in words))
    )


def history_kind(change: HistoryChange) -> SpanKind:
    match change.kind:
        case "arguments" | "call_ids":
            return change.kind
        case "truncated":
            return "history_truncation"
        case "reordered":
            return "reordered_text"
        case "inserted":
            return "inserted_messages"
        case "removed":
            return "removed_messages"
    values = (change.before, change.after)
    if reordered_objects(values)[1]:
        return "reordered_keys"
    if are_moved(values) or moved_share(*values):
        return "reordered_text"
    return kind_of_range(VaryingRange(0, 0, values, ("", ""), (0, 1), True))


def repeated_kind(text: RepeatedText) -> SpanKind:
    """Return the kind of what differs in front of a repeated text: of short values such as a time, else text."""
    if text.kind in ("cut", "moved"):
        return "history_truncation" if text.kind == "cut" else "reordered_text"
    values = [value.strip(_AROUND) for value in text.samples[:2]]
    if len(values) < 2 or any(len(value.split()) > _SHORT_WORDS for value in values):
        return "retrieved_text"
    kind = kind_of(*values)
    return "retrieved_text" if kind in ("text", "whitespace", "name") else kind

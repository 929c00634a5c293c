"""Find what varies between the requests of an unknown program: no template is needed.

Bodies are grouped into families that share most of their head (tools and leading messages). In each family the heads
are aligned, and the conversations are compared turn by turn. Pure functions; nothing is sent or stored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.alignment import VaryingRange, varying_ranges
from playground.prefix_cache.value_kinds import kind_of
from playground.prompt.document import Json

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
    "text",
]
Rewrite = Literal["move_behind_stable_text", "sort_keys", "sort_tools", "normalize_whitespace", "append_only", "none"]
_REWRITES: dict[SpanKind, Rewrite] = {
    "reordered_keys": "sort_keys",
    "reordered_tools": "sort_tools",
    "changed_tools": "none",
    "whitespace": "normalize_whitespace",
    "history_truncation": "append_only",
}
MAX_SAMPLES = 5
MAX_REWRITTEN = 20
_SIMILAR = 0.4
"""Share of units that the heads of one family have in common at least."""
_HEAD = 6_000
"""Code points of the first message that decide which family a request belongs to."""
_FEW_WORDS = 12
"""A head with fewer words is compared by groups of characters."""
_SHORT, _GRAM = 400, 5
"""Code points of such a head that are compared, and the size of a group."""
_BLOCK = 16
"""Stable tokens behind a span from which on they could be served from a cache."""
_LOOK_BACK = 24
"""Earlier requests that are searched for the previous turn of a conversation."""
_LONG_VALUE, _MANY_WORDS = 90, 12
"""Code points or words from which a value is retrieved text."""
_LONG_NAME, _SENTENCE = 60, 8
"""Code points or words from which words of no other kind are retrieved text."""


class VaryingSpan(Struct, frozen=True):
    """A span that differs between requests of one family.

    `part` and `index`: a message, or a tool (-1: the tool list as a whole). `start`, `end`: code points in the
    message's content or the tool's JSON text, in request `request`. `changes` of `comparisons` consecutive requests
    differ here. `tokens_behind`: ≈ stable tokens behind it; `tokens_per_request`: how many of them are sent fresh on
    average. `behind`: index in the result of the span in front, which must be fixed first; None for the first one.
    `changed`: indexes of the requests that differ here from the one before.
    """

    kind: SpanKind
    part: Literal["message", "tool"]
    index: int
    request: int
    start: int
    end: int
    samples: tuple[str, ...]
    distinct: int
    changes: int
    comparisons: int
    tokens_behind: float
    tokens_per_request: float
    family: int = 0
    behind: int | None = None
    changed: tuple[int, ...] = ()

    @property
    def rewrite(self) -> Rewrite:
        """Return the change of the program that removes the span from the prefix."""
        return _REWRITES.get(self.kind, "move_behind_stable_text")

    def dollars(self, fresh: float | None, cached: float | None, requests: int = 1_000) -> float | None:
        """Return what `requests` requests pay for it, at rates in dollars per million tokens; None without both."""
        if fresh is None or cached is None:
            return None
        return self.tokens_per_request * (fresh - cached) * requests / 1_000_000


Body = Mapping[str, Json]
Estimate = Callable[[str], float]


def varying_spans(
    bodies: Sequence[Body], *, tokens: Estimate | None = None, groups: Sequence[Sequence[int]] | None = None
) -> list[VaryingSpan]:
    """Return every span that varies between requests of one program, family by family, in the order of the prompt.

    Args:
        bodies: request bodies, oldest first. Bodies of several programs may be mixed. Invalid ones are ignored.
        tokens: ≈ tokens of a text; default: `estimate`, a quarter of its UTF-8 bytes or a third of its code points.
        groups: the result of `families`, if it is known.

    Questions at the end of a prompt and new turns of a conversation vary by nature and are not reported.
    """
    count = tokens or estimate
    found: list[VaryingSpan] = []
    for number, members in enumerate(families(bodies) if groups is None else groups):
        if len(members) > 1:
            first = len(found)
            spans = list(_Family([bodies[index] for index in members], members, count).spans())
            found += [
                replace(span, family=number, behind=None if position == 0 else first + position - 1)
                for position, span in enumerate(spans)
            ]
    return found


def estimate(text: str) -> float:
    """Return ≈ tokens of a text without any report of a server."""
    return len(text) / 4 if text.isascii() else max(len(text) / 4, len(text.encode("utf-8", "replace")) / 8)


def _messages(body: Body) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return []
    return [message for message in messages if isinstance(message, dict)]


def _tools(body: Body) -> list[dict[str, Any]]:
    tools = body.get("tools")
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def _tool_name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    return str(function.get("name", "")) if isinstance(function, dict) else str(tool.get("name", ""))


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _lead(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how many messages lead the prompt: system and developer ones, or the first if there are none."""
    roles = [message.get("role") for message in messages]
    leading = next((at for at, role in enumerate(roles) if role not in ("system", "developer")), len(roles))
    return leading or min(len(messages), 1)


def families(bodies: Sequence[Body]) -> list[list[int]]:
    """Return indexes of bodies whose heads are alike, each group oldest first. Bodies without messages are left out."""
    families: list[tuple[set[str], list[int]]] = []
    of_head: dict[tuple[object, ...], int] = {}
    for index, body in enumerate(bodies):
        messages = _messages(body)
        if not messages:
            continue
        head = _content(messages[0])
        key = (head, messages[0].get("role"))
        number = of_head.get(key)
        if number is None:
            units = _head_units(str(messages[0].get("role")), head, body)
            number = next((n for n, (other, _) in enumerate(families) if _alike(units, other)), None)
            if number is None:
                number = len(families)
                families.append((units, []))
            of_head[key] = number
        families[number][1].append(index)
    return [members for _, members in families]


def _head_units(role: str, head: str, body: Body) -> set[str]:
    """Return the units by which heads are compared: lines, or in a head of few lines pairs of words without digits."""
    units = set(map(str.strip, head[:_HEAD].splitlines()))
    if len(units) < 6:
        words = [word for word in head[:_HEAD].split() if not any(map(str.isdigit, word))]
        units = set(map(" ".join, pairwise(words)))
        if len(words) < _FEW_WORDS:
            # A short head, or a script without spaces between words.
            text = "".join(character for character in head[:_SHORT] if not character.isdigit())
            units = {text[at : at + _GRAM] for at in range(max(len(text) - _GRAM + 1, 1))}
    return {f"role:{role}", *(f"tool:{_tool_name(tool)}" for tool in _tools(body)), *units}


def _alike(left: set[str], right: set[str]) -> bool:
    return len(left & right) >= _SIMILAR * min(len(left), len(right))


_Item = tuple[VaryingSpan | None, float]
"""A span and the ≈ stable tokens up to the next one; None: stable tokens alone."""


class _Family:
    """The requests of one family."""

    def __init__(self, bodies: Sequence[Body], requests: Sequence[int], estimate: Estimate) -> None:
        self._bodies, self._requests, self._estimate = bodies, requests, estimate
        self._all_messages = [_messages(body) for body in bodies]
        self._lead = min(_lead(messages) for messages in self._all_messages)

    def spans(self) -> Iterator[VaryingSpan]:
        """Yield the spans in the order of the prompt, each with the stable tokens behind it."""
        behind = 0.0
        sized: list[VaryingSpan] = []
        for span, tokens in reversed([*self._in_tools(), *self._in_head(), *self._in_history()]):
            behind += tokens
            if span is not None:
                share = span.changes / max(span.comparisons, 1)
                sized.append(replace(span, tokens_behind=behind, tokens_per_request=behind * share))
        yield from (span for span in reversed(sized) if not self._is_question(span))

    def _is_question(self, span: VaryingSpan) -> bool:
        """Whether it is the end of a prompt without a system message."""
        role = self._all_messages[0][0].get("role")
        return span.part == "message" and role == "user" and span.index < self._lead and span.tokens_behind < _BLOCK

    def _in_tools(self) -> Iterator[_Item]:
        lists = [_tools(body) for body in self._bodies]
        texts = [json.dumps(tools, ensure_ascii=False) for tools in lists]
        if len(set(texts)) < 2:
            yield None, self._estimate(texts[0]) if lists[0] else 0.0
            return
        names = [tuple(_tool_name(tool) for tool in tools) for tools in lists]
        if len(set(names)) > 1:
            kind: SpanKind = "reordered_tools" if len({frozenset(row) for row in names}) == 1 else "changed_tools"
            samples = [", ".join(row) for row in names]
            span = _span(kind, "tool", -1, self._requests, (0, len(texts[0])), samples)
            yield span, self._estimate(texts[0]) / 2
        for name in dict.fromkeys(name for row in names for name in row):
            yield from self._in_tool(name, lists)

    def _in_tool(self, name: str, lists: Sequence[Sequence[dict[str, Any]]]) -> Iterator[_Item]:
        rows = [
            (self._requests[position], index, tool)
            for position, tools in enumerate(lists)
            for index, tool in enumerate(tools)
            if _tool_name(tool) == name
        ]
        texts = [json.dumps(tool, ensure_ascii=False) for _, _, tool in rows]
        requests, index = [request for request, _, _ in rows], rows[0][1]
        if len(set(texts)) == 1:
            return
        if len({json.dumps(tool, ensure_ascii=False, sort_keys=True) for _, _, tool in rows}) == 1:
            span = _span("reordered_keys", "tool", index, requests, (0, len(texts[0])), texts)
            yield span, self._estimate(texts[0])
        else:
            yield from self._aligned(texts, "tool", index, requests)

    def _in_head(self) -> Iterator[_Item]:
        for index in range(self._lead):
            texts = [_content(messages[index]) for messages in self._all_messages]
            yield from self._aligned(texts, "message", index, self._requests)

    def _aligned(
        self, texts: Sequence[str], part: Literal["message", "tool"], index: int, requests: Sequence[int]
    ) -> Iterator[_Item]:
        ranges = varying_ranges(texts)
        starts = [found.start for found in ranges] + [len(texts[0])]
        yield None, self._estimate(texts[0][: starts[0]])
        for found, next_start in zip(ranges, starts[1:], strict=True):
            samples = [found.values[version] if version < len(found.values) else "" for version in found.versions]
            span = _span(kind_of_range(found), part, index, requests, (found.start, found.end), samples)
            if not found.exact:
                changed = _changed(requests, found.versions)
                span = replace(span, changes=len(changed), changed=changed, distinct=len(set(found.versions)))
            yield span, self._estimate(texts[0][found.end : next_start])

    def _in_history(self) -> Iterator[_Item]:
        """Spans in the turns of conversations: messages that are dropped or rewritten between two requests."""
        turns = [[_turn(message) for message in messages[self._lead :]] for messages in self._all_messages]
        sets = [frozenset(row) for row in turns]
        dropped: list[tuple[int, int]] = []
        rewritten: list[tuple[int, int, int]] = []
        for later in range(1, len(turns)):
            earlier = _previous_turn(turns, sets, later)
            if earlier is not None:
                shift = _shift(turns[earlier], turns[later])
                dropped += [(earlier, later)] if shift else []
                if not shift:
                    rewritten += [(earlier, later, at) for at in _rewritten(turns[earlier], turns[later])]
        if dropped:
            yield self._truncation(turns, dropped)
        if rewritten:
            yield from self._rewritten(rewritten)

    def _truncation(self, turns: Sequence[Sequence[str]], dropped: Sequence[tuple[int, int]]) -> _Item:
        earlier, later = dropped[0]
        samples = [turns[earlier][0], turns[later][0]]
        position = (0, len(_content(self._all_messages[later][self._lead])))
        span = _span("history_truncation", "message", self._lead, [self._requests[later]], position, samples)
        span = replace(span, changes=len(dropped), comparisons=len(turns) - 1, distinct=len(dropped) + 1)
        span = replace(span, changed=tuple(self._requests[at] for _, at in dropped))
        return span, self._estimate("".join(turns[later]))

    def _rewritten(self, found: Sequence[tuple[int, int, int]]) -> Iterator[_Item]:
        """Messages of earlier turns that another request renders differently: one span for each kind."""
        kinds: set[SpanKind] = set()
        for earlier, later, at in found[:MAX_REWRITTEN]:
            index = self._lead + at
            texts = [_content(self._all_messages[request][index]) for request in (earlier, later)]
            behind = "".join(_content(message) for message in self._all_messages[earlier][index + 1 :])
            for difference in varying_ranges(texts):
                kind = kind_of_range(difference)
                if kind not in kinds:
                    kinds.add(kind)
                    position = (difference.start, difference.end)
                    span = _span(kind, "message", index, [self._requests[earlier]], position, difference.values)
                    span = replace(span, changes=len(found), comparisons=len(self._bodies) - 1)
                    changed = dict.fromkeys(self._requests[later] for _, later, _ in found)
                    span = replace(span, changed=tuple(changed))
                    yield span, self._estimate(behind + texts[0][difference.end :])


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
    changed = _changed(requests, values)
    changes = sum(left != right for left, right in pairwise(values))
    span = VaryingSpan(
        kind, part, index, requests[0], *position, samples, len(distinct), changes, len(values) - 1, 0.0, 0.0
    )
    return replace(span, changed=changed)


def _changed(requests: Sequence[int], values: Sequence[object]) -> tuple[int, ...]:
    """Return the requests whose value differs from the value of the request before."""
    pairs = zip(requests[1:], pairwise(values), strict=False)  # samples of a history belong to one request
    return tuple(request for request, (left, right) in pairs if left != right)


def kind_of_range(found: VaryingRange) -> SpanKind:
    """Return the kind of the values of a range."""
    values = found.values
    if len({"".join(value.split()) for value in values}) == 1:
        return "whitespace"
    if found.reordered:
        return "reordered_keys" if any(mark in values[0] for mark in "{:=") else "reordered_text"
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
        and (not cased or all(word[0].isupper() for word in words))
    )


def _turn(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    return f"{message.get('role')}\x1f{_content(message)}\x1f{json.dumps(calls) if calls else ''}"


def _previous_turn(turns: Sequence[Sequence[str]], sets: Sequence[frozenset[str]], later: int) -> int | None:
    """Return the newest earlier request of the same conversation: it shares two turns, or a long one next to it."""
    now = sets[later]
    for earlier in range(later - 1, max(later - _LOOK_BACK, 0) - 1, -1):
        shared = now & sets[earlier]
        if len(shared) >= 2 or (shared and len(turns[later]) > 1 and turns[earlier] and turns[earlier][-1] in now):
            return earlier
    return None


def _shift(earlier: Sequence[str], later: Sequence[str]) -> int:
    """Return how many of the oldest turns were dropped; 0 if `later` begins as `earlier` does."""
    if not later or not earlier or later[0] == earlier[0]:
        return 0
    for shift in range(1, len(earlier)):
        kept = earlier[shift:]
        if list(kept) == list(later[: len(kept)]):
            return shift
    return 0


def _rewritten(earlier: Sequence[str], later: Sequence[str]) -> list[int]:
    """Return positions at which a turn differs between turns that are equal, or in the last turn of `earlier`."""
    shared = min(len(earlier), len(later) - 1)
    different = [at for at in range(shared) if earlier[at] != later[at]]
    if len(different) > shared / 2 or not shared:
        return []
    return [at for at in different if earlier[at].split("\x1f")[0] == later[at].split("\x1f")[0]]

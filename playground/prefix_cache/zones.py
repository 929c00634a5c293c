"""Zones: which part of the prompt the cache is expected to serve, which is the same in every request, which varies."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from playground.prefix_cache.hypotheses import Rendering
from playground.prefix_cache.prefix_size import Measure
from playground.prefix_cache.text_compare import snippet
from playground.prefix_cache.view import TOOLS, DocumentView, Order, PartKind, ViewPart
from playground.prompt.document import Document, places

if TYPE_CHECKING:
    pass

Zone = Literal["warm", "stable", "variable"]
"""warm: expected from the cache · stable: the same in every request of this prompt, not yet cached · variable: from
the first changed character or variable on."""
Warmth = Literal["none", "warm", "partial", "cold"]


class ZoneSpan(Struct, frozen=True):
    """Code points [start, end) of one message's *template* that are in `zone`."""

    zone: Zone
    start: int
    end: int


class Boundary(Struct, frozen=True):
    """Where the prefix ends: in message `message` (None: in the tools) at code point `offset` of its template.

    `tokens` is the estimate (≈) of the prefix before it. `cause` is the text that names what ends it; `name` is the
    name of the variable, if it is one. `kind` "end": nothing ends it, the whole prompt is prefix.
    """

    message: int | None
    offset: int
    tokens: float
    cause: str
    kind: Literal["variable", "differs", "end"]
    name: str | None = None


class ZoneMap(Struct, frozen=True):
    """The whole prompt's zones. All token counts are estimates (≈).

    `messages` has the spans of each message's content, in order and without gaps; a message without content has
    none. `message_zones` is the zone of each message's role line (its head); tools likewise.
    """

    messages: tuple[tuple[ZoneSpan, ...], ...]
    message_zones: tuple[Zone, ...]
    message_tokens: tuple[float, ...]
    tool_zones: tuple[Zone, ...]
    tool_tokens: tuple[float, ...]
    warm_tokens: float
    stable_tokens: float
    variable_tokens: float
    boundary: Boundary

    @property
    def total_tokens(self) -> float:
        return self.warm_tokens + self.stable_tokens + self.variable_tokens


class StructureSpan(Struct, frozen=True):
    """Code points [start, end) of a message's template, or of a tool's JSON text, that are the same in every request
    or not.

    `reason` is "variable", "differs" (from an earlier request) or empty; `name` is the variable's.
    """

    part: Literal["message", "tool"]
    index: int
    start: int
    end: int
    kind: Literal["stable", "variable"]
    reason: Literal["", "variable", "differs"] = ""
    name: str = ""


class CacheExtent(Struct, frozen=True):
    """What is warm under the most probable hypothesis: for each message the template offset up to which it is, and
    the tools.

    `confidence` (0 to 1) is that of `tools_position`.
    """

    messages: tuple[int, ...]
    tools: Warmth
    tools_position: Order
    confidence: float


class PartTokens(Struct, frozen=True):
    """Tokens (≈) of one message or tool, its template tokens included, and how many of them are warm."""

    part: Literal["message", "tool"]
    index: int
    tokens: float
    warm_tokens: float


class Cuts(Struct, frozen=True):
    """Where the zones part, in code points of the text in `order`: warm [0, warm), stable [warm, stable), variable
    after.

    `differs_from` is the id of the request that the prompt differs from at `stable`, if that ends the prefix;
    `variable` is the offset of the first variable.
    """

    warm: int
    stable: int
    differs_from: str | None = None
    order: Order = "first"
    variable: int | None = None


class _Extent:
    """How much of each part is before an offset of the ordered text."""

    def __init__(self, measure: Measure) -> None:
        self._starts: Mapping[tuple[PartKind, int], int] = {
            (part.kind, part.index): part.start for part in measure.view.parts
        }

    def within(self, part: ViewPart, offset: int) -> int:
        """Return how many code points of a canonical part are before `offset`."""
        start = self._starts.get((part.kind, part.index), offset)
        return min(max(offset - start, 0), part.end - part.start)

    def whole(self, part: ViewPart, cuts: Cuts) -> Zone | None:
        """Return the zone of a part that is in one zone; None if a cut is inside."""
        start = self._starts.get((part.kind, part.index))
        if start is None:
            return None
        end = start + part.end - part.start
        if cuts.warm >= end:
            return "warm"
        if max(cuts.warm, cuts.stable) <= start:
            return "variable"
        return "stable" if cuts.warm <= start and cuts.stable >= end else None

    def zone(self, part: ViewPart, cuts: Cuts) -> Zone:
        start = self._starts.get((part.kind, part.index))
        if start is None:
            return "variable"
        end = start + part.end - part.start
        return "warm" if cuts.warm >= end else "stable" if cuts.stable >= end else "variable"


def zones(view: DocumentView, cuts: Cuts, measure: Measure) -> ZoneMap:
    """Return the zones of a document. `measure` is of its text in the order of `cuts`."""
    extent = _Extent(measure)
    parts, ordered = view.view.parts, measure.view.parts
    opening = ordered[-1].start if ordered else inf  # the opening of the answer belongs to the last message
    before, upto = (measure.total if at >= opening else measure.upto(at) for at in (cuts.warm, cuts.stable))
    message_zones = tuple(extent.zone(part, cuts) for part in parts if part.kind == "role")
    spans = tuple(
        _content_spans(view, index, extent.whole(part, cuts) if part else message_zones[index], cuts, extent)
        for index, part in enumerate(view.contents)
    )
    messages, tools = [0.0] * len(view.document.messages), [0.0] * len(view.document.tools)
    for part, size in zip(ordered, measure.by_part, strict=True):
        # The opening of the answer belongs to the last message, without messages to the last tool.
        (tools if part.kind == "tool" or not messages else messages)[part.index] += size
    return ZoneMap(
        messages=spans,
        message_zones=message_zones,
        message_tokens=tuple(messages),
        tool_zones=tuple(extent.zone(part, cuts) for part in parts if part.kind == "tool"),
        tool_tokens=tuple(tools),
        warm_tokens=before,
        stable_tokens=upto - before,
        variable_tokens=measure.total - upto,
        boundary=_boundary(view, cuts, measure),
    )


def structure(view: DocumentView, cuts: Cuts, measure: Measure) -> tuple[StructureSpan, ...]:
    """Return which spans are the same in every request: each variable, and the first place that differed before."""
    found: list[StructureSpan] = []
    for index, tool in enumerate(view.document.tools):
        found.append(StructureSpan("tool", index, 0, len(tool.json_text), "stable"))
    for index, message in enumerate(view.document.messages):
        template, start = message.content or "", 0
        for place in places(template):
            if place.start > start:
                found.append(StructureSpan("message", index, start, place.start, "stable"))
            found.append(StructureSpan("message", index, place.start, place.end, "variable", "variable", place.name))
            start = place.end
        if start < len(template):
            found.append(StructureSpan("message", index, start, len(template), "stable"))
    return _with_difference(view, tuple(found), cuts, measure)


def _with_difference(
    view: DocumentView, spans: tuple[StructureSpan, ...], cuts: Cuts, measure: Measure
) -> tuple[StructureSpan, ...]:
    """Mark the line in which the prompt differs from an earlier version."""
    located = measure.view.locate(cuts.stable) if cuts.differs_from is not None else None
    if located is None or located[0].kind not in ("content", "tool"):
        return spans
    part, inside = located
    kind: Literal["message", "tool"] = "tool" if part.kind == "tool" else "message"
    rendered = view.rendered[part.index] if kind == "message" else None
    text = (
        view.document.tools[part.index].json_text
        if kind == "tool"
        else view.document.messages[part.index].content or ""
    )
    at = min(
        rendered.to_template(inside) if rendered is not None and inside < len(rendered.text) else inside, len(text)
    )
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return tuple(piece for span in spans for piece in _split_span(span, kind, part.index, at, end))


def _split_span(
    span: StructureSpan, kind: Literal["message", "tool"], index: int, start: int, end: int
) -> tuple[StructureSpan, ...]:
    low, high = max(span.start, start), min(span.end, end)
    if span.part != kind or span.index != index or span.kind == "variable" or low >= high:
        return (span,)
    pieces = (
        StructureSpan(kind, index, span.start, low, "stable"),
        StructureSpan(kind, index, low, high, "variable", "differs"),
        StructureSpan(kind, index, high, span.end, "stable"),
    )
    return tuple(piece for piece in pieces if piece.end > piece.start)


def cache_extent(view: DocumentView, cuts: Cuts, measure: Measure, weights: Mapping[Rendering, float]) -> CacheExtent:
    extent = _Extent(measure)
    messages = []
    for index, part in enumerate(view.contents):
        inside = extent.within(part, cuts.warm) if part is not None else 0
        messages.append(_in_template(view, index, inside) if inside else 0)
    tools = [extent.zone(part, cuts) for part in view.view.parts if part.kind == "tool"]
    partly = any(extent.within(part, cuts.warm) for part in view.view.parts if part.kind == "tool")
    warmth: Warmth = "none"
    if tools:
        warmth = "warm" if all(zone == "warm" for zone in tools) else "partial" if partly else "cold"
    position = TOOLS.get(cuts.order, cuts.order)
    confidence = sum(weight for one, weight in weights.items() if TOOLS.get(one.order, one.order) == position)
    return CacheExtent(tuple(messages), warmth, position, min(confidence, 1.0))


def part_tokens(view: DocumentView, cuts: Cuts, measure: Measure, total: float) -> tuple[PartTokens, ...]:
    """Return tokens per message and tool that add up to `total`: an exact count of the whole scales the estimates."""
    sums: dict[tuple[Literal["message", "tool"], int], list[float]] = {}
    last = len(view.document.messages) - 1
    warm = cuts.warm
    for part, tokens in zip(measure.view.parts, measure.by_part, strict=True):
        kind: Literal["message", "tool"] = "tool" if part.kind == "tool" else "message"
        index = part.index if part.index >= 0 else max(last, 0)
        pair = sums.get((kind, index))
        if pair is None:
            pair = sums[kind, index] = [0.0, 0.0]
        pair[0] += tokens
        if warm >= part.end:
            pair[1] += tokens
        elif warm > part.start:
            pair[1] += tokens * (warm - part.start) / (part.end - part.start)
    whole = sum(pair[0] for pair in sums.values()) or 1.0
    scale = total / whole
    return tuple(
        PartTokens(kind, index, pair[0] * scale, pair[1] * scale) for (kind, index), pair in sorted(sums.items())
    )


def _content_spans(
    view: DocumentView, index: int, zone: Zone | None, cuts: Cuts, extent: _Extent
) -> tuple[ZoneSpan, ...]:
    """Return the spans of a template. `zone`: of all of it, also if its variables are empty, so that no content is
    sent; None if a cut is inside."""
    template, part = view.document.messages[index].content or "", view.contents[index]
    if zone is not None:
        return (ZoneSpan(zone, 0, len(template)),) if template else ()
    assert part is not None
    warm, stable = (_in_template(view, index, extent.within(part, offset)) for offset in (cuts.warm, cuts.stable))
    spans, start = [], 0
    names: tuple[Zone, ...] = ("warm", "stable", "variable")
    for zone, end in zip(names, (warm, max(stable, warm), len(template)), strict=True):
        if end > start:
            spans.append(ZoneSpan(zone, start, end))
            start = end
    return tuple(spans)


def _in_template(view: DocumentView, index: int, inside: int) -> int:
    """Return an offset in a message's rendered content as one in its template."""
    rendered, template = view.rendered[index], view.document.messages[index].content or ""
    if inside <= 0:
        return 0
    if rendered is None or inside >= len(rendered.text):
        return len(template)
    return rendered.to_template(inside)


def _boundary(view: DocumentView, cuts: Cuts, measure: Measure) -> Boundary:
    place = cuts.stable
    if cuts.differs_from is None and cuts.variable is not None:
        # The prefix that every request shares ends at the first variable, even if its value was sent before.
        place = cuts.variable
    tokens = measure.upto(place)
    located = measure.view.locate(place)
    if located is None or located[0].index < 0 or place >= len(measure.view.text):
        return Boundary(None, 0, measure.total if place else tokens, "nothing in this prompt varies", "end")
    part, offset = located
    if part.kind == "content":
        rendered = view.rendered[part.index]
        offset = offset if rendered is None else rendered.to_template(offset)
    else:  # before the content 0, after it the content's length
        behind = part.kind in ("tool_calls", "extra")
        offset = len(view.document.messages[part.index].content or "") if behind else 0
    if cuts.differs_from is not None:
        rest = measure.view.text[place : max(part.end - 1, place)]
        return _differs(view, part, offset, rest, cuts.differs_from, tokens)
    if view.first_variable_name is None:
        return Boundary(None, 0, tokens, "nothing in this prompt varies", "end")
    return _varies(view, part, offset, tokens)


def _differs(view: DocumentView, part: ViewPart, offset: int, rest: str, other: str, tokens: float) -> Boundary:
    """`rest`: the text after it in the same part, without separators."""
    what = f"at “{snippet(rest, 16)}” in" if rest else "at the end of"
    cause = f"differs from {other} {what} {_where(view, part, offset)}"
    return Boundary(None if part.kind == "tool" else part.index, offset, tokens, cause, "differs")


def _varies(view: DocumentView, part: ViewPart, offset: int, tokens: float) -> Boundary:
    variables = places(view.document.messages[part.index].content or "")
    # An empty value starts where the next one does: the template knows which is first.
    offset = variables[0].start if variables else offset
    name = view.first_variable_name
    cause = f"ends at {{{{{name}}}}}, {_where(view, part, offset)}: everything after it is fresh"
    return Boundary(part.index, offset, tokens, cause, "variable", name)


def _where(view: DocumentView, part: ViewPart, offset: int) -> str:
    if part.kind == "tool":
        return f"tool {part.index + 1}"
    message = view.document.messages[part.index]
    if part.kind != "content":
        return f"message {part.index + 1} ({message.role})"
    line = (message.content or "").count("\n", 0, offset) + 1
    return f"message {part.index + 1} ({message.role}), line {line}"


class Composition(Struct, frozen=True):
    """Token counts; all but `max_tokens` (0: not set) are estimates (≈).

    `history` lies between the system messages and the last user message, `rest` begins with that message.
    """

    tools: float
    system: float
    history: float
    rest: float
    max_tokens: int
    room: int | None
    """Tokens that fit, input and output together; None: not known."""
    source: str = ""
    """Where `room` is from, as text."""

    @property
    def prompt(self) -> float:
        """Return ≈ tokens of the whole prompt."""
        return self.tools + self.system + self.history + self.rest

    @property
    def left(self) -> float | None:
        """Return ≈ tokens that fit beside prompt and answer; negative: too many; None: the limit is not known."""
        return None if self.room is None else self.room - self.prompt - self.max_tokens

    @property
    def over(self) -> bool:
        """Return whether prompt and answer do not fit."""
        return self.left is not None and self.left < 0

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """Return (name, tokens) in the cache's order."""
        answer = ("max_tokens", float(self.max_tokens))
        return ("tools", self.tools), ("system", self.system), ("history", self.history), ("rest", self.rest), answer


def composition(
    document: Document, zones: ZoneMap, context_tokens: int | None, context_source: str = ""
) -> Composition:
    """Return the composition of a document, by the token estimates of its zones."""
    roles = [message.role for message in document.messages]
    question = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else len(roles)
    sums = {"system": 0.0, "history": 0.0, "rest": 0.0}
    for index, (role, tokens) in enumerate(zip(roles, zones.message_tokens, strict=True)):
        sums["system" if role == "system" else "history" if index < question else "rest"] += tokens
    limit = document.parameters.get("max_tokens")
    answer = max(limit, 0) if isinstance(limit, int) and not isinstance(limit, bool) else 0
    tools = sum(zones.tool_tokens)
    return Composition(tools, sums["system"], sums["history"], sums["rest"], answer, context_tokens, context_source)

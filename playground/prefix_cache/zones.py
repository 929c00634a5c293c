"""Zones: which part of the prompt the cache is expected to serve, which is the same every time, which varies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from playground.prefix_cache.measure import Measure
from playground.prefix_cache.view import DocumentView, Part
from playground.prefix_cache.visible import snippet
from playground.prompt.variables import places

Zone = Literal["warm", "stable", "variable"]
"""warm: shared with a request sent recently, expect it from the cache · stable: the same in every request of this
prompt, not yet seen · variable: from the first changed character or variable on."""


@dataclass(frozen=True, slots=True)
class ZoneSpan:
    """Code points [start, end) of one message's *template* that lie in `zone`."""

    zone: Zone
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where the prefix ends: in message `message` (None: in the tools) at code point `offset` of its template.

    `tokens` is the estimate (≈) of the prefix before it. `cause` is the sentence that names what ends it; `name` is
    the variable's, where it is one. `kind` "end": nothing ends it, the whole prompt is prefix.
    """

    message: int | None
    offset: int
    tokens: float
    cause: str
    kind: Literal["variable", "differs", "end"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ZoneMap:
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
        """≈ tokens of the whole prompt."""
        return self.warm_tokens + self.stable_tokens + self.variable_tokens


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the zones part, in code points of the view's text: warm [0, warm), stable [warm, stable), variable after.

    `differs_from` is the short id of the request that the prompt differs from at `stable`, where that is what ends
    the prefix.
    """

    warm: int
    stable: int
    differs_from: str | None = None


def zones(view: DocumentView, cuts: Cuts, measure: Measure) -> ZoneMap:
    """The zones of a document."""
    before, upto = measure.upto(cuts.warm), measure.upto(cuts.stable)
    spans, heads, tools = _spans(view, cuts)
    messages, tool_tokens = _part_tokens(view, measure)
    return ZoneMap(
        messages=spans,
        message_zones=heads,
        message_tokens=messages,
        tool_zones=tools,
        tool_tokens=tool_tokens,
        warm_tokens=before,
        stable_tokens=upto - before,
        variable_tokens=measure.total - upto,
        boundary=_boundary(view, cuts, measure),
    )


def _spans(
    view: DocumentView, cuts: Cuts
) -> tuple[tuple[tuple[ZoneSpan, ...], ...], tuple[Zone, ...], tuple[Zone, ...]]:
    tools = tuple(_zone(part, cuts) for part in view.view.parts if part.kind == "tool")
    heads = tuple(_zone(part, cuts) for part in view.view.parts if part.kind == "role")
    spans = tuple(_content_spans(view, index, part, cuts) if part else () for index, part in enumerate(view.contents))
    return spans, heads, tools


def _zone(part: Part, cuts: Cuts) -> Zone:
    if part.end <= cuts.warm:
        return "warm"
    return "stable" if part.end <= cuts.stable else "variable"


def _content_spans(view: DocumentView, index: int, part: Part, cuts: Cuts) -> tuple[ZoneSpan, ...]:
    template = view.document.messages[index].content or ""
    ends = (_in_template(view, index, part, cuts.warm), _in_template(view, index, part, cuts.stable), len(template))
    spans, start = [], 0
    names: tuple[Zone, ...] = ("warm", "stable", "variable")
    for zone, end in zip(names, ends, strict=True):
        if end > start:
            spans.append(ZoneSpan(zone, start, end))
            start = end
    return tuple(spans)


def _in_template(view: DocumentView, index: int, part: Part, place: int) -> int:
    """A place in the view's text, as one in a message's template; before it 0, after it the template's length."""
    rendered, template = view.rendered[index], view.document.messages[index].content or ""
    inside = place - part.start
    if inside <= 0:
        return 0
    if rendered is None or inside >= len(rendered.text):
        return len(template)
    return rendered.to_template(inside)


def _part_tokens(view: DocumentView, measure: Measure) -> tuple[tuple[float, ...], tuple[float, ...]]:
    messages = [0.0] * len(view.document.messages)
    tools = [0.0] * len(view.document.tools)
    for number, part in enumerate(view.view.parts):
        (tools if part.kind == "tool" else messages)[part.index] += measure.part(number)
    return tuple(messages), tuple(tools)


def _boundary(view: DocumentView, cuts: Cuts, measure: Measure) -> Boundary:
    text = view.view.text
    place = cuts.stable
    if cuts.differs_from is None and view.first_variable is not None:
        # The prefix that every request shares ends at the first variable, also where its value was sent before.
        place = view.first_variable
    tokens = measure.upto(place)
    located = view.to_template(place)
    if located is None or place >= len(text):
        return Boundary(None, 0, tokens, "nothing in this prompt varies", "end")
    part, offset = located
    offset = _content_place(view, part, offset)
    if cuts.differs_from is not None:
        return _differs(view, part, offset, text[place : max(part.end - 1, place)], cuts.differs_from, tokens)
    return _varies(view, part, offset, tokens)


def _differs(view: DocumentView, part: Part, offset: int, rest: str, other: str, tokens: float) -> Boundary:
    """`rest`: what follows in the same part; the separators after it are no characters of the prompt."""
    what = f"at “{snippet(rest, 16)}” in" if rest else "at the end of"
    cause = f"differs from {other} {what} {_where(view, part, offset)}"
    return Boundary(None if part.kind == "tool" else part.index, offset, tokens, cause, "differs")


def _varies(view: DocumentView, part: Part, offset: int, tokens: float) -> Boundary:
    standing = places(view.document.messages[part.index].content or "")
    # An empty value stands where the next one starts: the template knows which is the first.
    offset = standing[0].start if standing else offset
    name = view.first_variable_name
    cause = f"ends at {{{{{name}}}}}, {_where(view, part, offset)}: everything after it is fresh"
    return Boundary(part.index, offset, tokens, cause, "variable", name)


def _content_place(view: DocumentView, part: Part, offset: int) -> int:
    """A place in a part, as one in its message's content: before the content it is 0, after it the content's length."""
    if part.kind in ("tool_calls", "extra"):
        return len(view.document.messages[part.index].content or "")
    return offset if part.kind == "content" else 0


def _where(view: DocumentView, part: Part, offset: int) -> str:
    if part.kind == "tool":
        return f"tool {part.index + 1}"
    message = view.document.messages[part.index]
    if part.kind != "content":
        return f"message {part.index + 1} ({message.role})"
    line = (message.content or "").count("\n", 0, offset) + 1
    return f"message {part.index + 1} ({message.role}), line {line}"

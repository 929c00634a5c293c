"""Timeline as lanes of bars and events with descriptions, for the canvas and the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from playground.voice.speech import Spoken
from playground.voice.timeline import MeasuredTurn, Silence, Timeline, TimelineSpan

Style: TypeAlias = Literal["speech", "silence", "wait", "text", "call", "tool", "moment", "error"]

HEARD, REQUEST, TEXT, CALLS, TOOLS = range(5)
LANES = ("Caller hears", "Request", "Text", "Tool calls", "Tools")

_MARKS = {
    "sent": ("request sent", "The request's first byte left."),
    "headers": ("headers", "The response's headers arrived, with its request_id."),
    "first_content": ("first content", "The first text of the turn arrived."),
    "first_call": ("first call piece", "The first piece of a tool call arrived."),
    "ended": ("response ended", "The response finished normally."),
    "failed": ("failed", "The request failed."),
    "stopped": ("stopped", "The request was stopped."),
}
_SPANS: dict[str, tuple[int, Style, str, str]] = {
    "queue": (REQUEST, "wait", "queue", "Queued under the plan's limits, or waiting for a retry."),
    "headers": (REQUEST, "wait", "headers", "From the request to the response's headers."),
    "first_token": (REQUEST, "wait", "first token", "From the headers to the first text or call piece."),
    "filler": (TEXT, "text", "filler", "Text spoken before a call"),
    "answer": (TEXT, "text", "answer", "Text of the answer"),
    "call": (CALLS, "call", "call", "From the first to the last piece of the call"),
    "tool": (TOOLS, "tool", "tool", "The tool runs"),
}
_CAUSES = {
    "start": "Silence before the first word.",
    "tool": "Tool calls and the next request take longer than the speech before them.",
    "starved": "The text arrived too slowly for the speaking rate.",
    "end": "Nothing is spoken until the agent loop ends.",
}


class Item(Struct, frozen=True):
    """A bar or an event. Seconds on the axis; `ends_at` None: not ended yet. `computed`: computed (≈), not measured.

    `label`: text in or next to it. `meaning`: its description. `ticks`: arrival times of its pieces.
    """

    lane: int
    starts_at: float
    ends_at: float | None
    style: Style
    label: str
    meaning: str
    turn: int
    computed: bool = False
    ticks: tuple[float, ...] = ()

    @property
    def length_s(self) -> float | None:
        """Return its length; None for an event and for a bar that has not ended."""
        if self.style in ("moment", "error") or self.ends_at is None:
            return None
        return self.ends_at - self.starts_at


class Picture(Struct, frozen=True):
    """`bars` in lanes and `moments` across all lanes, both in order of time. `lanes`: the non-empty ones."""

    lanes: tuple[str, ...]
    bars: tuple[Item, ...]
    moments: tuple[Item, ...]
    ends_at: float

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(sorted((*self.moments, *self.bars), key=lambda item: (item.starts_at, item.lane)))


EMPTY = Picture(LANES[:3], (), (), 0.0)


def milliseconds(value: float | None, *, computed: bool = False) -> str:
    """Format as `1,200 ms`, `≈ 1,200 ms`, or `—` if unknown."""
    if value is None:
        return "—"
    return f"{'≈ ' if computed else ''}{value * 1000:,.0f} ms"


def picture(timeline: Timeline, turns: Sequence[MeasuredTurn] = ()) -> Picture:
    """Return the drawing of a timeline.

    `turns`: its measured turns, for the single pieces; only for the variant as measured.
    """
    shown_tools = _stacked([span for span in timeline.spans if span.kind == "tool"])
    bars = [_speech(part, turns) for part in timeline.spoken]
    bars += [_silence(silence) for silence in timeline.silences]
    bars += [_bar(span, turns, timeline.variant == "parallel") for span in timeline.spans if span.kind != "tool"]
    bars += [_tool(span, row, timeline.variant) for row, span in shown_tools]
    rows = max((row for row, _ in shown_tools), default=-1) + 1
    lanes = (*LANES[:TOOLS], *("Tools" if row == 0 else "" for row in range(rows)))
    if not any(bar.lane == CALLS for bar in bars) and not rows:
        lanes = LANES[:CALLS]
    moments = sorted(_moments(timeline, len(turns) > 1), key=lambda item: item.starts_at)
    return Picture(lanes, tuple(sorted(bars, key=lambda bar: bar.starts_at)), tuple(moments), timeline.ends_at)


def brief(shown: Picture) -> Picture:
    """Return the picture reduced to audible speech and tools, without events."""
    kept = [bar for bar in shown.bars if bar.lane == HEARD or bar.lane >= TOOLS]
    bars = tuple(replace(bar, lane=HEARD if bar.lane == HEARD else bar.lane - TOOLS + 1) for bar in kept)
    return Picture((LANES[HEARD], *shown.lanes[TOOLS:]), bars, (), shown.ends_at)


def _stacked(spans: Sequence[TimelineSpan]) -> list[tuple[int, TimelineSpan]]:
    """Return (row, span) pairs; tools that run at the same time are in different rows."""
    free: list[float] = []
    placed: list[tuple[int, TimelineSpan]] = []
    for span in sorted(spans, key=lambda one: one.starts_at):
        row = next((place for place, until in enumerate(free) if until <= span.starts_at), len(free))
        if row == len(free):
            free.append(0.0)
        free[row] = float("inf") if span.ends_at is None else span.ends_at
        placed.append((row, span))
    return placed


def _speech(part: Spoken, turns: Sequence[MeasuredTurn]) -> Item:
    calling = part.turn < len(turns) and bool(turns[part.turn].times.calls)
    by = "Sound measured of the speech engine, the way to the ear assumed." if part.measured else "Laid out: ≈."
    meaning = f"{'Filler' if calling else 'Answer'} heard: “{part.text}” Its text was whole at "
    return Item(
        HEARD,
        part.starts_at,
        part.ends_at,
        "speech",
        part.text,
        f"{meaning}{milliseconds(part.text_at)}. {by}",
        part.turn,
        not part.measured,
    )


def _silence(silence: Silence) -> Item:
    length = milliseconds(silence.length_s, computed=True)
    words = f"Silence of {length}. {_CAUSES[silence.cause]}"
    return Item(HEARD, silence.starts_at, silence.ends_at, "silence", length, words, -1, True)


def _bar(span: TimelineSpan, turns: Sequence[MeasuredTurn], as_run: bool) -> Item:
    lane, style, label, meaning = _SPANS[span.kind]
    ticks: tuple[float, ...] = ()
    if as_run and span.turn < len(turns):
        ticks = tuple(_pieces(span, turns[span.turn]))
    if span.kind == "call":
        label, meaning = span.label or "call", f"{meaning} of {span.label or 'a tool'}."
    elif style == "text":
        meaning = f"{meaning}: “{span.label}”"
        label = span.label
    return Item(lane, span.starts_at, span.ends_at, style, label, meaning, span.turn, not as_run, ticks)


def _pieces(span: TimelineSpan, turn: MeasuredTurn) -> Iterator[float]:
    if span.kind in ("filler", "answer"):
        yield from (turn.began_at + at for at in turn.times.piece_times)
    for call in turn.times.calls if span.kind == "call" else ():
        if abs(turn.began_at + call.first_at - span.starts_at) < 1e-9 and call.name == span.label:
            yield from (turn.began_at + at for at in call.piece_times)


def _tool(span: TimelineSpan, row: int, variant: str) -> Item:
    meaning = f"The tool {span.label} runs."
    return Item(
        TOOLS + row, span.starts_at, span.ends_at, "tool", span.label, meaning, span.turn, variant != "parallel"
    )


def _moments(timeline: Timeline, many: bool) -> Iterator[Item]:
    as_run = timeline.variant == "parallel"

    def moment(at: float, words: str, meaning: str, turn: int, *, lane: int, computed: bool, bad: bool = False) -> Item:
        label = f"{milliseconds(at, computed=computed).removesuffix(' ms')} {words}"
        label += f" · turn {turn + 1}" if many else ""
        return Item(lane, at, at, "error" if bad else "moment", label, meaning, turn, computed)

    for mark in timeline.marks:
        words, meaning = _MARKS[mark.kind]
        bad = mark.kind in ("failed", "stopped")
        yield moment(mark.at, words, meaning, mark.turn, lane=REQUEST, computed=not as_run, bad=bad)
    for span in timeline.spans:
        if span.kind == "tool":
            started = f"The tool {span.label} was started."
            yield moment(span.starts_at, f"{span.label} starts", started, span.turn, lane=TOOLS, computed=not as_run)
            if span.ends_at is not None:
                back = f"The tool {span.label} returned."
                yield moment(span.ends_at, f"{span.label} back", back, span.turn, lane=TOOLS, computed=not as_run)
    heard: set[int] = set()
    for part in timeline.spoken:
        if part.turn not in heard:
            heard.add(part.turn)
            meaning = "The first sound of this turn reaches the caller."
            yield moment(part.starts_at, "heard", meaning, part.turn, lane=HEARD, computed=True)


def rows(shown: Picture) -> list[tuple[str, str, str, str, str]]:
    """Return table rows: time, length, lane, description, and whether it was measured."""
    return [
        (
            milliseconds(item.starts_at, computed=item.computed),
            "goes on" if item.ends_at is None else _length(item),
            LANES[min(item.lane, TOOLS)],
            item.meaning if item.turn < 0 else f"turn {item.turn + 1}: {item.meaning}",
            "≈ computed" if item.computed else "measured",
        )
        for item in shown.items
    ]


def _length(item: Item) -> str:
    return "" if item.length_s is None else milliseconds(item.length_s, computed=item.computed)

"""Voice timeline: model, tools and audible speech on one axis of seconds; how soon repeated turns could be spoken.

The axis begins with the first run. Speech times are computed from assumptions unless a real engine measured them.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import Document, Tool
from playground.runs.state import TurnTimes
from playground.voice.speech import DEFAULTS, AudioTimes, SpeechSettings, Spoken, lay_out

Variant: TypeAlias = Literal["parallel", "after_speech", "no_filler"]
VARIANTS: tuple[Variant, ...] = ("parallel", "after_speech", "no_filler")
"""parallel: as measured, the tool runs during the filler's speech · after_speech: the tool starts at the end of the
filler's speech · no_filler: turns with calls contain no text.
"""


class MeasuredTool(Struct, frozen=True):
    """A tool's execution, on the loop's axis. `ended_at` None: still running. `stopped`: it never returned."""

    name: str
    started_at: float
    ended_at: float | None
    stopped: bool = False


class MeasuredTurn(Struct, frozen=True):
    """One measured turn: its run began at `began_at` on the loop's axis; its `times` are relative to that."""

    began_at: float
    times: TurnTimes
    tools: tuple[MeasuredTool, ...] = ()
    audio: tuple[AudioTimes | None, ...] = ()

    @property
    def has_filler(self) -> bool:
        """Return whether the turn has text before a call."""
        first, call = self.times.first_content_at, self.times.first_call_at
        return first is not None and call is not None and first <= call

    @property
    def last_at(self) -> float:
        """Return the last measured time of the turn, on the axis."""
        times = self.times
        last = times.ended_at or times.finished_at or times.first_piece_at or times.headers_at or 0.0
        return max(self.began_at + last, *(tool.ended_at or tool.started_at for tool in self.tools), 0.0)


class PlacedTurn(Struct, frozen=True):
    """A turn in a variant.

    `began_at`: on the variant's axis. `cut_s`: seconds by which its call is earlier. `silent`: not spoken.
    """

    number: int
    began_at: float
    cut_s: float
    silent: bool
    measured: MeasuredTurn
    tools: tuple[MeasuredTool, ...]
    spoken: tuple[Spoken, ...]


def place(turns: Sequence[MeasuredTurn], settings: SpeechSettings, variant: Variant) -> tuple[PlacedTurn, ...]:
    """Return the turns of a variant. The axis begins with the first run.

    Measured periods are shifted as a whole; no time is invented. Without a filler the model would have begun with the
    call, so the call moves earlier by the time from the first filler text to the first piece of a call.
    """
    placed: list[PlacedTurn] = []
    began_at = free_at = 0.0
    for number, turn in enumerate(turns):
        if number:
            began_at = _next(placed[-1], turn)
        one = _place(number, turn, began_at, free_at, settings, variant)
        free_at = one.spoken[-1].ends_at if one.spoken else free_at
        placed.append(one)
    return tuple(placed)


def _place(
    number: int, turn: MeasuredTurn, began_at: float, free_at: float, settings: SpeechSettings, variant: Variant
) -> PlacedTurn:
    silent = variant == "no_filler" and bool(turn.times.calls)
    cut_s = _filler_s(turn) if silent else 0.0
    spoken: tuple[Spoken, ...] = ()
    if not silent:
        spoken = lay_out(turn.times, settings, turn=number, began_at=began_at, free_at=free_at, audio=turn.audio)
    waits_for = spoken[-1].ends_at if variant == "after_speech" and spoken else 0.0
    tools = tuple(_shifted(tool, began_at - turn.began_at - cut_s, waits_for) for tool in turn.tools)
    return PlacedTurn(number, began_at, cut_s, silent, turn, tools, spoken)


def _filler_s(turn: MeasuredTurn) -> float:
    first, call = turn.times.first_content_at, turn.times.first_call_at
    return max(call - first, 0.0) if first is not None and call is not None else 0.0


def _shifted(tool: MeasuredTool, by_s: float, not_before: float) -> MeasuredTool:
    started_at = max(tool.started_at + by_s, not_before)
    ended_at = None if tool.ended_at is None else started_at + (tool.ended_at - tool.started_at)
    return MeasuredTool(tool.name, started_at, ended_at, tool.stopped)


def _next(before: PlacedTurn, turn: MeasuredTurn) -> float:
    """Return the start of the next run: the measured delay after the last tool, or after the turn."""
    was = [tool.ended_at for tool in before.measured.tools if tool.ended_at is not None]
    ends = [tool.ended_at for tool in before.tools if tool.ended_at is not None]
    if not was:
        return before.began_at + (turn.began_at - before.measured.began_at) - before.cut_s
    return max(ends) + (turn.began_at - max(was))


MarkKind: TypeAlias = Literal["sent", "headers", "first_content", "first_call", "ended", "failed", "stopped"]
SpanKind: TypeAlias = Literal["queue", "headers", "first_token", "filler", "answer", "call", "tool"]
"""queue: before the newest attempt was sent · headers: sent to headers · first_token: headers to the first piece ·
filler, answer: text arrives · call: pieces of a call arrive · tool: it runs.
"""
Cause: TypeAlias = Literal["start", "tool", "starved", "end"]
"""start: before the first word · tool: calls and the next request take longer than the speech before them · starved:
the turn's text arrives too slowly · end: nothing is spoken until the agent loop ends.
"""

SHORTEST_SILENCE_S = 0.0005
"""Half a millisecond: figures are rounded to the millisecond."""


class TimelineMark(Struct, frozen=True):
    """A point in time on the axis."""

    kind: MarkKind
    turn: int
    at: float


class TimelineSpan(Struct, frozen=True):
    """A period on the axis. `ends_at` None: not ended yet. `label`: a tool's name, or the text."""

    kind: SpanKind
    turn: int
    starts_at: float
    ends_at: float | None
    label: str = ""


class Silence(Struct, frozen=True):
    """A period in which the caller hears nothing."""

    starts_at: float
    ends_at: float
    cause: Cause

    @property
    def length_s(self) -> float:
        return self.ends_at - self.starts_at


class Timeline(Struct, frozen=True):
    """The timeline of one variant. Times in seconds; None: did not happen."""

    variant: Variant
    marks: tuple[TimelineMark, ...]
    spans: tuple[TimelineSpan, ...]
    spoken: tuple[Spoken, ...]
    silences: tuple[Silence, ...]
    ends_at: float
    first_sound_at: float | None
    answer_heard_at: float | None

    @property
    def longest_silence_s(self) -> float:
        """Return the longest silence in seconds; 0 without one."""
        return max((silence.length_s for silence in self.silences), default=0.0)

    @property
    def total_silence_s(self) -> float:
        """Return the total silence in seconds, including the silence before the first word."""
        return sum(silence.length_s for silence in self.silences)


def timeline(
    turns: Sequence[MeasuredTurn],
    settings: SpeechSettings = DEFAULTS,
    variant: Variant = "parallel",
    now: float | None = None,
) -> Timeline:
    """Return the timeline of one agent loop, or of one turn. `now`: the current end of the axis while it still runs."""
    placed = place(turns, settings, variant)
    spoken = tuple(part for turn in placed for part in turn.spoken)
    answer = placed[-1].spoken[0] if placed and placed[-1].spoken and not turns[-1].times.calls else None
    events_end = max((*(_last(turn) for turn in placed), now or 0.0))
    return Timeline(
        variant,
        tuple(mark for turn in placed for mark in _marks(turn)),
        tuple(span for turn in placed for span in _spans(turn)),
        spoken,
        tuple(_silences(spoken, events_end, answered=answer is not None, goes_on=now is not None)),
        max(events_end, spoken[-1].ends_at if spoken else 0.0),
        spoken[0].starts_at if spoken else None,
        answer.starts_at if answer else None,
    )


class TimeSaved(Struct, frozen=True):
    """Seconds by which `parallel` is faster than another variant; negative: slower, None: a time is unknown."""

    over: Variant
    first_sound_s: float | None
    answer_s: float | None
    longest_silence_s: float
    total_silence_s: float


class Comparison(Struct, frozen=True):
    """The same run in all variants. `has_filler` False: no turn with calls contains text, so all variants are equal."""

    timelines: dict[Variant, Timeline]
    saved: tuple[TimeSaved, ...]
    has_filler: bool


def compare(turns: Sequence[MeasuredTurn], settings: SpeechSettings = DEFAULTS) -> Comparison:
    """Return all variants of one run, and the time saved by running the tool during the filler."""
    timelines = {variant: timeline(turns, settings, variant) for variant in VARIANTS}
    ours = timelines["parallel"]
    saved = tuple(_time_saved(ours, timelines[variant]) for variant in VARIANTS if variant != "parallel")
    return Comparison(timelines, saved, any(turn.has_filler for turn in turns))


def _time_saved(ours: Timeline, other: Timeline) -> TimeSaved:
    return TimeSaved(
        other.variant,
        _less(other.first_sound_at, ours.first_sound_at),
        _less(other.answer_heard_at, ours.answer_heard_at),
        other.longest_silence_s - ours.longest_silence_s,
        other.total_silence_s - ours.total_silence_s,
    )


def _less(moment: float | None, zero: float | None) -> float | None:
    return None if moment is None or zero is None else moment - zero


def _silences(spoken: Sequence[Spoken], events_end: float, *, answered: bool, goes_on: bool) -> Iterator[Silence]:
    if spoken:
        found = [Silence(0.0, spoken[0].starts_at, "start")]
        for before, after in pairwise(spoken):
            found.append(Silence(before.ends_at, after.starts_at, "starved" if before.turn == after.turn else "tool"))
        if not answered:
            found.append(Silence(spoken[-1].ends_at, events_end, "tool" if goes_on else "end"))
    else:
        found = [Silence(0.0, events_end, "start" if goes_on else "end")]
    yield from (silence for silence in found if silence.length_s >= SHORTEST_SILENCE_S)


def _last(turn: PlacedTurn) -> float:
    last = turn.measured.last_at - turn.measured.began_at + turn.began_at - turn.cut_s
    return max(last, *(tool.ended_at or tool.started_at for tool in turn.tools), 0.0)


def _marks(turn: PlacedTurn) -> Iterator[TimelineMark]:
    times, zero, late = turn.measured.times, turn.began_at, turn.began_at - turn.cut_s
    if times.sent_at is not None:
        yield TimelineMark("sent", turn.number, zero + times.sent_at)
    if times.headers_at is not None:
        yield TimelineMark("headers", turn.number, zero + times.headers_at)
    if times.first_content_at is not None and not turn.silent:
        yield TimelineMark("first_content", turn.number, zero + times.first_content_at)
    if times.first_call_at is not None:
        yield TimelineMark("first_call", turn.number, late + times.first_call_at)
    if times.ended_at is not None:
        kind: MarkKind = "failed" if times.ended_as == "failed" else "stopped"
        yield TimelineMark("ended" if times.ended_as == "done" else kind, turn.number, late + times.ended_at)


def _spans(turn: PlacedTurn) -> Iterator[TimelineSpan]:
    times, zero, late, number = turn.measured.times, turn.began_at, turn.began_at - turn.cut_s, turn.number
    if times.sent_at:
        yield TimelineSpan("queue", number, zero, zero + times.sent_at)
    if times.sent_at is not None:
        waits_until = times.headers_at if times.headers_at is not None else times.ended_at
        yield TimelineSpan("headers", number, zero + times.sent_at, _moved(zero, waits_until))
    if times.headers_at is not None:
        until = times.first_piece_at if times.first_piece_at is not None else times.ended_at
        yield TimelineSpan("first_token", number, zero + times.headers_at, _moved(zero, until))
    if times.piece_times and not turn.silent:
        kind: SpanKind = "filler" if times.calls else "answer"
        yield TimelineSpan(kind, number, zero + times.piece_times[0], zero + times.piece_times[-1], times.text)
    for call in times.calls:
        yield TimelineSpan("call", number, late + call.first_at, late + call.last_at, call.name)
    for tool in turn.tools:
        yield TimelineSpan("tool", number, tool.started_at, tool.ended_at, tool.name)


def _moved(zero: float, at: float | None) -> float | None:
    return None if at is None else zero + at


def cold(document: Document) -> Document:
    """Return the prompt with a unique text before its first message, so that no cache holds its prefix.

    Without a shared catalogue. Tools precede the messages in the prefix (assumed), so the first tool's description gets
    the text too.
    """
    words = uuid.uuid4().hex[:8]
    messages = document.messages
    if messages:
        first = replace(messages[0], content=f"[{words}] {messages[0].content or ''}")
        messages = (first, *messages[1:])
    return replace(document, messages=messages, tools=_other(document, words))


def _other(document: Document, words: str) -> tuple[Tool, ...]:
    if not document.tools:
        return ()
    definition = dict(document.tools[0].definition)
    function = definition.get("function")
    if isinstance(function, dict):
        said = function.get("description")
        definition["function"] = {**function, "description": f"[{words}] {said if isinstance(said, str) else ''}"}
    return (Tool.of(definition), *document.tools[1:])


Cache: TypeAlias = Literal["cold", "warm", "unknown"]
"""Cache state as the server reported it: no cached tokens, some, or not reported."""
DEFAULT_LIMIT_S = 10.0
TOLERATED_S = 0.0005
"""Pauses up to this length are rounding differences: figures are rounded to the millisecond."""


class Distribution(Struct, frozen=True):
    """Values in seconds, lowest first. `missing`: turns without a value, such as turns without text."""

    values: tuple[float, ...]
    missing: int = 0

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Distribution:
        """Return the distribution of these values; None is a missing one."""
        every = list(values)
        known = sorted(value for value in every if value is not None)
        return cls(tuple(known), len(every) - len(known))

    @property
    def median(self) -> float | None:
        """Return the median: the middle value or the mean of the two middle ones. None without values."""
        return median(self.values) if self.values else None

    @property
    def p90(self) -> float | None:
        """Return the 90th percentile (nearest rank). None without values."""
        return self.values[math.ceil(0.9 * len(self.values)) - 1] if self.values else None

    @property
    def highest(self) -> float | None:
        """Return the largest value. None without values."""
        return self.values[-1] if self.values else None


class Share(Struct, frozen=True):
    """`count` out of `of` turns."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """Return the share, 0 to 1. None without turns."""
        return self.count / self.of if self.of else None


class Group(Struct, frozen=True):
    """Figures of a group of turns. Times in seconds since the newest attempt was sent.

    `first_clause`: until the first speakable text was complete. `longest_gap`: between two pieces of text. `starved`:
    total pause of started speech at the configured rate. `starving`: turns with such a pause. `within`: turns that
    finished normally within the limit, measured from the start of the run, retries included.
    """

    turns: int
    ttft: Distribution
    first_clause: Distribution
    longest_gap: Distribution
    starved: Distribution
    starving: Share
    within: Share


class Readiness(Struct, frozen=True):
    """All turns, and the groups reported as cold, as warm, or not reported. Stopped turns are excluded."""

    all: Group
    cold: Group
    warm: Group
    unknown: Group
    limit_s: float
    stopped: int


def readiness(
    turns: Sequence[TurnTimes], settings: SpeechSettings = DEFAULTS, limit_s: float = DEFAULT_LIMIT_S
) -> Readiness:
    """Return the figures of repeated turns. A failed turn counts as not within the limit."""
    kept = [turn for turn in turns if turn.ended_as in ("done", "failed")]

    def group(*caches: Cache) -> Group:
        return _group([turn for turn in kept if cache_of(turn) in caches], settings, limit_s)

    groups = group("cold", "warm", "unknown"), group("cold"), group("warm"), group("unknown")
    return Readiness(*groups, limit_s, len(turns) - len(kept))


def cache_of(turn: TurnTimes) -> Cache:
    """Return whether the prefix came from the cache, as reported."""
    if turn.cached_tokens is None:
        return "unknown"
    return "warm" if turn.cached_tokens > 0 else "cold"


def first_clause_at(turn: TurnTimes, settings: SpeechSettings) -> float | None:
    """Return the time at which the first speakable text was complete, in seconds on the turn's clock."""
    spoken = lay_out(turn, settings)
    return spoken[0].text_at if spoken else None


def starved_s(turn: TurnTimes, settings: SpeechSettings) -> float | None:
    """Return the total pause of started speech, in seconds. None if nothing is spoken."""
    spoken = lay_out(turn, settings)
    if not spoken:
        return None
    gaps = (after.starts_at - before.ends_at for before, after in pairwise(spoken))
    return sum(gap for gap in gaps if gap > TOLERATED_S)


def _group(turns: Sequence[TurnTimes], settings: SpeechSettings, limit_s: float) -> Group:
    def since_sent(moment: Callable[[TurnTimes], float | None]) -> Distribution:
        times = [(moment(turn), turn.sent_at) for turn in turns]
        return Distribution.of(None if at is None or sent_at is None else at - sent_at for at, sent_at in times)

    starved = [starved_s(turn, settings) for turn in turns]
    spoke = [seconds for seconds in starved if seconds is not None]
    in_time = [turn for turn in turns if turn.ended_as == "done" and (turn.ended_at or 0.0) <= limit_s]
    return Group(
        len(turns),
        since_sent(lambda turn: turn.first_piece_at),
        since_sent(lambda turn: first_clause_at(turn, settings)),
        Distribution.of(turn.longest_gap_s for turn in turns),
        Distribution.of(starved),
        Share(sum(seconds > 0 for seconds in spoke), len(spoke)),
        Share(len(in_time), len(turns)),
    )

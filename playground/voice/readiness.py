"""Voice readiness: how soon and how evenly repeated turns could be spoken, with a cold and a warm cache."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import Document, Tool
from playground.runs.state import TurnTimes
from playground.voice.speech import DEFAULTS, SpeechSettings, lay_out


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

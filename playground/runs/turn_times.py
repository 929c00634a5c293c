"""Times at which the pieces of a turn arrived."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate, pairwise

from msgspec import Struct, field

from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    AttemptStarted,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    Stopped,
    ToolCallDelta,
    UsageReported,
)


class CallTimes(Struct, frozen=True):
    """Arrival times of the pieces of tool call `index`, at least one. Seconds since the run began."""

    index: int
    name: str
    piece_times: tuple[float, ...]

    @property
    def first_at(self) -> float:
        """Return the time of the first piece."""
        return self.piece_times[0]

    @property
    def last_at(self) -> float:
        """Return the time of the last piece received so far."""
        return self.piece_times[-1]


class TurnTimes(Struct, frozen=True):
    """Times of one turn in seconds since its run began; None: did not happen (yet).

    `sent_at` belongs to the newest attempt, `attempts` lists all. `piece_ends[i]`: characters of `text` received at
    `piece_times[i]`. `cached_tokens`: as reported; None if not reported.
    """

    sent_at: float | None = None
    attempts: tuple[float, ...] = ()
    headers_at: float | None = None
    text: str = ""
    piece_times: tuple[float, ...] = ()
    piece_ends: tuple[int, ...] = ()
    calls: tuple[CallTimes, ...] = ()
    finished_at: float | None = None
    ended_at: float | None = None
    ended_as: str = ""
    cached_tokens: int | None = None

    @property
    def first_content_at(self) -> float | None:
        """Return the time of the first text; None without text."""
        return self.piece_times[0] if self.piece_times else None

    @property
    def first_call_at(self) -> float | None:
        """Return the time of the first piece of a call; None without calls."""
        return min((call.first_at for call in self.calls), default=None)

    @property
    def first_piece_at(self) -> float | None:
        """Return the time of the first piece of text or of a call."""
        found = [at for at in (self.first_content_at, self.first_call_at) if at is not None]
        return min(found, default=None)

    @property
    def text_ended_at(self) -> float | None:
        """Return the time after which no more text can arrive: a call after the text, or the end.

        None while text may follow.
        """
        ends = [at for at in (self.finished_at, self.ended_at) if at is not None]
        last = self.piece_times[-1] if self.piece_times else 0.0
        ends += [call.first_at for call in self.calls if call.first_at >= last]
        return min(ends, default=None)

    @property
    def longest_gap_s(self) -> float | None:
        """Return the longest time between two pieces of text or calls; None with fewer than two pieces."""
        times = sorted((*self.piece_times, *(at for call in self.calls for at in call.piece_times)))
        return max((after - before for before, after in pairwise(times)), default=None)

    def came_at(self, characters: int) -> float | None:
        """Return the time at which that many characters of the text had arrived; None if they have not."""
        if characters <= 0:
            return self.first_content_at
        place = bisect_left(self.piece_ends, characters)
        return self.piece_times[place] if place < len(self.piece_times) else None


class Stopwatch(Struct):
    """Collects the times of a run from its events."""

    _sent: list[float] = field(default_factory=list)
    _headers_at: float | None = None
    _pieces: list[tuple[float, str]] = field(default_factory=list)
    _calls: dict[int, list[float]] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _finished_at: float | None = None
    _ended: tuple[float, str] | None = None
    _cached_tokens: int | None = None

    def apply(self, event: AnyEvent) -> None:
        """Add an event."""
        match event:
            case AttemptStarted():
                self._sent.append(event.at)
                self._headers_at = self._ended = None
            case HeadersReceived():
                self._headers_at = event.at
            case ContentDelta():
                self._pieces.append((event.at, event.text))
            case ToolCallDelta():
                self._call(event)
            case Finished():
                self._finished_at = event.at
            case UsageReported():
                self._cached_tokens = event.usage.cached_tokens
            case Completed() | AttemptFailed() | Stopped():
                words = {Completed: "done", AttemptFailed: "failed", Stopped: "stopped"}
                self._ended = event.at, words[type(event)]
            case _:
                pass

    def _call(self, event: ToolCallDelta) -> None:
        self._calls.setdefault(event.index, []).append(event.at)
        if event.name:
            self._names[event.index] = event.name

    @property
    def times(self) -> TurnTimes:
        """Return the times so far."""
        ended_at, ended_as = self._ended or (None, "")
        return TurnTimes(
            sent_at=self._sent[-1] if self._sent else None,
            attempts=tuple(self._sent),
            headers_at=self._headers_at,
            text="".join(text for _, text in self._pieces),
            piece_times=tuple(at for at, _ in self._pieces),
            piece_ends=tuple(accumulate(len(text) for _, text in self._pieces)),
            calls=tuple(
                CallTimes(index, self._names.get(index, ""), tuple(times))
                for index, times in sorted(self._calls.items())
            ),
            finished_at=self._finished_at,
            ended_at=ended_at,
            ended_as=ended_as,
            cached_tokens=self._cached_tokens,
        )


def measure(events: Iterable[AnyEvent]) -> TurnTimes:
    """Return the times of a run, from its events."""
    watch = Stopwatch()
    for event in events:
        watch.apply(event)
    return watch.times

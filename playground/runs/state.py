"""The state that the events of a run add up to, live or from the log, and when its pieces arrived."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal, assert_never

from msgspec import Struct, field

from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    BodyIdReceived,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    Queued,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    RetryScheduled,
    Stopped,
    TimesUnknown,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.client.tolerant_json import merged

if TYPE_CHECKING:
    from playground.client.response_decoder import RequestId

Phase = Literal["waiting", "sent", "streaming", "retrying", "done", "failed", "stopped", "interrupted"]
"""waiting: not sent yet · sent: no content yet · streaming: content arrives · retrying: an attempt failed and the next
one is scheduled · done, failed, stopped: ended · interrupted: the program ended first (only from the log)."""

ENDED: frozenset[Phase] = frozenset(("done", "failed", "stopped", "interrupted"))


MOST_PROBABILITIES = 32_768
"""Maximum number of tokens with stored probabilities, one per token of the context; further ones are counted."""


SINCE_SENT = "Measured from sending the newest attempt"
"""What the time to first token and the times of events count from."""


class Attempt(Struct):
    """One HTTP exchange of a run. Times in seconds since the run began."""

    number: int
    started_at: float
    status: int | None = None
    request_id: str | None = None
    headers_at: float | None = None
    ended_at: float | None = None
    error: ApiError | None = None
    connect_s: float | None = None
    """Duration of opening the connection; 0 for a reused one, None if unknown."""
    request_ids: tuple[RequestId, ...] = ()
    """All request ids in the response's headers with their sources; `request_id` is the first."""


class ToolCallState(Struct):
    """A tool call with the pieces received so far."""

    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """Return the argument text received so far."""
        return "".join(self.pieces)


class RunState(Struct):
    """The state of one run. Changed only by `apply`; times in seconds since the run began.

    first_token_at: first piece of text, reasoning, refusal or tool call. first_content_at: first piece of text.
    """

    phase: Phase = "waiting"
    attempts: list[Attempt] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    reasoning_pieces: list[str] = field(default_factory=list)
    refusal_pieces: list[str] = field(default_factory=list)
    tool_calls: dict[int, ToolCallState] = field(default_factory=dict)
    body_id: str | None = None
    response_model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: ApiError | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    first_content_at: float | None = None
    ended_at: float | None = None
    times_known: bool = True
    """False if the events' times are those of an import that has none: ended_at alone is known."""
    saw_done: bool = False
    more_after_done: bool = False
    text_after_finish: bool = False
    noted: tuple[str, ...] = ()
    """Titles of warnings whose events are lost."""
    retry: RetryScheduled | None = None
    queued: Queued | None = None
    raw: list[RawEvent] = field(default_factory=list)
    probabilities: list[TokenProbability] = field(default_factory=list)
    probabilities_came: int = 0
    """Number of tokens with probabilities, also of those beyond MOST_PROBABILITIES."""

    @property
    def trouble(self) -> ApiError | None:
        """Return `error` under its name in earlier versions, which scripts outside this repository read."""
        return self.error

    @property
    def text(self) -> str:
        """Return the completion's text received so far."""
        return _joined(self.pieces)

    @property
    def reasoning(self) -> str:
        """Return the model's reasoning received so far; it is not part of the text."""
        return _joined(self.reasoning_pieces)

    @property
    def refusal(self) -> str:
        """Return the model's refusal received so far; it is not part of the text."""
        return _joined(self.refusal_pieces)

    @property
    def calls(self) -> list[ToolCallState]:
        """Return the tool calls in the order of their index."""
        return [call for _, call in sorted(self.tool_calls.items())]

    @property
    def request_id(self) -> str | None:
        """Return the newest attempt's request id; None until its headers arrive, or if they have none."""
        return self.attempts[-1].request_id if self.attempts else None

    @property
    def status(self) -> int | None:
        """Return the newest attempt's HTTP status."""
        return self.attempts[-1].status if self.attempts else None

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def waits(self) -> bool:
        """Whether the next attempt is to be sent later."""
        return self.phase in ("waiting", "retrying")

    @property
    def ttft_s(self) -> float | None:
        """Return the time to first token: from sending the newest attempt to its first piece, including reasoning."""
        if self.first_token_at is None or not self.attempts or not self.times_known:
            return None
        return self.first_token_at - self.attempts[-1].started_at

    def left_to_send_s(self, elapsed_s: float) -> float | None:
        """Return the seconds until a request that waits for the plan or for a retry is sent; None: it does not wait, or
        the wait cannot be known."""
        end = None
        if self.phase == "waiting" and self.queued is not None and self.queued.expected_s is not None:
            end = self.queued.at + self.queued.expected_s
        elif self.phase == "retrying" and self.retry is not None:
            end = self.retry.at + self.retry.wait_s
        return None if end is None else max(end - elapsed_s, 0.0)

    @property
    def tokens_per_s(self) -> float | None:
        """Reported output tokens / (last - first token), reasoning included in both; None if either is unknown."""
        if self.usage is None or self.usage.completion_tokens is None:
            return None
        if self.first_token_at is None or self.last_token_at is None or self.last_token_at <= self.first_token_at:
            return None
        if not self.times_known:
            return None
        return self.usage.completion_tokens / (self.last_token_at - self.first_token_at)

    def apply(self, event: AnyEvent) -> None:  # noqa: C901 - one case per event
        match event:
            case RawEvent():
                self.raw.append(event)
            case ContentDelta():
                self.pieces.append(event.text)
                self.note_piece(event.at)
                if self.first_content_at is None:
                    self.first_content_at = event.at
            case ReasoningDelta():
                self.reasoning_pieces.append(event.text)
                self.note_piece(event.at)
            case RefusalDelta():
                self.refusal_pieces.append(event.text)
                self.note_piece(event.at)
            case ToolCallDelta():
                call = self.tool_calls.setdefault(event.index, ToolCallState(event.index))
                call.id, call.name = event.id or call.id, event.name or call.name
                call.pieces.append(event.arguments)
                self.note_piece(event.at)
            case AttemptStarted():
                # The previous attempt's error no longer applies to the run.
                self.phase, self.error, self.ended_at, self.retry, self.queued = "sent", None, None, None, None
                self.finish_reason = None
                self.attempts.append(Attempt(event.attempt, event.at))
            case HeadersReceived():
                from playground.client.response_decoder import request_ids

                attempt = self.attempts[-1]
                attempt.status, attempt.request_id, attempt.headers_at = event.status, event.request_id, event.at
                attempt.connect_s, attempt.request_ids = event.connect_s, request_ids(event.headers)
            case BodyIdReceived():
                self.body_id, self.response_model = event.id, event.model or self.response_model
            case Finished():
                self.finish_reason = event.reason
            case UsageReported():
                # Merged, so that a later, less complete usage never erases a known count.
                self.usage = merged(self.usage, event.usage)
            case TokenProbabilities():
                self.probabilities_came += len(event.tokens)
                self.probabilities += event.tokens[: MOST_PROBABILITIES - len(self.probabilities)]
            case TimesUnknown():
                self.times_known = False
            case Queued():
                self.phase, self.queued = "waiting", event
            case RetryScheduled():
                self.phase, self.ended_at, self.retry = "retrying", None, event
            case Completed():
                self.saw_done, self.more_after_done = event.saw_done, bool(event.more)
                self.text_after_finish, self.noted = bool(event.late), event.noted or ()
                self._end("done", event.at)
            case AttemptFailed():
                self.error = event.error
                self._end("failed", event.at)
            case Stopped():
                self._end("stopped", event.at)
            case _:
                assert_never(event)

    def note_piece(self, at: float) -> None:
        """Record the arrival of a piece of the answer at this time."""
        if self.first_token_at is None:
            self.first_token_at = at
        self.last_token_at = at
        self.phase = "streaming"

    def _end(self, phase: Phase, at: float) -> None:
        self.phase, self.ended_at = phase, at
        if self.attempts:
            self.attempts[-1].ended_at, self.attempts[-1].error = at, self.error


def fold(events: Iterable[AnyEvent], state: RunState | None = None) -> RunState:
    """Return the state after a sequence of events; a given state is changed."""
    if state is None:
        state = RunState()
    add, last = state.pieces.append, None
    for event in events:
        # The same as `apply`, but faster: most events are pieces of a text that has begun.
        if type(event) is not ContentDelta:
            if last is not None:
                state.note_piece(last.at)
            last = None
            state.apply(event)
        elif last is None:
            last = event
            state.apply(event)
        else:
            last = event
            add(event.text)
    if last is not None:
        state.note_piece(last.at)
    return state


def _joined(pieces: list[str]) -> str:
    """Return the joined pieces. Replaces them by the result, so that the next call is cheap."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""


class CallTimes(Struct, frozen=True):
    """Arrival times of the pieces of tool call `index`, at least one. Seconds since the run began."""

    index: int
    name: str
    piece_times: tuple[float, ...]

    @property
    def first_at(self) -> float:
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
            case Completed():
                self._ended = event.at, "done"
            case AttemptFailed():
                self._ended = event.at, "failed"
            case Stopped():
                self._ended = event.at, "stopped"
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
    watch = Stopwatch()
    for event in events:
        watch.apply(event)
    return watch.times

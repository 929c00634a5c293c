"""RunState: what a request's events add up to. The same fold serves live runs, the log and the tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, assert_never

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
    RetryScheduled,
    Stopped,
    TimesUnknown,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
    Usage,
    UsageReported,
)

Phase = Literal["waiting", "sent", "streaming", "retrying", "done", "failed", "stopped", "interrupted"]
"""waiting: not sent yet · sent: no content yet · streaming: text or tool pieces come · retrying: an attempt failed, the
next one is waited for · done, failed, stopped: ended ·
interrupted: the program ended before the request did (only from the log)."""

ENDED: frozenset[Phase] = frozenset(("done", "failed", "stopped", "interrupted"))


MOST_PROBABILITIES = 32_768
"""Tokens whose probabilities are kept: as many as the context holds. Those after it are counted."""


@dataclass(slots=True)
class Attempt:
    """One HTTP exchange of a run. Times in seconds since the run began."""

    number: int
    started_at: float
    status: int | None = None
    request_id: str | None = None
    headers_at: float | None = None
    ended_at: float | None = None
    trouble: ApiError | None = None
    connect_s: float | None = None
    """What opening a connection took; 0 on one that was kept alive, None where it is not known."""


@dataclass(slots=True)
class ToolCallState:
    """A tool call as far as its pieces have come."""

    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """The argument text so far."""
        return "".join(self.pieces)


@dataclass(slots=True)
class RunState:
    """All that is known of one run. Changed only by `apply`; times in seconds since the run began."""

    phase: Phase = "waiting"
    attempts: list[Attempt] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    tool_calls: dict[int, ToolCallState] = field(default_factory=dict)
    body_id: str | None = None
    response_model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    trouble: ApiError | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    ended_at: float | None = None
    times_known: bool = True
    """False if the events' times are those of an import that has none: ended_at alone is known."""
    saw_done: bool = False
    retry: RetryScheduled | None = None
    queued: Queued | None = None
    raw: list[RawEvent] = field(default_factory=list)
    probabilities: list[TokenProbability] = field(default_factory=list)
    probabilities_came: int = 0

    @property
    def text(self) -> str:
        """The completion's text so far."""
        if len(self.pieces) > 1:
            self.pieces[:] = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    @property
    def request_id(self) -> str | None:
        """The newest attempt's X-Request-Id; None until its headers come, or where the server sent none."""
        return self.attempts[-1].request_id if self.attempts else None

    @property
    def status(self) -> int | None:
        """The newest attempt's HTTP status."""
        return self.attempts[-1].status if self.attempts else None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.phase in ENDED

    @property
    def ttft_s(self) -> float | None:
        """Time to first token: from the newest attempt's sending to its first content or tool piece."""
        if self.first_token_at is None or not self.attempts or not self.times_known:
            return None
        return self.first_token_at - self.attempts[-1].started_at

    @property
    def tokens_per_s(self) -> float | None:
        """Reported output tokens / (last - first token) (interface.md, rule 4); None where either is unknown."""
        if self.usage is None or self.usage.completion_tokens is None:
            return None
        if self.first_token_at is None or self.last_token_at is None or self.last_token_at <= self.first_token_at:
            return None
        if not self.times_known:
            return None
        return self.usage.completion_tokens / (self.last_token_at - self.first_token_at)

    def apply(self, event: AnyEvent) -> None:
        """Take one event in."""
        match event:
            case RawEvent():
                self.raw.append(event)
            case ContentDelta():
                self.pieces.append(event.text)
                _token(self, event.at)
            case ToolCallDelta():
                _tool_call(self, event)
            case AttemptStarted():
                _attempt(self, event)
            case HeadersReceived():
                _headers(self, event)
            case BodyIdReceived() | Finished() | UsageReported() | TokenProbabilities() | TimesUnknown():
                _said(self, event)
            case Queued():
                self.phase, self.queued = "waiting", event
            case RetryScheduled():
                self.phase, self.ended_at, self.retry = "retrying", None, event
            case Completed() | AttemptFailed() | Stopped():
                _end(self, event)
            case _:
                assert_never(event)


def fold(events: Iterable[AnyEvent]) -> RunState:
    """The state that a sequence of events adds up to."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state


def _attempt(state: RunState, event: AttemptStarted) -> None:
    # What ended the attempt before this one is that attempt's, no longer the run's.
    state.phase, state.trouble, state.ended_at, state.retry, state.queued = "sent", None, None, None, None
    state.attempts.append(Attempt(event.attempt, event.at))


def _headers(state: RunState, event: HeadersReceived) -> None:
    attempt = state.attempts[-1]
    attempt.status, attempt.request_id, attempt.headers_at = event.status, event.request_id, event.at
    attempt.connect_s = event.connect_s


def _said(
    state: RunState, event: BodyIdReceived | Finished | UsageReported | TokenProbabilities | TimesUnknown
) -> None:
    match event:
        case BodyIdReceived():
            state.body_id = event.id
            state.response_model = event.model or state.response_model
        case Finished():
            state.finish_reason = event.reason
        case UsageReported():
            state.usage = event.usage
        case TokenProbabilities():
            _probabilities(state, event)
        case TimesUnknown():
            state.times_known = False


def _token(state: RunState, at: float) -> None:
    if state.first_token_at is None:
        state.first_token_at = at
    state.last_token_at = at
    state.phase = "streaming"


def _tool_call(state: RunState, event: ToolCallDelta) -> None:
    call = state.tool_calls.setdefault(event.index, ToolCallState(event.index))
    call.id = event.id or call.id
    call.name = event.name or call.name
    call.pieces.append(event.arguments)
    _token(state, event.at)


def _probabilities(state: RunState, event: TokenProbabilities) -> None:
    state.probabilities_came += len(event.tokens)
    if room := MOST_PROBABILITIES - len(state.probabilities):
        state.probabilities += event.tokens[:room]


def _end(state: RunState, event: Completed | AttemptFailed | Stopped) -> None:
    match event:
        case Completed():
            state.phase, state.saw_done = "done", event.saw_done
        case AttemptFailed():
            state.phase, state.trouble = "failed", event.trouble
        case Stopped():
            state.phase = "stopped"
    state.ended_at = event.at
    if state.attempts:
        state.attempts[-1].ended_at = event.at
        state.attempts[-1].trouble = state.trouble

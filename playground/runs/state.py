"""The state that the events of a run add up to, live or from the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, assert_never

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
from playground.client.response_decoder import RequestId, request_ids
from playground.client.tolerant_json import merged

Phase = Literal["waiting", "sent", "streaming", "retrying", "done", "failed", "stopped", "interrupted"]
"""waiting: not sent yet · sent: no content yet · streaming: content arrives · retrying: an attempt failed and the next
one is scheduled · done, failed, stopped: ended · interrupted: the program ended first (only from the log)."""

ENDED: frozenset[Phase] = frozenset(("done", "failed", "stopped", "interrupted"))


MOST_PROBABILITIES = 32_768
"""Maximum number of tokens with stored probabilities, one per token of the context; further ones are counted."""


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
    retry: RetryScheduled | None = None
    queued: Queued | None = None
    raw: list[RawEvent] = field(default_factory=list)
    probabilities: list[TokenProbability] = field(default_factory=list)
    probabilities_came: int = 0

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
        """Return whether the run is over."""
        return self.phase in ENDED

    @property
    def ttft_s(self) -> float | None:
        """Return the time to first token: from sending the newest attempt to its first piece, including reasoning."""
        if self.first_token_at is None or not self.attempts or not self.times_known:
            return None
        return self.first_token_at - self.attempts[-1].started_at

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
        """Add one event."""
        match event:
            case RawEvent():
                self.raw.append(event)
            case ContentDelta():
                self.pieces.append(event.text)
                self.token(event.at)
                if self.first_content_at is None:
                    self.first_content_at = event.at
            case ReasoningDelta():
                self.reasoning_pieces.append(event.text)
                self.token(event.at)
            case RefusalDelta():
                self.refusal_pieces.append(event.text)
                self.token(event.at)
            case ToolCallDelta():
                call = self.tool_calls.setdefault(event.index, ToolCallState(event.index))
                call.id, call.name = event.id or call.id, event.name or call.name
                call.pieces.append(event.arguments)
                self.token(event.at)
            case AttemptStarted():
                # The previous attempt's error no longer applies to the run.
                self.phase, self.error, self.ended_at, self.retry, self.queued = "sent", None, None, None, None
                self.attempts.append(Attempt(event.attempt, event.at))
            case HeadersReceived():
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
                self.saw_done = event.saw_done
                self._end("done", event.at)
            case AttemptFailed():
                self.error = event.error
                self._end("failed", event.at)
            case Stopped():
                self._end("stopped", event.at)
            case _:
                assert_never(event)

    def token(self, at: float) -> None:
        """Note that a piece of the answer came at this time."""
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
                state.token(last.at)
            last = None
            state.apply(event)
        elif last is None:
            last = event
            state.apply(event)
        else:
            last = event
            add(event.text)
    if last is not None:
        state.token(last.at)
    return state


def _joined(pieces: list[str]) -> str:
    """Return the joined pieces, and replace them by the result so that the next call is cheap."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""

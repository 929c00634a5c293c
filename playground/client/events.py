"""Everything that can happen to a request, as small frozen values. Live run, log and test share them.

`at` is seconds since the run began, on a monotonic clock. A run that is read back from the log
replays the same events through the same fold.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="event"):
    """The base of all events: `at` is seconds since the run began."""

    at: float


class AttemptStarted(Event, frozen=True, tag="attempt"):
    """Attempt number `attempt` (from 1) is being sent."""

    attempt: int


class Queued(Event, frozen=True, tag="queued"):
    """Waiting for a place within the plan's limits, before attempt number `attempt` is sent.

    `place` is this program's queue's (1 is next), `reason` names the limit, `expected_s` is the wait still to come
    where that is known: it is for a minute's limit, not for one of requests in flight.
    """

    attempt: int
    place: int
    reason: str
    expected_s: float | None


class HeadersReceived(Event, frozen=True, tag="headers"):
    """The response's headers. `request_id` is X-Request-Id; None where the server sent none.

    `connect_s` is what opening a connection (TCP and TLS) took of the time before them: 0 on one that was kept alive,
    None where nobody measured it.
    """

    status: int
    request_id: str | None
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    connect_s: float | None = None


class BodyIdReceived(Event, frozen=True, tag="body_id"):
    """The `id` that the body carries, and the model it names."""

    id: str
    model: str | None = None


class ContentDelta(Event, frozen=True, tag="content", gc=False):
    """A piece of the completion's text."""

    text: str


class ToolCallDelta(Event, frozen=True, tag="tool_call", gc=False):
    """A piece of tool call `index`: id and name once, arguments in pieces to be joined."""

    index: int
    id: str | None
    name: str | None
    arguments: str


class Alternative(msgspec.Struct, frozen=True):
    """A token that might have stood there. `logprob` is the natural logarithm, at most 0; None: not a number."""

    token: str
    logprob: float | None


class TokenProbability(msgspec.Struct, frozen=True):
    """A token of the completion, how probable it was, and the most probable ones (itself mostly among them)."""

    token: str
    logprob: float | None
    alternatives: tuple[Alternative, ...] = ()


class TokenProbabilities(Event, frozen=True, tag="logprobs"):
    """The probabilities of the tokens that came with a piece, in order. Only where `logprobs` was asked for."""

    tokens: tuple[TokenProbability, ...]


class Finished(Event, frozen=True, tag="finish"):
    """The server's finish_reason: stop, length, tool_calls, content_filter, or another word."""

    reason: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the server reported them; None is *not reported*, never 0.

    `prompt_tokens` includes `cached_tokens` (interface.md, rule 3).
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None

    @property
    def fresh_tokens(self) -> int | None:
        """prompt - cached, where both are known; None too where a server says more was cached than was sent."""
        if self.prompt_tokens is None or self.cached_tokens is None or self.cached_tokens > self.prompt_tokens:
            return None
        return self.prompt_tokens - self.cached_tokens


class UsageReported(Event, frozen=True, tag="usage"):
    """The usage the server reported."""

    usage: Usage


class RawEvent(Event, frozen=True, tag="raw", gc=False):
    """One server-sent event's data (or a whole JSON body), as text, for the Events view. Folds to nothing."""

    data: str


class ApiError(msgspec.Struct, frozen=True):
    """Expected trouble: what happened, in words a person can act on.

    `kind` is one of: http (an error status), connect (no connection), tls, timeout, cut (the stream died midway),
    protocol (the response is not what it claims), stream_error (an error object inside a 200 stream), key (no key),
    setup (this machine's own settings, e.g. a certificate file that is not there).
    `error_type`, `details` and `body_request_id` are the envelope's, as they came. `body` is the error body's text,
    cut at 64 KiB; of a stream that was cut, the part of an event that was not ended.
    """

    kind: str
    title: str
    detail: str = ""
    advice: str = ""
    status: int | None = None
    error_type: str | None = None
    details: tuple[dict[str, object], ...] = ()
    body_request_id: str | None = None
    retry_after_s: float | None = None
    body: str = ""


class AttemptFailed(Event, frozen=True, tag="failed"):
    """This attempt ended in trouble. `request_id` is known where headers had come."""

    trouble: ApiError
    request_id: str | None = None


class RetryScheduled(Event, frozen=True, tag="retry"):
    """The attempt before failed in a way that passes: attempt number `attempt` of at most `of` follows in `wait_s`."""

    attempt: int
    of: int
    wait_s: float


class Completed(Event, frozen=True, tag="completed"):
    """The response ended as it should. `saw_done` tells whether `[DONE]` came (always True when not streamed)."""

    saw_done: bool = True


class Stopped(Event, frozen=True, tag="stopped"):
    """The user stopped the run."""


class TimesUnknown(Event, frozen=True, tag="times_unknown"):
    """The source (a HAR) has no times of single events: time to first token and speed are unknown."""


AnyEvent: TypeAlias = (
    Queued
    | TimesUnknown
    | AttemptStarted
    | HeadersReceived
    | BodyIdReceived
    | ContentDelta
    | ToolCallDelta
    | TokenProbabilities
    | Finished
    | UsageReported
    | RawEvent
    | AttemptFailed
    | RetryScheduled
    | Completed
    | Stopped
)

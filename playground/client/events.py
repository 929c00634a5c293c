"""All events of a request, as small frozen values shared by live runs, the log and the tests.

`at` is seconds since the run began, on a monotonic clock. A run from the log replays the same events through the
same fold.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="event"):
    """The base of all events: `at` is seconds since the run began."""

    at: float


class AttemptStarted(Event, frozen=True, tag="attempt"):
    """Attempt number `attempt` (from 1) is being sent."""

    attempt: int


class Queued(Event, frozen=True, tag="queued"):
    """Waiting for a slot within the plan's limits before attempt number `attempt` is sent.

    `place` is the position in this program's queue (1 is next), `reason` names the limit. `expected_s` is the remaining
    wait; known for a limit per minute, None for a limit of requests in flight.
    """

    attempt: int
    place: int
    reason: str
    expected_s: float | None


class HeadersReceived(Event, frozen=True, tag="headers"):
    """The response's headers.

    request_id: X-Request-Id, or else the first of the other headers in `request_ids.HEADERS`; None if there is none.
    headers: name (lower case) and value of each header line; a repeated header is repeated here.
    connect_s: the time that opening a connection (TCP and TLS) took; 0 on a reused one, None if unknown.
    """

    status: int
    request_id: str | None
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    connect_s: float | None = None


class BodyIdReceived(Event, frozen=True, tag="body_id"):
    """The body's `id` and `model`."""

    id: str
    model: str | None = None


class ContentDelta(Event, frozen=True, tag="content", gc=False):
    """A piece of the completion's text."""

    text: str


class ReasoningDelta(Event, frozen=True, tag="reasoning", gc=False):
    """A piece of the model's reasoning (`reasoning_content`, `reasoning`, `thinking`), which is no part of the text."""

    text: str


class RefusalDelta(Event, frozen=True, tag="refusal", gc=False):
    """A piece of the model's refusal (`refusal`), which is not part of the text."""

    text: str


class ToolCallDelta(Event, frozen=True, tag="tool_call", gc=False):
    """A piece of tool call `index`: id and name once, arguments in pieces to be joined."""

    index: int
    id: str | None
    name: str | None
    arguments: str


class Alternative(msgspec.Struct, frozen=True):
    """An alternative token. `logprob`: natural logarithm, at most 0; None if not a number."""

    token: str
    logprob: float | None


class TokenProbability(msgspec.Struct, frozen=True):
    """A token of the completion, its probability, and the most probable tokens at its position."""

    token: str
    logprob: float | None
    alternatives: tuple[Alternative, ...] = ()


class TokenProbabilities(Event, frozen=True, tag="logprobs"):
    """The probabilities of a piece's tokens, in order. Only if the request sets `logprobs`."""

    tokens: tuple[TokenProbability, ...]


class Finished(Event, frozen=True, tag="finish"):
    """The server's finish_reason: stop, length, tool_calls, content_filter, or another value."""

    reason: str


class Usage(msgspec.Struct, frozen=True):
    """Token counts as reported by the server; None is *not reported*, never 0.

    `prompt_tokens` includes `cached_tokens`.
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None

    @property
    def fresh_tokens(self) -> int | None:
        """Return prompt - cached; None if either is unknown or cached exceeds prompt."""
        if self.prompt_tokens is None or self.cached_tokens is None or self.cached_tokens > self.prompt_tokens:
            return None
        return self.prompt_tokens - self.cached_tokens

    @property
    def parts_left_out(self) -> int:
        """Return the tokens by which the total exceeds prompt and completion; negative if it is less. 0: not known."""
        if self.prompt_tokens is None or self.completion_tokens is None or self.total_tokens is None:
            return 0
        return self.total_tokens - self.prompt_tokens - self.completion_tokens

    @property
    def contradicts(self) -> bool:
        """Return whether no reading makes all counts right: more cached tokens than prompt, or a total below its parts.

        A total without the cached tokens is right where another field has them.
        """
        is_more = None not in (self.prompt_tokens, self.cached_tokens) and self.fresh_tokens is None
        return is_more or self.parts_left_out + (self.cached_tokens or 0) < 0


class UsageReported(Event, frozen=True, tag="usage"):
    """The usage that the server reported."""

    usage: Usage


class RawEvent(Event, frozen=True, tag="raw", gc=False):
    """The data of one server-sent event (or a whole JSON body) as text, for the Events view. Ignored by the fold."""

    data: str


class ApiError(msgspec.Struct, frozen=True):
    """An expected failure: what happened, and what the user can do.

    kind: http (an error status), connect (no connection), tls, timeout, cut (the stream ended early), protocol (the
        response is no chat completion, or exceeds a bound), stream_error (an error object inside a 200 response),
        key (none, or one that cannot be sent), setup (settings of this machine, e.g. a missing certificate file).
    error_type, code, details, body_request_id: from the error body.
    body: the error body's text, cut at 64 KiB; for a stream that was cut, the part of an event that had come.
    context_length: the server's context length, if a refusal names it.
    stale: the request went out on a reused connection, and that was closed before any byte of a response came.
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
    code: str | None = None
    context_length: int | None = None
    stale: bool = False


class AttemptFailed(Event, frozen=True, tag="failed"):
    """This attempt failed. `request_id` is known if headers had come."""

    error: ApiError = msgspec.field(name="trouble")
    request_id: str | None = None


class RetryScheduled(Event, frozen=True, tag="retry"):
    """Attempt number `attempt` of at most `of` follows in `wait_s` seconds."""

    attempt: int
    of: int
    wait_s: float


class Completed(Event, frozen=True, tag="completed"):
    """The response ended properly.

    saw_done: whether `[DONE]` came, and the transfer ended in full after it (always true if not streamed).
    more: whether the server sent more of an answer, or an error, after `[DONE]`. Left out where it did not.
    late: whether a piece of the answer came after its finish_reason. Left out like `more`.
    noted: titles of the warnings that the other events do not tell, because the log has lost some of them.
    """

    saw_done: bool = True
    more: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    late: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    noted: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


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
    | ReasoningDelta
    | RefusalDelta
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

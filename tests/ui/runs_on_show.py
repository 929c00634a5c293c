"""States for the panes' tests, the benchmark and their screenshots: made by applying events, as a run does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from playground.client.endpoint import PUBLISHED_RATES, Rates
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
    RawEvent,
    Stopped,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.miss_explanation import MissExplanation as Why
from playground.runs.state import RunState
from playground.ui.panes.inspector.figures import InspectorModel

REQUEST_ID = "9db74058-2421-4793-8796-b2629ff3eb1c"
ANSWER = "Your balance is ₹12,450. आपका बैलेंस ₹12,450 है। Would you like the last three transactions?"
FORECAST = Forecast(1152.0, 1136.0, 1168.0, 1204.0, "shared with 9db74058 · 40 s ago", shared_chars=4100)
USAGE = Usage(1204, 86, 1290, 1152)


def grown(state: RunState, events: Iterable[AnyEvent]) -> RunState:
    """The state after the events."""
    for event in events:
        state.apply(event)
    return state


def sent(request_id: str | None = REQUEST_ID, status: int = 200) -> list[AnyEvent]:
    """Sent, and the headers are there."""
    return [AttemptStarted(0.0, 1), HeadersReceived(0.14, status, request_id, "text/event-stream", (), 0.0)]


def deltas(text: str, begin: float = 0.212, step: float = 0.01) -> list[AnyEvent]:
    """A content delta a word, each with the raw event that carried it."""
    events: list[AnyEvent] = []
    for number, word in enumerate(text.split(" ")):
        piece = (" " if number else "") + word
        at = begin + number * step
        events.append(RawEvent(at, chunk({"content": piece})))
        events.append(ContentDelta(at, piece))
    return events


def chunk(delta: dict[str, object]) -> str:
    """One chunk's JSON."""
    return json.dumps(
        {"id": "chatcmpl-81c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]},
        ensure_ascii=False,
    )


def ending(reason: str = "stop", usage: Usage | None = USAGE) -> list[AnyEvent]:
    """Finish reason, usage where reported, [DONE]."""
    events: list[AnyEvent] = [BodyIdReceived(1.08, "chatcmpl-81c", "electron"), Finished(1.09, reason)]
    if usage is not None:
        events.append(UsageReported(1.1, usage))
    return [*events, RawEvent(1.1, "[DONE]"), Completed(1.1)]


def done(text: str = ANSWER, usage: Usage | None = USAGE) -> RunState:
    """A response that ended well."""
    return grown(RunState(), [*sent(), *deltas(text), *ending(usage=usage)])


def streaming(text: str = ANSWER) -> RunState:
    """A response that still comes."""
    return grown(RunState(), [*sent(), *deltas(text)])


def stopped() -> RunState:
    """Stopped by the user after some text."""
    return grown(RunState(), [*sent(), *deltas("Let me look into that for"), Stopped(0.6)])


def refused() -> RunState:
    """A request that the server found bad."""
    error = ApiError(
        "http",
        "The server refused the request: a field is not as it should be",
        "Request validation failed",
        "Correct the field that is named, then send again.",
        status=400,
        error_type="invalid_request_error",
        details=(
            {"path": ["messages", 3, "role"], "message": "Invalid enum value"},
            {"path": ["temperature"], "message": "Number must be less than or equal to 2"},
        ),
        body='{"error":{"message":"Request validation failed","type":"invalid_request_error"}}',
    )
    return grown(RunState(), [*sent(status=400), AttemptFailed(0.2, error, REQUEST_ID)])


def cut() -> RunState:
    """A stream that died midway."""
    error = ApiError(
        "cut",
        "The connection broke in the middle of the response",
        "The server closed it before the response had ended.",
        "What had come is kept. Send again for a whole response.",
        status=200,
    )
    return grown(RunState(), [*sent(), *deltas("Let me look into"), AttemptFailed(0.5, error, REQUEST_ID)])


def calling(whole: bool = True) -> RunState:
    """A filler, then a tool call."""
    pieces = ['{"account', '_id": "AC', '-10442"}']
    events: list[AnyEvent] = [*sent(), *deltas("Let me check that for you, one moment.")]
    events.append(ToolCallDelta(0.5, 0, "call_7f2", "get_account_info", pieces[0]))
    if not whole:
        return grown(RunState(), events)
    events += [ToolCallDelta(0.52, 0, None, None, piece) for piece in pieces[1:]]
    return grown(RunState(), [*events, *ending("tool_calls")])


def retried() -> RunState:
    """Overloaded once, then answered."""
    state = grown(RunState(), [AttemptStarted(0.0, 1), HeadersReceived(0.03, 503, "51c0fa1e-77b0", "application/json")])
    late: list[AnyEvent] = [AttemptStarted(0.3, 2), HeadersReceived(0.4, 200, REQUEST_ID, "text/event-stream")]
    return grown(state, [*late, *deltas(ANSWER, 0.52), *ending()])


def why() -> Why:
    """A date at the front ended the prefix."""
    return Why(
        "differs",
        "The prefix ends at the system prompt's first line: the date there changed. Everything after it is fresh.",
        before="Today is 2026·11·22. You are",
        after="Today is 2026·11·23. You are",
        message=0,
        offset=18,
    )


def model(
    state: RunState,
    forecast: Forecast | None = FORECAST,
    rates: Rates = PUBLISHED_RATES,
    explanation: Why | None = None,
) -> InspectorModel:
    """A model around a state."""
    began = datetime(2026, 11, 23, 14, 2, 11, tzinfo=UTC)
    return InspectorModel(state, forecast, rates, explanation, "Built-in simulator", True, began, "electron")

"""Records and event sequences for the log's tests."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playground.client.endpoint import Rates
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
from playground.requestlog.log import RequestLog
from playground.runs.record import EndpointKind, RequestRecord
from playground.runs.state import RunState, fold

START = datetime(2026, 11, 23, 14, 2, 11, 123456, tzinfo=UTC)
FORECAST = Forecast(1150.5, 1100.0, 1201.0, 1204.0, "shared with 9db74058 · 40 s ago", "r", "q", 4800, 1.5)
REPORTED = Usage(1204, 86, 1290, 1152)


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return list(folder.glob(pattern))


@asynccontextmanager
async def opened(folder: Path, *, reading: bool = False) -> AsyncIterator[RequestLog]:
    log = await RequestLog.open(folder, reading=reading)
    try:
        yield log
    finally:
        await log.close()


def body_of(question: str, system: str = "You take calls for a clinic.") -> bytes:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return json.dumps({"model": "electron", "messages": messages, "stream": True}, ensure_ascii=False).encode()


def record(
    question: str = "When are you open?",
    *,
    body: bytes | None = None,
    minute: int = 0,
    kind: EndpointKind = "electron",
    endpoint: str = "electron",
    model: str = "electron",
    forecast: Forecast | None = FORECAST,
    document: str = '{\n "messages": []\n}',
) -> RequestRecord:
    return RequestRecord(
        run_id=uuid.uuid4().hex,
        endpoint_id=endpoint,
        endpoint_name=f"The {endpoint}",
        endpoint_kind=kind,
        base_url="https://example.test/v1",
        model=model,
        started_utc=START + timedelta(minutes=minute),
        body=body_of(question) if body is None else body,
        document=document,
        forecast=forecast,
        rates=Rates(0.4, 0.1, None, "a price list"),
    )


def answered(
    text: str = "From nine to five.",
    request_id: str = "9db74058-1111-4222-8333-444455556666",
    usage: Usage | None = REPORTED,
    reason: str = "stop",
) -> list[AnyEvent]:
    events: list[AnyEvent] = [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.2, 200, request_id, "text/event-stream", (("x-request-id", request_id),)),
        BodyIdReceived(0.21, f"chatcmpl-{request_id[:8]}", "electron"),
    ]
    for place, word in enumerate(text.split(" ")):
        piece, at = word if place == 0 else f" {word}", round(0.3 + place / 100, 2)
        events += [RawEvent(at, json.dumps({"delta": piece})), ContentDelta(at, piece)]
    events.append(Finished(1.0, reason))
    if usage is not None:
        events.append(UsageReported(1.0, usage))
    return [*events, Completed(1.1)]


def refused(status: int = 429, request_id: str = "ffff0000-1111-4222-8333-444455556666") -> list[AnyEvent]:
    error = ApiError("http", "Too many requests", status=status, details=({"path": ["messages", 0]},))
    return [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, status, request_id, "application/json"),
        AttemptFailed(0.2, error, request_id),
    ]


def stopped(text: str = "From nine") -> list[AnyEvent]:
    return [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, 200, "abab0000-1111-4222-8333-444455556666", "text/event-stream"),
        ContentDelta(0.3, text),
        Stopped(0.4),
    ]


def called() -> list[AnyEvent]:
    return [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, 200, "cccc0000-1111-4222-8333-444455556666", "text/event-stream"),
        ToolCallDelta(0.3, 0, "call_1", "book_visit", '{"day":'),
        ToolCallDelta(0.4, 0, None, None, '"Monday"}'),
        Finished(0.5, "tool_calls"),
        Completed(0.6),
    ]


async def keep(log: RequestLog, kept: RequestRecord, events: Sequence[AnyEvent]) -> RunState:
    """Begin, note and finish one run."""
    await log.begin(kept)
    for event in events:
        log.note(kept.run_id, event)
    state = fold(events)
    await log.finish(kept.run_id, state)
    return state

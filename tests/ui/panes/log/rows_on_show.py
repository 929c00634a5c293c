"""A log with requests in every state, for the pane's tests and its screenshots."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from msgspec.structs import replace

from playground.client.endpoint import Rates
from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    ContentDelta,
    HeadersReceived,
    RetryScheduled,
    Usage,
)
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun
from playground.runs.record import RequestRecord
from tests.requestlog.samples import answered, called, keep, record, refused, stopped

FIRST_ID = "51c0fa1e-77b0-4e0f-9a3c-0b1f6d2c9e44"
SECOND_ID = "9db74058-2421-4793-8796-b2629ff3eb1c"


def of(question: str, ago_s: float = 0.0, *, rates: Rates | None = None) -> RequestRecord:
    """A request that was sent `ago_s` seconds ago."""
    kept = record(question)
    started = datetime.now(kept.started_utc.tzinfo) - timedelta(seconds=ago_s)
    return replace(kept, started_utc=started, rates=kept.rates if rates is None else rates)


def failed_attempt(status: int = 503, request_id: str | None = FIRST_ID) -> list[AnyEvent]:
    """An attempt that fails, and the one after it being scheduled."""
    return [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.03, status, request_id, "application/json"),
        AttemptFailed(0.04, ApiError("http", "The server is overloaded", status=status), request_id),
        RetryScheduled(0.04, 2, 5, 0.25),
    ]


def answered_at_last() -> list[AnyEvent]:
    """503, a wait, and an answer."""
    begun, *rest = answered("Your balance is ₹12,450. आपका बैलेंस ₹12,450 है।", SECOND_ID)
    assert isinstance(begun, AttemptStarted)
    return [*failed_attempt(), AttemptStarted(begun.at, 2), *rest]


def unreachable() -> list[AnyEvent]:
    """No connection: neither status nor request_id."""
    return [AttemptStarted(0.0, 1), AttemptFailed(0.02, ApiError("connect", "The server cannot be reached"))]


async def leave(log: RequestLog, kept: RequestRecord, events: list[AnyEvent]) -> None:
    """Begin a request and never end it."""
    await log.begin(kept)
    for event in events:
        log.note(kept.run_id, event)
    await log.get(kept.run_id)  # all that was noted is on disk now


async def fill(log: RequestLog) -> None:
    """Every state that a request can be in; the newest is added last."""
    unpriced = Rates()
    await keep(log, of("Yesterday?", 93_000), answered("We are open from nine to five.", "aa" + SECOND_ID[2:]))
    await keep(log, of("No key", 260), refused(401, "ee" + SECOND_ID[2:]))
    await keep(log, of("No net", 200), unreachable())
    await keep(log, of("Silent", 150, rates=unpriced), answered("No usage came with this.", "bb" + FIRST_ID[2:], None))
    await keep(log, of("Book", 120), called())
    await keep(
        log, of("Cold", 90), answered("I can help with your bill.", "cc" + FIRST_ID[2:], Usage(1206, 91, 1297, 0))
    )
    await keep(log, of("Stop", 60), stopped("Let me look into that for"))
    await keep(log, of("Many", 40), refused())
    await keep(log, of("Again", 20), answered_at_last())
    await leave(
        log,
        of("Now", 1),
        [
            AttemptStarted(0.0, 1),
            HeadersReceived(0.1, 200, "dd" + FIRST_ID[2:], "text/event-stream"),
            ContentDelta(0.2, "One"),
        ],
    )


MANY = 50


async def fill_plain(log: RequestLog, number: int) -> list[str]:
    """That many answered requests; answers with their run_ids, newest first."""
    kept = [of(f"Question {place}") for place in range(number)]
    ended = [EndedRun(one, tuple(answered(f"Answer {place}", str(uuid.uuid4())))) for place, one in enumerate(kept)]
    if number >= MANY:
        await log.add(ended)  # one transaction
    for run in ended if number < MANY else ():
        await keep(log, run.record, run.events)
    return [one.run_id for one in reversed(kept)]

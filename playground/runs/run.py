"""A run: one request in flight, its slot under the plan, its retries; folds the client's events into a RunState."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from playground.client.endpoint import Endpoint
from playground.client.errors import turn_error
from playground.client.events import AnyEvent, AttemptFailed, Queued, RetryScheduled, Stopped
from playground.client.retry import NO_RETRIES, NoRateLimit, QueueStatus, RateLimiter, RetryPolicy, endpoint_hold_s
from playground.prompt.document import Document
from playground.prompt.request import Request
from playground.runs.state import RunState
from playground.tasks import Subscribers

if TYPE_CHECKING:
    from playground.prefix_cache.forecast import Forecast


YIELD_S = 0.01
"""Seconds after which a run yields to the event loop, so that Stop and the window stay responsive."""

Listener: TypeAlias = Callable[["Run", AnyEvent], None]
BeforeAttempt: TypeAlias = Callable[[], Awaitable[None]]
"""Awaited before the first byte of each attempt is sent. Never raises."""


class ExchangeSource(Protocol):
    """The part of Connection that a run uses."""

    def stream(
        self, endpoint: Endpoint, key: str | None, request: Request, clock: Callable[[], float], attempt: int = 1
    ) -> AsyncGenerator[AnyEvent, None]: ...


class Run:
    """One request. Call `execute` once; it updates `state`."""

    def __init__(
        self,
        *,
        id: str,
        document: Document,
        request: Request,
        endpoint: Endpoint,
        forecast: Forecast | None,
        started_utc: datetime,
        connection: ExchangeSource,
        key: str | None,
        retries: RetryPolicy = NO_RETRIES,
        rate_limiter: RateLimiter | None = None,
        limit_s: float | None = None,
        before_attempt: BeforeAttempt | None = None,
    ) -> None:
        self.id = id
        self.document, self.request, self.endpoint = document, request, endpoint
        self.forecast, self.started_utc = forecast, started_utc
        self.conversation: str | None = None
        """Id of the agent conversation that the run is a turn of."""
        self.state = RunState()
        self._connection, self._key, self._retries = connection, key, retries
        self._rate_limiter = rate_limiter or NoRateLimit()
        self._limit_s = limit_s
        self._before_attempt = before_attempt
        self._events: Subscribers[[Run, AnyEvent]] = Subscribers()
        self._exchange: asyncio.Task[None] | None = None
        self._began = time.monotonic()
        self._stop_asked = False

    def subscribe(self, callback: Listener) -> Callable[[], None]:
        """Call `callback` with every event, after `state` was updated. Returns the function that unsubscribes."""
        return self._events.subscribe(callback)

    def clock(self) -> float:
        """Seconds since the run began, in whole microseconds: a logged event has the same time when it is read."""
        return round(time.monotonic() - self._began, 6)

    def _happen(self, event: AnyEvent) -> None:
        self.state.apply(event)
        self._events(self, event)

    async def execute(self) -> RunState:
        """Send, and return the state at the end. Expected failures are in the state; only cancellation is raised.

        Cancelling closes the connection and leaves the run stopped.
        """
        self._began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                self._exchange = group.create_task(self._converse(), name=f"run {self.id}")
                if self._stop_asked:
                    self._exchange.cancel()
        finally:
            # Stopped, or cancelled before the exchange began: the state of a finished run has always ended.
            if not self.state.ended:
                self._happen(Stopped(self.clock()))
        return self.state

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                attempt = 1
                while (wait_s := await self._attempt(attempt)) is not None:
                    attempt += 1
                    self._happen(RetryScheduled(self.clock(), attempt, max(attempt, self._retries.attempts), wait_s))
                    await asyncio.sleep(wait_s)
        except TimeoutError:
            self._happen(AttemptFailed(self.clock(), turn_error(self._limit_s or 0.0), self.state.request_id))

    async def _attempt(self, attempt: int) -> float | None:
        """Run one exchange within the plan's limits. Returns the seconds to wait for the next; None after the last."""
        ticket = await self._rate_limiter.acquire(self.endpoint, partial(self._queued, attempt))
        try:
            if self._before_attempt is not None:
                await self._before_attempt()
            await self._exchange_once(attempt)
        finally:
            newest = self.state.attempts[-1] if self.state.attempts else None
            arrived_s_ago = None  # the server had the request when the attempt's headers came
            if newest is not None and newest.number == attempt and newest.headers_at is not None:
                arrived_s_ago = self.clock() - newest.headers_at
            error = self.state.error
            hold_s = endpoint_hold_s(error) if error is not None else 0.0
            self._rate_limiter.release(self.endpoint, ticket, hold_s, arrived_s_ago)
        if error is None or self.state.phase != "failed" or self.state.first_token_at is not None:
            return None
        return self._retries.wait_s(attempt, error, self.endpoint.base_url)

    def _queued(self, attempt: int, status: QueueStatus) -> None:
        self._happen(Queued(self.clock(), attempt, status.position, status.reason, status.expected_s))

    async def _exchange_once(self, attempt: int) -> None:
        events = self._connection.stream(self.endpoint, self._key, self.request, self.clock, attempt)
        async with aclosing(events):
            yielded = time.monotonic()
            async for event in events:
                self._happen(event)
                if self._stop_asked:
                    return  # a listener asked; the rest of the events read so far is dropped
                if time.monotonic() - yielded > YIELD_S:
                    # If the server sends faster than the client reads, reading never suspends.
                    await asyncio.sleep(0)
                    yielded = time.monotonic()

    def stop(self) -> None:
        """Stop the run immediately, also before its first byte. No effect after the end."""
        self._stop_asked = True
        if self._exchange is not None:
            self._exchange.cancel()

"""Keeps the prefix of one prompt cached: a minimal request before the cache lifetime ends, within stated limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from playground.client.endpoint import Endpoint
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted, dollars
from playground.runs.state import RunState

if TYPE_CHECKING:
    from playground.prefix_cache.cache_profile import ColdClock
    from playground.prefix_cache.forecaster import PromptForecast

SHARE = 2 / 3
"""A request is sent after this share of the lifetime: a learned lifetime is known within a factor of 1.5."""
MISSES = 2
"""Requests in a row without cached tokens after which keep-warm ends: it costs the full price and has no effect."""
HOUR_S = 3_600.0
BUSY_S = 0.5
"""Pause before the next attempt while the plan has no free slot."""


class KeepWarmOffer(Struct, frozen=True):
    """Estimated interval and cost of keeping a prompt warm. `clock` has the lifetime and its source."""

    clock: ColdClock
    interval_s: float
    request_cost: float | None

    @property
    def per_hour(self) -> float:
        return HOUR_S / self.interval_s

    @property
    def text(self) -> str:
        """Return interval, requests and estimated cost per hour."""
        cost = "cost unknown: no input rates are set"
        if self.request_cost is not None:
            cost = f"≈ {dollars(self.request_cost * self.per_hour)} of input per hour"
        return f"one request every ≈ {self.interval_s:,.0f} s, ≈ {self.per_hour:,.0f} per hour, {cost}"


def offer(prompt_forecast: PromptForecast, endpoint: Endpoint) -> KeepWarmOffer | None:
    """Return the cost of keeping a prompt warm; None if it is not warm or the cache lifetime is not known."""
    clock, rates = prompt_forecast.clock, endpoint.rates
    if clock.warm_until_unix is None or clock.lifetime_s is None or prompt_forecast.forecast.cached_tokens < 0.5:
        return None
    tokens = prompt_forecast.forecast.prompt_tokens or prompt_forecast.zones.total_tokens
    cached = min(prompt_forecast.forecast.cached_tokens, tokens)
    return KeepWarmOffer(clock, clock.lifetime_s * SHARE, rates.input_cost(tokens - cached, cached))


def minimal(document: Document) -> Document:
    """Return the document with the smallest output: the same prompt, one token."""
    rest = {name: value for name, value in document.parameters.items() if name != "max_completion_tokens"}
    return replace(document, parameters={**rest, "max_tokens": 1})


class KeepWarm:
    """Sends minimal requests until a limit is reached, the cache does not answer as expected, or it is cancelled."""

    def __init__(
        self,
        document: Document,
        *,
        look: Callable[[], PromptForecast],
        send: Callable[[Document], Awaitable[RunState]],
        has_slot: Callable[[], bool],
        requests: int,
        hours: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Args:
        look: returns the forecast of the document now.
        send: sends a document within the plan's limits and returns the state at its end.
        has_slot: returns whether a request would be sent without waiting for a slot.
        requests: maximum number of requests.
        hours: maximum duration.
        """
        self.document, self.requests = document, requests
        self.sent = 0
        self.next_unix: float | None = None
        """When the next request is due; None while one is sent."""
        self._look, self._send, self._has_slot, self._clock = look, send, has_slot, clock
        self._sleep = sleep
        self._ends_unix = clock() + hours * HOUR_S
        self._missed = 0

    async def run(self) -> str:
        """Keep the prefix warm. Returns the reason for the end."""
        while self.sent < self.requests:
            due = self._due()
            if due is None:
                return "the prefix is not in the cache any more; send the prompt, then start again"
            if max(due, self._clock()) >= self._ends_unix:
                await self._pause(self._ends_unix)
                return "the chosen time is over"
            if due > self._clock():
                await self._pause(due)
            elif not self._has_slot():
                await self._sleep(BUSY_S)
            elif reason := await self._refresh():
                return reason
        return f"{self.sent:,} of {counted(self.requests, 'request')} sent"

    def _due(self) -> float | None:
        """Return when the next request is due: requests of the user with the same prefix delay it."""
        clock = self._look().clock
        if clock.warm_until_unix is None or clock.lifetime_s is None:
            return None
        return clock.warm_until_unix - clock.lifetime_s * (1 - SHARE)

    async def _pause(self, until_unix: float) -> None:
        self.next_unix = until_unix
        await self._sleep(max(until_unix - self._clock(), 0.0))

    async def _refresh(self) -> str:
        """Send one request. Returns the reason to end, or an empty text."""
        self.next_unix = None
        self.sent += 1
        try:
            state = await self._send(minimal(self.document))
        except InputError as error:
            return f"not sent: {error.problems[0]}"
        if state.phase != "done":
            reason = f" ({state.error.title})" if state.error is not None else ""
            return f"a request ended as {state.phase}{reason}"
        cached = state.usage.cached_tokens if state.usage is not None else None
        if cached is None:
            return "the server did not report cached tokens, so the effect is not known"
        self._missed = 0 if cached else self._missed + 1
        if self._missed >= MISSES:
            return f"{MISSES} requests in a row were not served from the cache"
        return ""

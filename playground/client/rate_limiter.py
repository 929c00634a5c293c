"""Interface between a run and the rate limiter: slots under an endpoint's plan limits, and the state of the queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from playground.client.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Load:
    """Requests in flight and requests of the last minute to one endpoint, as far as this data folder knows."""

    in_flight: int = 0
    this_minute: int = 0


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Why a request waits. `position` counts from 1 (next); `expected_s` is None if the wait cannot be known."""

    position: int
    reason: str
    expected_s: float | None


class RateLimiter(Protocol):
    """Hands out slots under an endpoint's plan limits."""

    async def acquire(self, endpoint: Endpoint, on_wait: Callable[[QueueStatus], None], *, speech: bool = False) -> str:
        """Wait for a slot and take it. Returns a ticket for `release`.

        `on_wait` is called when the wait begins and when the queue position or the reason changes. `speech`: a request
        to the speech model: it counts against the requests in flight, which all models share, and not per minute.
        """

    def release(self, endpoint: Endpoint, ticket: str, hold_s: float = 0.0, arrived_s_ago: float | None = None) -> None:
        """Give a slot back.

        Args:
            hold_s: block the endpoint for this long (after a 429).
            arrived_s_ago: seconds since the server was known to have the request; None if unknown.
        """


class NoRateLimit:
    """A rate limiter without limits."""

    async def acquire(self, endpoint: Endpoint, on_wait: Callable[[QueueStatus], None], *, speech: bool = False) -> str:
        """Return at once."""
        return ""

    def release(self, endpoint: Endpoint, ticket: str, hold_s: float = 0.0, arrived_s_ago: float | None = None) -> None:
        """Do nothing."""

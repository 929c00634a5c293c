"""Rate limits and retries: slots under a plan, which failed attempts are repeated, and after how long.

Source: electron-api.md, Errors. 429, 502 and 503 are retried with a wait that doubles from 250 ms to 8 s, at most five
attempts. A response that has begun to deliver is never repeated: the user has seen text and pays for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from playground.client.endpoint import Endpoint, is_loopback
from playground.client.events import ApiError


class Load(Struct, frozen=True):
    """Requests in flight and requests of the last minute to one endpoint, as far as this data folder knows."""

    in_flight: int = 0
    this_minute: int = 0


class QueueStatus(Struct, frozen=True):
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


RETRIED = frozenset((429, 502, 503))
LONGEST_ASKED_S = 120.0
"""Maximum accepted Retry-After in seconds; above it the run fails, and the error names the wait."""

HOLD_S = 1.0
"""Pause of an endpoint after a 429 without Retry-After."""


def endpoint_hold_s(error: ApiError) -> float:
    """Return the pause of an endpoint after an attempt, which another program of the account may have caused.

    0 unless it is a 429; at most the longest wait that a retry accepts, whatever the server asks for.
    """
    if error.status != 429 or _is_quota(error):
        return 0.0
    return min(error.retry_after_s or HOLD_S, LONGEST_ASKED_S)


class RetryPolicy(Struct, frozen=True):
    """`attempts` includes the first one; `jitter` is the share of a wait that is added or subtracted at random."""

    attempts: int = 5
    first_s: float = 0.25
    longest_s: float = 8.0
    jitter: float = 0.2

    def wait_s(
        self, attempt: int, error: ApiError, base_url: str, chance: Callable[[], float] = random.random
    ) -> float | None:
        """Return the seconds to wait after attempt number `attempt` (from 1) failed; None if it is not repeated.

        `chance` returns numbers from 0 to 1. A Retry-After is used without jitter. A request that met a
        connection closed meanwhile is repeated at once, also without retries: the next attempt opens a new connection.
        """
        if error.stale:
            return 0.0
        if attempt >= self.attempts or not _worth_it(error, base_url):
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= LONGEST_ASKED_S else None
        wait_s = min(self.first_s * 2.0 ** (attempt - 1), self.longest_s)
        return wait_s * (1 + self.jitter * (2 * chance() - 1))


NO_RETRIES = RetryPolicy(attempts=1)


def _worth_it(error: ApiError, base_url: str) -> bool:
    if error.kind == "http":
        return error.status in RETRIED and not _is_quota(error)
    # No answer. On this machine that means that no server runs, so a retry does not help.
    return error.kind == "connect" and not is_loopback(base_url)


def _is_quota(error: ApiError) -> bool:
    from playground.client.errors import is_quota  # compiles patterns: not before the first error

    return is_quota(error)

"""When an attempt that failed is made again, and after how long.

Source: electron-api.md, Errors. 429, 502 and 503 are retried, with a wait that doubles from 250 ms to 8 s, at most
five attempts; nothing that has begun to deliver is ever sent again by itself: the user has seen text, and pays for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from playground.client.events import ApiError
from playground.client.urls import is_loopback

RETRIED = frozenset((429, 502, 503))
LONGEST_ASKED_S = 120.0
"""A server that asks to wait longer than this is not waited for: the user is told instead."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` counts the first one too; `jitter` is the share of a wait that chance may add or take away."""

    attempts: int = 5
    first_s: float = 0.25
    longest_s: float = 8.0
    jitter: float = 0.2

    def wait_s(
        self, attempt: int, trouble: ApiError, base_url: str, chance: Callable[[], float] = random.random
    ) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) failed; None where it is not made again.

        `chance` gives numbers from 0 to 1. A Retry-After is honoured as it is, never shortened by chance.
        """
        if attempt >= self.attempts or not _worth_it(trouble, base_url):
            return None
        if trouble.retry_after_s is not None:
            return trouble.retry_after_s if trouble.retry_after_s <= LONGEST_ASKED_S else None
        wait_s = min(self.first_s * 2.0 ** (attempt - 1), self.longest_s)
        return wait_s * (1 + self.jitter * (2 * chance() - 1))


NO_RETRIES = RetryPolicy(attempts=1)


def _worth_it(trouble: ApiError, base_url: str) -> bool:
    if trouble.kind == "http":
        return trouble.status in RETRIED
    # Nothing was answered. On this machine that means that no server runs, and waiting starts none.
    return trouble.kind == "connect" and not is_loopback(base_url)

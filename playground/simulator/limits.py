"""Plan limits: requests a minute, and requests in flight at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MINUTE_S = 60.0


@dataclass(frozen=True)
class Plan:
    """None is no limit."""

    requests_per_minute: int | None
    in_flight: int | None


PLANS = {"standard": Plan(10, 3), "enterprise": Plan(200, 20), "none": Plan(None, None)}


@dataclass(frozen=True)
class Refusal:
    """Why a request is answered with 429. `retry_after_s` is None where no time is known."""

    message: str
    retry_after_s: float | None


class Limiter:
    """Counts what this server's one account does."""

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock = plan, clock
        self._starts: deque[float] = deque()
        self.in_flight = 0

    def enter(self) -> Refusal | None:
        """Take a place; a Refusal where there is none. Each place must be given back with `leave`."""
        now = self._clock()
        while self._starts and self._starts[0] <= now - MINUTE_S:
            self._starts.popleft()
        if self._plan.in_flight is not None and self.in_flight >= self._plan.in_flight:
            return Refusal(f"Concurrency limit reached: {self._plan.in_flight} requests in flight", None)
        per_minute = self._plan.requests_per_minute
        if per_minute is not None and len(self._starts) >= per_minute:
            wait_s = self._starts[0] + MINUTE_S - now
            return Refusal(f"Rate limit reached: {per_minute} requests a minute", wait_s)
        self._starts.append(now)
        self.in_flight += 1
        return None

    def leave(self) -> None:
        """Give a place back."""
        self.in_flight -= 1

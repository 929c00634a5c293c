"""How much of a plan's limits this program is using: requests in flight, and requests within the last minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What this program sends to one endpoint. An account's other programs are not in it."""

    in_flight: int
    this_minute: int


@dataclass(slots=True)
class _Endpoint:
    in_flight: int = 0
    starts: deque[float] = field(default_factory=deque)


class Meter:
    """Counts by endpoint id."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._endpoints: dict[str, _Endpoint] = {}

    def started(self, endpoint_id: str) -> None:
        """A request is being sent."""
        endpoint = self._endpoints.setdefault(endpoint_id, _Endpoint())
        endpoint.in_flight += 1
        endpoint.starts.append(self._clock())

    def ended(self, endpoint_id: str) -> None:
        """A request that was counted has ended."""
        self._endpoints[endpoint_id].in_flight -= 1

    def load(self, endpoint_id: str) -> Load:
        """The counts now."""
        endpoint = self._endpoints.setdefault(endpoint_id, _Endpoint())
        oldest = self._clock() - MINUTE_S
        while endpoint.starts and endpoint.starts[0] <= oldest:
            endpoint.starts.popleft()
        return Load(endpoint.in_flight, len(endpoint.starts))

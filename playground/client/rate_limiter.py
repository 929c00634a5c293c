"""What a run needs to know of its endpoint's plan limits: whether there is a place, and what is in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from playground.client.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Load:
    """Requests in flight, and those of the last minute, to one endpoint. An account's other programs are not in it."""

    in_flight: int = 0
    this_minute: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Why there is no place yet. `place` counts from 1, the next; `expected_s` is None where nobody knows how long."""

    place: int
    reason: str
    expected_s: float | None


class Places(Protocol):
    """Gives out places within an endpoint's plan limits."""

    async def enter(self, endpoint: Endpoint, waiting: Callable[[Wait], None]) -> str:
        """Wait for a place and take it; returns its ticket. `waiting` hears why, and whenever that changes."""

    def leave(self, endpoint: Endpoint, ticket: str, hold_s: float = 0.0) -> None:
        """Give a place back. `hold_s`: let nobody through for so long."""


class EverybodyMayGo:
    """No limits."""

    async def enter(self, endpoint: Endpoint, waiting: Callable[[Wait], None]) -> str:
        """A place at once."""
        return ""

    def leave(self, endpoint: Endpoint, ticket: str, hold_s: float = 0.0) -> None:
        """Nothing to give back."""

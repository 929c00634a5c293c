"""Zones: which part of the prompt the cache is expected to serve, which is the same every time, which varies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Zone = Literal["warm", "stable", "variable"]
"""warm: shared with a request sent recently, expect it from the cache · stable: the same in every request of this
prompt, not yet seen · variable: from the first changed character or variable on."""


@dataclass(frozen=True, slots=True)
class ZoneSpan:
    """Code points [start, end) of one message's *template* that lie in `zone`."""

    zone: Zone
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where the prefix ends: in message `message` (None: in the tools) at code point `offset` of its template.

    `tokens` is the estimate (≈) of the prefix before it. `cause` is the sentence that names what ends it; `name` is
    the variable's, where it is one. `kind` "end": nothing ends it, the whole prompt is prefix.
    """

    message: int | None
    offset: int
    tokens: float
    cause: str
    kind: Literal["variable", "differs", "end"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ZoneMap:
    """The whole prompt's zones. All token counts are estimates (≈).

    `messages` has the spans of each message's content, in order and without gaps; a message without content has
    none. `message_zones` is the zone of each message's role line (its head); tools likewise.
    """

    messages: tuple[tuple[ZoneSpan, ...], ...]
    message_zones: tuple[Zone, ...]
    message_tokens: tuple[float, ...]
    tool_zones: tuple[Zone, ...]
    tool_tokens: tuple[float, ...]
    warm_tokens: float
    stable_tokens: float
    variable_tokens: float
    boundary: Boundary

    @property
    def total_tokens(self) -> float:
        """≈ tokens of the whole prompt."""
        return self.warm_tokens + self.stable_tokens + self.variable_tokens

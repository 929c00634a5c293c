"""Whether a server finds only certain points of a prompt again, as reports show: ends of messages, ends of requests,
or saved states every so many tokens.

The forecast of such a server ends at the last point before the end of what is shared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal

from playground.prefix_cache.prefix_size import NEAR, Size

PointKind = Literal["messages", "requests", "states_256", "states_512", "states_1024", "start"]
"""Ends of messages; ends of earlier requests; these and states every 256, 512 or 1,024 tokens; what the newest report
had, as with one breakpoint behind the system text."""
STATES: dict[PointKind, int] = {"requests": 0, "states_256": 256, "states_512": 512, "states_1024": 1024}
KINDS: tuple[PointKind, ...] = ("messages", *STATES, "start")
KEPT, LEAST = 12, 3
"""Latest reports that tell, and how many are needed."""
BELIEVED, DOUBTED = 0.85, 0.6
"""Share of agreeing reports from which a kind is assumed, and below which it no longer is."""


class KeptPoints:
    """What one endpoint and model finds again."""

    def __init__(self) -> None:
        self.kind: PointKind | None = None
        """None: any beginning in whole blocks, or it is not known."""
        self._agreed: dict[PointKind, deque[bool]] = {kind: deque(maxlen=KEPT) for kind in KINDS}
        self.newest = 0
        """The newest report above 0."""
        self._figures: dict[PointKind, set[int]] = {}
        """Different reports that agree, of this session."""

    @property
    def proved(self) -> PointKind | None:
        """Return the kind if several different figures agree with it: where only what is in use is kept, the same start
        is served again and again, which looks like one point."""
        several = self.kind not in (None, "start") and len(self._figures.get(self.kind, ())) >= LEAST
        return self.kind if several else None

    def add(self, cached: int, points: Mapping[PointKind, Size], shared: Size, block: int) -> None:
        """Add a report. `points`: what each kind serves of a prompt that shares so many tokens.

        A report tells of a kind only if it serves other blocks than a server that finds any beginning.
        """
        if not cached and not self.newest:
            return  # the cache may be off
        whole = ends_at_point(cached, shared, block)
        for kind, size in points.items():
            found = ends_at_point(cached, size, block)
            apart = shared.tokens - size.tokens > 2 * block + NEAR + 2 * (shared.error + size.error)
            if kind == "start" and apart and not found:
                self._agreed[kind].clear()  # it is the same in each report, or it is no kind of server
            if apart and (found or whole):
                self._agreed[kind].append(found)
                if found:
                    self._figures.setdefault(kind, set()).add(cached)
        self.newest = cached or self.newest
        shares = {kind: sum(known) / len(known) for kind, known in self._agreed.items() if len(known) >= LEAST}
        best = max(shares, key=lambda kind: (shares[kind], kind == self.kind, len(self._agreed[kind])), default=None)
        if best is not None and shares[best] >= BELIEVED:
            self.kind = best
        elif self.kind is not None and shares.get(self.kind, 0.0) < DOUBTED:
            self.kind = None

    def state(self) -> dict[str, list[bool]]:
        """Return what was learned as JSON values."""
        return {kind: list(known) for kind, known in self._agreed.items()}

    def restore(self, agreed: Mapping[str, Sequence[bool]]) -> None:
        """Continue from a stored state; kinds that are not considered any more are ignored."""
        for kind, known in self._agreed.items():
            known.extend(agreed.get(kind, ()))
            if len(known) >= LEAST and sum(known) >= BELIEVED * len(known) and self.kind is None:
                self.kind = kind


def ends_at_point(cached: int, size: Size, block: int) -> bool:
    """Return whether a report is all whole blocks up to a point after so many tokens."""
    slack = NEAR / 2 + 2 * size.error
    return -slack <= size.tokens - cached < max(block, NEAR) + slack

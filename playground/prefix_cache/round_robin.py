"""Whether a server sends requests to its replicas in turn, as reports show.

If n replicas answer in turn, one request finds the cache of the requests n, 2n, 3n … before it, and of no others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from playground.prefix_cache.prefix_size import NEAR, Size

REPLICAS = (2, 3, 4)
"""Numbers of replicas that are considered."""
COMPARED = 64
"""Number of earlier requests of the same replica that are compared."""
KEPT, LEAST = 12, 5
"""Latest reports that tell, and how many are needed."""
BELIEVED, DOUBTED = 0.9, 0.7
"""Share of agreeing reports from which replicas in turn are assumed, and below which they no longer are."""


class RoundRobin:
    """Number of replicas that answer in turn, of one endpoint and model."""

    def __init__(self) -> None:
        self.replicas = 0
        """Number of replicas that requests reach in turn; 0: they do not, or it is not known."""
        self._agreed: dict[int, deque[bool]] = {count: deque(maxlen=KEPT) for count in REPLICAS}

    @property
    def agreed(self) -> float:
        """Share of the latest reports that agree with the number of replicas, 0 to 1."""
        known = self._agreed.get(self.replicas)
        return sum(known) / len(known) if known else 0.0

    def add(self, cached: int, depths: Mapping[int, tuple[int, int]], size: Callable[[int], Size], block: int) -> None:
        """Add a report. `depths`: code points that the prompt shares with any request (1) and with those of one
        replica, by number of replicas, with their answers and without. A report tells only if these differ."""
        whole = size(max(depths.get(1, (0, 0)))).tokens
        for count, agreed in self._agreed.items():
            if count not in depths:
                continue
            found = [size(depth) for depth in depths[count]]
            if whole - max(one.tokens for one in found) > 2 * block + NEAR:
                agreed.append(any(_agrees(cached, one, block) for one in found))
        shares = {count: sum(agreed) / len(agreed) for count, agreed in self._agreed.items() if len(agreed) >= LEAST}
        best = max(shares, key=lambda count: (shares[count], -count), default=0)
        if best and shares[best] >= BELIEVED:
            self.replicas = best
        elif shares.get(self.replicas, 0.0) < DOUBTED:
            self.replicas = 0


def _agrees(cached: int, size: Size, block: int) -> bool:
    return abs(cached - size.tokens // block * block) <= block + NEAR + 2 * size.error

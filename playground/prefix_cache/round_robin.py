"""Whether a server sends requests to its replicas in turn, as reports show.

If n replicas answer in turn, one request finds the cache of the requests n, 2n, 3n … before it, and of no others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

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
        self.served = False
        """Whether a report with cached tokens has agreed: a cache that is off serves none in any turn."""
        self._agreed: dict[int, deque[bool]] = {count: deque(maxlen=KEPT) for count in REPLICAS}

    @property
    def agreed(self) -> float:
        """Share of the latest reports that agree with the number of replicas, 0 to 1."""
        known = self._agreed.get(self.replicas)
        return sum(known) / len(known) if known else 0.0

    @property
    def alone(self) -> bool:
        """Return whether the reports agree with no other number of replicas."""
        others = (known for count, known in self._agreed.items() if count != self.replicas and len(known) >= LEAST)
        return bool(self.replicas) and all(sum(known) < BELIEVED * len(known) for known in others)

    @property
    def possible(self) -> bool:
        """Return whether most reports that tell agree with some number of replicas, even if these are few."""
        return any(known and sum(known) >= DOUBTED * len(known) for known in self._agreed.values())

    def add(self, cached: int, depths: Mapping[int, tuple[int, int]], size: Callable[[int], Size], block: int) -> None:
        """Add a report. `depths`: code points that the prompt shares with any request (1) and with those of one
        replica, by number of replicas, with their answers and without.

        A report tells only if one replica serves other blocks of it than a single cache. It agrees if it is what the
        replica serves and a single cache does not.
        """
        single = _served((size(depth) for depth in depths.get(1, (0, 0))), block)
        by_single = _any(cached, single)
        for count, agreed in self._agreed.items():
            if count not in depths:
                continue
            replica = _served((size(depth) for depth in depths[count]), block)
            by_replica = _any(cached, replica)
            if by_replica != by_single or (not by_replica and max(replica)[1] < max(single)[0]):
                agreed.append(by_replica)
                self.served = self.served or (by_replica and cached > 0)
        shares = {count: sum(agreed) / len(agreed) for count, agreed in self._agreed.items() if len(agreed) >= LEAST}
        best = max(shares, key=lambda count: (shares[count], -count), default=0)
        if best and shares[best] >= BELIEVED:
            self.replicas = best
        elif shares.get(self.replicas, 0.0) < DOUBTED:
            self.replicas = 0

    def state(self) -> dict[str, object]:
        return {
            "replicas": self.replicas,
            "agreed": {str(count): list(agreed) for count, agreed in self._agreed.items()},
        }

    def restore(self, replicas: int, agreed: Mapping[str, Sequence[bool]]) -> None:
        """Continue from a stored state; numbers that are not considered any more are ignored."""
        for count, known in self._agreed.items():
            known.extend(agreed.get(str(count), ()))
        self.replicas = replicas if self._agreed.get(replicas) else 0
        self.served = bool(self.replicas)


def _served(sizes: Iterable[Size], block: int) -> list[tuple[int, int]]:
    """Return between which whole blocks the reports for so many cached tokens are."""
    found = []
    for size in sizes:
        slack = NEAR + 2 * size.error
        least, most = (int(max(size.tokens + side, 0.0) // block) * block for side in (-slack, slack))
        found.append((least, most))
    return found


def _any(cached: int, served: Iterable[tuple[int, int]]) -> bool:
    return any(least <= cached <= most for least, most in served)

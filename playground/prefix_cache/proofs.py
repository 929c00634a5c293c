"""What single reports have proved of a server, which the weights of hypotheses do not: needed to name a cause."""

from __future__ import annotations

from collections.abc import Sequence

from playground.prefix_cache.reach import Reach

GROWN = 1.1
"""Of the traffic that a prefix has outlived: what another one may have had and still not be short of room."""


class CacheProofs:
    """Proofs of one endpoint and model."""

    def __init__(self) -> None:
        self._unserved = [0.0, 0.0]
        self.shared: set[str] = set()
        """Names of parameters with which requests share a cache although their values differ."""
        self._outlived = 0.0
        """Tokens of a prefix that was served whole, with all other traffic since it was used."""
        self._whole = self._less = 0
        """Reports of all that the newest of several requests shares, and of less."""

    @property
    def unserved(self) -> float:
        """Return the tokens of a whole prompt that was sent again, or continued, soon, and of which nothing was served;
        at least two prompts as long were not. Such a server has a minimum above it."""
        return self._unserved[0]

    def add_whole(self, prompt_tokens: int, cached: int) -> None:
        """Add a report for a prompt that begins with the whole of an earlier one, of `prompt_tokens`."""
        if not cached:
            self._unserved = sorted((*self._unserved, float(prompt_tokens)))[-2:]

    def add_served(self, reach: Reach, cached: int, block: int) -> None:
        """Add a report with what the cache might hold."""
        for step, distance in zip(reach.steps, reach.distances, strict=True):
            size = reach.size(step.depth)
            if size.tokens - block - 2 * size.error <= cached:
                self._outlived = max(self._outlived, distance + size.tokens)
        if len(reach.groups) > 1:
            longest, other = (reach.size(reach.steps[at].depth) for at in (reach.groups[-1], reach.groups[-2]))
            slack = block + 2 * longest.error
            if longest.tokens - other.tokens > slack:
                whole = cached >= longest.tokens - slack
                self._whole, self._less = self._whole + whole, self._less + (not whole)

    @property
    def spread(self) -> bool:
        """Return whether some reports had all that the newest of several requests shares, and others had less, as with
        replicas that do not know the same requests."""
        return self._whole > 0 and self._less > 0

    def outlived(self, reach: Reach, block: int) -> bool:
        """Return whether another prefix was served after as much traffic as there was since this one was used."""
        if not reach.steps:
            return False
        distance, size = reach.distances[-1], reach.size(reach.steps[-1].depth).tokens
        return distance <= block or distance + size <= GROWN * self._outlived

    def state(self) -> dict[str, object]:
        """Return the proofs as JSON values."""
        return {
            "unserved": self._unserved,
            "outlived": self._outlived,
            "spread": [self._whole, self._less],
            "shared": sorted(self.shared),
        }

    def restore(
        self, unserved: Sequence[float], outlived: float, spread: Sequence[int] = (), shared: Sequence[str] = ()
    ) -> None:
        """Continue from a stored state."""
        self._unserved = sorted((0.0, 0.0, *unserved))[-2:]
        self._outlived = max(outlived, 0.0)
        self.shared.update(shared)
        self._whole, self._less = (max(count, 0) for count in (*spread, 0, 0)[:2])

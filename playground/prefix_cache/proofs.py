"""What single reports have proved of a server, which the weights of hypotheses do not: needed to name a cause."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.reach import Reach
from playground.prefix_cache.view import CacheView

GROWN = 1.1
"""Of the traffic that a prefix has outlived: what another one may have had and still not be short of room."""


CHECKPOINT = 256
"""Tokens: servers that keep states of certain positions keep those of multiples of this."""
CLOSING = 4
"""Code points behind a generated message that the next prompt adds."""


def message_ends(view: CacheView) -> list[int]:
    """Return where messages and tools end in a view."""
    pairs = zip(view.parts, view.parts[1:], strict=False)
    ends = [one.end for one, after in pairs if (one.kind == "tool", one.index) != (after.kind == "tool", after.index)]
    return [*ends, view.parts[-1].end] if view.parts else []


def ends_at(cached: int, size: Size, block: int) -> bool:
    """Return whether a report is all whole blocks of exactly so many tokens."""
    return -2 * size.error - 2 <= size.tokens - cached < block + 2 * size.error


class CacheProofs:
    """Proofs of one endpoint and model."""

    def __init__(self) -> None:
        self._unserved = [0.0, 0.0]
        self.shared: set[str] = set()
        """Names of parameters with which requests share a cache although their values differ."""
        self._outlived = 0.0
        """Tokens of a prefix that was served whole, with all other traffic since it was used."""
        self.inside = False
        """Whether a report ended where a message began to differ, or at no end of a message: the server finds any
        beginning again, and not only whole messages or requests, as with explicit breakpoints or saved states."""
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

    def add_ended(self, reach: Reach, view: CacheView, cached: int, block: int, figures: Sequence[int]) -> None:
        """Add a report with what earlier requests share, the prompt in that order, and the figures reported before."""
        if self.inside or not cached or not reach.steps:
            return
        depth = reach.steps[-1].depth
        ends = message_ends(view)
        before = max((end for end in ends if end <= depth + CLOSING), default=0)
        whole, shared = reach.size(before), reach.size(depth)
        beyond = cached - whole.tokens > block + NEAR + 3 * whole.error
        if beyond and shared.tokens - cached <= block + NEAR + 3 * shared.error:
            self.inside = True
        elif cached not in figures and cached % CHECKPOINT and gcd(cached, *figures) < CHECKPOINT / 2:
            self.inside = bool(figures) and not any(ends_at(cached, reach.size(end), block) for end in ends)

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
            "inside": self.inside,
        }

    def restore(
        self,
        unserved: Sequence[float],
        outlived: float,
        spread: Sequence[int] = (),
        shared: Sequence[str] = (),
        *,
        inside: bool = False,
    ) -> None:
        """Continue from a stored state."""
        self._unserved = sorted((0.0, 0.0, *unserved))[-2:]
        self._outlived = max(outlived, 0.0)
        self.shared.update(shared)
        self.inside = inside
        self._whole, self._less = (max(count, 0) for count in (*spread, 0, 0)[:2])

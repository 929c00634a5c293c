"""Slow steps: work that is dear at every frame is done now and then, the less often the dearer it is."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

LEAST_GAP_S = 0.25
SHARE = 20


class SlowSteps:
    """Says when the next step may run: not before LEAST_GAP_S, nor before SHARE times what the last step took."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._next = 0.0
        self.last_s = 0.0

    def run(self, step: Callable[[], None], *, now: bool = False) -> bool:
        """Run `step` if it is due, or if it must be `now`. Returns whether it ran."""
        begin = self._clock()
        if not now and begin < self._next:
            return False
        step()
        end = self._clock()
        self.last_s = end - begin
        self._next = end + max(LEAST_GAP_S, SHARE * (end - begin))
        return True

"""How long a prefix that is not used stays cached: assumed at first, then learnt from what was served after a pause."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import exp, log

from playground.prefix_cache.habits import Learnt

_DOUBT = 0.9
"""Standard deviation of the lifetime's logarithm before any report: within a factor of six, nine times in ten."""
_GRID = tuple(round(5.0 * 1.25**step, 1) for step in range(45))
"""Seconds: 5 s to a day."""
_LOST = 0.05
"""Of what is within its lifetime, how much may be missed all the same: other machines, room that was needed."""
_RARE = (0.15, 5.0)
"""Misses, and requests, that are taken to have been seen before any: the prior of how often a warm prefix is lost."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds between two requests, and whether what both share was served to the second."""

    gap_s: float
    served: bool


class Lifetime:
    """One endpoint and model. `assumed_s`: what is taken for the lifetime until reports tell."""

    def __init__(self, assumed_s: float) -> None:
        self.assumed_s = assumed_s
        self._pauses: deque[Pause] = deque(maxlen=128)
        self._weights: tuple[float, ...] | None = None
        self._weighed_for = assumed_s

    def learn(self, gap_s: float, *, served: bool) -> None:
        """Take in whether a prefix that had not been used for `gap_s` seconds was served."""
        self._pauses.append(Pause(max(gap_s, 0.0), served))
        self._weights = None

    def alive(self, gap_s: float) -> float:
        """How likely a prefix is served that was last used `gap_s` seconds ago, 0 to 1."""
        remembered = sum(w for w, lifetime in zip(self._posterior, _GRID, strict=True) if lifetime >= gap_s)
        return remembered * (1 - self._lost)

    @property
    def effective_s(self) -> float:
        """The middle of what is likely: as assumed, until a report says otherwise."""
        if self._agrees(self.assumed_s):
            return self.assumed_s
        total = 0.0
        for weight, lifetime in zip(self._posterior, _GRID, strict=True):
            total += weight
            if total >= 0.5:
                return lifetime
        return _GRID[-1]

    @property
    def learnt(self) -> Learnt:
        """Seconds; None until something was forgotten. `sure`: how likely it is within a quarter of the figure."""
        if all(pause.served for pause in self._pauses):
            return Learnt(None, 0.0, len(self._pauses))
        middle = self.effective_s
        near = zip(self._posterior, _GRID, strict=True)
        sure = sum(weight for weight, lifetime in near if middle / 1.3 <= lifetime <= middle * 1.3)
        return Learnt(round(middle), sure, len(self._pauses))

    def _agrees(self, lifetime_s: float) -> bool:
        return all(pause.served == (pause.gap_s <= lifetime_s) for pause in self._pauses)

    @property
    def _posterior(self) -> tuple[float, ...]:
        if self._weights is None or self._weighed_for != self.assumed_s:
            self._weighed_for = self.assumed_s
            self._weights = self._weigh()
        return self._weights

    def _weigh(self) -> tuple[float, ...]:
        weights = []
        for lifetime in _GRID:
            weight = exp(-((log(lifetime / max(self.assumed_s, 1.0)) / _DOUBT) ** 2) / 2)
            for pause in self._pauses:
                weight *= _LOST if pause.served != (pause.gap_s <= lifetime) else 1 - _LOST
            weights.append(weight)
        total = sum(weights) or 1.0
        return tuple(weight / total for weight in weights)

    @property
    def _lost(self) -> float:
        """How often a prefix is missed that was used only lately."""
        soon = self.effective_s / 2
        recent = [pause for pause in self._pauses if pause.gap_s <= soon]
        missed = sum(not pause.served for pause in recent)
        return (missed + _RARE[0]) / (len(recent) + _RARE[1])

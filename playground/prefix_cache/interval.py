"""From weighted sizes to a forecast of reported tokens: every block, minimum and size that the reports allow is
weighed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from playground.dataclass import dataclass
from playground.prefix_cache.block_size import CacheUnit
from playground.prefix_cache.prefix_size import Size

_POINTS = (-2.1, -1.645, -1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28, 1.645, 2.1)
_SHARES = (0.034, 0.041, 0.075, 0.12, 0.118, 0.101, 0.102, 0.101, 0.118, 0.12, 0.075, 0.041, 0.034)
"""A normal distribution in steps: standard deviations from its middle, and the share around each."""
TAIL = 0.05
"""Share of reports that may lie beyond each end of the interval."""
NEAR = 16
"""Tokens: a forecast this close to the report is right where blocks are smaller."""
KEPT = 60
"""Residuals that widen intervals."""


@dataclass(frozen=True, slots=True)
class ForecastInterval:
    """Cached tokens (≈), and the interval that holds nine in ten reports."""

    tokens: float
    low: float
    high: float

    def widened(self, below: float, above: float, most: float) -> ForecastInterval:
        """Return the interval with learned residuals added at its ends, within 0 and `most`."""
        tokens = min(self.tokens, most)
        low = min(max(self.low - below, 0.0), tokens)
        return ForecastInterval(tokens, low, max(min(self.high + above, most), tokens))


def interval(sizes: Iterable[tuple[float, Size]], units: Sequence[CacheUnit], most: float) -> ForecastInterval:
    """Return the forecast for sizes with probabilities (sum 1). `most`: the tokens of the prompt."""
    weights: dict[Size, float] = {}
    for weight, size in sizes:
        weights[size] = weights.get(size, 0.0) + weight
    outcomes: dict[float, float] = {}
    for size, weight in weights.items():
        _spread(outcomes, size, weight, units, most)
    if not outcomes:
        return ForecastInterval(0.0, 0.0, 0.0)
    near = max(NEAR, units[0].block if units else NEAR)
    tokens = _most_probable(outcomes, near)
    low, high = _quantile(outcomes, TAIL), _quantile(outcomes, 1 - TAIL)
    return ForecastInterval(tokens, min(low, tokens), max(high, tokens))


def _spread(outcomes: dict[float, float], size: Size, share: float, units: Sequence[CacheUnit], most: float) -> None:
    points = zip(_POINTS, _SHARES, strict=True) if size.error >= 0.05 else ((0.0, 1.0),)
    # At least one token is always computed.
    sizes = [(max(min(size.tokens + point * size.error, most - 1), 0.0), weight * share) for point, weight in points]
    for unit in units:
        for tokens, weight in sizes:
            served = unit.served(tokens) if unit.block > 1 else round(tokens) if tokens >= unit.minimum else 0.0
            outcomes[served] = outcomes.get(served, 0.0) + weight * unit.weight


def _most_probable(outcomes: dict[float, float], near: float) -> float:
    """Return the figure with the largest probability that the report is within `near` tokens of it."""
    ordered = sorted(outcomes.items())
    best, most = 0.0, -1.0
    start = 0
    for tokens, _ in ordered:
        while ordered[start][0] < tokens - near:
            start += 1
        around = 0.0
        for other, share in ordered[start:]:
            if other > tokens + near:
                break
            # The figure itself counts a little more, so that exact ones win among equals.
            around += share * (1 - 0.3 * abs(other - tokens) / near)
        if around > most:
            best, most = tokens, around
    return best


def _quantile(outcomes: dict[float, float], part: float) -> float:
    total, before = sum(outcomes.values()), 0.0
    for tokens in sorted(outcomes):
        before += outcomes[tokens]
        if before >= part * total:
            return tokens
    return max(outcomes)


class Residuals:
    """Signed distances of reports from unwidened intervals: 0 inside, positive above, negative below."""

    def __init__(self) -> None:
        self._beyond: deque[float] = deque(maxlen=KEPT)
        self.width = 1.0
        """Factor of the standard deviations of estimates that keeps nine in ten reports inside, 1 to 4."""

    def add(self, found: ForecastInterval, reported: int) -> None:
        """Add a forecast with its report."""
        beyond = min(reported - found.low, 0.0) or max(reported - found.high, 0.0)
        self._beyond.append(beyond)
        if beyond == 0:
            self.width = max(self.width * 0.985, 1.0)
        elif abs(beyond) < max(0.1 * found.tokens, 48.0):
            self.width = min(self.width * 1.15, 4.0)

    @property
    def below(self) -> float:
        """Tokens by which the lower end is moved down."""
        return self._slack([-beyond for beyond in self._beyond])

    @property
    def above(self) -> float:
        """Tokens by which the upper end is moved up."""
        return self._slack(list(self._beyond))

    @staticmethod
    def _slack(amounts: list[float]) -> float:
        """Return the least slack that leaves at most one in twenty outside."""
        allowed = int(TAIL * max(len(amounts), 40))
        outside = sorted((amount for amount in amounts if amount > 0), reverse=True)
        return outside[allowed] if len(outside) > allowed else 0.0

    def state(self) -> dict[str, object]:
        """Return the learned state as JSON values."""
        return {"beyond": list(self._beyond), "width": self.width}

    def restore(self, beyond: Sequence[float], width: float) -> None:
        """Continue from a stored state."""
        self._beyond.extend(beyond[-KEPT:])
        self.width = min(max(width, 1.0), 4.0)

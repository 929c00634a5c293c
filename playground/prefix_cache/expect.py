"""What the cache will serve, with an earned interval: each block, size and loss that reports allow is weighed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playground.prefix_cache.habits import Habit

_POINTS = (-2.1, -1.645, -1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28, 1.645, 2.1)
_SHARES = (0.034, 0.041, 0.075, 0.12, 0.118, 0.101, 0.102, 0.101, 0.118, 0.12, 0.075, 0.041, 0.034)
"""A normal distribution in steps: standard deviations from its middle, and how much of it lies around each."""
TAIL = 0.05
"""Of the reports, how many may lie beyond each end of the interval."""


@dataclass(frozen=True, slots=True)
class Size:
    """About how many tokens are shared, with the standard deviation of that."""

    tokens: float
    error: float


@dataclass(frozen=True, slots=True)
class Chance:
    """A prefix that may be served: its size, and how likely the cache still has it (0 to 1)."""

    size: Size
    alive: float


@dataclass(frozen=True, slots=True)
class Expected:
    """Cached tokens (≈), and the interval that nine in ten reports fall into."""

    tokens: float
    low: float
    high: float


def expected(chances: Sequence[Chance], habits: Sequence[Habit]) -> Expected:
    """Of prefixes that hold one another, the shortest first. `habits`: the likeliest first."""
    outcomes: dict[float, float] = {}
    left = 1.0
    for chance in reversed(chances):
        share = left * chance.alive
        _spread(outcomes, chance.size, share, habits)
        left -= share
    outcomes[0.0] = outcomes.get(0.0, 0.0) + left
    low, high = _quantile(outcomes, TAIL), _quantile(outcomes, 1 - TAIL)
    likely = next((chance for chance in reversed(chances) if chance.alive >= 0.5), None)
    tokens = _likeliest(habits).served(likely.size.tokens) if likely else 0.0
    return Expected(tokens, min(low, tokens), max(high, tokens))


def _likeliest(habits: Sequence[Habit]) -> Habit:
    weights: dict[int, float] = {}
    for habit in habits:
        weights[habit.block] = weights.get(habit.block, 0.0) + habit.weight
    block = max(weights, key=lambda block: weights[block])
    return next(habit for habit in habits if habit.block == block)


def _spread(outcomes: dict[float, float], size: Size, share: float, habits: Sequence[Habit]) -> None:
    points = zip(_POINTS, _SHARES, strict=True) if size.error else ((0.0, 1.0),)
    sizes = [(max(size.tokens + point * size.error, 0.0), weight * share) for point, weight in points]
    for habit in habits:
        for tokens, weight in sizes:
            served = habit.served(tokens)
            outcomes[served] = outcomes.get(served, 0.0) + weight * habit.weight


def _quantile(outcomes: dict[float, float], part: float) -> float:
    total, before = sum(outcomes.values()), 0.0
    for tokens in sorted(outcomes):
        before += outcomes[tokens]
        if before >= part * total:
            return tokens
    return max(outcomes)

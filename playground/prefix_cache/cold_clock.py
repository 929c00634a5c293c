"""How long a prefix stays warm: lifetime and capacity that reports support, and when a prompt turns cold."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from playground.prefix_cache.block_size import Estimate
from playground.prefix_cache.endpoint_model import EndpointCacheModel, Prediction
from playground.prefix_cache.hypotheses import RETENTIONS

HELD = 0.95
_NEAR = 1.5
"""Factor within which a lifetime counts as the same."""


@dataclass(frozen=True, slots=True)
class ColdClock:
    """When the warm prefix is expected to turn cold.

    `warm_until_unix` is None if the lifetime is unknown or nothing is warm; `cold`: the prefix was sent before, and its
    lifetime is over. `confidence` is 0 to 1.
    """

    warm_until_unix: float | None = None
    lifetime_s: float | None = None
    confidence: float = 0.0
    cold: bool = False


def lifetime_of(cache: EndpointCacheModel) -> Estimate:
    """Return the lifetime in seconds; unknown while reports allow that there is none."""
    weights = cache.hypotheses.retentions()
    pairs = [(one.limit, weight) for one, weight in zip(RETENTIONS, weights, strict=True) if one.kind == "lifetime"]
    total = sum(weight for _, weight in pairs)
    if total < 0.5:
        return Estimate(None, 0.0, cache.reports)
    half, before = total / 2, 0.0
    median = pairs[-1][0]
    for seconds, weight in pairs:
        before += weight
        if before >= half:
            median = seconds
            break
    confidence = sum(weight for seconds, weight in pairs if median / _NEAR <= seconds <= median * _NEAR)
    return Estimate(round(median), min(confidence, 0.99), cache.reports)


def capacity_of(cache: EndpointCacheModel) -> float:
    """Return the tokens that the cache holds at least, with a probability of HELD; 0 if that is not known."""
    weights = cache.hypotheses.retentions()
    limited = sorted(
        (one.limit if one.kind == "tokens" else 0.0, weight)
        for one, weight in zip(RETENTIONS, weights, strict=True)
        if one.kind in ("tokens", "slots")
    )
    before = 0.0
    for limit, weight in limited:
        before += weight
        if before > 1 - HELD:
            return limit
    return inf


def cold_clock(cache: EndpointCacheModel, prediction: Prediction) -> ColdClock:
    """Return the clock of a prompt."""
    lifetime = lifetime_of(cache)
    steps = prediction.reach.steps
    if lifetime.value is None or not steps:
        return ColdClock()
    best = prediction.best
    if best is not None and best.depth:
        used = next(
            (age for step, age in zip(steps, prediction.reach.ages, strict=True) if step.depth >= best.depth), 0.0
        )
        until = prediction.now - used + lifetime.value
        return ColdClock(until, float(lifetime.value), lifetime.confidence)
    cold = prediction.reach.ages[0] > lifetime.value
    return ColdClock(None, float(lifetime.value), lifetime.confidence, cold)

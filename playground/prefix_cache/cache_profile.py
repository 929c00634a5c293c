"""What a server's cache is like, as far as its reports tell: the figures that a user sees."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.block_size import Estimate
from playground.prefix_cache.hypotheses import ROUTINGS
from playground.prefix_cache.learned_parameters import LearnedParameters
from playground.prefix_cache.lifetime import lifetime_of
from playground.prefix_cache.view import TOOLS

ONE_CACHE = 0.85
"""Confidence in a single cache is not higher: replicas that are chosen by the prompt's beginning look the same."""

PROBABLE, UNEXPLAINED, AT_RANDOM = 0.7, 0.1, 0.1
"""A single cache is stated from this confidence on, up to this share of losses without another explanation, and up to
this probability of replicas at random; not while each report that tells agrees with replicas in turn, too, or if some
reports were exactly what an older request shares."""


class Property(Struct, frozen=True):
    """An inferred property of a server that is no number; `confidence` is 0 to 1. `value` None: unknown."""

    value: str | bool | None
    confidence: float


class CacheProfile(Struct, frozen=True):
    """What a server's cache is like, as far as reports tell: `block` and `minimum` in tokens, `lifetime` in seconds."""

    block: Estimate
    minimum: Estimate
    lifetime: Estimate
    answers_cached: Property
    tools_position: Property
    replicas: Estimate
    loss_rate: float


def profile(learned: LearnedParameters) -> CacheProfile:
    """Return what reports have taught about one cache."""
    hypotheses, units = learned.hypotheses, learned.units
    weights = hypotheses.weights
    answers = sum(weight for one, weight in weights.items() if one.answers)
    orders: dict[str, float] = {}
    for one, weight in weights.items():
        order = TOOLS.get(one.order, one.order)
        name = "before_last_user" if order == "system_last" else order
        orders[name] = orders.get(name, 0.0) + weight
    position = max(orders, key=lambda name: orders[name])
    sure = max(answers, 1 - answers)
    known = learned.reports >= 3
    return CacheProfile(
        replace(units.block, confidence=min(units.block.confidence, 0.99)),
        replace(units.minimum, confidence=min(units.minimum.confidence, 0.99)),
        lifetime_of(learned),
        Property(answers >= 0.5, sure) if known and sure >= 0.75 else Property(None, 0.0),
        Property(position, orders[position])
        if hypotheses.tools_seen and orders[position] >= 0.6
        else Property(None, 0.0),
        _replicas(learned) if known else Estimate(None, 0.0, learned.reports),
        hypotheses.loss_rate,
    )


def _replicas(learned: LearnedParameters) -> Estimate:
    if learned.round_robin.replicas and learned.round_robin.served:
        turns = learned.round_robin
        return Estimate(turns.replicas, turns.agreed if turns.alone else turns.agreed / 2, learned.reports)
    routings = learned.hypotheses.routings()
    at = max(range(len(routings)), key=lambda index: routings[index])
    if ROUTINGS[at].replicas > 1 and not learned.proofs.spread:
        return Estimate(None, 0.0, learned.reports)
    many = sum(weight for routing, weight in zip(ROUTINGS, routings, strict=True) if routing.replicas > 1)
    confidence = min(1 - many, ONE_CACHE) if ROUTINGS[at].replicas == 1 else many
    losses = learned.hypotheses.loss_rate > UNEXPLAINED
    several = learned.hypotheses.at_random > AT_RANDOM or learned.round_robin.possible or learned.proofs.spread
    if ROUTINGS[at].replicas == 1 and (confidence < PROBABLE or losses or several):
        return Estimate(None, 0.0, learned.reports)
    return Estimate(ROUTINGS[at].replicas, confidence, learned.reports)

"""What a server's cache is like, as far as its reports tell: figures that a user sees, lifetime and capacity."""

from __future__ import annotations

from math import inf
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.block_size import Estimate
from playground.prefix_cache.forecast import Prediction
from playground.prefix_cache.hypotheses import ANSWERS, PLACES, ROUTINGS
from playground.prefix_cache.learned_state import LearnedParameters
from playground.prefix_cache.reach import RETENTIONS

HELD = 0.95
"""Probability with which the cache holds at least the stated tokens."""
_NEAR = 1.5
"""Factor within which a lifetime counts as the same."""


LifetimeSource = Literal["", "learned", "set"]
UNPROVED = 0.85
"""Confidence is not higher while reports do not exclude the alternatives, however probable losses make a value."""
GUESS = 0.65
"""Confidence of a guess that no report can confirm: a lifetime, which is longer than the pauses show if a use does not
renew it; a single cache, as replicas may be chosen by the user, the conversation or the prompt's beginning, so that all
requests that share a prefix reach the same one; and a place of the tools, or whether answers are cached, while reports
without cached tokens, which a loss explains as well, are all that speaks against another one."""

SMALL = 0.9
"""Probability of a cache with little room from which reports prove no replicas at random."""
PROBABLE, UNEXPLAINED, AT_RANDOM = 0.7, 0.1, 0.1
"""A single cache is stated from this confidence on, up to this share of losses without another explanation, and up to
this probability of replicas at random; not while each report that tells agrees with replicas in turn, too, or if some
reports were exactly what an older request shares."""


class ColdClock(Struct, frozen=True):
    """When the warm prefix is expected to turn cold.

    `warm_until_unix` is None if the lifetime is unknown or nothing is warm; `cold`: the prefix was sent before, and its
    lifetime ended at `cold_since_unix`. `confidence` is 0 to 1. `source`: where the lifetime comes from, reports of the
    server or the user's setting.
    """

    warm_until_unix: float | None = None
    lifetime_s: float | None = None
    confidence: float = 0.0
    cold: bool = False
    cold_since_unix: float | None = None
    source: LifetimeSource = ""

    @property
    def basis(self) -> str:
        """Return the lifetime and its source as text; empty if it is unknown."""
        if self.lifetime_s is None:
            return ""
        if self.source == "set":
            return f"cache lifetime {self.lifetime_s:,.0f} s, from Settings"
        return f"cache lifetime ≈ {self.lifetime_s:,.0f} s, learned from this server's reports"


def lifetime_of(learned: LearnedParameters) -> Estimate:
    """Return the lifetime in seconds.

    Unknown while reports allow that there is none, or few restarts explain them; if a prefix was served after a longer
    pause; or if replicas at random are more probable, which miss after any pause.
    """
    weights = learned.hypotheses.retentions()
    rows = zip(RETENTIONS, weights, strict=True)
    pairs = sorted((one.limit, weight) for one, weight in rows if one.kind in ("lifetime", "fixed"))
    total = sum(weight for _, weight in pairs)
    if total < 0.5 or learned.proofs.restarts_explain_losses:
        return Estimate(None, 0.0, learned.reports)
    half, before = total / 2, 0.0
    median = pairs[-1][0]
    for seconds, weight in pairs:
        before += weight
        if before >= half:
            median = seconds
            break
    if learned.hypotheses.at_random > 0.5 or learned.proofs.contradicts(median):
        return Estimate(None, 0.0, learned.reports)
    confidence = sum(weight for seconds, weight in pairs if median / _NEAR <= seconds <= median * _NEAR)
    return Estimate(round(median), min(confidence, UNPROVED), learned.reports)


def capacity_of(learned: LearnedParameters) -> float:
    """Return the tokens that the cache holds at least, with a probability of HELD; 0 if that is not known."""
    weights = learned.hypotheses.retentions()
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


def cold_clock(learned: LearnedParameters, prediction: Prediction, set_s: float | None = None) -> ColdClock:
    """Return the clock of a prompt. `set_s`: the lifetime that the user set, for a server whose reports tell none."""
    lifetime = lifetime_of(learned)
    lifetime_s = set_s if lifetime.value is None else float(lifetime.value)
    steps = prediction.reach.steps
    if lifetime_s is None or not steps:
        return ColdClock()
    source: LifetimeSource = "set" if lifetime.value is None else "learned"
    confidence = 0.0 if lifetime.value is None else lifetime.confidence
    best = prediction.best
    if best is not None and best.depth:
        used = next(
            (age for step, age in zip(steps, prediction.reach.ages, strict=True) if step.depth >= best.depth), 0.0
        )
    else:
        used = prediction.reach.ages[0]
    until = prediction.now - used + lifetime_s
    if until <= prediction.now:
        return ColdClock(None, lifetime_s, confidence, True, until, source)
    warm = best is not None and best.depth > 0
    return ColdClock(until if warm else None, lifetime_s, confidence, source=source)


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
        for place in PLACES[one.order]:
            orders[place] = orders.get(place, 0.0) + weight / len(PLACES[one.order])
    position = max(orders, key=lambda name: orders[name])
    sure, cached = max(answers, 1 - answers), answers >= 0.5
    excludes, doubts = learned.proofs.excludes, learned.proofs.doubts
    other_answers, other_places = (ANSWERS[not cached],), orders.keys() - {position}
    # The same place but for a few tokens, which no report tells apart.
    beside = {"inside", "first_user"} if position in ("inside", "first_user") else {position}
    tested = doubts(other_answers)
    # Reports against all places, or against both, tell that sizes are wrong, or that prefixes were lost.
    sure_answers = excludes(other_answers) and not doubts((ANSWERS[cached],))
    wrong_place = doubts(beside & orders.keys())
    sure_place = excludes(other_places) and not wrong_place
    told = doubts(orders.keys() - beside) and not wrong_place and position != "first_user"
    # Losses look like a minimum, but hardly as often of whole prompts that were continued soon.
    least = units.minimum.value
    short = not least or learned.proofs.unserved_between(least / 2, least + units.step)
    known = learned.reports >= 3
    lifetime = lifetime_of(learned)
    return CacheProfile(
        replace(units.block, confidence=min(units.block.confidence, 0.99)),
        replace(units.minimum, confidence=min(units.minimum.confidence, 0.99 if short else GUESS)),
        replace(lifetime, confidence=min(lifetime.confidence, GUESS)),
        Property(cached, min(sure, 1.0 if sure_answers else UNPROVED if tested else GUESS))
        if known and sure >= 0.75
        else Property(None, 0.0),
        Property(position, min(orders[position], 1.0 if sure_place else UNPROVED if told else GUESS))
        if hypotheses.tools_seen and orders[position] >= 0.6
        else Property(None, 0.0),
        _replicas(learned) if known else Estimate(None, 0.0, learned.reports),
        hypotheses.loss_rate,
    )


def replicas_proved(learned: LearnedParameters) -> bool:
    """Return whether replicas in turn are proved: a cache that stores prompts at the second sighting looks like two."""
    turns, proofs = learned.round_robin, learned.proofs
    return turns.replicas > 0 and proofs.elsewhere and (turns.replicas > 2 or proofs.at_once)


def _replicas(learned: LearnedParameters) -> Estimate:
    if learned.round_robin.served and replicas_proved(learned):
        turns = learned.round_robin
        return Estimate(turns.replicas, turns.agreed if turns.alone else turns.agreed / 2, learned.reports)
    routings = learned.hypotheses.routings()
    at = max(range(len(routings)), key=lambda index: routings[index])
    # A cache with little room or few points, or that stores late, does not have what an older request shares either.
    other = learned.hypotheses.room + learned.hypotheses.delayed > SMALL or learned.kept_points.kind is not None
    if not learned.units.figures or (ROUTINGS[at].replicas > 1 and (other or not learned.proofs.spread)):
        return Estimate(None, 0.0, learned.reports)
    many = sum(weight for routing, weight in zip(ROUTINGS, routings, strict=True) if routing.replicas > 1)
    confidence = 1 - many if ROUTINGS[at].replicas == 1 else many
    losses = learned.hypotheses.loss_rate > UNEXPLAINED
    several = learned.hypotheses.at_random > AT_RANDOM or learned.round_robin.possible or learned.proofs.perhaps_spread
    several = several or learned.round_robin.replicas > 0
    if ROUTINGS[at].replicas == 1 and (confidence < PROBABLE or losses or several):
        return Estimate(None, 0.0, learned.reports)
    if ROUTINGS[at].replicas == 1:
        return Estimate(1, min(confidence, GUESS), learned.reports)
    # Reports prove no larger number: two and other losses look like it.
    return Estimate(2, confidence, learned.reports, at_least=True)

"""What is known of a server when a report is explained, from its earlier reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache, partial
from math import inf

from msgspec import Struct

from playground.prefix_cache.block_size import EXACT, CacheUnit, Estimate, Rounding, common_unit, possible_units
from playground.prefix_cache.cache_profile import lifetime_of, replicas_proved
from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage, Prediction
from playground.prefix_cache.hypotheses import ANSWERS, ROUTINGS, Hypotheses, Rendering
from playground.prefix_cache.learned_state import LearnedParameters
from playground.prefix_cache.message_content import OTHER_PART
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.proofs import LARGE, PART
from playground.prefix_cache.reach import RETENTIONS, Reach, RetentionKind
from playground.prefix_cache.view import (
    BASE,
    CLEARED,
    MOVED_ORDERS,
    MOVING_ORDERS,
    PLAIN_ORDERS,
    SENT,
    TURN_ORDERS,
    TURNS,
    CacheView,
    Order,
    Reuse,
)
from playground.prompt.document import Json

NO_ROOM, LENGTH = 0.01, 0.6
"""If a cache of limited size has at most the first probability, a lifetime is named from the second confidence on."""
UNSURE_PART = 128.0
"""Tokens of a part whose loss is stated if the size of the prefix is a mere estimate; otherwise `PART`."""
COUNTED = 6.0
"""Tokens of doubt up to which the size of a prefix is as good as counted."""
CORRECTED = 0.6
"""Of the error of an estimated prefix: what is left once the tokens of the whole prompt are counted."""
CONFIDENT = 0.7
"""Confidence from which an inferred minimum or lifetime is named as the cause."""
SEVERAL = 2
"""Earlier figures from which a common divisor of all may be the block, of however many blocks a report is."""
LARGE_BLOCK = 1024
"""Tokens: the largest usual block and minimum. A shorter prefix may never be cached."""
EXCLUDED = 0.005
"""Probability of templates up to which they are no candidate."""
PARTLY = 0.03
"""Probability of blocks that leave out as much up to which a loss of part of a prefix is stated."""


class EarlierRequest(Struct, frozen=True):
    """What a request is compared with. `gap_s` is the time between both, `lost` why the cache cannot have it any
    more. Tokens are as reported. `answer` is its generated message, see `view.answer_text`; empty if unknown."""

    view: CacheView
    fields: Mapping[str, Json] | None = None
    request_id: str | None = None
    gap_s: float | None = None
    lost: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    answer: str = ""
    cached_tokens: int | None = None
    own_fields: Mapping[str, Json] | None = None
    """If it went to another model: those of the own model's request that shares most, to which `gap_s` counts then."""
    answered_s: float = 0.0
    """How long the answer took; 0: unknown."""


class OrderEvidence(Struct, frozen=True):
    """One possible order of the prompt, with its probability; `size` gives the tokens before a code point in that
    order. `twin`: the probability of the same order with, or without, what a bare one leaves out. `longest`: the tokens
    of the longest beginning that any earlier request shares."""

    order: Order
    weight: float
    size: Callable[[int], Size]
    twin: float = 0.0
    longest: Size | None = None

    @property
    def plausible(self) -> float:
        """Probability that tools are where this order has them, with and without `twin`'s way of writing parts."""
        return self.weight + self.twin


class ReuseEvidence(Struct, frozen=True):
    """What of a generated message may be found again, with its probability, and the tokens that are served then."""

    reuse: Reuse
    weight: float
    size: Size


class Expected(Struct, frozen=True):
    """What the forecast held possible: `size` tokens with probability `weight`. `less`: although an earlier request
    shares more, because it was forgotten or went to another replica: `missing` tokens more."""

    weight: float
    size: Size
    less: bool
    missing: float = 0.0


class MissKnowledge(Struct, frozen=True):
    """What was known of the server before the report. `minimum` and `lifetime_s` are None unless reports support
    them. `blocks` are the blocks that reports allow, with their probabilities; empty: only `block`."""

    orders: Sequence[OrderEvidence]
    block: int = 16
    prompt_tokens: float = 0.0
    """≈ tokens of the whole prompt, which count if the server reports none."""
    minimum: int | None = None
    lifetime_s: float | None = None
    assumed_lifetime_s: float = 300.0
    blocks: Sequence[tuple[int, float]] = ()
    rounding: Rounding = EXACT
    """How the server rounds what it reports."""
    longest: float = 0.0
    """≈ tokens of the longest beginning that any earlier request shares."""
    reuses: Sequence[ReuseEvidence] = ()
    misses: float = inf
    """Number of prefixes that were not served though no minute had changed, which a template may print."""
    never_served: bool = False
    """Whether no report so far had cached tokens, of any model of the server."""
    figures: Sequence[int] = ()
    """The cached tokens above 0 that were reported so far, each once."""
    outlived: bool = False
    """Whether another prefix was served after as much other traffic as there was since the compared request."""
    at: float | None = None
    """When the request was sent, in Unix seconds."""
    all_orders: Sequence[OrderEvidence] = ()
    """Those of `orders` and the improbable ones, the most probable first."""
    off: bool = False
    """Whether the newest reports for these parameters had no cached tokens, though as much was to be found, above the
    usual minimums."""
    unserved: float = inf
    """Tokens of the longest whole prompt that was sent again, or continued, and of which nothing was served."""
    shared_parameters: Set[str] = frozenset()
    """Parameters that do not keep prompts apart, as reports have shown."""
    running: bool = False
    """Whether a request that was still running shares more with the prompt than any that had ended."""
    running_tokens: float = 0.0
    """≈ tokens that the prompt shares with requests that were still running."""
    ended_tokens: float = 0.0
    """≈ tokens that it shared with requests that had ended, if others were still running; `ended_gap_s`: the time since
    the newest of these was sent."""
    ended_gap_s: float | None = None
    expected: Sequence[Expected] = ()
    units: Sequence[CacheUnit] = ()
    newer: Sequence[Size] = ()
    """Tokens of the beginnings that newer requests share in each order that reports allow, shorter than what any
    earlier one shares."""
    room_kept: bool = False
    """Whether reports exclude a cache of limited size."""
    off_for: str = ""
    """Parameters of the request for which the cache is off: nothing was ever served for them, and others were served
    too often for that to be chance."""
    unproved_orders: Set[Order] = frozenset()
    """Orders in which a template moves text that too few reports have shown, see `CacheProofs.moves`."""
    reasoning_kept: bool = False
    """Whether reports exclude all templates that leave out reasoning, `EXCLUDED` or less."""
    in_turn: bool = False
    """Whether requests probably reach replicas in turn."""
    replicas: int | None = None
    """Number of these replicas, if reports agree with no other."""
    replicas_proved: bool = True
    """Whether neither a prefix that is stored late nor lack of room explains the same reports."""
    inside: bool = True
    """Whether reports have shown that the server finds a part of a message again, see `CacheProofs.inside`."""
    forgets: bool = True
    """Whether pauses longer than `lifetime_s` separate misses from hits, see `CacheProofs.forgets_after`."""
    point: Size | None = None
    """What a server serves that finds only certain points again, if this one does, see `KeptPoints`."""
    limit: int = 0
    """The most that the server may cache or report of a prompt, see `KeptPoints.limit`; 0: no limit is known."""
    served_pauses: tuple[float, float] = (inf, 0.0)
    """The shortest and the longest time since it was used after which a prefix was served, in seconds."""
    served: int = 0
    """The most tokens that were reported for a beginning that the prompt shares."""
    stored_ages: tuple[float, float] = (0.0, 0.0)
    """The seconds since the first part that was not served was stored, see `stored_ages`, and the longest such time
    after which it was served before."""
    ended: Sequence[float] = ()
    """Tokens of the earlier requests, with their answers if these may be cached, that the prompt continues."""
    clocks: Callable[[float, float, int], Sequence[str]] = lambda began, ended, cached: ()
    """The units of time that a template may print, see `CacheProofs.clocks`."""
    answers_proved: bool = True
    """Whether reports have shown that the server caches answers."""
    stored_s: float = inf
    stored_after_s: float = inf
    """Seconds after which a prefix is stored, as reports have shown, see `CacheProofs.stored_s`."""
    late_s: float = 0.0
    """Seconds up to which none is, see `CacheProofs.late_s`."""
    likely: Mapping[str, float] = {}
    """Probabilities of the report together with causes, see `_likely`."""

    @property
    def plain(self) -> OrderEvidence | None:
        """The most probable order in which no user message moves text."""
        return next((one for one in self.all_orders if one.order in PLAIN_ORDERS), None)

    @property
    def part(self) -> float:
        """Tokens of a part from which its loss is more than an incomplete last block."""
        return max(PART, 1.5 * self.block)

    def common_unit(self, cached: int) -> int:
        """Return the largest unit of which this report and all earlier ones may be whole ones."""
        return common_unit({*self.figures, cached} - {0}, self.rounding)

    def is_whole(self, cached: int, block: int) -> bool:
        """Return whether a report may be whole blocks, as this server reports them."""
        return self.rounding.is_whole(cached, block)

    def agrees(self, cached: int, size: Size) -> bool:
        """Return whether a report is what a server serves of so many shared tokens."""
        if cached:
            return self.in_blocks(cached, size) or self.whole_blocks(cached, size)
        short = size.tokens < 1.1 * LARGE_BLOCK and self.none_so_short(size.tokens)
        return short or size.tokens - 3 * size.error < self.block

    def in_blocks(self, cached: int, size: Size) -> bool:
        """Return whether a report is what a server serves of so many tokens, with blocks that reports allow."""
        slack = 3 * size.error + NEAR
        usual = [block for block, weight in self.blocks if weight >= PARTLY and self.is_whole(cached, block)]
        wholes = ((*self.rounding.whole(cached, block), block) for block in usual or (1,))
        return any(first - slack <= size.tokens <= last + max(block, NEAR) + slack for first, last, block in wholes)

    def whole_blocks(self, cached: int, size: Size, near: float = NEAR) -> bool:
        """Return whether a report may be whole large blocks of so many tokens: hybrid models have blocks of 528."""
        rounding, slack = self.rounding, 3 * size.error + near
        if not cached or size.tokens < cached - rounding.below - slack:
            return False
        for parts in range(1, 9):
            for unit in possible_units(cached, parts, rounding):
                enough = size.tokens - parts * unit < unit + slack
                if enough and all(rounding.is_whole(figure, unit) for figure in self.figures):
                    return True
        return len(self.figures) >= SEVERAL and size.tokens - cached < self.common_unit(cached) + slack

    def none_so_short(self, tokens: float) -> bool:
        """Return whether no report so far shows that the server caches a prefix of so few tokens."""
        return not any(figure <= tokens + self.block for figure in self.figures)


def knowledge_of(
    cache: EndpointCacheModel, prediction: Prediction, assumed_s: float, usage: CacheUsage
) -> MissKnowledge:
    """Return what a cache model knows before it learns the report of a predicted request. Only the tokens of the whole
    prompt count already, and that the cached ones may be rounded."""
    learned, counted = cache.learned, partial(_counted, prediction, usage.prompt_tokens)
    units = cache.learned.units.beside(usage.cached_tokens)
    weights: dict[Order, float] = {}
    best: dict[Order, Rendering] = {}
    for one, weight in learned.hypotheses.weights.items():
        weights[one.order] = weights.get(one.order, 0.0) + weight
        known = best.get(one.order)
        if one in prediction.reaches and (known is None or weight > learned.hypotheses.weights[known]):
            best[one.order] = one
    evidence: dict[Order, OrderEvidence] = {}
    for order, one in best.items():
        reach = prediction.reaches[one]
        longest = counted(reach.size, reach.steps[-1].depth) if reach.steps else None
        size = partial(counted, reach.size)
        evidence[order] = OrderEvidence(order, weights[order], size, _others(order, weights), longest)
    lifetime = lifetime_of(learned)
    # If the reports exclude a limited cache, only the lifetime's length is doubtful.
    reach, running = prediction.reach, prediction.running
    point = learned.kept_points.proved
    wholes = (one.longest.tokens for one in prediction.reaches.values() if one.steps)
    most = min(max(wholes, default=0.0), usage.prompt_tokens or inf)
    needed = CONFIDENT if learned.hypotheses.room > NO_ROOM else LENGTH
    return MissKnowledge(
        orders=[one for one in evidence.values() if one.weight >= 0.005],
        block=units.step,
        prompt_tokens=prediction.prompt.tokens,
        minimum=learned.units.least,
        lifetime_s=float(lifetime.value) if lifetime.value is not None and lifetime.confidence >= needed else None,
        assumed_lifetime_s=assumed_s,
        blocks=[(unit.block, unit.weight) for unit in units.likely],
        rounding=units.rounding,
        longest=most,
        reuses=_reuses(learned, prediction),
        misses=learned.proofs.misses,
        never_served=learned.reports > 0 and not learned.units.figures,
        figures=learned.units.figures,
        outlived=learned.proofs.outlived(prediction.reach, learned.units.step),
        at=prediction.now,
        all_orders=sorted(evidence.values(), key=lambda one: -one.weight),
        off=prediction.off and prediction.shared.tokens >= LARGE,
        unserved=learned.proofs.unserved,
        shared_parameters=frozenset(learned.proofs.shared),
        running=prediction.ended_chars is not None,
        running_tokens=counted(reach.size, running.running).tokens if running else 0.0,
        ended_tokens=counted(reach.size, running.ended).tokens if running else 0.0,
        ended_gap_s=prediction.now - running.ended_at if running and running.ended_at is not None else None,
        expected=_expected(cache, prediction),
        units=units.likely[:6],
        newer=[
            size
            for one, reach in prediction.reaches.items()
            if learned.hypotheses.weights[one] >= PARTLY
            for size in reach.newer
        ],
        room_kept=learned.hypotheses.room <= NO_ROOM / 10 and learned.proofs.room_kept(reach),
        off_for=prediction.off_for,
        unproved_orders={one for one in MOVED_ORDERS if learned.round_robin.possible or not learned.proofs.moves(one)},
        reasoning_kept="last_turn" in cache.requests.trees
        and sum(weights.get(one, 0.0) for one in (*TURN_ORDERS, *SENT)) < EXCLUDED,
        in_turn=learned.round_robin.replicas > 0,
        replicas=learned.round_robin.replicas if learned.round_robin.alone else None,
        replicas_proved=replicas_proved(learned),
        inside=learned.proofs.inside,
        forgets=_forgets(learned, prediction, lifetime),
        point=reach.kept(point, reach.steps[-1].depth, 0) if point is not None and reach.steps else None,
        limit=learned.kept_points.limit,
        served_pauses=learned.proofs.served_pauses,
        served=reach.served,
        ended=[tokens for _, tokens in reach.counted],
        clocks=learned.proofs.clocks,
        answers_proved=learned.proofs.excludes((ANSWERS[False],)),
        stored_s=learned.proofs.stored_s,
        stored_after_s=learned.proofs.stored_after_s,
        late_s=learned.proofs.late_s,
        likely=_likely(learned, prediction, usage) if most - (usage.cached_tokens or 0) >= PART else {},
    )


def _likely(learned: LearnedParameters, prediction: Prediction, usage: CacheUsage) -> dict[str, float]:
    """Return the probability of a report together with each of the causes that the hypotheses weigh, and with a loss of
    another kind, by code of the cause ("lost": the other kinds)."""
    cached, prompt = usage.cached_tokens or 0, usage.prompt_tokens or 0
    hypotheses, units = learned.hypotheses, learned.units.likely[:6]
    lost = (0.5 if not cached else 0.0) + 0.5 * learned.units.step / (prompt + learned.units.step)
    found = dict.fromkeys((*_RETENTIONS.values(), "replica", *_TEMPLATES.values()), 0.0)
    found["lost"] = hypotheses.loss_rate * lost

    @cache
    def chance(size: Size) -> float:
        return sum(unit.weight * unit.chance(cached, size.tokens, size.error) for unit in units)

    shares: dict[int, float] = {}
    for one, reach in prediction.reaches.items():
        weight = hypotheses.weights[one]
        shares[id(reach)] = shares.get(id(reach), 0.0) + weight
        if code := _TEMPLATES.get(BASE.get(one.order, one.order)):
            found[code] += weight * chance(reach.longest)
    for reach in {id(one): one for one in prediction.reaches.values()}.values():
        if (share := shares[id(reach)]) >= PARTLY:
            for code, likely in _of_losses(hypotheses, reach, chance):
                found[code] += share * likely
    return found


def _of_losses(hypotheses: Hypotheses, reach: Reach, chance: Callable[[Size], float]) -> Iterator[tuple[str, float]]:
    """Yield codes with the probability of a report under one of the ways in which a cache forgets, or with replicas."""
    classes = reach.classes()
    chances = [chance(size) for size, _ in classes.kinds]
    for retention, weight, at in zip(RETENTIONS, hypotheses.retentions(), classes.members, strict=True):
        if retention.kind in _RETENTIONS:
            yield _RETENTIONS[retention.kind], weight * chances[at]
    for routing, weight in zip(ROUTINGS, hypotheses.routings(), strict=True):
        if routing.replicas > 1:
            yield "replica", weight * sum(part * chance(size) for part, size in hypotheses.spread(reach, routing))


_RETENTIONS: dict[RetentionKind, str] = {
    "lifetime": "gap",
    "fixed": "gap",
    "tokens": "room",
    "slots": "room",
    "late": "not_stored",
    "clock": "date",
    "clock_first": "date",
}
_TEMPLATES: dict[Order, str] = {
    **dict.fromkeys(MOVING_ORDERS, "tools_moved"),
    **dict.fromkeys(CLEARED, "older_rewritten"),
    **dict.fromkeys(TURNS, "reasoning_left_out"),
}
"""Codes of the candidates that a retention, or an order of the template, is evidence of."""


def stored_ages(reports: Sequence[tuple[float, int | None, int]], at: float, cached: int) -> tuple[float, float]:
    """Return the seconds since text was stored that a request sent `at` was not served, and the longest such time after
    which it was served before. A use may not renew it: some caches count a lifetime from then on.

    `reports`: of the requests that have this text, the oldest first, see `PrefixIndex.reports`. One that ended where
    this one did stored it again. One of which less was served, of which no more than what is before this text, or
    without a report may have: each block has its own age.
    """
    stored = surely = at
    longest = 0.0
    for sent, served, _ in reports:
        if stored == at or served == cached:
            stored = surely = sent
        elif served is None or served < cached + PART:
            surely = sent
        else:
            longest = max(longest, sent - surely)
    return at - stored, longest


def _counted(prediction: Prediction, prompt_tokens: int | None, estimated: Callable[[int], Size], offset: int) -> Size:
    """Return the size of a prefix, corrected by the reported tokens of the whole prompt if these were an estimate, too.

    The errors of both have the same sources, mostly the scripts and words of the text.
    """
    size, whole = estimated(offset), prediction.prompt
    if prompt_tokens is None:
        return size
    if min(whole.error, size.error) <= COUNTED or OTHER_PART in prediction.view.text:
        return Size(min(size.tokens, float(prompt_tokens)), size.error)
    ratio = prompt_tokens / max(whole.tokens, 1.0)
    tokens = size.tokens + min(size.error / whole.error, 1.0) * (prompt_tokens - whole.tokens)
    least, most = (size.tokens * limit for limit in (min(ratio, 1.0), max(ratio, 1.0)))
    return Size(min(max(tokens, least), most), max(CORRECTED * size.error, COUNTED))


def _forgets(learned: LearnedParameters, prediction: Prediction, lifetime: Estimate) -> bool:
    if lifetime.value is None or not prediction.reach.steps:
        return False
    return learned.proofs.forgets_after(float(lifetime.value), prediction.reach.ages[-1], prediction.now)


def _expected(cache: EndpointCacheModel, prediction: Prediction) -> list[Expected]:
    """Return what the forecast held possible for one cache, or for replicas in turn."""
    learned = cache.learned
    single = learned.hypotheses.routings()[0]
    found = []
    for one in prediction.outcomes:
        reach = prediction.reaches[one.rendering]
        depth, least = reach.steps[-1].depth if reach.steps else 0, PART
        if learned.round_robin.replicas and prediction.shared_in_turn:
            if cache.requests.order_of(one.rendering) not in PLAIN_ORDERS:
                continue  # what other replicas share is only known in these
            whole, prompt = prediction.shared_in_turn[1]
            depth = max(depth, whole if one.rendering.answers else prompt)
            least = min(PART, 2.0 * learned.units.step) if learned.round_robin.alone else PART
        missing = reach.size(depth).tokens - one.size.tokens
        found.append(Expected(single * one.weight, one.size, missing >= least, missing))
    return found


def _others(order: Order, weights: Mapping[Order, float]) -> float:
    """Return the probability of the orders that write the same parts, in the same order, in another way."""
    return sum(weight for one, weight in weights.items() if one != order and _family(one) == _family(order))


def _family(order: Order) -> Order:
    base = BASE.get(order, order)
    return next((kinds[0] for kinds in (TURNS, tuple(CLEARED)) if base in kinds), base)


def _reuses(learned: LearnedParameters, prediction: Prediction) -> list[ReuseEvidence]:
    """Return what may be found again of the answer that a prompt continues."""
    weights = learned.hypotheses.weights
    return [
        ReuseEvidence(one.reuse, weights[one], reach.size(reach.steps[-1].depth))
        for one, reach in prediction.reaches.items()
        if reach.steps
    ]


def agreement(cached: int, size: Size, block: int) -> float:
    """Return how well a report agrees with a shared size in blocks of `block` tokens, from 0 to 1."""
    slack = 2 * size.error + NEAR
    least, most = ((size.tokens + one) // block * block for one in (-slack, slack))
    apart = max(least - cached, cached - most, 0.0)
    return float(1.0 / (1.0 + (apart / (24.0 + 2 * size.error)) ** 2))

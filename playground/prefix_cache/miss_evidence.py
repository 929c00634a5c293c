"""What is known when a report is explained: both requests, their first difference, and the server's earlier reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import cached_property
from math import gcd, inf

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.block_size import CacheUnit
from playground.prefix_cache.difference import Difference, difference, moved_by_template, rewritten
from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.hypotheses import Rendering
from playground.prefix_cache.message_content import OTHER_PART
from playground.prefix_cache.prediction import Prediction
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.traffic import lifetime_of
from playground.prefix_cache.view import (
    BASE,
    MOVING_ORDERS,
    SENT,
    TURN_ORDERS,
    TURNS,
    CacheView,
    DocumentView,
    Order,
    Reuse,
    arranged,
)
from playground.prompt.document import Json

PLAUSIBLE = 0.1
"""Probability from which another order than the most probable may explain a report."""
LARGE_BLOCK = 1024
"""Tokens: the largest usual block and minimum. A shorter prefix may never be cached."""
THRESHOLDS = (256, 512, LARGE_BLOCK)
"""Usual minimums and large blocks in tokens."""
UNRENDERED = 0.1
"""Weight of a template that leaves out or rewrites what differs, against one that renders it as sent."""
NO_ROOM, LENGTH = 0.01, 0.6
"""Probability of a limited cache up to which a lifetime is named from this confidence on."""
SHORTENED = 64
"""Tokens by which the earlier prompt is longer than the shared part, from which it may have reached a block or minimum
that the shared part does not reach."""
PART, UNSURE_PART = 64.0, 128.0
"""Tokens of a part whose loss is stated; the latter if the size of the prefix is a mere estimate."""
COUNTED = 6.0
"""Tokens of doubt up to which the size of a prefix is as good as counted."""
EXPECTED = 0.3
"""Probability that the forecast gave to the loss of a part from which a report is explained by it."""
PARTLY = 0.03
"""Probability of blocks that leave out as much up to which a loss of part of a prefix is stated."""
MOVING = 0.6
"""Probability from which the explanation says that a template moves tools or system text, or marks the last turn: a
large block, a minimum or another replica look the same in single reports."""
CONFIDENT = 0.7
"""Confidence from which an inferred minimum or lifetime is named as the cause."""
PROVED = 0.9
"""Probability of templates that leave out ids, names and reasoning from which these fields are no cause."""


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
        """Probability of where tools are."""
        return self.weight + self.twin


class ReuseEvidence(Struct, frozen=True):
    """What of a generated message may be found again, with its probability, and the tokens that are served then."""

    reuse: Reuse
    weight: float
    size: Size


class Expected(Struct, frozen=True):
    """What the forecast held possible: `size` tokens with probability `weight`. `less`: although an earlier request
    shares more, because it was forgotten or went to another replica."""

    weight: float
    size: Size
    less: bool


class MissKnowledge(Struct, frozen=True):
    """What was known of the server before the report. `minimum` and `lifetime_s` are None unless reports support
    them. `blocks` are the blocks that reports allow, with their probabilities; empty: only `block`."""

    orders: Sequence[OrderEvidence]
    block: int = 16
    minimum: int | None = None
    lifetime_s: float | None = None
    assumed_lifetime_s: float = 300.0
    blocks: Sequence[tuple[int, float]] = ()
    longest: float = 0.0
    """≈ tokens of the longest beginning that any earlier request shares."""
    reuses: Sequence[ReuseEvidence] = ()
    never_served: bool = False
    """Whether no report so far had cached tokens."""
    figures: Sequence[int] = ()
    """The cached tokens above 0 that were reported so far, each once."""
    outlived: bool = False
    """Whether another prefix was served after as much other traffic as there was since the compared request."""
    at: float | None = None
    """When the request was sent, in Unix seconds."""
    all_orders: Sequence[OrderEvidence] = ()
    """Those of `orders` and the improbable ones, the most probable first."""
    unserved: float = inf
    """Tokens of the longest whole prompt that was sent again, or continued, and of which nothing was served."""
    shared_parameters: Set[str] = frozenset()
    """Parameters that do not keep prompts apart, as reports have shown."""
    running: bool = False
    """Whether a request that was still running shares more with the prompt than any that had ended."""
    expected: Sequence[Expected] = ()
    units: Sequence[CacheUnit] = ()
    shorter: Sequence[Size] = ()
    """Tokens of the beginnings that newer requests share, shorter than what any earlier one shares."""
    in_turn: bool = False
    """Whether requests probably reach replicas in turn."""
    replicas: int | None = None
    """Number of these replicas, if reports agree with no other."""

    def none_so_short(self, tokens: float) -> bool:
        """Return whether no report so far shows that the server caches a prefix of so few tokens."""
        return not any(figure <= tokens + self.block for figure in self.figures)


class MissCase(Struct, frozen=True, dict=True):
    """A report with everything that bears on its explanation.

    `found` is the first difference in the order that explains the report best, and `shared` the tokens before it.
    `moved` is the order if the template causes the difference by moving tools or system text, or by marking the last
    turn.
    """

    now: CacheView
    document: DocumentView | None
    earlier: EarlierRequest
    parameters: tuple[str, ...]
    known: MissKnowledge
    cached: int
    prompt: int
    found: Difference | None
    shared: Size
    moved: Order | None

    @property
    def extends(self) -> bool:
        """Return whether the prompt begins with the whole earlier one."""
        return self.now.text.startswith(self.earlier.view.text)

    @property
    def missed(self) -> bool:
        """Return whether identical text was not served; an incomplete last block is no miss."""
        block = self.known.block
        if self.cached == 0 and (self.shared.tokens - 2 * self.shared.error) // block * block >= max(64, block):
            return True
        least = max(64.0, 1.5 * block) + 2 * self.shared.error
        return self.cached < self.shared.tokens / 2 and self.shared.tokens - self.cached >= least

    @property
    def minimum(self) -> int | None:
        """Return the minimum if reports support it for prefixes of this size: a whole prompt of that size, sent again,
        was not served. A server that keeps only states of whole prompts serves no part of them, however long."""
        size = min(self.shared.tokens, float(self.prompt))
        return self.known.minimum if self.known.unserved >= size - self.known.block - NEAR else None

    @property
    def may_be_short(self) -> bool:
        """Return whether the prefix may be below a minimum that is not known."""
        return self.cached == 0 and self.shared.tokens < 1.1 * LARGE_BLOCK and self.minimum is None

    @property
    def part_missing(self) -> bool:
        """Return whether the server found a part of a shared beginning only, and no block that reports allow leaves
        out so much."""
        return self._less_than_usual and not self.whole_blocks(self.shared)

    @property
    def part_or_block(self) -> bool:
        """Return whether the server found a part of a shared beginning only, unless it has large blocks of an unusual
        size, for which no other report speaks: one figure alone tells nothing of a block."""
        return self._less_than_usual and not any(figure != self.cached for figure in self.known.figures)

    @property
    def _less_than_usual(self) -> bool:
        missed = self.shared.tokens - self.cached
        known = self.served_as_long or self.shared.error <= COUNTED
        least = PART if known else UNSURE_PART
        if not self.cached or missed < max(least, 2.0 * self.known.block) + 3 * self.shared.error:
            return False
        slack = 3 * self.shared.error + NEAR
        return sum(weight for block, weight in self.blocks if missed < block + slack) < PARTLY

    @property
    def newer_alone(self) -> bool:
        """Return whether exactly what newer requests share was served: an older one, which shares more, is lost."""
        block = self.known.block if not self.cached % self.known.block else 1
        return any(
            -NEAR / 2 <= size.tokens - self.cached <= block + NEAR / 2 and size.error <= NEAR / 2
            for size in self.known.shorter
            if self.shared.tokens - size.tokens >= PART
        )

    @property
    def blocks(self) -> list[tuple[int, float]]:
        """Return the blocks that earlier reports allow and of which the report may be whole ones."""
        blocks = self.known.blocks or ((self.known.block, 1.0),)
        return [(block, weight) for block, weight in blocks if not self.cached % block]

    @property
    def in_coarser_units(self) -> bool:
        """Return whether all reports are multiples of a unit that is larger than what is missing, such as the
        checkpoints of a hybrid model: all that such a cache has may have been served."""
        figures = set(self.known.figures) - {0}
        unit = gcd(self.cached, *figures)
        several = bool(figures) and not self.known.in_turn
        return several and unit > self.known.block and self.shared.tokens - self.cached < unit

    @cached_property
    def expected_less(self) -> bool:
        """Return whether the forecast explains the report: the cache, or the replica, has less of the prompt than an
        earlier request shares."""
        less = whole = prior = 0.0
        least = max(PART, 1.5 * self.known.block)
        for one in self.known.expected:
            chance = sum(
                unit.weight * unit.chance(self.cached, one.size.tokens, one.size.error) for unit in self.known.units
            )
            apart = self.shared.tokens - one.size.tokens >= least + 2 * (one.size.error + self.shared.error)
            if one.less and apart:
                less += one.weight * chance
                prior += one.weight
            else:
                whole += one.weight * chance
        missed = self.shared.tokens - self.cached >= least + 2 * self.shared.error and not self.in_coarser_units
        return missed and prior >= EXPECTED and less > 0.0 and less >= PROVED * (less + whole)

    @property
    def has_pictures(self) -> bool:
        """Return whether a prompt has parts whose tokens cannot be estimated from their text."""
        return OTHER_PART in self.now.text or OTHER_PART in self.earlier.view.text

    @property
    def served_as_long(self) -> bool:
        """Return whether the server has reported a prefix as long as the shared one: its size is no mere estimate."""
        slack = self.known.block + NEAR + 3 * self.shared.error
        return any(abs(figure - self.shared.tokens) <= slack for figure in self.known.figures)

    @property
    def kept_short(self) -> bool:
        """Return whether the text after the shared prefix may keep it below a block or minimum."""
        inside = self.found is not None and not self.at_the_end
        if inside and self.prompt >= LARGE_BLOCK:
            return True
        whole, shared = self.earlier.prompt_tokens or 0, self.shared.tokens
        longer = whole - shared >= SHORTENED or any(
            shared - 2 * self.shared.error < least <= min(whole, self.prompt) for least in THRESHOLDS
        )
        return self.known.none_so_short(self.shared.tokens) and (inside or longer)

    @property
    def may_be_off(self) -> bool:
        """Return whether the server has served nothing so far, though a whole prompt as long was sent again: its cache
        may be switched off, whatever differs."""
        known = self.known
        return not self.cached and known.never_served and inf > known.unserved >= min(self.prompt, LARGE_BLOCK)

    @property
    def at_the_end(self) -> bool:
        """Return whether the difference is in the last message."""
        last = self.now.parts[-1].index if self.now.parts else 0
        return self.found is not None and self.found.part.kind != "tool" and self.found.part.index == last

    @property
    def other_model(self) -> bool:
        """Return whether the earlier request went to another model."""
        return any(clause.startswith("model:") for clause in self.parameters)

    @property
    def own_model_lost(self) -> bool:
        """Return whether the request's own model lost a cached prefix: the change of model is not the reason."""
        longest = self.known.longest
        lost = self.other_model and longest - self.cached >= max(64.0, 1.5 * self.known.block)
        return lost and not self.whole_blocks(Size(longest, NEAR))

    @property
    def own_model_served(self) -> bool:
        """Return whether the request's own model knows most of the prompt, and served it."""
        known = self.known.longest >= max(self.shared.tokens / 2, 64.0)
        return self.other_model and known and self.cached > 0 and not self.own_model_lost

    @property
    def late(self) -> bool:
        """Return whether the known lifetime was over."""
        limit = self.known.lifetime_s
        return limit is not None and self.earlier.gap_s is not None and self.earlier.gap_s > 0.8 * limit

    def fits(self, size: Size) -> bool:
        """Return whether the report is what a server with usual blocks serves of so many tokens."""
        slack = 3 * size.error + NEAR
        for block, weight in self.blocks:
            if weight >= PARTLY and -slack <= size.tokens - self.cached <= block + slack:
                return True
        return self.whole_blocks(size)

    def whole_blocks(self, size: Size) -> bool:
        """Return whether the report may be whole large blocks of so many tokens: hybrid models have blocks of 528."""
        missed, slack = size.tokens - self.cached, 3 * size.error + NEAR
        return any(self._divides(parts) and -slack <= missed < self.cached / parts + slack for parts in range(1, 9))

    def _divides(self, parts: int) -> bool:
        block = self.cached // parts
        return block * parts == self.cached > 0 and not any(figure % block for figure in self.known.figures)

    @cached_property
    def edit(self) -> Difference | None:
        """Return an edit of the request itself that explains the report in any order; None if there is none.

        Where a template writes a message in another way, the edit is the difference inside this message of the
        request body.
        """
        if self.extends:
            return None
        if self.moved is not None and self.found is not None:
            edited = _message_difference(self.now, self.earlier.view, self.found.part.index)
            if edited is not None:
                return edited
        for one in self.known.all_orders:
            mine, theirs = (arranged(view, one.order) for view in (self.now, self.earlier.view))
            found = difference(mine, theirs)
            if found is not None and moved_by_template(mine, theirs, one.order):
                edited = _message_difference(self.now, self.earlier.view, found.part.index)
            else:
                edited = None if one.order in SENT else found  # a bare order may leave out what differs before
            if found is None or edited is None or self._is_found(edited):
                continue
            if self._ends(one.size(found.shared)):
                return edited
            if self.cached and one.longest is not None and self.fits(one.longest):
                return edited
        left_out = sum(one.weight for one in self.known.orders if one.order in SENT)
        # The text is the same only in a rendering for which the reports do not speak yet.
        return difference(self.now, self.earlier.view) if self.found is None and left_out < PROVED else None

    def _is_found(self, edited: Difference) -> bool:
        """Return whether an edit is the difference up to which the text is the same."""
        found = self.found
        return found is not None and (found.part.kind, found.part.index, found.offset) == (
            edited.part.kind,
            edited.part.index,
            edited.offset,
        )

    def _ends(self, size: Size) -> bool:
        """Return whether the report is what a prefix of so many tokens gives."""
        if self.cached:
            return self.fits(size)
        short = size.tokens < 1.1 * LARGE_BLOCK and self.known.none_so_short(size.tokens)
        return short or size.tokens < self.known.block + NEAR

    @property
    def may_be_blocks(self) -> bool:
        """Return whether whole large blocks of a prompt that was continued explain the report."""
        plain = (one for one in self.known.all_orders if one.order not in (*BASE, *MOVING_ORDERS, *TURN_ORDERS))
        one = next(plain, None)
        if one is None or not self.extends:
            return False
        return self.whole_blocks(one.size(len(arranged(self.earlier.view, one.order).text)))


def _message_difference(now: CacheView, earlier: CacheView, index: int) -> Difference | None:
    """Return the first difference inside one message of the request body."""
    mine, theirs = (_message(view, index) for view in (now, earlier))
    return None if mine.text == theirs.text else difference(mine, theirs)


def _message(view: CacheView, index: int) -> CacheView:
    parts = [part for part in view.parts if part.kind != "tool" and part.index == index]
    start, end = (parts[0].start, parts[-1].end) if parts else (0, 0)
    moved = (replace(part, start=part.start - start, end=part.end - start) for part in parts)
    return CacheView(view.text[start:end], tuple(moved))


def case_of(
    now: CacheView,
    document: DocumentView | None,
    earlier: EarlierRequest,
    parameters: tuple[str, ...],
    known: MissKnowledge,
    report: tuple[int, int],
) -> MissCase:
    """Return the evidence of a report: `report` is cached and prompt tokens."""
    cached, prompt = report
    found, shared, moved = _best_order(now, earlier.view, cached, known, likely_only=bool(parameters))
    return MissCase(now, document, earlier, parameters, known, cached, prompt, found, shared, moved)


def _best_order(
    now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge, *, likely_only: bool
) -> tuple[Difference | None, Size, Order | None]:
    """Return the first difference in the order that explains the report best, the tokens before it, and this order if
    the template causes it by moving tools or system text, or by marking the last turn.

    `likely_only`: only in the most probable order, as something else may explain the report. If the prompt begins with
    the whole earlier one, only a template can cause a difference: its order must be probable.
    """
    best: tuple[float, Order, CacheView, Size, bool] | None = None
    most = max((one.plausible for one in known.orders), default=0.0)
    extends = now.text.startswith(earlier.text)
    least = most if likely_only else min(CONFIDENT if extends else PLAUSIBLE, most)
    same = rewritten(earlier, now)
    for one in known.orders:
        if one.plausible < least:
            continue
        mine = arranged(now, one.order)
        for other in (earlier,) if same is None else (earlier, same):
            theirs = arranged(other, one.order)
            moved = moved_by_template(mine, theirs, one.order)
            if moved and one.plausible < MOVING:
                continue
            size = one.size(common_prefix(mine.text, theirs.text))
            fit = (one.weight if other is earlier else one.weight * UNRENDERED) * sum(
                share * agreement(cached, size, block) for block, share in known.blocks or ((known.block, 1.0),)
            )
            if best is None or fit > best[0] * 1.0001:
                best = fit, one.order, other, size, moved
    _, order, other, size, moved = best or (0.0, "first", earlier, _canonical_size(now, earlier, known), False)
    return difference(arranged(now, order), arranged(other, order)), size, order if moved else None


def _canonical_size(now: CacheView, earlier: CacheView, known: MissKnowledge) -> Size:
    """Return the tokens that both share if tools are first."""
    first = next((one for one in known.orders if one.order == "first"), None)
    return first.size(common_prefix(now.text, earlier.text)) if first is not None else Size(0.0, 0.0)


def agreement(cached: int, size: Size, block: int) -> float:
    """Return how well a report agrees with a shared size in blocks of `block` tokens, from 0 to 1."""
    served = size.tokens // block * block
    apart = max(abs(cached - served) - block - 2 * size.error, 0.0)
    return float(1.0 / (1.0 + (apart / (24.0 + 2 * size.error)) ** 2))


# -- from the cache model ------------------------------------------------------------------------------------------


def knowledge_of(cache: EndpointCacheModel, prediction: Prediction, assumed_s: float) -> MissKnowledge:
    """Return what a cache model knows before the report of a predicted request."""
    weights: dict[Order, float] = {}
    best: dict[Order, Rendering] = {}
    for one, weight in cache.hypotheses.weights.items():
        weights[one.order] = weights.get(one.order, 0.0) + weight
        known = best.get(one.order)
        if one in prediction.reaches and (known is None or weight > cache.hypotheses.weights[known]):
            best[one.order] = one
    evidence: dict[Order, OrderEvidence] = {}
    for order, one in best.items():
        reach = prediction.reaches[one]
        longest = reach.size(reach.steps[-1].depth) if reach.steps else None
        evidence[order] = OrderEvidence(order, weights[order], reach.size, _others(order, weights), longest)
    minimum, lifetime = cache.units.minimum, lifetime_of(cache)
    # If the reports exclude a limited cache, only the lifetime's length is doubtful.
    reach = prediction.reach
    needed = CONFIDENT if cache.hypotheses.room > NO_ROOM else LENGTH
    return MissKnowledge(
        [one for one in evidence.values() if one.weight >= 0.005],
        cache.units.step,
        minimum.value if minimum.confidence >= CONFIDENT and minimum.value else None,
        float(lifetime.value) if lifetime.value is not None and lifetime.confidence >= needed else None,
        assumed_s,
        [(unit.block, unit.weight) for unit in cache.units.likely],
        max((one.size(one.steps[-1].depth).tokens for one in prediction.reaches.values() if one.steps), default=0.0),
        _reuses(cache, prediction),
        cache.reports > 0 and not cache.units.figures,
        cache.units.figures,
        cache.proofs.outlived(prediction.reach, cache.units.step),
        prediction.now,
        sorted(evidence.values(), key=lambda one: -one.weight),
        cache.proofs.unserved,
        shared_parameters=frozenset(cache.proofs.shared),
        running=prediction.ended_chars is not None,
        expected=_expected(cache, prediction),
        units=cache.units.likely[:6],
        shorter=[reach.size(reach.steps[at].depth) for at in reach.groups[:-1]],
        in_turn=cache.round_robin.replicas > 0,
        replicas=cache.round_robin.replicas if cache.round_robin.alone else None,
    )


def _expected(cache: EndpointCacheModel, prediction: Prediction) -> list[Expected]:
    """Return what the forecast held possible for one cache, or for replicas in turn."""
    single = cache.hypotheses.routings()[0]
    found = []
    for one in prediction.outcomes:
        reach = prediction.reaches[one.rendering]
        depth = reach.steps[-1].depth if reach.steps else 0
        if cache.round_robin.replicas and prediction.in_turn:
            if cache.order_of(one.rendering) not in ("inside", "first"):
                continue  # what other replicas share is only known in these
            depth = max(depth, *prediction.in_turn[1])
        less = reach.size(depth).tokens - one.size.tokens >= PART
        found.append(Expected(single * one.weight, one.size, less))
    return found


def _others(order: Order, weights: Mapping[Order, float]) -> float:
    """Return the probability of the orders that write the same parts, in the same order, in another way."""
    return sum(weight for one, weight in weights.items() if one != order and _family(one) == _family(order))


def _family(order: Order) -> Order:
    base = BASE.get(order, order)
    return TURNS[0] if base in TURNS else base


def _reuses(cache: EndpointCacheModel, prediction: Prediction) -> list[ReuseEvidence]:
    """Return what may be found again of the answer that a prompt continues."""
    reaches = {one: reach for one, reach in prediction.reaches.items() if reach.steps}
    if len({id(reach) for one, reach in reaches.items() if one.answers}) < 2:
        return []
    weights = cache.hypotheses.weights
    return [ReuseEvidence(one.reuse, weights[one], reach.size(reach.steps[-1].depth)) for one, reach in reaches.items()]

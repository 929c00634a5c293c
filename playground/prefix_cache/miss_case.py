"""A report with all that bears on its explanation: both requests, their first difference, and the known
properties of the server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from itertools import filterfalse
from math import gcd, inf, sqrt
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.block_size import EXACT, rounded_off
from playground.prefix_cache.difference import Difference, difference, moved_by_template, rewritten
from playground.prefix_cache.message_content import OTHER_PART
from playground.prefix_cache.miss_evidence import (
    CONFIDENT,
    COUNTED,
    LARGE_BLOCK,
    PARTLY,
    UNSURE_PART,
    EarlierRequest,
    MissKnowledge,
    OrderEvidence,
    agreement,
)
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.proofs import CHECKPOINT, GENERATION, PART, PROOF, SAME, ends_at, message_ends, near_figure
from playground.prefix_cache.reach import LOWEST, ends_at_point
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import (
    BASE,
    LATER_ORDERS,
    MOVING_ORDERS,
    OPENING,
    SENT,
    CacheView,
    DocumentView,
    Order,
    ViewPart,
    answer_in,
    arranged,
    results,
)

BEYOND = 0.03
"""Of a shared size: what may be served beyond it while the difference is still believed."""
PLAUSIBLE = 0.1
"""Probability from which another order than the most probable may explain a report."""
UNRENDERED = 0.1
"""Weight of a template that leaves out or rewrites what differs, against one that renders it as sent."""
MOVING = 0.6
"""Probability from which the explanation says that a template moves tools or system text, or marks the last turn: a
large block, a minimum or another replica look the same in single reports."""
THRESHOLDS = (256, 512, LARGE_BLOCK, 2048, 4096)
"""Usual minimums and large blocks in tokens."""
SMALL_BLOCKS = (2, 4, *range(8, int(PART) + 1, 8))
"""Blocks of tokens that may hide a loss of less than `PART`."""
HIDDEN = 0.15
"""Probability of blocks behind rounded reports that hide a loss, from which it is not stated."""
USUAL_LIMITS = (500, 512)
"""Tokens of which a limit of caching or reporting is usually a multiple."""
EXPECTED = 0.3
"""Probability that the forecast gave to the loss of a part from which a report is explained by it."""
EXPLAINED = 1e-3
"""Probability of a report under such a loss from which the forecast explains it: exact figures are never probable."""
EDIT_ORDERS = 0.3
"""Share of the probable orders from which an edit that explains the report in these is named as the cause."""
BY_CHANCE = 0.04
"""Probability that reports are multiples of a large unit by chance up to which the server has such blocks."""
EXACT_BLOCK = 4
"""Tokens: in larger blocks the end of one of many messages agrees with a report too often by chance."""
PROVED = 0.9
"""Probability of templates that leave out ids, names and reasoning from which these fields are no cause."""


def best_order(
    now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge, *, likely_only: bool
) -> tuple[Difference | None, Size, Order | None, Order, float]:
    """Return the order in which a report for a prompt is explained best, beside an earlier prompt: the fields of
    `MissCase` from `found` on.

    `likely_only`: only in the most probable order, as something else may explain the report. If the prompt begins with
    the whole earlier one, only a template can cause a difference: its order must be probable.
    """
    best: tuple[float, Order, CacheView, Size, bool] | None = None
    most = max((one.plausible for one in known.orders), default=0.0)
    extends = now.text.startswith(earlier.text)
    least = most if likely_only and cached else min(CONFIDENT if extends else PLAUSIBLE, most)
    same = rewritten(earlier, now)
    fits: dict[object, list[tuple[float, Order, CacheView, Size, bool]]] = {}
    probable = agreeing = 0.0
    orders = [one for one in known.orders if one.plausible >= least]
    refuted = partial(_refuted, now=now, earlier=earlier, cached=cached, known=known)
    orders = list(filterfalse(refuted, orders)) or list(filterfalse(refuted, known.all_orders)) or orders
    if cached and not extends and not likely_only and not _usual_limit(cached, known):
        orders += _agreeing(orders, now, earlier, cached, known)
    for one in orders:
        fitting = False
        mine = arranged(now, one.order)
        for other in (earlier,) if same is None else (earlier, same):
            theirs = arranged(other, one.order)
            moved = moved_by_template(mine, theirs, one.order)
            if moved and one.plausible < MOVING:
                continue
            size = one.size(common_prefix(mine.text, theirs.text))
            fitting = fitting or known.agrees(cached, size)
            fit = (one.weight if other is earlier else one.weight * UNRENDERED) * sum(
                share * agreement(cached, size, block) for block, share in known.blocks or ((known.block, 1.0),)
            )
            if best is None or fit > best[0] * 1.0001:
                best = fit, one.order, other, size, moved
            if not cached:  # such a report tells no order: those with the same first difference count as one
                place = _place(mine, theirs)
                fits.setdefault(place, []).append((fit, one.order, other, size, moved))
        probable += one.weight
        agreeing += one.weight if fitting else 0.0
    if fits:
        together = max(fits.values(), key=lambda each: sum(one[0] for one in each))
        best = max(together, key=lambda each: each[0])
    _, order, other, size, moved = best or (0.0, *_plain(now, earlier, known), False)
    found = difference(arranged(now, order), arranged(other, order))
    return found, size, order if moved else None, order, agreeing / probable if probable else 1.0


def _agreeing(
    probable: Sequence[OrderEvidence], now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge
) -> list[OrderEvidence]:
    """Return the improbable orders in which a report ends at the first difference, which is the same place in a
    probable order, though it ends there in none of the probable ones."""
    found: dict[Order, tuple[object, bool]] = {}
    for one in {other.order: other for other in (*probable, *known.orders)}.values():
        mine, theirs = arranged(now, one.order), arranged(earlier, one.order)
        ends = known.in_blocks(cached, one.size(common_prefix(mine.text, theirs.text)))
        found[one.order] = _place(mine, theirs), ends
    seen = {found[one.order][0] for one in probable}
    if any(found[one.order][1] for one in probable):
        return []
    return [one for one in known.orders if one not in probable and found[one.order][1] and found[one.order][0] in seen]


def _place(mine: CacheView, theirs: CacheView) -> object:
    """Return the part and the code point in it with the first difference; None if there is none."""
    found = mine.locate(common_prefix(mine.text, theirs.text))
    return None if found is None else (found[0].kind, found[0].index, found[1])


def served_beyond(cached: int, size: Size, block: int) -> bool:
    """Return whether more was served than a shared beginning of so many tokens can give."""
    return cached > size.tokens * (1 + BEYOND) + block + NEAR + 3 * size.error


def _refuted(one: OrderEvidence, now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge) -> bool:
    theirs = arranged(earlier, one.order).text
    shared = common_prefix(arranged(now, one.order).text, theirs)
    # Behind the whole of it is the answer, which may be served, too.
    return shared < len(theirs) and served_beyond(cached, one.size(shared), known.block)


def _usual_limit(cached: int, known: MissKnowledge) -> bool:
    """Return whether no report was larger, and this one is a limit that came before, or whole blocks of a usual one."""
    if not LOWEST <= cached >= max(known.figures, default=0):
        return False
    step = max(known.block, known.rounding.unit)
    return cached == known.limit or any(-cached % unit < step for unit in USUAL_LIMITS)


def _plain(now: CacheView, earlier: CacheView, known: MissKnowledge) -> tuple[Order, CacheView, Size]:
    """Return the most probable order in which no message moves text, with the tokens that both share there: if too
    little speaks for each of the probable orders, in all of which the template would end the prefix."""
    one = known.plain or next((one for one in known.orders if one.order == "first"), None)
    if one is None:
        return "first", earlier, Size(0.0, 0.0)
    return one.order, earlier, one.size(common_prefix(*(arranged(view, one.order).text for view in (now, earlier))))


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
    order: Order = "inside"
    in_part: tuple[str, ...] = ()
    """Parameters that differ, too, but with which a part at least of a prompt is shared, as reports have shown."""
    own_parameters: tuple[str, ...] = ()
    """Parameters in which the own model's request that shares most differs, if the earlier one went to another."""
    agreeing: float = 1.0
    """Share of the probable orders in which the report is what the shared beginning gives."""
    sign: str = ""
    """Before the tokens of the prompt: "≈ " if these are estimated."""

    @property
    def extends(self) -> bool:
        """Return whether the prompt begins with the whole earlier one."""
        return self.now.text.startswith(self.earlier.view.text)

    @property
    def missed(self) -> bool:
        """Return whether identical text was not served; an incomplete last block is no miss."""
        block = self.known.block
        # A prefix that was served: half a block to each side.
        least = self.shared.tokens - sqrt(3) * self.shared.error + 1
        larger = sum(weight for unit, weight in self.known.blocks or ((block, 1.0),) if unit > least)
        if self.cached == 0 and least >= PART and larger < 0.5:
            return True
        part = self.known.part + 2 * self.shared.error
        return self.cached < self.shared.tokens / 2 and self.shared.tokens - self.cached >= part

    @property
    def own_tokens(self) -> float:
        """Return the tokens of the beginning that the request's own model knows."""
        return min(self.shared.tokens, self.known.longest) if self.other_model else self.shared.tokens

    @cached_property
    def findable(self) -> float:
        """Return the tokens that each kind of server finds again: while this one may find only whole messages, those
        before the message with the difference."""
        found = self.found
        if self.known.inside or found is None or self.extends or self.other_model or found.part.kind == "tool":
            return self.own_tokens
        return min(self.own_tokens, self._before_message(found.part.index).tokens)

    def _before_message(self, index: int) -> Size:
        """Return the tokens in front of a message in the order that explains the report best."""
        parts = arranged(self.now, self.order).parts
        return self.size(min(part.start for part in parts if part.kind != "tool" and part.index == index))

    @property
    def minimum(self) -> int | None:
        """Return the minimum if reports support it for prefixes of this size: a whole prompt of that size, sent again,
        was not served. A server that keeps only states of whole prompts serves no part of them, however long."""
        size = min(self.own_tokens, float(self.prompt))
        if self.moved in self.known.unproved_orders:
            return None  # in another order more may be shared
        return self.known.minimum if self.known.unserved >= size - min(self.known.block, PART) - NEAR else None

    @property
    def may_be_short(self) -> bool:
        """Return whether the prefix is below the known minimum, or may be below an unknown one: nothing as short was
        served so far."""
        if self.cached or self.own_tokens >= 1.1 * THRESHOLDS[-1]:
            return not self.cached and self.own_tokens < (self.minimum or 0)
        least = min(self.known.figures, default=inf)
        known_block = len(self.known.figures) > 1 and gcd(*self.known.figures) == least
        possible = [size for size in (*THRESHOLDS, *((least,) if known_block else ())) if size <= least]
        return not self.known.figures or max(possible, default=0) > self.own_tokens - 3 * self.shared.error - NEAR

    @property
    def shorter_than_served(self) -> bool:
        """Return whether all that was served so far is longer than the prefix, so that reports exclude no minimum."""
        size = self.findable
        return not self.cached and self.minimum is None and size < THRESHOLDS[-1] and self.known.none_so_short(size)

    @property
    def keeps_points(self) -> bool:
        """Return whether the server may keep whole messages, requests or saved states only, and have served all of
        these: no report has shown that it finds anything else again, and this one is nothing, a figure reported
        before, the end of a message, or the last checkpoint before the difference."""
        if self.known.inside:
            return False
        if not self.extends:
            checkpoint = self.cached & -self.cached  # the largest power of two that divides it
            before_next = checkpoint >= CHECKPOINT and self.shared.tokens - self.cached < checkpoint
            if not self.cached or before_next or near_figure(self.cached, self.known.figures):
                return True
        block = self.known.block if self.known.is_whole(self.cached, self.known.block) else 1
        if not self.cached or self.expected_less or block > EXACT_BLOCK:
            return False
        ends = message_ends(arranged(self.now, self.order))
        return any(ends_at(self.cached, self.size(end), block, PROOF) for end in ends)

    @property
    def at_point(self) -> bool:
        """Return whether the report is all that the server has, which finds only certain points again."""
        point = self.known.point
        if point is None or not self.cached or self.parameters:
            return False
        return ends_at_point(self.cached, point, self.known.block)

    @property
    def at_limit(self) -> bool:
        """Return whether the report is the largest one so far, again for a prompt that shares more."""
        return 0 < self.known.limit == self.cached and self.shared.tokens - self.cached >= PART

    @property
    def may_be_rounded(self) -> bool:
        """Return whether a rounded report of one of the blocks that reports allow leaves out as much."""
        rounding, blocks = self.known.rounding, [block for block, _ in self.known.blocks]
        most = rounding.unit + max(self.known.common_unit(self.cached), *blocks, 1)
        return rounding != EXACT and self.cached > 0 and self.shared.tokens - self.cached < most

    @property
    def may_be_limit(self) -> bool:
        """Return whether the report may be all that the server caches or reports of any prompt: no report was larger,
        and it came before for a prompt that shares more, or is whole blocks of a usual limit."""
        more = self.shared.tokens - self.cached >= PART + self.shared.error
        return self.at_limit or (more and _usual_limit(self.cached, self.known))

    @property
    def keeps_messages(self) -> bool:
        """Return whether nothing of the message with the difference was served, but all before it, and no report has
        shown that the server finds a part of a message again."""
        found = self.found
        if self.known.inside or found is None or self.extends or found.part.kind != "content":
            return False
        before = self._before_message(found.part.index)
        if self.shared.tokens - before.tokens < PART + 3 * self.shared.error:
            return False
        if self.cached:
            return self.known.in_blocks(self.cached, before)
        short = bool(self.known.figures) and self.known.none_so_short(before.tokens)
        return before.tokens - 3 * before.error < (LARGE_BLOCK if short else self.known.block)

    @property
    def edit_explains(self) -> bool:
        """Return whether a difference of the text explains the report as well as parameters that differ do."""
        if self.other_model or self.extends or self.found is None or self.moved is not None or self.at_the_end:
            return False
        return self.found.shape == "tools" or self.known.agrees(self.cached, self.shared) or self.keeps_points

    @cached_property
    def system_moved(self) -> Difference | None:
        """Return where the prefix ends under a template that writes the system text in the last user message and leaves
        the tools before all messages, which is none of `ORDERS`; None if this does not explain the report."""
        plain = self.known.plain
        if plain is None or not self.extends or not self.cached:
            return None
        mine, theirs = self._arranged(plain.order)
        found = difference(*(arranged(_message(view), "system_last") for view in (self.now, self.earlier.view)))
        asked = [part for part in theirs.parts if part.kind == "role" and theirs.text_of(part) == "user"]
        roles, texts = mine.roles, (part for part in mine.parts if part.kind not in ("role", "tool"))
        left_out = [part for part in texts if roles.get(part.index) == "system"]
        if found is None or not asked or not left_out:
            return None
        size = plain.size(asked[-1].end)
        moved = sum(plain.size(part.end).tokens - plain.size(part.start).tokens for part in left_out)
        return found if self.known.in_blocks(self.cached, Size(size.tokens - moved, size.error)) else None

    @property
    def may_end_in_block(self) -> bool:
        """Return whether the report is what a block size gives that reports allow, or the unit of all reports."""
        missed, slack = self.shared.tokens - self.cached, self.shared.error + NEAR / 2
        if self.cached:
            return self.known.whole_blocks(self.cached, self.shared) and not (self.known.inside or self.expected_less)
        weight = sum(weight for block, weight in self.known.blocks if missed < block + slack)
        return bool(self.known.figures) and weight >= PARTLY

    @property
    def _evidence(self) -> OrderEvidence:
        return next(one for one in self.known.all_orders if one.order == self.order)

    def size(self, offset: int) -> Size:
        """Return the tokens before a code point of the prompt in the order that explains the report best."""
        return self._evidence.size(offset)

    @property
    def results(self) -> list[ViewPart]:
        """Return the results of tools that both requests have."""
        return [part for part in results(arranged(self.now, self.order)) if part.index < self.earlier.view.messages]

    @property
    def reasoning(self) -> list[ViewPart]:
        """Return the reasoning of earlier turns in the order that explains the report best."""
        return [part for part in arranged(self.now, self.order).parts if part.kind == "reasoning"]

    def may_end_in(self, part: ViewPart) -> bool:
        """Return whether the report may end in a part of the prompt: in whole blocks at its beginning, or inside."""
        start, end = self.size(part.start), self.size(part.end)
        slack = NEAR + 3 * start.error
        inside = start.tokens - slack <= self.cached < end.tokens - self.known.block
        return inside or self.known.agrees(self.cached, start)

    @property
    def ends_in_head(self) -> bool:
        """Return whether no more was served than the tools and system messages at the beginning have."""
        plain, view = self.known.plain, arranged(self.now, "inside")
        if plain is None or self.sign:
            return True
        roles = (part for part in view.parts if part.kind == "role")
        size = plain.size(next((part.start for part in roles if view.text_of(part) != "system"), len(view.text)))
        return self.cached <= size.tokens + 3 * size.error + max(self.known.block, NEAR)

    @property
    def may_be_running(self) -> bool:
        """Return whether a request that was still running shares more with the prompt than was served."""
        return self.known.running or self.known.running_tokens - self.cached >= self.known.part

    @property
    def unused_s(self) -> float | None:
        """Return the seconds since a request was sent that had ended and of which more was to be found than served."""
        known = self.known
        if known.ended_gap_s is None or known.ended_tokens - self.cached < known.part:
            return self.earlier.gap_s
        return max(known.ended_gap_s, self.earlier.gap_s or 0.0)

    @cached_property
    def sure(self) -> Size:
        """Return what a server without losses finds again: of a prompt that was continued all but the opening of the
        answer, and also the part of the answer that almost all renderings find."""
        if not self.extends or self.found is not None:
            return self.shared
        whole = self.earlier.prompt_tokens
        counted = [] if whole is None else [Size(whole - GENERATION / 2, GENERATION / 6)]
        # A mere estimate may have more tokens than the prompt that was counted.
        sizes = [*counted, *([self.shared] if not counted or self.shared.error <= COUNTED else [])]
        total, weight = sum(one.weight for one in self.known.reuses), 0.0
        for one in sorted(self.known.reuses, key=lambda each: -each.size.tokens):
            weight += one.weight
            if weight >= PROVED * total:
                sizes.append(one.size)
                break
        return max(sizes, key=lambda size: size.tokens - 3 * size.error)

    @cached_property
    def missing(self) -> Literal["", "part", "part or block"]:
        """Return "part" if the server found a part of a shared beginning only, and no block that reports allow leaves
        out so much; "part or block" if only large blocks of an unusual size do, which too few reports prove."""
        if self.cached >= self.shared.tokens - self.shared.error and self.sure.tokens - self.cached < PART:
            return ""
        if self.cached and self.extends and not self.parameters and self._as_forecast:
            return ""
        if self.cached and self._served_more:
            return "part"
        hidden = self._hidden
        if hidden >= PARTLY:
            rounded = self.known.rounding != EXACT and hidden < HIDDEN
            return "part or block" if rounded or self._ends_where_older_one_did else ""
        if not self.known.whole_blocks(self.cached, self.sure, SAME):
            return "part"
        return "" if self.proved_blocks else "part or block"

    @property
    def _as_forecast(self) -> bool:
        """Return whether the report is what the forecast held probable of a server that has lost nothing: evidence of
        lack of room and of answers that are not cached is weighed together there, and apart in `reuses`."""
        block = max((block for block, weight in self.blocks if weight >= PARTLY), default=1) + self.known.rounding.above
        whole = (
            one.weight
            for one in self.known.expected
            if one.missing < 1.0 and abs(one.size.tokens - self.cached - block / 2) < block / 2 + 3 * one.size.error + 1
        )
        return sum(whole) > 0.5

    @property
    def _served_more(self) -> bool:
        """Return whether the server has served more of this beginning before, in whole blocks, and not more than it
        has: then the report was of another one."""
        served = self.known.served
        possible = served <= self.shared.tokens + 3 * self.shared.error + NEAR
        return possible and served - self.cached > max(self.known.block, NEAR) + self.known.rounding.below

    @property
    def _ends_where_older_one_did(self) -> bool:
        """Return whether the report is all that an older request has of a prompt that was continued since, in blocks
        that reports allow: what a replica serves that has seen no newer one, or a server that stores late."""
        missed = self.sure.tokens - 3 * self.sure.error - self.cached
        if not self.cached or not self.extends or missed < PART:
            return False
        small = [(block, weight) for block, weight in self.blocks if block <= min(PART, missed) / 2]
        ended = self.known.ended
        chance = sum(weight for block, weight in small if any(one // block * block == self.cached for one in ended))
        return chance >= EXPECTED

    @property
    def _hidden(self) -> float:
        """Return the probability of blocks that hide the missing tokens; 1 if they are too few for any."""
        sure = self.sure
        missed = sure.tokens - self.cached
        counted = sure.error <= COUNTED
        known = counted or self.served_as_long
        least = PART if known else UNSURE_PART
        if counted and self.extends:
            unit = gcd(self.cached, *self.known.figures)  # the block divides it, and the unit of rounding
            least = max((block for block in SMALL_BLOCKS if not unit % block), default=1)
            least += rounded_off((unit,))
        if not self.cached or missed < max(least, self.known.block) + 3 * sure.error:
            return 1.0
        if known:
            least, highest = sure.tokens - 3 * sure.error - SAME, self.cached + self.known.rounding.above
            allowed = (weight for block, weight in self.blocks if least // block * block <= highest)
        else:
            allowed = (weight for block, weight in self.blocks if missed < block + 3 * sure.error + NEAR)
        return sum(allowed)

    @property
    def blocks(self) -> list[tuple[int, float]]:
        """Return the blocks that earlier reports allow and of which the report may be whole ones."""
        blocks = self.known.blocks or ((self.known.block, 1.0),)
        return [(block, weight) for block, weight in blocks if self.known.is_whole(self.cached, block)]

    @property
    def in_coarser_units(self) -> bool:
        """Return whether all reports are multiples of a unit that is larger than the missing part, such as the
        checkpoints of a hybrid model: all that such a cache has may have been served."""
        unit = self.known.common_unit(self.cached)
        several = bool(self.known.figures) and not self.known.in_turn
        return several and unit > self.known.block and self.shared.tokens - self.cached < unit

    @cached_property
    def expected_less(self) -> bool:
        """Return whether the forecast explains the report: the cache, or the replica, has less of the prompt than an
        earlier request shares."""
        less = whole = prior = 0.0
        least = self.known.part
        # Which answers a replica has not seen is certain, and how many tokens they have.
        counted = 2.0 * self.known.block if self.known.replicas and self.extends else inf
        most = self.shared.tokens
        for one in self.known.expected:
            chance = sum(
                unit.weight * unit.chance(self.cached, one.size.tokens, one.size.error) for unit in self.known.units
            )
            apart = self.shared.tokens - one.size.tokens >= least + 2 * (one.size.error + self.shared.error)
            if one.less and (apart or one.missing >= counted + 2 * one.size.error):
                most = max(most, one.size.tokens + one.missing)
                less += one.weight * chance
                prior += one.weight
            else:
                whole += one.weight * chance
        missed = most - self.cached >= min(least, counted) + 2 * self.shared.error and not self.in_coarser_units
        return missed and prior >= EXPECTED and less > EXPLAINED * prior and less >= PROVED * (less + whole)

    @property
    def has_pictures(self) -> bool:
        """Return whether a prompt has parts whose tokens cannot be estimated from their text."""
        return OTHER_PART in self.now.text or OTHER_PART in self.earlier.view.text

    @property
    def too_fresh(self) -> bool:
        """Return whether more tokens were fresh than the text behind the difference can have."""
        found, text = self.found, arranged(self.now, self.order).text
        if found is None or not self.cached or self.has_pictures:
            return False
        rest = self.prompt * (len(text) - found.shared) / len(text)
        return self.prompt - self.cached > 2 * rest + max(2 * PART, 2 * self.known.block)

    @property
    def served_as_long(self) -> bool:
        """Return whether the server has reported a prefix as long as the shared one: its size is no mere estimate."""
        slack = self.known.block + NEAR + 3 * self.shared.error
        return self._served_more or any(abs(figure - self.shared.tokens) <= slack for figure in self.known.figures)

    @property
    def kept_short(self) -> bool:
        """Return whether the text after the shared prefix may keep it below a block or minimum."""
        inside = self.found is not None and not self.at_the_end
        if inside and self.prompt >= LARGE_BLOCK:
            return True
        whole, shared = self.earlier.prompt_tokens or 0, self.shared.tokens
        longer = whole - shared >= PART or any(
            shared - 2 * self.shared.error < least <= min(whole, self.prompt) for least in THRESHOLDS
        )
        return self.known.none_so_short(self.shared.tokens) and (inside or longer)

    @property
    def may_be_off(self) -> bool:
        """Return whether the server has served nothing so far, or nothing for these parameters lately, though prompts
        that share as much were sent again: its cache may be switched off, whatever differs."""
        known = self.known
        unserved = known.never_served and inf > known.unserved >= min(self.prompt, LARGE_BLOCK)
        return not self.cached and (known.off or unserved)

    @property
    def may_be_bypassed(self) -> bool:
        """Return whether the cache may have been off for this request, or for the earlier one, which was then not
        stored: nothing is known to be served of one of them, though this server serves others."""
        return not self.cached or not self.earlier.cached_tokens

    @property
    def off_proved(self) -> bool:
        """Return whether the cache is off for these parameters, and no minimum explains that nothing was served."""
        return not self.cached and bool(self.known.off_for) and not self.known.none_so_short(self.findable)

    @property
    def used_apart(self) -> bool:
        """Return whether a newer request may have stored the served part, and not the rest: only then a restart takes
        one and not the other."""
        if not self.cached or self.known.in_turn or self.parameters or self.in_part:
            return True
        return any(map(self.may_have_ended, self.known.newer))

    def may_have_ended(self, size: Size) -> bool:
        """Return whether the report may be whole blocks of so many tokens."""
        block = max((block for block, weight in self.blocks if weight >= PARTLY), default=self.known.block)
        slack = NEAR + 3 * size.error + BEYOND * size.tokens
        return -slack <= size.tokens - self.cached <= block + slack

    @property
    def too_early(self) -> bool:
        """Return whether the prefix was not stored yet, as reports have shown: the served tokens are of the same
        request, which excludes a restart, and losses of other kinds do not depend on the time since it was sent."""
        return not self.used_apart and self.earlier.gap_s is not None and self.earlier.gap_s < self.known.late_s

    @property
    def may_lack_room(self) -> bool:
        """Return whether the cache may have had no room for the prefix."""
        return not self.known.room_kept or (self.unused_s or inf) > self.known.served_pauses[1]

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
        """Return whether the request's own model may have lost a cached prefix, beside the change of model: no block
        that reports allow leaves out as much, and the forecast was more. A report alone proves no large block."""
        longest = self.known.longest
        lost = self.other_model and longest - self.cached >= self.known.part
        served = self._as_forecast or self.known.in_blocks(self.cached, Size(longest, NEAR))
        return lost and not (self.cached and served)

    @property
    def own_model_served(self) -> bool:
        """Return whether the request's own model knows most of the prompt, and served it."""
        known = self.known.longest >= max(self.shared.tokens / 2, 64.0)
        return self.other_model and known and self.cached > 0 and not (self.other_has_more or self.own_model_lost)

    @property
    def own_model_whole(self) -> bool:
        """Return whether all that the request's own model knows was served: large blocks may hide no loss."""
        return self.known.longest - self.cached < max(PART, self.known.block) + self.shared.error

    @property
    def other_has_more(self) -> bool:
        """Return whether the earlier request's model, another one, has a part of the prompt that the own one never had:
        of a prompt that is continued the answer, too, if servers like this one probably keep answers."""
        if not self.other_model:
            return False
        tokens, known = self.shared.tokens, self.known
        mine, theirs = self._arranged(self.order)
        answer = OPENING + answer_in(self.order, self.earlier.answer)
        kept = sum(one.weight for one in known.reuses if one.reuse != "none")
        probable = kept >= sum(one.weight for one in known.reuses) / 2
        if self.earlier.answer and probable and mine.text.startswith(theirs.text + answer):
            tokens = max(tokens, self.size(len(theirs.text) + len(answer)).tokens)
        return tokens - max(known.longest, self.cached) >= max(PART, known.block) + self.shared.error

    @property
    def late(self) -> bool:
        """Return whether the known lifetime was over."""
        limit = self.known.lifetime_s
        return limit is not None and self.earlier.gap_s is not None and self.earlier.gap_s > 0.8 * limit

    @property
    def less_than_edit_leaves(self) -> bool:
        """Return whether the server served less than the text before the difference, in blocks that reports allow."""
        missed = self.shared.tokens - self.cached
        if not self.cached or missed <= 0 or self.known.in_blocks(self.cached, self.shared):
            return False
        if not self.known.whole_blocks(self.cached, self.shared):
            return True
        return missed >= PART + 3 * self.shared.error and not self.proved_blocks

    @property
    def hidden_by_block(self) -> bool:
        """Return whether an incomplete last block is probably all that was not served."""
        missed = self.shared.tokens - self.shared.error - self.cached - self.known.rounding.below
        if missed < PART or self.proved_blocks:
            return True
        return sum(weight for block, weight in self.blocks if missed < block) >= PROVED

    @property
    def proved_blocks(self) -> bool:
        """Return whether several reports are multiples of a large unit, which smaller blocks hardly give by chance."""
        figures, unit = {self.cached, *self.known.figures} - {0}, self.known.common_unit(self.cached)
        blocks = [(block, weight) for block, weight in self.blocks if block < unit]
        width = self.known.rounding.width
        chance = width * sum(weight * (max(block, width) / unit) ** (len(figures) - 1) for block, weight in blocks)
        return bool(blocks) and chance <= BY_CHANCE * sum(weight for _, weight in blocks)

    @property
    def order_doubtful(self) -> bool:
        """Return whether the difference explains the report only in an order of the template for which too little
        speaks, and another order shares more with an earlier request, so that a loss explains it as well."""
        if self.known.longest - max(self.shared.tokens, self.cached) < PART + 2 * self.shared.error:
            return False
        if not (BASE.get(self.order, self.order) in MOVING_ORDERS or self.order in LATER_ORDERS):
            return self.agreeing < EDIT_ORDERS or self._tools_doubtful
        if self.cached and self.agreeing >= PROVED:
            return False
        plain = self.known.plain
        if plain is None:
            return False
        mine, theirs = self._arranged(plain.order)
        edited = difference(mine, theirs)
        same = edited is not None and self._is_found(edited)
        size = plain.size(common_prefix(mine.text, theirs.text))
        unserved = self.known.never_served and not self.cached
        return not same or unserved or not self.known.agrees(self.cached, size)

    @property
    def more_may_be_lost(self) -> bool:
        """Return whether nothing was served, though text in front of the difference, which other orders of the template
        have there, was sent before: reports do not exclude these orders, so that the server may have lost it. Or if a
        request that was still running shares more."""
        if self.known.running and self.known.running_tokens - max(self.shared.tokens, self.cached) >= PART:
            return True
        if self.cached:
            return False
        least = max(PART, float(self.known.minimum or 0), self.shared.tokens + self.known.block)
        longest = ((one.weight, one.longest) for one in self.known.orders if one.longest is not None)
        return sum(weight for weight, size in longest if size.tokens - 3 * size.error >= least) > 1 - PROVED

    @property
    def _tools_doubtful(self) -> bool:
        """Return whether tools in another order may be elsewhere in the prompt, behind text that was not served."""
        if self.found is None or self.found.shape != "tools":
            return False
        close = -NEAR <= self.shared.tokens - self.cached <= self.known.block + self.shared.error
        if self.cached and close and not near_figure(self.cached, self.known.figures):
            return False  # a loss would hardly end there by chance
        unserved = 0.0
        for one in self.known.orders:
            mine, theirs = self._arranged(one.order)
            size = one.size(common_prefix(mine.text, theirs.text))
            missed = size.tokens - self.cached >= self.known.part + 3 * size.error
            if missed and not (self.cached and self.known.agrees(self.cached, size)):
                unserved += one.weight
        return unserved > 1 - PROVED

    def _arranged(self, order: Order) -> tuple[CacheView, CacheView]:
        return arranged(self.now, order), arranged(self.earlier.view, order)

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
            mine, theirs = self._arranged(one.order)
            found = difference(mine, theirs)
            if found is not None and moved_by_template(mine, theirs, one.order):
                edited = _message_difference(self.now, self.earlier.view, found.part.index)
            else:
                edited = None if one.order in SENT else found  # a bare order may leave out what differs before
            if found is None or edited is None or self._is_found(edited):
                continue
            if self.known.agrees(self.cached, one.size(found.shared)):
                return edited
            if self.cached and one.longest is not None and self.known.agrees(self.cached, one.longest):
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

    @property
    def in_plain_order(self) -> bool:
        """Return whether all of the earlier prompt that this one continues was served, in blocks that reports allow, if
        the template moves nothing."""
        plain = self.known.plain
        if plain is None or not self.extends:
            return False
        size = plain.size(len(arranged(self.earlier.view, plain.order).text))
        return self.cached >= size.tokens > 0 or self.known.in_blocks(self.cached, size)

    @property
    def other_lost(self) -> bool:
        """Return whether an earlier request shares more than was served in the order of the template, too."""
        longest = next((one.longest for one in self.known.all_orders if one.order == self.order), None)
        return longest is not None and not self.known.in_turn and self._lost_of(longest)

    @cached_property
    def loss_proved(self) -> bool:
        """Return whether the server lost something, whatever else differs: in each order that reports allow, an earlier
        request shares more than whole blocks leave out."""
        longest = [one.longest for one in self.known.orders if one.weight >= PARTLY]
        return bool(self.cached) and not self.known.in_turn and all(one and self._lost_of(one) for one in longest)

    def _lost_of(self, longest: Size) -> bool:
        missed = longest.tokens - 3 * longest.error - self.cached
        return missed >= self.known.part and not self.known.agrees(self.cached, longest)

    @property
    def may_be_blocks(self) -> bool:
        """Return whether whole large blocks of a prompt that was continued explain the report."""
        one = self.known.plain
        if one is None or not self.extends:
            return False
        return self.known.whole_blocks(self.cached, one.size(len(arranged(self.earlier.view, one.order).text)))


def _message_difference(now: CacheView, earlier: CacheView, index: int) -> Difference | None:
    """Return the first difference inside one message of the request body."""
    mine, theirs = (_message(view, index) for view in (now, earlier))
    return None if mine.text == theirs.text else difference(mine, theirs)


def _message(view: CacheView, index: int | None = None) -> CacheView:
    """Return one message of a canonical view alone; None: all of them."""
    parts = [part for part in view.parts if part.kind != "tool" and index in (None, part.index)]
    start, end = (parts[0].start, parts[-1].end) if parts else (0, 0)
    moved = (replace(part, start=part.start - start, end=part.end - start) for part in parts)
    return CacheView(view.text[start:end], tuple(moved))


def case_of(
    now: CacheView,
    document: DocumentView | None,
    earlier: EarlierRequest,
    parameters: tuple[str, ...],
    known: MissKnowledge,
    report: tuple[int, int | None],
) -> MissCase:
    """Return the evidence of a report: `report` is cached and prompt tokens, None: not reported."""
    cached, reported = report
    prompt = max(round(known.prompt_tokens), cached) if reported is None else reported
    found, shared, moved, order, agreeing = best_order(now, earlier.view, cached, known, likely_only=bool(parameters))
    sign = "≈ " if reported is None else ""
    return MissCase(
        *(now, document, earlier, parameters, known, cached, prompt, found, shared, moved, order),
        agreeing=agreeing,
        sign=sign,
    )

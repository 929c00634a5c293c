"""In which order of a chat template a report is explained best, and what it means in the other orders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from itertools import filterfalse

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.difference import Difference, difference, moved_by_template, rewritten
from playground.prefix_cache.miss_evidence import (
    CONFIDENT,
    PARTLY,
    EarlierRequest,
    MissKnowledge,
    OrderEvidence,
    agreement,
)
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.proofs import PART, near_figure
from playground.prefix_cache.reach import LOWEST
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import BASE, LATER_ORDERS, MOVING_ORDERS, SENT, CacheView, Order, arranged

BEYOND = 0.03
"""Of a shared size: what may be served beyond it while the difference is still believed."""
PLAUSIBLE = 0.1
"""Probability from which another order than the most probable may explain a report."""
UNRENDERED = 0.1
"""Weight of a template that leaves out or rewrites what differs, against one that renders it as sent."""
MOVING = 0.6
"""Probability from which the explanation says that a template moves tools or system text, or marks the last turn: a
large block, a minimum or another replica look the same in single reports."""
USUAL_LIMITS = (500, 512)
"""Tokens of which a limit of caching or reporting is usually a multiple."""
EDIT_ORDERS = 0.3
"""Share of the probable orders from which an edit that explains the report in these is named as the cause."""
PROVED = 0.9
"""Probability of templates that leave out ids, names and reasoning from which these fields are no cause."""


class _Fit(Struct, frozen=True):
    """How well an order explains a report, with the earlier prompt as a template may write it, and the tokens that are
    shared then. `moved`: the template causes the difference."""

    weight: float
    order: Order
    earlier: CacheView
    size: Size
    moved: bool = False


def best_order(
    now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge, *, likely_only: bool
) -> tuple[Difference | None, Size, Order | None, Order, float]:
    """Return the order in which a report for a prompt is explained best, beside an earlier prompt: the fields of
    `ComparedCase` from `found` on.

    `likely_only`: only in the most probable order, as something else may explain the report. If the prompt begins with
    the whole earlier one, only a template can cause a difference: its order must be probable.
    """
    best: _Fit | None = None
    most = max((one.plausible for one in known.orders), default=0.0)
    extends = now.text.startswith(earlier.text)
    least = most if likely_only and cached else min(CONFIDENT if extends else PLAUSIBLE, most)
    same = rewritten(earlier, now)
    fits: dict[object, list[_Fit]] = {}
    probable = agreeing = 0.0
    orders = [one for one in known.orders if one.plausible >= least]
    refuted = partial(_refuted, now=now, earlier=earlier, cached=cached, known=known)
    orders = list(filterfalse(refuted, orders)) or list(filterfalse(refuted, known.all_orders)) or orders
    if cached and not extends and not likely_only and not usual_limit(cached, known):
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
            weight = (one.weight if other is earlier else one.weight * UNRENDERED) * sum(
                share * agreement(cached, size, block) for block, share in known.blocks or ((known.block, 1.0),)
            )
            fit = _Fit(weight, one.order, other, size, moved)
            if best is None or weight > best.weight * 1.0001:
                best = fit
            if not cached:  # such a report tells no order: those with the same first difference count as one
                fits.setdefault(_place(mine, theirs), []).append(fit)
        probable += one.weight
        agreeing += one.weight if fitting else 0.0
    if fits:
        together = max(fits.values(), key=lambda each: sum(one.weight for one in each))
        best = max(together, key=lambda one: one.weight)
    best = best or _plain(now, earlier, known)
    found = difference(arranged(now, best.order), arranged(best.earlier, best.order))
    moved_by = best.order if best.moved else None
    return found, best.size, moved_by, best.order, agreeing / probable if probable else 1.0


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


def usual_limit(cached: int, known: MissKnowledge) -> bool:
    """Return whether no report was larger, and this one is a limit that came before, or whole blocks of a usual one."""
    if not LOWEST <= cached >= max(known.figures, default=0):
        return False
    step = max(known.block, known.rounding.unit)
    return cached == known.limit or any(-cached % unit < step for unit in USUAL_LIMITS)


def _plain(now: CacheView, earlier: CacheView, known: MissKnowledge) -> _Fit:
    """Return the most probable order in which no message moves text, with the tokens that both share there: if too
    little speaks for each of the probable orders, in all of which the template would end the prefix."""
    one = known.plain or next((one for one in known.orders if one.order == "first"), None)
    if one is None:
        return _Fit(0.0, "first", earlier, Size(0.0, 0.0))
    size = one.size(common_prefix(*(arranged(view, one.order).text for view in (now, earlier))))
    return _Fit(0.0, one.order, earlier, size)


class ComparedCase(Struct, frozen=True, dict=True):
    """A report with both requests, compared in the order of the template that explains it best.

    `found` is the first difference in this order, and `shared` the tokens before it. `moved` is the order if the
    template causes the difference by moving tools or system text, or by marking the last turn.
    """

    now: CacheView
    earlier: EarlierRequest
    cached: int
    known: MissKnowledge
    found: Difference | None
    shared: Size
    moved: Order | None
    order: Order = "inside"
    agreeing: float = 1.0
    """Share of the probable orders in which the report is what the shared beginning gives."""

    @property
    def extends(self) -> bool:
        """Return whether the prompt begins with the whole earlier one."""
        return self.now.text.startswith(self.earlier.view.text)

    def size(self, offset: int) -> Size:
        """Return the tokens before a code point of the prompt in the order that explains the report best."""
        return next(one for one in self.known.all_orders if one.order == self.order).size(offset)

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
    def in_plain_order(self) -> bool:
        """Return whether all of the earlier prompt that this one continues was served, in blocks that reports allow, if
        the template moves nothing."""
        plain = self.known.plain
        if plain is None or not self.extends:
            return False
        size = plain.size(len(arranged(self.earlier.view, plain.order).text))
        return self.cached >= size.tokens > 0 or self.known.in_blocks(self.cached, size)

    @property
    def may_be_blocks(self) -> bool:
        """Return whether whole large blocks of a prompt that was continued explain the report."""
        one = self.known.plain
        if one is None or not self.extends:
            return False
        return self.known.whole_blocks(self.cached, one.size(len(arranged(self.earlier.view, one.order).text)))

    @cached_property
    def system_moved(self) -> Difference | None:
        """Return where the prefix ends under a template that writes the system text in the last user message and leaves
        the tools before all messages, which is none of `ORDERS`; None if this does not explain the report."""
        plain = self.known.plain
        if plain is None or not self.extends or not self.cached or all(part.kind != "tool" for part in self.now.parts):
            return None  # without tools it is "system_last"
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

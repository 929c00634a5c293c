"""The order of prompts, as a template may write them, in which a report is explained best."""

from __future__ import annotations

from msgspec import Struct

from playground.prefix_cache.block_agreement import agreement, agrees
from playground.prefix_cache.difference import Difference, difference, moved_by_template, rewritten
from playground.prefix_cache.miss_evidence import CONFIDENT, MissKnowledge, OrderEvidence
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import CacheView, Order, arranged

BEYOND = 0.03
"""Of a shared size: what may be served beyond it while the difference is still believed."""
PLAUSIBLE = 0.1
"""Probability from which another order than the most probable may explain a report."""
UNRENDERED = 0.1
"""Weight of a template that leaves out or rewrites what differs, against one that renders it as sent."""
MOVING = 0.6
"""Probability from which the explanation says that a template moves tools or system text, or marks the last turn: a
large block, a minimum or another replica look the same in single reports."""


class BestOrder(Struct, frozen=True):
    """The order that explains a report best: `found` is the first difference in it, and `shared` the tokens before.

    `moved`: whether the template causes this difference by moving tools or system text, or by marking the last turn.
    `agreeing`: share of the probable orders in which the report is what the shared beginning gives, 0 to 1.
    """

    order: Order
    found: Difference | None
    shared: Size
    moved: bool
    agreeing: float


def best_order(
    now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge, *, likely_only: bool
) -> BestOrder:
    """Return the order in which a report for a prompt is explained best, beside an earlier prompt.

    `likely_only`: only in the most probable order, as something else may explain the report. If the prompt begins with
    the whole earlier one, only a template can cause a difference: its order must be probable.
    """
    best: tuple[float, Order, CacheView, Size, bool] | None = None
    most = max((one.plausible for one in known.orders), default=0.0)
    extends = now.text.startswith(earlier.text)
    least = most if likely_only else min(CONFIDENT if extends else PLAUSIBLE, most)
    same = rewritten(earlier, now)
    probable = agreeing = 0.0
    orders = [one for one in known.orders if one.plausible >= least]
    if extends and all(_refuted(one, now, earlier, cached, known) for one in orders):
        orders = [one for one in known.orders if not _refuted(one, now, earlier, cached, known)] or orders
    for one in orders:
        fitting = False
        mine = arranged(now, one.order)
        for other in (earlier,) if same is None else (earlier, same):
            theirs = arranged(other, one.order)
            moved = moved_by_template(mine, theirs, one.order)
            if moved and one.plausible < MOVING:
                continue
            size = one.size(common_prefix(mine.text, theirs.text))
            fitting = fitting or agrees(cached, size, known)
            fit = (one.weight if other is earlier else one.weight * UNRENDERED) * sum(
                share * agreement(cached, size, block) for block, share in known.blocks or ((known.block, 1.0),)
            )
            if best is None or fit > best[0] * 1.0001:
                best = fit, one.order, other, size, moved
        probable += one.weight
        agreeing += one.weight if fitting else 0.0
    _, order, other, size, moved = best or (0.0, "first", earlier, _canonical_size(now, earlier, known), False)
    found = difference(arranged(now, order), arranged(other, order))
    return BestOrder(order, found, size, moved, agreeing / probable if probable else 1.0)


def served_beyond(cached: int, size: Size, block: int) -> bool:
    """Return whether more was served than a shared beginning of so many tokens can give."""
    return cached > size.tokens * (1 + BEYOND) + block + NEAR + 3 * size.error


def _refuted(one: OrderEvidence, now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge) -> bool:
    shared = common_prefix(arranged(now, one.order).text, arranged(earlier, one.order).text)
    return served_beyond(cached, one.size(shared), known.block)


def _canonical_size(now: CacheView, earlier: CacheView, known: MissKnowledge) -> Size:
    """Return the tokens that both share if tools are first."""
    first = next((one for one in known.orders if one.order == "first"), None)
    return first.size(common_prefix(now.text, earlier.text)) if first is not None else Size(0.0, 0.0)

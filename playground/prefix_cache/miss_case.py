"""A report with all that bears on its explanation: how much is missing, and what of it blocks, points, limits,
parameters and other models explain."""

from __future__ import annotations

from functools import cached_property
from math import gcd, inf, sqrt
from typing import Literal

from playground.prefix_cache.block_size import EXACT, rounded_off
from playground.prefix_cache.message_content import OTHER_PART
from playground.prefix_cache.miss_evidence import (
    COUNTED,
    LARGE_BLOCK,
    PARTLY,
    UNSURE_PART,
    EarlierRequest,
    MissKnowledge,
)
from playground.prefix_cache.miss_order import BEYOND, PROVED, ComparedCase, best_order, usual_limit
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.proofs import CHECKPOINT, GENERATION, PART, PROOF, SAME, ends_at, message_ends, near_figure
from playground.prefix_cache.reach import ends_at_point
from playground.prefix_cache.view import OPENING, CacheView, DocumentView, answer_in, arranged

THRESHOLDS = (256, 512, LARGE_BLOCK, 2048, 4096)
"""Usual minimums and large blocks in tokens."""
SMALL_BLOCKS = (2, 4, *range(8, int(PART) + 1, 8))
"""Blocks of tokens that may hide a loss of less than `PART`."""
HIDDEN = 0.15
"""Probability of blocks behind rounded reports that hide a loss, from which it is not stated."""
EXPECTED = 0.3
"""Probability that the forecast gave to the loss of a part from which a report is explained by it."""
EXPLAINED = 1e-3
"""Probability of a report under such a loss from which the forecast explains it: exact figures are never probable."""
BY_CHANCE = 0.04
"""Probability that reports are multiples of a large unit by chance up to which the server has such blocks."""
EXACT_BLOCK = 4
"""Tokens: in larger blocks the end of one of many messages agrees with a report too often by chance."""


class MissCase(ComparedCase, frozen=True, dict=True, kw_only=True):
    """A report with everything that bears on its explanation."""

    document: DocumentView | None
    parameters: tuple[str, ...]
    prompt: int
    in_part: tuple[str, ...] = ()
    """Parameters that differ, too, but with which a part at least of a prompt is shared, as reports have shown."""
    own_parameters: tuple[str, ...] = ()
    """Parameters in which the own model's request that shares most differs, if the earlier one went to another."""
    sign: str = ""
    """Before the tokens of the prompt: "≈ " if these are estimated."""

    # The loss: how much was not served, and whether a block or the forecast explains it.

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
    def _served_more(self) -> bool:
        """Return whether the server has served more of this beginning before, in whole blocks, and not more than it
        has: then the report was of another one."""
        served = self.known.served
        possible = served <= self.shared.tokens + 3 * self.shared.error + NEAR
        return possible and served - self.cached > max(self.known.block, NEAR) + self.known.rounding.below

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
    def in_coarser_units(self) -> bool:
        """Return whether all reports are multiples of a unit that is larger than the missing part, such as the
        checkpoints of a hybrid model: all that such a cache has may have been served."""
        unit = self.known.common_unit(self.cached)
        several = bool(self.known.figures) and not self.known.in_turn
        return several and unit > self.known.block and self.shared.tokens - self.cached < unit

    @property
    def served_as_long(self) -> bool:
        """Return whether the server has reported a prefix as long as the shared one: its size is no mere estimate."""
        slack = self.known.block + NEAR + 3 * self.shared.error
        return self._served_more or any(abs(figure - self.shared.tokens) <= slack for figure in self.known.figures)

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
    def too_fresh(self) -> bool:
        """Return whether more tokens were fresh than the text behind the difference can have."""
        found, text = self.found, arranged(self.now, self.order).text
        if found is None or not self.cached or self.has_pictures:
            return False
        rest = self.prompt * (len(text) - found.shared) / len(text)
        return self.prompt - self.cached > 2 * rest + max(2 * PART, 2 * self.known.block)

    @property
    def has_pictures(self) -> bool:
        """Return whether a prompt has parts whose tokens cannot be estimated from their text."""
        return OTHER_PART in self.now.text or OTHER_PART in self.earlier.view.text

    @property
    def text_left_out(self) -> bool:
        """Return whether the prompt has fewer tokens than the one that it continues: the template has left out text of
        earlier turns, so that the tokens in front of a place in the prompt are not known."""
        whole = self.earlier.prompt_tokens
        return self.extends and not self.sign and whole is not None and self.prompt < whole

    # Blocks that the report allows.

    @property
    def blocks(self) -> list[tuple[int, float]]:
        """Return the blocks that earlier reports allow and of which the report may be whole ones."""
        blocks = self.known.blocks or ((self.known.block, 1.0),)
        return [(block, weight) for block, weight in blocks if self.known.is_whole(self.cached, block)]

    @property
    def proved_blocks(self) -> bool:
        """Return whether several reports are multiples of a large unit, which smaller blocks hardly give by chance."""
        figures, unit = {self.cached, *self.known.figures} - {0}, self.known.common_unit(self.cached)
        blocks = [(block, weight) for block, weight in self.blocks if block < unit]
        width = self.known.rounding.width
        chance = width * sum(weight * (max(block, width) / unit) ** (len(figures) - 1) for block, weight in blocks)
        return bool(blocks) and chance <= BY_CHANCE * sum(weight for _, weight in blocks)

    @property
    def hidden_by_block(self) -> bool:
        """Return whether an incomplete last block is probably all that was not served."""
        missed = self.shared.tokens - self.shared.error - self.cached - self.known.rounding.below
        if missed < PART or self.proved_blocks:
            return True
        return sum(weight for block, weight in self.blocks if missed < block) >= PROVED

    @property
    def may_end_in_block(self) -> bool:
        """Return whether the report is what a block size gives that reports allow, or the unit of all reports."""
        missed, slack = self.shared.tokens - self.cached, self.shared.error + NEAR / 2
        if self.cached:
            return self.known.whole_blocks(self.cached, self.shared) and not (self.known.inside or self.expected_less)
        weight = sum(weight for block, weight in self.known.blocks if missed < block + slack)
        return bool(self.known.figures) and weight >= PARTLY

    def may_have_ended(self, size: Size) -> bool:
        """Return whether the report may be whole blocks of so many tokens."""
        block = max((block for block, weight in self.blocks if weight >= PARTLY), default=self.known.block)
        slack = NEAR + 3 * size.error + BEYOND * size.tokens
        return -slack <= size.tokens - self.cached <= block + slack

    # Minimums, limits, and servers that find only certain points again.

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
    def at_limit(self) -> bool:
        """Return whether the report is the largest one so far, again for a prompt that shares more."""
        return 0 < self.known.limit == self.cached and self.shared.tokens - self.cached >= PART

    @property
    def may_be_limit(self) -> bool:
        """Return whether the report may be all that the server caches or reports of any prompt: no report was larger,
        and it came before for a prompt that shares more, or is whole blocks of a usual limit."""
        more = self.shared.tokens - self.cached >= PART + self.shared.error
        return self.at_limit or (more and usual_limit(self.cached, self.known))

    @property
    def at_point(self) -> bool:
        """Return whether the report is all that the server has, which finds only certain points again."""
        point = self.known.point
        if point is None or not self.cached or self.parameters:
            return False
        return ends_at_point(self.cached, point, self.known.block)

    @property
    def keeps_points(self) -> bool:
        """Return whether the server may keep whole messages, requests or saved states only, and have served all of
        these: no report has shown that it finds anything else again, and this one is nothing, a figure reported
        before, the end of a message, or the last checkpoint before the difference."""
        if self.known.inside:
            return False
        if not self.extends and (not self.cached or self.at_state):
            return True
        block = self.known.block if self.known.is_whole(self.cached, self.known.block) else 1
        if not self.cached or self.expected_less or block > EXACT_BLOCK:
            return False
        ends = message_ends(arranged(self.now, self.order))
        return any(ends_at(self.cached, self.size(end), block, PROOF) for end in ends)

    @property
    def at_state(self) -> bool:
        """Return whether the report may be a saved state: a figure reported before, or the last checkpoint before the
        end of what is shared."""
        checkpoint = self.cached & -self.cached  # the largest power of two that divides it
        before_next = checkpoint >= CHECKPOINT and self.shared.tokens - self.cached < checkpoint
        return self.cached > 0 and (before_next or near_figure(self.cached, self.known.figures))

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

    # The edit, and where it is.

    @property
    def at_the_end(self) -> bool:
        """Return whether the difference is in the last message."""
        last = self.now.parts[-1].index if self.now.parts else 0
        return self.found is not None and self.found.part.kind != "tool" and self.found.part.index == last

    @property
    def edit_explains(self) -> bool:
        """Return whether a difference of the text explains the report as well as parameters that differ do."""
        if self.other_model or self.extends or self.found is None or self.moved is not None or self.at_the_end:
            return False
        return self.found.shape == "tools" or self.known.agrees(self.cached, self.shared) or self.keeps_points

    # Caches that are off, late, or not used any more.

    @property
    def may_be_off(self) -> bool:
        """Return whether the server has served nothing so far, or nothing for these parameters lately, though prompts
        that share as much were sent again: its cache may be switched off, whatever differs."""
        known = self.known
        unserved = known.never_served and inf > known.unserved >= min(self.prompt, LARGE_BLOCK)
        return not self.cached and (known.off or unserved)

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

    @property
    def too_early(self) -> bool:
        """Return whether the prefix was not stored yet, as reports have shown: the served tokens are of the same
        request, which excludes a restart, and losses of other kinds do not depend on the time since it was sent."""
        return not self.used_apart and self.earlier.gap_s is not None and self.earlier.gap_s < self.known.late_s

    @property
    def late(self) -> bool:
        """Return whether the known lifetime was over."""
        limit = self.known.lifetime_s
        return limit is not None and self.earlier.gap_s is not None and self.earlier.gap_s > 0.8 * limit

    # Another model.

    @property
    def other_model(self) -> bool:
        """Return whether the earlier request went to another model."""
        return any(clause.startswith("model:") for clause in self.parameters)

    @property
    def own_tokens(self) -> float:
        """Return the tokens of the beginning that the request's own model knows."""
        return min(self.shared.tokens, self.known.longest) if self.other_model else self.shared.tokens

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
    found, shared, moved, order, agreeing = best_order(now, earlier.view, cached, known, likely_only=bool(parameters))
    return MissCase(
        *(now, earlier, cached, known, found, shared, moved, order, agreeing),
        document=document,
        parameters=parameters,
        prompt=max(round(known.prompt_tokens), cached) if reported is None else reported,
        sign="≈ " if reported is None else "",
    )

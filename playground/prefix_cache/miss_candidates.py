"""Which causes of a loss the evidence leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import filterfalse
from math import inf

from playground.prefix_cache.block_size import EXACT
from playground.prefix_cache.miss_case import THRESHOLDS, MissCase
from playground.prefix_cache.miss_evidence import MissKnowledge
from playground.prefix_cache.miss_sentences import Candidate, CandidateCode, Reason
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.proofs import ANSWER_S, LATEST_S, OFF
from playground.prefix_cache.round_robin import REPLICAS
from playground.prefix_cache.view import BASE, MOVING_ORDERS, ViewPart, arranged, results

USUAL: Mapping[CandidateCode, float] = {
    "running": 0.6,
    "switched_off": 0.4,
    "replica": 0.3,
    "not_stored": 0.3,
    "gap": 0.25,
    "room": 0.23,
    "date": 0.2,
    "limit": 0.2,
    "minimum": 0.15,
    "points": 0.1,
    "parameters": 0.1,
    "bypassed": 0.09,
    "restart": 0.06,
    "older_rewritten": 0.05,
    "reasoning_left_out": 0.05,
    "rounding": 0.05,
    "tools_moved": 0.02,
}
"""About how often each candidate is the cause when it is listed."""
WEIGHED = 20.0
"""Factor of this likelihood for a cause that alone explains the report by the weighed hypotheses."""
WEIGHED_ODDS, LEAST_SHARE = 10.0, 1e-4
"""If the hypotheses explain a report so many times better than a loss of another kind, a cause that they weigh is no
candidate below this share of the explanation."""
NOT_OFF_ODDS = 100.0
"""If they explain it so many times better, the cache was not off for this request: a restart may come at any time."""
SHORT_PAUSE_S = 20.0
"""Seconds: no server is known to forget sooner, and none to store a prefix later."""


def candidates_of(case: MissCase, reason: Reason = "") -> tuple[Candidate, ...]:
    """Return the causes that the evidence leaves, beside what `reason` names."""
    if case.off_proved:
        return (Candidate("bypassed", text=case.known.off_for),)
    if case.too_early:
        return (Candidate("not_stored"),)
    known, gap_s = case.known, _unused_s(case)
    unserved = known.never_served and not case.cached
    # It was off for the earlier request, which is not stored then: the report ends where an older one does.
    older = [*known.newer, *(Size(tokens, 0.0) for tokens in known.ended)]
    bypassed = not case.cached or (not case.earlier.cached_tokens and any(map(case.may_have_ended, older)))
    losses: dict[CandidateCode, bool] = {
        "minimum": reason != "short_or_lost" and (case.may_be_short or _shorter_than_served(case)),
        # A request that was still running shares more with the prompt than was served.
        "running": known.running or known.running_tokens - case.cached >= known.part,
        "not_stored": _may_be_late(case),
        "restart": case.used_apart,
        "room": not known.room_kept or (gap_s or inf) > known.served_pauses[1],
        # Each replica serves nothing once, and again after an edit.
        "replica": known.misses < max(REPLICAS) or not (known.never_served and case.may_be_off),
        "rounding": _may_be_rounded(case),
        "limit": reason != "limit_or_lost" and case.may_be_limit,
        "points": reason not in ("kept_points_or_lost", "whole_message_or_lost")
        and (case.keeps_points or (case.at_state and not known.inside)),
    }
    found = (
        *([Candidate("switched_off" if unserved else "bypassed")] if unserved or bypassed else ()),
        *_gaps(case, gap_s),
        *([Candidate("parameters", text="; ".join(case.in_part))] if case.in_part else ()),
        *(Candidate(code) for code, possible in losses.items() if possible),
        # A template writes the same prompt in the same way.
        *(_by_template(case) if case.now.text != case.earlier.view.text else ()),
        *_date(case, gap_s),
    )
    return tuple(sorted(filterfalse(partial(_excluded, known), found), key=partial(_likelihood, known), reverse=True))


def _share(known: MissKnowledge, code: CandidateCode) -> float:
    """Return the share of a cause in what the hypotheses that were weighed explain of the report."""
    total = sum(known.likely.values()) - known.likely.get("lost", 0.0)
    return known.likely.get(code, 0.0) / total if total > 0.0 else 0.0


def _likelihood(known: MissKnowledge, one: Candidate) -> float:
    off = one.code == "switched_off" and known.misses >= OFF
    return USUAL[one.code] * (1.0 + WEIGHED * (1.0 if off else _share(known, one.code)))


def _excluded(known: MissKnowledge, one: Candidate) -> bool:
    """Return whether the hypotheses explain the report by something else. They weigh no room for saved states, and no
    late storage of a prompt in which a template prints the time."""
    if not known.likely or (one.code == "room" and not known.inside):
        return False
    # Replicas at random explain a report that ends where any older request does.
    odds = sum(share for code, share in known.likely.items() if code not in ("lost", "replica")) / known.likely["lost"]
    if one.code in ("gap", "room"):
        return odds > WEIGHED_ODDS and _share(known, one.code) < LEAST_SHARE
    return odds > NOT_OFF_ODDS and one.code == "bypassed"


def _may_be_late(case: MissCase) -> bool:
    """Return whether the prefix may not have been stored yet: none was served so soon after its request was sent, or
    after the end of its answer.
    """
    known, gap_s, answered_s = case.known, case.earlier.gap_s, case.earlier.answered_s
    if gap_s is None:
        return False
    soon = gap_s < min(known.stored_s + ANSWER_S, LATEST_S)
    return soon or bool(answered_s and gap_s - answered_s < min(known.stored_after_s, LATEST_S))


def _unused_s(case: MissCase) -> float | None:
    """Return the seconds since a request was sent that had ended and of which more was to be found than served."""
    known = case.known
    if known.ended_gap_s is None or known.ended_tokens - case.cached < known.part:
        return case.earlier.gap_s
    return max(known.ended_gap_s, case.earlier.gap_s or 0.0)


def _shorter_than_served(case: MissCase) -> bool:
    """Return whether all that was served so far is longer than the prefix, so that reports exclude no minimum."""
    size = case.findable
    return not case.cached and case.minimum is None and size < THRESHOLDS[-1] and case.known.none_so_short(size)


def _may_be_rounded(case: MissCase) -> bool:
    """Return whether a rounded report of one of the blocks that reports allow leaves out as much."""
    rounding, blocks = case.known.rounding, [block for block, _ in case.known.blocks]
    most = rounding.unit + max(case.known.common_unit(case.cached), *blocks, 1)
    return rounding != EXACT and case.cached > 0 and case.shared.tokens - case.cached < most


def _gaps(case: MissCase, gap_s: float | None) -> Iterator[Candidate]:
    longest_pause = min(case.known.assumed_lifetime_s, 120.0)
    if gap_s is not None and gap_s > min(longest_pause, max(case.known.served_pauses[1], SHORT_PAUSE_S)):
        yield Candidate("gap", gap_s)
    age_s, outlived_s = case.known.stored_ages
    if age_s > max(outlived_s, SHORT_PAUSE_S, (gap_s or 0.0) + 1.0):
        yield Candidate("gap", age_s, stored=True)


def _by_template(case: MissCase) -> Iterator[Candidate]:
    # It may find less than the template leaves, or report less.
    anywhere = not case.known.inside or case.at_limit
    now, theirs = arranged(case.now, case.order), case.earlier.view
    sent = any(part.kind == "reasoning" for part in (*case.now.parts, *theirs.parts))
    written = [part for part in now.parts if part.kind == "reasoning"]
    if sent and not case.known.reasoning_kept and (anywhere or not written or _may_end_in(case, written)):
        yield Candidate("reasoning_left_out")
    both = [part for part in results(now) if part.index < theirs.messages]
    if both and (anywhere or _may_end_in(case, both)):
        yield Candidate("older_rewritten")
    moving = sum(
        one.weight
        for one in case.known.orders
        if BASE.get(one.order, one.order) in MOVING_ORDERS
        and (one.longest is None or (anywhere and case.cached) or _may_end_at(case, one.longest))
    )
    if moving >= 0.02 and any(part.kind == "tool" or part.index > 1 for part in case.now.parts):
        yield Candidate("tools_moved")


def _may_end_at(case: MissCase, size: Size) -> bool:
    """Return whether the report may be all that a server has of so many tokens."""
    return case.may_have_ended(size) if case.cached else case.known.agrees(0, size)


def _may_end_in(case: MissCase, parts: list[ViewPart]) -> bool:
    """Return whether the report may end in one of these parts: in whole blocks at its beginning, or inside."""
    for part in parts:
        start, end = case.size(part.start), case.size(part.end)
        inside = start.tokens - NEAR - 3 * start.error <= case.cached < end.tokens - case.known.block
        if inside or case.known.agrees(case.cached, start):
            return True
    return False


def _date(case: MissCase, gap_s: float | None) -> Iterator[Candidate]:
    """Yield the time that a template may print: all known ones print it with the system text."""
    at = case.known.at
    if at is None or gap_s is None or not _ends_in_head(case):
        return
    if units := case.known.clocks(at - gap_s, at, case.cached):
        yield Candidate("date", text=" or ".join(units))


def _ends_in_head(case: MissCase) -> bool:
    """Return whether no more was served than the tools and system messages at the beginning have."""
    plain, view = case.known.plain, arranged(case.now, "inside")
    if plain is None or case.sign:
        return True
    roles = (part for part in view.parts if part.kind == "role")
    size = plain.size(next((part.start for part in roles if view.text_of(part) != "system"), len(view.text)))
    return case.cached <= size.tokens + 3 * size.error + max(case.known.block, NEAR)

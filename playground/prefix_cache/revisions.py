"""Explanations that a later report corrects: the cache was on after all, or it had what was not served."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.index import Match, Sent
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.miss_sentences import Candidate, CandidateCode
from playground.prefix_cache.prefix_size import NEAR
from playground.prefix_cache.proofs import SAME
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import LATER_ORDERS, OPENING, arranged

OPEN, MATCHES = 32, 16
"""Newest explanations of requests that were served nothing, and earlier requests that a report is compared with."""

_OFF: Collection[CandidateCode] = ("switched_off", "bypassed")
_LOSSES: Collection[CandidateCode] = (*_OFF, "restart", "room", "gap", "minimum")
"""Reasons that a later report excludes if it shows that the cache is not off, or that it had the prefix."""


class _Open(Struct):
    sent: Sent
    why: MissExplanation
    revised: MissExplanation


class Revisions:
    """The newest explanations of one endpoint and model that a later report may correct."""

    def __init__(self) -> None:
        self._open: deque[_Open] = deque(maxlen=OPEN)

    def add(self, sent: Sent, why: MissExplanation | None, usage: CacheUsage) -> None:
        if why is not None and usage.cached_tokens == 0 and why.correctable:
            self._open.append(_Open(sent, why, why))

    def revise(self, cache: EndpointCacheModel, sent: Sent, cached: int) -> Iterator[tuple[str, MissExplanation]]:
        """Yield run ids and explanations that the report of a later request corrects. Each keeps its first sentence."""
        if not (cached and self._open):
            return
        matches = [match for match in cache.index.best(sent.text, MATCHES) if match.sent.run_id != sent.run_id]
        for one in list(self._open):
            why, codes = one.why, [candidate.code for candidate in one.why.candidates]
            kept = _had_it(cache, one.sent, sent, matches, cached)
            left = [candidate for candidate in why.candidates if candidate.code not in (_LOSSES if kept else _OFF)]
            if kept:
                self._open.remove(one)
                others = "".join(f", or {candidate.words}" for candidate in left)
                text = (
                    f"was served {cached:,} tokens, all of a request sent before this one: the cache probably had "
                    f"them, and was off for this request{others}."
                )
            elif why.reason == "edit_or_off" or "switched_off" in codes:
                text = f"was served {cached:,} tokens: the cache is not off, but may have been for this request."
            else:
                continue
            found = replace(
                why,
                sentence=f"{why.sentence} Corrected: the later request {sent.shown_id} {text}",
                candidates=(Candidate("bypassed"), *left),
                revised_by=sent.request_id or sent.run_id,
                kept=kept,
            )
            if (found.kept, found.candidates) != (one.revised.kept, one.revised.candidates):
                one.revised = found
                yield one.sent.run_id, found


def _had_it(cache: EndpointCacheModel, missed: Sent, later: Sent, matches: list[Match], cached: int) -> bool:
    """Return whether the report of `later`, `cached` tokens, shows that the cache had what `missed` shares with an
    earlier request: it ends where that one ended, and all requests since share clearly less, or more that was not
    stored, however the template writes messages of earlier turns."""
    older = max((one for one in matches if one.sent.at < missed.at), key=lambda one: one.length, default=None)
    since = [one for one in matches if one.sent.at >= missed.at]
    if older is None or older.length < len(older.sent.text) or cache.learned.round_robin.replicas:
        return False
    prompt, answer = cache.requests.usage_of(older.sent.run_id)
    step = cache.learned.units.step
    ends = (prompt or 0, (prompt or 0) + (answer or 1) - 1)
    if not any(-SAME <= end - cached < step + NEAR for end in ends):
        return False
    # The missed request stored as much itself if another block, of those that reports allow, does not fit.
    block = max(
        (one.block for one in cache.learned.units.likely if cache.learned.units.is_whole(cached, one.block)),
        default=step,
    )
    shared = common_prefix(missed.text, older.sent.text) / len(older.sent.text) * ends[0]
    if not any(figure <= shared for figure in cache.learned.units.figures):
        return False  # it may be below a minimum
    for order in LATER_ORDERS & cache.requests.trees.keys():
        before, unserved, now = (arranged(each.view, order).text for each in (older.sent, missed, later))
        if common_prefix(unserved, now) <= min(len(before) + len(OPENING), len(unserved) - 1):
            return False
    for one in since:
        tokens = one.length / len(older.sent.text) * ends[0]
        if tokens <= cached - step - NEAR:
            continue
        counted = cache.requests.usage_of(one.sent.run_id)[0] or 0
        whole = one.sent.run_id == missed.run_id and one.length == len(one.sent.text)
        if not whole or counted < cached + max(step, block) + NEAR:
            return False
    return True

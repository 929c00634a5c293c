"""What the readings of a cache lab experiment show: block size, minimum, lifetime, hits, times to first token."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

from playground.experiments.lab import LabProgress, Reading
from playground.runs.metrics import counted, percent, seconds

ENOUGH = 4
"""Least number of distinct cached counts whose common divisor is reported as the block size."""
CHANCE = 0.05
"""Probability of equal times from which pairs of times show no difference."""
ROUNDED = 10
"""Servers that round their reports do so to multiples of this."""


class Findings(Struct, frozen=True):
    """Results of an experiment; None is *not determined*. Tokens as reported; times in seconds.

    `block`: the greatest common divisor of the cached counts. `minimum`: (largest prompt that missed, smallest that
    hit). `lifetime`: (longest gap that hit, shortest that missed). `hits`, `again`: equal requests that were served
    from the cache, of how many that were sent again. `pairs`: times to first token of a new prompt, and of the same one
    served from the cache.
    """

    block: int | None = None
    minimum: tuple[int | None, int | None] = (None, None)
    lifetime: tuple[float | None, float | None] = (None, None)
    hits: int = 0
    again: int = 0
    pairs: tuple[tuple[float, float], ...] = ()
    unreported: bool = False

    @property
    def lifetime_s(self) -> float | None:
        """Return the lifetime for the forecast: the longest gap that hit, if a longer one missed; else None."""
        hit, missed = self.lifetime
        return hit if hit is not None and missed is not None and hit < missed else None


def findings(progress: LabProgress) -> Findings:
    known = [reading for reading in progress.again if reading.cached_tokens is not None]
    experiment = progress.plan.experiment
    return Findings(
        block=_block(known) if experiment == "blocks" else None,
        minimum=_minimum(known) if experiment == "blocks" else (None, None),
        lifetime=_lifetime(known) if experiment == "lifetime" else (None, None),
        hits=sum(1 for reading in known if reading.cached_tokens),
        again=len(known),
        pairs=tuple(_pairs(progress)) if experiment == "first_token" else (),
        unreported=progress.unreported,
    )


def _block(known: list[Reading]) -> int | None:
    counts = {reading.cached_tokens for reading in known if reading.cached_tokens}
    return math.gcd(*(count for count in counts if count)) if len(counts) >= ENOUGH else None


def _minimum(known: list[Reading]) -> tuple[int | None, int | None]:
    hit = min((r.prompt_tokens for r in known if r.cached_tokens and r.prompt_tokens), default=None)
    below = [r.prompt_tokens for r in known if r.cached_tokens == 0 and r.prompt_tokens]
    missed = max((tokens for tokens in below if hit is None or tokens < hit), default=None)
    return missed, hit


def _pairs(progress: LabProgress) -> Iterator[tuple[float, float]]:
    for cold, warm in pairwise(progress.readings):
        if cold.gap_s is None and warm.cached_tokens and cold.ttft_s is not None and warm.ttft_s is not None:
            yield cold.ttft_s, warm.ttft_s


def _lifetime(known: list[Reading]) -> tuple[float | None, float | None]:
    gaps = [(reading.gap_s or 0.0, bool(reading.cached_tokens)) for reading in known]
    missed = min((gap for gap, hit in gaps if not hit), default=None)
    return max((gap for gap, hit in gaps if hit), default=None), missed


def sentences(progress: LabProgress) -> Iterator[str]:
    """Return one sentence per finding; values that the server did not report are named as unknown."""
    found = findings(progress)
    if found.unreported:
        yield "This server does not report cached tokens: nothing can be found out about its cache."
        return
    yield from {
        "blocks": _blocks_sentences,
        "lifetime": _lifetime_sentences,
        "repeats": _repeats_sentences,
        "first_token": _first_token_sentences,
    }[progress.plan.experiment](found)


def _blocks_sentences(found: Findings) -> Iterator[str]:
    missed, hit = found.minimum
    if found.block == 1:
        yield "The cached counts have no common divisor: no blocks of more than one token are visible."
    elif found.block is not None and _may_be_rounded(found):
        yield (
            f"Every cached count is a multiple of {found.block:,} tokens: either that, or a part of it, is the block "
            "size, or the server rounds the counts that it reports, and the block size is not known."
        )
    elif found.block is not None:
        yield f"Every cached count is a multiple of {found.block:,} tokens: that, or a part of it, is the block size."
    if hit is None:
        yield "No prompt was served from the cache." if found.again else "No prompt was sent twice yet."
    elif missed is None:
        yield f"The smallest prompt that was sent ({hit:,} tokens) was cached already."
    elif _may_be_rounded(found):
        yield f"Prompts of {hit:,} tokens are reported as cached in part, those of {missed:,} tokens and fewer are not."
    else:
        yield f"The least that is cached lies between {missed:,} and {hit:,} tokens of prompt."


def _may_be_rounded(found: Findings) -> bool:
    return found.block is not None and found.block % ROUNDED == 0


def _lifetime_sentences(found: Findings) -> Iterator[str]:
    hit, missed = found.lifetime
    if hit is not None and missed is not None and hit < missed:
        yield f"An unused prefix stayed cached for {seconds(hit)} and was gone after {seconds(missed)}."
    elif hit is not None and missed is not None:
        gone = seconds(missed)
        yield f"A prefix stayed cached for {seconds(hit)}, another was gone after {gone}: time is not the only cause."
    elif hit is not None:
        yield f"A prefix was still there after {seconds(hit)}, the longest gap so far."
    elif missed is not None:
        yield f"No prompt was served from the cache, not even {seconds(missed)} after it was sent."


def _repeats_sentences(found: Findings) -> Iterator[str]:
    if found.again:
        share = percent(found.hits / found.again)
        yield f"{found.hits} of {found.again} requests that were sent again were served from the cache ({share})."


def _first_token_sentences(found: Findings) -> Iterator[str]:
    if not found.pairs:
        return
    cold, warm = zip(*found.pairs, strict=True)
    for name, times in (("cold", cold), ("warm", warm)):
        middle, late = seconds(statistics.median(times)), seconds(_ninetieth(times))
        yield f"{name}: median {middle}, 90th percentile {late} ({counted(len(times), 'request')})."
    faster, slower = sum(w < c for c, w in found.pairs), sum(w > c for c, w in found.pairs)
    if _by_chance(max(faster, slower), len(found.pairs)) > CHANCE:
        yield f"Not clear: the cached prompt was faster in {faster} of {counted(len(found.pairs), 'pair')}."
        return
    saved = statistics.median(c - w for c, w in found.pairs)
    word = "saves" if faster > slower else "costs"
    yield f"The cache {word} {seconds(abs(saved))} of the time to first token, by the median of the pairs."


def _by_chance(most: int, pairs: int) -> float:
    """Return the probability that at least `most` of the pairs differ in one direction by chance (sign test)."""
    return sum(math.comb(pairs, n) for n in range(most, pairs + 1)) / 2.0**pairs


def _ninetieth(times: tuple[float, ...]) -> float:
    return sorted(times)[min(math.ceil(0.9 * len(times)) - 1, len(times) - 1)]

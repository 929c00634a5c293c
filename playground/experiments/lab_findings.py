"""What the readings of a cache lab experiment show: block size, minimum, lifetime, hits, times to first token."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from msgspec import Struct

from playground.experiments.lab import LabProgress, Reading
from playground.runs.metrics import counted, percent, seconds

ENOUGH = 4
"""Least number of distinct cached counts whose common divisor is reported as the block size."""
ROUNDED = 10
"""Servers that round what they report do so to multiples of this."""


class Findings(Struct, frozen=True):
    """Results of an experiment; None is *not determined*. Tokens as reported; times in seconds.

    `block`: the greatest common divisor of the cached counts. `minimum`: (largest prompt that missed, smallest that
    hit). `lifetime`: (longest gap that hit, shortest that missed). `hits`, `again`: equal requests that were served
    from the cache, of how many that were sent again.
    """

    block: int | None = None
    minimum: tuple[int | None, int | None] = (None, None)
    lifetime: tuple[float | None, float | None] = (None, None)
    hits: int = 0
    again: int = 0
    cold_ttft: tuple[float, ...] = ()
    warm_ttft: tuple[float, ...] = ()
    unreported: bool = False

    @property
    def lifetime_s(self) -> float | None:
        """Return the lifetime for the forecast: the longest gap that hit, if a longer one missed; else None."""
        hit, missed = self.lifetime
        return hit if hit is not None and missed is not None and hit < missed else None


def findings(progress: LabProgress) -> Findings:
    again = [reading for reading in progress.readings if reading.gap_s is not None]
    known = [reading for reading in again if reading.cached_tokens is not None]
    experiment = progress.plan.experiment
    return Findings(
        block=_block(known) if experiment == "blocks" else None,
        minimum=_minimum(known) if experiment == "blocks" else (None, None),
        lifetime=_lifetime(known) if experiment == "lifetime" else (None, None),
        hits=sum(1 for reading in known if reading.cached_tokens),
        again=len(known),
        cold_ttft=tuple(r.ttft_s for r in progress.readings if r.gap_s is None and r.ttft_s is not None),
        warm_ttft=tuple(r.ttft_s for r in known if r.cached_tokens and r.ttft_s is not None),
        unreported=bool(again) and not known,
    )


def _block(known: list[Reading]) -> int | None:
    counts = {reading.cached_tokens for reading in known if reading.cached_tokens}
    return math.gcd(*(count for count in counts if count)) if len(counts) >= ENOUGH else None


def _minimum(known: list[Reading]) -> tuple[int | None, int | None]:
    hit = min((r.prompt_tokens for r in known if r.cached_tokens and r.prompt_tokens), default=None)
    below = [r.prompt_tokens for r in known if r.cached_tokens == 0 and r.prompt_tokens]
    missed = max((tokens for tokens in below if hit is None or tokens < hit), default=None)
    return missed, hit


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
    elif found.block is not None and found.block % ROUNDED == 0:
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
    else:
        yield f"The least that is cached lies between {missed:,} and {hit:,} tokens of prompt."


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
        yield f"A prefix was gone after {seconds(missed)}, the shortest gap."


def _repeats_sentences(found: Findings) -> Iterator[str]:
    if found.again:
        share = percent(found.hits / found.again)
        yield f"{found.hits} of {found.again} requests that were sent again were served from the cache ({share})."


def _first_token_sentences(found: Findings) -> Iterator[str]:
    for name, times in (("cold", found.cold_ttft), ("warm", found.warm_ttft)):
        if times:
            middle, late = seconds(statistics.median(times)), seconds(_ninetieth(times))
            yield f"{name}: median {middle}, 90th percentile {late} ({counted(len(times), 'request')})."
    if found.cold_ttft and found.warm_ttft:
        saved = statistics.median(found.cold_ttft) - statistics.median(found.warm_ttft)
        word = "saves" if saved >= 0 else "costs"
        yield f"The cache {word} {seconds(abs(saved))} of the time to first token, by the medians."


def _ninetieth(times: tuple[float, ...]) -> float:
    return sorted(times)[min(math.ceil(0.9 * len(times)) - 1, len(times) - 1)]

"""The forecast: what the cache will serve, said before sending, so that the server's figure can be held against it."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from playground.prefix.index import Match, Sent
from playground.prefix.measure import Measure


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected cached tokens (an estimate, ≈) with the interval that nine in ten should fall into.

    `basis` is a sentence fragment: "shared with 9db74058 · 40 s ago", or why nothing is expected. `run_id` and
    `request_id` name the earlier request that it rests on (or, where nothing is expected, the one that the prompt is
    held against); `shared_chars` is how many code points of the cache's view both share; `sent_at` is unix seconds.
    """

    cached_tokens: float
    low: float
    high: float
    prompt_tokens: float
    basis: str
    run_id: str | None = None
    request_id: str | None = None
    shared_chars: int = 0
    sent_at: float | None = None


ASSUMED_BLOCK = 16
"""Tokens: caches match whole blocks. The size is not published; this one is common, and reports correct it."""


class Granularity:
    """The step in which cached tokens are reported, as far as reports tell."""

    def __init__(self) -> None:
        self._reported: set[int] = set()

    def learn(self, cached_tokens: int) -> None:
        """Take in one report."""
        if cached_tokens > 0 and len(self._reported) < 256:
            self._reported.add(cached_tokens)

    @property
    def step(self) -> int:
        """Tokens."""
        common = gcd(*self._reported) if self._reported else ASSUMED_BLOCK
        # One or two figures share large divisors by chance; three that are all different rarely do.
        return common if len(self._reported) > 2 else gcd(common, ASSUMED_BLOCK)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a forecast stands on, of all that was sent.

    `fresh` is the best match within the lifetime, `related` a version of this prompt (fresh or not), `anchor` a
    version that the server has counted: the measure is scaled by it. `sent_any`: whether anything was sent at all.
    """

    fresh: Match | None
    related: Sent | None
    anchor: Sent | None
    sent_any: bool


@dataclass(frozen=True, slots=True)
class Term:
    """How long the cache is taken to remember: `lifetime_s` seconds, nothing before `since` (unix seconds)."""

    now: float
    lifetime_s: float
    since: float | None = None


def forecast(ground: Ground, measure: Measure, step: int, term: Term) -> Forecast:
    """What the cache will serve of the measured prompt, in whole steps of `step` tokens."""
    length = ground.fresh.length if ground.fresh else 0
    # At least one token is always computed, so a prompt that is wholly known still ends in a fresh block.
    shared = min(measure.upto(length), max(measure.total - 1, 0.0))
    cached = _whole(shared, step)
    held_against = ground.fresh.sent if ground.fresh and cached else ground.related
    low, high = _interval(length, shared, ground, measure, step)
    return Forecast(
        cached_tokens=cached,
        low=low if cached else 0.0,
        high=max(high, cached) if cached else 0.0,
        prompt_tokens=measure.total,
        basis=_basis(cached, held_against, ground, term),
        run_id=held_against.run_id if held_against else None,
        request_id=held_against.request_id if held_against else None,
        shared_chars=length if cached else 0,
        sent_at=held_against.at if held_against else None,
    )


def _whole(tokens: float, step: int) -> float:
    # A hair above: 1,152.0 tokens may come out of the scaling as 1,151.9999.
    return float(int((tokens + 1e-6) // step) * step)


def _interval(length: int, shared: float, ground: Ground, measure: Measure, step: int) -> tuple[float, float]:
    anchor = ground.anchor
    sent = ground.fresh.sent if ground.fresh else None
    if anchor is not None and sent is not None and length == len(sent.text) and sent.text == anchor.text:
        # The whole earlier request is in this one, and the server has counted it.
        return _whole(shared, step), _whole(shared, step)
    # Scaled by a report of a related text, the estimate of a share of it is far better than one from nothing.
    spread = measure.relative_error(length) / (4 if anchor is not None else 1)
    return _whole(max(shared * (1 - spread) - step, 0.0), step), min(shared * (1 + spread) + step, measure.total)


def _basis(cached: float, sent: Sent | None, ground: Ground, term: Term) -> str:
    if sent is None:
        return f"nothing {'like it ' if ground.sent_any else ''}has been sent to this endpoint yet"
    age_s = max(term.now - sent.at, 0.0)
    if cached:
        return f"shared with {sent.short_id} · {ago(age_s)}"
    if term.since is not None and sent.at < term.since:
        return f"last sent {ago(age_s)}, before this cache began"
    if age_s > term.lifetime_s:
        return f"last sent {ago(age_s)}; assumed forgotten after {span(term.lifetime_s)}"
    return f"shares less than one block with {sent.short_id} · {ago(age_s)}"


def ago(age_s: float) -> str:
    """How long ago, in words."""
    return "now" if age_s < 1 else f"{span(age_s)} ago"


def span(length_s: float) -> str:
    """A length of time in its largest whole unit."""
    if length_s < 60:
        return f"{length_s:.0f} s"
    if length_s < 3600:
        return f"{length_s / 60:.0f} min"
    return f"{length_s / 3600:.0f} h"

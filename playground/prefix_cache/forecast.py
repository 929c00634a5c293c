"""The forecast: what the cache will serve, said before sending, so that the server's figure can be held against it."""

from __future__ import annotations

from dataclasses import dataclass

from playground.prefix_cache.expect import Chance, Size, expected
from playground.prefix_cache.habits import Habits
from playground.prefix_cache.index import Match, Sent
from playground.prefix_cache.lifetime import Lifetime
from playground.prefix_cache.measure import Measure
from playground.prefix_cache.ridge import NINE_IN_TEN
from playground.prefix_cache.shared import Ruler


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


@dataclass(frozen=True, slots=True)
class Ground:
    """What a forecast stands on, of all that was sent.

    `fresh` is the best match within the lifetime, `best` the best of all, `related` a version of this prompt (fresh or
    not), `anchors` requests that begin like it and that the server has counted. `sent_any`: whether anything was sent.
    """

    fresh: Match | None
    best: Match | None
    related: Sent | None
    anchors: tuple[Sent, ...]
    sent_any: bool


@dataclass(frozen=True, slots=True)
class Term:
    """The clock: `now`, and the beginning of the cache, before which it knows nothing (both unix seconds)."""

    now: float
    since: float | None = None

    def knows(self, sent: Sent) -> bool:
        """Whether the cache can have seen it."""
        return self.since is None or sent.at >= self.since


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What reports have taught of one server. `width`: the factor that keeps nine in ten reports in the interval."""

    habits: Habits
    lifetime: Lifetime
    width: float = 1.0


def forecast(ground: Ground, measure: Measure, known: Knowledge, term: Term) -> Forecast:
    """What the cache will serve of the measured prompt."""
    ruler = Ruler(measure, ground.anchors, known.habits.step, known.width)
    # The shorter first; the longest of all may be the fresh one.
    both = (ground.fresh, ground.best if ground.best != ground.fresh else None)
    matches = [match for match in both if match is not None]
    sizes = [_most(ruler.size(match.length), measure) for match in matches]
    alive = [known.lifetime.alive(term.now - match.sent.at) if term.knows(match.sent) else 0.0 for match in matches]
    chances = [Chance(size, chance) for size, chance in zip(sizes, alive, strict=True)]
    found = expected(chances, known.habits.likely)
    served = next((m for m, chance in reversed(list(zip(matches, alive, strict=True))) if chance >= 0.5), None)
    held_against = served.sent if served and found.tokens else ground.related
    return Forecast(
        cached_tokens=found.tokens,
        low=found.low,
        high=max(min(found.high, _upper(ruler, measure)), found.tokens),
        prompt_tokens=measure.total,
        basis=_basis(found.tokens, held_against, ground, known, term, sizes[0].tokens if sizes else 0.0),
        run_id=held_against.run_id if held_against else None,
        request_id=held_against.request_id if held_against else None,
        shared_chars=served.length if served and found.tokens else 0,
        sent_at=held_against.at if held_against else None,
    )


def _most(size: Size, measure: Measure) -> Size:
    # At least one token is always computed, so a prompt that is wholly known still ends in a fresh block.
    return Size(min(size.tokens, max(measure.total - 1, 0.0)), size.error)


def _upper(ruler: Ruler, measure: Measure) -> float:
    """What the whole prompt may have at most: its own size is estimated too, unless it was counted."""
    whole = ruler.size(len(measure.text))
    return max(whole.tokens + NINE_IN_TEN * whole.error, measure.total)


def _basis(cached: float, sent: Sent | None, ground: Ground, known: Knowledge, term: Term, shared: float) -> str:
    if sent is None:
        return f"nothing {'like it ' if ground.sent_any else ''}has been sent to this endpoint yet"
    age_s = max(term.now - sent.at, 0.0)
    if cached:
        return f"shared with {sent.short_id} · {ago(age_s)}"
    if not term.knows(sent):
        return f"last sent {ago(age_s)}, before this cache began"
    lifetime = known.lifetime
    if age_s > lifetime.effective_s:
        forgets = "this server forgets after about" if lifetime.learnt.value else "assumed forgotten after"
        return f"last sent {ago(age_s)}; {forgets} {span(lifetime.effective_s)}"
    minimum = known.habits.minimum.value
    if minimum is not None and known.habits.step <= shared < minimum:
        return (
            f"shares ≈ {shared:,.0f} tokens with {sent.short_id} · {ago(age_s)}; "
            f"this server has never cached fewer than {minimum:,}"
        )
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

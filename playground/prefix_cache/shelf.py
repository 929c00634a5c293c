"""What is known of one endpoint and model: the requests sent there, and what its reports have taught."""

from __future__ import annotations

from dataclasses import dataclass, replace

from playground.prefix_cache.expect import Size
from playground.prefix_cache.forecast import Forecast, Knowledge
from playground.prefix_cache.habits import Habits
from playground.prefix_cache.index import Match, PrefixIndex, Sent
from playground.prefix_cache.lifetime import Lifetime
from playground.prefix_cache.measure import Measure
from playground.prefix_cache.related import Kinship
from playground.prefix_cache.score import Scorer
from playground.prefix_cache.shared import Ruler
from playground.prefix_cache.tokens import TokenEstimator

_WAITING = 64
"""Requests whose report may still come."""
_SURE = 2048
"""Shared tokens from which a miss is not put down to a minimum, while no minimum is known."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a request shares with the best before it: code points, tokens (≈), and seconds since that was sent."""

    length: int
    size: Size
    gap_s: float


class Shelf:
    """One endpoint and model. `since`: unix seconds before which its cache knows nothing, None where not known."""

    def __init__(self, lifetime_s: float) -> None:
        self.index = PrefixIndex()
        self.estimator = TokenEstimator()
        self.habits = Habits()
        self.lifetime = Lifetime(lifetime_s)
        self.scorer = Scorer()
        self.kinship = Kinship()
        self.since: float | None = None
        self._waiting: dict[str, _Expected] = {}

    @property
    def knowledge(self) -> Knowledge:
        """What reports have taught."""
        return Knowledge(self.habits, self.lifetime, self.scorer.width)

    def record(self, sent: Sent) -> None:
        """A request has been taken by the server; one from an earlier session comes with its report."""
        if sent.prompt_tokens is not None:
            self.estimator.learn(sent.text, sent.prompt_tokens)
            if sent.cached_tokens is not None:
                self.habits.learn(sent.cached_tokens)
        elif sent.run_id not in self._waiting:
            self._expect(sent)
        self.index.add(sent)

    def _expect(self, sent: Sent) -> None:
        best = self.index.match(sent.text, self.since or 0.0)
        if best is None or best.sent.run_id == sent.run_id:
            return
        measure = Measure(sent.view, self.estimator)
        ruler = Ruler(measure, self.anchors(sent.text, best), self.habits.step, self.scorer.width)
        self._waiting[sent.run_id] = _Expected(best.length, ruler.size(best.length), sent.at - best.sent.at)
        if len(self._waiting) > _WAITING:
            del self._waiting[next(iter(self._waiting))]

    def anchors(self, text: str, *matches: Match | None) -> tuple[Sent, ...]:
        """Requests that begin like a text and that the server has counted: those given, and the best of all."""
        counted = self.index.counted(text)
        found = {m.sent.run_id: m.sent for m in (*matches, counted) if m is not None and m.sent.prompt_tokens}
        return tuple(found.values())

    def settle(
        self, run_id: str, prompt_tokens: int | None, cached_tokens: int | None, forecast: Forecast | None
    ) -> None:
        """What the server reported for a recorded request, and what had been forecast of it."""
        sent = self.index.get(run_id)
        if sent is None:
            return
        if prompt_tokens is not None and cached_tokens is None:
            self.scorer.add_unreported()
        if cached_tokens is not None and forecast is not None:
            interval = (forecast.low, forecast.high)
            self.scorer.add(forecast.cached_tokens, interval, cached_tokens, self.habits.step)
        awaited = self._waiting.pop(run_id, None)
        if cached_tokens is not None:
            self._learn(cached_tokens, awaited)
        if prompt_tokens is not None:
            self.estimator.learn(sent.text, prompt_tokens)
        shared = awaited.length if awaited and cached_tokens else 0
        self.index.add(replace(sent, prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, shared_chars=shared))

    def _learn(self, cached: int, awaited: _Expected | None) -> None:
        if awaited is None:
            self.habits.learn(cached)
            return
        size, gap_s = awaited.size, awaited.gap_s
        if cached >= size.tokens / 2 and cached > 0:
            self.habits.learn(cached, size.tokens, size.error)
            self.lifetime.learn(gap_s, served=True)
        elif cached > 0:
            self.habits.learn(cached)
        if cached >= size.tokens / 4:
            return
        least = self.habits.minimum.value or _SURE
        if size.tokens - 2 * size.error > least + self.habits.step:
            self.lifetime.learn(gap_s, served=False)
        elif not cached and gap_s < self.lifetime.effective_s / 4:
            self.habits.learn(0, size.tokens, size.error)

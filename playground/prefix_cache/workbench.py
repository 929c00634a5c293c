"""The prefix desk: holds what was sent to each endpoint, and says of a prompt what the cache will serve and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from playground.prefix_cache.common import common_prefix
from playground.prefix_cache.forecast import Forecast, Ground, Term, forecast
from playground.prefix_cache.habits import Learnt
from playground.prefix_cache.index import Match, Sent
from playground.prefix_cache.measure import Measure
from playground.prefix_cache.score import Score
from playground.prefix_cache.shelf import Shelf
from playground.prefix_cache.tokens import TokenEstimator
from playground.prefix_cache.view import CacheView, DocumentView, view_of_document
from playground.prefix_cache.zones import Cuts, ZoneMap, zones
from playground.prompt.document import Document

RECENT = 8
"""How many of the newest requests are asked whether they are versions of a prompt."""


SURE = 0.7
"""How likely a minimum must be for a miss to be put down to it."""
CANDIDATES = 24
"""How many earlier requests are offered to be held against."""


@dataclass(frozen=True, slots=True)
class Habitat:
    """What a server's cache is like: `block` and `minimum` in tokens, `lifetime` in seconds."""

    block: Learnt
    minimum: Learnt
    lifetime: Learnt


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a prompt before it is sent: its zones, and the forecast."""

    view: DocumentView
    zones: ZoneMap
    forecast: Forecast


class PrefixDesk:
    """Knows nothing of endpoints but their ids. `lifetime_s` is assumed: the vendor publishes no figure."""

    def __init__(self, lifetime_s: float = 300.0, clock: Callable[[], float] = time.time) -> None:
        self.lifetime_s = lifetime_s
        self._clock = clock
        self._shelves: dict[tuple[str, str], Shelf] = {}

    def _shelf(self, endpoint_id: str, model: str) -> Shelf:
        shelf = self._shelves.get((endpoint_id, model))
        if shelf is None:
            shelf = self._shelves[endpoint_id, model] = Shelf(self.lifetime_s)
        shelf.lifetime.assumed_s = self.lifetime_s
        return shelf

    def look(self, document: Document, endpoint_id: str, model: str, since: float | None = None) -> Outlook:
        """Zones and forecast of a document now. `since`: unix seconds before which the cache cannot know anything."""
        shelf, now = self._shelf(endpoint_id, model), self._clock()
        view = view_of_document(document)
        shelf.since = since
        began = max(now - shelf.lifetime.effective_s, since or 0.0)
        standing = _standing(view.view, shelf, began)
        anchor = shelf.kinship.first(view.view, standing.anchors)
        measure = Measure(view.view, shelf.estimator, _scale(anchor, shelf.estimator))
        expected = forecast(standing, measure, shelf.knowledge, Term(now, since))
        return Outlook(view, zones(view, _cuts(view, expected, standing, began), measure), expected)

    def candidates(self, document: Document, endpoint_id: str, model: str, limit: int = CANDIDATES) -> list[Match]:
        """Earlier requests that a document may be held against, the best first: the longest shared prefix, of equals
        the newest. Versions of this prompt that share little, being changed early, come after those that share more."""
        shelf, view = self._shelf(endpoint_id, model), view_of_document(document).view
        found = [match for match in shelf.index.best(view.text, limit + RECENT) if match.length]
        known = {match.sent.run_id for match in found}
        newest = (sent for sent in shelf.index.newest_first(RECENT) if sent.run_id not in known)
        versions = [Match(sent, 0) for sent in newest if shelf.kinship.first(view, (sent,))]
        versions = versions[: limit // 2]
        return [*found[: limit - len(versions)], *versions]

    def score(self, endpoint_id: str, model: str) -> Score:
        """How the forecasts for an endpoint and model have held."""
        return self._shelf(endpoint_id, model).scorer.score

    def learnt(self, endpoint_id: str, model: str) -> Habitat:
        """Block, minimum and lifetime of a server's cache, as far as its reports tell."""
        shelf = self._shelf(endpoint_id, model)
        return Habitat(shelf.habits.block, shelf.habits.minimum, shelf.lifetime.learnt)

    def lifetime(self, endpoint_id: str, model: str) -> float:
        """Seconds that an unused prefix stays cached: as assumed, until reports tell otherwise."""
        return self._shelf(endpoint_id, model).lifetime.effective_s

    def minimum(self, endpoint_id: str, model: str) -> int | None:
        """The least that the server caches, in tokens, where that is sure; None where nothing rests on it."""
        learnt = self._shelf(endpoint_id, model).habits.minimum
        return learnt.value if learnt.sure >= SURE else None

    def counter(self, endpoint_id: str, model: str) -> TokenEstimator:
        """What is known of an endpoint's token counts, for use on another thread."""
        return self._shelf(endpoint_id, model).estimator.snapshot()

    def record(self, endpoint_id: str, model: str, sent: Sent) -> None:
        """A request has been taken by the server; one that comes with its report teaches the estimates."""
        self._shelf(endpoint_id, model).record(sent)

    def settle(
        self,
        endpoint_id: str,
        model: str,
        run_id: str,
        prompt_tokens: int | None,
        cached_tokens: int | None,
        forecast: Forecast | None = None,
    ) -> None:
        """What the server reported for a recorded request; the estimates learn from it, the forecast is scored."""
        self._shelf(endpoint_id, model).settle(run_id, prompt_tokens, cached_tokens, forecast)

    def sent(self, run_id: str) -> Sent | None:
        """A recorded request, whichever endpoint it went to."""
        found = (shelf.index.get(run_id) for shelf in self._shelves.values())
        return next((sent for sent in found if sent is not None), None)


def _standing(view: CacheView, shelf: Shelf, began: float) -> Ground:
    """What was sent before that bears on this prompt: still in the cache, a version of it, counted by the server."""
    index = shelf.index
    best = index.match(view.text, 0.0)
    if best is None:
        return Ground(None, None, None, (), sent_any=False)
    fresh = best if best.sent.at >= began else index.match(view.text, began)
    in_cache = fresh.sent if fresh else None
    related = shelf.kinship.first(view, (in_cache, best.sent, *index.newest_first(RECENT)))
    return Ground(fresh, best, related, shelf.anchors(view.text, fresh, best), sent_any=True)


def _scale(anchor: Sent | None, estimator: TokenEstimator) -> float:
    """The server's count of a related text against ours."""
    if anchor is None or not anchor.prompt_tokens:
        return 1.0
    return anchor.prompt_tokens / (estimator.estimate(anchor.text) or anchor.prompt_tokens)


def _cuts(view: DocumentView, expected: Forecast, standing: Ground, began: float) -> Cuts:
    """Where the zones part. A version still in the cache that differs early ends what every request shares."""
    text, warm, related = view.view.text, expected.shared_chars, standing.related
    first_variable = len(text) if view.first_variable is None else view.first_variable
    if related is not None and related.at >= began:
        differs = common_prefix(text, related.text)
        # Where one merely goes on after the other's end, nothing differs.
        if differs < min(first_variable, len(text), len(related.text)) and warm <= differs:
            return Cuts(warm, differs, related.short_id)
    return Cuts(warm, max(warm, first_variable))

"""The prefix desk: holds what was sent to each endpoint, and says of a prompt what the cache will serve and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from playground.prefix.common import common_prefix
from playground.prefix.forecast import Forecast, Granularity, Ground, Term, forecast
from playground.prefix.index import PrefixIndex, Sent
from playground.prefix.measure import Measure
from playground.prefix.related import Kinship
from playground.prefix.tokens import TokenEstimator
from playground.prefix.view import CacheView, DocumentView, view_of_document
from playground.prefix.zones import Cuts, ZoneMap, zones
from playground.prompt.document import Document

RECENT = 8
"""How many of the newest requests are asked whether they are versions of a prompt."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a prompt before it is sent: its zones, and the forecast."""

    view: DocumentView
    zones: ZoneMap
    forecast: Forecast


class _Shelf:
    """One endpoint and model."""

    def __init__(self) -> None:
        self.index = PrefixIndex()
        self.estimator = TokenEstimator()
        self.granularity = Granularity()
        self.kinship = Kinship()


class PrefixDesk:
    """Knows nothing of endpoints but their ids. `lifetime_s` is assumed: the vendor publishes no figure."""

    def __init__(self, lifetime_s: float = 300.0, clock: Callable[[], float] = time.time) -> None:
        self.lifetime_s = lifetime_s
        self._clock = clock
        self._shelves: dict[tuple[str, str], _Shelf] = {}

    def _shelf(self, endpoint_id: str, model: str) -> _Shelf:
        return self._shelves.setdefault((endpoint_id, model), _Shelf())

    def look(self, document: Document, endpoint_id: str, model: str, since: float | None = None) -> Outlook:
        """Zones and forecast of a document now. `since`: unix seconds before which the cache cannot know anything."""
        shelf, now = self._shelf(endpoint_id, model), self._clock()
        view = view_of_document(document)
        began = max(now - self.lifetime_s, since or 0.0)
        standing = _standing(view.view, shelf, began)
        measure = Measure(view.view, shelf.estimator, _scale(standing.anchor, shelf.estimator))
        term = Term(now, self.lifetime_s, since)
        expected = forecast(standing, measure, shelf.granularity.step, term)
        return Outlook(view, zones(view, _cuts(view, expected, standing, began), measure), expected)

    def counter(self, endpoint_id: str, model: str) -> TokenEstimator:
        """What is known of an endpoint's token counts, for use on another thread."""
        return self._shelf(endpoint_id, model).estimator.snapshot()

    def record(self, endpoint_id: str, model: str, sent: Sent) -> None:
        """A request has been taken by the server."""
        self._shelf(endpoint_id, model).index.add(sent)

    def settle(
        self, endpoint_id: str, model: str, run_id: str, prompt_tokens: int | None, cached_tokens: int | None
    ) -> None:
        """What the server reported for a recorded request; the estimates learn from it."""
        shelf = self._shelf(endpoint_id, model)
        sent = shelf.index.get(run_id)
        if sent is None:
            return
        shelf.index.add(replace(sent, prompt_tokens=prompt_tokens, cached_tokens=cached_tokens))
        if prompt_tokens is not None:
            shelf.estimator.learn(sent.text, prompt_tokens)
        if cached_tokens is not None:
            shelf.granularity.learn(cached_tokens)

    def sent(self, run_id: str) -> Sent | None:
        """A recorded request, whichever endpoint it went to."""
        found = (shelf.index.get(run_id) for shelf in self._shelves.values())
        return next((sent for sent in found if sent is not None), None)


def _standing(view: CacheView, shelf: _Shelf, began: float) -> Ground:
    """What was sent before that bears on this prompt: still in the cache, a version of it, counted by the server."""
    index, first = shelf.index, shelf.kinship.first
    best = index.match(view.text, 0.0)
    if best is None:
        return Ground(None, None, None, sent_any=False)
    fresh = best if best.sent.at >= began else index.match(view.text, began)
    in_cache = fresh.sent if fresh else None
    related = first(view, (in_cache, best.sent, *index.newest_first(RECENT)))
    counted = best if best.sent.prompt_tokens else index.nearest(view.text, lambda sent: bool(sent.prompt_tokens))
    known = (in_cache, counted.sent if counted else None, related)
    anchor = first(view, (sent for sent in known if sent is not None and sent.prompt_tokens))
    return Ground(fresh, related, anchor, sent_any=True)


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

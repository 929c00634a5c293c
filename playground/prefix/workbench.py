"""The prefix desk: holds what was sent to each endpoint, and says of a prompt what the cache will serve and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from playground.prefix.common import common_prefix, common_suffix
from playground.prefix.forecast import Forecast, Granularity, Ground, forecast
from playground.prefix.index import Match, PrefixIndex, Sent
from playground.prefix.measure import Measure
from playground.prefix.tokens import TokenEstimator
from playground.prefix.view import DocumentView, view_of_document
from playground.prefix.zones import Cuts, ZoneMap, zones
from playground.prompt.document import Document

RELATED = 0.5
"""Two requests are of one prompt where they begin and end alike over at least this share of the shorter one."""


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
        text = view.view.text
        began = max(now - self.lifetime_s, since or 0.0)
        fresh = shelf.index.match(text, began)
        newest = shelf.index.newest()
        related = _related(text, fresh, newest)
        scale, anchored = _scale(related, shelf.estimator)
        measure = Measure(view.view, shelf.estimator, scale)
        ground = Ground(fresh, related, newest, anchored)
        expected = forecast(ground, measure, shelf.granularity.step, now, self.lifetime_s)
        still_known = related is not None and related.at >= began
        cuts = _cuts(view, expected, related if still_known else None)
        return Outlook(view, zones(view, cuts, measure), expected)

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


def _related(text: str, fresh: Match | None, newest: Sent | None) -> Sent | None:
    """The request that this prompt is a version of, if any: the best match, else the newest."""
    for sent in (fresh.sent if fresh else None, newest):
        if sent is None:
            continue
        shorter = min(len(text), len(sent.text)) or 1
        start = common_prefix(text, sent.text)
        alike = start + (common_suffix(text, sent.text) if start < shorter else 0)
        if alike >= RELATED * shorter:
            return sent
    return None


def _scale(related: Sent | None, estimator: TokenEstimator) -> tuple[float, bool]:
    """The server's count of a related text against ours, and whether there is one."""
    if related is None or not related.prompt_tokens:
        return 1.0, False
    estimated = estimator.estimate(related.text)
    return (related.prompt_tokens / estimated, True) if estimated else (1.0, False)


def _cuts(view: DocumentView, expected: Forecast, related: Sent | None) -> Cuts:
    text = view.view.text
    warm = expected.shared_chars
    first_variable = len(text) if view.first_variable is None else view.first_variable
    if related is not None:
        differs = common_prefix(text, related.text)
        if differs < min(first_variable, len(text)):
            return Cuts(min(warm, differs), differs, related.short_id)
    return Cuts(warm, max(warm, first_variable))

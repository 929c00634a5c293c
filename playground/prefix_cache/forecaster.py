"""Forecasts what the cache will serve of a prompt, per endpoint and model, and learns from the reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import wraps
from math import inf
from typing import Concatenate, ParamSpec, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache import learned_state
from playground.prefix_cache.cache_profile import CacheProfile, ColdClock, capacity_of, cold_clock, lifetime_of, profile
from playground.prefix_cache.endpoint_model import RECENT, SHARED_MORE, EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage, Forecast, Prediction, Score, Scorer, ago, span
from playground.prefix_cache.index import Match, Sent
from playground.prefix_cache.miss_evidence import CONFIDENT, EarlierRequest, MissKnowledge, knowledge_of, stored_ages
from playground.prefix_cache.miss_explanation import MissExplanation, explain_miss
from playground.prefix_cache.proofs import PART
from playground.prefix_cache.revisions import Revisions
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import CacheView, DocumentView, Order, arranged, view_of_document
from playground.prefix_cache.zones import (
    Boundary,
    CacheExtent,
    Cuts,
    PartTokens,
    StructureSpan,
    ZoneMap,
    cache_extent,
    part_tokens,
    structure,
    zones,
)
from playground.prompt.document import Document, Json

CHAIN = 64
"""Requests that share most with one, among which is the first that stored text it was not served."""
CANDIDATES = 24
"""How many earlier requests are offered for a comparison."""


class Settled(Struct, frozen=True):
    """The explanation of a report (None: no miss), and the knowledge of the server before it. `revised`: explanations
    of earlier requests that the report corrects, with their run ids."""

    explanation: MissExplanation | None
    known: MissKnowledge
    revised: tuple[tuple[str, MissExplanation], ...] = ()


class PromptForecast(Struct, frozen=True):
    """Everything about a prompt before it is sent; docs/prefix_cache.md describes the fields."""

    view: DocumentView
    zones: ZoneMap
    forecast: Forecast
    new_values: Forecast
    structure: tuple[StructureSpan, ...]
    cache: CacheExtent
    parts: tuple[PartTokens, ...]
    clock: ColdClock

    @property
    def boundary(self) -> Boundary:
        """Where the prefix that every request shares ends."""
        return self.zones.boundary


P = ParamSpec("P")
T = TypeVar("T")


def _one_at_a_time(
    method: Callable[Concatenate[CacheForecaster, P], T],
) -> Callable[Concatenate[CacheForecaster, P], T]:
    """Let a method run while no other thread runs one of the same forecaster."""

    @wraps(method)
    def locked(self: CacheForecaster, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class CacheForecaster:
    """Knows endpoints only by their ids. `lifetime_s` is assumed: the vendor publishes no figure. Methods may be called
    on any thread."""

    def __init__(self, lifetime_s: float = 300.0, clock: Callable[[], float] = time.time) -> None:
        self.lifetime_s = lifetime_s
        self.set_lifetime_s: float | None = None
        """The lifetime that the user set; None: `lifetime_s` is the program's assumption."""
        self.changes = 0
        """Number of recorded requests and reports: forecasts made before the last one may be out of date."""
        self._clock = clock
        self._models: dict[tuple[str, str], EndpointCacheModel] = {}
        self._scorers: dict[tuple[str, str], Scorer] = {}
        self._revisions: dict[tuple[str, str], Revisions] = {}
        self._view: DocumentView | None = None
        """The newest view of a document."""
        self.lock = threading.RLock()
        """Held while a method reads or changes a model."""

    def model(self, endpoint_id: str, model: str) -> EndpointCacheModel:
        """Return the cache model of an endpoint and model. A new one starts with what another of the server taught."""
        key = endpoint_id, model
        found = self._models.get(key)
        if found is None:
            found = EndpointCacheModel(self.lifetime_s)
            siblings = [other for (endpoint, _), other in self._models.items() if endpoint == endpoint_id]
            best = max(siblings, key=lambda other: other.learned.reports, default=None)
            if best is not None and best.learned.reports:
                learned_state.inherit(found.learned, best.learned)
            self._models[key] = found
        return found

    @_one_at_a_time
    def look(self, document: Document, endpoint_id: str, model: str, since: float | None = None) -> PromptForecast:
        """Return zones and forecast of a document now. `since`: unix seconds before which the cache cannot know
        anything."""
        cache, now = self.model(endpoint_id, model), self._clock()
        view = self.view(document)
        cache.requests.since = since
        prediction = cache.predictor.predict(view.view, now, {"model": model, **document.parameters})
        related = cache.compared_with(prediction)
        forecast = forecast_of(cache, prediction, related)
        fresh = forecast
        if view.first_variable is not None:
            varied = cache.predictor.with_new_values(prediction, view.first_variable)
            fresh = forecast_of(cache, varied, related)
        cuts = _cuts(view, prediction, related, now - self.lifetime_s)
        measure = prediction.measure
        clock = cold_clock(cache.learned, prediction, self.set_lifetime_s)
        if forecast.run_id is None or _shared_tokens(prediction) < cache.learned.units.step:
            # No earlier request is like this one, or it shares less than one block: nothing of it was ever cached.
            clock = replace(clock, warm_until_unix=None, cold=False, cold_since_unix=None)
        return PromptForecast(
            view,
            zones(view, cuts, measure),
            forecast,
            fresh,
            structure(view, cuts, measure),
            cache_extent(view, cuts, measure, cache.learned.hypotheses.weights),
            part_tokens(view, cuts, measure, forecast.prompt_tokens),
            clock,
        )

    @_one_at_a_time
    def view(self, document: Document) -> DocumentView:
        """Return the view of a document; parts equal to those of the last one are used again."""
        self._view = view_of_document(document, self._view)
        return self._view

    @_one_at_a_time
    def forecast(
        self,
        view: CacheView,
        endpoint_id: str,
        model: str,
        since: float | None = None,
        fields: Mapping[str, Json] | None = None,
    ) -> Forecast:
        """Return the forecast of a request body's view now, without zones. `fields`: the request's parameters."""
        cache = self.model(endpoint_id, model)
        cache.requests.since = since
        prediction = cache.predictor.predict(view, self._clock(), fields)
        return forecast_of(cache, prediction, cache.compared_with(prediction))

    @_one_at_a_time
    def predict(
        self, view: CacheView, endpoint_id: str, model: str, fields: Mapping[str, Json] | None = None
    ) -> tuple[Forecast, Prediction]:
        """Return the forecast of a request body's view now, and the thorough prediction, which `record` reuses."""
        cache = self.model(endpoint_id, model)
        cache.requests.since = None
        cache.prepare(view)
        prediction = cache.predictor.predict(view, self._clock(), fields, thorough=True)
        return forecast_of(cache, prediction, cache.compared_with(prediction)), prediction

    @_one_at_a_time
    def candidates(self, document: Document, endpoint_id: str, model: str) -> list[Match]:
        """Return earlier requests that a document may be compared with: longest shared prefix first, ties: newest
        first. Versions of this prompt that share little because they differ early come last."""
        cache, view = self.model(endpoint_id, model), view_of_document(document).view
        found = [match for match in cache.index.best(view.text, CANDIDATES + RECENT) if match.length]
        known = {match.sent.run_id for match in found}
        newest = (sent for sent in cache.index.newest_first(RECENT) if sent.run_id not in known)
        versions = [Match(sent, 0) for sent in newest if cache.family.first(view, (sent,))]
        versions = versions[: CANDIDATES // 2]
        return [*found[: CANDIDATES - len(versions)], *versions]

    @_one_at_a_time
    def score(self, endpoint_id: str, model: str) -> Score:
        """Return how the forecasts for an endpoint and model agreed with the reports."""
        return self._scorer(endpoint_id, model).score

    def _scorer(self, endpoint_id: str, model: str) -> Scorer:
        return self._scorers.setdefault((endpoint_id, model), Scorer())

    @_one_at_a_time
    def learned(self, endpoint_id: str, model: str) -> CacheProfile:
        """Return what reports have taught about a server's cache."""
        return profile(self.model(endpoint_id, model).learned)

    @_one_at_a_time
    def lifetime(self, endpoint_id: str, model: str) -> float:
        """Return seconds that an unused prefix stays cached: assumed until reports tell otherwise."""
        found = lifetime_of(self.model(endpoint_id, model).learned)
        return float(found.value) if found.value is not None and found.confidence >= 0.5 else self.lifetime_s

    @_one_at_a_time
    def shared(self, document: Document, endpoint_id: str, model: str, began: float | None) -> float:
        """Return the share (0 to 1) of a prompt that begins requests within the cache's lifetime. `began`: unix seconds
        before which the cache cannot know anything."""
        text = view_of_document(document).view.text
        since = max(self._clock() - self.lifetime(endpoint_id, model), began or 0.0)
        return self.model(endpoint_id, model).index.shared(text, since) / max(len(text), 1)

    @_one_at_a_time
    def served(self, tokens: float, endpoint_id: str, model: str, fields: Mapping[str, Json]) -> float:
        """Return the tokens that the server serves of so many in its cache: whole blocks from the minimum on, none if
        its cache is off. `fields`: the request's parameters."""
        learned = self.model(endpoint_id, model).learned
        return 0.0 if learned.off.serves_nothing(fields, tokens) else learned.units.likely[0].served(tokens)

    @_one_at_a_time
    def capacity(self, endpoint_id: str, model: str) -> float:
        """Return the tokens that the cache holds at least (probability 0.95); 0 while reports do not tell."""
        return capacity_of(self.model(endpoint_id, model).learned)

    @_one_at_a_time
    def minimum(self, endpoint_id: str, model: str) -> int | None:
        """Return the fewest tokens that the server caches if reports support it, else None."""
        learned = self.model(endpoint_id, model).learned.units.minimum
        return learned.value if learned.confidence >= CONFIDENT else None

    @_one_at_a_time
    def counter(self, endpoint_id: str, model: str) -> TokenEstimator:
        """Return the token estimator of an endpoint, for use on another thread."""
        return self.model(endpoint_id, model).learned.estimator.snapshot()

    @_one_at_a_time
    def record(self, endpoint_id: str, model: str, sent: Sent, prediction: Prediction | None = None) -> None:
        """Record a request that the server accepted. `prediction`: a thorough one made just before."""
        self.model(endpoint_id, model).record(sent, prediction)
        self.changes += 1

    @_one_at_a_time
    def remember(self, endpoint_id: str, model: str, sent: Sent, usage: CacheUsage, *, learn: bool = False) -> None:
        """Add a request of an earlier session with its report. `learn`: also learn from it, to rebuild lost state."""
        cache = self.model(endpoint_id, model)
        cache.record(sent)
        cache.settle(sent.run_id, usage, learn=learn)

    @_one_at_a_time
    def settle(
        self,
        endpoint_id: str,
        model: str,
        run_id: str,
        usage: CacheUsage,
        forecast: Forecast | None = None,
        document: DocumentView | None = None,
    ) -> Settled | None:
        """Explain what the server reported for a recorded request, then learn from it and score the forecast.

        Returns None for a request that is unknown or has its report already.
        """
        where = endpoint_id, model
        cache = self.model(*where)
        prediction, sent = cache.pending(run_id), cache.index.get(run_id)
        if sent is None:
            return None
        settled = None
        if prediction is not None:
            settled = self.explain(where, sent, usage, prediction, document)
        cache.settle(run_id, usage, ended=self._clock())
        if settled is not None and usage.cached_tokens is not None:
            open_ones = self._revisions.setdefault(where, Revisions())
            settled = replace(settled, revised=tuple(open_ones.revise(cache, sent, usage.cached_tokens)))
            open_ones.add(sent, settled.explanation, usage)
        self.changes += 1
        scorer = self._scorer(*where)
        if usage.prompt_tokens is not None and usage.cached_tokens is None:
            scorer.add_unreported()
        if usage.cached_tokens is not None and forecast is not None:
            step = cache.learned.units.step
            scorer.add(forecast.cached_tokens, (forecast.low, forecast.high), usage.cached_tokens, step)
        return settled

    def explain(
        self,
        where: tuple[str, str],
        sent: Sent,
        usage: CacheUsage,
        prediction: Prediction,
        document: DocumentView | None = None,
    ) -> Settled:
        """Explain a report that has not been learned from. Live requests, the log and a replay use this."""
        if usage.cached_tokens is None:
            known = MissKnowledge([])
            return Settled(explain_miss(sent.view, sent.fields, None, usage, known), known)
        cache = self.model(*where)
        known = knowledge_of(cache, prediction, self.lifetime_s, usage)
        reports = cache.index.reports(sent.run_id, sent.text, CHAIN)
        # Less than a block of it is not stored.
        least, size = usage.cached_tokens + max(PART, cache.learned.units.step), prediction.reach.size
        having = [one for one in reports if one[0] < sent.at and size(one[2]).tokens >= least]
        served = any(one.learned.units.figures for (at, _), one in self._models.items() if at == where[0])
        ages = stored_ages(having, sent.at, usage.cached_tokens)
        known = replace(known, stored_ages=ages, never_served=known.never_served and not served)
        compared = prediction.compared
        other = self.elsewhere(sent.view, *where, sent.at)
        shared = common_prefix(sent.text, compared.text) if compared is not None else 0
        own = None
        if other is not None and other[1].length > shared + SHARED_MORE and other[1].length >= len(sent.text) / 4:
            own, compared = compared, other[1].sent
            shared = other[1].length
        compared = _continued(cache, sent, shared) or compared
        most = max(prediction.reaches.values(), key=lambda one: one.longest.tokens)
        why = None
        # A template that moves text makes other requests share more than the one whose text is alike.
        for one in (compared, cache.requests.sent(most.steps[-1].newest) if most.steps else compared):
            earlier = None if one is None else self._earlier(cache, sent, one)
            if earlier is not None and other is not None and own is not None:
                answer = self.model(where[0], other[0]).requests.answer_of(other[1].sent.run_id)
                answer = answer if one is other[1].sent else earlier.answer
                gap_s = max(sent.at - own.at, 0.0)
                earlier = replace(earlier, own_fields=own.fields, gap_s=gap_s, answered_s=0.0, answer=answer)
            why = explain_miss(sent.view, sent.fields, earlier, usage, known, document)
            if why is None or why.reason != "more_than_shared":
                break
        return Settled(why, known)

    @_one_at_a_time
    def explain_with(
        self,
        where: tuple[str, str],
        sent: Sent,
        other: Sent,
        usage: CacheUsage,
        known: MissKnowledge,
        document: DocumentView,
    ) -> MissExplanation | None:
        """Explain a report by another earlier request than the best, with the knowledge of that time."""
        earlier = self._earlier(self.model(*where), sent, other)
        return explain_miss(sent.view, sent.fields, earlier, usage, known, document)

    @staticmethod
    def _earlier(cache: EndpointCacheModel, sent: Sent, other: Sent) -> EarlierRequest:
        emptied = cache.requests.since is not None and other.at < cache.requests.since
        lost = "the cache was emptied since: the simulator was restarted" if emptied else ""
        gap_s = max(sent.at - other.at, 0.0)
        counted, answer = cache.requests.usage_of(other.run_id), cache.requests.answer_of(other.run_id)
        return EarlierRequest(
            *(other.view, other.fields, other.request_id, gap_s, lost, *counted, answer, other.cached_tokens),
            answered_s=cache.requests.answered_s(other.run_id),
        )

    @_one_at_a_time
    def sent(self, run_id: str) -> Sent | None:
        """Return a recorded request, whichever endpoint it went to."""
        found = (cache.index.get(run_id) for cache in self._models.values())
        return next((sent for sent in found if sent is not None), None)

    @_one_at_a_time
    def elsewhere(self, view: CacheView, endpoint_id: str, model: str, before: float = inf) -> tuple[str, Match] | None:
        """Return another model of the endpoint that knows the prompt, with the best match there of those sent
        `before`."""
        found = []
        for (endpoint, other), cache in self._models.items():
            if endpoint == endpoint_id and other != model:
                match = cache.index.match(view.text, 0.0, before)
                if match is not None:
                    found.append((other, match))
        return max(found, key=lambda pair: (pair[1].length, pair[1].sent.at), default=None)

    @_one_at_a_time
    def adopt(self, endpoint_id: str, model: str, built: EndpointCacheModel) -> None:
        """Adopt a model that another thread built from the log, and add the requests recorded since."""
        live = self._models.get((endpoint_id, model))
        if live is not None:
            for sent in reversed(live.index.newest_first(len(live.index))):
                if built.index.get(sent.run_id) is None:
                    built.take_over(live, sent)
            built.requests.since = live.requests.since
        self._models[endpoint_id, model] = built

    @_one_at_a_time
    def save(
        self, others: Mapping[tuple[str, str], learned_state.LearnedState] | None = None, leave_out: str | None = None
    ) -> bytes:
        """Return the learned state as versioned JSON. `others`: states of endpoints that were not used yet;
        `leave_out`: an endpoint whose rules change between starts."""
        models = {key: cache.learned for key, cache in self._models.items() if key[0] != leave_out}
        return learned_state.dump(models, others or {})

    @_one_at_a_time
    def load(self, data: bytes) -> None:
        """Continue from a saved state. Content of another version is ignored. Raises ValueError if it is damaged."""
        for key, state in learned_state.parse(data).items():
            if key not in self._models:
                learned_state.restore(self.model(*key).learned, state)


def _continued(cache: EndpointCacheModel, sent: Sent, shared: int) -> Sent | None:
    """Return an earlier request that a prompt continues, if it has more in common with it than `shared` code points.

    The forecast does not know one that was still running when this one was sent.
    """
    for match in cache.index.best(sent.text, 4):
        other = match.sent
        if other.run_id == sent.run_id or other.at > sent.at or other.tag not in ("", sent.tag):
            continue
        if match.length > shared and match.length == len(other.text):
            return other
    return None


def forecast_of(cache: EndpointCacheModel, prediction: Prediction, related: Sent | None) -> Forecast:
    """Return a prediction as a forecast, with its basis."""
    found, best = prediction.interval, prediction.best
    matched = None
    if best is not None and best.depth and found.tokens:
        reach = prediction.reaches[best.rendering]
        step = next((step for step in reach.steps if step.depth >= best.depth), None)
        matched = cache.requests.sent(step.newest) if step is not None else None
    compared = matched or related
    shared = common_prefix(prediction.view.text, matched.text) if matched is not None else 0
    low, running = found.low, cache.running_with(prediction.view.text)
    if running is not None and running.shares_more:
        low = min(low, max(prediction.reach.size(running.ended).tokens - 2 * cache.learned.units.step, 0))
    return Forecast(
        cached_tokens=found.tokens,
        low=low,
        high=found.high,
        prompt_tokens=max(prediction.prompt.tokens, found.high),
        basis=_basis(cache, prediction, matched, related),
        run_id=compared.run_id if compared else None,
        request_id=compared.request_id if compared else None,
        shared_chars=shared,
        sent_at=compared.at if compared else None,
    )


def _shared_tokens(prediction: Prediction) -> float:
    """Return the tokens (≈) that the prompt shares with an earlier request, in the cache or not."""
    reach = prediction.reach
    return reach.size(reach.steps[-1].depth).tokens if reach.steps else 0.0


def _basis(cache: EndpointCacheModel, prediction: Prediction, matched: Sent | None, related: Sent | None) -> str:
    if matched is not None:
        return f"shared with the request of {ago(max(prediction.now - matched.at, 0.0))}"
    if related is None:
        return f"nothing {'like it ' if len(cache.index) else ''}has been sent to this endpoint yet"
    age_s = max(prediction.now - related.at, 0.0)
    if cache.requests.since is not None and related.at < cache.requests.since:
        return f"last sent {ago(age_s)}, before this cache began"
    lifetime = lifetime_of(cache.learned)
    shared = _shared_tokens(prediction)
    minimum = cache.learned.units.minimum
    if minimum.value and minimum.confidence >= CONFIDENT and cache.learned.units.step <= shared < minimum.value:
        return (
            f"shares ≈ {shared:,.0f} tokens with the request of {ago(age_s)}; "
            f"this server has never cached fewer than {minimum.value:,}"
        )
    if shared < cache.learned.units.step:
        return f"shares less than one block with the request of {ago(age_s)}"
    if lifetime.value is not None and lifetime.confidence >= 0.5 and age_s > lifetime.value:
        return f"last sent {ago(age_s)}; this server forgets after about {span(lifetime.value)}"
    if cache.pending(related.run_id) is not None:
        return f"the request sent {ago(age_s)} has no report yet"
    if shared >= 2 * cache.learned.units.step:
        return f"last sent {ago(age_s)}; probably no longer cached"
    return f"shares about one block with the request of {ago(age_s)}"


def _cuts(view: DocumentView, prediction: Prediction, related: Sent | None, began: float) -> Cuts:
    """Return where the zones part in the most probable order."""
    ordered = prediction.measure.view
    order: Order = prediction.rendering.order
    best = prediction.best
    warm = best.depth if best is not None and prediction.interval.tokens else 0
    text = ordered.text
    end = ordered.parts[-1].start if ordered.parts else 0
    canonical = view.view
    variable = None
    if view.first_variable is not None:
        part = next(part for part in canonical.parts if part.start <= view.first_variable < part.end)
        start = next(one.start for one in ordered.parts if (one.kind, one.index) == (part.kind, part.index))
        variable = start + view.first_variable - part.start
    stable = end if variable is None else variable
    if related is not None and related.at >= began:
        other = arranged(related.view, order).text
        differs = common_prefix(text[:end], other)
        if differs < min(stable, end, len(other)) and warm <= differs:
            return Cuts(warm, differs, related.shown_id, order)
    return Cuts(min(warm, end), max(min(warm, end), stable), None, order, variable)

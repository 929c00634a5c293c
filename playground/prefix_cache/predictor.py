"""Predicts what the cache of one endpoint and model may serve of a prompt: renderings, reaches, outcomes, interval."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from math import inf, sqrt
from operator import attrgetter

from playground.prefix_cache.block_size import SMALL_BLOCK
from playground.prefix_cache.difference import differing, that_may_matter
from playground.prefix_cache.forecast import Again, Apart, InFlight, Prediction
from playground.prefix_cache.hypotheses import IRRELEVANT, ROUTINGS, Rendering, ReportOutcome
from playground.prefix_cache.learned_state import LearnedParameters
from playground.prefix_cache.match_tree import MatchNode, TreePath, counted_ends, longest_prompt, most_served
from playground.prefix_cache.prefix_size import TAIL, Anchor, ForecastInterval, Measure, PrefixSizer, Size, interval
from playground.prefix_cache.proofs import message_ends
from playground.prefix_cache.reach import Reach
from playground.prefix_cache.round_robin import COMPARED, REPLICAS
from playground.prefix_cache.sent_requests import SentRequests
from playground.prefix_cache.view import (
    BARE,
    OPENING,
    PLAIN_ORDERS,
    SENT,
    TOOLS,
    CacheView,
    Order,
    Reuse,
    ViewPart,
    answer_in,
    arranged,
    opened,
)
from playground.prompt.document import Json

EARLY, SLACK = 10, 8
"""Reports before which an interval is at least so many tokens, or a block, to each side."""
SETTLED = 4
"""Reports in a row inside the interval from which it is not widened for unknown properties of the server."""
GLANCED = 4
"""Renderings that a forecast while typing weighs at most."""
APART = 2
"""Reports from which a parameter is expected to keep prompts apart."""
SAME_PROMPTS, SOON_S = 6, 120.0
"""Newest requests with the same text that are read; seconds in which a served prefix is hardly forgotten."""
_PLACES: tuple[Order, ...] = ("first", "inside", "first_user", "before_last_user", "after_messages")
ANCHORS = 48
"""Requests whose measures serve as anchors of later ones."""


class Predictor:
    """Predicts from the requests sent and from what their reports have taught; changes neither."""

    def __init__(self, requests: SentRequests, learned: LearnedParameters) -> None:
        self._requests = requests
        self._learned = learned
        self._anchors: OrderedDict[tuple[int, Order], tuple[Measure, int]] = OrderedDict()
        self._measured: dict[Order, Measure] = {}
        """The measure of the newest prediction in each order."""

    def predict(
        self, view: CacheView, now: float, fields: Mapping[str, Json] | None = None, *, thorough: bool = False
    ) -> Prediction:
        """Return what the cache may serve of a prompt. `fields`: parameters of the request, for which the cache may be
        off. `thorough`: all renderings, as learning needs them."""
        weights = self._learned.hypotheses.weights
        best = self._learned.hypotheses.rendering
        chosen = [one for one in weights if weights[one] >= IRRELEVANT] if thorough else self._glanced(weights, best)
        if thorough and all(one.order not in PLAIN_ORDERS for one in chosen):
            plain = (one for one in weights if one.order in PLAIN_ORDERS)
            chosen.append(max(plain, key=lambda one: (weights[one], one.answers)))  # replicas look like other orders
        if thorough and any(part.kind == "tool" for part in view.parts):
            # A refuted place counts until a report excludes it: losses refute one as well.
            weighed = {TOOLS.get(one.order, one.order) for one in chosen if one.reuse == best.reuse}
            others = (one for one in _PLACES if one not in weighed and not self._learned.proofs.doubts((one,)))
            orders = (BARE[one] if best.order in SENT else one for one in others)
            chosen += [one for one in (Rendering(order, best.reuse) for order in orders) if one in weights]
        measures: dict[Order, Measure] = {}
        paths: dict[Order, TreePath] = {}
        sizers: dict[tuple[Order, bool], PrefixSizer] = {}
        made: dict[tuple[Order, bool], list[Reach]] = {}
        same: dict[tuple[Order, Reuse], Reach] = {}
        reaches: dict[Rendering, Reach] = {}
        for rendering in chosen:
            order = self._requests.order_of(rendering)
            if order not in measures:
                measures[order] = self._measure(view, order)
                paths[order] = TreePath(self._requests.trees[order], measures[order].view.text)
            key = order, rendering.answers
            if key not in sizers:
                sizers[key] = self._sizer(measures[order], paths[order].nodes, order, answers=rendering.answers)
            if (order, rendering.reuse) not in same:
                text = _first_text(measures[order].view)
                found = self._reach(paths[order], order, rendering, sizers[key], now, text, made.setdefault(key, []))
                same[order, rendering.reuse] = found
            found = same[order, rendering.reuse]
            if not found.ends and (thorough or self._learned.kept_points.kind is not None):
                found.ends = message_ends(measures[order].view)
                found.counted = counted_ends(paths[order].nodes)
                found.asked = longest_prompt(paths[order].nodes)
                found.served = most_served(paths[order].nodes)
            reaches[rendering] = found
            measures.setdefault(rendering.order, measures[order])
        prompt = reaches[best].size(len(measures[best.order].view.text))
        prompt = Size(prompt.tokens, prompt.error if prompt.error > 0.7 else 0.0)
        predicted = self._predicted(now, view, measures, reaches, prompt, best, thorough=thorough)
        predicted.off_for = self._learned.off.proved(fields)
        flight = self._requests.in_flight(paths[self._requests.order_of(best)], best.reuse)
        if flight is not None:
            seconds, ended = max(now - flight[0], 0.0), reaches[best].size(flight[1])
            predicted.in_flight = InFlight(seconds, ended, self._learned.proofs.waits(seconds))
            if predicted.in_flight.waits:
                self._without_running(predicted, ended.tokens)
        else:
            self._as_served_again(predicted, view, fields)
        self._as_served_lately(predicted, off=self._learned.off.serves_nothing(fields, predicted.shared.tokens))
        self._with_evidence(predicted, reaches[best])
        predicted.apart = self._apart(paths[self._requests.order_of(best)], best.reuse, reaches[best], fields)
        self._kept_apart(predicted)
        return predicted

    def _apart(self, path: TreePath, reuse: Reuse, reach: Reach, fields: Mapping[str, Json] | None) -> Apart | None:
        """Return what a prompt shares with requests of the same parameters, if one of others shares more."""
        newest = self._requests.sent(reach.steps[-1].newest) if reach.steps else None
        if newest is None or fields is None or newest.fields is None:
            return None
        mine = that_may_matter(fields)
        names = {*differing(mine, that_may_matter(newest.fields))} - self._learned.proofs.shared
        if not names:
            return None
        same, end = 0, len(self._requests)
        for number in range(end - 1, max(end - 1 - COMPARED, -1), -1):
            depth = path.tree.reused(path.shared(number), number, reuse)
            sent = self._requests.sent(number) if depth > same else None
            if sent is not None and sent.fields is not None:
                others = differing(mine, that_may_matter(sent.fields))
                same = same if names.intersection(others) else depth
        return Apart(tuple(sorted(names)), reach.size(same), reach.longest)

    def _kept_apart(self, made: Prediction) -> None:
        """Forecast what requests of the same parameters share, if reports have ended there APART times; include it in
        the interval if one has."""
        proofs, apart = self._learned.proofs, made.apart
        reports = max((proofs.apart.get(name, 0) for name in apart.names), default=0) if apart is not None else 0
        if apart is None or not reports:
            return
        units = self._learned.units.likely
        tokens = units[0].served(apart.same.tokens) if units else apart.same.tokens
        if tokens < made.interval.tokens:
            low, kept = min(made.interval.low, tokens), tokens if reports >= APART else made.interval.tokens
            made.interval = ForecastInterval(kept, low, made.interval.high)

    def _as_served_again(self, made: Prediction, view: CacheView, fields: Mapping[str, Json] | None) -> None:
        """Forecast the figure served of the same prompt before, if the blocks of the cache give another one."""
        if not made.interval.tokens:
            return
        mine, requests = that_may_matter(fields or {}), self._requests
        same = [
            one.sent
            for one in requests.index.best(view.text, SAME_PROMPTS)
            if len(one.sent.text) == len(view.text) == one.length and that_may_matter(one.sent.fields or {}) == mine
        ]
        if not same:
            return
        units = self._learned.units.likely
        whole = units[0].served(max(made.prompt.tokens - 1, 0.0)) if units and not made.prompt.error else 0.0
        figures = (one.cached_tokens for one in same[:-1] if not requests[requests.numbers[one.run_id]].early)
        made.again = Again(tuple(cached for cached in figures if cached is not None), whole)
        tokens = self._learned.proofs.same_again(made.again)
        if tokens is not None:
            made.interval = ForecastInterval(tokens, min(made.interval.low, tokens), max(made.interval.high, tokens))

    def _with_evidence(self, made: Prediction, reach: Reach) -> Prediction:
        """Widen the interval to the figure served of the prompt's beginning just before, and, while nothing was ever
        served, to what a cache has that was off or not ready: after n such reports, a hit has the probability 1 / n."""
        units, found = self._learned.units, made.interval
        high = found.high
        if not units.figures and self._learned.reports * TAIL < 1 and units.likely:
            high = max(high, min(reach.longest.tokens + 2 * reach.longest.error, made.prompt.tokens))
        if found.high == found.low and reach.ages and reach.ages[-1] <= SOON_S:
            high = max(high, float(reach.served), *(made.again.served[:1] if made.again else ()))
        if high > found.high:
            made.interval = ForecastInterval(found.tokens, found.low, high)
        return made

    def _without_running(self, made: Prediction, ended: float) -> None:
        """Forecast the tokens shared with `ended` requests, without those that are running."""
        units = self._learned.units.likely
        tokens = units[0].served(ended) if units else ended
        if tokens < made.interval.tokens:
            made.interval = ForecastInterval(tokens, min(made.interval.low, tokens), made.interval.high)

    def _as_served_lately(self, made: Prediction, *, off: bool) -> Prediction:
        """Forecast nothing if the cache is off, and the same start, or a limit, if the server serves no more."""
        made.off, points = off, self._learned.kept_points
        most = points.figure(points.kind) if points.kind in ("start", "limit") else inf
        if off or most < made.shared.tokens:
            tokens = 0.0 if off else float(most)
            made.interval = ForecastInterval(tokens, min(made.interval.low, tokens), max(made.interval.high, tokens))
        return made

    @staticmethod
    def _glanced(weights: Mapping[Rendering, float], best: Rendering) -> list[Rendering]:
        """Return the renderings that a forecast while typing weighs: those of few orders, each with all its reuse."""
        groups: dict[tuple[Order, bool], float] = {}
        for one, weight in weights.items():
            groups[one.order, one.answers] = groups.get((one.order, one.answers), 0.0) + weight
        likely = (key for key in groups if groups[key] >= 0.02)
        kept = sorted(likely, key=groups.__getitem__, reverse=True)[:GLANCED]
        chosen = [one for one in weights if (one.order, one.answers) in kept and weights[one] >= 0.02]
        return chosen if best in chosen else [best, *chosen]

    def with_new_values(self, prediction: Prediction, offset: int) -> Prediction:
        """Return a glanced prediction of the same prompt with other text from `offset` of the canonical view on."""
        cut: dict[int, Reach] = {}
        reaches: dict[Rendering, Reach] = {}
        for one, reach in prediction.reaches.items():
            if id(reach) not in cut:
                cut[id(reach)] = reach.cut(_limit(prediction.view, prediction.measures[one.order].view, offset))
            reaches[one] = cut[id(reach)]
        if all(reaches[one] is reach for one, reach in prediction.reaches.items()):
            return prediction  # nothing after `offset` is expected to be in the cache
        made = self._predicted(
            prediction.now,
            prediction.view,
            prediction.measures,
            reaches,
            prediction.prompt,
            prediction.rendering,
            thorough=False,
        )
        return self._as_served_lately(made, off=prediction.off)

    def _predicted(
        self,
        now: float,
        view: CacheView,
        measures: dict[Order, Measure],
        reaches: dict[Rendering, Reach],
        prompt: Size,
        best: Rendering,
        *,
        thorough: bool,
    ) -> Prediction:
        learned, residuals = self._learned, self._learned.residuals
        outcomes = learned.hypotheses.outcomes(reaches, least=0.002 if thorough else 0.01)
        raw = self._interval(outcomes, reaches, prompt, best)
        below, above = (residuals.below, residuals.above) if learned.reports else (0.0, 0.0)
        if 0 < learned.reports < EARLY and residuals.streak < SETTLED and outcomes and raw.tokens:
            # What the template adds around messages is not known yet.
            slack = float(min(max(learned.units.step, SLACK), SMALL_BLOCK))
            below, above = max(below, slack), max(above, slack)
        # A server that rounds may report more than the prompt has.
        most = max(prompt.tokens, float(learned.units.rounding.reported(round(prompt.tokens))), 0.0)
        widened = residuals.narrowed(raw).widened(below, above, most)
        return Prediction(now, view, measures, reaches, prompt, outcomes, raw, widened, best)

    def _measure(self, view: CacheView, order: Order) -> Measure:
        ordered = arranged(view, order)
        if not ordered.parts:
            return Measure(ordered, self._learned.estimator)
        end, text = len(ordered.text), ordered.text + OPENING
        whole = CacheView(text, (*ordered.parts, ViewPart("role", -1, end, len(text))))
        made = self._measured[order] = Measure(whole, self._learned.estimator, self._measured.get(order))
        return made

    def _sizer(
        self, measure: Measure, path: list[tuple[MatchNode, int]], order: Order, *, answers: bool
    ) -> PrefixSizer:
        anchors: list[Anchor] = []
        for node, shared in reversed(path[1:]):
            number = node.newest if answers else node.newest_prompt
            if number < 0 or self._requests[number].prompt_tokens is None:
                number = node.counted  # the newest one is still running
            if number >= 0:
                anchors = self._anchors_of(number, order, answers=answers)
                next_mark = self._requests.trees[order].served_beyond(number, shared)
                if anchors and next_mark is not None:
                    depth, tokens, block = next_mark
                    anchors.append(Anchor(anchors[0].measure, depth, tokens + block / 2, block / sqrt(12)))
                break
        step, width = self._learned.units.step, self._learned.residuals.width
        return PrefixSizer(measure, path, step, width, answers=answers, anchors=anchors)

    def _anchors_of(self, number: int, order: Order, *, answers: bool) -> list[Anchor]:
        request = self._requests[number]
        key = number, order
        found = self._anchors.get(key)
        if found is None:
            sent = self._requests.index.get(request.run_id)
            if sent is None or request.prompt_tokens is None:
                return []
            measure = self._measure(sent.view, order)
            depth = len(measure.view.text)
            answer = answer_in(order, request.answer)
            if answer:
                parts = (*measure.view.parts, ViewPart("content", -1, depth, depth + len(answer)))
                measure = Measure(CacheView(measure.view.text + answer, parts), self._learned.estimator, measure)
            found = self._anchors[key] = measure, depth
            if len(self._anchors) > ANCHORS:
                self._anchors.popitem(last=False)
        measure, depth = found
        assert request.prompt_tokens is not None
        anchors = [Anchor(measure, depth, float(request.prompt_tokens))]
        if answers and len(measure.view.text) > depth and request.completion_tokens:
            tokens = float(request.prompt_tokens + request.completion_tokens - 1)
            anchors.append(Anchor(measure, len(measure.view.text), tokens))
        return anchors

    def _reach(
        self,
        path: TreePath,
        order: Order,
        rendering: Rendering,
        sizer: PrefixSizer,
        now: float,
        text: ViewPart,
        made: list[Reach],
    ) -> Reach:
        """Return the reach of a rendering: one of `made` with the same order, if it is the same."""
        steps = path.tree.steps(path.nodes, rendering.reuse)
        if self._learned.round_robin.replicas:
            steps = self._requests.steps_in_turn(path, self._learned.round_robin.replicas, rendering.reuse)
        since = self._requests.since
        if since is not None:  # the cache lost all requests before
            lost = (at for at, step in enumerate(steps) if self._requests[step.newest].at < since)
            steps = steps[: next(lost, len(steps))]
        held = self._requests.held(path, order, rendering.reuse, steps, now, text)
        same = next((one for one in made if one.steps == steps and one.held == held), None)
        if same is not None:
            return same
        ages = [max(now - self._requests[step.newest].at, 0.0) for step in steps]
        distances = self._requests.distances(steps, order, answers=rendering.answers)
        groups = [at for at, step in enumerate(steps) if at + 1 == len(steps) or steps[at + 1].newest != step.newest]
        found = Reach(steps, sizer.size, ages, distances, held, groups)
        made.append(found)
        return found

    def _interval(
        self, outcomes: list[ReportOutcome], reaches: Mapping[Rendering, Reach], prompt: Size, best: Rendering
    ) -> ForecastInterval:
        units = self._learned.units.likely[:6]
        routings = self._learned.hypotheses.routings()
        rate = self._learned.hypotheses.loss_rate
        sizes: list[tuple[float, Size]] = []
        single = routings[0] if routings[0] > 0.02 else 0.0
        points = self._learned.kept_points
        for one in outcomes:
            share = single * one.weight
            kept = one.size
            if points.kind is not None:
                kept = reaches[one.rendering].kept(points.kind, one.depth, points.figure(points.kind))
            sizes.append((share * (1 - rate), kept if kept.tokens < one.size.tokens else one.size))
            if share * rate > 0.003:
                sizes += self._lost(one, reaches, share * rate)
        if single < 1.0 and best in reaches:
            reach = reaches[best]
            upto = reach.steps[-1].depth if reach.steps else 0
            for routing, weight in zip(ROUTINGS[1:], routings[1:], strict=True):
                if weight > 0.02:
                    spread = self._learned.hypotheses.spread(reach, routing, upto)
                    sizes += [(weight * share * (1 - rate), size) for share, size in spread]
                    sizes.append((weight * rate, Size(0.0, 0.0)))
        most = prompt.tokens + 2 * prompt.error
        found = interval(sizes, units, most)
        if self._learned.reports:
            return found
        # Before any report the figure assumes the usual block; the interval weighs all of them.
        tokens = interval(sizes, units[:1], most).tokens
        return ForecastInterval(tokens, min(found.low, tokens), max(found.high, tokens))

    @staticmethod
    def _lost(one: ReportOutcome, reaches: Mapping[Rendering, Reach], share: float) -> list[tuple[float, Size]]:
        """Return the outcomes of an eviction: half the time nothing is left, otherwise an older, shorter prefix."""
        reach = reaches[one.rendering]
        shorter = [reach.steps[at] for at in reach.groups if reach.steps[at].depth < one.depth][-3:]
        if not shorter:
            return [(share, Size(0.0, 0.0))]
        each = share * 0.5 / len(shorter)
        return [(share * 0.5, Size(0.0, 0.0)), *((each, reach.size(step.depth)) for step in shorter)]

    def shared_in_turn(self, view: CacheView, prediction: Prediction) -> dict[int, tuple[int, int]]:
        """Return what a prompt shares with the requests of one replica, see `Prediction.shared_in_turn`."""
        rendering = prediction.plain
        if rendering is None:
            return {}
        order = self._requests.order_of(rendering)
        path = TreePath(self._requests.trees[order], opened(view, order))
        reuses: tuple[Reuse, Reuse] = ("all", "none")
        prompts = path.tree.steps(path.nodes, "none")
        found = {1: (path.nodes[-1][1], prompts[-1].depth if prompts else 0)}
        for replicas in REPLICAS:
            steps = [self._requests.steps_in_turn(path, replicas, reuse) for reuse in reuses]
            whole, prompt = (one[-1].depth if one else 0 for one in steps)
            found[replicas] = whole, prompt
        return found


def _first_text(view: CacheView) -> ViewPart:
    """Return the text of the first message."""
    return next((part for part in view.parts if part.kind == "content"), ViewPart("content", 0, 0, 0))


def _limit(view: CacheView, ordered: CacheView, upto: int) -> int:
    """Return the first offset in an order that belongs to canonical offsets from `upto` on."""
    starts = {(part.kind, part.index): part.start for part in ordered.parts}
    found = [len(ordered.text)]
    at = bisect_left(view.parts, upto, key=attrgetter("end"))
    for part in view.parts[at:]:
        if part.kind != "tool":
            start = starts.get((part.kind, part.index))
            if start is None:
                continue
            found.append(start + max(upto - part.start, 0))
            break
    return min(found)

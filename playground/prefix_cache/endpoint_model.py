"""The cache model of one endpoint and model: what was sent there, and what its reports have taught."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from playground.prefix_cache.block_size import BlockSizeEstimator
from playground.prefix_cache.hypotheses import ROUTINGS, Hypotheses, Outcome, Reach, Rendering
from playground.prefix_cache.index import PrefixIndex, Sent
from playground.prefix_cache.interval import ForecastInterval, Residuals, interval
from playground.prefix_cache.match_tree import MatchTree, Node, Step
from playground.prefix_cache.parameters import that_may_matter
from playground.prefix_cache.prefix_size import Anchor, Measure, PrefixSizer, Size
from playground.prefix_cache.similarity import PromptFamilyMatcher
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import OPENING, ORDERS, CacheView, Order, Part, answer_text, arranged
from playground.prompt.document import Json

PENDING = 256
"""Requests whose report may still come."""
TRACKED = 300
"""Requests for which the tokens of later traffic are counted."""
REBUILT = 2_000
"""Requests that are put in order again when the first tools are sent."""
ANCHORS = 48
RECENT = 8
"""How many of the newest requests are asked whether they are versions of a prompt."""
SHARED_MUCH = 200
"""Code points from which another prompt with the same beginning is worth a comparison."""
_IRRELEVANT = 3e-5
"""Probability below which a rendering is not computed for a forecast."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server reported for a request; None: not reported. `message` is the generated message."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int = 0
    message: Mapping[str, Json] | None = None


@dataclass
class Prediction:
    """Everything that is computed of a prompt before it is sent.

    `interval` is widened by learned residuals, `raw` is not.
    """

    now: float
    view: CacheView
    measures: dict[Order, Measure]
    reaches: dict[Rendering, Reach]
    prompt: Size
    outcomes: list[Outcome]
    raw: ForecastInterval
    interval: ForecastInterval
    rendering: Rendering
    compared: Sent | None = None
    """The earlier request that this one is compared with."""

    @property
    def best(self) -> Outcome | None:
        """The most probable outcome of the most probable rendering."""
        mine = [one for one in self.outcomes if one.rendering == self.rendering] or self.outcomes
        return max(mine, key=lambda one: one.weight, default=None)

    @property
    def reach(self) -> Reach:
        """What the cache may hold under the most probable rendering."""
        return self.reaches[self.rendering]

    @property
    def measure(self) -> Measure:
        """The measure in the most probable order."""
        return self.measures[self.rendering.order]


@dataclass
class _Request:
    """A request in the model: its number, time, and counted tokens."""

    run_id: str
    at: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    answer: str = ""


class EndpointCacheModel:
    """One endpoint and model. `assumed_s`: the lifetime that is assumed before reports tell."""

    def __init__(self, assumed_s: float) -> None:
        self.index = PrefixIndex()
        self.estimator = TokenEstimator()
        self.units = BlockSizeEstimator()
        self.hypotheses = Hypotheses(assumed_s)
        self.residuals = Residuals()
        self.family = PromptFamilyMatcher()
        self.since: float | None = None
        """Unix seconds before which the cache cannot know anything; None if unknown."""
        self.reports = 0
        self._trees: dict[Order, MatchTree] = {"first": MatchTree(), "system_last": MatchTree()}
        self._requests: list[_Request] = []
        self._numbers: dict[str, int] = {}
        self._distances: dict[Rendering, dict[int, float]] = {}
        self._slots: dict[tuple[Order, int], list[int]] = {}
        self._pending: dict[str, Prediction] = {}
        self._anchors: OrderedDict[tuple[int, Order], tuple[Measure, int]] = OrderedDict()

    def order_of(self, rendering: Rendering) -> Order:
        """Return the order whose tree a rendering uses: without tools most orders are the same."""
        return rendering.order if rendering.order in self._trees else "first"

    # -- before sending --------------------------------------------------------------------------------------------

    def predict(self, view: CacheView, now: float, *, thorough: bool = False, upto: int | None = None) -> Prediction:
        """Return what the cache may serve of a prompt. `thorough`: all renderings, as learning needs them.

        `upto`: code points of the canonical view from which on the prompt has values that were never sent.
        """
        weights = self.hypotheses.weights
        best = self.hypotheses.rendering
        least = _IRRELEVANT if thorough else 0.004
        chosen = [one for one in weights if weights[one] >= least]
        measures: dict[Order, Measure] = {}
        paths: dict[Order, list[tuple[Node, int]]] = {}
        made: dict[tuple[Order, bool], Reach] = {}
        reaches: dict[Rendering, Reach] = {}
        sizers: dict[tuple[Order, bool], PrefixSizer] = {}
        limits: dict[Order, int] = {}
        for rendering in chosen:
            order = self.order_of(rendering)
            if order not in measures:
                measures[order] = self._measure(view, order)
                paths[order] = self._trees[order].path(measures[order].text)
                limits[order] = _limit(view, measures[order].view, upto)
            key = order, rendering.answers
            if key not in made:
                sizers[key] = self._sizer(measures[order], paths[order], order, answers=rendering.answers)
                made[key] = self._reach(paths[order], order, rendering, sizers[key], now, limits[order])
            reaches[rendering] = made[key]
            measures.setdefault(rendering.order, measures[order])
        main = sizers[self.order_of(best), best.answers]
        prompt = main.size(len(measures[self.order_of(best)].text))
        prompt = Size(prompt.tokens, prompt.error if prompt.error > 0.7 else 0.0)
        outcomes = self.hypotheses.outcomes(reaches)
        raw = self._interval(outcomes, reaches, prompt, best)
        if self.reports:
            widened = raw.widened(self.residuals.below, self.residuals.above, max(prompt.tokens, 0.0))
        else:
            widened = raw.widened(0.0, 0.0, max(prompt.tokens, 0.0))
        return Prediction(now, view, measures, reaches, prompt, outcomes, raw, widened, best)

    def _measure(self, view: CacheView, order: Order) -> Measure:
        ordered = arranged(view, order)
        end = len(ordered.text)
        opened = CacheView(ordered.text + OPENING, (*ordered.parts, Part("role", -1, end, end + len(OPENING))))
        return Measure(opened, self.estimator)

    def _sizer(self, measure: Measure, path: list[tuple[Node, int]], order: Order, *, answers: bool) -> PrefixSizer:
        anchors: list[Anchor] = []
        for node, _ in reversed(path[1:]):
            number = node.newest if answers else node.newest_prompt
            if number >= 0 and self._requests[number].prompt_tokens is not None:
                anchors = self._anchors_of(number, order, answers=answers)
                break
        return PrefixSizer(measure, path, self.units.step, self.residuals.width, answers=answers, anchors=anchors)

    def _anchors_of(self, number: int, order: Order, *, answers: bool) -> list[Anchor]:
        request = self._requests[number]
        key = number, order
        found = self._anchors.get(key)
        if found is None:
            sent = self.index.get(request.run_id)
            if sent is None or request.prompt_tokens is None:
                return []
            measure = self._measure(sent.view, order)
            depth = len(measure.text)
            if request.answer:
                parts = (*measure.view.parts, Part("content", -1, depth, depth + len(request.answer)))
                measure = Measure(CacheView(measure.text + request.answer, parts), self.estimator)
            found = self._anchors[key] = measure, depth
            if len(self._anchors) > ANCHORS:
                self._anchors.popitem(last=False)
        measure, depth = found
        assert request.prompt_tokens is not None
        anchors = [Anchor(measure, depth, float(request.prompt_tokens))]
        if answers and request.answer and request.completion_tokens:
            tokens = float(request.prompt_tokens + request.completion_tokens - 1)
            anchors.append(Anchor(measure, len(measure.text), tokens))
        return anchors

    def _reach(
        self,
        path: list[tuple[Node, int]],
        order: Order,
        rendering: Rendering,
        sizer: PrefixSizer,
        now: float,
        limit: int,
    ) -> Reach:
        tree = self._trees[order]
        steps = tree.steps(path, answers=rendering.answers)
        since = self.since
        if since is not None:
            alive = next((at for at, step in enumerate(steps) if self._requests[step.newest].at < since), len(steps))
            steps = steps[:alive]
        steps = _cut(steps, limit)
        ages = [max(now - self._requests[step.newest].at, 0.0) for step in steps]
        known = self._distances.get(Rendering(order, rendering.answers), {})
        last = len(self._requests) - TRACKED
        distances = [known.get(step.newest, 0.0 if step.newest >= last else 1e12) for step in steps]
        groups = [at for at, step in enumerate(steps) if at + 1 == len(steps) or steps[at + 1].newest != step.newest]
        slots = {}
        for count in (1, 2, 4):
            held = self._slots.get((order, count), [])
            shared = (tree.shared(path, number, answers=rendering.answers) for number in held if self._knows(number))
            slots[count] = min(max(shared, default=0), limit)
        return Reach(steps, sizer.size, ages, distances, slots, groups)

    def _knows(self, number: int) -> bool:
        return self.since is None or self._requests[number].at >= self.since

    def _interval(
        self, outcomes: list[Outcome], reaches: Mapping[Rendering, Reach], prompt: Size, best: Rendering
    ) -> ForecastInterval:
        units = self.units.likely[:8]
        routings = self.hypotheses.routings()
        rate = self.hypotheses.loss_rate
        sizes: list[tuple[float, Size]] = []
        single = routings[0] if routings[0] > 0.02 else 0.0
        for one in outcomes:
            share = single * one.weight
            sizes.append((share * (1 - rate), one.size))
            if share * rate > 0.001:
                sizes += self._lost(one, reaches, share * rate)
        if single < 1.0 and best in reaches:
            reach = reaches[best]
            upto = reach.steps[-1].depth if reach.steps else 0
            for routing, weight in zip(ROUTINGS[1:], routings[1:], strict=True):
                if weight > 0.01:
                    spread = self.hypotheses.spread(reach, routing, upto)
                    sizes += [(weight * share * (1 - rate), size) for share, size in spread]
                    sizes.append((weight * rate, Size(0.0, 0.0)))
        most = prompt.tokens + 2 * prompt.error
        found = interval(sizes, units, most)
        if self.reports:
            return found
        # Before any report the figure assumes the usual block; the interval weighs all of them.
        tokens = interval(sizes, units[:1], most).tokens
        return ForecastInterval(tokens, min(found.low, tokens), max(found.high, tokens))

    @staticmethod
    def _lost(one: Outcome, reaches: Mapping[Rendering, Reach], share: float) -> list[tuple[float, Size]]:
        """Half of what is lost is lost entirely; otherwise an older, shorter prefix is left."""
        reach = reaches[one.rendering]
        shorter = [reach.steps[at] for at in reach.groups if reach.steps[at].depth < one.depth][-3:]
        if not shorter:
            return [(share, Size(0.0, 0.0))]
        each = share * 0.5 / len(shorter)
        return [(share * 0.5, Size(0.0, 0.0)), *((each, reach.size(step.depth)) for step in shorter)]

    # -- learning --------------------------------------------------------------------------------------------------

    def record(self, sent: Sent, prediction: Prediction | None = None, *, predict: bool = True) -> None:
        """Add a request that was accepted. `prediction` saves computing it if it was made just before, thoroughly;
        without `predict` the request is only known, and its report teaches nothing."""
        if sent.run_id in self._numbers:
            self.index.add(sent)
            return
        self.prepare(sent.view)
        if predict:
            prediction = prediction or self.predict(sent.view, sent.at, thorough=True)
            prediction.compared = self.compared_with(prediction, sent.tag)
            self._pending[sent.run_id] = prediction
            if len(self._pending) > PENDING:
                del self._pending[next(iter(self._pending))]
        number = len(self._requests)
        self._requests.append(_Request(sent.run_id, sent.at))
        self._numbers[sent.run_id] = number
        for order, tree in self._trees.items():
            text = arranged(sent.view, order).text + OPENING
            for slots in (2, 4):
                self._use_slot(order, slots, number, text)
            tree.add(number, text)
            self._slots[order, 1] = [number]
        self.index.add(sent)

    def prepare(self, view: CacheView) -> None:
        """Keep one tree per order from the first request with tools on."""
        if "inside" not in self._trees and any(part.kind == "tool" for part in view.parts):
            self._add_orders()

    def _use_slot(self, order: Order, slots: int, number: int, text: str) -> None:
        held = self._slots.setdefault((order, slots), [])
        tree = self._trees[order]
        path = tree.path(text)
        shared = [(tree.shared(path, other, answers=True), at) for at, other in enumerate(held)]
        most, at = max(shared, default=(0, 0))
        if held and most >= 0.1 * len(text):
            del held[at]
        elif len(held) >= slots:
            del held[0]
        held.append(number)

    def _add_orders(self) -> None:
        for order in ORDERS:
            if order in self._trees:
                continue
            tree = self._trees[order] = MatchTree()
            for number in range(max(len(self._requests) - REBUILT, 0), len(self._requests)):
                request = self._requests[number]
                sent = self.index.get(request.run_id)
                if sent is not None:
                    text = arranged(sent.view, order).text + OPENING
                    tree.add(number, text, request.answer)
                    self._mark_exact(tree, number, request)
            for slots in (1, 2, 4):
                self._slots[order, slots] = list(self._slots.get(("first", slots), ()))
            for answers in (True, False):
                known = self._distances.get(Rendering("first", answers))
                if known:
                    self._distances[Rendering(order, answers)] = dict(known)

    def compared_with(self, prediction: Prediction, tag: str = "") -> Sent | None:
        """Return the earlier request that a prompt is compared with: one that shares most, if they are versions of
        one prompt; else a recent version. A request with a tag is only compared with those of the same tag."""
        steps, view = prediction.reach.steps, prediction.view
        best = self.request(steps[-1].newest) if steps else None
        match = self.index.match(view.text, 0.0)
        candidates = [best, match.sent if match else None, *self.index.newest_first(RECENT)]
        usable = [sent for sent in candidates if sent is not None and sent.tag in ("", tag)]
        found = self.family.first(view, usable)
        return found or next((sent for sent in usable[:2] if common_prefix(view.text, sent.text) >= SHARED_MUCH), None)

    def pending(self, run_id: str) -> Prediction | None:
        """Return what was predicted of a recorded request whose report has not come yet."""
        return self._pending.get(run_id)

    def settle(self, run_id: str, usage: Usage, *, learn: bool = True) -> Prediction | None:
        """Learn from what the server reported for a recorded request. Returns what had been predicted."""
        number = self._numbers.get(run_id)
        prediction = self._pending.pop(run_id, None)
        if number is None:
            return None
        request = self._requests[number]
        request.prompt_tokens, request.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        request.answer = answer_text(usage.message) if usage.message else ""
        if prediction is not None and learn:
            if usage.prompt_tokens is not None:
                self._learn_tokens(prediction, usage)
            if usage.cached_tokens is not None and usage.prompt_tokens is not None:
                self._learn_cache(prediction, usage.cached_tokens, usage.prompt_tokens, run_id)
        self._place(number, request, prediction, usage)
        sent = self.index.get(run_id)
        if sent is not None:
            self.index.add(replace(sent, prompt_tokens=usage.prompt_tokens, cached_tokens=usage.cached_tokens))
        return prediction

    def _place(self, number: int, request: _Request, prediction: Prediction | None, usage: Usage) -> None:
        """Add the answer and the counts to the trees, and count the traffic after each earlier request."""
        for order, tree in self._trees.items():
            ends = tree.ends(number)
            if ends is None:
                continue
            if request.answer:
                sent = self.index.get(request.run_id)
                if sent is not None:
                    tree.extend(number, arranged(sent.view, order).text + OPENING, request.answer)
            self._mark_exact(tree, number, request)
        if prediction is None:
            return
        self._mark_served(prediction, usage)
        total = float(usage.prompt_tokens or prediction.prompt.tokens)
        for key, reach in {
            (self.order_of(one), one.answers): reach for one, reach in prediction.reaches.items()
        }.items():
            added = total + (usage.completion_tokens or 0) if key[1] else total
            self._count_traffic(Rendering(*key), number, added, reach)

    def _count_traffic(self, rendering: Rendering, number: int, total: float, reach: Reach) -> None:
        known = self._distances.setdefault(rendering, {})
        groups = [(reach.steps[at].newest, reach.size(reach.steps[at].depth).tokens) for at in reach.groups]
        at, shared = 0, 0.0
        for earlier in sorted(known, reverse=True):
            # Groups are in order of falling numbers; what was used after `earlier` is no new traffic.
            while at < len(groups) and groups[at][0] > earlier:
                shared = groups[at][1]
                at += 1
            known[earlier] += max(total - shared, 0.0)
        known[number] = 0.0
        if len(known) > TRACKED:
            del known[next(iter(known))]

    @staticmethod
    def _mark_exact(tree: MatchTree, number: int, request: _Request) -> None:
        ends = tree.ends(number)
        if ends is None or request.prompt_tokens is None:
            return
        ends[0].exact_prompt = float(request.prompt_tokens)
        if request.answer and request.completion_tokens and ends[1] is not ends[0]:
            ends[1].exact = float(request.prompt_tokens + request.completion_tokens - 1)

    def _mark_served(self, prediction: Prediction, usage: Usage) -> None:
        """Remember at which depth a match ended that served so many tokens: it will again."""
        cached = usage.cached_tokens
        if not cached:
            return
        step, done = self.units.step, set()
        for one in prediction.outcomes:
            order = self.order_of(one.rendering)
            served = one.size.tokens // step * step
            if order in done or not one.depth or abs(served - cached) > step + 4 * one.size.error + 2:
                continue
            done.add(order)
            text = prediction.measures[one.rendering.order].text
            if one.depth >= len(text):
                continue
            for node, _ in self._trees[order].path(text):
                if node.depth >= one.depth:
                    node.served = {**(node.served or {}), one.depth: (cached, step)}
                    break

    def _learn_tokens(self, prediction: Prediction, usage: Usage) -> None:
        assert usage.prompt_tokens is not None
        measure = prediction.measures.get("first", prediction.measure)
        order: Order = "first" if "first" in prediction.measures else self.order_of(prediction.rendering)
        start, tokens = 0, 0.0
        for node, depth in self._trees[order].path(measure.text):
            if node.exact_prompt is not None and depth == node.depth < len(measure.text):
                start, tokens = depth, node.exact_prompt
        whole = measure.counts_upto(len(measure.text))
        before = measure.counts_upto(start)
        counts = tuple(one - other for one, other in zip(whole, before, strict=True))
        known = start == len(measure.text)
        if not known and usage.prompt_tokens > tokens and len(measure.text) - start >= 8:
            self.estimator.learn(counts, usage.prompt_tokens - tokens)
        message = usage.message
        text = message.get("content") if message else None
        if isinstance(text, str) and text and message and not message.get("tool_calls") and usage.completion_tokens:
            answered = usage.completion_tokens - usage.reasoning_tokens - 1
            self.estimator.learn(self.estimator.counts(text), answered, optional=True)

    def _learn_cache(self, prediction: Prediction, cached: int, prompt: int, run_id: str) -> None:
        self.reports += 1
        self.residuals.add(prediction.raw, cached)
        hypotheses = self.hypotheses
        reach = prediction.reach
        sent = self.index.get(run_id)
        if self._other_parameters(sent, reach):
            self.units.learn(cached)
            return
        if any(part.kind == "tool" for part in prediction.view.parts):
            hypotheses.tools_seen += 1
        best = prediction.best
        units = self.units.likely[:6]
        self._learn_unit(prediction, cached, best)
        lost = hypotheses.learn(cached, prompt, prediction.reaches, units)
        if lost > 0.5 and hypotheses.routings()[0] > 0.5 and best is not None:
            step = self.units.step
            missed = [one for one in reach.steps if reach.size(one.depth).tokens > cached + step]
            if missed:
                hypotheses.clear(missed[0].newest, 0.8)

    def _learn_unit(self, prediction: Prediction, cached: int, best: Outcome | None) -> None:
        if best is None or not best.depth:
            self.units.learn(cached)
            return
        size = best.size
        if cached and abs(cached - size.tokens) <= self.units.step + 4 * size.error + 64:
            self.units.learn(cached, size.tokens, size.error)
        elif cached:
            self.units.learn(cached)
        else:
            alive = sum(one.weight for one in prediction.outcomes if one.size.tokens >= 0.8 * size.tokens)
            single = self.hypotheses.routings()[0]
            self.units.learn(0, size.tokens, size.error, min(alive * single, 0.97))

    def _other_parameters(self, sent: Sent | None, reach: Reach) -> bool:
        """Whether the request differs from the one it matches in parameters that may matter."""
        if sent is None or sent.fields is None or not reach.steps:
            return False
        other = self.index.get(self._requests[reach.steps[-1].newest].run_id)
        if other is None or other.fields is None:
            return False
        return that_may_matter(sent.fields) != that_may_matter(other.fields)

    def take_over(self, other: EndpointCacheModel, sent: Sent) -> None:
        """Add a request of another model of the same server, learning from its report if it has one."""
        self.record(replace(sent, prompt_tokens=None, cached_tokens=None))
        number = other._numbers[sent.run_id]
        if sent.run_id in other._pending:
            return
        request = other._requests[number]
        usage = Usage(sent.prompt_tokens, sent.cached_tokens, request.completion_tokens)
        self.settle(sent.run_id, usage)
        if request.answer:
            self._answer(self._numbers[sent.run_id], request.answer)

    def _answer(self, number: int, answer: str) -> None:
        request = self._requests[number]
        request.answer = answer
        sent = self.index.get(request.run_id)
        for order, tree in self._trees.items():
            if sent is not None:
                tree.extend(number, arranged(sent.view, order).text + OPENING, answer)
            self._mark_exact(tree, number, request)

    # -- lookup ----------------------------------------------------------------------------------------------------

    def request(self, number: int) -> Sent | None:
        """Return an earlier request by its number."""
        return self.index.get(self._requests[number].run_id) if 0 <= number < len(self._requests) else None

    def answered(self, run_id: str) -> str:
        """Return the answer of a request as the next prompt would contain it; empty if unknown."""
        number = self._numbers.get(run_id)
        return "" if number is None else self._requests[number].answer

    def usage_of(self, run_id: str) -> tuple[int | None, int | None]:
        """Return the reported prompt and completion tokens of a request."""
        number = self._numbers.get(run_id)
        if number is None:
            return None, None
        return self._requests[number].prompt_tokens, self._requests[number].completion_tokens


def _limit(view: CacheView, ordered: CacheView, upto: int | None) -> int:
    """Return the first offset in an order that belongs to canonical offsets from `upto` on."""
    if upto is None:
        return len(ordered.text)
    starts = {(part.kind, part.index): part.start for part in ordered.parts}
    found = [len(ordered.text)]
    at = bisect_left(view.parts, upto, key=lambda part: part.end)
    for part in view.parts[at:]:
        if part.kind != "tool":
            start = starts.get((part.kind, part.index))
            if start is not None:
                found.append(start + max(upto - part.start, 0))
            break
    return min(found)


def _cut(steps: list[Step], limit: int) -> list[Step]:
    """Return steps that end at `limit` at most."""
    kept: list[Step] = []
    for step in steps:
        if step.depth >= limit:
            if not kept or kept[-1].depth < limit:
                kept.append(Step(limit, step.newest, step.count))
            break
        kept.append(step)
    return kept

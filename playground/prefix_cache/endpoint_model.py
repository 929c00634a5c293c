"""The cache model of one endpoint and model: the requests sent there, and the parameters learned from its reports."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.block_size import BlockSizeEstimator
from playground.prefix_cache.difference import differing, that_may_matter
from playground.prefix_cache.hypotheses import (
    IRRELEVANT,
    ROUTINGS,
    Hypotheses,
    Rendering,
    ReportOutcome,
)
from playground.prefix_cache.index import PrefixIndex, PromptFamilyMatcher, Sent
from playground.prefix_cache.kept_points import KINDS, KeptPoints
from playground.prefix_cache.match_tree import MatchNode, MatchStep, MatchTree, TreePath, counted_ends
from playground.prefix_cache.message_content import NEXT_PART
from playground.prefix_cache.prediction import CacheUsage, Prediction, Running
from playground.prefix_cache.prefix_size import (
    NEAR,
    Anchor,
    ForecastInterval,
    Measure,
    PrefixSizer,
    Residuals,
    Size,
    interval,
)
from playground.prefix_cache.proofs import CacheProofs, message_ends
from playground.prefix_cache.reach import SLOTS, Reach
from playground.prefix_cache.round_robin import COMPARED, REPLICAS, RoundRobin
from playground.prefix_cache.slots import SlotStates, use_slot
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import (
    BASE,
    MOVING_ORDERS,
    OPENING,
    ORDERS,
    SENT,
    TOOLS,
    TURN_MARK,
    TURN_ORDERS,
    TURNS,
    AnswerCuts,
    CacheView,
    FormCuts,
    Order,
    Reuse,
    ViewPart,
    answer_cuts,
    answer_in,
    answer_text,
    arranged,
    bare,
    bare_answer,
    continues_turn,
    has_text_beside_calls,
    opened,
)

PENDING = 256
"""Requests whose report may still come."""
TRACKED = 300
"""Requests for which the tokens of later traffic are counted."""
ALIKE = 32
"""Requests with the longest shared beginning that are compared in their parameters."""
EARLY, SLACK = 10, 8
"""Reports before which an interval is at least so many tokens, or a block, to each side."""
SEVERAL = 0.05
"""Probability of replicas at random from which reports are compared with replicas in turn."""
BESIDE, FADING = 1.0, 0.75
"""Reports beside the forecast from which reports are compared with replicas in turn; what is left of them after each
further report."""
POSSIBLE = 0.1
"""Probability of a block from which a report may be whole blocks of it."""
SETTLED = 4
"""Reports in a row inside the interval from which it is not widened for what is not known yet."""
SMALL_BLOCK = 64
"""Tokens: reports in larger blocks tell little about a text's size."""
REBUILT = 2_000
"""Maximum number of requests that are reordered when the first tools are sent."""
GLANCED = 4
"""Renderings that a forecast while typing weighs at most."""
MISJUDGED = 0.2
"""Of the tokens of a prefix: by how much its estimate is wrong at most, once the prompt's tokens are counted."""
ANCHORS = 48
MAX_ANSWER_CHARS = 8_000_000
"""Code points of answers in memory. A long run of large answers took 45 KB per request without a bound."""
RECENT = 8
"""Number of newest requests that are compared with a prompt as possible versions of it."""
SOON_S = 120.0
"""Seconds after which a whole prompt that is not served says nothing about its size: it may be forgotten."""
SHARED_MUCH = 200
"""Code points from which another prompt with the same beginning is worth a comparison."""


class _Request(Struct):
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
        self.proofs = CacheProofs()
        self.round_robin = RoundRobin()
        self.kept_points = KeptPoints()
        self.family = PromptFamilyMatcher()
        self._beside = 0.0
        """Number of recent reports that were not within a block of the forecast, see `FADING`."""
        self.since: float | None = None
        """Unix seconds before which the cache cannot know anything; None if unknown."""
        self.reports = 0
        self._cuts: dict[int, AnswerCuts] = {}
        self._bare_cuts: dict[int, AnswerCuts] = {}
        self._late_cuts: dict[int, AnswerCuts] = {}
        """Of the requests whose answers have tool calls, see `FormCuts`."""
        self._trees: dict[Order, MatchTree] = {order: MatchTree(self._cuts) for order in ("first", "system_last")}
        self._requests: list[_Request] = []
        self._numbers: dict[str, int] = {}
        self._answered: deque[int] = deque()
        """Numbers of the requests whose answers are in memory, oldest first."""
        self._answer_chars = 0
        self._distances: dict[tuple[Order, bool], dict[int, float]] = {}
        """By order, and whether answers are cached."""
        self._slots: dict[tuple[Order, int], list[int]] = {}
        self._states: dict[Order, SlotStates] = {}
        self._pending: dict[str, Prediction] = {}
        self._anchors: OrderedDict[tuple[int, Order], tuple[Measure, int]] = OrderedDict()
        self._measured: dict[Order, Measure] = {}
        """The measure of the newest prediction in each order."""

    def order_of(self, rendering: Rendering) -> Order:
        """Return the order whose tree a rendering uses: without tools most orders are the same."""
        order = rendering.order
        if order in self._trees:
            return order
        if order in BASE:
            bare_inside = BASE[order] in TURNS and "inside/bare" in self._trees
            return "inside/bare" if bare_inside else self.order_of(Rendering(BASE[order], rendering.reuse))
        return "inside" if order in TURNS and "inside" in self._trees else "first"

    # -- before sending --------------------------------------------------------------------------------------------

    def predict(self, view: CacheView, now: float, *, thorough: bool = False) -> Prediction:
        """Return what the cache may serve of a prompt. `thorough`: all renderings, as learning needs them."""
        weights = self.hypotheses.weights
        best = self.hypotheses.rendering
        chosen = [one for one in weights if weights[one] >= IRRELEVANT] if thorough else self._glanced(weights)
        measures: dict[Order, Measure] = {}
        paths: dict[Order, TreePath] = {}
        sizers: dict[tuple[Order, bool], PrefixSizer] = {}
        made: dict[tuple[Order, bool], list[Reach]] = {}
        reaches: dict[Rendering, Reach] = {}
        for rendering in chosen:
            order = self.order_of(rendering)
            if order not in measures:
                measures[order] = self._measure(view, order)
                paths[order] = TreePath(self._trees[order], measures[order].text)
            key = order, rendering.answers
            if key not in sizers:
                sizers[key] = self._sizer(measures[order], paths[order].nodes, order, answers=rendering.answers)
            found = self._reach(paths[order], order, rendering, sizers[key], now, made.setdefault(key, []))
            if not found.ends:
                found.ends = message_ends(measures[order].view)
                found.counted = counted_ends(paths[order].nodes)
            reaches[rendering] = found
            measures.setdefault(rendering.order, measures[order])
        prompt = reaches[best].size(len(measures[best.order].text))
        prompt = Size(prompt.tokens, prompt.error if prompt.error > 0.7 else 0.0)
        return self._predicted(now, view, measures, reaches, prompt, best, thorough=thorough)

    @staticmethod
    def _glanced(weights: Mapping[Rendering, float]) -> list[Rendering]:
        """Return the renderings that a forecast while typing weighs: those of few orders, each with all its reuse."""
        groups: dict[tuple[Order, bool], float] = {}
        for one, weight in weights.items():
            groups[one.order, one.answers] = groups.get((one.order, one.answers), 0.0) + weight
        kept = sorted((key for key in groups if groups[key] >= 0.02), key=lambda key: -groups[key])[:GLANCED]
        chosen = [one for one in weights if (one.order, one.answers) in kept and weights[one] >= 0.02]
        best = max(weights, key=lambda one: weights[one])
        return chosen if best in chosen else [best, *chosen]

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
        outcomes = self.hypotheses.outcomes(reaches, least=0.002 if thorough else 0.01)
        raw = self._interval(outcomes, reaches, prompt, best)
        below, above = (self.residuals.below, self.residuals.above) if self.reports else (0.0, 0.0)
        if 0 < self.reports < EARLY and self.residuals.streak < SETTLED and outcomes and raw.tokens:
            # What the template adds around messages is not known yet.
            slack = float(min(max(self.units.step, SLACK), SMALL_BLOCK))
            below, above = max(below, slack), max(above, slack)
        widened = self.residuals.narrowed(raw).widened(below, above, max(prompt.tokens, 0.0))
        return Prediction(now, view, measures, reaches, prompt, outcomes, raw, widened, best)

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
        return self._predicted(
            prediction.now,
            prediction.view,
            prediction.measures,
            reaches,
            prediction.prompt,
            prediction.rendering,
            thorough=False,
        )

    def _measure(self, view: CacheView, order: Order) -> Measure:
        ordered = arranged(view, order)
        if not ordered.parts:
            return Measure(ordered, self.estimator)
        end, text = len(ordered.text), ordered.text + OPENING
        whole = CacheView(text, (*ordered.parts, ViewPart("role", -1, end, len(text))))
        made = self._measured[order] = Measure(whole, self.estimator, self._measured.get(order))
        return made

    def _sizer(
        self, measure: Measure, path: list[tuple[MatchNode, int]], order: Order, *, answers: bool
    ) -> PrefixSizer:
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
                answer = answer_in(order, request.answer)
                parts = (*measure.view.parts, ViewPart("content", -1, depth, depth + len(answer)))
                measure = Measure(CacheView(measure.text + answer, parts), self.estimator, measure)
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
        path: TreePath,
        order: Order,
        rendering: Rendering,
        sizer: PrefixSizer,
        now: float,
        made: list[Reach],
    ) -> Reach:
        """Return the reach of a rendering: one of `made` with the same order, if it is the same."""
        tree = path.tree
        steps = tree.steps(path.nodes, rendering.reuse)
        if self.round_robin.replicas:
            steps = self._steps_in_turn(path, self.round_robin.replicas, rendering.reuse)
        since = self.since
        if since is not None:
            alive = next((at for at, step in enumerate(steps) if self._requests[step.newest].at < since), len(steps))
            steps = steps[:alive]
        slots = {}
        for count in SLOTS:
            held = self._slots.get((order, count), [])
            if not count:
                held = self._states.get(order, SlotStates()).held(tree, path.shared, sizer.length)[:1]
            known_by = (number for number in held if self._knows(number))
            slots[count] = max((tree.reused(path.shared(one), one, rendering.reuse) for one in known_by), default=0)
        same = next((one for one in made if one.steps == steps and one.slots == slots), None)
        if same is not None:
            return same
        ages = [max(now - self._requests[step.newest].at, 0.0) for step in steps]
        known = self._distances.get((order, rendering.answers), {})
        last = len(self._requests) - TRACKED
        distances = [known.get(step.newest, 0.0 if step.newest >= last else 1e12) for step in steps]
        groups = [at for at, step in enumerate(steps) if at + 1 == len(steps) or steps[at + 1].newest != step.newest]
        found = Reach(steps, sizer.size, ages, distances, slots, groups)
        made.append(found)
        return found

    def _steps_in_turn(self, path: TreePath, replicas: int, reuse: Reuse) -> list[MatchStep]:
        """Return what the next request shares with those that went to its replica, the shortest prefix first."""
        found: list[MatchStep] = []
        last = len(self._requests) - replicas
        for number in range(last, max(last - COMPARED * replicas, -1), -replicas):
            depth = path.tree.reused(path.shared(number), number, reuse)
            if depth > (found[-1].depth if found else 0):
                found.append(MatchStep(depth, number, 1))
        return found

    def _knows(self, number: int) -> bool:
        return self.since is None or self._requests[number].at >= self.since

    def _interval(
        self, outcomes: list[ReportOutcome], reaches: Mapping[Rendering, Reach], prompt: Size, best: Rendering
    ) -> ForecastInterval:
        units = self.units.likely[:6]
        routings = self.hypotheses.routings()
        rate = self.hypotheses.loss_rate
        sizes: list[tuple[float, Size]] = []
        single = routings[0] if routings[0] > 0.02 else 0.0
        kind = self.kept_points.kind
        for one in outcomes:
            share = single * one.weight
            kept = one.size if kind is None else reaches[one.rendering].kept(kind, one.depth)
            sizes.append((share * (1 - rate), kept if kept.tokens < one.size.tokens else one.size))
            if share * rate > 0.003:
                sizes += self._lost(one, reaches, share * rate)
        if single < 1.0 and best in reaches:
            reach = reaches[best]
            upto = reach.steps[-1].depth if reach.steps else 0
            for routing, weight in zip(ROUTINGS[1:], routings[1:], strict=True):
                if weight > 0.02:
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
    def _lost(one: ReportOutcome, reaches: Mapping[Rendering, Reach], share: float) -> list[tuple[float, Size]]:
        """Return the outcomes of an eviction: half the time nothing is left, otherwise an older, shorter prefix."""
        reach = reaches[one.rendering]
        shorter = [reach.steps[at] for at in reach.groups if reach.steps[at].depth < one.depth][-3:]
        if not shorter:
            return [(share, Size(0.0, 0.0))]
        each = share * 0.5 / len(shorter)
        return [(share * 0.5, Size(0.0, 0.0)), *((each, reach.size(step.depth)) for step in shorter)]

    # -- learning --------------------------------------------------------------------------------------------------

    def record(self, sent: Sent, prediction: Prediction | None = None, *, predict: bool = True) -> None:
        """Add a request that was accepted. `prediction` is a full prediction made just before, if there is one;
        without `predict` the request is stored, and its report changes no parameter."""
        if sent.run_id in self._numbers:
            self.index.add(sent)
            return
        self.prepare(sent.view)
        if predict:
            prediction = prediction or self.predict(sent.view, sent.at, thorough=True)
            prediction.compared = self.compared_with(prediction, sent.tag)
            prediction.beside = self.running_beside(sent.text)
            self._pending[sent.run_id] = prediction
            if len(self._pending) > PENDING:
                del self._pending[next(iter(self._pending))]
        number = len(self._requests)
        several = self.round_robin.replicas or self.hypotheses.at_random >= SEVERAL or self._beside >= BESIDE
        if prediction is not None and several:
            prediction.in_turn = self._in_turn(sent.view, prediction)
        self._requests.append(_Request(sent.run_id, sent.at))
        self._numbers[sent.run_id] = number
        for order, tree in self._trees.items():
            text = opened(sent.view, order)
            path = TreePath(tree, text)
            for slots in (2, 4):
                use_slot(self._slots.setdefault((order, slots), []), slots, number, path)
            self._states.setdefault(order, SlotStates()).take(tree, path.shared, path.length, number)
            tree.add(number, text)
            self._slots[order, 1] = [number]
        self.index.add(sent)

    def running_beside(self, text: str) -> Running | None:
        """Return how much a prompt shares with requests that are still running, and with those that have ended: the
        server may not have stored the former when this prompt arrives. None: nothing with running ones."""
        running = max((common_prefix(text, one.view.text) for one in self._pending.values()), default=0)
        if not running:
            return None
        matches = self.index.best(text, len(self._pending) + 1)
        ended = next((match for match in matches if match.sent.run_id not in self._pending), None)
        return Running(running) if ended is None else Running(running, ended.length, ended.sent.at)

    def _in_turn(self, view: CacheView, prediction: Prediction) -> dict[int, tuple[int, int]]:
        rendering = prediction.plain
        if rendering is None:
            return {}
        order = self.order_of(rendering)
        path = TreePath(self._trees[order], opened(view, order))
        reuses: tuple[Reuse, Reuse] = ("all", "none")
        prompts = path.tree.steps(path.nodes, "none")
        found = {1: (path.nodes[-1][1], prompts[-1].depth if prompts else 0)}
        for replicas in REPLICAS:
            steps = [self._steps_in_turn(path, replicas, reuse) for reuse in reuses]
            whole, prompt = (one[-1].depth if one else 0 for one in steps)
            found[replicas] = whole, prompt
        return found

    def prepare(self, view: CacheView) -> None:
        """Keep one tree per order from the first request with tools on, and one with the marks of the last turn from
        the first one in which the assistant's messages follow the last user message."""
        if "inside" not in self._trees and any(part.kind == "tool" for part in view.parts):
            self._add_orders(tuple(order for order in ORDERS if order not in TURNS), "first")
        if "last_turn" not in self._trees and continues_turn(view):
            self._add_turn("last_turn")
        if "last_calls" not in self._trees and has_text_beside_calls(view):
            self._add_turn("last_calls")
        if not any(order in self._trees for order in SENT) and self._bare_matters(view):
            for order in self.hypotheses.add_bare():
                self._add_orders((order,), self.order_of(Rendering(BASE[order], "all")))
        self._read_answer(view)

    def _read_answer(self, view: CacheView) -> None:
        """Take an answer of which only the tokens are recorded from the prompt that continues it."""
        match = self.index.match(view.text, 0.0)
        if match is None or match.length < len(match.sent.text) or match.sent.run_id in self._pending:
            return
        number, end = self._numbers.get(match.sent.run_id), match.length + len(OPENING)
        if number is None or not view.text.startswith(OPENING, match.length):
            return
        request = self._requests[number]
        at = bisect_left(view.parts, end, key=lambda part: part.start)
        whole = at + 1 < len(view.parts) and view.parts[at].kind == "content" and view.parts[at + 1].kind == "role"
        if request.answer or not request.completion_tokens or not whole:
            return
        answer = view.text[end : view.parts[at].end - 1]
        tokens = self.estimator.estimate(answer)
        if abs(tokens - request.completion_tokens) <= MISJUDGED * request.completion_tokens + SLACK:
            self._answer(number, answer, None)

    def _add_turn(self, turn: Order) -> None:
        bare_kept = any(order in self._trees for order in SENT)
        for order in self.hypotheses.add_turn(turn):
            if order == turn or bare_kept:
                self._add_orders((order,), self.order_of(Rendering(order, "all")))

    def _bare_matters(self, view: CacheView) -> bool:
        """Return whether a prompt differs from the earlier one that shares most first in what some templates leave out
        or write in one spelling."""
        match = self.index.match(view.text, 0.0)
        if match is None:
            return False
        earlier, answer = match.sent.view, self.answered(match.sent.run_id)
        sequence = earlier.text + OPENING + answer
        shared = common_prefix(view.text, sequence)
        if shared >= min(len(view.text), len(sequence)):
            return False
        here, there = view.locate(shared), earlier.locate(shared) if shared < len(earlier.text) else None
        generated = shared >= len(earlier.text) and bare_answer(answer) != answer
        if here is None or not (
            generated or _may_be_left_out(view, here[0]) or (there and _may_be_left_out(earlier, there[0]))
        ):
            return False
        mine = bare(view)
        theirs = bare(earlier).text + OPENING + bare_answer(answer)
        same = common_prefix(mine.text, theirs)
        beyond = mine.locate(same)
        # It matters if both go on alike behind the part, in the next message at least.
        return same >= min(len(mine.text), len(theirs)) or (beyond is not None and beyond[0].index > here[0].index)

    def _add_orders(self, orders: Sequence[Order], like: Order) -> None:
        """Keep trees of further orders; until now they were the same as `like`."""
        for order in orders:
            if order in self._trees:
                continue
            tree = self._trees[order] = MatchTree(self._cuts_in(order), len(TURN_MARK) if order in TURN_ORDERS else 0)
            for number in range(max(len(self._requests) - REBUILT, 0), len(self._requests)):
                request = self._requests[number]
                sent = self.index.get(request.run_id)
                if sent is not None:
                    tree.add(number, opened(sent.view, order), answer_in(order, request.answer))
                    self._mark_exact(tree, number, request)
            for slots in (1, 2, 4):
                self._slots[order, slots] = list(self._slots.get((like, slots), ()))
            self._states[order] = replace(self._states.get(like, SlotStates()))
            for answers in (True, False):
                known = self._distances.get((like, answers))
                if known:
                    self._distances[order, answers] = dict(known)

    def compared_with(self, prediction: Prediction, tag: str = "") -> Sent | None:
        """Return the earlier request that a prompt is compared with: one that shares most, if they are versions of
        one prompt; else a recent version. A request with a tag is only compared with those of the same tag."""
        steps, view = prediction.reach.steps, prediction.view
        best = self.request(steps[-1].newest) if steps else None
        match = self.index.match(view.text, 0.0)
        likely = [best, match.sent if match else None]
        order = prediction.rendering.order
        if self.round_robin.replicas or TOOLS.get(order, order) in MOVING_ORDERS:
            # What such an order makes the same is not the same text; what another replica has is.
            likely.reverse()
        candidates = [*likely, *self.index.newest_first(RECENT)]
        usable = [sent for sent in candidates if sent is not None and sent.tag in ("", tag)]
        found = self.family.first(view, usable)
        return found or next((sent for sent in usable[:2] if common_prefix(view.text, sent.text) >= SHARED_MUCH), None)

    def pending(self, run_id: str) -> Prediction | None:
        """Return the prediction for a recorded request without a report."""
        return self._pending.get(run_id)

    def settle(self, run_id: str, usage: CacheUsage, *, learn: bool = True) -> Prediction | None:
        """Learn from the report for a recorded request. Returns its prediction."""
        number = self._numbers.get(run_id)
        prediction = self._pending.pop(run_id, None)
        if number is None:
            return None
        request = self._requests[number]
        request.prompt_tokens, request.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        self._keep_answer(number, answer_text(usage.message) if usage.message else "")
        cuts = answer_cuts(usage.message) if usage.message else None
        if cuts is not None:
            self._cut(number, cuts)
        if prediction is not None and learn and usage.prompt_tokens is not None:
            self._learn_tokens(prediction, usage)
            cached = usage.cached_tokens
            if cached is not None and not self._may_be_too_early(prediction, cached):
                self._prove_shared(prediction, run_id, cached)
                self._learn_cache(prediction, cached, usage.prompt_tokens, run_id)
        self._place(number, request, prediction, usage)
        self.index.count(run_id, usage.prompt_tokens, usage.cached_tokens)
        return prediction

    def _may_be_too_early(self, prediction: Prediction, cached: int) -> bool:
        """Return whether the prefix may not have been stored when the request arrived: such a report is no evidence of
        replicas, room or lifetime."""
        return prediction.ended_chars is not None and cached < prediction.interval.tokens - self.units.step

    def _place(self, number: int, request: _Request, prediction: Prediction | None, usage: CacheUsage) -> None:
        """Add the answer and the counts to the trees, and count the traffic after each earlier request."""
        for order, tree in self._trees.items():
            if tree.ends(number) is None:
                continue
            if request.answer:
                tree.extend(number, answer_in(order, request.answer))
            self._mark_exact(tree, number, request)
        if prediction is None:
            return
        self._mark_served(prediction, usage)
        total = float(usage.prompt_tokens or prediction.prompt.tokens)
        weights = self.hypotheses.weights
        by_weight = sorted(prediction.reaches, key=lambda one: weights[one])
        for key, reach in {(self.order_of(one), one.answers): prediction.reaches[one] for one in by_weight}.items():
            added = total + (usage.completion_tokens or 0) if key[1] else total
            self._count_traffic(key, number, added, reach)

    def _count_traffic(self, key: tuple[Order, bool], number: int, total: float, reach: Reach) -> None:
        known = self._distances.setdefault(key, {})
        groups = [(reach.steps[at].newest, reach.size(reach.steps[at].depth).tokens) for at in reach.groups]
        numbers, shared = sorted(known), 0.0
        end = len(numbers)
        # Groups are in order of falling numbers; prefixes used after a request are no new traffic.
        for newest, tokens in (*groups, (-1, 0.0)):
            start = min(bisect_left(numbers, newest), end)
            added = max(total - shared, 0.0)
            for earlier in numbers[start:end]:
                known[earlier] += added
            end, shared = start, tokens
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

    def _mark_served(self, prediction: Prediction, usage: CacheUsage) -> None:
        """Remember at which depth a match ended that served so many tokens: it will again."""
        cached = usage.cached_tokens
        if not cached:
            return
        step, done = self.units.step, set()
        scale = (usage.prompt_tokens or 0.0) / max(prediction.prompt.tokens, 1.0)
        for one in prediction.outcomes:
            order = self.order_of(one.rendering)
            served = one.size.tokens // step * step
            if order in done or not one.depth or abs(served - cached) > step + 4 * one.size.error + 2:
                continue
            if usage.prompt_tokens and abs(one.size.tokens * scale - cached) > step + MISJUDGED * min(
                one.size.tokens * scale, cached
            ):
                continue  # the counted prompt shows that the report ended elsewhere
            done.add(order)
            measure = prediction.measures[one.rendering.order]
            text = measure.text
            if one.depth >= len(text):
                continue
            if one.rendering == prediction.rendering and step <= SMALL_BLOCK:
                self._learn_prefix(order, measure, one.depth, cached + step / 2, step * step / 12 + 1.0)
            for node, _ in self._trees[order].path(text):
                if node.depth >= one.depth:
                    node.served = {**(node.served or {}), one.depth: (cached, step)}
                    break

    def _learn_prefix(self, order: Order, measure: Measure, depth: int, tokens: float, noise: float) -> None:
        """Learn from where a match ended: only this tells template text before the tools from text after them."""
        start, known = 0, 0.0
        for node, shared in self._trees[order].path(measure.text):
            if node.exact_prompt is not None and shared == node.depth <= depth:
                start, known = shared, node.exact_prompt
        if depth - start < 8 or tokens - known < 4:
            return
        whole, before = measure.counts_upto(depth), measure.counts_upto(start)
        counts = tuple(one - other for one, other in zip(whole, before, strict=True))
        self.estimator.learn(counts, tokens - known, noise=noise)

    def _learn_tokens(self, prediction: Prediction, usage: CacheUsage) -> None:
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
        self._prove(prediction, cached)
        plain = prediction.plain
        step = self.units.step
        beside = abs(cached - prediction.interval.tokens) > max(step, NEAR)
        self._beside = FADING * self._beside + beside
        if prediction.in_turn and plain is not None:
            blocks = (unit.block for unit in units if unit.weight >= POSSIBLE and not cached % unit.block)
            block = max(blocks, default=step)
            self.round_robin.add(cached, prediction.in_turn, prediction.reaches[plain].size, block)
            hypotheses.assume_round_robin(self.round_robin.replicas)
        if reach.steps:
            depth = reach.steps[-1].depth
            points = {kind: reach.kept(kind, depth) for kind in KINDS}
            self.kept_points.add(cached, points, reach.size(depth), step)
        self._learn_unit(prediction, cached, best)
        lost = hypotheses.learn(cached, prompt, prediction.reaches, units)
        if lost > 0.5 and hypotheses.routings()[0] > 0.5 and best is not None:
            missed = [one for one in reach.steps if reach.size(one.depth).tokens > cached + step]
            if missed:
                hypotheses.clear(missed[0].newest, 0.8)

    def _prove(self, prediction: Prediction, cached: int) -> None:
        self.proofs.add_served(prediction.reach, cached, self.units.step, prediction.now)
        self.proofs.add_ended(prediction.reach, prediction.measure.view, cached, self.units.step, self.units.figures)
        compared = prediction.compared
        tokens = None if compared is None else self.usage_of(compared.run_id)[0]
        if compared is None or not tokens or not prediction.view.text.startswith(compared.text):
            return
        self.proofs.add_continued(tokens, cached, self.units.step, self.units.figures)
        if prediction.now - compared.at <= SOON_S:
            self.proofs.add_whole(tokens, cached)

    def _learn_unit(self, prediction: Prediction, cached: int, best: ReportOutcome | None) -> None:
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

    def _prove_shared(self, prediction: Prediction, run_id: str, cached: int) -> None:
        """Learn which parameters do not keep prompts apart: more was served than requests with the same ones share."""
        sent, compared = self.index.get(run_id), prediction.compared
        if sent is None or compared is None or sent.fields is None or compared.fields is None:
            return
        mine = that_may_matter(sent.fields)
        names = differing(mine, that_may_matter(compared.fields))
        if not names or self.proofs.shared.issuperset(names):
            return
        same = [
            match.length
            for match in self.index.best(sent.text, ALIKE)
            if match.sent.run_id != run_id and that_may_matter(match.sent.fields or {}) == mine
        ]
        size = prediction.reach.size(max(same, default=0))
        if cached > size.tokens + 3 * size.error + 2 * self.units.step:
            self.proofs.shared.update(names)

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
        usage = CacheUsage(sent.prompt_tokens, sent.cached_tokens, request.completion_tokens)
        self.settle(sent.run_id, usage)
        if request.answer:
            of_number = (known.get(number) for known in (other._cuts, other._bare_cuts, other._late_cuts))
            sent_cuts, bare_cuts, late_cuts = of_number
            cuts = FormCuts(sent_cuts, bare_cuts, late_cuts) if sent_cuts and bare_cuts and late_cuts else None
            self._answer(self._numbers[sent.run_id], request.answer, cuts)

    def _cuts_in(self, order: Order) -> dict[int, AnswerCuts]:
        if order not in BASE:
            return self._cuts
        return self._bare_cuts if order in SENT else self._late_cuts

    def _cut(self, number: int, cuts: FormCuts) -> None:
        if not self._cuts:
            self.hypotheses.add_tool_calls()
        self._cuts[number], self._bare_cuts[number], self._late_cuts[number] = cuts

    def _answer(self, number: int, answer: str, cuts: FormCuts | None) -> None:
        request = self._requests[number]
        self._keep_answer(number, answer)
        if cuts is not None:
            self._cut(number, cuts)
        for order, tree in self._trees.items():
            tree.extend(number, answer_in(order, answer))
            self._mark_exact(tree, number, request)

    def _keep_answer(self, number: int, answer: str) -> None:
        """Set a request's answer; the oldest answers go when there is too much text."""
        request = self._requests[number]
        self._answer_chars += len(answer) - len(request.answer)
        request.answer = answer
        if answer:
            self._answered.append(number)
        while self._answer_chars > MAX_ANSWER_CHARS and len(self._answered) > 1:
            oldest = self._requests[self._answered.popleft()]
            self._answer_chars -= len(oldest.answer)
            oldest.answer = ""

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


def _may_be_left_out(view: CacheView, part: ViewPart) -> bool:
    """Return whether some templates leave out a part or write it in one spelling."""
    return part.kind in ("tool_calls", "tool_call_id", "extra", "reasoning") or (
        part.kind == "content" and NEXT_PART in view.text[part.start : part.end]
    )


def _limit(view: CacheView, ordered: CacheView, upto: int) -> int:
    """Return the first offset in an order that belongs to canonical offsets from `upto` on."""
    starts = {(part.kind, part.index): part.start for part in ordered.parts}
    found = [len(ordered.text)]
    at = bisect_left(view.parts, upto, key=lambda part: part.end)
    for part in view.parts[at:]:
        if part.kind != "tool":
            start = starts.get((part.kind, part.index))
            if start is None:
                continue
            found.append(start + max(upto - part.start, 0))
            break
    return min(found)

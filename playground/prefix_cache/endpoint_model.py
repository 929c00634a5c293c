"""The cache model of one endpoint and model: records requests with their predictions, and learns when their reports
come."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from msgspec.structs import replace

from playground.prefix_cache.difference import unrelated
from playground.prefix_cache.forecast import CacheUsage, Prediction, Running
from playground.prefix_cache.hypotheses import Rendering
from playground.prefix_cache.index import PrefixIndex, PromptFamilyMatcher, Sent
from playground.prefix_cache.learned_state import LearnedParameters
from playground.prefix_cache.match_tree import MatchStep
from playground.prefix_cache.message_content import NEXT_PART
from playground.prefix_cache.predictor import SLACK, Predictor
from playground.prefix_cache.prefix_size import MISJUDGED
from playground.prefix_cache.report_learner import ReportLearner
from playground.prefix_cache.sent_requests import SentRequests
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import (
    BASE,
    CLEARED,
    LATER,
    MOVING_ORDERS,
    OPENING,
    ORDERS,
    SENT,
    TOOLS,
    CacheView,
    FormCuts,
    Order,
    ViewPart,
    answer_cuts,
    answer_text,
    arranged,
    bare,
    bare_answer,
    reasoned_before,
    results,
    text_beside_calls,
    turn_roles,
)

PENDING = 256
"""Requests whose report may still come."""
RECENT = 8
"""Number of newest requests that are compared with a prompt as possible versions of it."""
SHARED_MUCH = 200
"""Code points from which another prompt with the same beginning is worth a comparison."""
SHARED_MORE = 12
"""Code points that another prompt shares more than a version, from which what differs in the version is not new."""


class EndpointCacheModel:
    """One endpoint and model. `assumed_s`: the lifetime that is assumed before reports tell."""

    def __init__(self, assumed_s: float) -> None:
        self.index = PrefixIndex()
        self.family = PromptFamilyMatcher()
        self.learned = LearnedParameters(assumed_s)
        self.requests = SentRequests(self.index)
        self.predictor = Predictor(self.requests, self.learned)
        self._learner = ReportLearner(self.requests, self.learned)
        self._pending: dict[str, Prediction] = {}
        """Of the requests without a report, by run id."""

    def record(self, sent: Sent, prediction: Prediction | None = None, *, predict: bool = True) -> None:
        """Add a request that was accepted. `prediction` is a full prediction made just before, if there is one;
        without `predict` the request is stored, and its report changes no parameter."""
        if sent.run_id in self.requests.numbers:
            self.index.add(sent)
            return
        self.prepare(sent.view)
        if predict:
            prediction = prediction or self.predictor.predict(sent.view, sent.at, sent.fields, thorough=True)
            prediction.compared = self.compared_with(prediction, sent.tag)
            prediction.running = self.running_with(sent.text)
            self._pending[sent.run_id] = prediction
            if len(self._pending) > PENDING:
                oldest = next(iter(self._pending))
                del self._pending[oldest]
                self.requests.running.discard(self.requests.numbers[oldest])
        if prediction is not None and self.learned.several_possible:
            prediction.shared_in_turn = self.predictor.shared_in_turn(sent.view, prediction)
        self.requests.add(sent)
        if prediction is not None:
            number = self.requests.numbers[sent.run_id]
            self.requests.running.add(number)
            self.requests[number].early = prediction.in_flight is not None

    def prepare(self, view: CacheView) -> None:
        """Keep one tree per order from the first request with tools on, and one with the marks of the last turn from
        the first one in which the assistant's messages follow the last user message."""
        if "inside" not in self.requests.trees and any(part.kind == "tool" for part in view.parts):
            self.requests.add_orders(tuple(order for order in ORDERS if order not in LATER), "first")
        if "last_turn" not in self.requests.trees and turn_roles(view):
            self._add_turn("last_turn")
        if "last_calls" not in self.requests.trees and text_beside_calls(view):
            self._add_turn("last_calls")
        count = len(results(view))
        for order, kept in CLEARED.items():
            same = LATER[order] == "first" and "inside" not in self.requests.trees
            if count > kept and not same and order not in self.requests.trees:
                self._add_turn(order)
        if not any(order in self.requests.trees for order in SENT) and (
            (differs := self._bare_matters(view)) or reasoned_before(view)
        ):
            for order in self.learned.hypotheses.add_bare(differs=differs):
                self.requests.add_orders((order,), self.requests.order_of(Rendering(BASE[order], "all")))
        self._read_answer(view)

    def _read_answer(self, view: CacheView) -> None:
        """Take an answer of which only the tokens are recorded from the prompt that continues it."""
        match = self.index.match(view.text, 0.0)
        if match is None or match.length < len(match.sent.text) or match.sent.run_id in self._pending:
            return
        number, end = self.requests.numbers.get(match.sent.run_id), match.length + len(OPENING)
        if number is None or not view.text.startswith(OPENING, match.length):
            return
        request = self.requests[number]
        at = bisect_left(view.parts, end, key=attrgetter("start"))
        whole = at + 1 < len(view.parts) and view.parts[at].kind == "content" and view.parts[at + 1].kind == "role"
        if request.answer or not request.completion_tokens or not whole:
            return
        answer = view.text[end : view.parts[at].end - 1]
        tokens = self.learned.estimator.estimate(answer)
        if abs(tokens - request.completion_tokens) <= MISJUDGED * request.completion_tokens + SLACK:
            self._answer(number, answer, None)

    def _add_turn(self, turn: Order) -> None:
        bare_kept = any(order in self.requests.trees for order in SENT)
        for order in self.learned.hypotheses.add_turn(turn):
            if order == turn or bare_kept:
                self.requests.add_orders((order,), self.requests.order_of(Rendering(order, "all")))

    def _bare_matters(self, view: CacheView) -> bool:
        """Return whether a prompt differs from the earlier one that shares most first in what some templates leave out
        or write in one spelling."""
        match = self.index.match(view.text, 0.0)
        if match is None:
            return False
        earlier, answer = match.sent.view, self.requests.answer_of(match.sent.run_id)
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

    def running_with(self, text: str) -> Running | None:
        """Return how much a prompt shares with requests that are still running, and with those that have ended: the
        server may not have stored the former when this prompt arrives. None: nothing with running ones."""
        running = max((common_prefix(text, one.view.text) for one in self._pending.values()), default=0)
        if not running:
            return None
        matches = self.index.best(text, len(self._pending) + 1)
        ended = next((match for match in matches if match.sent.run_id not in self._pending), None)
        return Running(running) if ended is None else Running(running, ended.length, ended.sent.at)

    def _best_of(self, steps: Sequence[MatchStep]) -> Sent | None:
        """Return the earlier request that shares most; one that continues it, and shares a few characters less, if the
        rest may agree by chance, as the beginning of an id."""
        best = self.requests.sent(steps[-1].newest) if steps else None
        near = (self.requests.sent(one.newest) for one in steps if one.depth > steps[-1].depth - SHARED_MORE)
        later = (one for one in near if one and best and len(one.text) > len(best.text))
        return next((one for one in later if best and one.at > best.at and one.text.startswith(best.text)), best)

    def compared_with(self, prediction: Prediction, tag: str = "") -> Sent | None:
        """Return the earlier request that a prompt is compared with: one that shares most, if they are versions of
        one prompt; else a recent version. A request with another tag is only compared if it shares most."""
        steps, view = prediction.reach.steps, prediction.view
        best = self._best_of(steps)
        match = self.index.match(view.text, 0.0)
        likely, order = [best, match.sent if match else None], prediction.rendering.order
        if self.learned.round_robin.replicas or TOOLS.get(order, order) in MOVING_ORDERS:
            # What such an order makes the same is not the same text; what another replica has is.
            likely.reverse()
            order = "first"
        candidates = [*likely, *self.index.newest_first(RECENT)]
        most_shared = {sent.run_id for sent in likely if sent}
        usable = [sent for sent in candidates if sent and (sent.tag in ("", tag) or sent.run_id in most_shared)]
        version = self.family.first(view, usable)
        if not usable or usable[0] is version or (version and unrelated(view, usable[0].view)):
            return version
        mine = arranged(view, order).text
        most, less = (common_prefix(mine, arranged(one.view, order).text) if one else 0 for one in (usable[0], version))
        return usable[0] if most >= (SHARED_MUCH if version is None else less + SHARED_MORE) else version

    def pending(self, run_id: str) -> Prediction | None:
        """Return the prediction for a recorded request without a report."""
        return self._pending.get(run_id)

    def settle(
        self, run_id: str, usage: CacheUsage, *, learn: bool = True, ended: float | None = None
    ) -> Prediction | None:
        """Learn from the report for a recorded request, which `ended` at that time. Returns its prediction."""
        number = self.requests.numbers.get(run_id)
        prediction = self._pending.pop(run_id, None)
        if number is None:
            return None
        request = self.requests[number]
        self.requests.running.discard(number)
        request.ended = ended
        request.prompt_tokens, request.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        self.requests.keep_answer(number, answer_text(usage.message) if usage.message else "")
        cuts = answer_cuts(usage.message) if usage.message else None
        if cuts is not None:
            self._cut(number, cuts)
        if prediction is not None and learn:
            self._learner.learn(prediction, usage, run_id)
        self.requests.extend(number, request.answer)
        if prediction is not None:
            self._learner.mark_served(prediction, usage)
            self._count_traffic(number, prediction, usage)
        self.index.count(run_id, usage.prompt_tokens, usage.cached_tokens)
        return prediction

    def _count_traffic(self, number: int, prediction: Prediction, usage: CacheUsage) -> None:
        total = float(usage.prompt_tokens or prediction.prompt.tokens)
        weights = self.learned.hypotheses.weights
        by_weight = sorted(prediction.reaches, key=weights.__getitem__)
        order_of, reaches = self.requests.order_of, prediction.reaches
        for key, reach in {(order_of(one), one.answers): reaches[one] for one in by_weight}.items():
            added = total + (usage.completion_tokens or 0) if key[1] else total
            self.requests.count_traffic(key, number, added, reach)

    def take_over(self, other: EndpointCacheModel, sent: Sent) -> None:
        """Add a request of another model of the same server, learning from its report if it has one."""
        self.record(replace(sent, prompt_tokens=None, cached_tokens=None))
        number = other.requests.numbers.get(sent.run_id)
        if number is None or other.pending(sent.run_id) is not None:
            return
        request = other.requests[number]
        usage = CacheUsage(sent.prompt_tokens, sent.cached_tokens, request.completion_tokens)
        self.settle(sent.run_id, usage)
        mine = self.requests.numbers.get(sent.run_id)
        if request.answer and mine is not None:
            self._answer(mine, request.answer, other.requests.cuts_of(number))

    def _cut(self, number: int, cuts: FormCuts) -> None:
        if not self.requests.has_cuts:
            self.learned.hypotheses.add_tool_calls()
        self.requests.cut(number, cuts)

    def _answer(self, number: int, answer: str, cuts: FormCuts | None) -> None:
        self.requests.keep_answer(number, answer)
        if cuts is not None:
            self._cut(number, cuts)
        self.requests.extend(number, answer)


def _may_be_left_out(view: CacheView, part: ViewPart) -> bool:
    """Return whether some templates leave out a part or write it in one spelling."""
    return part.kind in ("tool_calls", "tool_call_id", "extra", "reasoning") or (
        part.kind == "content" and NEXT_PART in view.text[part.start : part.end]
    )

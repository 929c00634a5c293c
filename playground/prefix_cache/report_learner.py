"""Learning of one endpoint and model from a report of cached tokens."""

from __future__ import annotations

from itertools import chain

from playground.prefix_cache.block_size import SMALL_BLOCK, common_unit
from playground.prefix_cache.difference import differing, that_may_matter
from playground.prefix_cache.forecast import CacheUsage, Prediction
from playground.prefix_cache.hypotheses import ANSWERS, IRRELEVANT, PLACES, Rendering, ReportOutcome
from playground.prefix_cache.index import Sent
from playground.prefix_cache.learned_state import LearnedParameters
from playground.prefix_cache.prefix_size import MISJUDGED, NEAR, Measure, Size
from playground.prefix_cache.proofs import PART, SAME, ends_at
from playground.prefix_cache.reach import KINDS, Reach
from playground.prefix_cache.sent_requests import SentRequests
from playground.prefix_cache.view import (
    BASE,
    CLEARED,
    MOVED_ORDERS,
    REASONING,
    SENT,
    Order,
    alike,
    answer_text,
    form,
    reasoned_before,
)

ALIKE = 32
"""Requests with the longest shared beginning that are compared in their parameters."""
POSSIBLE = 0.1
"""Probability of a block, or an order, from which it may explain a report."""
SOON_S = 120.0
"""Seconds after which a whole prompt that is not served says nothing about its size: it may be forgotten."""


WHOLE = (0, False)
"""A prompt of which all results of tools and all reasoning is written as sent."""


def _left_out(prediction: Prediction) -> dict[Rendering, tuple[int, bool]]:
    """Return how many results of tools each rendering writes (0: all), and whether it leaves out reasoning."""
    reasoned = reasoned_before(prediction.view)
    return {
        one: (CLEARED.get(BASE.get(one.order, one.order), 0), reasoned and one.order in SENT)
        for one in prediction.reaches
    }


class ReportLearner:
    """Learns from the reports of one endpoint and model."""

    def __init__(self, requests: SentRequests, learned: LearnedParameters) -> None:
        self._requests = requests
        self._learned = learned

    def learn(self, prediction: Prediction, usage: CacheUsage, run_id: str) -> None:
        """Learn the parameters from a report. Without a count of prompt tokens the estimated one stands for it."""
        if usage.prompt_tokens is not None:
            self._weigh_sizes(prediction, usage.prompt_tokens)
            self._learn_tokens(prediction, usage, usage.prompt_tokens)
            self._learned.units.add_prompt(usage.prompt_tokens)
        cached = usage.cached_tokens
        if cached is not None and not prediction.off:
            self._learn_again(prediction, cached)
        if cached is not None and not self._may_be_too_early(prediction, cached):
            self._prove_shared(prediction, run_id, cached)
            self._prove_apart(prediction, cached)
            self._learn_cache(prediction, cached, prediction.counted(usage), run_id)
            limited = cached == self._learned.kept_points.limited_to
            # Without counted prompts the estimates may be wrong by more than they tell.
            if usage.prompt_tokens is not None and not limited:
                self._exclude(prediction, cached)

    def _may_be_too_early(self, prediction: Prediction, cached: int) -> bool:
        """Return whether the prefix may not have been stored when the request arrived: such a report is no evidence of
        replicas, room or lifetime."""
        flight = prediction.in_flight
        expected = prediction.raw if flight is not None and flight.waits and not prediction.off else prediction.interval
        return prediction.ended_chars is not None and cached < expected.tokens - self._learned.units.step

    def _learn_again(self, prediction: Prediction, cached: int) -> None:
        """Learn what running requests provide, and the figure served of a prompt that was sent before."""
        flight, whole = prediction.in_flight, prediction.reach.longest
        if flight is None:
            if prediction.again is not None:
                self._learned.proofs.add_again(prediction.again, cached)
            return
        least = self._learned.units.step + NEAR
        # Nothing, though ended requests share much: another replica, or a loss.
        told = cached > 0 or flight.ended.tokens <= least
        if told and whole.tokens - flight.ended.tokens > least + 2 * (whole.error + flight.ended.error):
            served = cached > (whole.tokens + flight.ended.tokens) / 2
            self._learned.proofs.add_in_flight(flight.seconds, served=served)

    def _weigh_sizes(self, prediction: Prediction, prompt: int) -> None:
        """Weigh orders that clear results of tools or leave out reasoning: a prompt has fewer tokens then."""
        fits: dict[tuple[int, bool], float] = {}
        kept = _left_out(prediction)
        if len(set(kept.values())) < 2:
            return
        for one, reach in prediction.reaches.items():
            size = reach.size(len(prediction.measures[one.order].view.text))
            apart = (prompt - size.tokens) / (NEAR + 2 * size.error)
            fits[kept[one]] = max(fits.get(kept[one], 0.0), 1.0 / (1.0 + apart * apart))
        self._learned.hypotheses.weigh({one: fits[parts] for one, parts in kept.items()})

    def _learn_tokens(self, prediction: Prediction, usage: CacheUsage, prompt: int) -> None:
        order: Order = "first" if "first" in prediction.measures else self._requests.order_of(prediction.rendering)
        # What is left out costs nothing: counted with it, the other text seems to cost less than it does.
        weights, shares = self._learned.hypotheses.weights, dict[tuple[int, bool], float]()
        kept = {one: parts for one, parts in _left_out(prediction).items() if one.order in self._requests.trees}
        for one, parts in kept.items():
            shares[parts] = shares.get(parts, 0.0) + weights[one]
        likely = max(shares, key=shares.__getitem__, default=WHOLE)
        if likely != WHOLE:
            order = max((one for one in kept if kept[one] == likely), key=weights.__getitem__).order
        measure = prediction.measures.get(order, prediction.measure)
        start, tokens = self._counted(order, measure.view.text, len(measure.view.text) - 1)
        if prompt > tokens and len(measure.view.text) - start >= 8:
            counts = measure.counts_between(start, len(measure.view.text))
            self._learned.estimator.learn(counts, prompt - tokens)
        message = usage.message
        text = message.get("content") if message else None
        if isinstance(text, str) and text and message and not message.get("tool_calls") and usage.completion_tokens:
            answered = usage.completion_tokens - usage.reasoning_tokens - 1
            if not usage.reasoning_tokens:
                text = answer_text(message)
            self._learned.estimator.learn(self._learned.estimator.counts(text), answered, optional=True)

    def _learn_cache(self, prediction: Prediction, cached: int, prompt: int, run_id: str) -> None:
        self._learned.reports += 1
        self._learned.residuals.add(prediction.raw, cached)
        self._add_off(prediction, cached, run_id)
        hypotheses = self._learned.hypotheses
        reach = prediction.reach
        sent = self._requests.index.get(run_id)
        if self._other_parameters(sent, reach) or (prediction.off_for and not cached):
            self._learned.units.learn(cached)
            return  # no evidence of points, lifetime, room or replicas
        if any(part.kind == "tool" for part in prediction.view.parts):
            hypotheses.tools_seen += 1
        best = prediction.best
        units = self._learned.units.likely[:6]
        step = self._learned.units.step
        if not self._learned.units.is_whole(cached, step):
            step = 1  # it is not the block of this server
        points = self._learned.kept_points
        if reach.steps and (cached or not prediction.off):
            depth = reach.steps[-1].depth
            kept = {kind: reach.kept(kind, depth, points.figure(kind)) for kind in KINDS}
            points.add(cached, kept, reach.size(depth), step)
            if points.limited_to == cached < reach.size(depth).tokens - PART:
                self._learned.units.learn(cached)
                return  # tokens that were not served are no evidence of a loss
        self._prove(prediction, cached)
        self._learned.add_forecast(wrong=abs(cached - prediction.interval.tokens) > max(step, NEAR))
        if self._learn_turns(prediction, cached, step):
            self._learn_unit(prediction, cached, best)
            return  # it was predicted for the requests of other replicas
        if prediction.off and not cached:
            self._learn_unit(prediction, cached, best)
            return  # no evidence of points, lifetime or room
        self._learn_unit(prediction, cached, best)
        # The largest figure again, which a limit gives in every order.
        again = 0 < points.limit == cached < reach.longest.tokens - PART
        lost = hypotheses.learn(cached, prompt, prediction.reaches, units, again=again)
        if lost > 0.5 and hypotheses.routings()[0] > 0.5 and best is not None:
            missed = [one for one in reach.steps if reach.size(one.depth).tokens > cached + step]
            if missed:
                hypotheses.clear(missed[0].newest, 0.8)

    def _learn_turns(self, prediction: Prediction, cached: int, step: int) -> bool:
        """Learn whether replicas answer in turn. Returns whether another number of them is assumed than before."""
        plain, shared, units = prediction.plain, prediction.shared_in_turn, self._learned.units
        if not shared or plain is None:
            return False
        likely = (one.block for one in units.likely[:6] if one.weight >= POSSIBLE and units.is_whole(cached, one.block))
        block, size = max(likely, default=step), prediction.reaches[plain].size
        before = self._learned.hypotheses.replicas_in_turn
        self._learned.round_robin.add(cached, shared, size, block)
        self._learned.hypotheses.assume_round_robin(self._learned.round_robin.replicas)
        self._prove_in_turn(prediction, cached, size(shared[1][1]), block)
        return self._learned.hypotheses.replicas_in_turn != before

    def _add_off(self, prediction: Prediction, cached: int, run_id: str) -> None:
        shared, ages = prediction.shared, prediction.reach.ages
        sent, least = self._requests.index.get(run_id), shared.tokens - 3 * shared.error
        soon = bool(ages) and ages[-1] <= SOON_S
        if cached or (soon and least >= 2 * max(self._learned.units.step, NEAR)):
            self._learned.off.add(sent.fields if sent else None, least, cached)

    def _prove(self, prediction: Prediction, cached: int) -> None:
        proofs, units = self._learned.proofs, self._learned.units
        steps = prediction.reach.steps
        newest = self._requests.sent(steps[-1].newest) if steps else None
        stored = newest is not None and bool(newest.cached_tokens)
        weights = self._learned.hypotheses.weights
        likely = [reach.longest for one, reach in prediction.reaches.items() if weights[one] >= POSSIBLE]
        sure = not any(ends_at(cached, size, units.step) for size in likely)
        proofs.add_served(
            prediction.reach,
            cached,
            units.step,
            prediction.now,
            stored=stored,
            sure=sure,
            in_turn=self._learned.round_robin.replicas > 0,
            renderings=prediction.reaches.values(),
            answered=[self._requests.answered_s(self._requests[step.newest].run_id) for step in prediction.reach.steps],
        )
        if prediction.plain is not None and not self._learned.round_robin.replicas:
            sizes = {one.order: reach.longest for one, reach in prediction.reaches.items() if one.order in MOVED_ORDERS}
            proofs.add_moved(sizes, prediction.reaches[prediction.plain].longest, cached, units.step)
        compared = prediction.compared
        tokens, generated = (None, None) if compared is None else self._requests.usage_of(compared.run_id)
        ends = (tokens or 0, (tokens or 0) + (generated or 0))
        if not any(
            -SAME <= end - cached < max(units.step, SAME) for end in ends
        ):  # else a state of the earlier request
            unit = common_unit({cached, *units.figures} - {0}, units.rounding)
            proofs.add_ended(prediction.reach, prediction.measure.view, cached, units.step, units.figures, unit)
        if compared is None or not tokens or not prediction.view.text.startswith(compared.text):
            return
        if prediction.now - compared.at <= SOON_S and not proofs.clocks(compared.at, prediction.now, cached):
            proofs.add_whole(tokens, cached)

    def _exclude(self, prediction: Prediction, cached: int) -> None:
        """Add the report to what excludes places of the tools, and that answers are cached or not."""
        weights, step = self._learned.hypotheses.weights, self._learned.units.step
        sizes: dict[str, list[Size]] = {}
        alike: set[str] = set()
        explaining = {
            (form(one.order), one.reuse)
            for one, reach in prediction.reaches.items()
            if cached <= reach.longest.tokens + 3 * reach.longest.error + NEAR
        }
        compared, best = prediction.compared, prediction.rendering
        reasoned = compared is not None and self._requests.answer_of(compared.run_id).startswith(REASONING)
        for one, reach in prediction.reaches.items():
            names = [*PLACES[one.order], ANSWERS[one.answers]]
            if reasoned and not one.answers:
                names.append(ANSWERS[True])  # an answer whose reasoning is left out ends as if it were not cached
            for name in names if weights[one] >= IRRELEVANT else PLACES[one.order]:
                sizes.setdefault(name, []).append(reach.longest)
            # Else what is left of a place, or of both kinds of reuse, shares less for another reason.
            if (form(one.order), one.reuse) in explaining:
                alike.update(PLACES[one.order])
            if one.order == best.order and weights[one] >= IRRELEVANT:
                alike.add(ANSWERS[one.answers])
        ages = prediction.reach.ages
        newer = [
            size for one, reach in prediction.reaches.items() if weights[one] >= IRRELEVANT for size in reach.newer
        ]
        for choices in (ANSWERS, tuple(dict.fromkeys(chain.from_iterable(PLACES.values())))):
            self._learned.proofs.exclude(
                {name: sizes[name] for name in choices if name in sizes and name in alike},
                cached,
                step,
                ages[-1] if ages else 0.0,
                newer,
            )

    def _prove_in_turn(self, prediction: Prediction, cached: int, shared: Size, block: int) -> None:
        """Add what the newest request shares, and the replica whose turn it is does not have."""
        compared, reach = prediction.compared, prediction.reach
        if not self._learned.round_robin.replicas or not cached or compared is None or not reach.steps:
            return
        if shared.tokens - cached > block + NEAR + 2 * shared.error:
            room = max(reach.distances) + shared.tokens
            alone = None if reach.distances[-1] > block else cached
            self._learned.proofs.add_loss(prediction.now - compared.at, room, prediction.now, alone)

    def _learn_unit(self, prediction: Prediction, cached: int, best: ReportOutcome | None) -> None:
        units = self._learned.units
        if best is None or not best.depth:
            units.learn(cached)
            return
        size = best.size
        if cached and abs(cached - size.tokens) <= units.step + 4 * size.error + 64:
            units.learn(cached, size.tokens, size.error)
        elif cached:
            units.learn(cached)
        else:
            alive = sum(one.weight for one in prediction.outcomes if one.size.tokens >= 0.8 * size.tokens)
            single = self._learned.hypotheses.routings()[0]
            units.learn(0, size.tokens, size.error, min(alive * single, 0.97))

    def _prove_shared(self, prediction: Prediction, run_id: str, cached: int) -> None:
        """Learn which parameters do not keep prompts apart: more was served than requests with the same ones share."""
        sent, compared = self._requests.index.get(run_id), prediction.compared
        if sent is None or compared is None or sent.fields is None or compared.fields is None:
            return
        mine, size = that_may_matter(sent.fields), prediction.reach.size
        names = frozenset(differing(mine, that_may_matter(compared.fields)))
        least = cached - 2 * self._learned.units.step
        if least <= 0 or self._learned.proofs.shared.issuperset(names):
            return
        explained = False
        for match in self._requests.index.best(sent.text, ALIKE):
            other = match.sent
            # Of a prompt that is continued the answer may be served, too.
            ended = match.length == len(other.text)
            counts = self._requests.usage_of(other.run_id) if ended else (None, None)
            shared = size(alike(sent.view, other.view))
            tokens = max(shared.tokens + 3 * shared.error, sum(count or 0 for count in counts))
            if other.run_id != run_id and tokens >= least:
                names &= frozenset(differing(mine, that_may_matter(other.fields or {})))
                explained = True
        if explained:
            self._learned.proofs.shared.update(names)

    def _prove_apart(self, prediction: Prediction, cached: int) -> None:
        """Learn which parameter keeps prompts apart: the report is what a request with the same value shares."""
        apart, step = prediction.apart, self._learned.units.step
        if apart is None or len(apart.names) != 1 or apart.whole.tokens - apart.same.tokens < max(PART, 2 * step):
            return
        known, (name,) = self._learned.proofs.apart, apart.names
        units = self._learned.units.likely
        served = units[0].served(apart.same.tokens) if units else apart.same.tokens
        if abs(cached - served) <= step + 3 * apart.same.error + NEAR:
            known[name] = known.get(name, 0) + 1
        elif cached > served:
            known.pop(name, None)

    def _other_parameters(self, sent: Sent | None, reach: Reach) -> bool:
        """Whether the request differs from the ones it matches in parameters that may matter, and are not proved not
        to."""
        if sent is None or sent.fields is None or not reach.steps:
            return False
        mine, shared = that_may_matter(sent.fields), self._learned.proofs.shared
        newest = self._requests.sent(reach.steps[-1].newest)
        matches = [one for one in self._requests.index.best(sent.text, ALIKE) if one.sent.run_id != sent.run_id]
        longest = [one.sent for one in matches if one.length == matches[0].length]
        fields = [one.fields for one in (newest, *longest) if one is not None and one.fields is not None]
        return bool(fields) and not any(shared.issuperset(differing(mine, that_may_matter(one))) for one in fields)

    def mark_served(self, prediction: Prediction, usage: CacheUsage) -> None:
        """Remember at which depth a match ended that served so many tokens: it will again."""
        cached = usage.cached_tokens
        if not cached:
            return
        step, done = self._learned.units.step, set()
        scale = (usage.prompt_tokens or 0.0) / max(prediction.prompt.tokens, 1.0)
        outcomes = prediction.outcomes
        if usage.prompt_tokens is not None:  # else the sizes are estimates
            outcomes = sorted(outcomes, key=lambda one: abs(one.size.tokens - cached))
        self._learn_least(prediction, usage.prompt_tokens, cached, step)
        for one in outcomes:
            order = self._requests.order_of(one.rendering)
            served = one.size.tokens // step * step
            if order in done or not one.depth or abs(served - cached) > step + 4 * one.size.error + 2:
                continue
            if usage.prompt_tokens and abs(one.size.tokens * scale - cached) > step + MISJUDGED * min(
                one.size.tokens * scale, cached
            ):
                continue  # the counted prompt shows that the report ended elsewhere
            done.add(order)
            measure = prediction.measures[one.rendering.order]
            text = measure.view.text
            if one.depth >= len(text):
                continue
            if one.rendering == prediction.rendering and (step <= SMALL_BLOCK or usage.prompt_tokens is None):
                self._learn_prefix(order, measure, one.depth, cached + step / 2, step * step / 12 + 1.0)
            for node, _ in self._requests.trees[order].path(text):
                if node.depth >= one.depth:
                    marks = node.served or {}
                    # A later report of less is a loss.
                    node.served = {**marks, one.depth: max(marks.get(one.depth, (0, 0)), (cached, step))}
                    break

    def _learn_least(self, prediction: Prediction, prompt: int | None, cached: int, step: int) -> None:
        """Learn from a report, without a count of the prompt, of more than the estimated shared size: its text has
        at least so many tokens."""
        reach, measure = prediction.reach, prediction.measure
        if prompt is None and reach.steps and cached > reach.longest.tokens + step:
            order, depth = self._requests.order_of(prediction.rendering), reach.steps[-1].depth
            noise = step * step / 12 + 1.0
            self._learn_prefix(order, measure, min(depth, len(measure.view.text)), cached + step / 2, noise)

    def _learn_prefix(self, order: Order, measure: Measure, depth: int, tokens: float, noise: float) -> None:
        """Learn from where a match ended: only this tells template text before the tools from text after them."""
        start, known = self._counted(order, measure.view.text, depth)
        if depth - start >= 8 and tokens - known >= 4:
            self._learned.estimator.learn(measure.counts_between(start, depth), tokens - known, noise=noise)

    def _counted(self, order: Order, text: str, most: int) -> tuple[int, float]:
        """Return the code points of the longest whole earlier prompt that a text begins with, up to `most`, and its
        counted tokens; 0 without one."""
        found = 0, 0.0
        for node, shared in self._requests.trees[order].path(text):
            if node.exact_prompt is not None and shared == node.depth <= most:
                found = shared, node.exact_prompt
        return found

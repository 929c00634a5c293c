"""Hypotheses about a server's cache, weighed by its reports.

A *rendering* says in which order the prompt is read and what of generated answers the next prompt finds; a
*retention* which parts are still there: everything, prompts used within a lifetime, the last tokens of traffic, one or
a few slots, prompts sent some time ago, or all up to a time that the template prints; a *routing* whether one cache or
several replicas answer. Renderings and retentions are weighed together, routings apart.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from math import exp, inf, log
from operator import add, mul
from typing import Literal

from msgspec import Struct

from playground.prefix_cache.block_size import CacheUnit
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.reach import CAPACITIES, LIFETIMES, RETENTIONS, Classes, Reach, RetentionKind
from playground.prefix_cache.view import (
    BARE,
    BASE,
    LATE,
    LATER,
    ORDERS,
    REUSES,
    TOOLS,
    TURN_ORDERS,
    TURNS,
    Order,
    Reuse,
)

RoutingKind = Literal["single", "random", "prefix_hash"]
_ORDER_PRIOR = {
    "first": 0.3,
    "inside": 0.4,
    "first_user": 0.1,
    "before_last_user": 0.12,
    "system_last": 0.08,
    "after_messages": 0.03,
}
_TURN_PRIOR = 0.15
"""Probability of "last_turn" against "inside", from which it differs after the first tool call."""
_CLEARED_PRIOR = 0.02
"""The same of an order that clears results."""
_BARE_PRIOR = 0.6
"""Probability that a template leaves out ids and names and writes arguments in one spelling."""
_BY_SIZE = 0.5
"""Share of both probabilities if only the tokens of prompts tell such orders apart."""
_LATE_PRIOR = 0.2
"""Probability that a template writes ids behind the arguments, of the orders in which some do."""
_POSSIBLE = 1e-3
"""Probability of an order from which its bare order is weighed."""
_ANSWERS_PRIOR = 0.55
_REUSE_PRIOR: dict[Reuse, float] = {
    "all": 0.4,
    "rewritten": 0.2,
    "alone": 0.12,
    "name": 0.08,
    "text": 0.12,
    "plain": 0.08,
}
"""Of templates under which answers are cached: the part of an answer with tool calls that they find again."""
_FLOOR = -17.0
"""Log weights relative to the best are not lower, so that a server may change."""
_SURPRISE = 0.003
"""Probability of a report from which all hypotheses lose some of their weight."""
IRRELEVANT = 3e-5
"""Probability below which a rendering is not computed."""
_DOUBT = 0.25
"""The share of log weights that remains when another routing is found."""
_LOST_PRIOR = 0.6, 25.0
"""Misses and hits of prefixes that should be cached, before any report."""
_MADE_UP = 0.002
"""Probability of a report that no hypothesis explains."""


ANSWERS = ("prompts", "answers")
"""Whether answers are cached: no, yes."""
_MOVED: dict[str, str] = {"system_last": "before_last_user"}
PLACES: dict[Order, tuple[str, ...]] = {
    order: ("first", "inside")
    if order in TURN_ORDERS
    else (_MOVED.get(TOOLS.get(order, order), TOOLS.get(order, order)),)
    for order in (*ORDERS, *BARE.values(), *LATE.values())
}
"""Where each order may have the tools, in the words that a user reads. Orders that mark the last turn are weighed with
the tools inside only, and are the same with the tools first."""


class Rendering(Struct, frozen=True):
    """Order of the prompt, and what of the answers is cached too."""

    order: Order
    reuse: Reuse

    @property
    def answers(self) -> bool:
        """Whether any of the answers is cached."""
        return self.reuse != "none"

    @property
    def key(self) -> str:
        """The name in stored states; "answers" and "prompts" are older than the other kinds of reuse."""
        return f"{self.order}/{_STORED.get(self.reuse, self.reuse)}"


_STORED: dict[Reuse, str] = {"all": "answers", "none": "prompts"}


class Routing(Struct, frozen=True):
    """How requests reach `replicas` caches; "prefix_hash": by a hash of the first `tokens` tokens."""

    kind: RoutingKind
    replicas: int = 1
    tokens: int = 0


RENDERINGS = tuple(Rendering(order, reuse) for order in (*ORDERS, *BARE.values(), *LATE.values()) for reuse in REUSES)
"""Kinds of reuse other than "all" and "none" are weighed from the first tool call on, "last_turn" from the first
assistant message after the last user message on, bare and late orders from the first request on that differs from an
earlier one in what bare orders leave out."""
_REFUTED = [_FLOOR] * len(RETENTIONS)
"""The log weights of a rendering that is refuted under every retention: all such rows are this object."""
ROUTINGS = (
    Routing("single"),
    *(Routing("random", replicas) for replicas in (2, 3, 4, 6, 8)),
    *(Routing("prefix_hash", replicas, tokens) for replicas in (2, 4, 8) for tokens in (128, 256, 512)),
)
_LIFETIME_DOUBT = 1.3
_LAST_PRIOR: dict[RetentionKind, float] = {"late": 0.003, "clock": 0.01, "clock_first": 0.01, "fixed": 0.002}
"""Probability of each of the retentions that are last, which earlier versions did not store."""


def retention_priors(assumed_s: float) -> list[float]:
    """Return log probabilities of RETENTIONS. `assumed_s`: the lifetime that the user assumes."""
    lifetimes = [exp(-0.5 * (log(seconds / assumed_s) / _LIFETIME_DOUBT) ** 2) for seconds in LIFETIMES]
    total = sum(lifetimes)
    shares = [0.5, *(0.3 * share / total for share in lifetimes)]
    shares += [0.13 / len(CAPACITIES)] * len(CAPACITIES)
    shares += [0.04, 0.01, 0.01, 0.03]
    shares += [_LAST_PRIOR[one.kind] for one in RETENTIONS if one.kind in _LAST_PRIOR]
    return [log(share) for share in shares]


class ReportOutcome(Struct, frozen=True):
    """`size` tokens are cached, up to code point `depth`, with probability `weight`, under `rendering`."""

    weight: float
    size: Size
    depth: int
    rendering: Rendering


def _before_split(rendering: Rendering, known: Container[Rendering]) -> Rendering:
    """Return the rendering of `known` that was the same before this one was added."""
    sent = BASE.get(rendering.order, rendering.order)
    orders = dict.fromkeys((rendering.order, sent, LATER.get(sent, sent)))
    whole: Reuse = "all" if rendering.answers else "none"
    candidates = [Rendering(order, reuse) for order in orders for reuse in (rendering.reuse, whole)]
    return next((one for one in candidates if one in known), rendering)


def _shared(logs: Sequence[float], share: float) -> list[float]:
    """Return the logarithms of a share of the weights that have these."""
    part = log(share)
    return [value + part for value in logs]


class Hypotheses:
    """The posterior of one endpoint and model."""

    def __init__(self, assumed_s: float) -> None:
        priors = self._priors = retention_priors(assumed_s)
        self._logs: dict[Rendering, list[float]] = {}
        for rendering in RENDERINGS:
            if rendering.order in _ORDER_PRIOR and rendering.reuse in _STORED:
                answers = _ANSWERS_PRIOR if rendering.answers else 1 - _ANSWERS_PRIOR
                both = log(_ORDER_PRIOR[rendering.order]) + log(answers)
                self._logs[rendering] = [both + prior for prior in priors]
        shares = {"single": 0.9, "random": 0.06 / 5, "prefix_hash": 0.04 / 9}
        self._routing_logs = [log(shares[routing.kind]) for routing in ROUTINGS]
        self._lost, self._kept = _LOST_PRIOR
        self._surprise = 0.0
        self.replicas_in_turn = 0
        """Number of replicas that requests reach in turn: each finds one cache, with known requests; 0: unknown."""
        self.cleared_upto, self.cleared = -1, 0.0
        """Requests up to this number were probably lost, and how probable that is."""
        self.tools_seen = self.answers_tested = 0
        self._probabilities: dict[Rendering, list[float]] | None = None
        self._weights: dict[Rendering, float] = {}
        self._retained: list[float] | None = None

    def add_turn(self, order: Order) -> list[Order]:
        """Weigh one of `LATER` too: until now it was the same as another. Returns the new orders."""
        pairs: tuple[tuple[Order, Order], ...] = ((LATER[order], order), (BARE[LATER[order]], BARE[order]))
        prior = _TURN_PRIOR if order in TURNS else _CLEARED_PRIOR
        for reuse in REUSES:
            for before, turn in pairs:
                known = self._logs.get(Rendering(before, reuse))
                if known is not None and Rendering(turn, reuse) not in self._logs:
                    self._logs[Rendering(turn, reuse)] = _shared(known, prior)
        self._normalize()
        return [turn for _, turn in pairs if any(one.order == turn for one in self._logs)]

    def weigh(self, chances: Mapping[Rendering, float]) -> None:
        """Multiply the probabilities of renderings."""
        for one, chance in chances.items():
            if self._logs[one] is not _REFUTED:
                self._logs[one] = _shared(self._logs[one], chance)
        self._normalize()

    def add_bare(self, *, differs: bool) -> list[Order]:
        """Weigh orders without ids and names too: until now they were the same; only their sizes are not, unless a
        prompt `differs` in what they leave out. Returns the new orders."""
        share = 1.0 if differs else _BY_SIZE
        learned = list(dict.fromkeys(one.order for one in self._logs if one.order in BASE))
        if learned:  # from a stored state
            return learned
        possible = [one for one, weight in self.weights.items() if weight >= _POSSIBLE and one.order in BARE]
        for one in possible:
            known = self._logs[one]
            late = LATE.get(one.order)
            self._logs[one] = _shared(known, 1 - share * (_BARE_PRIOR + (_LATE_PRIOR if late else 0.0)))
            self._logs[Rendering(BARE[one.order], one.reuse)] = _shared(known, share * _BARE_PRIOR)
            if late is not None:
                self._logs[Rendering(late, one.reuse)] = _shared(known, share * _LATE_PRIOR)
        self._normalize()
        return [order for order in BASE if any(one.order == order for one in self._logs)]

    def add_tool_calls(self) -> None:
        """Weigh what of an answer with tool calls is found again: until now there was none."""
        for whole in [one for one in self._logs if one.reuse == "all"]:
            if Rendering(whole.order, "text") not in self._logs:
                known = self._logs[whole]
                self._logs.update(
                    {Rendering(whole.order, reuse): _shared(known, share) for reuse, share in _REUSE_PRIOR.items()}
                )
        self._normalize()

    @property
    def loss_rate(self) -> float:
        """How often a server misses what should be cached, apart from all other reasons."""
        return min(self._lost / (self._lost + self._kept), 0.75)

    @property
    def _joint(self) -> dict[Rendering, list[float]]:
        """Probabilities of renderings and retentions together."""
        if self._probabilities is None:
            logs = {id(row): row for row in self._logs.values()}
            best = max(map(max, logs.values()))
            rows = {key: [exp(value - best) for value in row] for key, row in logs.items()}
            total = sum(sum(rows[id(row)]) for row in self._logs.values())
            rows = {key: [value / total for value in row] for key, row in rows.items()}
            sums = {key: sum(row) for key, row in rows.items()}
            self._probabilities = {one: rows[id(row)] for one, row in self._logs.items()}
            self._weights = {one: sums[id(row)] for one, row in self._logs.items()}
            self._retained = None
        return self._probabilities

    @property
    def weights(self) -> dict[Rendering, float]:
        """Probabilities of the renderings."""
        _ = self._joint
        return self._weights

    @property
    def rendering(self) -> Rendering:
        """The most probable rendering."""
        weights = self.weights
        return max(weights, key=weights.__getitem__)

    def retentions(self) -> list[float]:
        """Return probabilities of RETENTIONS."""
        joint = self._joint
        if self._retained is None:
            rows = [row for one, row in joint.items() if self._weights[one] > 1e-4]
            self._retained = [sum(row) for row in zip(*rows, strict=True)]
        return self._retained

    @property
    def room(self) -> float:
        """Probability that only the last tokens of traffic, or a few slots, stay cached."""
        return self._share("tokens", "slots")

    @property
    def delayed(self) -> float:
        """Probability that prefixes are stored some time after their requests."""
        return self._share("late")

    def _share(self, *kinds: RetentionKind) -> float:
        pairs = zip(RETENTIONS, self.retentions(), strict=True)
        return sum(weight for one, weight in pairs if one.kind in kinds)

    def assume_round_robin(self, replicas: int) -> None:
        """Assume that requests reach so many replicas in turn; 0: one cache, or replicas by other rules.

        What was learned of renderings before is doubtful: other replicas looked like another order. What was learned of
        retentions is wrong: what other replicas have looked forgotten.
        """
        if replicas and replicas != self.replicas_in_turn:
            for rendering, weight in self.weights.items():
                known = _DOUBT * log(max(weight, 1e-9))
                self._logs[rendering] = [known + prior for prior in self._priors]
            self._lost, self._kept = _LOST_PRIOR
            self._normalize()
        self.replicas_in_turn = replicas

    def routings(self) -> list[float]:
        """Return probabilities of ROUTINGS."""
        if self.replicas_in_turn:
            return [1.0, *(0.0 for _ in ROUTINGS[1:])]
        best = max(self._routing_logs)
        weights = [exp(value - best) for value in self._routing_logs]
        total = sum(weights)
        return [weight / total for weight in weights]

    @property
    def at_random(self) -> float:
        """Probability that requests reach replicas at random."""
        pairs = zip(ROUTINGS, self.routings(), strict=True)
        return sum(weight for one, weight in pairs if one.kind == "random")

    def outcomes(self, reaches: Mapping[Rendering, Reach], *, least: float = 0.002) -> list[ReportOutcome]:
        """Return what may be cached with probabilities (sum 1), for one cache, before quantisation."""
        found: list[tuple[float, Size, int, Rendering]] = []
        for rendering, reach, weights in self._grouped(reaches):
            variants = [(1.0, -1)]
            if self.cleared > 0.01:
                variants = [(1.0 - self.cleared, -1), (self.cleared, self.cleared_upto)]
            merged: dict[tuple[float, int], float] = {}
            sizes: dict[tuple[float, int], Size] = {}
            for share, cleared_upto in variants:
                classes = reach.classes(cleared_upto)
                for (size, depth), weight in zip(classes.kinds, classes.sums(weights), strict=True):
                    key = size.tokens, depth
                    sizes[key] = size
                    merged[key] = merged.get(key, 0.0) + weight * share
            found += [(weight, sizes[key], key[1], rendering) for key, weight in merged.items()]
        enough = least * (sum(one[0] for one in found) or 1.0)
        found = [one for one in found if one[0] >= enough]
        total = sum(one[0] for one in found) or 1.0
        return [ReportOutcome(weight / total, size, depth, rendering) for weight, size, depth, rendering in found]

    def _grouped(self, reaches: Mapping[Rendering, Reach]) -> Iterator[tuple[Rendering, Reach, Sequence[float]]]:
        """Yield each different reach once, with the most probable rendering that has it and the sum of the weights."""
        groups: dict[int, list[Rendering]] = {}
        for rendering, reach in reaches.items():
            groups.setdefault(id(reach), []).append(rendering)
        joint = self._joint
        for group in groups.values():
            best = max(group, key=self._weights.__getitem__)
            if len(group) == 1:
                yield best, reaches[best], joint[best]
            else:
                yield best, reaches[best], [sum(row) for row in zip(*(joint[one] for one in group), strict=True)]

    @staticmethod
    def spread(reach: Reach, routing: Routing, upto: float = inf) -> list[tuple[float, Size]]:
        """Return probabilities and sizes of what replicas may serve, of the prefix cached up to code point `upto`."""
        steps = [step for step in reach.steps if step.depth <= upto]
        if routing.kind == "prefix_hash":
            if not steps:
                return [(1.0, Size(0.0, 0.0))]
            size = reach.size(steps[-1].depth)
            if size.tokens >= routing.tokens:
                return [(1.0, size)]
            return [(1 / routing.replicas, size), (1 - 1 / routing.replicas, Size(0.0, 0.0))]
        missed = 1 - 1 / routing.replicas
        # The nearest requests matter most: with each further one the chance falls.
        found, left, counted = [], 1.0, 0
        for step in reversed(steps):
            fewer = missed ** (step.count - counted)
            if step.count > counted:
                found.append((left * (1 - fewer), reach.size(step.depth)))
                left *= fewer
                counted = step.count
            if left < 0.005:
                break
        found.append((left, Size(0.0, 0.0)))
        return found

    def learn(
        self,
        cached: int,
        prompt: int,
        reaches: Mapping[Rendering, Reach],
        units: Sequence[CacheUnit],
        *,
        again: bool = False,
    ) -> float:
        """Weigh the hypotheses by a report; `again`: which tells nothing of the rendering. Returns the probability that
        a loss explains it (0 to 1)."""
        memory: dict[tuple[float, float], float] = {}

        def chance(size: Size) -> float:
            key = round(size.tokens, 1), round(size.error, 1)
            found = memory.get(key)
            if found is None:
                capped = Size(min(size.tokens, max(prompt - 1, 0)), size.error)
                found = sum(unit.weight * unit.chance(cached, capped.tokens, capped.error) for unit in units)
                memory[key] = found
            return found

        block = units[0].block if units else 16
        # The probability of the report if the server has lost something.
        lost = (0.5 if cached == 0 else 0.0) + 0.5 * min(block / (prompt + block), 1.0)
        routings = self.routings()
        single = routings[0]
        spread_chance = self._spread_chance(reaches, routings, chance) if single < 0.98 else 0.0
        rate, cleared = self.loss_rate, self.cleared if self.cleared > 0.01 else 0.0
        stray = _MADE_UP * block / (prompt + block)
        other = single * rate * lost + (1 - single) * spread_chance + stray
        likelihoods, fitting, with_clear = self._likelihoods(reaches, chance, cleared)
        total = single * (1 - rate) * fitting + other
        self._surprised(total)
        factor = single * (1 - rate)
        logs: dict[int, list[float]] = {}
        missing = log(other)
        before = self.weights if again else {}
        for rendering, values in self._logs.items():
            row = likelihoods.get(rendering)
            if row is None and values is _REFUTED:
                continue  # without a likelihood, its weight must not grow
            if row is None and self.weights[rendering] >= IRRELEVANT:
                # Added since the prediction: another rendering was the same at that time.
                row = likelihoods.get(_before_split(rendering, likelihoods))
            if row is None:
                self._logs[rendering] = [value + missing for value in values]
                continue
            known = logs.get(id(row))
            if known is None:
                known = logs[id(row)] = [log(factor * one + other) for one in row]
            self._logs[rendering] = list(map(add, values, known))
        if not self.replicas_in_turn:
            self._weigh_routings(reaches, chance, fitting, lost, stray)
        self._normalize(learned=True)
        self._weigh_as(before)
        by_loss = single * rate * lost / total if total else 0.0
        forget = 0.985
        self._lost = self._lost * forget + by_loss + 0.6 * (1 - forget)
        self._kept = self._kept * forget + (1 - by_loss) + 2.0 * (1 - forget)
        if self.cleared:
            self.cleared = min(with_clear / fitting if fitting > 1e-9 else self.cleared, 0.97)
        return min(by_loss, 1.0)

    def _weigh_as(self, before: Mapping[Rendering, float]) -> None:
        """Give renderings the probabilities that they had before; none: they keep theirs."""
        if before:
            now = self.weights
            self.weigh({one: weight / now[one] for one, weight in before.items() if weight and now[one]})

    def _likelihoods(
        self, reaches: Mapping[Rendering, Reach], chance: Callable[[Size], float], cleared: float
    ) -> tuple[dict[Rendering, list[float]], float, float]:
        """Return the probability of a report by rendering and retention, their weighted sum, and its part for a cache
        that was emptied."""
        joint, fitting, with_clear = self._joint, 0.0, 0.0
        rows: dict[int, tuple[list[float], list[float]]] = {}
        likelihoods: dict[Rendering, list[float]] = {}
        for rendering, reach in reaches.items():
            pair = rows.get(id(reach))
            if pair is None:
                plain = self._chances(reach.classes(), chance)
                gone = self._chances(reach.classes(self.cleared_upto), chance) if cleared else plain
                fits = [(1 - cleared) * one + cleared * two for one, two in zip(plain, gone, strict=True)]
                pair = rows[id(reach)] = fits, gone
            weights = joint[rendering]
            fitting += sum(map(mul, weights, pair[0]))
            if cleared:
                with_clear += cleared * sum(map(mul, weights, pair[1]))
            likelihoods[rendering] = pair[0]
        return likelihoods, fitting, with_clear

    @staticmethod
    def _chances(classes: Classes, chance: Callable[[Size], float]) -> list[float]:
        kinds = [chance(size) for size, _ in classes.kinds]
        return [kinds[number] for number in classes.members]

    def _spread_chance(
        self, reaches: Mapping[Rendering, Reach], routings: Sequence[float], chance: Callable[[Size], float]
    ) -> float:
        """Return the probability of a report with several replicas, for the most probable rendering."""
        reach = reaches.get(self.rendering)
        if reach is None:
            return 0.0
        upto = self._cached_upto(reach)
        others = sum(routings[1:])
        result = 0.0
        for routing, weight in zip(ROUTINGS[1:], routings[1:], strict=True):
            if weight > 0.01:
                result += weight * sum(share * chance(size) for share, size in self.spread(reach, routing, upto))
        return result / others if others else 0.0

    def _cached_upto(self, reach: Reach) -> int:
        retentions = self.retentions()
        best = max(range(len(retentions)), key=lambda at: retentions[at])
        classes = reach.classes()
        return classes.kinds[classes.members[best]][1]

    def _weigh_routings(
        self,
        reaches: Mapping[Rendering, Reach],
        chance: Callable[[Size], float],
        fitting: float,
        lost: float,
        stray: float,
    ) -> None:
        reach = reaches.get(self.rendering)
        if reach is None or not reach.steps:
            return
        rate = 0.02
        for at, routing in enumerate(ROUTINGS):
            if routing.kind == "single":
                likely = (1 - rate) * fitting + rate * lost
            else:
                found = sum(share * chance(size) for share, size in self.spread(reach, routing))
                likely = (1 - rate) * found + rate * lost
            self._routing_logs[at] += log(max(likely + stray, 1e-12))

    def _surprised(self, likelihood: float) -> None:
        """Lose some certainty if report after report contradicts all hypotheses: the server may have changed."""
        self._surprise = self._surprise * 0.7 + (likelihood < _SURPRISE)
        if self._surprise < 2.2:
            return
        self._surprise = 0.0
        self._doubt(0.6)
        self._routing_logs = [0.6 * value for value in self._routing_logs]

    def _doubt(self, share: float) -> None:
        """Keep a share of what reports have told of renderings and retentions; rare retentions stay rare."""
        for rendering, logs in self._logs.items():
            self._logs[rendering] = [p + share * (value - p) for value, p in zip(logs, self._priors, strict=True)]

    def _normalize(self, *, learned: bool = False) -> None:
        """Make the best log weight 0. `learned`: refuted rows were not multiplied, and do not change."""
        best = max(max(logs) for logs in self._logs.values() if not learned or logs is not _REFUTED)
        low = best + _FLOOR
        for rendering, logs in self._logs.items():
            if learned and logs is _REFUTED:
                continue
            refuted = max(logs) <= low
            self._logs[rendering] = _REFUTED if refuted else [v - best if v > low else _FLOOR for v in logs]
        best = max(self._routing_logs)
        self._routing_logs = [max(value - best, _FLOOR) for value in self._routing_logs]
        self._probabilities = None

    def clear(self, upto: int, probability: float) -> None:
        """Assume that requests up to a number were lost: the server may have restarted."""
        if upto > self.cleared_upto or self.cleared < probability:
            self.cleared_upto, self.cleared = max(upto, self.cleared_upto), probability

    def state(self) -> dict[str, object]:
        return {
            "renderings": {one.key: [round(value, 3) for value in logs] for one, logs in self._logs.items()},
            "routings": [round(value, 3) for value in self._routing_logs],
            "lost": self._lost,
            "kept": self._kept,
            "tools_seen": self.tools_seen,
            "answers_tested": self.answers_tested,
        }

    def restore(
        self,
        renderings: Mapping[str, Sequence[float]],
        routings: Sequence[float],
        lost: float,
        kept: float,
        tools_seen: int,
        answers_tested: int,
    ) -> None:
        """Continue from a stored state; parts of another version are ignored."""
        added = [log(_LAST_PRIOR[one.kind]) for one in RETENTIONS if one.kind in _LAST_PRIOR]
        before = len(RETENTIONS) - len(added)
        for one in RENDERINGS:
            logs = renderings.get(one.key)
            if logs is not None and before <= len(logs) <= len(RETENTIONS):
                self._logs[one] = [*logs, *(max(logs) + prior for prior in added[len(logs) - before :])]
        if len(routings) == len(ROUTINGS):
            self._routing_logs = list(routings)
        self._lost, self._kept = max(lost, 0.1), max(kept, 1.0)
        self.tools_seen, self.answers_tested = tools_seen, answers_tested
        self._normalize()

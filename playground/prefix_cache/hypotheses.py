"""Hypotheses about a server's cache, weighed by its reports.

A *rendering* says in which order the prompt is read and whether generated answers are cached; a *retention* which parts are still
there: everything, what was used within a lifetime, the last tokens of traffic, or one or a few slots; a *routing* whether one cache
or several replicas answer. Renderings and retentions are weighed together, routings apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log
from typing import Literal

from playground.prefix_cache.block_size import CacheUnit
from playground.prefix_cache.match_tree import Step
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.view import ORDERS, Order

RetentionKind = Literal["everything", "lifetime", "tokens", "slots"]
RoutingKind = Literal["single", "random", "prefix_hash"]
_ORDER_PRIOR = {"first": 0.3, "inside": 0.4, "first_user": 0.1, "before_last_user": 0.12, "system_last": 0.08}
_ANSWERS_PRIOR = 0.55
_FLOOR = -16.0
"""Log weights relative to the best are not lower, so that a server may change."""
_SURPRISE = 0.003
"""Probability of a report from which all hypotheses lose some of their weight."""
_SURPRISES = 4
_MADE_UP = 0.002
"""Probability of a report that no hypothesis explains."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """Order of the prompt, and whether the answer is cached too."""

    order: Order
    answers: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """What a cache keeps: `limit` is seconds, tokens or slots by `kind`."""

    kind: RetentionKind
    limit: float = inf


@dataclass(frozen=True, slots=True)
class Routing:
    """How requests reach `replicas` caches; "prefix_hash": by a hash of the first `tokens` tokens."""

    kind: RoutingKind
    replicas: int = 1
    tokens: int = 0


RENDERINGS = tuple(Rendering(order, answers) for order in ORDERS for answers in (True, False))
LIFETIMES = tuple(round(5.0 * 1.2**step, 1) for step in range(54))
"""Seconds: 5 s to a day."""
CAPACITIES = tuple(round(1_024 * 1.08**step) for step in range(80))
"""Tokens: 1,000 to 450,000."""
RETENTIONS = (
    Retention("everything"),
    *(Retention("lifetime", seconds) for seconds in LIFETIMES),
    *(Retention("tokens", tokens) for tokens in CAPACITIES),
    *(Retention("slots", slots) for slots in (1, 2, 4)),
)
ROUTINGS = (
    Routing("single"),
    *(Routing("random", replicas) for replicas in (2, 3, 4, 6, 8)),
    *(Routing("prefix_hash", replicas, tokens) for replicas in (2, 4, 8) for tokens in (128, 256, 512)),
)
_LIFETIME_DOUBT = 1.3


def retention_priors(assumed_s: float) -> list[float]:
    """Return log probabilities of RETENTIONS. `assumed_s`: the lifetime that the user assumes."""
    lifetimes = [exp(-0.5 * (log(seconds / assumed_s) / _LIFETIME_DOUBT) ** 2) for seconds in LIFETIMES]
    total = sum(lifetimes)
    shares = [0.5, *(0.3 * share / total for share in lifetimes)]
    shares += [0.13 / len(CAPACITIES)] * len(CAPACITIES)
    shares += [0.05, 0.01, 0.01]
    return [log(share) for share in shares]


def routing_priors() -> list[float]:
    """Return log probabilities of ROUTINGS."""
    shares = {"single": 0.9, "random": 0.06 / 5, "prefix_hash": 0.04 / 9}
    return [log(shares[routing.kind]) for routing in ROUTINGS]


@dataclass
class Reach:
    """How far the cache may hold a prompt under one rendering.

    `steps` are shared prefixes, the shortest first: the newest request that uses each, and how many do. `size` gives the tokens
    of a depth. `ages` are the seconds since each step was used, `distances` the tokens of other traffic since. `slots` are
    depths by number of slots. `groups` are the last steps of those that the same request used.
    """

    steps: Sequence[Step]
    size: Callable[[int], Size]
    ages: Sequence[float]
    distances: Sequence[float]
    slots: Mapping[int, int] = field(default_factory=dict)
    groups: Sequence[int] = ()
    _found: dict[tuple[int, float], tuple[Size, int]] = field(default_factory=dict)

    def surviving(self, retention: Retention, *, cleared_upto: int = -1) -> tuple[Size, int]:
        """Return the tokens and code points that are still cached. `cleared_upto`: requests up to it were lost."""
        count = len(self.steps)
        if retention.kind == "slots":
            depth = self.slots.get(int(retention.limit), 0)
            return self.size(depth), depth
        if cleared_upto >= 0:
            count = next((at for at, step in enumerate(self.steps) if step.newest <= cleared_upto), count)
        limit = inf
        if retention.kind == "lifetime":
            count = min(count, bisect_right(self.ages, retention.limit))
        elif retention.kind == "tokens":
            count, limit = self._within(retention.limit, count)
        return self._upto(count, limit)

    def _upto(self, count: int, limit: float) -> tuple[Size, int]:
        key = count, limit
        found = self._found.get(key)
        if found is None:
            depth = self.steps[count - 1].depth if count else 0
            size = self.size(depth)
            if size.tokens > limit:
                size = Size(limit, max(size.error, 12.0))
            found = self._found[key] = size, depth
        return found

    def _within(self, capacity: float, count: int) -> tuple[int, float]:
        """Return how many steps are among the last `capacity` tokens, and how many tokens of the last of them."""
        before, start = 0.0, 0
        for end in self.groups:
            if start >= count:
                break
            at = min(end, count - 1)
            room = capacity - self.distances[at]
            tokens = self.size(self.steps[at].depth).tokens
            if room <= before:
                return start, inf
            if room < tokens:
                return at + 1, round(room)
            before, start = tokens, end + 1
        return count, inf


@dataclass(frozen=True, slots=True)
class Outcome:
    """`size` tokens are cached, up to code point `depth`, with probability `weight`, under `rendering`."""

    weight: float
    size: Size
    depth: int
    rendering: Rendering


class Hypotheses:
    """The posterior of one endpoint and model."""

    def __init__(self, assumed_s: float) -> None:
        priors = retention_priors(assumed_s)
        self._logs = {
            rendering: [
                log(_ORDER_PRIOR[rendering.order])
                + log(_ANSWERS_PRIOR if rendering.answers else 1 - _ANSWERS_PRIOR)
                + prior
                for prior in priors
            ]
            for rendering in RENDERINGS
        }
        self._routing_logs = routing_priors()
        self._lost, self._kept = 0.6, 25.0
        self._surprise = 0.0
        self.cleared_upto, self.cleared = -1, 0.0
        """Requests up to this number were probably lost, and how probable that is."""
        self.tools_seen = self.answers_tested = 0
        self._weights: dict[Rendering, float] | None = None

    @property
    def loss_rate(self) -> float:
        """How often a server misses what should be cached, apart from all other reasons."""
        return min(self._lost / (self._lost + self._kept), 0.75)

    @property
    def weights(self) -> dict[Rendering, float]:
        """Probabilities of the renderings."""
        if self._weights is None:
            best = max(max(logs) for logs in self._logs.values())
            sums = {rendering: sum(exp(value - best) for value in logs) for rendering, logs in self._logs.items()}
            total = sum(sums.values())
            self._weights = {rendering: value / total for rendering, value in sums.items()}
        return self._weights

    @property
    def rendering(self) -> Rendering:
        """The most probable rendering."""
        weights = self.weights
        return max(weights, key=lambda rendering: weights[rendering])

    def retentions(self) -> list[float]:
        """Return probabilities of RETENTIONS."""
        best = max(max(logs) for logs in self._logs.values())
        sums = [sum(exp(logs[at] - best) for logs in self._logs.values()) for at in range(len(RETENTIONS))]
        total = sum(sums)
        return [value / total for value in sums]

    def routings(self) -> list[float]:
        """Return probabilities of ROUTINGS."""
        best = max(self._routing_logs)
        weights = [exp(value - best) for value in self._routing_logs]
        total = sum(weights)
        return [weight / total for weight in weights]

    def outcomes(
        self, reaches: Mapping[Rendering, Reach], *, least: float = 0.002
    ) -> list[Outcome]:
        """Return what may be cached with probabilities (sum 1), for one cache, before quantisation."""
        best = max(max(logs) for logs in self._logs.values())
        found: dict[tuple[Rendering, int, float], list[float]] = {}
        sizes: dict[tuple[Rendering, int, float], Size] = {}
        total = 0.0
        for rendering, logs in self._logs.items():
            reach = reaches.get(rendering)
            if reach is None:
                continue
            for at, value in enumerate(logs):
                weight = exp(value - best)
                if weight < 1e-6:
                    continue
                total += weight
                variants = [(1.0 - self.cleared, -1)]
                if self.cleared > 0.01:
                    variants.append((self.cleared, self.cleared_upto))
                else:
                    variants = [(1.0, -1)]
                for share, cleared_upto in variants:
                    size, depth = reach.surviving(RETENTIONS[at], cleared_upto=cleared_upto)
                    key = rendering, depth, round(size.tokens, 1)
                    sizes[key] = size
                    found.setdefault(key, [0.0])[0] += weight * share
        outcomes = [
            Outcome(weights[0] / total, sizes[key], key[1], key[0])
            for key, weights in found.items()
            if weights[0] >= least * total
        ]
        whole = sum(outcome.weight for outcome in outcomes) or 1.0
        return [Outcome(one.weight / whole, one.size, one.depth, one.rendering) for one in outcomes]

    def spread(self, reach: Reach, routing: Routing, upto: int) -> list[tuple[float, Size]]:
        """Return probabilities and sizes of what replicas may serve, of what is cached up to code point `upto`."""
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
        self, cached: int, prompt: int, reaches: Mapping[Rendering, Reach], units: Sequence[CacheUnit]
    ) -> float:
        """Weigh the hypotheses by a report. Returns the probability that a loss explains it (0 to 1)."""
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
        lost = self._lost_chance(cached, prompt, block)
        routings = self.routings()
        single = routings[0]
        spread_chance = self._spread_chance(reaches, routings, chance) if single < 0.98 else 0.0
        rate = self.loss_rate
        before = self._joint()
        total = explained = with_clear = 0.0
        stray = _MADE_UP * block / (prompt + block)
        likelihoods: dict[Rendering, list[float]] = {}
        known: dict[int, list[tuple[float, float]]] = {}
        for rendering in self._logs:
            reach = reaches.get(rendering)
            pairs = known.get(id(reach))
            if pairs is None:
                pairs = [self._cleared_chance(reach, retention, chance) for retention in RETENTIONS]
                known[id(reach)] = pairs
            row: list[float] = []
            for (plain, cleared), weight in zip(pairs, before[rendering], strict=True):
                fits = (1 - self.cleared) * plain + self.cleared * cleared
                one = single * ((1 - rate) * fits + rate * lost) + (1 - single) * spread_chance + stray
                row.append(one)
                total += weight * one
                explained += weight * single * (1 - rate) * fits
                with_clear += weight * single * (1 - rate) * self.cleared * cleared
            likelihoods[rendering] = row
        self._surprised(total)
        for rendering, row in likelihoods.items():
            self._logs[rendering] = [
                value + log(max(one, 1e-12)) for value, one in zip(self._logs[rendering], row, strict=True)
            ]
        self._weigh_routings(cached, prompt, reaches, chance, lost, block)
        self._normalize()
        by_loss = single * rate * lost / total if total else 0.0
        forget = 0.985
        self._lost = self._lost * forget + by_loss + 0.6 * (1 - forget)
        self._kept = self._kept * forget + (1 - by_loss) + 2.0 * (1 - forget)
        if self.cleared:
            self.cleared = min(with_clear / explained if explained > 1e-9 else self.cleared, 0.97)
        return min(by_loss, 1.0)

    def _cleared_chance(
        self, reach: Reach | None, retention: Retention, chance: Callable[[Size], float]
    ) -> tuple[float, float]:
        if reach is None:
            return 0.0, 0.0
        plain = chance(reach.surviving(retention)[0])
        if self.cleared < 0.01:
            return plain, plain
        return plain, chance(reach.surviving(retention, cleared_upto=self.cleared_upto)[0])

    @staticmethod
    def _lost_chance(cached: int, prompt: int, block: int) -> float:
        """Return the probability of a report if the server has lost something."""
        return (0.5 if cached == 0 else 0.0) + 0.5 * min(block / (prompt + block), 1.0)

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
        return reach.surviving(RETENTIONS[best])[1]

    def _weigh_routings(
        self,
        cached: int,
        prompt: int,
        reaches: Mapping[Rendering, Reach],
        chance: Callable[[Size], float],
        lost: float,
        block: int,
    ) -> None:
        reach = reaches.get(self.rendering)
        if reach is None or not reach.steps:
            return
        upto = reach.steps[-1].depth
        stray = _MADE_UP * block / (prompt + block)
        fits = sum(one.weight * chance(one.size) for one in self.outcomes(reaches))
        rate = 0.02
        for at, routing in enumerate(ROUTINGS):
            if routing.kind == "single":
                likely = (1 - rate) * fits + rate * lost
            else:
                found = sum(share * chance(size) for share, size in self.spread(reach, routing, upto))
                likely = (1 - rate) * found + rate * lost
            self._routing_logs[at] += log(max(likely + stray, 1e-12))

    def _joint(self) -> dict[Rendering, list[float]]:
        best = max(max(logs) for logs in self._logs.values())
        joint = {rendering: [exp(value - best) for value in logs] for rendering, logs in self._logs.items()}
        total = sum(sum(row) for row in joint.values())
        return {rendering: [value / total for value in row] for rendering, row in joint.items()}

    def _surprised(self, likelihood: float) -> None:
        """Lose some certainty if report after report contradicts all hypotheses: the server may have changed."""
        self._surprise = self._surprise * 0.7 + (likelihood < _SURPRISE)
        if self._surprise < 2.2:
            return
        self._surprise = 0.0
        for rendering, logs in self._logs.items():
            self._logs[rendering] = [0.6 * value for value in logs]
        self._routing_logs = [0.6 * value for value in self._routing_logs]

    def _normalize(self) -> None:
        best = max(max(logs) for logs in self._logs.values())
        for rendering, logs in self._logs.items():
            self._logs[rendering] = [max(value - best, _FLOOR) for value in logs]
        best = max(self._routing_logs)
        self._routing_logs = [max(value - best, _FLOOR) for value in self._routing_logs]
        self._weights = None

    def clear(self, upto: int, probability: float) -> None:
        """Assume that requests up to a number were lost: the server may have restarted."""
        if upto > self.cleared_upto or self.cleared < probability:
            self.cleared_upto, self.cleared = max(upto, self.cleared_upto), probability

    def state(self) -> dict[str, object]:
        """Return what was learned, as JSON values."""
        return {
            "renderings": {
                f"{one.order}/{'answers' if one.answers else 'prompts'}": [round(value, 3) for value in logs]
                for one, logs in self._logs.items()
            },
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
        for one in RENDERINGS:
            logs = renderings.get(f"{one.order}/{'answers' if one.answers else 'prompts'}")
            if logs is not None and len(logs) == len(RETENTIONS):
                self._logs[one] = list(logs)
        if len(routings) == len(ROUTINGS):
            self._routing_logs = list(routings)
        self._lost, self._kept = max(lost, 0.1), max(kept, 1.0)
        self.tools_seen, self.answers_tested = tools_seen, answers_tested
        self._normalize()

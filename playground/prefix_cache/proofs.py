"""What single reports have proved of a server, which the weights of hypotheses do not: needed to name a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb, gcd, inf

from msgspec import Struct

from playground.prefix_cache.difference import Parameters, that_may_matter
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.reach import CLOSING, Reach
from playground.prefix_cache.view import CacheView, Order
from playground.prompt.document import Json

GROWN = 1.1
"""Factor of the traffic after which a prefix was still served, up to which lack of room explains no other loss."""
CHECKPOINT = 256
"""Tokens: servers that keep states of certain positions keep those of multiples of this."""
GENERATION = NEAR
"""Tokens: a counted prompt ends with the beginning of the answer, which is behind the end of its last message."""
PROOF = 4.0
"""Standard deviations between a report and the size at the end of a message, from which it did not end there."""
SAME = 2
"""Tokens by which two reports of the same text may differ."""
PART = 64.0
"""Tokens of a part that is not served, from which a report counts as less than the shared tokens."""
PAUSES = 60
"""Number of newest reports whose pause is stored."""
CHANCE = 0.05
"""Probability that pauses separate hits from misses by chance, up to which a lifetime is the reason."""
SPREAD = 3
"""Losses that neither a prefix stored late nor lack of room explains, from which replicas are named."""
STORED_S, ANSWER_S = 30.0, 5.0
"""Seconds after a request was sent: no server is known to store its prefix later, 20 s after its answer; and by which
the times of two answers may differ."""
MOVED = 2
"""Earlier reports in a row, from which a template that moves text is the cause of a report that agrees with it."""
OFF, OFF_AGAIN = 2, 4
"""Reports of nothing in a row after which nothing is forecast, if none before had cached tokens, and if some had."""
MAX_PARAMETERS = 256
"""Sets of parameters that are known, the newest ones: with the name of a user in each request they would never end."""
LARGE = 1100.0
"""Tokens above the usual minimums: a cache that serves no prefix as long is off, whatever the length."""
RESTARTS = 3
"""Number of restarts, each in a long pause, from which a lifetime is the more probable reason."""


def message_ends(view: CacheView) -> list[int]:
    """Return where messages and tools end in a view."""
    pairs = zip(view.parts, view.parts[1:], strict=False)
    ends = [one.end for one, after in pairs if (one.kind == "tool", one.index) != (after.kind == "tool", after.index)]
    return [*ends, view.parts[-1].end] if view.parts else []


def ends_at(cached: int, size: Size, block: int, deviations: float = 2.0) -> bool:
    """Return whether a report is all whole blocks up to the end of a message of so many tokens."""
    slack = deviations * size.error
    return -slack - 2 <= size.tokens - cached < max(block, GENERATION) + slack


def near_figure(cached: int, figures: Sequence[int]) -> bool:
    """Return whether about as many tokens were reported before."""
    return any(abs(figure - cached) <= SAME for figure in figures)


def _restarts(lost: Sequence[tuple[float, float]], kept: Sequence[tuple[float, float]]) -> int | None:
    """Return how many restarts at least explain that prefixes were lost between two times, and none of those that were
    kept. None: a loss between whose times other prefixes were kept, which no restart explains."""
    count, last = 0, -inf
    for used, sent in sorted(lost, key=lambda each: each[1]):
        if used < last <= sent:
            continue
        moment = sent
        while (held := next((one for one in kept if one[0] < moment <= one[1]), None)) is not None:
            moment = held[0]
        if moment <= used:
            return None
        count, last = count + 1, moment
    return count


class _Unserved(Struct):
    """Reports of nothing in a row, for prefixes of up to `tokens`. `served`: whether one before had cached tokens."""

    count: int = 0
    tokens: float = 0.0
    served: bool = False


class CacheOff:
    """Sets of parameters (users, models of a gateway …) for which the cache is probably off, of this session."""

    def __init__(self) -> None:
        self._reports: dict[Parameters, _Unserved] = {}

    def add(self, fields: Mapping[str, Json] | None, tokens: float, cached: int) -> None:
        """Add a report for a prompt that shares `tokens` at least with an earlier request."""
        parameters = that_may_matter(fields or {})
        known = self._reports[parameters] = self._reports.pop(parameters, _Unserved())
        if len(self._reports) > MAX_PARAMETERS:
            del self._reports[next(iter(self._reports))]
        if cached:
            known.count, known.tokens, known.served = 0, 0.0, True
        else:
            known.count, known.tokens = known.count + 1, max(known.tokens, tokens)

    def serves_nothing(self, fields: Mapping[str, Json] | None, tokens: float) -> bool:
        """Return whether nothing will be served of a prompt that shares `tokens` with an earlier request."""
        known = self._reports.get(that_may_matter(fields or {}))
        needed, growth = (OFF_AGAIN, 1.0) if known is not None and known.served else (OFF, GROWN)
        return known is not None and known.count >= needed and known.tokens >= min(tokens / growth, LARGE)


class _Pause(Struct, frozen=True):
    """A prefix that was used again `seconds` after its last use, `at` Unix seconds. `hit`: whether it was served."""

    seconds: float
    hit: bool
    at: float

    @property
    def time(self) -> tuple[float, float]:
        """When it began and ended."""
        return self.at - self.seconds, self.at


class CacheProofs:
    """Proofs of one endpoint and model."""

    def __init__(self) -> None:
        self._unserved = [0.0, 0.0]
        self.shared: set[str] = set()
        """Names of parameters with which requests share a cache although their values differ."""
        self._outlived = 0.0
        """Tokens of a prefix that was served whole, with all other traffic since it was used."""
        self.inside = False
        """Whether a report ended where a message began to differ, or at no end of a message: the server finds any
        beginning again, and not only whole messages or requests, as with explicit breakpoints or saved states."""
        self._pauses: list[_Pause] = []
        """The newest ones, oldest first."""
        self._whole = 0
        """Reports of all that the newest of several requests shares."""
        self._losses: list[tuple[float, float]] = []
        """Reports of exactly what an older request shares: seconds since the prefix that was not served was used, and
        the tokens of room that it needed, with the traffic since."""
        self.stored_s = inf
        """Shortest time after which a prefix was served that no other request had sent before: it is stored by then."""
        self._moved: dict[str, int] = {}
        """By order in which a template moves text: reports in a row that agree with it and not with a plain order."""

    @property
    def unserved(self) -> float:
        """Return the tokens of a whole prompt that was sent again, or continued, soon, and of which nothing was served;
        at least two prompts as long were not. Such a server has a minimum above it."""
        return self._unserved[0]

    def add_whole(self, prompt_tokens: int, cached: int) -> None:
        """Add a report for a prompt that begins with the whole of an earlier one, of `prompt_tokens`."""
        if not cached:
            self._unserved = sorted((*self._unserved, float(prompt_tokens)))[-2:]

    @property
    def served_pauses(self) -> tuple[float, float]:
        """Return the shortest and the longest pause after which a prefix was served."""
        hits = [one.seconds for one in self._pauses if one.hit]
        return min(hits, default=inf), max(hits, default=0.0)

    @property
    def restarts_explain_losses(self) -> bool:
        """Return whether fewer than `RESTARTS` restarts explain all misses, and none of the hits."""
        misses, hits = ([one.time for one in self._pauses if one.hit is hit] for hit in (False, True))
        restarts = _restarts(misses, hits)
        return restarts is not None and restarts < RESTARTS

    def forgets_after(self, seconds: float, pause: float, at: float) -> bool:
        """Return whether pauses longer than a lifetime alone separate misses from hits, which replicas and other
        losses do only by chance; with a miss after `pause` of a request that was sent `at`. Misses that one restart
        explains are one, and several restarts are no chance if each is in a long pause."""
        misses = [*(one for one in self._pauses if not one.hit), _Pause(pause, False, at)]
        hits = [one for one in self._pauses if one.hit]
        shortest = min(one.seconds for one in misses)
        if not hits or shortest <= max(one.seconds for one in hits) or shortest < 0.8 * seconds:
            return False
        restarts = _restarts([one.time for one in misses], [one.time for one in hits])
        enough = restarts is None or restarts >= RESTARTS
        losses = len(misses) if restarts is None else restarts
        return enough and 1 / comb(len(hits) + losses, losses) <= CHANCE

    def add_served(
        self, reach: Reach, cached: int, block: int, at: float, *, stored: bool = True, sure: bool = True
    ) -> None:
        """Add a report with what the cache might hold; the request was sent `at`. `stored`: whether the request that
        shares most was served something, so that the cache was not off for it. `sure`: no other probable order explains
        a report of less."""
        if reach.steps:
            size, least = reach.size(reach.steps[-1].depth), block + NEAR
            missed = size.tokens - cached
            if size.tokens >= PART + least:
                hit = missed < least + 2 * size.error
                if hit or (sure and missed >= PART + least + 2 * size.error):
                    # Another request, sent since, may have as much of it.
                    enough = (reach.size(step.depth).tokens >= cached - NEAR for step in reach.steps)
                    ages = [age for age, found in zip(reach.ages, enough, strict=True) if found and hit]
                    age = min([*ages, reach.ages[-1]])
                    self._pauses = [*self._pauses, _Pause(age, hit, at)][-PAUSES:]
        for step, distance in zip(reach.steps, reach.distances, strict=True):
            size = reach.size(step.depth)
            if size.tokens - block - 2 * size.error <= cached:
                self._outlived = max(self._outlived, distance + size.tokens)
        if len(reach.steps) > 1:
            longest, *others = (reach.size(step.depth) for step in reversed(reach.steps))
            slack = block + 2 * longest.error
            if longest.tokens - others[0].tokens > slack:
                whole = cached >= longest.tokens - slack
                less = bool(cached) and stored and any(ends_at(cached, other, block) for other in others)
                self._whole += whole
                if less and not whole:
                    rows = zip(reach.steps, reach.ages, reach.distances, strict=True)
                    lost = [
                        (age, room + tokens)
                        for step, age, room in rows
                        if (tokens := reach.size(step.depth).tokens) > cached + slack
                    ]
                    self.add_loss(max(age for age, _ in lost), min(room for _, room in lost))
        self._add_stored(reach, cached, block)

    def add_loss(self, age_s: float, room: float) -> None:
        """Add a prefix that was not served `age_s` seconds after its last use, though an older one was: it needed
        so many tokens of room, with all traffic since."""
        self._losses = [*self._losses, (age_s, room)][-PAUSES:]

    def _add_stored(self, reach: Reach, cached: int, block: int) -> None:
        """Learn how soon a prefix is stored: blocks of an older request say nothing of the newest one."""
        before = 0.0
        for step, age in zip(reach.steps, reach.ages, strict=True):
            size = reach.size(step.depth)
            slack = block + NEAR + 2 * size.error
            known = size.error <= NEAR and -NEAR <= size.tokens - cached <= slack  # more is served: a wrong estimate
            if known and step.count == 1 and cached > before + slack:
                self.stored_s = min(self.stored_s, age)
            before = size.tokens

    def add_ended(self, reach: Reach, view: CacheView, cached: int, block: int, figures: Sequence[int]) -> None:
        """Add a report with what earlier requests share, the prompt in that order, and the figures reported before."""
        if self.inside or not cached or not reach.steps:
            return
        if not cached % CHECKPOINT or near_figure(cached, figures):
            return  # a saved state
        depth = reach.steps[-1].depth
        ends = message_ends(view)
        before = max((end for end in ends if end <= depth + CLOSING), default=0)
        whole, shared = reach.size(before), reach.size(depth)
        slack = block + NEAR + 3 * shared.error
        beyond = cached - whole.tokens > block + NEAR + 3 * whole.error
        if beyond and -slack <= shared.tokens - cached <= slack:
            self.inside = shared.error > 0.0  # a size without error is that of a whole prompt
        elif gcd(cached, *figures) < CHECKPOINT / 2:
            self.inside = bool(figures) and not any(ends_at(cached, reach.size(end), block, PROOF) for end in ends)

    def add_moved(self, sizes: Mapping[Order, Size], plain: Size, cached: int, block: int) -> None:
        """Add a report with what earlier requests share in each order that moves text, and in a plain one."""
        for order, size in sizes.items():
            fits = ends_at(cached, size, block)
            if cached and fits != ends_at(cached, plain, block):
                self._moved[order] = self._moved.get(order, 0) + 1 if fits else 0

    def moves(self, order: Order) -> bool:
        """Return whether reports have shown that the template moves text as in an order: replicas, or a cache that lost
        something, agree with it once or twice."""
        return self._moved.get(order, 0) >= MOVED

    @property
    def elsewhere(self) -> bool:
        """Return whether several reports had exactly what an older request shares, as with replicas that do not know
        the same requests, although another prefix was stored as soon, and one that needs as much room was kept."""
        late = min(self.stored_s + ANSWER_S, STORED_S)
        return sum(age > late and room <= self._outlived for age, room in self._losses) >= SPREAD

    @property
    def perhaps_spread(self) -> bool:
        """Return whether the reports look like replicas at random, whatever else may explain them."""
        return self._whole > 0 and len(self._losses) >= SPREAD

    @property
    def spread(self) -> bool:
        """Return whether replicas at random are proved: some reports had all that the newest of several requests
        shares, too. A minimum and a cache that is off for some requests look like replicas otherwise."""
        return self._whole > 0 and self.elsewhere

    def outlived(self, reach: Reach, block: int) -> bool:
        """Return whether another prefix was served after as much traffic as there was since this one was used."""
        if not reach.steps:
            return False
        distance, size = reach.distances[-1], reach.size(reach.steps[-1].depth).tokens
        return distance <= block or distance + size <= GROWN * self._outlived

    def state(self) -> dict[str, object]:
        return {
            "unserved": self._unserved,
            "outlived": self._outlived,
            "spread": [self._whole],
            "losses": self._losses,
            "stored": [self.stored_s] if self.stored_s < inf else [],
            "shared": sorted(self.shared),
            "inside": self.inside,
            "pauses": [(one.seconds, one.hit) for one in self._pauses],
            "moments": [one.at for one in self._pauses],
            "moved": self._moved,
        }

    def restore(
        self,
        unserved: Sequence[float],
        outlived: float,
        spread: Sequence[int] = (),
        shared: Sequence[str] = (),
        *,
        inside: bool = False,
        pauses: Sequence[tuple[float, bool]] = (),
        moments: Sequence[float] = (),
        moved: Mapping[str, int] | None = None,
        losses: Sequence[tuple[float, float]] = (),
        stored: Sequence[float] = (),
    ) -> None:
        self._unserved = sorted((0.0, 0.0, *unserved))[-2:]
        self._outlived = max(outlived, 0.0)
        self.shared.update(shared)
        self.inside = inside
        self._moved = dict(moved or {})
        known = len(pauses) == len(moments)  # an earlier version stored no moments
        rows = zip(pauses, moments, strict=True) if known else ()
        self._pauses = [_Pause(seconds, hit, at) for (seconds, hit), at in rows][-PAUSES:]
        self._whole = max((*spread, 0)[0], 0)
        self._losses = list(losses)[-PAUSES:]
        self.stored_s = min(stored, default=inf)

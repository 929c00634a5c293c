"""What single reports have proved of a server, which the weights of hypotheses do not: needed to name a cause."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import comb, exp, expm1, inf, log

from msgspec import Struct

from playground.prefix_cache.block_size import rounded_off
from playground.prefix_cache.difference import COMPARED_ELSEWHERE, HARMLESS, Parameters, parameters_of, that_may_matter
from playground.prefix_cache.forecast import Again
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.reach import CLOSING, Reach
from playground.prefix_cache.text_compare import snippet
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
RECENT, SHORT_REPORTS = 12, 2
"""Newest reports that tell of running requests and of prompts sent again; reports in a row that show a constant."""
CHANCE = 0.05
"""Probability that pauses separate hits from misses by chance, up to which a lifetime is the reason."""
LONGER, LATER = 1.25, 0.1
"""Factor by which a pause is clearly longer than a lifetime, one step of `LIFETIMES`; share of the hits that another
program may explain."""
LATE = 0.01
"""Probability that ages separate served from other prefixes by chance, up to which storage is late."""
SPREAD = 3
"""Losses that neither a prefix stored late, lack of room nor few restarts explain, from which replicas are named."""
STORED_S, LATEST_S = 30.0, 120.0
"""Seconds after a request was sent: few servers store its prefix later than the first, 20 s after its answer, and none
is known to do so later than the second, as one that writes to a disk in the background."""
ANSWER_S = 5.0
"""Seconds by which the times of two answers may differ."""
CLOCKS: Mapping[str, tuple[int, Sequence[int]]] = {
    "minute": (60, (0,)),
    "hour": (3600, range(0, 3600, 900)),
    "date": (86_400, range(0, 86_400, 3600)),
}
"""Units of the time that a template may print: seconds, and when they begin in some time zone."""
MOVED = 2
"""Earlier reports in a row, from which a template that moves text is the cause of a report that agrees with it."""
OFF, OFF_AGAIN = 2, 4
"""Reports of nothing in a row after which nothing is forecast, if none before had cached tokens, and if some had."""
MAX_PARAMETERS = 256
"""Sets of parameters that are known, the newest ones: with the name of a user in each request they would never end."""
LARGE = 1100.0
"""Tokens above the usual minimums: a cache that serves no prefix as long is off, whatever the length."""
BEYOND = 0.1
"""Probability that a report is less than `PART` above what may be served, because the opening of the answer, or the
rest of a block, was served, too."""
UNLIKELY, DOUBTED = 0.02, 0.3
"""Probability of reports up to which replicas that are chosen at random are excluded, and up to which reports speak
against a place of the tools."""
OFTEN_S, RARE = 300.0, 0.005
"""Seconds between restarts, or flushes, that are as frequent as may be; probability of the pauses under such restarts
up to which a lifetime is the more probable reason."""
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
    kept. None: a loss between whose times other prefixes stayed cached, which no restart explains."""
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


def _by_chance(lost: Sequence[float], kept: Sequence[float]) -> float:
    """Return the probability that restarts at random moments are in all pauses of the lost prefixes and in none of the
    kept ones, at the rate that explains them best."""
    rates = [1.0 / (OFTEN_S * 2.0**step) for step in range(10)]
    return max(exp(sum(log(-expm1(-rate * one)) for one in lost) - rate * sum(kept)) for rate in rates)


def _changed(began: float, ended: float, unit: int, zone: int) -> bool:
    """Return whether a unit of time changed between two moments, in a time zone so many seconds from UTC."""
    return (began - zone) // unit != (ended - zone) // unit


class _Unserved(Struct):
    """Reports of nothing in a row, for prefixes of up to `tokens`. `served`: whether one before had cached tokens."""

    count: int = 0
    tokens: float = 0.0
    served: bool = False


class CacheOff:
    """Sets of parameters (users, models of a gateway …) for which the cache is probably off, and single fields of any
    other kind, of this session."""

    def __init__(self) -> None:
        self._reports: dict[Parameters, _Unserved] = {}
        self._hits = self._misses = 0

    def add(self, fields: Mapping[str, Json] | None, tokens: float, cached: int) -> None:
        """Add a report for a prompt that shares `tokens` at least with an earlier request."""
        self._hits, self._misses = self._hits + bool(cached), self._misses + (not cached)
        for key in _keys(fields):
            known = self._reports[key] = self._reports.pop(key, _Unserved())
            if cached:
                known.count, known.tokens, known.served = 0, 0.0, True
            else:
                known.count, known.tokens = known.count + 1, max(known.tokens, tokens)
        while len(self._reports) > MAX_PARAMETERS:
            del self._reports[next(iter(self._reports))]

    def proved(self, fields: Mapping[str, Json] | None) -> str:
        """Return the parameters, or the fields, for which nothing was ever served, which with another report of nothing
        is no chance: other ones were served in the meantime. Empty if there are none."""
        parameters, *others = _keys(fields)
        if not self._no_chance(parameters, CHANCE):
            return _words(self._proved(others))
        served = {pair for key, known in self._reports.items() if known.served for pair in key}
        return _words([(pair,) for pair in parameters if pair not in served]) or "the same parameters"

    def _proved(self, keys: Sequence[Parameters]) -> list[Parameters]:
        return [key for key in keys if self._no_chance(key, CHANCE / len(keys))]

    def _no_chance(self, key: Parameters, most: float) -> bool:
        known = self._reports.get(key)
        if known is None or known.served or known.count < OFF:
            return False
        count, others = known.count + 1, self._misses - known.count
        return comb(count + others, count) <= most * comb(count + others + self._hits, count)

    def serves_nothing(self, fields: Mapping[str, Json] | None, tokens: float) -> bool:
        """Return whether nothing will be served of a prompt that shares `tokens` with an earlier request."""
        parameters, *others = _keys(fields)
        known = self._reports.get(parameters)
        needed, growth = (OFF_AGAIN, 1.0) if known is not None and known.served else (OFF, GROWN)
        off = known is not None and known.count >= needed and known.tokens >= min(tokens / growth, LARGE)
        return off or bool(self._proved(others))


def _words(keys: Iterable[Parameters]) -> str:
    """Return fields as text: with their values, unless any value is meant."""
    values = dict(sorted((pair for key in keys for pair in key), key=lambda pair: not pair[1]))
    return ", ".join(f"{name}: {snippet(value)}" if value else name for name, value in values.items())


def _keys(fields: Mapping[str, Json] | None) -> list[Parameters]:
    """Return the parameters that may matter, and each other field with its value and without."""
    mine = fields or {}
    others = parameters_of({name: value for name, value in mine.items() if name in HARMLESS - COMPARED_ELSEWHERE})
    keys = [key for name, value in others for key in (((name, value),), ((name, ""),))]
    return [that_may_matter(mine), *keys]


class _Pause(Struct, frozen=True):
    """A prefix that was used again `seconds` after its last use, `at` Unix seconds. `hit`: whether it was served."""

    seconds: float
    hit: bool
    at: float

    @property
    def time(self) -> tuple[float, float]:
        """When it began and ended."""
        return self.at - self.seconds, self.at


class _Loss(Struct, frozen=True):
    """A report of exactly what an older request shares: `age_s` seconds after the prefix that was not served was used,
    for a request sent `at`. `room`: the tokens that this prefix needed, with the traffic since. `alone`: the served
    tokens, if no other prompt was sent since, which may have taken its slot."""

    age_s: float
    room: float
    at: float
    alone: int | None = None


class CacheProofs:
    """Proofs of one endpoint and model."""

    def __init__(self) -> None:
        self._unserved = [0.0, 0.0]
        self.shared: set[str] = set()
        """Names of parameters with which requests share a cache although their values differ."""
        self.apart: dict[str, int] = {}
        """Names of the others, with the reports of this session that end where a request with the same value does."""
        self._outlived = 0.0
        """Tokens of a prefix that was served whole, with all other traffic since it was used."""
        self.inside = False
        """Whether a report ended where a message began to differ, or at no end of a message: the server finds any
        beginning again, and not only whole messages or requests, as with explicit breakpoints or saved states."""
        self._pauses: list[_Pause] = []
        """The newest ones, oldest first."""
        self._whole = 0
        """Reports of all that the newest of several requests shares."""
        self._kept: list[float] = []
        """Seconds since that request was sent, for each of these reports of this session."""
        self._losses: list[_Loss] = []
        self.stored_s = self.stored_after_s = inf
        """Shortest time after a request was sent, and after its answer ended, after which a prefix was served that no
        other request had sent before: it is stored by then."""
        self._in_flight: list[tuple[float, bool]] = []
        """Seconds since a running request was sent, and whether what only this one shares was served."""
        self._again: list[bool] = []
        """Whether a prompt of which less than all was served before was served the same when it was sent again."""
        self._short: list[float] = []
        """Tokens that were not served of counted prompts that had been sent before."""
        self._served: list[tuple[float, int, float]] = []
        """The newest reports: seconds since the newest request that has as much was sent, the tokens, and when."""
        self.at_once = False
        """Whether a prefix was served that one request alone had sent: it is not stored at the second one only."""
        self._excluded: dict[str, float] = {}
        """By name of what a server may do: the probability that the reports of less are losses that end by chance where
        another one ends. 0: more was served than it can give."""
        self._ends: dict[str, set[int]] = {}
        self._moved: dict[str, int] = {}
        """By order in which a template moves text: reports in a row that agree with it and not with a plain order."""

    def add_in_flight(self, seconds: float, *, served: bool) -> None:
        self._in_flight = [*self._in_flight, (seconds, served)][-PAUSES:]

    def waits(self, seconds: float) -> bool:
        """Return whether a server probably has not stored what a running request that was sent so long ago shares:
        older ones were not served, and fewer younger ones were."""
        unserved = sum(not served and 2 * age >= seconds for age, served in self._in_flight[-RECENT:])
        return unserved > sum(served and age <= 2 * seconds for age, served in self._in_flight[-RECENT:])

    def add_again(self, again: Again, cached: int) -> None:
        """Add a report for a prompt that was sent before."""
        if again.served and 0 < again.served[0] < again.whole:
            self._again = [*self._again, again.served[0] == cached][-RECENT:]
        if cached and again.whole:
            self._short = [*self._short, again.whole - cached][-SHORT_REPORTS:]

    def same_again(self, again: Again) -> float | None:
        """Return the figure probably served of a prompt sent before, if it is less than the cache has."""
        if again.served and again.served[0]:
            twice = len(again.served) > 1 and again.served[0] == again.served[1]
            believed = twice or not again.whole or 2 * sum(self._again) >= len(self._again)
            return float(again.served[0]) if believed else None
        constant = len(self._short) == SHORT_REPORTS and len(set(self._short)) == 1
        return (
            again.whole - self._short[0] if constant and not again.served and again.whole > self._short[0] > 0 else None
        )

    @property
    def unserved(self) -> float:
        """Return the tokens of a whole prompt that was sent again, or continued, soon, and of which nothing was served;
        at least two prompts as long were not. Such a server has a minimum above it."""
        return self._unserved[0]

    def unserved_between(self, least: float, most: float) -> bool:
        """Return whether nothing was served of a whole prompt of so many tokens that was sent again, or continued."""
        return any(least <= tokens <= most for tokens in self._unserved)

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
    def misses(self) -> int:
        """Return how many prefixes were not served though no minute had changed, which a template may print."""
        return sum(not one.hit and not _changed(*one.time, 60, 0) for one in self._pauses)

    @property
    def restarts_explain_losses(self) -> bool:
        """Return whether fewer than `RESTARTS` restarts explain all misses, and none of the hits."""
        misses, hits = ([one.time for one in self._pauses if one.hit is hit] for hit in (False, True))
        restarts = _restarts(misses, hits)
        return restarts is not None and restarts < RESTARTS

    def contradicts(self, lifetime_s: float) -> bool:
        """Return whether more than `LATER` of the hits were after a longer pause than a lifetime."""
        hits = [one.seconds for one in self._pauses if one.hit]
        return sum(one > LONGER * lifetime_s for one in hits) > LATER * len(hits)

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
        losses = len(misses) if restarts is None else restarts
        if losses < RESTARTS and restarts is not None:
            return False
        if 1 / comb(len(hits) + losses, losses) > CHANCE or self.clocks(at - pause, at, 0, explaining=True):
            return False
        pauses = [max(one.seconds, 1.0) for one in misses], [one.seconds for one in hits]
        return restarts is None or _by_chance(*pauses) <= RARE

    def clocks(self, began: float, ended: float, cached: int, *, explaining: bool = False) -> list[str]:
        """Return the units of time that changed between two moments, where a template that prints the time may have
        ended the prefix: no more than `cached` tokens were served after such a change. `explaining`: only units
        that explain most of the misses."""
        missed = [one.time for one in self._pauses if explaining and not one.hit]
        found = []
        served = [(at - age, at) for age, tokens, at in self._served if tokens > cached + PART]
        for name, (unit, zones) in CLOCKS.items():
            for zone in zones:
                after = [_changed(*times, unit, zone) for times in missed]
                others = name != "date" and after.count(False) > after.count(True) + 1
                if others or not _changed(began, ended, unit, zone):
                    continue
                if not any(_changed(*times, unit, zone) for times in served):
                    found.append(name)
                    break
        return found

    def add_served(
        self,
        reach: Reach,
        cached: int,
        block: int,
        at: float,
        *,
        stored: bool = True,
        sure: bool = True,
        in_turn: bool = False,
        renderings: Collection[Reach] = (),
        answered: Sequence[float] = (),
    ) -> None:
        """Add a report with what the cache might hold; the request was sent `at`. `stored`: whether the request that
        shares most was served something, so that the cache was not off for it. `sure`: no other probable order explains
        a report of less. `in_turn`: only the requests of one of several replicas are in `reach`. `renderings`:
        what the cache might hold in others; a server that finds only the ends of requests is no replica. `answered`:
        how many seconds the answers of the steps took, if known."""
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
        points = not self.inside and any(ends_at(cached, Size(one.asked, 0.0), block) for one in (reach, *renderings))
        needs = reach.needs
        for step, need in zip(reach.steps, needs, strict=True):
            size = reach.size(step.depth)
            if size.tokens - block - 2 * size.error <= cached:
                self._outlived = max(self._outlived, need)
        if len(reach.steps) > 1:
            longest, *others = (reach.size(step.depth) for step in reversed(reach.steps))
            slack = block + 2 * longest.error
            if longest.tokens - others[0].tokens > slack:
                whole = cached >= longest.tokens - slack
                less = bool(cached) and stored and not points and any(ends_at(cached, other, block) for other in others)
                self._whole += whole
                if whole:
                    self._kept = [*self._kept, reach.ages[-1]][-PAUSES:]
                if less and not whole:
                    rows = zip(reach.steps, reach.ages, needs, strict=True)
                    lost = [(age, room) for step, age, room in rows if reach.size(step.depth).tokens > cached + slack]
                    alone = None if reach.distances[-1] > block else cached
                    self.add_loss(max(age for age, _ in lost), min(room for _, room in lost), at, alone)
        self._add_stored(reach, cached, block, answered or [0.0] * len(reach.steps), in_turn=in_turn)
        self._add_age((reach, *renderings), cached, at)

    def add_loss(self, age_s: float, room: float, at: float, alone: int | None) -> None:
        """Add a prefix that was not served, though an older one was, see `_Loss`."""
        self._losses = [*self._losses, _Loss(age_s, room, at, alone)][-PAUSES:]

    def _add_age(self, reaches: Iterable[Reach], cached: int, at: float) -> None:
        """Learn how long before the newest request was sent that has the served tokens in some rendering."""
        ages = (
            age
            for reach in reaches
            for step, age in zip(reach.steps, reach.ages, strict=True)
            if reach.size(step.depth).tokens >= cached - NEAR
        )
        age = min(ages, default=inf)
        if cached >= PART and age < inf:
            self._served = [*self._served, (age, cached, at)][-PAUSES:]

    def _add_stored(self, reach: Reach, cached: int, block: int, answered: Sequence[float], *, in_turn: bool) -> None:
        """Learn how soon a prefix is stored: blocks of an older request say nothing of the newest one."""
        before = 0.0
        for step, age, took in zip(reach.steps, reach.ages, answered, strict=True):
            size = reach.size(step.depth)
            slack = block + NEAR + 2 * size.error
            known = size.error <= NEAR and -NEAR <= size.tokens - cached <= slack  # more is served: a wrong estimate
            if known and step.count == 1 and cached > before + slack:
                self.stored_s, self.stored_after_s = min(self.stored_s, age), min(self.stored_after_s, age - took)
                self.at_once = self.at_once or not in_turn
            before = size.tokens

    def add_ended(
        self, reach: Reach, view: CacheView, cached: int, block: int, figures: Sequence[int], unit: int
    ) -> None:
        """Add a report with what earlier requests share, the prompt in that order, the figures reported before, and the
        largest unit of which all may be whole ones."""
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
        elif unit < CHECKPOINT / 2:
            most = max(block, GENERATION) + rounded_off((cached, *figures))
            self.inside = bool(figures) and not any(ends_at(cached, reach.size(end), most, PROOF) for end in ends)

    def add_moved(self, sizes: Mapping[Order, Size], plain: Size, cached: int, block: int) -> None:
        """Add a report with what earlier requests share in each order that moves text, and in a plain one."""
        for order, size in sizes.items():
            fits = ends_at(cached, size, block)
            if cached and fits != ends_at(cached, plain, block):
                self._moved[order] = self._moved.get(order, 0) + 1 if fits else 0

    def moves(self, order: Order) -> bool:
        """Return whether reports have shown that the template moves text as in an order: replicas, or a cache that lost
        something, agree with it once or twice. Not while replicas explain the loss as well."""
        return self._moved.get(order, 0) >= MOVED and (not self._losses or self.one_cache)

    @property
    def elsewhere(self) -> bool:
        """Return whether several reports had exactly what an older request shares, as with replicas that do not know
        the same requests, although another prefix was stored as soon, and one that needs as much room stayed cached."""
        return self._spread(self._losses)

    def _spread(self, losses: Iterable[_Loss]) -> bool:
        late = min(self.stored_s + ANSWER_S, STORED_S)
        lost = [(one.at - one.age_s, one.at) for one in losses if one.age_s > late and one.room <= self._outlived]
        restarts = _restarts(lost, [one.time for one in self._pauses if one.hit])
        return len(lost) >= SPREAD and (restarts is None or restarts >= RESTARTS)

    @property
    def perhaps_spread(self) -> bool:
        """Return whether the reports look like replicas at random, whatever else may explain them."""
        return self._whole > 0 and len(self._losses) >= SPREAD

    @property
    def spread(self) -> bool:
        """Return whether replicas at random are proved: some reports had all that the newest of several requests
        shares, too. A minimum and a cache that is off for some requests look like replicas otherwise; so do a cache
        that stores only prompts seen for the second time, slots that other prompts take, and the time in a template."""
        no_clock = (
            one
            for one in self._losses
            if one.alone is not None and not self.clocks(one.at - one.age_s, one.at, one.alone, explaining=True)
        )
        return self._whole > 0 and self.at_once and self._spread(no_clock)

    def outlived(self, reach: Reach, block: int) -> bool:
        """Return whether another prefix was served after as much traffic as there was since this one was used."""
        if not reach.steps:
            return False
        return reach.distances[-1] <= block or self.room_kept(reach, GROWN)

    def room_kept(self, reach: Reach, grown: float = 1.0) -> bool:
        """Return whether another prefix was served that needed as much room, or less by a factor."""
        return bool(reach.steps) and reach.needs[-1] <= grown * self._outlived

    @property
    def late_s(self) -> float:
        """Return the seconds after a request up to which its prefix is not stored; 0 unless all of what older requests
        alone were served of is younger than all that was served whole, which is no chance."""
        lost = [one.age_s for one in self._losses]
        if not lost or not self._kept or max(lost) >= min(*self._kept, STORED_S):
            return 0.0
        chance = 1 / comb(len(lost) + len(self._kept), len(lost))
        return (max(lost) + min(self._kept)) / 2 if chance <= LATE else 0.0

    def exclude(
        self, sizes: Mapping[str, Sequence[Size]], cached: int, block: int, age_s: float, newer: Sequence[Size] = ()
    ) -> None:
        """Add a report with what earlier requests share under each of several things that a server may do. `age_s`:
        the time since the newest of these; later ones are not stored yet. `newer`: what newer requests share of it,
        where losses end, too."""
        if not cached:
            return
        # Else the estimates are wrong.
        explained = any(cached <= size.tokens + 3 * size.error + NEAR for each in sizes.values() for size in each)
        stored = age_s >= min(self.stored_s + ANSWER_S, STORED_S)
        unit = block if not cached % block else 1
        stored = stored and not any(ends_at(cached, size, unit) for size in newer)
        for name, possible in sizes.items():
            others = [size for other, each in sizes.items() if other != name for size in each]
            known, seen = self._excluded.get(name, 1.0), self._ends.setdefault(name, set())
            ended = [size.error for size in others if ends_at(cached, size, unit)]
            if explained and all(cached > size.tokens + 3 * size.error + NEAR for size in possible):
                much = all(cached > size.tokens + 3 * size.error + PART for size in possible)
                known *= 0.0 if much else 1.0 if cached in seen else BEYOND
                seen.add(cached)
            elif stored and cached not in seen and ended:
                missed = min(size.tokens - 3 * size.error for size in possible) - cached
                if missed >= unit + NEAR:
                    seen.add(cached)
                    known *= min((max(unit, NEAR) + 4 * min(ended)) / missed, 1.0)
            self._excluded[name] = known

    def excludes(self, names: Iterable[str]) -> bool:
        """Return whether reports exclude all of what a server may do."""
        return all(self._excluded.get(name, 1.0) <= UNLIKELY for name in names)

    def doubts(self, names: Iterable[str]) -> bool:
        """Return whether some report with cached tokens speaks against each of several things that a server may do."""
        return all(self._excluded.get(name, 1.0) <= DOUBTED for name in names)

    @property
    def one_cache(self) -> bool:
        """Return whether replicas hardly have all that the newest request shares as often as the reports, with another
        loss: each of two that are chosen at random has it in half of them."""
        count = self._whole + len(self._losses) + 1
        chance: float = sum(comb(count, losses) for losses in range(len(self._losses) + 2)) / 2.0**count
        return chance <= UNLIKELY

    def state(self) -> dict[str, object]:
        return {
            "unserved": self._unserved,
            "outlived": self._outlived,
            "spread": [self._whole],
            "losses": [(one.age_s, one.room) for one in self._losses],
            "lost_at": [one.at for one in self._losses],
            "alone": sorted((one.at, one.alone) for one in self._losses if one.alone is not None),
            "found": self._served,
            "at_once": self.at_once,
            "stored": [self.stored_s, self.stored_after_s] if self.stored_s < inf else [],
            "shared": sorted(self.shared),
            "inside": self.inside,
            "pauses": [(one.seconds, one.hit) for one in self._pauses],
            "moments": [one.at for one in self._pauses],
            "moved": self._moved,
            "excluded": self._excluded,
            "in_flight": self._in_flight,
            "again": self._again,
            "short": self._short,
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
        excluded: Mapping[str, float] | None = None,
        losses: Sequence[tuple[float, float]] = (),
        lost_at: Sequence[float] = (),
        alone: Sequence[tuple[float, int]] = (),
        found: Sequence[tuple[float, int, float]] = (),
        at_once: bool = False,
        stored: Sequence[float] = (),
        in_flight: Sequence[tuple[float, bool]] = (),
        again: Sequence[bool] = (),
        short: Sequence[float] = (),
    ) -> None:
        self._unserved = sorted((0.0, 0.0, *unserved))[-2:]
        self._outlived = max(outlived, 0.0)
        self.shared.update(shared)
        self.inside = inside
        self._in_flight, self._again, self._short = list(in_flight), list(again), list(short)
        self._moved, self._excluded = dict(moved or {}), dict(excluded or {})
        known = len(pauses) == len(moments)  # an earlier version stored no moments
        rows = zip(pauses, moments, strict=True) if known else ()
        self._pauses = [_Pause(seconds, hit, at) for (seconds, hit), at in rows][-PAUSES:]
        self._whole = max((*spread, 0)[0], 0)
        times = lost_at if len(lost_at) == len(losses) else [0.0] * len(losses)  # an earlier version stored none
        tokens, pairs = dict(alone), zip(losses, times, strict=True)
        self._losses = [_Loss(age_s, room, at, tokens.get(at)) for (age_s, room), at in pairs][-PAUSES:]
        self._served, self.at_once = [*found], at_once
        self.stored_s, self.stored_after_s = max(stored, default=inf), min(stored, default=inf)

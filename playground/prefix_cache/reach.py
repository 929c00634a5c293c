"""How much of a prompt a cache may still hold: the prefixes shared with earlier requests, and which of them each
retention keeps."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, log
from typing import Literal

from msgspec import Struct, field

from playground.prefix_cache.match_tree import FIXED, MatchStep
from playground.prefix_cache.prefix_size import NEAR, Size

PointKind = Literal["messages", "requests", "states_256", "states_512", "states_1024", "start", "limit"]
"""Ends of messages; ends of earlier requests; these and states every 256, 512 or 1,024 tokens; what the newest report
had, as with one breakpoint behind the system text; any beginning up to the largest report."""
STATES: dict[PointKind, int] = {"requests": 0, "states_256": 256, "states_512": 512, "states_1024": 1024}
KINDS: tuple[PointKind, ...] = ("messages", *STATES, "start", "limit")
KEPT, LEAST = 12, 3
"""Latest reports that tell, and how many are needed (of a limit twice as many, as figures grow with a conversation)."""
LOWEST = 256
"""Tokens: no limit is lower."""
BELIEVED, DOUBTED = 0.85, 0.6
"""Share of agreeing reports from which a kind is assumed, and below which it no longer is."""
CLOSING = 4
"""Code points behind a generated message that the next prompt adds."""
RetentionKind = Literal["everything", "lifetime", "tokens", "slots", "late", "clock", "clock_first", "fixed"]


class KeptPoints:
    """What one endpoint and model finds again."""

    def __init__(self) -> None:
        self.kind: PointKind | None = None
        """None: any beginning in whole blocks, or it is not known."""
        self._agreed: dict[PointKind, deque[bool]] = {kind: deque(maxlen=KEPT) for kind in KINDS}
        self.newest = self.largest = 0
        """The newest report above 0, and the largest one."""
        self._figures: dict[PointKind, set[int]] = {}
        """Different reports that agree, of this session."""

    @property
    def proved(self) -> PointKind | None:
        """Return the kind if several different figures agree with it: where only text in use stays cached, the same
        start is served again and again, which looks like one point."""
        several = self.kind not in (None, "start", "limit") and len(self._figures.get(self.kind, ())) >= LEAST
        return self.kind if several else None

    @property
    def limit(self) -> int:
        """Return the largest report if it came again for a prompt that shares more: one more such report, the third,
        may be all that the server caches, or reports, of a prompt. 0: it did not."""
        return self.largest if any(self._agreed["limit"]) else 0

    @property
    def limited_to(self) -> int | None:
        """Return the limit if so many reports agree with it that what longer prompts were not served is no loss."""
        return self.largest if self.kind == "limit" else None

    def figure(self, kind: PointKind) -> int:
        """Return the tokens at which a kind may end, whatever the prompt."""
        return self.largest if kind == "limit" else self.newest

    def add(self, cached: int, points: Mapping[PointKind, Size], shared: Size, block: int) -> None:
        """Add a report. `points`: what each kind serves of a prompt that shares so many tokens.

        A report tells of a kind only if it serves other blocks than a server that finds any beginning.
        """
        if not cached and not self.newest:
            return  # the cache may be off
        whole = ends_at_point(cached, shared, block)
        larger = cached > self.largest
        if larger:
            self.largest = cached
            self._agreed["limit"].clear()
        for kind, size in points.items():
            # A saved state has its tokens, whatever the block.
            state = not size.error and not size.tokens % (STATES.get(kind) or inf)
            found = ends_at_point(cached, size, 1 if state else block)
            if kind == "limit":
                found = found and cached == self.largest >= LOWEST and not larger
            apart = shared.tokens - size.tokens > 2 * block + NEAR + 2 * (shared.error + size.error)
            if kind == "start" and apart and not found:
                self._agreed[kind].clear()  # it is the same in each report, or it is no kind of server
            if apart and (found or whole):
                self._agreed[kind].append(found)
                if found:
                    self._figures.setdefault(kind, set()).add(cached)
        self.newest = cached or self.newest
        needed = {kind: 2 * LEAST if kind == "limit" else LEAST for kind in KINDS}
        shares = {kind: sum(known) / len(known) for kind, known in self._agreed.items() if len(known) >= needed[kind]}
        # Prompts of one length show the same start as a limit.
        usual = "limit" if self.kind == "start" and "limit" in shares else self.kind
        best = max(shares, key=lambda kind: (shares[kind], kind == usual, len(self._agreed[kind])), default=None)
        if best is not None and shares[best] >= BELIEVED:
            self.kind = best
        elif self.kind is not None and shares.get(self.kind, 0.0) < DOUBTED:
            self.kind = None

    def state(self) -> dict[str, list[bool]]:
        return {kind: list(known) for kind, known in self._agreed.items()}

    def restore(self, agreed: Mapping[str, Sequence[bool]]) -> None:
        """Continue from a stored state; kinds that are not considered any more are ignored."""
        for kind, known in self._agreed.items():
            known.extend(agreed.get(kind, ()))
            if len(known) >= LEAST and sum(known) >= BELIEVED * len(known) and self.kind is None:
                self.kind = kind


def ends_at_point(cached: int, size: Size, block: int) -> bool:
    """Return whether a report is all whole blocks up to a point after so many tokens."""
    slack = NEAR / 2 + 2 * size.error
    return -slack <= size.tokens - cached < max(block, NEAR) + slack


class Retention(Struct, frozen=True):
    """What a cache keeps: `limit` is seconds, tokens or slots by `kind`.

    "late": the prefixes of requests that ended so many seconds ago; "clock": everything, but the template prints the
    time in this unit of seconds behind the first message's text, so that the text behind it is shared while it does not
    change; "clock_first": the same in front of that text; "fixed": what was stored so many seconds ago at most.
    """

    kind: RetentionKind
    limit: float = inf


LIFETIMES = tuple(
    next((float(usual) for usual in (*FIXED, 7200) if abs(log(usual / seconds)) < log(1.25) / 2), round(seconds, 1))
    for seconds in (5.0 * 1.25**step for step in range(45))
)
"""Seconds: 5 s to a day, and those that servers are usually given."""
CAPACITIES = tuple(round(1_536 * 1.08**step) for step in range(70))
"""Tokens: 1,500 to 310,000."""
SLOTS = (1, 2, 4, 0)
"""Numbers of slots; 0: one slot whose earlier states stay in memory and are restored if they share much."""
DELAYS = (3, 6, 10, 15, 20, 30, 45, 60, 90)
"""Seconds: few servers store a prefix later than 20 s after its answer."""
UNITS = (60, 3600)
"""Seconds: a template that prints the date is as good as none, as no cache keeps a prefix for so long."""
CLOCKS: tuple[RetentionKind, ...] = ("clock", "clock_first")
BY_DEPTH = (
    *(Retention("slots", slots) for slots in SLOTS),
    *(Retention("late", seconds) for seconds in DELAYS),
    *(Retention(kind, seconds) for kind in CLOCKS for seconds in UNITS),
    *(Retention("fixed", seconds) for seconds in FIXED),
)
RETENTIONS = (
    Retention("everything"),
    *(Retention("lifetime", seconds) for seconds in LIFETIMES),
    *(Retention("tokens", tokens) for tokens in CAPACITIES),
    *BY_DEPTH,
)


class Classes(Struct, frozen=True):
    """Retentions that keep the same: `kinds` are tokens and code points, `members` each retention's index in it."""

    kinds: tuple[tuple[Size, int], ...]
    members: tuple[int, ...]

    def sums(self, weights: Sequence[float]) -> list[float]:
        """Return the weight of each kind."""
        found = [0.0] * len(self.kinds)
        for number, weight in zip(self.members, weights, strict=True):
            found[number] += weight
        return found


class Reach(Struct):
    """How far the cache may hold a prompt under one rendering.

    `steps` are shared prefixes, the shortest first: the newest request that uses each, and how many do. `size`
    gives the tokens of a depth. `ages` are the seconds since each step was used, `distances` the tokens of other
    traffic since. `held`: depths for each of `BY_DEPTH`. `groups` are the last steps of those that the same request
    used. `ends` are depths at which messages end, `counted` those at which earlier requests end, with their tokens,
    `asked` the tokens of the longest prompt that ends there; `served` are the most tokens that were served of a
    beginning that the prompt shares.
    """

    steps: Sequence[MatchStep]
    size: Callable[[int], Size]
    ages: Sequence[float]
    distances: Sequence[float]
    held: Sequence[int] = ()
    groups: Sequence[int] = ()
    ends: Sequence[int] = ()
    counted: Sequence[tuple[int, float]] = ()
    asked: float = 0.0
    served: int = 0
    _classes: dict[int, Classes] = field(default_factory=dict)

    @property
    def longest(self) -> Size:
        """Return the tokens of the longest shared prefix."""
        return self.size(self.steps[-1].depth if self.steps else 0)

    @property
    def newer(self) -> list[Size]:
        """Return the tokens of the shorter prefixes that newer requests share."""
        return [self.size(self.steps[at].depth) for at in self.groups[:-1]]

    @property
    def needs(self) -> list[float]:
        """Return the tokens of room that each step needs, with all traffic since: what newer requests share is part of
        that traffic."""
        found: list[float] = []
        tokens = newer = 0.0
        last = -1
        for step, distance in zip(self.steps, self.distances, strict=True):
            if step.newest != last:
                newer, last = tokens, step.newest
            tokens = self.size(step.depth).tokens
            found.append(distance + tokens - min(newer, distance))
        return found

    def classes(self, cleared_upto: int = -1) -> Classes:
        """Return what survives under each of RETENTIONS. `cleared_upto`: requests up to that number were lost."""
        if cleared_upto in self._classes:
            return self._classes[cleared_upto]
        numbers: dict[tuple[int, float], int] = {}
        kinds: list[tuple[Size, int]] = []
        whole_sizes: dict[int, tuple[Size, int]] = {}

        def number_of(count: int, limit: float = inf) -> int:
            found = numbers.get((count, limit))
            if found is None:
                found = numbers[count, limit] = len(kinds)
                known = whole_sizes.get(count)
                if known is None:
                    depth = self.steps[count - 1].depth if count else 0
                    known = whole_sizes[count] = self.size(depth), depth
                size, depth = known
                kinds.append((Size(limit, max(size.error, 12.0)), depth) if size.tokens > limit else known)
            return found

        count = len(self.steps)
        if cleared_upto >= 0:
            count = next((at for at, step in enumerate(self.steps) if step.newest <= cleared_upto), count)
        whole = number_of(count)
        members = [whole]
        for kept, shares in self._alive(count):
            members += [number_of(kept)] * shares
        needed = max(self.distances[:count], default=0.0) + kinds[whole][0].tokens
        short = bisect_left(CAPACITIES, needed)
        members += [number_of(*kept) for kept in self._within(CAPACITIES[:short], count)]
        members += [whole] * (len(CAPACITIES) - short)
        depths: dict[int, int] = {}
        for depth in self.held or (0,) * len(BY_DEPTH):
            if depth not in depths:
                depths[depth] = len(kinds)
                kinds.append((self.size(depth), depth))
            members.append(depths[depth])
        made = self._classes[cleared_upto] = Classes(tuple(kinds), tuple(members))
        return made

    def _alive(self, count: int) -> Iterator[tuple[int, int]]:
        """Yield how many of `count` steps survive under how many of LIFETIMES, the shortest lifetimes first."""
        start = 0
        for kept in range(count + 1):
            end = bisect_left(LIFETIMES, self.ages[kept]) if kept < count else len(LIFETIMES)
            if end > start:
                yield kept, end - start
                start = end
            if start == len(LIFETIMES):
                return

    def kept(self, kind: PointKind, depth: int, figure: int) -> Size:
        """Return what a server that finds only points of a kind serves of a prompt that shares `depth` code points.
        `figure`: tokens at which the kind may end, see `KeptPoints.figure`."""
        if kind in ("start", "limit"):
            size = self.size(depth)
            return Size(figure, 0.0) if 0 < figure < size.tokens else size
        if kind == "messages":
            return self.size(max((end for end in self.ends if end <= depth + CLOSING), default=0))
        size, unit = self.size(depth), STATES[kind]
        requests = max((tokens for end, tokens in self.counted if end <= depth), default=0.0)
        states = size.tokens // unit * unit if unit else 0.0
        return Size(max(states, requests), 0.0)

    def cut(self, limit: int) -> Reach:
        """Return the reach of a prompt of which only the first `limit` code points can be shared; itself if all is."""
        if all(step.depth <= limit for step in self.steps) and all(depth <= limit for depth in self.held):
            return self
        steps = cut_steps(self.steps, limit)
        count = len(steps)
        groups = [at for at in self.groups if at < count - 1]
        held = [min(depth, limit) for depth in self.held]
        ends = [*groups, count - 1] if count else []
        ages, distances = self.ages[:count], self.distances[:count]
        return Reach(steps, self.size, ages, distances, held, ends, self.ends, self.counted, self.asked, self.served)

    def _within(self, capacities: Sequence[float], count: int) -> Iterator[tuple[int, float]]:
        """Yield for each capacity how many steps are among the last tokens, and how many tokens of the last of them.

        `capacities` are in ascending order: what fits into one fits into the next.
        """
        at = 0
        before, start = 0.0, 0
        for end in self.groups:
            if start >= count:
                break
            last = min(end, count - 1)
            distance, tokens = self.distances[last], self.size(self.steps[last].depth).tokens
            while at < len(capacities):
                room = capacities[at] - distance
                if room <= before:
                    yield start, inf
                elif room < tokens:
                    yield last + 1, round(room)
                else:
                    break
                at += 1
            before, start = tokens, end + 1
        for _ in capacities[at:]:
            yield count, inf


def cut_steps(steps: Sequence[MatchStep], limit: int) -> list[MatchStep]:
    """Return steps that end at `limit` at most."""
    kept: list[MatchStep] = []
    for step in steps:
        if step.depth >= limit:
            if not kept or kept[-1].depth < limit:
                kept.append(MatchStep(limit, step.newest, step.count, step.stored))
            break
        kept.append(step)
    return kept

"""How much of a prompt a cache may still hold: the prefixes shared with earlier requests, and which of them each
retention keeps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Literal

from msgspec import Struct, field

from playground.prefix_cache.kept_points import STATES, PointKind
from playground.prefix_cache.match_tree import MatchStep
from playground.prefix_cache.prefix_size import Size

CLOSING = 4
"""Code points behind a generated message that the next prompt adds."""
RetentionKind = Literal["everything", "lifetime", "tokens", "slots"]


class Retention(Struct, frozen=True):
    """What a cache keeps: `limit` is seconds, tokens or slots by `kind`."""

    kind: RetentionKind
    limit: float = inf


LIFETIMES = tuple(round(5.0 * 1.25**step, 1) for step in range(45))
"""Seconds: 5 s to a day."""
CAPACITIES = tuple(round(1_536 * 1.08**step) for step in range(70))
"""Tokens: 1,500 to 310,000."""
SLOTS = (1, 2, 4, 0)
"""Numbers of slots; 0: one slot whose earlier states stay in memory and are restored if they share much."""
RETENTIONS = (
    Retention("everything"),
    *(Retention("lifetime", seconds) for seconds in LIFETIMES),
    *(Retention("tokens", tokens) for tokens in CAPACITIES),
    *(Retention("slots", slots) for slots in SLOTS),
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

    `steps` are shared prefixes, the shortest first: the newest request that uses each, and how many do. `size` gives
    the tokens of a depth. `ages` are the seconds since each step was used, `distances` the tokens of other traffic
    since. `slots` are depths by number of slots. `groups` are the last steps of those that the same request used.
    `ends` are depths at which messages end, `counted` those at which earlier requests end, with their tokens.
    """

    steps: Sequence[MatchStep]
    size: Callable[[int], Size]
    ages: Sequence[float]
    distances: Sequence[float]
    slots: Mapping[int, int] = field(default_factory=dict)
    groups: Sequence[int] = ()
    ends: Sequence[int] = ()
    counted: Sequence[tuple[int, float]] = ()
    _classes: dict[int, Classes] = field(default_factory=dict)

    @property
    def longest(self) -> Size:
        """Return the tokens of the longest shared prefix."""
        return self.size(self.steps[-1].depth if self.steps else 0)

    def classes(self, cleared_upto: int = -1) -> Classes:
        """Return what survives under each of RETENTIONS. `cleared_upto`: requests up to that number were lost."""
        found = self._classes.get(cleared_upto)
        if found is None:
            found = self._classes[cleared_upto] = self._classify(cleared_upto)
        return found

    def _classify(self, cleared_upto: int) -> Classes:
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
        for slots in SLOTS:
            depth = self.slots.get(slots, 0)
            members.append(len(kinds))
            kinds.append((self.size(depth), depth))
        return Classes(tuple(kinds), tuple(members))

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

    def kept(self, kind: PointKind, depth: int, newest: int) -> Size:
        """Return what a server that finds only points of a kind serves of a prompt that shares `depth` code points.
        `newest`: tokens of the newest report above 0."""
        if kind == "start":
            size = self.size(depth)
            return Size(newest, 0.0) if 0 < newest < size.tokens else size
        if kind == "messages":
            return self.size(max((end for end in self.ends if end <= depth + CLOSING), default=0))
        size, unit = self.size(depth), STATES[kind]
        requests = max((tokens for end, tokens in self.counted if end <= depth), default=0.0)
        states = size.tokens // unit * unit if unit else 0.0
        return Size(max(states, requests), 0.0)

    def cut(self, limit: int) -> Reach:
        """Return the reach of a prompt of which only the first `limit` code points can be shared; itself if all is."""
        if all(step.depth <= limit for step in self.steps) and all(depth <= limit for depth in self.slots.values()):
            return self
        steps = cut_steps(self.steps, limit)
        count = len(steps)
        groups = [at for at in self.groups if at < count - 1]
        slots = {slots: min(depth, limit) for slots, depth in self.slots.items()}
        ends = [*groups, count - 1] if count else []
        ages, distances = self.ages[:count], self.distances[:count]
        return Reach(steps, self.size, ages, distances, slots, ends, self.ends, self.counted)

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
                kept.append(MatchStep(limit, step.newest, step.count))
            break
        kept.append(step)
    return kept

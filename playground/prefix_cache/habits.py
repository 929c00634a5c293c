"""What a server's reports tell of its cache: the block it matches by, and the least that it caches.

Neither is published. Both are weighed: a set of usual blocks and minimums, each as likely as the reports make it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import gcd, inf

ASSUMED_BLOCK = 16
"""Tokens: caches match whole blocks. The size is not published; this one is common, and reports correct it."""
_BLOCKS = {
    1: 0.02,
    2: 0.005,
    4: 0.005,
    8: 0.02,
    16: 0.4,
    32: 0.1,
    64: 0.12,
    128: 0.16,
    256: 0.05,
    512: 0.03,
    1024: 0.08,
}
_LARGEST = 2048
_MINIMUMS = {0: 0.78, 256: 0.03, 512: 0.04, 1024: 0.11, 2048: 0.03, 1 << 40: 0.01}
"""How likely each is before any report. The last minimum: nothing is ever cached."""
_ODD = 0.02
"""How likely a report is that a block or a minimum does not account for: lost entries, another program's requests."""
_FEW = 0.004
"""Likelihoods below this share are left out of forecasts."""
_LOOSE = 512.0
"""Tokens of doubt where nothing is known of how much was shared."""
_MAX_REPORTS = 256


@dataclass(frozen=True, slots=True)
class Learnt:
    """A figure that was learnt, in the unit of its name. `value` None: nothing tells yet. `sure` is 0 to 1: how likely
    it is, as far as the reports go; `reports` how many tell of it."""

    value: int | None
    sure: float
    reports: int

    @property
    def words(self) -> str:
        """How sure, in words."""
        if self.value is None or not self.reports:
            return "not known yet"
        degree = "sure" if self.sure >= 0.95 else "likely" if self.sure >= 0.7 else "a guess"
        return f"{degree}, from {self.reports} report{'' if self.reports == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Habit:
    """A block and a minimum, in tokens, and how likely both are together."""

    block: int
    minimum: int
    weight: float

    def served(self, shared: float) -> float:
        """What a cache like this serves of so many shared tokens."""
        # A hair above: 1,152.0 tokens may come out of the estimate as 1,151.9999.
        whole = float(int((shared + 1e-6) // self.block) * self.block)
        return whole if whole >= self.minimum else 0.0


class Habits:
    """One endpoint and model. Fed with what each report said."""

    def __init__(self) -> None:
        self._served: dict[int, tuple[float | None, float]] = {}
        self._refused: deque[float] = deque(maxlen=32)
        self._likely: tuple[Habit, ...] | None = None

    def learn(self, cached_tokens: int, shared: float | None = None, error: float = _LOOSE) -> None:
        """Take in one report. `shared`: about how many tokens an earlier request surely in the cache shares, `error`
        the standard deviation of that; None where it is not known."""
        if cached_tokens > 0 and (len(self._served) < _MAX_REPORTS or cached_tokens in self._served):
            # The same figure again tells nothing new, unless it is now known what was shared.
            if cached_tokens not in self._served or shared is not None:
                self._served[cached_tokens] = (shared, error)
        elif cached_tokens == 0 and shared is not None:
            self._refused.append(shared - error)
        self._likely = None

    @property
    def likely(self) -> tuple[Habit, ...]:
        """The blocks and minimums that the reports allow, with their likelihoods (sum 1), the likeliest first."""
        if self._likely is None:
            self._likely = self._weighed()
        return self._likely

    @property
    def step(self) -> int:
        """Tokens: the likeliest block."""
        return self._best_block()[0]

    @property
    def block(self) -> Learnt:
        """Tokens that are matched at once."""
        block, sure = self._best_block()
        return Learnt(block if self._served else None, sure, len(self._served))

    @property
    def minimum(self) -> Learnt:
        """The least that was ever cached, in tokens. Sure where less was refused, or it is about the block itself."""
        if not self._served:
            return Learnt(None, 0.0, 0)
        least = min(self._served)
        below = [shared for shared in self._refused if shared < least]
        sure = sum(habit.weight for habit in self.likely if max(habit.minimum, habit.block) > least // 2)
        return Learnt(least, sure if below or least <= self.step else min(sure, 0.5), len(self._served) + len(below))

    def _best_block(self) -> tuple[int, float]:
        weights: dict[int, float] = {}
        for habit in self.likely:
            weights[habit.block] = weights.get(habit.block, 0.0) + habit.weight
        return max(weights.items(), key=lambda item: item[1])

    def _weighed(self) -> tuple[Habit, ...]:
        blocks = self._blocks()
        found = [
            Habit(block, max(minimum, block), chance * share * self._fits(block, max(minimum, block)))
            for block, chance in blocks.items()
            for minimum, share in _MINIMUMS.items()
        ]
        total = sum(habit.weight for habit in found)
        kept = [habit for habit in found if habit.weight >= _FEW * total]
        total = sum(habit.weight for habit in kept)
        weighed = (Habit(habit.block, habit.minimum, habit.weight / total) for habit in kept)
        return tuple(sorted(weighed, key=lambda habit: -habit.weight))

    def _blocks(self) -> dict[int, float]:
        # One or two figures share large divisors by chance; three that are all different rarely do.
        common = gcd(*self._served) if len(self._served) > 2 else 0
        # A block that is no power of two shows as the common divisor; small ones are chance.
        return _BLOCKS | ({common: 0.05} if 2 < common <= _LARGEST and common not in _BLOCKS else {})

    def _fits(self, block: int, minimum: int) -> float:
        fit = 1.0
        for cached, (shared, error) in self._served.items():
            fit *= _chance(cached, shared, error, block) if cached >= minimum else _ODD**2
        for shared in self._refused:
            fit *= 1.0 if shared < minimum else _ODD
        return fit


def _chance(cached: int, shared: float | None, error: float, block: int) -> float:
    """How likely a server with this block reports this figure, of all that it may report."""
    if cached % block:
        return _ODD * 1e-3
    near = inf if shared is None else max(cached - shared, shared - cached - block, 0.0)
    slack = 2 * error + 2
    likely = block / (block + 2 * (_LOOSE if shared is None else slack))
    return likely if shared is None or near <= slack else _ODD * likely

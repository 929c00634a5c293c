"""Which block and minimum a server's cache has, inferred from reported cached tokens. Neither is published."""

from __future__ import annotations

from copy import copy
from math import erf, exp, gcd, log, sqrt

from msgspec import Struct

ASSUMED_BLOCK = 16
"""Tokens: caches match whole blocks. The size is not published; this one is common, and reports correct it."""
SMALL_BLOCK = 64
"""Tokens: reports in larger blocks tell little about a text's size."""
_BLOCKS = {
    1: 0.08,
    2: 0.005,
    4: 0.005,
    8: 0.02,
    16: 0.4,
    32: 0.1,
    64: 0.12,
    128: 0.16,
    256: 0.05,
    512: 0.03,
    1024: 0.03,
}
_LARGEST = 2048
NEVER = 1 << 40
_MINIMUMS = {0: 0.78, 256: 0.03, 512: 0.04, 1024: 0.11, 2048: 0.03, NEVER: 0.01}
"""Probabilities before any report. The last minimum: nothing is ever cached."""
SURE = 0.7
"""Probability from which a minimum is named."""
_ODD = 1e-5
"""Probability of a report that is no multiple of the true block."""
_LOST = 0.03
"""Probability of a miss although the prefix should be cached."""
_FEW = 0.004
"""Hypotheses below this share are left out of forecasts."""
_FLOOR = -30.0
"""Log weights relative to the best are not lower, so that a server may change."""
_LOOSE = 512.0
"""Tokens of doubt where the shared size is unknown."""
_MAX_SEEN = 2_000
ROUNDED, PROMPTS, MOST_PROMPTS = 5, 4, 64
"""Common divisor of so many different prompt sizes from which a server rounds its reports, and how many are kept."""
ROUNDS = 0.05
"""Probability that a server rounds cached tokens to tens, before any report: no usual block is a multiple of ten."""
WHOLE = 0.1
"""Probability of another figure from such a server, as that of a whole prompt."""
_ROUNDINGS = (10, 20, 50, 100)
"""Tokens to which servers round what they report."""
_NEWEST = 40
"""Figures that tell enough of the blocks behind rounded ones."""


class Estimate(Struct, frozen=True):
    """An inferred value in the unit of its name: None if unknown. `confidence` is 0 to 1, `reports` how many bear on
    it. `at_least`: the true value may be larger."""

    value: int | None
    confidence: float
    reports: int
    at_least: bool = False

    @property
    def words(self) -> str:
        """The confidence as text."""
        if self.value is None or not self.reports:
            return "not known yet"
        degree = "sure" if self.confidence >= 0.95 else "likely" if self.confidence >= 0.7 else "a guess"
        return f"{degree}, from {self.reports} report{'' if self.reports == 1 else 's'}"


def is_whole(cached: int, block: int, rounding: int = 1) -> bool:
    """Return whether a report may be whole blocks, rounded to the nearest multiple of `rounding`."""
    return abs(cached - round(cached / block) * block) <= rounding // 2


class CacheUnit(Struct, frozen=True):
    """A block and a minimum in tokens, with their probability. `rounding`: what is reported is rounded to this unit."""

    block: int
    minimum: int
    weight: float
    rounding: int = 1

    def served(self, shared: float) -> float:
        """Return what a cache with this unit reports of so many shared tokens."""
        # 1,152.0 tokens may be estimated as 1,151.9999.
        whole = int((shared + 1e-6) // self.block) * self.block
        return float(round(whole / self.rounding) * self.rounding) if whole >= self.minimum else 0.0

    def chance(self, cached: int, shared: float, error: float) -> float:
        """Return the probability of a report of `cached` tokens if `shared` ± `error` tokens are in the cache."""
        scale = sqrt(error * error + 0.25)
        least = max(self.block, self.minimum)
        if cached == 0:
            return _below(least, shared, scale)
        if not is_whole(cached, self.block, self.rounding) or cached < self.minimum - self.rounding // 2:
            return 0.0
        around = self.rounding // 2
        first = -((around - cached) // self.block) * self.block  # multiples of the block that are reported so
        last = (cached + around) // self.block * self.block
        return _below(last + self.block, shared, scale) - _below(first, shared, scale)


def _below(limit: float, shared: float, scale: float) -> float:
    near = 0.5 * (1 + erf((limit - shared) / (scale * 1.4142)))
    far = 0.5 * (1 + erf((limit - shared) / ((3 * scale + 4) * 1.4142)))
    return 0.95 * near + 0.05 * far


class BlockSizeEstimator:
    """One endpoint and model."""

    def __init__(self) -> None:
        self._logs: dict[tuple[int, int], float] = {
            (block, minimum): log(chance * share)
            for block, chance in _BLOCKS.items()
            for minimum, share in _MINIMUMS.items()
        }
        self._seen: dict[int, int] = {}
        self._prompts: set[int] = set()
        """Reported tokens of whole prompts. The same prompt again tells nothing about rounding."""
        self._misses = 0
        self._likely: tuple[CacheUnit, ...] | None = None
        self._step: tuple[int, float] | None = None
        self._behind: tuple[int, dict[int, float]] | None = None

    def add_prompt(self, tokens: int) -> None:
        """Add the reported tokens of a whole prompt, which has no whole blocks but by chance."""
        if len(self._prompts) < MOST_PROMPTS and tokens not in self._prompts:
            self._prompts.add(tokens)
            self._likely = self._behind = self._step = None

    def learn(self, cached: int, shared: float | None = None, error: float = _LOOSE, alive: float = 1.0) -> None:
        """Learn from one report. `shared`: about how many tokens an earlier request shares, with standard deviation
        `error`; None if unknown. `alive`: how probable it is that the cache still had them."""
        if cached > 0:
            self._served(cached, shared, error)
        elif shared is not None:
            self._missed(shared, error, alive)
        self._likely = self._behind = None

    def _served(self, cached: int, shared: float | None, error: float) -> None:
        times = self._seen.get(cached, 0)
        if len(self._seen) < _MAX_SEEN or times:
            self._seen[cached] = times + 1
        if times and times != 5:
            # The same figure again is the same prefix again: it tells nothing new about the block.
            return
        self._add_common_divisor()
        slack = 2 * error + 2 if shared is not None else _LOOSE
        for (block, minimum), value in self._logs.items():
            if cached % block:
                chance = _ODD
            else:
                chance = block / (block + 2 * slack)
                near = 0.0 if shared is None else max(cached - shared, shared - cached - block, 0.0)
                chance *= 0.1 if near > slack else 1.0
            if cached < minimum:
                chance *= _LOST * _LOST
            self._logs[block, minimum] = value + log(chance)
        self._normalize()

    def _missed(self, shared: float, error: float, alive: float) -> None:
        self._misses += 1
        for (block, minimum), value in self._logs.items():
            below = _below(max(block, minimum), shared, max(error, 1.0))
            chance = alive * (below + (1 - below) * _LOST) + (1 - alive)
            self._logs[block, minimum] = value + log(chance)
        self._normalize()

    def _normalize(self) -> None:
        best = max(self._logs.values())
        for key, value in self._logs.items():
            self._logs[key] = max(value - best, _FLOOR)
        self._step = None

    def _add_common_divisor(self) -> None:
        """Add a block that is no power of two if three or more different figures share it."""
        if len(self._seen) < 3 or len(self._seen) > 40:
            return
        common = gcd(*self._seen)
        if not 2 < common <= _LARGEST or (common, 0) in self._logs:
            return
        best = max(block for block, _ in self._logs if common % block == 0)
        for minimum in _MINIMUMS:
            self._logs[common, minimum] = self._logs[best, minimum] + log(common / best) * min(len(self._seen), 4) - 2

    @property
    def likely(self) -> tuple[CacheUnit, ...]:
        """Blocks and minimums that the reports allow, with probabilities (sum 1), the most probable first."""
        if self._likely is None:
            weights = {key: exp(value) for key, value in self._logs.items()}
            rounding, behind = self._behind_rounded
            if behind:
                least = dict.fromkeys((minimum for _, minimum in weights), 0.0)
                for (_, minimum), weight in weights.items():
                    least[minimum] += weight
                weights = {(block, minimum): w * one for block, w in behind.items() for minimum, one in least.items()}
            total = sum(weights.values())
            kept = {key: weight for key, weight in weights.items() if weight >= _FEW * total}
            total = sum(kept.values())
            units = (CacheUnit(block, max(minimum, block), w / total, rounding) for (block, minimum), w in kept.items())
            self._likely = tuple(sorted(units, key=lambda unit: -unit.weight))
        return self._likely

    @property
    def figures(self) -> tuple[int, ...]:
        """Return the cached tokens above 0 that were reported, each once."""
        return tuple(self._seen)

    @property
    def rounding(self) -> int:
        """The unit to which the server rounds what it reports; 1: it does not."""
        return self._behind_rounded[0]

    @property
    def _behind_rounded(self) -> tuple[int, dict[int, float]]:
        """The same, and the blocks that rounded reports allow, with probabilities; empty: reports are exact."""
        if self._behind is None:
            self._behind = 1, {}
            if self._seen and self._rounded(self._exact_block()[0]) > 0.5:
                figures = list(self._seen)[-_NEWEST:]
                logs = {
                    (unit, block): log(chance)
                    + sum(
                        log(max(block, unit) * (1 - WHOLE))
                        if not one % unit and is_whole(one, block, unit)
                        else log(WHOLE)
                        for one in figures
                    )
                    for unit in _ROUNDINGS
                    for block, chance in _BLOCKS.items()
                }
                best = max(logs, key=logs.__getitem__)
                blocks: dict[int, float] = {}
                for (unit, block), value in logs.items():
                    if unit == best[0]:
                        blocks[block] = exp(value - logs[best])
                total = sum(blocks.values())
                self._behind = best[0], {block: weight / total for block, weight in blocks.items()}
        return self._behind

    def beside(self, cached: int | None) -> BlockSizeEstimator:
        """Return the estimator that also knows, from a report that it has not learned, whether reports are rounded."""
        made = copy(self)
        made._seen = {**self._seen, **({cached: 1} if cached else {})}
        made._likely = made._behind = None
        return made if made.rounding != self.rounding else self

    def is_whole(self, cached: int, block: int) -> bool:
        """Return whether a report may be whole blocks, as this server reports them."""
        return is_whole(cached, block, self.rounding)

    @property
    def step(self) -> int:
        """The most probable block in tokens, or the unit to which reports are rounded, if that is larger."""
        return max(self._best_block()[0], self.rounding)

    @property
    def block(self) -> Estimate:
        """Tokens per block."""
        block, confidence = self._exact_block()
        rounded = self._rounded(block)
        if len(self._seen) < 2 or rounded > 0.5:
            return Estimate(None, 0.0, len(self._seen))
        return Estimate(block, confidence * (1 - rounded), len(self._seen))

    def _rounded(self, block: int) -> float:
        """Return the probability that the server rounds what it reports, which hides its block."""
        if len(self._prompts) >= PROMPTS and gcd(*self._prompts) >= ROUNDED:
            return 1.0
        unit = gcd(block, 16) if block % 16 else block  # no other block is a multiple of five
        by_chance = gcd(unit, 10) / 10
        odds = ROUNDS
        for figure in self._seen:
            odds *= WHOLE if figure % 10 else 1 / by_chance
        return odds / (1 + odds)

    @property
    def minimum(self) -> Estimate:
        """The fewest tokens that are cached; 0: a block. Unknown until reports bear on it."""
        reports = len(self._seen) + self._misses
        if not self._seen:
            return Estimate(None, 0.0, reports)
        weights: dict[int, float] = {}
        for (block, minimum), value in self._logs.items():
            least = minimum if minimum > block else 0
            weights[least] = weights.get(least, 0.0) + exp(value)
        best, weight = max(weights.items(), key=lambda item: item[1])
        confidence = weight / sum(weights.values())
        if best == 0 and min(self._seen) >= 256:
            # Nothing smaller was served yet: the prior alone says that there is no minimum.
            return Estimate(None, 0.0, reports)
        return Estimate(best, confidence, reports)

    @property
    def least(self) -> int | None:
        """The fewest tokens that are served, by a minimum or a large block, with a probability of `SURE`; None below
        the smallest usual minimum."""
        if not self._seen:
            return None
        weights = [(max(block, minimum), exp(value)) for (block, minimum), value in self._logs.items()]
        total = sum(weight for _, weight in weights)
        known = (size for size in sorted(_MINIMUMS, reverse=True) if 0 < size <= min(self._seen))
        return next((size for size in known if sum(w for least, w in weights if least >= size) >= SURE * total), None)

    def _best_block(self) -> tuple[int, float]:
        behind = self._behind_rounded[1]
        return max(behind.items(), key=lambda item: item[1]) if behind else self._exact_block()

    def _exact_block(self) -> tuple[int, float]:
        if self._step is None:
            weights: dict[int, float] = {}
            for (block, _), value in self._logs.items():
                weights[block] = weights.get(block, 0.0) + exp(value)
            block, weight = max(weights.items(), key=lambda item: item[1])
            self._step = block, weight / sum(weights.values())
        return self._step

    def state(self) -> dict[str, object]:
        table = [[block, minimum, round(value, 4)] for (block, minimum), value in self._logs.items()]
        return {"table": table, "seen": sorted(self._seen)[:200], "misses": self._misses}

    def restore(self, table: list[tuple[int, int, float]], seen: list[int], misses: int) -> None:
        for block, minimum, value in table:
            if block > 0:
                self._logs[block, minimum] = value
        self._seen = dict.fromkeys((figure for figure in seen if figure > 0), 1)
        self._misses = misses
        self._normalize()
        self._likely = self._behind = None

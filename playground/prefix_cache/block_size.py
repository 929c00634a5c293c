"""Which block and minimum a server's cache has, inferred from reported cached tokens. Neither is published."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from copy import copy
from itertools import product
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
UNUSUAL, _UNUSUAL = range(48, 2049, 16), 1e-4
"""Blocks that hybrid models have, as 528, and the probability of each behind rounded reports."""
NEVER = 1 << 40
_MINIMUMS = {0: 0.76, 256: 0.03, 512: 0.04, 768: 0.005, 1024: 0.11, 1536: 0.01, 2048: 0.03, 4096: 0.005, NEVER: 0.01}
"""Probabilities before any report: 16 is the block of most open engines, 128 that of the largest vendor, and 1,024 its
minimum. The last minimum: nothing is ever cached."""
SURE = 0.7
"""Probability from which a minimum is named."""
UNPROVED = 0.65
"""Confidence is not higher for a block while all figures are multiples of a larger one, and for a minimum while reports
above and below it do not bracket it."""
CHANCE = 0.05
"""Probability that all figures are multiples of a block by chance, up to which it is stated as more than a guess."""
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
_BESIDE = 0.1
"""Probability that a block ends so far from the shared size that only another one explains the report."""
_FAR = 0.05
"""Probability that a size is wrong by about three times its standard deviation and four tokens."""
_DIVISOR, _DIVISOR_COST, _DIVISOR_REPORTS = range(3, 2049), 7.0, range(3, 41)
"""Blocks that are no usual ones: their sizes, the logarithm of how much less probable one is that only the reports
suggest, and the number of different figures from which, and up to which, their common divisor is one."""
ROUNDED, PROMPTS, MOST_PROMPTS = 5, 4, 64
"""Common divisor of so many different prompt sizes from which a server rounds its reports; most sizes in memory."""
ROUNDS = {10: 0.05, 5: 0.01}
"""Probability that a server rounds cached tokens to multiples of ten, or of five, before any report: no usual block is
one."""
WHOLE = 0.1
"""Probability of another figure from such a server, as that of a whole prompt."""
UNITS = (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000)
"""Servers round their reports to multiples of these tokens."""
SIZES, MOST_SIZES, MISTAKEN = 1000.0, 4, 0.2
"""Sizes that a prefix may have if no other request tells; most sizes of one figure in memory; the probability that
such a size is wrong, or a part of it was lost."""
_NEWEST = 40
"""Figures that tell enough of the blocks behind rounded ones."""
_OTHER_WAY = 0.03
"""Probability of a way of rounding from which it may explain a report, though another one is more probable."""


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


class Rounding(Struct, frozen=True):
    """How a server rounds: it reports a multiple of `unit` if it served up to `below` tokens less, or `above` more."""

    unit: int = 1
    below: int = 0
    above: int = 0

    @property
    def width(self) -> int:
        """Return how many sizes are reported as the same."""
        return self.below + self.above + 1

    def reported(self, tokens: int) -> int:
        """Return the report for so many tokens."""
        return (tokens + self.below) // self.unit * self.unit

    def is_whole(self, cached: int, block: int) -> bool:
        """Return whether a report may be whole blocks."""
        first, last = self.whole(cached, block)
        return first <= last

    def whole(self, cached: int, block: int) -> tuple[int, int]:
        """Return the fewest and the most tokens in whole blocks that are reported so; none: the first is the larger."""
        return -((self.below - cached) // block) * block, (cached + self.above) // block * block


EXACT = Rounding()


def common_unit(figures: Collection[int], rounding: Rounding) -> int:
    """Return the largest unit of which all figures may be whole ones: rounded figures have no common divisor."""
    if rounding == EXACT:
        return gcd(*figures)
    fitting = (block for block in reversed(UNUSUAL) if all(rounding.is_whole(figure, block) for figure in figures))
    return next(fitting, 1)


def _ways(unit: int) -> tuple[Rounding, Rounding]:
    """Return both ways of rounding: to the nearest multiple, and down."""
    return Rounding(unit, unit // 2, unit // 2), Rounding(unit, 0, unit - 1)


def rounded_off(figures: Collection[int]) -> int:
    """Return how many tokens a server may leave out by rounding down, by the usual unit that divides all figures."""
    return max((unit - 1 for unit in (10, 50, 100) if not gcd(*figures) % unit), default=0)


def possible_units(cached: int, parts: int, rounding: Rounding) -> Iterable[int]:
    """Return the blocks of which a report may be so many `parts`; of a rounded one multiples of 16."""
    least, most = -((rounding.below - cached) // parts), (cached + rounding.above) // parts
    return range(least, most + 1) if rounding == EXACT else range(-(-least // 16) * 16, most + 1, 16)


class CacheUnit(Struct, frozen=True):
    """A block and a minimum in tokens, with their probability, and how reports are rounded."""

    block: int
    minimum: int
    weight: float
    rounding: Rounding = EXACT

    def served(self, shared: float) -> float:
        """Return what a cache with this unit reports of so many shared tokens."""
        # 1,152.0 tokens may be estimated as 1,151.9999.
        whole = int((shared + 1e-6) // self.block) * self.block
        return float(self.rounding.reported(whole)) if whole >= self.minimum else 0.0

    def chance(self, cached: int, shared: float, error: float) -> float:
        """Return the probability of a report of `cached` tokens if `shared` ± `error` tokens are in the cache."""
        scale = sqrt(error * error + 0.25)
        if cached == 0:
            return _below(max(self.block, self.minimum), shared, scale)
        first, last = self.rounding.whole(cached, self.block)
        if first > last or last < self.minimum:
            return 0.0
        return _below(last + self.block, shared, scale) - _below(first, shared, scale)


def _below(limit: float, shared: float, scale: float) -> float:
    """Return the probability that a size is below a limit. `scale`: its standard deviation."""
    near, far = (0.5 * (1 + erf((limit - shared) / (one * sqrt(2)))) for one in (scale, 3 * scale + 4))
    return (1 - _FAR) * near + _FAR * far


class _Rounded(Struct, frozen=True):
    """The most probable way of rounding, with the blocks behind it and their probabilities, and what all ways of this
    unit allow that reports do not exclude. No blocks: reports are exact."""

    way: Rounding = EXACT
    blocks: Mapping[int, float] = {}
    possible: Rounding = EXACT


class BlockSizeEstimator:
    """One endpoint and model."""

    def __init__(self) -> None:
        self._logs: dict[tuple[int, int], float] = {
            (block, minimum): log(chance * share)
            for block, chance in _BLOCKS.items()
            for minimum, share in _MINIMUMS.items()
        }
        self._seen: dict[int, None] = {}
        """Figures above 0, each once, the oldest first."""
        self._prompts: set[int] = set()
        """Reported tokens of whole prompts. The same prompt again tells nothing about rounding."""
        self._misses = 0
        self._likely: tuple[CacheUnit, ...] | None = None
        self._step: tuple[int, float] | None = None
        self._sizes: dict[int, list[float]] = {}
        """By figure: counted tokens that earlier requests shared. An estimate may come from the figure itself."""
        self._behind: _Rounded | None = None

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
        if shared is not None and not error:
            known = self._sizes.setdefault(cached, [])
            if len(known) < MOST_SIZES and shared not in known:
                known.append(shared)
        again = cached in self._seen  # the same prefix: it tells nothing new about the block
        if not again:
            if len(self._seen) < _MAX_SEEN:
                self._seen[cached] = None
            self._add_common_divisor()
        slack = 2 * error + 2 if shared is not None else _LOOSE
        for (block, minimum), value in self._logs.items():
            chance = _LOST * _LOST if cached < minimum else 1.0
            if cached % block and not again:
                chance *= _ODD
            elif not again:
                near = 0.0 if shared is None else max(cached - shared, shared - cached - block, 0.0)
                chance *= (_BESIDE if near > slack else 1.0) * block / (block + 2 * slack)
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
        """Add the common divisor of some figures as a block, if it is none yet. Up to four of them have told against
        the best block that divides it."""
        common = gcd(*self._seen)
        if len(self._seen) not in _DIVISOR_REPORTS or common not in _DIVISOR or (common, 0) in self._logs:
            return
        best = max(block for block, _ in self._logs if common % block == 0)
        gained = log(common / best) * min(len(self._seen), 4) - _DIVISOR_COST
        for minimum in _MINIMUMS:
            self._logs[common, minimum] = self._logs[best, minimum] + gained

    @property
    def likely(self) -> tuple[CacheUnit, ...]:
        """Blocks and minimums that the reports allow, with probabilities (sum 1), the most probable first."""
        if self._likely is None:
            weights = {key: exp(value) for key, value in self._logs.items()}
            rounded = self._rounds
            if rounded.blocks:
                least = dict.fromkeys((minimum for _, minimum in weights), 0.0)
                for (_, minimum), weight in weights.items():
                    least[minimum] += weight
                pairs = product(rounded.blocks.items(), least.items())
                weights = {(block, minimum): one * other for (block, one), (minimum, other) in pairs}
            enough = _FEW * sum(weights.values())
            kept = sorted(((w, key) for key, w in weights.items() if w >= enough), key=lambda one: -one[0])
            total = sum(weight for weight, _ in kept)
            self._likely = tuple(
                CacheUnit(block, max(minimum, block), weight / total, rounded.way) for weight, (block, minimum) in kept
            )
        return self._likely

    @property
    def figures(self) -> tuple[int, ...]:
        """Return the cached tokens above 0 that were reported, each once."""
        return tuple(self._seen)

    @property
    def rounding(self) -> Rounding:
        """How the server may round its reports, by all ways that reports allow."""
        return self._rounds.possible

    @property
    def _rounds(self) -> _Rounded:
        if self._behind is None:
            rounded = self._seen and self._rounded(self._exact_block()[0]) > 0.5
            self._behind = self._behind_rounded() if rounded else _Rounded()
        return self._behind

    def _behind_rounded(self) -> _Rounded:
        """Return how the server rounds, and which blocks its reports allow."""
        logs = {
            (way, block): log(chance) + self._fit(CacheUnit(block, block, 1.0, way))
            for unit in UNITS
            for way in _ways(unit)
            for block, chance in _BLOCKS.items()
        }
        best = max(logs.values())
        sums: dict[Rounding, float] = {}
        for (way, _), value in logs.items():
            sums[way] = sums.get(way, 0.0) + exp(value - best)
        way = max(sums, key=sums.__getitem__)
        ways = [one for one in _ways(way.unit) if sums[one] >= _OTHER_WAY * sums[way]]
        possible = Rounding(way.unit, max(one.below for one in ways), max(one.above for one in ways))
        fits = {block: logs[way, block] for block in _BLOCKS}
        for block in UNUSUAL:
            fits.setdefault(block, log(_UNUSUAL) + self._fit(CacheUnit(block, block, 1.0, way)))
        best = max(fits.values())
        blocks = {block: exp(value - best) for block, value in fits.items() if value - best > log(_FEW)}
        total = sum(blocks.values())
        return _Rounded(way, {block: weight / total for block, weight in blocks.items()}, possible)

    def _fit(self, unit: CacheUnit) -> float:
        """Return the logarithm of the probability of the newest figures, up to a factor that is the same for all
        units."""
        total = 0.0
        for figure in list(self._seen)[-_NEWEST:]:
            if figure % unit.rounding.unit or not unit.rounding.is_whole(figure, unit.block):
                total += log(WHOLE)
                continue
            any_size = float(max(unit.block, unit.rounding.unit))  # so many of `SIZES` are reported so
            fits = [unit.chance(figure, size, 0.0) for size in self._sizes.get(figure, ())]
            chances = [MISTAKEN * any_size + (1 - MISTAKEN) * SIZES * one for one in fits] or [any_size]
            total += sum(log((1 - WHOLE) * one) for one in chances)
        return total

    def beside(self, cached: int | None) -> BlockSizeEstimator:
        """Return the estimator that also knows, from a report that it has not learned, whether reports are rounded."""
        made = copy(self)
        made._seen = {**self._seen, **({cached: None} if cached else {})}
        made._likely = made._behind = None
        return made if made.rounding != self.rounding else self

    def is_whole(self, cached: int, block: int) -> bool:
        """Return whether a report may be whole blocks, as this server reports them."""
        return self.rounding.is_whole(cached, block)

    @property
    def step(self) -> int:
        """The most probable block in tokens, or the unit to which reports are rounded, if that is larger."""
        return max(self._best_block()[0], self.rounding.unit)

    @property
    def block(self) -> Estimate:
        """Tokens per block."""
        block, confidence = self._exact_block()
        rounded = self._rounded(block)
        if len(self._seen) < 2 or rounded > 0.5:
            return Estimate(None, 0.0, len(self._seen))
        divisors = [one for one in _BLOCKS if one < block and not block % one]
        by_chance = (max(divisors, default=1) / block) ** len(self._seen) if block > ASSUMED_BLOCK else 0.0
        # Reports of whole larger blocks, as far as these figures tell, or of smaller ones.
        if gcd(*self._seen) > block or by_chance > CHANCE:
            confidence = min(confidence, UNPROVED)
        return Estimate(block, confidence * (1 - rounded), len(self._seen))

    def _rounded(self, block: int) -> float:
        """Return the probability that the server rounds its reports, which hides its block."""
        if len(self._prompts) >= PROMPTS and gcd(*self._prompts) >= ROUNDED:
            return 1.0
        unit = gcd(block, 16) if block % 16 else block  # no other block is a multiple of five
        odds = 0.0
        for multiple, chance in ROUNDS.items():
            by_chance = gcd(unit, multiple) / multiple
            fitting = sum(not figure % multiple for figure in self._seen)
            odds += chance * WHOLE ** (len(self._seen) - fitting) / by_chance**fitting
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
        likely: dict[int, float] = {}
        for (block, minimum), value in self._logs.items():
            least = minimum if minimum > block else 0
            likely[least] = max(likely.get(least, 0.0), exp(value) / _MINIMUMS[minimum])
        if likely[best] < SURE * sum(likely.values()):
            confidence = min(confidence, UNPROVED)  # by the prior, and not by reports above and below it
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
        behind = self._rounds.blocks
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
        self._seen = dict.fromkeys(figure for figure in seen if figure > 0)
        self._misses = misses
        self._normalize()
        self._likely = self._behind = None

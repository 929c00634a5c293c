"""A local estimate of token counts (≈). The tokenizer is not published: the estimate is fitted to reported counts.

Each character class has its tokens per character, a prior times a ratio. Ratios are fitted by recursive least squares
to what the server reported for whole prompts, for the text between two counted prompts and for answers.
"""

from __future__ import annotations

import operator
import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import cache
from math import log, sqrt
from string import ascii_letters, digits

from playground.prefix_cache.text_compare import common_prefix, common_suffix

CLASSES = (
    "letter",
    "space",
    "digit",
    "punctuation",
    "separator",
    "accented",
    "devanagari",
    "indic",
    "cyrillic",
    "semitic",
    "east_asian",
    "other",
    "tool",
    "prompt_head",
    "tools_head",
    "tools_tail",
)
"""letter, space: ASCII · separator: ends of parts of a CacheView · accented: Latin beyond ASCII · indic: the other
scripts of South and South-East Asia · cyrillic: Greek too · semitic: Hebrew and Arabic · other: the rest, emoji
included · tool: a tool definition, in estimated tokens · prompt_head, tools_head, tools_tail: constant template
text per prompt and per tool catalogue."""

Counts = tuple[float, ...]
"""One count per class, in the order of CLASSES."""

NOTHING: Counts = (0.0,) * len(CLASSES)
PROMPT_HEAD: Counts = (0.0,) * 13 + (1.0, 0.0, 0.0)
TOOLS_HEAD: Counts = (0.0,) * 13 + (0.0, 1.0, 0.0)
TOOLS_TAIL: Counts = (0.0,) * 13 + (0.0, 0.0, 1.0)

_LETTERS = ascii_letters.encode()
_BLANKS = b" \t\n\r\v\f"
_DIGITS = digits.encode()
_SEPARATOR = b"\x1e"
_ASCII = bytes(range(128))
_NOT_ASCII = bytes(range(128, 256))
_RANGES = (
    "[\u0080-\u036f\u1e00-\u1eff\u2010-\u2027]+",
    "[\u0900-\u097f]+",
    "[\u0980-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]+",
    "[\u0370-\u058f]+",
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]+",
    "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+",
)
_CONSTANT = (0.0, 0.0, 0.0, 0.0)


@cache
def _ranges() -> tuple[re.Pattern[str], ...]:
    return tuple(map(re.compile, _RANGES))  # 3 ms, and a start counts only ASCII


def count(text: str) -> Counts:
    """Return how many characters of each class `text` has."""
    if text.isascii():
        return (*_count_ascii(text.encode()), *(0.0,) * 7, *_CONSTANT)
    # Bytes of UTF-8 are separated much faster than characters, and the Recorder counts every prompt and answer.
    data = text.encode("utf-8", "surrogatepass")
    rest = data.translate(None, _ASCII).decode("utf-8", "surrogatepass")
    found = []
    for pattern in _ranges():
        shorter = pattern.sub("", rest) if rest else ""
        found.append(float(len(rest) - len(shorter)))
        rest = shorter
    return (*_count_ascii(data.translate(None, _NOT_ASCII)), *found, float(len(rest)), *_CONSTANT)


def _count_ascii(data: bytes) -> tuple[float, ...]:
    letters = len(data) - len(data.translate(None, _LETTERS))
    spaces = len(data) - len(data.translate(None, _BLANKS))
    numerals = len(data) - len(data.translate(None, _DIGITS))
    separators = data.count(_SEPARATOR)
    punctuation = len(data) - letters - spaces - numerals - separators
    return float(letters), float(spaces), float(numerals), float(punctuation), float(separators)


def add(left: Counts, right: Counts) -> Counts:
    return tuple(map(operator.add, left, right))


def subtract(left: Counts, right: Counts) -> Counts:
    return tuple(map(operator.sub, left, right))


Row = Sequence[float]

OUTLIER = 3.5
"""Standard deviations from which an observation has less influence."""
MOST_OUTLIERS = 2
"""Outliers in one direction, one after the other, from which the fit begins again with the newest prompts."""
KEPT_PROMPTS = 12
"""Newest prompts of which it begins again."""


def median(values: Iterable[float]) -> float:
    """Return the median of at least one value. `statistics`, with fractions and decimal, takes 6 ms to import."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


class RecursiveLeastSquares:
    """Coefficients c with observed = row · c + noise; `means` and `deviations` describe them before any observation."""

    def __init__(self, means: Row, deviations: Row) -> None:
        self.values = list(means)
        self._least = [deviation * deviation * 1e-4 for deviation in deviations]
        size = len(self.values)
        self._covariance = [[deviations[i] ** 2 if i == j else 0.0 for j in range(size)] for i in range(size)]

    def predict(self, row: Row) -> float:
        found: float = sum(map(operator.mul, row, self.values))
        return found

    def variance(self, row: Row) -> float:
        """Return the variance of the prediction that the coefficients leave, without the noise."""
        used = [i for i, cell in enumerate(row) if cell]
        found: float = sum(row[i] * sum(map(operator.mul, self._covariance[i], row)) for i in used)
        return found

    def update(self, row: Row, observed: float, noise: float) -> float:
        """Take an observation with noise variance `noise`. Returns its innovation in standard deviations, signed."""
        used = [i for i, cell in enumerate(row) if cell]
        gain = [sum(line[j] * row[j] for j in used) for line in self._covariance]
        spread = sum(gain[j] * row[j] for j in used) + noise
        innovation = observed - self.predict(row)
        score = innovation / sqrt(spread)
        if abs(score) > OUTLIER:
            spread += innovation * innovation / OUTLIER
        self.values = [value + g * innovation / spread for value, g in zip(self.values, gain, strict=True)]
        for i, line in enumerate(self._covariance):
            if gain[i]:
                factor = gain[i] / spread
                self._covariance[i] = [cell - factor * g for cell, g in zip(line, gain, strict=True)]
                # Text changes over time: no coefficient becomes so certain that it cannot follow.
                self._covariance[i][i] = max(self._covariance[i][i], self._least[i])
        return score

    def state(self) -> tuple[list[float], list[list[float]]]:
        return list(self.values), [list(line) for line in self._covariance]

    def restore(self, values: Row, covariance: Sequence[Row]) -> None:
        """Continue from a stored state; one of another size is ignored."""
        size = len(self.values)
        if len(values) == size and len(covariance) == size and all(len(line) == size for line in covariance):
            self.values = list(values)
            self._covariance = [list(line) for line in covariance]


PRIOR: Counts = (0.125, 0.6, 0.45, 0.55, 1.6, 0.45, 0.45, 0.7, 0.4, 0.5, 0.8, 1.3, 1.0, 5.0, 25.0, 15.0)
"""Tokens per character by class; tokens per estimated token of a tool; tokens of the template's heads."""
DOUBT = (0.25, 0.3, 0.5, 0.4, 0.5, 0.4, 0.6, 0.7, 0.5, 0.5, 0.4, 0.7, 0.35, 1.5, 1.2, 1.5)
"""Relative standard deviations of the priors among common vocabularies and templates."""
LEAST, MOST = 0.02, 20.0
"""Limits of a ratio."""
BYTES: Counts = (1.0, 1.0, 1.0, 1.0, 4.0, 2.0, 3.0, 3.0, 2.0, 2.0, 3.0, 4.0, 5.0, 20.0, 100.0, 60.0)
"""As PRIOR, for a vocabulary of bytes."""
BYTES_DOUBT, BYTES_CERTAIN = 0.4, 0.15
"""As DOUBT, but of characters, whose bytes are known, a fraction; up to which share of the tokens bytes explain a first
prompt that PRIOR does not."""
FAR = 2.0
"""Factor between counted tokens and those of PRIOR from which a fit begins with it, and not with PRIOR."""
_OF_BYTES = tuple(map(operator.truediv, BYTES, PRIOR))
_BYTES_DEVIATIONS = tuple(
    ratio * doubt * (BYTES_DOUBT if at < 12 else 1.0)
    for at, (ratio, doubt) in enumerate(zip(_OF_BYTES, DOUBT, strict=True))
)
GRAIN = 0.45
"""Standard deviation per token: words differ in length, which evens out in a long text."""
NINE_IN_TEN = 1.645
"""Standard deviations to each side that hold 90 % of a normal distribution."""
RELATIVE, RELATIVE_WEIGHT = 0.025, 12.0
"""Relative standard deviation around the fit before any report, and how many reports outweigh it."""
SHORT = 4096
"""Code points up to which a text is simply counted; a longer one is compared with long texts counted before."""
MAX_SHORT, MAX_LONG = 1_000, 48
RECENT = 6
"""How many long texts a new one is compared with."""


class TokenEstimator:
    """Estimates for one endpoint and model."""

    def __init__(self) -> None:
        self._fit = RecursiveLeastSquares((1.0,) * len(PRIOR), DOUBT)
        self._factors: Counts = PRIOR
        self._squares, self._weight = RELATIVE**2 * RELATIVE_WEIGHT, RELATIVE_WEIGHT
        self._relative = RELATIVE
        self.reports = 0
        self._outliers = 0
        self._prompts: deque[tuple[Row, float, float]] = deque(maxlen=KEPT_PROMPTS)
        self._short: dict[str, Counts] = {}
        self._long: dict[str, Counts] = {}

    @property
    def factors(self) -> Counts:
        """Tokens per count of each class; another object after each report."""
        return self._factors

    def snapshot(self) -> TokenEstimator:
        """Return an estimator that counts as this one does now, for another thread."""
        other = TokenEstimator()
        other._fit.restore(*self._fit.state())
        other._factors, other._relative, other.reports = self._factors, self._relative, self.reports
        return other

    def estimate(self, text: str) -> float:
        return self.tokens(self.counts(text))

    def interval(self, text: str) -> tuple[float, float]:
        """Return the range that holds the tokens of nine in ten texts like `text` (≈)."""
        counts = self.counts(text)
        tokens, error = self.tokens(counts), NINE_IN_TEN * self.deviation(counts)
        return max(tokens - error, 0.0), tokens + error

    def deviation(self, counts: Counts) -> float:
        """Return the standard deviation of `tokens(counts)` in tokens."""
        row = tuple(map(operator.mul, counts, PRIOR))
        tokens = max(self.tokens(counts), 0.0)
        return sqrt(max(self._fit.variance(row), 0.0) + self._noise(tokens))

    def _noise(self, tokens: float) -> float:
        return GRAIN**2 * tokens + (self._relative * tokens) ** 2

    def tokens(self, counts: Counts) -> float:
        """Return ≈ tokens of a text with these counts. Linear: parts add up to the whole."""
        tokens: float = sum(map(operator.mul, counts, self._factors))
        return tokens

    def counts(self, text: str) -> Counts:
        """Return characters by class; cached, so that an unchanged text is not counted again."""
        memory = self._short if len(text) <= SHORT else self._long
        found = memory.get(text)
        if found is None:
            found = self._by_difference(text) if len(text) > SHORT and not text.isascii() else None
            found = found or count(text)
            if len(memory) >= (MAX_SHORT if memory is self._short else MAX_LONG):
                del memory[next(iter(memory))]
            memory[text] = found
        return found

    def tool_counts(self, text: str) -> Counts:
        """Return the counts of (a part of) a tool definition: templates write it in a notation of their own."""
        tokens = sum(map(operator.mul, self.counts(text), PRIOR))
        return (*NOTHING[:12], tokens, 0.0, 0.0, 0.0)

    def _by_difference(self, text: str) -> Counts | None:
        """Count only what differs from a long text counted before, if most of both is the same."""
        for other in list(reversed(self._long))[:RECENT]:
            start = common_prefix(other, text)
            end = common_suffix(other[start:], text[start:])
            gone, come = other[start : len(other) - end], text[start : len(text) - end]
            if len(gone) + len(come) < len(text) // 4:
                return add(subtract(self._long[other], count(gone)), count(come))
        return None

    def learn(self, counts: Counts, reported: float, *, optional: bool = False, noise: float = 1.0) -> bool:
        """Fit to `reported` tokens of a text with these counts.

        `optional`: the report may include tokens of something else (hidden reasoning); it is dropped if it does not
        agree. Returns whether it was used.
        """
        expected = self.tokens(counts)
        if reported < 1 or expected < 1:
            return False
        if optional and abs(reported - expected) > 4 * self.deviation(counts) + 3:
            return False
        row = tuple(map(operator.mul, counts, PRIOR))
        noise += self._noise(max(expected, reported))
        known = self._fit.variance(row)
        error = reported - expected
        score = self._fit.update(row, reported, noise)
        if not optional:
            self._prompts.append((row, reported, noise))
            self._refit(score)
        self._factors = tuple(
            prior * min(max(value, LEAST), MOST) for prior, value in zip(PRIOR, self._fit.values, strict=True)
        )
        self.reports += 1
        # What the coefficients did not know is not noise around the fit.
        if known < noise:
            square = max(error * error - known - GRAIN**2 * reported, 0.0) / max(reported, 30.0) ** 2
            self._squares += min(square, 0.01)
            self._weight += 1
            if self._weight > 80:
                self._squares, self._weight = self._squares * 0.75, self._weight * 0.75
            self._relative = min(max(sqrt(self._squares / self._weight), 0.004), 0.06)
        return True

    def _refit(self, score: float) -> None:
        """Fit again to the newest prompts, without answers, if one after the other is far from the fit: an answer whose
        reported tokens are not those of its text may have fixed it."""
        outlier = 0 if abs(score) <= OUTLIER else 1 if score > 0 else -1
        self._outliers = outlier + (self._outliers if outlier * self._outliers > 0 else 0)
        if not self._outliers:
            return
        counted = [(sum(map(operator.mul, row, _OF_BYTES)), reported) for row, reported, _ in self._prompts]
        bytes_apart = median(abs(log(reported / max(found, 1.0))) for found, reported in counted)
        first = len(counted) == 1 and bytes_apart < BYTES_CERTAIN
        if abs(self._outliers) < MOST_OUTLIERS and not first:
            return
        self._outliers = 0
        ratio = median(reported / max(sum(row), 1.0) for row, reported, _ in self._prompts)
        apart = median(abs(log(reported / max(sum(row) * ratio, 1.0))) for row, reported, _ in self._prompts)
        if bytes_apart < min(BYTES_CERTAIN, 1.5 * apart + 0.02) and ratio > 2:
            self._fit = RecursiveLeastSquares(_OF_BYTES, _BYTES_DEVIATIONS)
        else:
            ratio = ratio if ratio > FAR or ratio < 1 / FAR else 1.0
            self._fit = RecursiveLeastSquares((ratio,) * len(PRIOR), tuple(ratio * doubt for doubt in DOUBT))
        for row, reported, noise in self._prompts:
            self._fit.update(row, reported, noise)

    def state(self) -> dict[str, object]:
        values, covariance = self._fit.state()
        return {
            "values": values,
            "covariance": covariance,
            "squares": self._squares,
            "weight": self._weight,
            "reports": self.reports,
        }

    def restore(
        self, values: list[float], covariance: list[list[float]], squares: float, weight: float, reports: int
    ) -> None:
        if len(values) != len(PRIOR) or weight <= 0:
            return
        self._fit.restore(values, covariance)
        self._factors = tuple(
            prior * min(max(value, LEAST), MOST) for prior, value in zip(PRIOR, self._fit.values, strict=True)
        )
        self._squares, self._weight, self.reports = squares, weight, reports
        self._relative = min(max(sqrt(squares / weight), 0.004), 0.06)

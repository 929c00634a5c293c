"""A local estimate of token counts. The tokenizer is not published, so it is an estimate (≈) and learns from reports.

The model: each class of characters has its tokens a character, a prior times a ratio. Ratios are fitted to what the
server reported, by ridge regression towards 1: the prior holds until reports say otherwise.
"""

from __future__ import annotations

from collections import deque
from math import sqrt
from operator import mul

from playground.prefix.common import common_prefix, common_suffix
from playground.prefix.scripts import CLASSES, Counts, add, count, subtract

PRIOR = (1 / 4.6, 1 / 2.2, 0.55, 1.0, 0.45, 0.5, 0.4, 0.8, 1.0)
"""Tokens a character, by class: what common byte-pair vocabularies need."""
PULL = 0.05
"""How strongly the ratios are held at 1, against reports that each weigh 1."""
MAX_REPORTS = 64
WIDE, NARROW = 0.30, 0.12
"""Relative half-width of the 90 % interval: for a class no report has covered, and for one only the prior covers."""
SHORT = 4096
"""Code points up to which a text is simply counted; a longer one is compared with long texts counted before, so that
an edit counts only what changed."""
MAX_SHORT, MAX_LONG = 4_000, 48
RECENT = 6
"""How many long texts a new one is compared with."""


class TokenEstimator:
    """Estimates for one endpoint and model."""

    def __init__(self) -> None:
        self._factors = PRIOR
        self._reports: deque[tuple[Counts, int]] = deque(maxlen=MAX_REPORTS)
        self._error = NARROW
        self._seen = [0] * len(CLASSES)
        self._short: dict[str, Counts] = {}
        self._long: dict[str, Counts] = {}

    def estimate(self, text: str) -> float:
        """≈ tokens of `text`."""
        return self.tokens(self.counts(text))

    def interval(self, text: str) -> tuple[float, float]:
        """The tokens that nine in ten texts like `text` have, from and to (≈)."""
        counts = self.counts(text)
        tokens, error = self.tokens(counts), self.relative_error(counts)
        return tokens * (1 - error), tokens * (1 + error)

    def relative_error(self, counts: Counts) -> float:
        """Half the width of the 90 % interval, as a share of the estimate."""
        total = self.tokens(counts) or 1.0
        unseen = sum(
            PRIOR[c] * n for c, n in enumerate(counts) if n and (not self._seen[c] if self._reports else c >= 4)
        )
        return self._error + (WIDE - self._error) * min(unseen / total, 1.0)

    def tokens(self, counts: Counts) -> float:
        """≈ tokens of a text with these counts. Linear: parts add up to the whole."""
        return sum(map(mul, counts, self._factors))

    def counts(self, text: str) -> Counts:
        """Characters by class; remembered, so that an unchanged text is not counted again."""
        memory = self._short if len(text) <= SHORT else self._long
        found = memory.get(text)
        if found is None:
            found = self._by_difference(text) if len(text) > SHORT and not text.isascii() else None
            found = found or count(text)
            if len(memory) >= (MAX_SHORT if memory is self._short else MAX_LONG):
                del memory[next(iter(memory))]
            memory[text] = found
        return found

    def _by_difference(self, text: str) -> Counts | None:
        """Counted as the difference to a long text counted before, where most of both is the same."""
        for other in list(reversed(self._long))[:RECENT]:
            start = common_prefix(other, text)
            end = common_suffix(other[start:], text[start:])
            gone, come = other[start : len(other) - end], text[start : len(text) - end]
            if len(gone) + len(come) < len(text) // 4:
                return add(subtract(self._long[other], count(gone)), count(come))
        return None

    def learn(self, text: str, reported: int) -> None:
        """Take in what the server reported for exactly this text."""
        counts = self.counts(text)
        if reported < 1 or not any(counts) or (counts, reported) in self._reports:
            return
        self._reports.append((counts, reported))
        self._seen = [seen + (1 if n else 0) for seen, n in zip(self._seen, counts, strict=True)]
        self._factors = tuple(map(mul, PRIOR, _fit(self._reports)))
        residuals = [self.tokens(c) / n - 1 for c, n in self._reports]
        spread = sqrt(sum(r * r for r in residuals) / len(residuals))
        # A handful of reports says little about the next text: the prior's share shrinks with their number.
        self._error = min(NARROW, max(1.645 * spread, 0.02) + NARROW / (1 + len(self._reports)))


def _fit(reports: deque[tuple[Counts, int]]) -> list[float]:
    """Ratios r that minimise the sum of (predicted / reported - 1)² + PULL · Σ (r - 1)²."""
    size = len(CLASSES)
    rows = [[n * PRIOR[c] / reported for c, n in enumerate(counts)] for counts, reported in reports]
    matrix = [
        [sum(row[i] * row[j] for row in rows) + (PULL if i == j else 0.0) for j in range(size)] for i in range(size)
    ]
    target = [sum(row[i] for row in rows) + PULL for i in range(size)]
    return [min(max(ratio, 0.2), 5.0) for ratio in _solve(matrix, target)]


def _solve(matrix: list[list[float]], target: list[float]) -> list[float]:
    """Gauss elimination; the matrix is positive definite, so no pivoting is needed."""
    size = len(target)
    for i in range(size):
        for j in range(i + 1, size):
            factor = matrix[j][i] / matrix[i][i]
            for k in range(i, size):
                matrix[j][k] -= factor * matrix[i][k]
            target[j] -= factor * target[i]
    answer = [0.0] * size
    for i in reversed(range(size)):
        known = sum(matrix[i][k] * answer[k] for k in range(i + 1, size))
        answer[i] = (target[i] - known) / matrix[i][i]
    return answer

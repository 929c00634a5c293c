"""A local estimate of token counts. The tokenizer is not published, so it is an estimate (≈) and learns from reports.

The model: each class of characters has its tokens a character, a prior times a ratio. Ratios are fitted to what the
server reported, by ridge regression towards 1: the prior holds until reports say otherwise, and a class of characters
that no report has covered keeps its wide interval.
"""

from __future__ import annotations

import copy
from collections import deque
from math import sqrt
from operator import mul

from playground.prefix_cache.common import common_prefix, common_suffix
from playground.prefix_cache.ridge import NINE_IN_TEN, Ratios
from playground.prefix_cache.scripts import Counts, add, count, subtract

PRIOR = (1 / 4.6, 1 / 2.2, 0.55, 1.0, 0.45, 0.5, 0.4, 0.8, 1.0)
"""Tokens a character, by class: what common byte-pair vocabularies need."""
DOUBT = (0.25, 0.5, 0.4, 0.6, 0.5, 0.7, 0.6, 0.5, 0.6)
"""How far vocabularies differ in it, as the relative standard deviation of each prior: little in English, by a factor
of two and more in scripts that some were hardly trained on."""
MAX_REPORTS = 64
GRAIN = 0.5
"""Standard deviation of one token's count: words differ in length, which evens out in a long text and not in a short
one."""
SHORT = 4096
"""Code points up to which a text is simply counted; a longer one is compared with long texts counted before, so that
an edit counts only what changed."""
MAX_SHORT, MAX_LONG = 4_000, 48
RECENT = 6
"""How many long texts a new one is compared with."""


class TokenEstimator:
    """Estimates for one endpoint and model."""

    def __init__(self) -> None:
        self._ratios = Ratios(DOUBT)
        self._factors: tuple[float, ...] = PRIOR
        self._reports: deque[tuple[str, int]] = deque(maxlen=MAX_REPORTS)
        self._fitted = True
        self._short: dict[str, Counts] = {}
        self._long: dict[str, Counts] = {}

    def snapshot(self) -> TokenEstimator:
        """An estimator that counts as this one does now, for another thread; it learns no more."""
        self._fit()
        other = TokenEstimator()
        other._ratios, other._factors = copy.deepcopy(self._ratios), self._factors
        other._reports.extend(self._reports)
        return other

    def estimate(self, text: str) -> float:
        """≈ tokens of `text`."""
        return self.tokens(self.counts(text))

    def interval(self, text: str) -> tuple[float, float]:
        """The tokens that nine in ten texts like `text` have, from and to (≈)."""
        counts = self.counts(text)
        tokens, error = self.tokens(counts), self.relative_error(counts)
        return tokens * (1 - error), tokens * (1 + error)

    def relative_error(self, counts: Counts) -> float:
        """Half the width of the 90 % interval, as a share of the estimate; at most 1."""
        total = self.tokens(counts)
        if not total:
            return 0.0
        self._fit()
        shares = (n * f / total for n, f in zip(counts, self._factors, strict=True))
        return min(self._ratios.relative_error(tuple(shares)), 1.0)

    def deviation(self, counts: Counts) -> float:
        """Standard deviation of `tokens(counts)`, in tokens."""
        total = self.tokens(counts)
        return sqrt((self.relative_error(counts) / NINE_IN_TEN * total) ** 2 + GRAIN**2 * total)

    def tokens(self, counts: Counts) -> float:
        """≈ tokens of a text with these counts. Linear: parts add up to the whole."""
        self._fit()
        tokens: float = sum(map(mul, counts, self._factors))
        return tokens

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
        if reported < 1 or not text or (text, reported) in self._reports:
            return
        self._reports.append((text, reported))
        self._fitted = False

    def _fit(self) -> None:
        # Only when an estimate is asked for: of a log that is taken in at once, only the last reports count.
        if self._fitted:
            return
        self._fitted = True
        rows = ((self.counts(text), tokens) for text, tokens in self._reports)
        self._ratios.fit([tuple(n * f / tokens for n, f in zip(c, PRIOR, strict=True)) for c, tokens in rows])
        self._factors = tuple(map(mul, PRIOR, self._ratios.values))

"""A prompt's size in tokens (≈), up to any place in it: parts are counted once, and only a part that is cut again."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from playground.prefix_cache.scripts import CLASSES, Counts, add
from playground.prefix_cache.tokens import TokenEstimator
from playground.prefix_cache.view import CacheView


class Measure:
    """Sizes of one view. `scale` turns estimates into the server's measure, where a related text has been reported."""

    def __init__(self, view: CacheView, estimator: TokenEstimator, scale: float = 1.0) -> None:
        self.scale = scale
        self.estimator, self._view = estimator, view
        self._counts = [estimator.counts(view.text[part.start : part.end]) for part in view.parts]
        self._before = list(accumulate(self._counts, add, initial=(0,) * len(CLASSES)))

    @property
    def text(self) -> str:
        """The view's."""
        return self._view.text

    @property
    def total(self) -> float:
        """≈ tokens of the whole prompt."""
        return self._tokens(self._before[-1])

    def part(self, number: int) -> float:
        """≈ tokens of one part of the view."""
        return self._tokens(self._counts[number])

    def upto(self, place: int) -> float:
        """≈ tokens before a code point of the view's text."""
        return self._tokens(self.counts_upto(place))

    def counts_upto(self, place: int) -> Counts:
        """Characters by class before a code point of the view's text."""
        parts = self._view.parts
        at = bisect_right(parts, place, key=lambda part: part.start) - 1
        if at < 0:
            return self._before[0]
        if place >= parts[at].end:
            return self._before[at + 1]
        return add(self._before[at], self.estimator.counts(self._view.text[parts[at].start : place]))

    def _tokens(self, counts: Counts) -> float:
        return self.estimator.tokens(counts) * self.scale

"""How many tokens a shared prefix has, from all that the server has counted of it.

A counted request tells its whole, and what was served of it tells a place inside: between such marks the estimate only
says how the tokens are spread, and so errs far less than from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from playground.prefix_cache.common import common_prefix
from playground.prefix_cache.expect import Size
from playground.prefix_cache.index import Sent
from playground.prefix_cache.measure import Measure
from playground.prefix_cache.scripts import CLASSES, Counts, subtract

_CUT = Size(0.5, 0.6)
"""Of the token in which two texts part, half is shared in the middle, and none counts."""
_FAR = 20_000
"""Code points beyond the shared prefix that are counted for a mark there; more would cost a keystroke too much."""
_UNLIKELY = 3.0
"""Standard deviations that a mark may lie off the estimate; one further off came of something else."""
_NOTHING: Counts = (0,) * len(CLASSES)


@dataclass(frozen=True, slots=True)
class _Mark:
    """`size` tokens stand before code point `place`, which the estimator's `counts` describe."""

    place: int
    counts: Counts
    size: Size


_START = _Mark(0, _NOTHING, Size(0.0, 0.0))


class Ruler:
    """Measures prefixes of one prompt by what was counted of `anchors`, earlier requests that begin alike.

    `step` is the server's block in tokens, `width` the factor by which deviations are widened.
    """

    def __init__(self, measure: Measure, anchors: Iterable[Sent], step: int, width: float = 1.0) -> None:
        self._text, self._measure = measure.text, measure
        self._step, self._width = step, width
        self._anchors = [(sent, common_prefix(self._text, sent.text)) for sent in anchors]

    def size(self, place: int) -> Size:
        """Tokens before code point `place`: the best that any anchor tells of it."""
        found = [self._by(sent, min(common, place), place) for sent, common in self._anchors]
        found.append(self._beyond(_START, place))
        best = min(found, key=lambda size: size.error)
        return Size(max(best.tokens, 0.0), best.error)

    def _by(self, sent: Sent, common: int, place: int) -> Size:
        """By one anchor, which shares the prompt's first `common` code points; what lies beyond is estimated."""
        if common == len(sent.text) and sent.prompt_tokens is not None:
            whole = _Mark(common, self._measure.counts_upto(common), Size(float(sent.prompt_tokens), 0.0))
            if place == common:
                # What asks for the answer stands at the end of a request, and need not stand there in the next.
                return Size(whole.size.tokens, 0.0 if place == len(self._text) else 0.6)
            return self._beyond(whole, place)
        here = self._measure.counts_upto(common)
        size = self._between(common, here, self._marks(sent, common))
        return size if place == common else self._beyond(_Mark(common, here, size), place)

    def _marks(self, sent: Sent, common: int) -> list[_Mark]:
        """What is known of the anchor, in order of place."""
        marks = [_START]
        counted = self._measure.estimator.counts
        if sent.cached_tokens and 0 < sent.shared_chars <= common + _FAR:
            at = sent.shared_chars
            beyond = counted(sent.text[common:at]) if at > common else _NOTHING
            before = self._measure.counts_upto(min(at, common))
            counts = tuple(one + other for one, other in zip(before, beyond, strict=True))
            marks.append(_Mark(at, counts, self._served(sent.cached_tokens)))
        if sent.prompt_tokens is not None:
            marks.append(_Mark(len(sent.text), counted(sent.text), Size(float(sent.prompt_tokens), 0.0)))
        return [mark for mark in marks if self._plausible(mark, marks)]

    def _served(self, cached_tokens: int) -> Size:
        # Whole blocks were served, so what was shared lies somewhere in the block after them.
        return Size(cached_tokens + self._step / 2, self._step / sqrt(12))

    def _plausible(self, mark: _Mark, marks: Sequence[_Mark]) -> bool:
        if mark in (marks[0], marks[-1]):
            return True
        size = self._bridge(mark.counts, marks[0], marks[-1] if marks[-1] is not mark else None)
        return abs(size.tokens - mark.size.tokens) <= self._step + _UNLIKELY * size.error

    def _between(self, place: int, counts: Counts, marks: Sequence[_Mark]) -> Size:
        for mark in marks:
            if mark.place == place and place:
                return mark.size
        before = max((mark for mark in marks if mark.place <= place), key=lambda mark: mark.place)
        after = min((mark for mark in marks if mark.place > place), key=lambda mark: mark.place, default=None)
        return self._bridge(counts, before, after)

    def _bridge(self, counts: Counts, before: _Mark, after: _Mark | None) -> Size:
        """Between two marks, whose distance is known: what both estimates miss of it is shared out by their doubts."""
        tokens, error = self._estimate(counts, before.counts)
        if after is None:
            return Size(before.size.tokens + tokens - _CUT.tokens, _hypotenuse(before.size.error, error, _CUT.error))
        rest, rest_error = self._estimate(after.counts, counts)
        across = _hypotenuse(before.size.error, after.size.error)
        missed = after.size.tokens - before.size.tokens - tokens - rest
        total = error**2 + rest_error**2 + across**2
        share = error**2 / total if total else 0.0
        tokens = max(tokens + missed * share, 0.0)
        left = error * sqrt(max(1 - share, 0.0))
        return Size(before.size.tokens + tokens - _CUT.tokens, _hypotenuse(before.size.error, left, _CUT.error))

    def _beyond(self, mark: _Mark, place: int) -> Size:
        return self._bridge(self._measure.counts_upto(place), mark, None)

    def _estimate(self, upper: Counts, lower: Counts) -> tuple[float, float]:
        counts = subtract(upper, lower)
        estimator = self._measure.estimator
        return estimator.tokens(counts), estimator.deviation(counts) * self._width


def _hypotenuse(*sides: float) -> float:
    return sqrt(sum(side * side for side in sides))

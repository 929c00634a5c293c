"""How many tokens a prefix has: exact counts of a server, estimates between them, and the interval of a forecast."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from math import hypot, sqrt
from operator import attrgetter

from msgspec import Struct

from playground.prefix_cache.block_size import CacheUnit
from playground.prefix_cache.match_tree import MatchNode
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.token_estimator import (
    NOTHING,
    PROMPT_HEAD,
    TOOLS_HEAD,
    TOOLS_TAIL,
    Counts,
    TokenEstimator,
    add,
    subtract,
)
from playground.prefix_cache.view import CacheView

CUT = (0.5, 0.6)
"""Of the token in which two texts part, half is shared on average and none counts; with its standard deviation."""
MISJUDGED = 0.2
"""Of the tokens of a prefix: by how much its estimate is wrong at most, once the prompt's tokens are counted."""
UNLIKELY = 4.0
"""Standard deviations between an estimate and a mark from which the mark is not believed."""


class Size(Struct, frozen=True):
    """About how many tokens, with the standard deviation."""

    tokens: float
    error: float


class Measure:
    """Estimated sizes of one view, up to any offset.

    `before`: the measure of a view that may begin alike, whose counts are used again; a keystroke changes one part.
    """

    def __init__(self, view: CacheView, estimator: TokenEstimator, before: Measure | None = None) -> None:
        self.estimator, self.view = estimator, view
        known = _equal_parts(view, before.view) if before is not None and before.estimator is estimator else 0
        self._counts: list[Counts] = before._counts[:known] if before is not None else []
        self._before: list[Counts] = before._before[: known + 1] if before is not None else [NOTHING]
        self._counts.extend(self._counts_in(at, view.parts[at].end) for at in range(known, len(view.parts)))
        self._before.extend(islice(accumulate(self._counts[known:], add, initial=self._before[-1]), 1, None))
        self._tokens_of: list[float] | None = None
        self._priced_with: Counts | None = before._priced_with if before is not None else None
        """The factors with which `_tokens_of`, or `_known_tokens` before, was computed."""
        self._known_tokens = (before._tokens_of or [])[:known] if before is not None else []

    def _counts_in(self, number: int, end: int) -> Counts:
        """Return the counts of a part, up to a code point of the view's text."""
        parts = self.view.parts
        part = parts[number]
        text = self.view.text[part.start : end]
        if part.kind != "tool":
            counts = self.estimator.counts(text)
        else:
            counts = self.estimator.tool_counts(text)
            if number == 0 or parts[number - 1].kind != "tool":
                counts = add(counts, TOOLS_HEAD)
            if end == part.end and (number + 1 == len(parts) or parts[number + 1].kind != "tool"):
                counts = add(counts, TOOLS_TAIL)
        return add(counts, PROMPT_HEAD) if number == 0 else counts

    @property
    def total(self) -> float:
        """≈ tokens of the whole prompt."""
        return self.estimator.tokens(self._before[-1])

    @property
    def by_part(self) -> list[float]:
        """≈ tokens of each part of the view."""
        if self._tokens_of is None:
            factors = self.estimator.factors
            known = self._known_tokens if self._priced_with is factors else []
            self._tokens_of = [*known, *map(self.estimator.tokens, self._counts[len(known) :])]
            self._priced_with, self._known_tokens = factors, []
        return self._tokens_of

    def upto(self, offset: int) -> float:
        """Return ≈ tokens before a code point of the view's text."""
        return self.estimator.tokens(self.counts_upto(offset))

    def counts_upto(self, offset: int) -> Counts:
        """Return characters by class before a code point of the view's text."""
        at = bisect_right(self.view.parts, offset, key=attrgetter("start")) - 1
        if at < 0 or not offset:
            return NOTHING
        if offset >= self.view.parts[at].end:
            return self._before[at + 1]
        return add(self._before[at], self._counts_in(at, offset))

    def counts_between(self, start: int, end: int) -> Counts:
        """Return characters by class between two code points of the view's text."""
        pairs = zip(self.counts_upto(end), self.counts_upto(start), strict=True)
        return tuple(upto - before for upto, before in pairs)


def _equal_parts(view: CacheView, other: CacheView) -> int:
    """Return how many parts at the beginning have equal counts in both, whatever parts follow them."""
    shared = common_prefix(view.text, other.text)
    count = bisect_right(view.parts, shared, key=attrgetter("end"))
    count = next(
        (
            at
            for at, (mine, its) in enumerate(zip(view.parts[:count], other.parts, strict=False))
            if mine is not its and mine != its
        ),
        count,
    )
    # The last tool is followed by something else than before, if the next parts differ.
    return max(min(count, len(other.parts)) - 1, 0)


class Anchor(Struct, frozen=True):
    """An earlier request that begins alike: its measure, and a depth at which its tokens are known: where its prompt
    ends, or where a report for a beginning of it ended, with the standard deviation."""

    measure: Measure
    depth: int
    tokens: float
    error: float = 0.0


class _Mark(Struct, frozen=True):
    depth: int
    counts: Counts
    size: Size


class PrefixSizer:
    """Sizes of prefixes of one text along its path in a match tree. `block` is the server's block in tokens."""

    def __init__(
        self,
        measure: Measure,
        path: Sequence[tuple[MatchNode, int]],
        block: int,
        width: float,
        *,
        answers: bool,
        anchors: Sequence[Anchor] = (),
    ) -> None:
        self._measure, self._block, self._width = measure, block, width
        self._anchors = anchors
        self._estimator = measure.estimator
        self._ratio = 1.0
        """Counted over estimated tokens of the newest similar prompt."""
        if anchors:
            estimated = anchors[0].measure.upto(anchors[0].depth)
            self._ratio = anchors[0].tokens / estimated if estimated > 0 and anchors[0].tokens > 0 else 1.0
        self._marks = self._on_path(path, answers=answers)
        self._known: dict[int, Size] = {}

    def _on_path(self, path: Sequence[tuple[MatchNode, int]], *, answers: bool) -> list[_Mark]:
        """Return exact counts at the ends of earlier requests, and depths at which a report ended, without those that
        disagree with the exact ones around them."""
        marks = {0: _Mark(0, NOTHING, Size(0.0, 0.0))}
        for node, depth in path:
            for at, (low, block) in (node.served or {}).items():
                if at <= depth:
                    size = Size(low + min(block, self._block) / 2, min(block, self._block) / sqrt(12))
                    marks[at] = _Mark(at, self._measure.counts_upto(at), size)
            exact = node.exact_prompt
            if exact is None and answers:
                exact = node.exact
            if exact is not None and depth == node.depth:
                marks[depth] = _Mark(depth, self._measure.counts_upto(depth), Size(exact, 0.0))
        kept: list[_Mark] = []
        for _, mark in sorted(marks.items()):
            if kept and mark.size.error and not self._agrees(kept[-1], mark):
                continue
            while kept and not mark.size.error and kept[-1].size.tokens > mark.size.tokens:
                kept.pop()
            kept.append(mark)
        return kept

    def _agrees(self, before: _Mark, mark: _Mark) -> bool:
        counts = subtract(mark.counts, before.counts)
        tokens = max(self._estimator.tokens(counts), 0.0)
        apart = abs(before.size.tokens + tokens - mark.size.tokens)
        if self._ratio != 1.0:
            # A similar prompt of the same program tells what its kind of text costs: its estimate is off by as much.
            apart = min(
                apart, abs(before.size.tokens + tokens * self._ratio - mark.size.tokens) / max(self._ratio, 1.0)
            )
        if apart <= self._block + UNLIKELY * hypot(before.size.error, mark.size.error):
            return True  # whatever the deviation of the estimate, which takes most of the time
        error = self._estimator.deviation(counts) * self._width
        return apart <= self._block + UNLIKELY * hypot(error, before.size.error, mark.size.error)

    def size(self, depth: int) -> Size:
        """Return the tokens before code point `depth`."""
        if depth in self._known:
            return self._known[depth]
        before = self._marks[0]
        after: _Mark | None = None
        for mark in self._marks:
            if mark.depth <= depth:
                before = mark
            else:
                after = mark
                break
        if before.depth == depth:
            return before.size
        counts = self._measure.counts_upto(depth)
        tokens, error = self._estimate(counts, before.counts)
        best = self._bridge(counts, before, after, tokens, error)
        for anchor in self._anchors:
            if anchor.depth > depth:
                end = _Mark(anchor.depth, anchor.measure.counts_upto(anchor.depth), Size(anchor.tokens, anchor.error))
                found = self._bridge(counts, before, end, tokens, error)
            else:
                found = self._behind(counts, depth, anchor)
            best = min(best, found, key=attrgetter("error"))
        self._known[depth] = best
        return best

    def _behind(self, counts: Counts, depth: int, anchor: Anchor) -> Size:
        """Return the size at a depth behind an anchor's: its count, with what follows the shared text exchanged."""
        shared = min(common_prefix(self._measure.view.text, anchor.measure.view.text), anchor.depth, depth)
        upto = self._measure.counts_upto(shared)
        mine, my_error = self._estimate(counts, upto)
        theirs, their_error = self._estimate(anchor.measure.counts_upto(anchor.depth), upto)
        error = hypot(my_error, their_error, anchor.error, CUT[1])
        return Size(max(anchor.tokens - theirs + mine - CUT[0], 0.0), error)

    def _bridge(self, counts: Counts, before: _Mark, after: _Mark | None, tokens: float, error: float) -> Size:
        """Between two marks with a known distance, what both estimates miss of it is divided by their variances."""
        if after is not None:
            rest, rest_error = self._estimate(after.counts, counts)
            across = hypot(before.size.error, after.size.error)
            missed = after.size.tokens - before.size.tokens - tokens - rest
            total = error**2 + rest_error**2 + across**2
            share = error**2 / total if total else 0.0
            tokens = max(tokens + missed * share, 0.0)
            error *= sqrt(max(1 - share, 0.0))
        return Size(max(before.size.tokens + tokens - CUT[0], 0.0), hypot(before.size.error, error, CUT[1]))

    def _estimate(self, upper: Counts, lower: Counts) -> tuple[float, float]:
        counts = subtract(upper, lower)
        return max(self._estimator.tokens(counts), 0.0), self._estimator.deviation(counts) * self._width


_POINTS = (-2.1, -1.645, -1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28, 1.645, 2.1)
_SHARES = (0.034, 0.041, 0.075, 0.12, 0.118, 0.101, 0.102, 0.101, 0.118, 0.12, 0.075, 0.041, 0.034)
"""A normal distribution in steps: standard deviations from its middle, and the share around each."""
TAIL = 0.05
"""Share of reports that may lie beyond each end of the interval."""
NEAR = 16
"""Tokens: a forecast this close to the report is right where blocks are smaller."""
KEPT = 60
"""Residuals that widen intervals."""
WIDE, LEAST_ERRORS = 2.0 * NEAR, 19
"""Tokens from which an interval is wide; errors of wide forecasts from which they narrow it."""


class ForecastInterval(Struct, frozen=True):
    """Cached tokens (≈), and the interval that holds nine in ten reports."""

    tokens: float
    low: float
    high: float

    def widened(self, below: float, above: float, most: float) -> ForecastInterval:
        """Return the interval with learned residuals added at its ends, within 0 and `most`."""
        tokens = min(self.tokens, most)
        low = min(max(self.low - below, 0.0), tokens)
        return ForecastInterval(tokens, low, max(min(self.high + above, most), tokens))


def interval(sizes: Iterable[tuple[float, Size]], units: Sequence[CacheUnit], most: float) -> ForecastInterval:
    """Return the forecast for sizes with probabilities (sum 1). `most`: the tokens of the prompt."""
    weights: dict[Size, float] = {}
    for weight, size in sizes:
        weights[size] = weights.get(size, 0.0) + weight
    outcomes: dict[float, float] = {}
    for size, share in weights.items():
        points = zip(_POINTS, _SHARES, strict=True) if size.error >= 0.05 else ((0.0, 1.0),)
        # At least one token is always computed.
        spread = [
            (max(min(size.tokens + point * size.error, most - 1), 0.0), weight * share) for point, weight in points
        ]
        for unit in units:
            for tokens, weight in spread:
                served = (
                    unit.served(tokens)
                    if unit.block > 1 or unit.rounding.unit > 1
                    else round(tokens)
                    if tokens >= unit.minimum
                    else 0.0
                )
                outcomes[served] = outcomes.get(served, 0.0) + weight * unit.weight
    if not outcomes:
        return ForecastInterval(0.0, 0.0, 0.0)
    near = max(NEAR, units[0].block if units else NEAR)
    tokens = _most_probable(outcomes, near)
    low, high = _quantile(outcomes, TAIL), _quantile(outcomes, 1 - TAIL)
    return ForecastInterval(tokens, min(low, tokens), max(high, tokens))


def _most_probable(outcomes: dict[float, float], near: float) -> float:
    """Return the figure with the largest probability that the report is within `near` tokens of it."""
    ordered = sorted(outcomes.items())
    best, most = 0.0, -1.0
    start = 0
    for tokens, _ in ordered:
        while ordered[start][0] < tokens - near:
            start += 1
        around = 0.0
        for other, share in ordered[start:]:
            if other > tokens + near:
                break
            # The figure itself counts a little more, so that exact ones win among equals.
            around += share * (1 - 0.3 * abs(other - tokens) / near)
        if around > most:
            best, most = tokens, around
    return best


def _quantile(outcomes: dict[float, float], part: float) -> float:
    total, before = sum(outcomes.values()), 0.0
    for tokens in sorted(outcomes):
        before += outcomes[tokens]
        if before >= part * total:
            return tokens
    return max(outcomes)


class Residuals:
    """Signed distances of reports from unwidened intervals: 0 inside, positive above, negative below."""

    def __init__(self) -> None:
        self._beyond: deque[float] = deque(maxlen=KEPT)
        self._errors: deque[float] = deque(maxlen=KEPT)
        """Reports minus the figures of wide forecasts."""
        self.width = 1.0
        """Factor of the standard deviations of estimates that keeps nine in ten reports inside, 1 to 4."""

    def add(self, found: ForecastInterval, reported: int) -> None:
        """Add a forecast with its report."""
        beyond = min(reported - found.low, 0.0) or max(reported - found.high, 0.0)
        self._beyond.append(beyond)
        if found.high - found.low > WIDE:
            self._errors.append(reported - found.tokens)
        if beyond == 0:
            self.width = max(self.width * 0.985, 1.0)
        elif abs(beyond) < max(0.1 * found.tokens, 48.0):
            self.width = min(self.width * 1.15, 4.0)

    @property
    def streak(self) -> int:
        """Number of latest reports in a row that were inside."""
        outside = (at for at, beyond in enumerate(reversed(self._beyond)) if beyond)
        return next(outside, len(self._beyond))

    def narrowed(self, found: ForecastInterval) -> ForecastInterval:
        """Return a wide interval with the ends that nine in ten reports for wide forecasts kept, if these are nearer.

        What the hypotheses cannot exclude hardly ever happened then. With 19 errors their extremes hold nine in ten.
        """
        count = len(self._errors)
        if count < LEAST_ERRORS or found.high - found.low <= WIDE:
            return found
        errors, beyond = sorted(self._errors), int(TAIL * (count + 1)) - 1
        low, high = found.tokens + min(errors[beyond], 0.0), found.tokens + max(errors[-1 - beyond], 0.0)
        return ForecastInterval(found.tokens, max(found.low, low), min(found.high, high))

    @property
    def below(self) -> float:
        """Tokens by which the lower end is moved down."""
        return self._slack([-beyond for beyond in self._beyond])

    @property
    def above(self) -> float:
        """Tokens by which the upper end is moved up."""
        return self._slack(list(self._beyond))

    @staticmethod
    def _slack(amounts: list[float]) -> float:
        """Return the least slack that leaves at most one in twenty outside."""
        allowed = int(TAIL * max(len(amounts), 40))
        outside = sorted((amount for amount in amounts if amount > 0), reverse=True)
        return outside[allowed] if len(outside) > allowed else 0.0

    def state(self) -> dict[str, object]:
        return {"beyond": list(self._beyond), "width": self.width, "errors": list(self._errors)}

    def restore(self, beyond: Sequence[float], width: float, errors: Sequence[float] = ()) -> None:
        self._beyond.extend(beyond[-KEPT:])
        self._errors.extend(errors[-KEPT:])
        self.width = min(max(width, 1.0), 4.0)

"""Ridge regression of a few ratios towards 1, and what it leaves uncertain. Pure Python: the unknowns are nine."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from operator import mul

Row = tuple[float, ...]

NOISE = 0.03
"""Relative standard deviation that reports have around any fit by classes of characters, until they tell."""
NOISE_WEIGHT = 4
"""How many reports it takes to outweigh NOISE."""
LEAST, MOST = 0.2, 5.0
"""Where a ratio is held, whatever the reports say."""
NINE_IN_TEN = 1.645
"""Standard deviations to each side that hold 90 % of a normal distribution."""
_TAILS = (1.52, 1.42)
"""Student's t has wider ends than the normal distribution, the fewer reports the noise is known from: its 95 % quantile
is about 1.645 + 1.52/ν + 1.42/ν², where ν is the degrees of freedom (within 1 % from ν = 3 on)."""


class Ratios:
    """Ratios r with predicted = Σ row·r. `doubts`: the standard deviation of each ratio before any report."""

    def __init__(self, doubts: Sequence[float]) -> None:
        self._pulls = tuple((NOISE / doubt) ** 2 for doubt in doubts)
        self._noise = NOISE
        self._freedom = float(NOISE_WEIGHT)
        self.values: Row = (1.0,) * len(doubts)
        self._inverse = _inverse(_diagonal(self._pulls))

    def fit(self, rows: Sequence[Row]) -> None:
        """Take the ratios r that minimise Σ (row·r - 1)² + Σ pull·(r - 1)². Rows are shares of what was reported."""
        matrix = _diagonal(self._pulls)
        target = list(self._pulls)
        for row in rows:
            for i, share in enumerate(row):
                if share:
                    matrix[i] = [cell + share * other for cell, other in zip(matrix[i], row, strict=True)]
                    target[i] += share
        self._inverse = _inverse(matrix)
        self.values = tuple(min(max(sum(map(mul, line, target)), LEAST), MOST) for line in self._inverse)
        missed = sum((sum(map(mul, row, self.values)) - 1) ** 2 for row in rows)
        # What the ratios took up of the reports cannot tell of the noise: each fitted ratio costs up to one.
        fitted = sum(1 - pull * self._inverse[i][i] for i, pull in enumerate(self._pulls))
        self._freedom = NOISE_WEIGHT + max(len(rows) - fitted, 0.0)
        self._noise = sqrt((NOISE_WEIGHT * NOISE**2 + missed) / self._freedom)

    def relative_error(self, shares: Row) -> float:
        """Half the width of the 90 % interval of a text whose tokens fall to the classes in these shares (sum 1)."""
        doubt = sum(share * sum(map(mul, line, shares)) for share, line in zip(shares, self._inverse, strict=True))
        wide = NINE_IN_TEN + _TAILS[0] / self._freedom + _TAILS[1] / self._freedom**2
        return wide * self._noise * sqrt(1 + max(doubt, 0.0))


def _diagonal(values: Sequence[float]) -> list[list[float]]:
    return [[value if i == j else 0.0 for j in range(len(values))] for i, value in enumerate(values)]


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """By Gauss-Jordan; the matrix is positive definite, so no pivoting is needed."""
    size = len(matrix)
    rows = [[*line, *unit] for line, unit in zip(matrix, _diagonal([1.0] * size), strict=True)]
    for i in range(size):
        pivot = rows[i][i]
        rows[i] = [cell / pivot for cell in rows[i]]
        for j in range(size):
            factor = rows[j][i]
            if j != i and factor:
                rows[j] = [cell - factor * other for cell, other in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]

"""Recursive least squares: a few coefficients with their covariance, updated one observation at a time. Pure Python."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from operator import mul

Row = Sequence[float]

OUTLIER = 3.5
"""Standard deviations from which an observation has less influence."""


class RecursiveLeastSquares:
    """Coefficients c with observed = row · c + noise; `means` and `deviations` describe them before any observation."""

    def __init__(self, means: Row, deviations: Row) -> None:
        self.values = list(means)
        self._least = [deviation * deviation * 1e-4 for deviation in deviations]
        size = len(self.values)
        self._covariance = [[deviations[i] ** 2 if i == j else 0.0 for j in range(size)] for i in range(size)]

    def predict(self, row: Row) -> float:
        """Return the expected observation."""
        found: float = sum(map(mul, row, self.values))
        return found

    def variance(self, row: Row) -> float:
        """Return the variance of the prediction that the coefficients leave, without the noise."""
        used = [i for i, cell in enumerate(row) if cell]
        covariance = self._covariance
        return sum(row[i] * covariance[i][j] * row[j] for i in used for j in used)

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
        """Return coefficients and covariance, to be stored."""
        return list(self.values), [list(line) for line in self._covariance]

    def restore(self, values: Row, covariance: Sequence[Row]) -> None:
        """Continue from a stored state; one of another size is ignored."""
        size = len(self.values)
        if len(values) == size and len(covariance) == size and all(len(line) == size for line in covariance):
            self.values = list(values)
            self._covariance = [list(line) for line in covariance]

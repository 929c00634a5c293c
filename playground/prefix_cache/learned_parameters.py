"""What the reports of one endpoint and model have taught: the parameters of all estimates and hypotheses."""

from __future__ import annotations

from playground.prefix_cache.block_size import BlockSizeEstimator
from playground.prefix_cache.hypotheses import Hypotheses
from playground.prefix_cache.kept_points import KeptPoints
from playground.prefix_cache.prefix_size import Residuals
from playground.prefix_cache.proofs import CacheOff, CacheProofs
from playground.prefix_cache.round_robin import RoundRobin
from playground.prefix_cache.token_estimator import TokenEstimator

SEVERAL = 0.05
"""Probability of replicas at random from which reports are compared with replicas in turn."""
WRONG, FADING = 1.0, 0.75
"""Number of recent wrong forecasts from which reports are compared with replicas in turn; what is left of it after each
further report."""


class LearnedParameters:
    """The parameters of one endpoint and model. `assumed_s`: the lifetime that is assumed before reports tell."""

    def __init__(self, assumed_s: float) -> None:
        self.reports = 0
        self.estimator = TokenEstimator()
        self.units = BlockSizeEstimator()
        self.hypotheses = Hypotheses(assumed_s)
        self.residuals = Residuals()
        self.proofs = CacheProofs()
        self.off = CacheOff()
        self.round_robin = RoundRobin()
        self.kept_points = KeptPoints()
        self._wrong = 0.0
        """Number of recent forecasts that were more than a block from the report, see `FADING`."""

    def add_forecast(self, *, wrong: bool) -> None:
        """Count a forecast. `wrong`: whether it was more than a block from the report."""
        self._wrong = FADING * self._wrong + wrong

    @property
    def several_possible(self) -> bool:
        """Whether there may be several replicas, so that reports are compared with replicas in turn."""
        return bool(self.round_robin.replicas or self.hypotheses.at_random >= SEVERAL or self._wrong >= WRONG)

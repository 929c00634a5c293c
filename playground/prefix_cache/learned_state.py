"""What the reports of one endpoint and model have taught, and its form on disk: versioned JSON, read at the next start,
rebuilt from the log if lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import asdict

from playground.prefix_cache.block_size import BlockSizeEstimator
from playground.prefix_cache.hypotheses import Hypotheses
from playground.prefix_cache.prefix_size import Residuals
from playground.prefix_cache.proofs import CacheOff, CacheProofs
from playground.prefix_cache.reach import KeptPoints
from playground.prefix_cache.round_robin import RoundRobin
from playground.prefix_cache.token_estimator import TokenEstimator

VERSION = 1
SEVERAL = 0.05
"""Probability of replicas at random, or of prefixes stored late, from which reports are compared with replicas in
turn."""
WRONG, FADING = 1.0, 0.75
"""Number of recent wrong forecasts from which reports are compared with replicas in turn; the share that remains
after each further report."""


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
        likely = max(self.hypotheses.at_random, self.hypotheses.delayed) >= SEVERAL
        return bool(self.round_robin.replicas or likely or self._wrong >= WRONG)


class _Estimator(msgspec.Struct):
    values: list[float]
    covariance: list[list[float]]
    squares: float
    weight: float
    reports: int


class _Units(msgspec.Struct):
    table: list[tuple[int, int, float]]
    seen: list[int]
    misses: int


class _Hypotheses(msgspec.Struct):
    renderings: dict[str, list[float]]
    routings: list[float]
    lost: float
    kept: float
    tools_seen: int = 0
    answers_tested: int = 0


class _Residuals(msgspec.Struct):
    beyond: list[float]
    width: float
    errors: list[float] = []


class _Proofs(msgspec.Struct):
    unserved: list[float] = []
    outlived: float = 0.0
    spread: list[int] = []
    inside: bool = False
    shared: list[str] = []
    pauses: list[tuple[float, bool]] = []
    moments: list[float] = []
    moved: dict[str, int] = {}
    excluded: dict[str, float] = {}
    losses: list[tuple[float, float]] = []
    lost_at: list[float] = []
    stored: list[float] = []
    in_flight: list[tuple[float, bool]] = []
    again: list[bool] = []
    short: list[float] = []
    alone: list[tuple[float, int]] = []
    found: list[tuple[float, int, float]] = []
    at_once: bool = False


class _RoundRobin(msgspec.Struct):
    replicas: int = 0
    agreed: dict[str, list[bool]] = {}


class LearnedState(msgspec.Struct):
    """What was learned about one endpoint and model, from `reports` reports."""

    endpoint: str
    model: str
    reports: int
    estimator: _Estimator
    units: _Units
    hypotheses: _Hypotheses
    residuals: _Residuals
    proofs: _Proofs = msgspec.field(default_factory=_Proofs)
    round_robin: _RoundRobin = msgspec.field(default_factory=_RoundRobin)
    kept_points: dict[str, list[bool]] = {}


class _File(msgspec.Struct):
    version: int
    models: list[LearnedState]


def state_of(endpoint: str, model: str, learned: LearnedParameters) -> LearnedState:
    """Return what reports have taught of a server."""
    fields: dict[str, Any] = {
        "endpoint": endpoint,
        "model": model,
        "reports": learned.reports,
        "estimator": learned.estimator.state(),
        "units": learned.units.state(),
        "hypotheses": learned.hypotheses.state(),
        "residuals": learned.residuals.state(),
        "proofs": learned.proofs.state(),
        "round_robin": learned.round_robin.state(),
        "kept_points": learned.kept_points.state(),
    }
    return msgspec.convert(fields, LearnedState)


def restore(learned: LearnedParameters, state: LearnedState) -> None:
    """Continue with the learned state."""
    learned.estimator.restore(**asdict(state.estimator))
    learned.units.restore(**asdict(state.units))
    learned.hypotheses.restore(**asdict(state.hypotheses))
    learned.residuals.restore(**asdict(state.residuals))
    learned.proofs.restore(**asdict(state.proofs))
    learned.round_robin.restore(**asdict(state.round_robin))
    learned.kept_points.restore(state.kept_points)
    learned.hypotheses.replicas_in_turn = learned.round_robin.replicas
    learned.reports = state.reports


def inherit(learned: LearnedParameters, other: LearnedParameters) -> None:
    """Start with what another model of the same server has taught."""
    restore(learned, state_of("", "", other))


def dump(models: Mapping[tuple[str, str], LearnedParameters], others: Mapping[tuple[str, str], LearnedState]) -> bytes:
    """Return the learned state of all endpoints as JSON."""
    states = [state_of(endpoint, model, learned) for (endpoint, model), learned in models.items() if learned.reports]
    known = {(state.endpoint, state.model) for state in states}
    states += [state for key, state in others.items() if key not in known]
    return msgspec.json.encode(_File(VERSION, states))


def parse(data: bytes) -> dict[tuple[str, str], LearnedState]:
    """Return the learned states in a file; none if it is of another version. Raises ValueError if it is damaged."""
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    if file.version != VERSION:
        return {}
    return {(state.endpoint, state.model): state for state in file.models}

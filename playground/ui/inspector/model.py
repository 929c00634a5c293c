"""All that the inspector shows of one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from playground.client.endpoint import Rates
from playground.prefix.forecast import Forecast
from playground.prefix.why import Why
from playground.runs.state import RunState


@dataclass(frozen=True, slots=True)
class InspectorModel:
    """`state` may still grow; the rest stands. `started_utc` is aware, in UTC."""

    state: RunState
    forecast: Forecast | None
    rates: Rates
    why: Why | None
    endpoint_name: str
    simulated: bool
    started_utc: datetime
    model: str
    usage_asked: bool = True
    """Whether the request asked for usage: a stream reports it only then."""
    score: str = ""
    """How forecasts for this endpoint have held so far, in words; empty where that is not asked."""

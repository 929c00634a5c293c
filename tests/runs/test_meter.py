"""The meter of a plan's limits."""

from __future__ import annotations

from playground.runs.meter import Load, Meter


def test_requests_in_flight_and_within_the_last_minute() -> None:
    now = [0.0]
    meter = Meter(lambda: now[0])
    assert meter.load("a") == Load(0, 0)
    meter.started("a")
    now[0] = 30.0
    meter.started("a")
    meter.started("b")
    assert meter.load("a") == Load(2, 2)
    meter.ended("a")
    now[0] = 59.9
    assert meter.load("a") == Load(1, 2)
    now[0] = 60.0
    assert meter.load("a") == Load(1, 1)
    now[0] = 90.0
    assert meter.load("a") == Load(1, 0)
    assert meter.load("b") == Load(1, 0)

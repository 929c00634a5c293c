"""Runs against a simulator or a hand-made server, and what both are told beforehand."""

from __future__ import annotations

import json
from typing import Any

from playground.simulator.launch import SimulatorProcess
from tests.simulator.talk import request


def _root(simulator: SimulatorProcess) -> str:
    return simulator.base_url.removesuffix("/waves/v1")


def queue_faults(simulator: SimulatorProcess, *faults: str) -> None:
    """The next requests get these faults, one each."""
    for fault in faults:
        answer = request(f"{_root(simulator)}/simulator/faults", json.dumps({"fault": fault}).encode())
        assert answer.status == 200, answer.body


def stats(simulator: SimulatorProcess) -> dict[str, Any]:
    """What the simulator has counted: served, in_flight, disconnects, cached_blocks."""
    counted: dict[str, Any] = request(f"{_root(simulator)}/simulator/stats").json
    return counted

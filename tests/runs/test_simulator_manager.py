"""The simulator's process: started on first use, and again if it ended."""

from __future__ import annotations

import asyncio
import os
import signal

from playground.client.endpoint import SIMULATOR_ID, Endpoint
from playground.runs.service import SimulatorManager


async def test_resolve_simulator_that_was_killed_is_started_again_and_reported() -> None:
    errors: list[str] = []
    manager = SimulatorManager(("--plan", "none"), errors.append)
    endpoint = Endpoint(SIMULATOR_ID, "Simulator", "", kind="simulator")
    first = (await manager.resolve(endpoint)).base_url
    assert (await manager.resolve(endpoint)).base_url == first
    assert errors == []
    assert manager._process is not None
    os.kill(manager._process.pid, signal.SIGKILL)
    await asyncio.to_thread(manager._process._process.wait, 30)
    second = (await manager.resolve(endpoint)).base_url
    assert second.startswith("http://127.0.0.1:")
    assert len(errors) == 1
    await manager.stop()

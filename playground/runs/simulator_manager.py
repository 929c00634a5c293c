"""The built-in simulator as the workspace sees it: a process that is started once, when it is first needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from playground.client.endpoint import Endpoint

if TYPE_CHECKING:
    from playground.simulator.launch import SimulatorProcess


class SimulatorManager:
    """Starts the simulator's process off the event loop and keeps it until `stop`."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._arguments = tuple(arguments)
        self._process: SimulatorProcess | None = None
        self._starting: asyncio.Lock = asyncio.Lock()
        self.started_at: float | None = None
        """When the process came up (unix seconds): what was sent before that, its cache has never seen."""

    async def resolve(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with the address that the running simulator listens on; any other endpoint as it is.

        Raises SimulatorError with a sentence where the process does not come up.
        """
        if endpoint.kind != "simulator":
            return endpoint
        async with self._starting:
            if self._process is None:
                self._process = await asyncio.to_thread(self._start)
                self.started_at = time.time()
        return replace(endpoint, base_url=self._process.base_url)

    def _start(self) -> SimulatorProcess:
        # Imported here: a process launcher is not needed before the first paint.
        from playground.simulator.launch import SimulatorProcess

        return SimulatorProcess.start(extra_args=self._arguments)

    async def stop(self) -> None:
        """End the process; fine where none runs."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop)

"""The process of the built-in simulator, started on first use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from playground.client.endpoint import Endpoint

if TYPE_CHECKING:
    from playground.simulator.launch import SimulatorProcess


class SimulatorManager:
    """Starts the simulator's process off the event loop and keeps it until `stop`."""

    def __init__(self, arguments: Sequence[str] = (), on_error: Callable[[str], None] = lambda _message: None) -> None:
        self._arguments, self._on_error = tuple(arguments), on_error
        self._process: SimulatorProcess | None = None
        self._starting: asyncio.Lock = asyncio.Lock()
        self.started_at: float | None = None
        """Start time of the process (unix seconds); its cache is empty at that time."""

    async def resolve(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint with the address of the running simulator; return any other endpoint unchanged.

        A simulator that has ended is started again.

        Raises SimulatorError with a message if the process does not start.
        """
        if endpoint.kind != "simulator":
            return endpoint
        async with self._starting:
            if self._process is not None and self._process.has_ended:
                reason = self._process.last_line or "it gave no reason"
                self._on_error(f"The built-in simulator ended and is started again: {reason}")
                await self.stop()
            if self._process is None:
                self._process = await asyncio.to_thread(self._start)
                self.started_at = time.time()
        return replace(endpoint, base_url=self._process.base_url)

    def _start(self) -> SimulatorProcess:
        # Imported here: a process launcher is not needed before the first paint.
        from playground.simulator.launch import SimulatorProcess

        return SimulatorProcess.start(extra_args=self._arguments)

    async def stop(self) -> None:
        """End the process, if one runs."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop)

"""An event loop whose time passes only while nothing happens: limits and orders do not depend on the machine's load."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Given = TypeVarTuple("Given")

ARRIVAL_S = 0.01
"""Real time in which bytes that were sent arrive on loopback."""


class _Clock(selectors.DefaultSelector):
    """Advances the clock of its loop where another selector waits for a timer, and no thread works for the loop."""

    now = 0.0
    working = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        has_sockets = len(self.get_map()) > 1  # one wakes the loop
        assert timeout is not None or self.working or has_sockets, "every task waits, and no timer is set"
        if timeout is None or self.working:
            return super().select()
        if has_sockets:
            ready = super().select(ARRIVAL_S)
        if not ready:
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        super().__init__(clock)

    def time(self) -> float:
        return self._clock.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Given], Result], *args: *Given
    ) -> asyncio.Future[Result]:
        future = super().run_in_executor(executor, func, *args)
        self._clock.working += 1
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: asyncio.Future[Any]) -> None:
        self._clock.working -= 1

    async def shutdown_default_executor(self, *given: Any) -> None:
        self._clock.working += 1
        await super().shutdown_default_executor(*given)


def run_in_virtual_time(main: Coroutine[Any, Any, Result]) -> Result:
    """Run on such a loop. Peers on sockets must be in the same loop."""
    with asyncio.Runner(loop_factory=lambda: _Loop(_Clock())) as runner:
        return runner.run(main)

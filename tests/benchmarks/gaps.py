"""Event-loop gaps: how long a task that only asks for its next turn every millisecond waits for it beyond that."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EVERY_S = 0.001


class Gaps(list[float]):
    """Gaps in milliseconds. `cpu` has the processor time that the loop's thread used in each.

    On a busy machine `cpu` shows the part that the program itself causes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cpu: list[float] = []


@asynccontextmanager
async def gaps_of_loop() -> AsyncIterator[Gaps]:
    """Gaps, gathered while the block runs."""
    found = Gaps()

    async def watch() -> None:
        last, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(EVERY_S)
            now, used = time.perf_counter(), time.thread_time()
            found.append((now - last - EVERY_S) * 1000)
            found.cpu.append((used - cpu) * 1000)
            last, cpu = now, used

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        yield found
        task.cancel()


def print_gaps(name: str, gaps: list[float]) -> float:
    """Print median, 99th percentile and the longest; returns the 99th percentile in milliseconds."""
    hundredths = statistics.quantiles(gaps, n=100)
    text = f"{name:14} median {hundredths[49]:6.2f} ms  99th {hundredths[98]:6.2f} ms  most {max(gaps):6.2f} ms"
    if isinstance(gaps, Gaps):
        cpu = statistics.quantiles(gaps.cpu, n=100)
        text += f"; of it CPU time of the thread: 99th {cpu[98]:6.2f} ms  most {max(gaps.cpu):6.2f} ms"
    print(text)
    return hundredths[98]

"""Event-loop gaps: how long a task that only asks for its next turn every millisecond waits for it beyond that."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EVERY_S = 0.001


@asynccontextmanager
async def gaps_of_loop() -> AsyncIterator[list[float]]:
    """Gaps in milliseconds, gathered while the block runs."""
    found: list[float] = []

    async def watch() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(EVERY_S)
            now = time.perf_counter()
            found.append((now - last - EVERY_S) * 1000)
            last = now

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        yield found
        task.cancel()


def print_gaps(name: str, gaps: list[float]) -> float:
    """Print median, 99th percentile and the longest; returns the 99th percentile in milliseconds."""
    hundredths = statistics.quantiles(gaps, n=100)
    print(f"{name:14} median {hundredths[49]:6.2f} ms  99th {hundredths[98]:6.2f} ms  most {max(gaps):6.2f} ms")
    return hundredths[98]

"""One stream of 1,000 chunks a second through the whole program: socket, client, run, log on disk, panes.

python -m tests.benchmarks.bench_stream [SECONDS]

An event-loop gap is the time between two turns of a task that does nothing but ask for its next turn every millisecond.
The same is measured in the same window while nothing happens. Goals: 99 of 100 gaps within 16.7 ms, none above 50 ms.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

RATE = 1000
SECONDS = 6.0
EVERY_S = 0.001


@asynccontextmanager
async def _gaps() -> AsyncIterator[list[float]]:
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


def _print(name: str, gaps: list[float]) -> float:
    hundredths = statistics.quantiles(gaps, n=100)
    print(f"{name:14} median {hundredths[49]:6.2f} ms  99th {hundredths[98]:6.2f} ms  most {max(gaps):6.2f} ms")
    return hundredths[98]


async def _measure(seconds: float, port: int, folder: Path) -> None:
    from PySide6.QtWidgets import QApplication

    from playground.client.endpoint import Endpoint
    from playground.ui.session import Session

    application = QApplication.instance()
    assert isinstance(application, QApplication)
    session = Session(application, folder, {})
    session.show()
    await session.ready.wait()
    window = session.window
    mine = session.workspace.endpoints.add(Endpoint("", "bench", f"http://127.0.0.1:{port}/v1", "m", needs_key=False))
    window.choose_endpoint(mine.id)
    await asyncio.sleep(0.5)
    async with _gaps() as idle:
        await asyncio.sleep(seconds / 2)
    async with _gaps() as busy:
        settled = asyncio.Event()
        window.requests.settled.connect(settled.set)
        window.requests.send_or_stop()
        await settled.wait()
    current = window.requests.current
    assert current is not None
    assert current.run.state.phase == "done", current.run.state.trouble
    took_s = (current.run.state.last_token_at or 0.0) - (current.run.state.first_token_at or 0.0)
    print(f"{len(current.run.state.raw) - 1:,} chunks in {took_s:.2f} s, {len(current.run.state.text):,} characters")
    floor = _print("nothing runs", idle)
    print(f"{'ratio of 99th':14} {_print('streaming', busy) / floor:.1f}")
    await session.close()


def main(seconds: float) -> None:
    """Measure and print."""
    from playground.ui.session import make_application, make_runner

    command = [sys.executable, "-m", "tests.benchmarks.chunk_server", str(RATE), str(int(RATE * seconds))]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        application = make_application()
        with make_runner(application) as runner:
            runner.run(_measure(seconds, port, Path(folder)))
        server.kill()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)

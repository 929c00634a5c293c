"""One stream of 1,000 chunks per second through the whole program: socket, client, run, log on disk, panes.

python -m tests.benchmarks.bench_stream [SECONDS]

An event-loop gap is the time between two turns of a task that does nothing but ask for its next turn every millisecond.
The same is measured in the same window while nothing happens. Goals: 99 of 100 gaps within 16.7 ms, none above 50 ms.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.gaps import gaps_of_loop, print_gaps

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

RATE = 1000
SECONDS = 6.0


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
    async with gaps_of_loop() as idle:
        await asyncio.sleep(seconds / 2)
    async with gaps_of_loop() as busy:
        settled = asyncio.Event()
        window.requests.settled.connect(settled.set)
        window.requests.send_or_stop()
        await settled.wait()
    current = window.requests.current
    assert current is not None
    assert current.run.state.phase == "done", current.run.state.error
    took_s = (current.run.state.last_token_at or 0.0) - (current.run.state.first_token_at or 0.0)
    print(f"{len(current.run.state.raw) - 1:,} chunks in {took_s:.2f} s, {len(current.run.state.text):,} characters")
    floor = print_gaps("nothing runs", idle)
    print(f"{'ratio of 99th':14} {print_gaps('streaming', busy) / floor:.1f}")
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

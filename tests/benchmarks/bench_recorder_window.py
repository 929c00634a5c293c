"""Recorder mode in the real window while 20 streams are recorded: `python -m tests.benchmarks.bench_recorder_window`.

The log begins with 2,000 recorded requests; chunk server, recorder and callers are separate processes. Prints gaps
between frames of a 16 ms timer, gaps of the event loop, and the longest handlers of the page on the window's thread.
Goal: 99 of 100 frames at most 16.7 ms late, no handler over 5 ms. `--idle` measures the same window without streams.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

STREAMS, CHUNKS_PER_S, CHUNKS = 20, 40, 120
ROWS = 2_000
SECONDS = 20.0
FRAME_MS = 16
RULES = "".join(f"Rule {number}: be brief and kind, confirm numbers twice.\n" for number in range(160))


def body(number: int, *, stream: bool) -> dict[str, Any]:
    """Return a request of one of three programs; one has a date and one a session in front of stable text."""
    heads = (
        f"You are Mira. It is 2026-11-{number % 28 + 1:02d}.\n",
        f"You summarise calls.\nSession {number}.\n",
        "You route calls.\n",
    )
    system = heads[number % 3] + RULES[(number % 3) * 40 :]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": f"Question {number}?"}]
    return {"model": "electron", "messages": messages, "stream": stream}


async def fill(folder: Path) -> None:
    """Store ROWS recorded requests."""
    from playground.client.endpoint import Rates
    from playground.client.events import (
        AnyEvent,
        AttemptStarted,
        Completed,
        ContentDelta,
        HeadersReceived,
        Usage,
        UsageReported,
    )
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import EndedRun
    from playground.runs.record import RequestRecord

    log = await RequestLog.open(folder)
    began = datetime.now(UTC) - timedelta(hours=1)
    for first in range(0, ROWS, 200):
        runs = []
        for number in range(first, first + 200):
            record = RequestRecord(
                f"old-{number}",
                "simulator",
                "Built-in simulator",
                "simulator",
                "",
                "electron",
                began + timedelta(seconds=number),
                json.dumps(body(number, stream=True)).encode(),
                "{}",
                rates=Rates(0.4, 0.1),
                source="recorder",
                conversation=f"conversation-{number // 3}",
            )
            events: tuple[AnyEvent, ...] = (
                AttemptStarted(0.0, 1),
                HeadersReceived(0.1, 200, f"id-{number}", "text/event-stream", ()),
                ContentDelta(0.2, "Hello"),
                UsageReported(0.3, Usage(1_900, 1, None, 1_600 if number % 3 else 0)),
                Completed(0.4),
            )
            runs.append(EndedRun(record, events))
        await log.add(runs)
    await log.close()


async def caller(base_url: str) -> None:
    """Send streams until killed, STREAMS at a time."""
    import httpx

    async def send(first: int) -> None:
        number = first
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while True:
                sent = body(number, stream=True)
                await client.post(f"{base_url}/chat/completions", json=sent, headers={"Authorization": "Bearer sk_x"})
                number += STREAMS

    async with asyncio.TaskGroup() as group:
        for number in range(STREAMS):
            group.create_task(send(number))
            await asyncio.sleep(CHUNKS / CHUNKS_PER_S / STREAMS)


def print_frames(name: str, frames: list[float]) -> None:
    """Print how late frames were."""
    late = [frame - FRAME_MS for frame in frames[1:]]
    hundredths = statistics.quantiles(late, n=100)
    figures = f"median {hundredths[49]:.2f}, 99th {hundredths[98]:.2f}, most {max(late):.2f} ms late"
    print(f"frames {name}: {figures}; at most 16.7 ms late: {sum(one <= 16.7 for one in late)} of {len(late)}")


def _restart(clock: Any) -> float:
    """Return the milliseconds of a QElapsedTimer and restart it."""
    elapsed: float = clock.nsecsElapsed() / 1e6
    clock.restart()
    return elapsed


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a state of the window."""
    while not holds():  # noqa: ASYNC110 - what is displayed sets no event
        await asyncio.sleep(0.05)


class Handlers:
    """Wraps methods to time their calls on the window's thread."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def time(self, owner: object, name: str) -> None:
        """Time each call of `owner.name` from now on."""
        function: Callable[..., Any] = getattr(owner, name)
        times = self.times.setdefault(f"{type(owner).__name__}.{name}", [])

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                times.append((time.thread_time() - began) * 1000)

        setattr(owner, name, timed)


async def measure(server_port: int, folder: Path, *, idle: bool) -> None:
    """Print the figures."""
    from PySide6.QtCore import QElapsedTimer, Qt, QTimer
    from PySide6.QtWidgets import QApplication

    from playground.client.endpoint import PLANS, Endpoint, Rates
    from playground.ui.session import Session
    from tests.benchmarks.gaps import gaps_of_loop, print_gaps

    application = QApplication.instance()
    assert isinstance(application, QApplication)
    session = Session(application, folder, {})
    window = session.window
    session.show()
    window.resize(1440, 900)
    await session.ready.wait()
    endpoint = Endpoint(
        "bench",
        "Chunk server",
        f"http://127.0.0.1:{server_port}/v1",
        needs_key=False,
        plan=PLANS["none"],
        rates=Rates(0.4, 0.1),
    )
    window.choose_endpoint(session.workspace.endpoints.add(endpoint).id)
    window.modes.show_mode("recorder")
    recorder, handlers = window.recorder, Handlers()
    recorder.tools.port.setValue(0)
    recorder.start()
    await until(lambda: recorder.process is not None and len(recorder.page.model.rows) == ROWS)
    await until(lambda: bool(recorder.page.analysis.programs))
    page, process = recorder.page, recorder.process
    assert process is not None
    page.table.selectRow(3)
    for owner, name in (
        (page, "show_requests"),
        (page, "show_analysis"),
        (page.programs, "show_programs"),
        (page.model, "show_rows"),
        (page.leaks, "show_leaks"),
        (page.strip, "show_compared"),
        (page.bars, "paintEvent"),
        (page.table, "paintEvent"),
        (recorder, "_look"),
    ):
        handlers.time(owner, name)
    began = time.thread_time()
    for _ in range(1_000_000):
        pass
    print(f"a million empty turns of a loop: {(time.thread_time() - began) * 1000:.0f} ms of processor time")
    frames: list[float] = []
    clock, timer = QElapsedTimer(), QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(FRAME_MS)
    timer.timeout.connect(lambda: frames.append(_restart(clock)))
    clock.start()
    timer.start()
    await asyncio.sleep(SECONDS / 2)
    timer.stop()
    print_frames("without streams", frames)
    frames.clear()
    for times in handlers.times.values():
        times.clear()
    callers = None
    if not idle:
        module = "tests.benchmarks.bench_recorder_window"
        callers = await asyncio.create_subprocess_exec(*(sys.executable, "-m", module, "--caller", process.base_url))
        await asyncio.sleep(4)  # all streams run
    clock.start()
    timer.start()
    began, processor = time.perf_counter(), time.process_time()
    async with gaps_of_loop() as gaps:
        await asyncio.sleep(SECONDS)
    timer.stop()
    used = (time.process_time() - processor) / (time.perf_counter() - began)
    running = sum(row.phase == "streaming" for row in page.model.rows)
    print(f"{len(page.model.rows):,} rows, {running} streams in progress, load {os.getloadavg()[0]:.1f}")
    print(f"processor time of the window {used * 100:.0f} % of one core")
    print_gaps("event loop", gaps)
    print_frames("with streams", frames)
    for name, times in sorted(handlers.times.items()):
        if times:
            middle = statistics.median(times)
            print(f"  {name:32} {len(times):5} calls, processor time median {middle:6.2f}, most {max(times):6.2f} ms")
    if callers is not None:
        callers.kill()
        await callers.wait()
    await session.close()


def main() -> None:
    """Run the servers, the window and the callers."""
    if "--caller" in sys.argv:
        asyncio.run(caller(sys.argv[sys.argv.index("--caller") + 1]))
        return
    from playground.ui.session import make_application, make_runner

    command = [sys.executable, "-m", "tests.benchmarks.chunk_server", str(CHUNKS_PER_S), str(CHUNKS), "chunked"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, tempfile.TemporaryDirectory() as name:
        assert server.stdout is not None
        port, folder = int(server.stdout.readline()), Path(name)
        try:
            asyncio.run(fill(folder))
            application = make_application()
            with make_runner(application) as runner:
                runner.run(measure(port, folder, idle="--idle" in sys.argv))
        finally:
            server.kill()
    os._exit(0)


if __name__ == "__main__":
    main()

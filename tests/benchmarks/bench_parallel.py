"""20 streams of 200 chunks per second at once, in the real window with its log: nothing lost, and the loop stays free.

python -m tests.benchmarks.bench_parallel [SECONDS]

One stream is the window's own and is displayed as it arrives; the others go the same way (sender, client, run, log
on disk) beside it. No two streams say the same; every text is compared with what the server wrote in the stream of its
request_id, in memory and as the log has it afterwards.
Goals: 99 of 100 event-loop gaps within 16.7 ms, none above 50 ms.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.chunk_server import request_id, text_of
from tests.benchmarks.gaps import gaps_of_loop, print_gaps
from tests.benchmarks.window_run import run_with_chunk_server

if TYPE_CHECKING:
    from playground.runs.service import PendingRequest
    from playground.ui.session import Session

STREAMS = 20
RATE = 200
SECONDS = 12.0
FRAME_MS = 16.7


async def _all_at_once(session: Session) -> list[PendingRequest]:
    window, workspace = session.window, session.workspace
    document = window.prompt.document()
    settled = asyncio.Event()
    window.requests.settled.connect(settled.set)
    async with asyncio.TaskGroup() as group:
        others = [
            group.create_task(workspace.sender.send(document, workspace.endpoint, lambda _: None))
            for _ in range(STREAMS - 1)
        ]
        window.requests.send_or_stop()
        await settled.wait()
    shown = window.requests.current
    assert shown is not None
    return [shown, *(task.result() for task in others)]


async def _check(session: Session, sent: list[PendingRequest], chunks: int) -> None:
    log = session.workspace.log
    assert log is not None
    expected = {request_id(stream): text_of(chunks, stream) for stream in range(1, STREAMS + 1)}
    came = []
    for dispatch in sent:
        state, stored = dispatch.run.state, await log.get(dispatch.run.id)
        text = expected.pop(state.request_id or "", None)
        whole = state.phase == "done" and state.text == text
        logged = stored is not None and stored.state().text == text
        came.append((whole, logged))
        lasted_s = (state.last_token_at or 0.0) - (state.first_token_at or 0.0)
        said = "whole, and in the log" if whole and logged else f"whole: {whole}, whole in the log: {logged}"
        print(f"{state.request_id or '-':9} {len(state.text):7,} characters in {lasted_s:.2f} s: {said}")
    print(f"{sum(w for w, _ in came)} of {STREAMS} texts whole, {sum(b for _, b in came)} of {STREAMS} in the log")


async def _measure(seconds: float, port: int, folder: Path) -> None:
    from PySide6.QtWidgets import QApplication

    from playground.client.endpoint import Endpoint
    from playground.ui.session import Session

    application = QApplication.instance()
    assert isinstance(application, QApplication)
    session = Session(application, folder, {})
    session.show()
    await session.ready.wait()
    mine = session.workspace.endpoints.add(Endpoint("", "bench", f"http://127.0.0.1:{port}/v1", "m", needs_key=False))
    session.window.choose_endpoint(mine.id)
    await session.workspace.sender.connection.warm()
    await asyncio.sleep(0.5)
    async with gaps_of_loop() as idle:
        await asyncio.sleep(seconds / 4)
    async with gaps_of_loop() as busy:
        sent = await _all_at_once(session)
    took_s = max(dispatch.run.state.last_token_at or 0.0 for dispatch in sent)
    print(f"{STREAMS} streams of {int(RATE * seconds):,} chunks in {took_s:.2f} s")
    floor = print_gaps("nothing runs", idle)
    print(f"{'ratio of 99th':14} {print_gaps('streaming', busy) / floor:.1f}")
    late = sum(gap > FRAME_MS for gap in busy)
    print(f"{len(busy):,} gaps while streaming, {late:,} of them ({late / len(busy):.2%}) above {FRAME_MS} ms")
    await _check(session, sent, int(RATE * seconds))
    await session.close()


def main(seconds: float) -> None:
    """Measure and print."""
    run_with_chunk_server(RATE, int(RATE * seconds), partial(_measure, seconds))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)

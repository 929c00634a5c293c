"""Many sends in one window: file descriptors, threads, objects and memory after each hundred.

python -m tests.benchmarks.bench_sends [SENDS [CHUNKS]]

Real window, log on disk, and a server in another process. Every send changes the question, as a user does. Goals:
descriptors and threads the same at the end as after the first hundred, memory at most 5 MB more. With `288 2000` the
completions have 576,000 chunks, as in 8 hours of streaming at 20 tokens a second, without a pause between them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.window_run import run_with_chunk_server

if TYPE_CHECKING:
    from playground.ui.session import Session

SENDS, CHUNKS = 1_000, 50
RATE = 2_000
"""Chunks per second; no pause between those of long completions."""
EVERY = 100
MB = 1_048_576


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def print_row(sends: int) -> tuple[int, int, int]:
    """Print and return descriptors, threads and memory."""
    gc.collect()
    row = sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count(), memory_bytes()
    widgets = len(_widgets())
    print(f"{sends:6,} sends  {row[0]:4} descriptors  {row[1]:4} threads  {widgets:6,} widgets  {row[2] / MB:7.1f} MB")
    return row


def _widgets() -> list[object]:
    from PySide6.QtWidgets import QApplication

    return list(QApplication.allWidgets())


async def _measure(sends: int, port: int, folder: Path) -> None:
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
    print_row(0)
    rows = []
    every = min(EVERY, max(sends // 6, 1))
    for number in range(1, sends + 1):
        await _send(session, number)
        if number % every == 0:
            rows.append(print_row(number))
    if not rows:
        return
    first, last = rows[0], rows[-1]
    print(f"growth from {every} to {sends:,} sends: {last[0] - first[0]} descriptors, {last[1] - first[1]} threads, ")
    print(f"{(last[2] - first[2]) / MB:.1f} MB")
    await session.close()


async def _send(session: Session, number: int) -> None:
    window = session.window
    last = window.prompt.prompt_tab.cards[-1].text
    cursor = last.textCursor()
    cursor.movePosition(cursor.MoveOperation.End)
    cursor.insertText(str(number % 10))
    settled = asyncio.Event()
    connection = window.requests.settled.connect(settled.set)
    window.requests.send_or_stop()
    await asyncio.wait_for(settled.wait(), 60)
    window.requests.settled.disconnect(connection)
    shown = window.requests.current
    assert shown is not None
    assert shown.run.state.phase == "done", shown.run.state.phase


def main(sends: int, chunks: int) -> None:
    """Measure and print."""
    run_with_chunk_server(RATE if chunks <= CHUNKS else 0, chunks, partial(_measure, sends))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *(SENDS, CHUNKS)[len(sys.argv) - 1 :])

"""Four columns of Compare mode at 200 chunks per second each, in the real window with its log.

python -m tests.benchmarks.bench_compare [SECONDS]

Every text is compared with the one that the server sent in the stream of its request_id, in the column and in the log.
Goal: 99 of 100 event-loop gaps within 16.7 ms.
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
    from playground.ui.session import Session

COLUMNS = 4
RATE = 200
SECONDS = 12.0
FRAME_MS = 16.7


async def _check(session: Session, chunks: int) -> None:
    log = session.workspace.log
    assert log is not None
    expected = {request_id(stream): text_of(chunks, stream) for stream in range(1, COLUMNS + 1)}
    whole = logged = 0
    compare = session.window.compare
    for slot, view in zip(compare.slots, compare.page.columns, strict=True):
        text = expected.pop(slot.runs[0].request_id or "", None)
        stored = await log.get(slot.runs[0].run_id)
        whole += slot.runs[0].text == text == view.text.exact_text
        logged += stored is not None and stored.state().text == text
    print(f"{whole} of {COLUMNS} texts whole in their columns, {logged} of {COLUMNS} in the log")


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
    window.resize(1440, 900)
    mine = session.workspace.endpoints.add(Endpoint("", "bench", f"http://127.0.0.1:{port}/v1", "m", needs_key=False))
    window.choose_endpoint(mine.id)
    window.modes.show_mode("compare")
    compare = window.compare
    for _ in range(COLUMNS - 1):
        compare.add(compare.slots[0].variant)
    await session.workspace.sender.connection.warm()
    await asyncio.sleep(1.0)
    async with gaps_of_loop() as idle:
        await asyncio.sleep(seconds / 4)
    ended = asyncio.Event()
    compare.ended.connect(ended.set)
    async with gaps_of_loop() as busy:
        compare.send()
        await ended.wait()
    floor = print_gaps("nothing runs", idle)
    print(f"{'ratio of 99th':14} {print_gaps('streaming', busy) / floor:.1f}")
    for name, gaps in (("gaps", busy), ("CPU times", busy.cpu)):
        late = sum(gap > FRAME_MS for gap in gaps)
        print(f"{len(gaps):,} {name} from Send to the end, {late:,} ({late / len(gaps):.2%}) above {FRAME_MS} ms")
    await _check(session, int(RATE * seconds))
    await session.close()


def main(seconds: float) -> None:
    """Measure and print."""
    run_with_chunk_server(RATE, int(RATE * seconds), partial(_measure, seconds))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)

"""The whole window on a large log against an empty one: `python -m tests.benchmarks.bench_log_window FOLDER`.

FOLDER has a log, such as `bench_log_large --keep FOLDER` leaves. Each start is a process of its own: from its beginning
to a window whose log shows its rows. Then, on the large log: event-loop gaps while texts are searched for, the time
until a row far down has come after the table jumped there, and memory. Goals: 1.2 times the empty log; rows of a filter
within 200 ms; 50 MB.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playground.ui.panes.log.pane import OPENING
from playground.ui.session import Session, make_application, make_runner
from tests.benchmarks.gaps import gaps_of_loop

STARTS = 7
FILTERS = ("patient", "预约", "status:429 zweitmeinung", '"the of and"')
PLACES = (0.5, 0.01, 0.99, 0.33, 0.75)


async def _until(holds: Any) -> None:
    while not holds():  # noqa: ASYNC110 - what is on the screen sets no event
        await asyncio.sleep(0.001)


async def _session(folder: Path, began: float, *, whole: bool) -> dict[str, Any]:
    from PySide6.QtWidgets import QApplication

    application = QApplication.instance()
    assert isinstance(application, QApplication)
    session = Session(application, folder, {})
    session.show()
    await session.ready.wait()
    model = session.window.log.model
    await _until(lambda: session.window.log.empty.words.text() != OPENING)
    await _until(lambda: not model.rowCount() or model.row(0) is not None)
    start_ms = (time.time() - began) * 1000
    await _until(lambda: session.window.log.totals.text() != "")
    told: dict[str, Any] = {"start_ms": start_ms, "rows": model.rowCount(), "mb": _memory()}
    if whole:
        told["searches"] = [await _search(session, text) for text in FILTERS]
        session.window.log.filter_line.setText("")
        await _until(lambda: model.rowCount() == told["rows"])
        told["jumps"] = [await _jump(session, int(share * (told["rows"] - 1))) for share in PLACES]
        told["mb_after"] = _memory()
    await session.close()
    return told


async def _search(session: Session, text: str) -> tuple[str, float, float]:
    """(filter, milliseconds to its rows, longest gap of the loop meanwhile)."""
    pane, began = session.window.log, time.perf_counter()
    async with gaps_of_loop() as gaps:
        pane.filter_line.setText(text)
        await _until(lambda: pane.model.filter.text == text and pane.model.shows_filter)
        shown_ms = (time.perf_counter() - began) * 1000
        await asyncio.sleep(1.0)  # the count and the sums are still being made
    return text, shown_ms, max(gaps)


async def _jump(session: Session, row: int) -> float:
    """Milliseconds until a row far down has come."""
    pane, began = session.window.log, time.perf_counter()
    pane.table.go_to(row)
    await _until(lambda: pane.model.row(row) is not None)
    return (time.perf_counter() - began) * 1000


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _child(folder: Path, *, whole: bool) -> dict[str, Any]:
    """A process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_log_window", str(folder), "--child", repr(time.time())]
    done = subprocess.run([*command, *(["--whole"] if whole else [])], capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1])
    if "--child" in sys.argv:
        application = make_application()
        with make_runner(application) as runner:
            began = float(sys.argv[sys.argv.index("--child") + 1])
            print(json.dumps(runner.run(_session(folder, began, whole="--whole" in sys.argv))), flush=True)
        os._exit(0)
    with tempfile.TemporaryDirectory() as empty:
        _child(Path(empty), whole=False)
        starts = [(_child(Path(empty), whole=False), _child(folder, whole=False)) for _ in range(STARTS)]
    small, large = (statistics.median(pair[place]["start_ms"] for pair in starts) for place in (0, 1))
    print(f"empty log  {small:7.0f} ms to its rows   {starts[0][0]['mb']:6.1f} MB")
    print(f"{starts[0][1]['rows']:,} requests  {large:7.0f} ms   {starts[0][1]['mb']:6.1f} MB   {large / small:.2f} x")
    whole = _child(folder, whole=True)
    for text, took_ms, gap_ms in whole["searches"]:
        print(f"  {text:28} {took_ms:8.1f} ms from the last key to its rows, longest gap {gap_ms:6.1f} ms")
    print("  a row far down after a jump: " + ", ".join(f"{took:.1f}" for took in whole["jumps"]) + " ms")
    print(f"memory after all of this {whole['mb_after']:.1f} MB: +{whole['mb_after'] - starts[0][0]['mb']:.1f} MB")


if __name__ == "__main__":
    main()

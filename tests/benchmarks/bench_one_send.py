"""How much code one Ctrl+Enter runs: distinct functions and files of the program on the window's thread.

Run with `python -m tests.benchmarks.bench_one_send`; `-v` lists the functions with their calls. Real window, a
streamed completion from a server in another process. The second send is counted: the first one also runs code that
only a start needs. Goal: at most 400 functions in 80 files.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from tests.benchmarks.window_run import run_with_chunk_server

PACKAGE = str(Path(__file__).parents[2] / "playground")


async def _measure(port: int, folder: Path) -> None:
    from PySide6.QtWidgets import QApplication

    from playground.client.endpoint import PLANS, Endpoint
    from playground.ui.session import Session

    application = QApplication.instance()
    assert isinstance(application, QApplication)
    session = Session(application, folder, {})
    session.show()
    await session.ready.wait()
    window = session.window
    url = f"http://127.0.0.1:{port}/v1"
    endpoint = Endpoint("bench", "Chunk server", url, needs_key=False, plan=PLANS["none"])
    window.choose_endpoint(session.workspace.endpoints.add(endpoint).id)
    seen: Counter[tuple[str, str, int]] = Counter()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        inner = code.co_name.endswith(("comp>", "genexpr>"))  # part of a function
        if event == "call" and not inner and code.co_filename.startswith(PACKAGE):
            seen[code.co_filename, code.co_qualname, code.co_firstlineno] += 1

    for number in range(2):
        await asyncio.sleep(1)  # timers of the last change end
        if number:
            sys.setprofile(note)
        window.requests.send_or_stop()
        await asyncio.sleep(0)
        while window.requests.running:  # noqa: ASYNC110 - the end is no event of the benchmark's
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
    sys.setprofile(None)
    files = Counter(Path(name).relative_to(PACKAGE).parts[0] for name in {name for name, _, _ in seen})
    print(f"functions: {len(seen)} (goal 400) in {sum(files.values())} files (goal 80); calls: {seen.total():,}")
    print("files by folder:", ", ".join(f"{folder} {count}" for folder, count in files.most_common()))
    if "-v" in sys.argv:
        for (name, function, line), calls in sorted(seen.items()):
            print(f"{calls:6,} {Path(name).relative_to(PACKAGE)}:{line} {function}")
    await session.close()


if __name__ == "__main__":
    run_with_chunk_server(200, 40, _measure)

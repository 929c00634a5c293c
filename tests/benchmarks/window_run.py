"""Runs a benchmark in the real window, with a chunk server in another process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def run_with_chunk_server(
    chunks_per_s: int, chunks: int, measure: Callable[[int, Path], Coroutine[Any, Any, None]]
) -> None:
    """Run `measure(port, folder)` on the loop of Qt and asyncio; the server and the data folder end with it."""
    from playground.ui.session import make_application, make_runner

    command = [sys.executable, "-m", "tests.benchmarks.chunk_server", str(chunks_per_s), str(chunks), "chunked"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        application = make_application()
        try:
            with make_runner(application) as runner:
                runner.run(measure(port, Path(folder)))
        finally:
            server.kill()

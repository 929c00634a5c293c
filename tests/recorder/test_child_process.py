"""Child servers: their standard error is always read, and its last line survives them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from playground.child_process import MAX_LINE_BYTES, MAX_LINES, ServerProcess, StartError
from playground.requestlog.store import FILE_NAME
from playground.simulator.process import SimulatorProcess

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def child(program: str) -> ServerProcess:
    """Run a Python program as the child."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
    return ServerProcess(process, "http://127.0.0.1:1/v1")


def test_server_process_that_nobody_watches_does_not_wait_for_a_full_pipe_and_its_last_line_is_known() -> None:
    process = child(
        "import sys\nfor n in range(20_000): print('line', n, file=sys.stderr)\nprint('out of luck', file=sys.stderr)"
    )
    process._process.wait(60)
    process._reader.join(60)
    assert process.has_ended
    assert process.last_line == "out of luck"
    process.stop()


class CountedPipe(io.FileIO):
    """Counts reads of the system."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size) or b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self.reads += 1
        return super().readinto(buffer) or 0


def test_server_process_standard_error_is_read_in_blocks() -> None:
    pipe = subprocess.PIPE
    program = "import sys\nfor n in range(2_000): sys.stderr.write('a line of standard error\\n')"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
    assert process.stderr is not None
    counted = CountedPipe(os.dup(process.stderr.fileno()))
    process.stderr.close()
    process.stderr = counted
    server = ServerProcess(process, "http://127.0.0.1:1/v1")
    server._reader.join(60)
    assert server.last_line == "a line of standard error"
    assert counted.reads <= 2_001  # one write each; byte by byte it is 50,000
    server.stop()


def test_server_process_watched_late_reports_earlier_lines_and_the_exit_status() -> None:
    process = child("import sys\nprint('early', file=sys.stderr)\nraise SystemExit(3)")
    process._reader.join(60)
    lines: list[str] = []
    statuses: list[int] = []
    process.watch(lines.append, statuses.append)
    assert (lines, statuses) == (["early"], [3])
    process.stop()


def test_server_process_endless_line_is_cut_and_memory_is_bounded() -> None:
    process = child("import sys\nsys.stderr.write('x' * 300_000)\nsys.stderr.flush()\nsys.stdin.read()")
    ended = threading.Event()
    process.watch(lambda line: None, lambda status: ended.set())
    process.stop()
    assert ended.wait(30)
    assert len(process._lines) == MAX_LINES
    assert {len(line) for line in process._lines} <= {MAX_LINE_BYTES, 300_000 % MAX_LINE_BYTES}


def test_server_process_problem_before_the_address_is_reported_and_it_starts(
    tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]
) -> None:
    (tmp_path / FILE_NAME).mkdir()
    address = make_simulator("--plan", "none").base_url
    arguments = ("record", "--port", "0", "--base-url", address, "--data-dir", str(tmp_path))
    process = ServerProcess.launch(arguments, os.environ)
    lines: list[str] = []
    statuses: list[int] = []
    ended = threading.Event()

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    process.watch(lines.append, end)
    assert process.base_url.startswith("http://127.0.0.1:")
    process.stop()
    assert ended.wait(10)
    assert statuses == [0]
    assert any("nothing is recorded" in line for line in lines)


def test_server_process_invalid_argument_raises_with_the_last_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is not a port"):
        ServerProcess.launch(("record", "--port", "x", "--data-dir", str(tmp_path)), os.environ)

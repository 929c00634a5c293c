"""The launcher of child servers, with the recorder as the child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from playground.child_process import ServerProcess, StartError
from playground.requestlog.store import FILE_NAME
from playground.simulator.launch import SimulatorProcess


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

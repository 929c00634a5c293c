"""A small run of every fault case; `python -m tests.faults` runs them all."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.cases import (
    CHANGED_BYTES,
    DAMAGED_FILES,
    Outcome,
    clocks,
    damaged_files,
    deleted_folder,
    full_disk,
    kills,
    read_only,
)
from tests.faults.data_folder import server

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, mounts and limits"),
]


def _all_survived(outcomes: Iterable[Outcome]) -> None:
    found = list(outcomes)
    assert [outcome for outcome in found if outcome.lost or not outcome.survived] == []


@pytest.mark.parametrize("sent", [b"", b"POST /v1 HTTP/1.1\r\n", b"POST /v1 HTTP/1.1\r\nContent-Length: 9\r\n\r\n1234"])
def test_server_client_that_ends_within_its_request_leaves_no_thread(sent: bytes) -> None:
    with server() as base_url:
        host, port = base_url.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
        for thread in threading.enumerate():
            if thread.name == "answer":
                thread.join(10)
                assert not thread.is_alive()


def test_damaged_file_is_survived_and_nothing_is_lost(tmp_path: Path) -> None:
    found = list(damaged_files(tmp_path, 1))
    assert len(found) == len(DAMAGED_FILES) * len(CHANGED_BYTES)
    _all_survived(found)


def test_kill_while_writing_damages_nothing(tmp_path: Path) -> None:
    _all_survived(kills(tmp_path, 3))


def test_full_disk_is_reported_by_exit_status_and_stderr(tmp_path: Path) -> None:
    _all_survived(full_disk(tmp_path))


def test_read_only_disk_is_reported_by_exit_status_and_stderr(tmp_path: Path) -> None:
    _all_survived(read_only(tmp_path))


def test_deleted_folder_is_survived_and_reported(tmp_path: Path) -> None:
    _all_survived(deleted_folder(tmp_path))


def test_clock_jumps_and_absurd_waits_do_not_block_sending(tmp_path: Path) -> None:
    _all_survived(clocks(tmp_path))

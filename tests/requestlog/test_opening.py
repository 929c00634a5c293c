"""Opening of the log by many processes at once: one creates the file, all write to it, and none sets it aside."""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from playground.requestlog.records import LogUnavailableError
from playground.requestlog.recovery import open_log
from playground.requestlog.store import FILE_NAME
from playground.storage import file_lock
from playground.storage.file_lock import opening
from tests.forked_program import start_script

PROCESSES, ROUNDS = 30, 4
SCRIPT = """
import asyncio, fcntl, sys
from pathlib import Path
from playground.requestlog.log import RequestLog
from playground.runs.state import fold
from tests.requestlog.samples import answered, record

async def write(folder):
    log = await RequestLog.open(folder)
    log.on_notice(print)
    request = record()
    await log.begin(request)
    for event in answered():
        log.note(request.run_id, event)
    await log.finish(request.run_id, fold(answered()))
    await log.close()

for line in sys.stdin:
    with open(line.strip() + ".start") as start:
        print("ready", flush=True)
        fcntl.flock(start, fcntl.LOCK_SH)  # all begin together
        asyncio.run(write(Path(line.strip())))
        print("done", flush=True)
"""


def lines(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Return the next line of each process."""
    return [process.stdout.readline() for process in processes if process.stdout is not None]


def test_open_log_file_that_another_process_creates_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "OPENING_S", 0.0)
    with opening(tmp_path):
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            connection.execute("CREATE TABLE runs (number INTEGER)")
        others = tmp_path / "request-log.another.lock"
        others.touch()
        with pytest.raises(LogUnavailableError, match="opening"):
            open_log(tmp_path)
        assert (tmp_path / FILE_NAME).exists()
        assert others.exists()
    ready = open_log(tmp_path)
    assert ready.files.aside is not None, "the file was never finished"
    assert not others.exists()
    ready.files.reader.close()
    assert ready.files.writer is not None
    ready.files.writer.close()


def test_open_log_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogUnavailableError):
        open_log(tmp_path / "file")


@pytest.mark.exhaustive
def test_open_30_processes_at_once_in_a_new_folder_all_requests_are_in_one_log(tmp_path: Path) -> None:
    processes = [start_script(SCRIPT) for _ in range(PROCESSES)]
    try:
        for number in range(ROUNDS):
            folder = tmp_path / str(number)
            with (tmp_path / f"{number}.start").open("w") as start:
                fcntl.flock(start, fcntl.LOCK_EX)
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write(f"{folder}\n")
                    process.stdin.flush()
                assert lines(processes) == ["ready\n"] * PROCESSES
            assert lines(processes) == ["done\n"] * PROCESSES
            with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
                phases = connection.execute("SELECT phase, count(*) FROM runs GROUP BY phase").fetchall()
            assert phases == [("done", PROCESSES)]
            assert not list(folder.glob("request-log.damaged*"))
    finally:
        for process in processes:
            process.kill()
            process.communicate()

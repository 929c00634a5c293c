"""Commands that read the log, on a disk that is full or read-only: a small tmpfs in a mount namespace."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun
from tests.requestlog.samples import answered, record

UNSHARE = ["unshare", "-rm"]


def _has_namespaces() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run([*UNSHARE, "true"], check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _has_namespaces(), reason="needs mount namespaces")
MOUNT = "mount -t tmpfs -o size=3m tmpfs {disk} && cp -a {log} {disk}/data\n"
FULL = "cat /dev/zero > {disk}/filler 2>{errors} || test -s {errors}\n"
READ_ONLY = "mount -o remount,ro {disk}\n"
REQUESTS = 3


async def _fill(folder: Path) -> RequestLog:
    log = await RequestLog.open(folder)
    await log.add([EndedRun(replace(record(), run_id=f"{at:032x}"), tuple(answered())) for at in range(REQUESTS)])
    return log


async def _close(folder: Path) -> None:
    await (await _fill(folder)).close()


def _filled(folder: Path, *, killed: bool) -> Path:
    """Return a folder with a log: closed, or as a killed process leaves it, with its write-ahead file."""
    if not killed:
        asyncio.run(_close(folder))
        return folder
    code = (
        "import asyncio, os; from pathlib import Path; from tests.cli.test_unwritable_disk import _fill\n"
        f"async def main():\n    await _fill(Path({str(folder)!r}))\n    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "request-log.sqlite3-wal").stat().st_size > 0
    return folder


def _on(state: str, log: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    script = (MOUNT + state).format(disk=disk, log=log, errors=folder / "errors")
    command = [*UNSHARE, "sh", "-c", f'set -e\n{script}exec "$@"', "sh", sys.executable, "-m", "playground"]
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(disk / "data")}
    return subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("left", ["closed", "killed", "copied"])
@pytest.mark.parametrize("state", [FULL, READ_ONLY], ids=["full", "read-only"])
def test_log_is_read_on_a_disk_that_cannot_be_written(state: str, left: str, tmp_path: Path) -> None:
    log = _filled(tmp_path / "log", killed=left != "closed")
    if left == "copied":  # by a tool that leaves out the shared memory, as backups do
        (log / "request-log.sqlite3-shm").unlink()
    listed = _on(state, log, tmp_path, "log", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    # With its shared memory, the log of a killed process can be opened for writing on a full disk.
    if (state, left) != (FULL, "killed"):
        assert "is only read, because it cannot be written" in listed.stderr
    rows = [json.loads(line)["run_id"] for line in listed.stdout.splitlines()]
    assert sorted(rows) == [f"{at:032x}" for at in range(REQUESTS)]
    shown = _on(state, log, tmp_path, "log", "show", f"{1:032x}", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)
    stale = tmp_path / ".out.jsonl.part-abcdefgh"  # of an export that was killed
    stale.write_text("a part")
    os.utime(stale, (1_000_000, 1_000_000))
    exported = _on(state, log, tmp_path, "log", "export", "-o", str(tmp_path / "out.jsonl"))
    assert exported.returncode == 0, exported.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == REQUESTS
    assert not stale.exists()


def test_log_read_on_a_full_disk_leaves_no_incomplete_shared_memory(tmp_path: Path) -> None:
    log = _filled(tmp_path / "log", killed=True)
    (log / "request-log.sqlite3-shm").unlink()
    before = {file.name: file.read_bytes() for file in log.glob("request-log.sqlite3*")}
    keep = f'"$@"; mkdir {tmp_path}/left; cp {tmp_path}/disk/data/* {tmp_path}/left; exit'
    listed = _on(f"{FULL}{keep}\n", log, tmp_path, "log", "list", "--json")
    assert len(listed.stdout.splitlines()) == REQUESTS, listed.stderr
    left = {file.name: file.read_bytes() for file in (tmp_path / "left").glob("request-log.sqlite3*")}
    assert left == before


@pytest.mark.parametrize("state", [READ_ONLY], ids=["read-only"])
def test_log_is_not_changed_on_a_disk_that_cannot_be_written(state: str, tmp_path: Path) -> None:
    done = _on(state, _filled(tmp_path / "log", killed=False), tmp_path, "log", "delete", "since:2000-01-01", "--yes")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr

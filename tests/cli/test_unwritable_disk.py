"""Commands that read the log, on a disk that is full or read-only: a small tmpfs in a mount namespace."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun
from playground.storage.paths import remedy
from tests.forked_program import run_text, start_script
from tests.requestlog.samples import answered, record


def _has_namespaces() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _has_namespaces(), reason="needs mount namespaces")
IN_NAMESPACE = """
import ctypes, os, subprocess, sys
from pathlib import Path
from playground.cli.main import main

before, after, *arguments = sys.argv[1:]
user, group = os.getuid(), os.getgid()
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
assert ctypes.CDLL(None).unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
    Path(f"/proc/self/{name}").write_text(text)
subprocess.run(["sh", "-ec", before], check=True)
status = main(arguments)
subprocess.run(["sh", "-ec", after], check=True)
sys.exit(status)
"""
MOUNT = "mount --make-rprivate / && mount -t tmpfs -o size=3m tmpfs {disk} && cp -a {log} {disk}/data\n"
FULL = "cat /dev/zero > {disk}/filler 2>{errors} || test -s {errors}\n"
READ_ONLY = "mount -o remount,ro {disk}\n"
REQUESTS = 3
KILL = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.cli.test_unwritable_disk import _fill

async def work():
    await _fill(Path(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(work())
"""


async def _fill(folder: Path) -> RequestLog:
    log = await RequestLog.open(folder)
    await log.add([EndedRun(replace(record(), run_id=f"{at:032x}"), tuple(answered())) for at in range(REQUESTS)])
    return log


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders with a log: closed; as a killed process leaves it, with its write-ahead file; and a copy of that.

    The copy is by a tool that leaves out the shared memory, as backups do.
    """
    folder = tmp_path_factory.mktemp("logs")

    async def close() -> None:
        await (await _fill(folder / "closed")).close()

    asyncio.run(close())
    process = start_script(KILL, str(folder / "killed"))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (folder / "killed" / "request-log.sqlite3-wal").stat().st_size > 0
    shutil.copytree(folder / "killed", folder / "copied", ignore=shutil.ignore_patterns("*-shm"))
    return {path.name: path for path in folder.iterdir()}


def _on(state: str, log: Path, folder: Path, *arguments: str, after: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command on a copy of a log, on a small disk in this state, and then the shell script `after`."""
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    script = (MOUNT + state).format(disk=disk, log=log, errors=folder / "errors")
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(disk / "data")}
    return run_text(["-c", IN_NAMESPACE, script, after, *arguments], environment)


@pytest.mark.parametrize("left", ["closed", "killed", "copied"])
@pytest.mark.parametrize("state", [FULL, READ_ONLY], ids=["full", "read-only"])
def test_log_is_read_on_a_disk_that_cannot_be_written(
    state: str, left: str, logs: dict[str, Path], tmp_path: Path
) -> None:
    log = logs[left]
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


def test_log_read_on_a_full_disk_leaves_no_incomplete_shared_memory(logs: dict[str, Path], tmp_path: Path) -> None:
    log = logs["copied"]
    before = {file.name: file.read_bytes() for file in log.glob("request-log.sqlite3*")}
    keep = f"mkdir {tmp_path}/left; cp {tmp_path}/disk/data/* {tmp_path}/left"
    listed = _on(FULL, log, tmp_path, "log", "list", "--json", after=keep)
    assert len(listed.stdout.splitlines()) == REQUESTS, listed.stderr
    left = {file.name: file.read_bytes() for file in (tmp_path / "left").glob("request-log.sqlite3*")}
    assert left == before


@pytest.mark.parametrize("state", [READ_ONLY], ids=["read-only"])
def test_log_is_not_changed_on_a_disk_that_cannot_be_written(state: str, logs: dict[str, Path], tmp_path: Path) -> None:
    done = _on(state, logs["closed"], tmp_path, "log", "delete", "since:2000-01-01", "--yes")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_log_that_cannot_be_begun_names_the_disk_as_the_cause(number: int, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    state = {errno.ENOSPC: FULL, errno.EROFS: READ_ONLY}[number]
    listed = _on(state, empty, tmp_path, "log", "list")
    assert listed.returncode == 1
    assert os.strerror(number).lower() in listed.stderr
    assert remedy(OSError(number, "")) in listed.stderr


def test_batch_results_and_log_on_a_full_disk_name_the_disk(logs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}')
    arguments = ("send", str(tmp_path / "p.json"), "--base-url", "http://127.0.0.1:9/v1")
    sent = _on(FULL, logs["closed"], tmp_path, *arguments)
    assert sent.returncode == 1
    assert remedy(OSError(errno.EACCES, "")) not in sent.stderr

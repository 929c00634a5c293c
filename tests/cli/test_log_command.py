"""`log show|ticket|export|import|delete` as a script uses them: real processes on a real log."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from playground.cli import STOPPED
from playground.cli.main import main
from playground.requestlog.records import EndedRun
from playground.requestlog.store import FILE_NAME
from tests import forked_program
from tests.conftest import figures
from tests.requestlog.samples import answered, body_of, opened, record, refused

PROGRAM = [sys.executable, "-m", "playground"]
LIMIT_S = 120
QUESTION = "Where is Meera's “parcel”? \ud83d"
CAUSE = "The prefix ends in message 1 (system), line 2, character 7: “15:49” became “15:50\x1b[31m”."
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str, data: bytes = b"", home: str = "data") -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / home), "PYTHONIOENCODING": "ascii"}
        return forked_program.run(["log", *arguments], environment, data, folder=tmp_path)

    return call


@pytest.fixture(autouse=True)
def _filled(tmp_path: Path) -> None:
    async def fill() -> None:
        async with opened(tmp_path / "data") as log:
            body = json.dumps(json.loads(body_of("x")) | {"messages": [{"role": "user", "content": QUESTION}]}).encode()
            events = tuple(answered(request_id="9db74058-1111-4222-8333-444455556666"))
            runs = [EndedRun(record(body=body), events, explanation={"cause": "time", "sentence": CAUSE})]
            runs += [EndedRun(record(minute=n), tuple(refused(429))) for n in (1, 2)]
            await log.add(runs)

    asyncio.run(fill())


def test_a_request_is_shown_by_any_part_of_its_id(run: Run) -> None:
    done = run("show", "1111-4222")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "Meera's “parcel”" in text
    assert "From nine to five." in text
    assert "9db74058-1111-4222-8333-444455556666: time. The prefix ends in message 1 (system), line 2," in text
    assert text.index("The prefix ends in") < text.index("| request_id |"), "the cause is above the ticket"
    assert "\x1b" not in text
    (line,) = run("show", "4058-1111", "--json").stdout.splitlines()
    assert json.loads(line)["record"]["model"] == "electron"
    missing = run("show", "ffff-no-such")
    assert missing.returncode == 1
    assert b"no request matches" in missing.stderr
    assert run("show").returncode == 2


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no TZ here")
def test_main_time_zone_with_an_offset_of_a_day_is_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "XXX+25")
    time.tzset()
    try:
        words = ["since:2026-11-01", "until:2026-12-01", "--json", "--data-dir", str(tmp_path / "data")]
        assert main(["log", "list", *words]) == 0
        assert time.timezone == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert "TZ=XXX+25" in shown.err


def test_a_ticket_to_standard_output_to_a_file_and_as_a_zip(run: Run, tmp_path: Path) -> None:
    plain = run("ticket", "9db74058")
    assert plain.returncode == 0, plain.stderr
    assert b"Meera" not in plain.stdout
    assert b'"hash"' in plain.stdout
    assert b"Meera" in run("ticket", "9db74058", "--contents", "included").stdout
    assert run("ticket", "9db74058", "-o", "t.md", "--workspace", "ws-1").returncode == 0
    assert "| workspace | ws-1 |" in (tmp_path / "t.md").read_text("utf-8")
    assert run("ticket", "status:429", "-o", "t.zip").returncode == 0
    with zipfile.ZipFile(tmp_path / "t.zip") as archive:
        assert len([name for name in archive.namelist() if name.endswith("request.json")]) == 2
    unwritable = run("ticket", "9db74058", "-o", "nowhere/t.md")
    assert unwritable.returncode == 1
    assert b"Traceback" not in unwritable.stderr


def test_an_export_is_the_same_in_a_file_and_in_a_pipe_and_comes_back(run: Run, tmp_path: Path) -> None:
    assert run("export", "-o", "all.jsonl").returncode == 0
    piped = run("export", "-o", "-", "--format", "jsonl")
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout == (tmp_path / "all.jsonl").read_bytes()
    back = run("import", "-", data=piped.stdout, home="other")
    assert (back.returncode, figures(back.stderr)) == (0, [3])
    assert figures(run("import", "all.jsonl", home="other").stderr) == [0, 3]  # imported, known
    again = run("export", "-o", "-", "--format", "jsonl", home="other").stdout
    assert again == piped.stdout
    assert len(run("list", "is:imported", "--json", home="other").stdout.splitlines()) == 3
    rows = list(csv.reader(io.StringIO(run("export", "status:429", "-o", "-", "--format", "csv").stdout.decode())))
    assert len(rows) == 3
    assert run("export", "-o", "-").returncode == 2
    assert run("export").returncode == 2


def test_a_file_that_is_none_changes_nothing(run: Run) -> None:
    done = run("import", "-", data=b'{"electron_playground_request": 1}\n')
    assert done.returncode == 2
    assert b"line 1" in done.stderr
    assert run("import", "missing.jsonl").returncode == 2
    assert len(run("--json").stdout.splitlines()) == 3


def test_list_after_a_recovery_that_lost_nothing_returns_0(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "data" / FILE_NAME).open("r+b") as file:
        file.write(bytes(4096))
    done = run("list", "--json")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert b"request-log.damaged-" in done.stderr
    assert run("list").stderr == b""


@pytest.mark.parametrize("content", [b"", b"no database"])
@pytest.mark.parametrize("command", [("list",), ("export", "-o", "all.jsonl"), ("delete", "model:x", "--yes")])
def test_command_on_a_log_that_was_emptied_or_is_none_returns_1(
    run: Run, tmp_path: Path, content: bytes, command: tuple[str, ...]
) -> None:
    (tmp_path / "data" / FILE_NAME).write_bytes(content)
    done = run(*command)
    assert (done.returncode, done.stdout) == (1, b"")
    assert FILE_NAME.encode() in done.stderr or b"request-log.damaged-" in done.stderr


def test_list_after_a_recovery_that_lost_a_request_returns_1(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "data" / FILE_NAME
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM texts WHERE number = 1")
    with path.open("r+b") as file:
        file.write(bytes(4096))
    done = run("list", "--json")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)


def test_deleting_asks_and_where_nobody_answers_it_must_be_said(run: Run) -> None:
    refused_ = run("delete", "status:429")
    assert refused_.returncode == 2
    assert b"--yes" in refused_.stderr
    assert len(run("--json").stdout.splitlines()) == 3
    assert run("delete").returncode == 2
    assert run("delete", "status:many", "--yes").returncode == 2
    done = run("delete", "status:429", "--yes")
    assert (done.returncode, done.stderr.decode().strip()) == (0, "2 requests deleted.")
    assert len(run("--json").stdout.splitlines()) == 1
    assert run("delete", "status:200", "--yes").stderr.decode().strip() == "1 request deleted."


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipe")
def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "data")}
    command = [*PROGRAM, "log", "export", "-o", "-", "--format", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(LIMIT_S)
    assert errors == b""


@pytest.mark.parametrize("interrupted", [True, False])
def test_log_import_waits_for_a_locked_log_until_ctrl_c(run: Run, tmp_path: Path, interrupted: bool) -> None:
    export = tmp_path / "all.jsonl"
    assert run("export", "-o", str(export)).returncode == 0
    home = tmp_path / "data"
    with closing(sqlite3.connect(home / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(home)}
        process = forked_program.start_text(["log", "import", str(export)], environment)
        assert process.stderr is not None
        assert figures(process.stderr.readline())[-1:] == [60]  # seconds that it waits
        if interrupted:
            process.send_signal(signal.SIGINT)
        else:
            other.execute("ROLLBACK")
        errors = process.communicate(timeout=60)[1]
    assert (process.returncode, figures(errors)) == ((130, []) if interrupted else (0, [0, 3]))  # imported, known
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("waits", "output", "status"), [(False, "deleted\n", 0), (True, "", STOPPED)])
def test_ctrl_c_ends_only_a_wait_for_a_lock(waits: bool, output: str, status: int) -> None:
    """An import that is stopped deletes what it has added, for longer than a second."""
    code = (
        "import signal, time\nfrom playground.cli import ends_soon\n"
        f"with ends_soon(lambda: {waits}):\n"
        "    try:\n        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n        time.sleep(2)\n        print('deleted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.stdout, done.returncode) == (output, status)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("list", "-o", "x.txt"), "--output"),
        (("list", "--format", "csv"), "--format"),
        (("list", "--as", "curl"), "--as"),
        (("list", "--contents", "hashed"), "--contents"),
        (("show", "1111-4222", "--yes"), "--yes"),
        (("show", "1111-4222", "--as", "curl", "--json"), "--json"),
        (("export", "-o", "x.jsonl", "--json"), "--json"),
        (("delete", "status:429", "--yes", "--limit", "1"), "--limit"),
        (("import", "x.jsonl", "--workspace", "w"), "--workspace"),
    ],
)
def test_option_of_another_action_is_refused_and_nothing_is_done(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], option: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"electron-playground: {option}".encode()), done.stderr
    assert not list(tmp_path.glob("x.*"))
    assert len(run("list", "--json").stdout.splitlines()) == 3

"""Commands on a log with one recorded request whose body another program wrote as no good JSON.

The Recorder forwards and records any bytes. Such a request must not keep the others from being exported, checked,
replayed and imported, and nothing that is made of it may end with a traceback.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from playground.requestlog.records import EndedRun
from tests import forked_program
from tests.requestlog.samples import answered, body_of, opened, record

ODD_ID = "0dd0dd00-1111-4222-8333-444455556666"
BODIES = {
    "Latin-1": json.dumps(
        {"model": "electron", "messages": [{"role": "user", "content": "Grüße"}]}, ensure_ascii=False
    ).encode("latin-1"),
    "repeated name": b'{"model":"electron","messages":[{"role":"user","content":"a"}],"model":"other"}',
    "no JSON": b"\xff\x00 model=electron",
    "empty object": b"{}",
    "list": b'[{"role":"user","content":"a"}]',
    "messages that are text": b'{"model":"electron","messages":"hello"}',
    "message without content": b'{"model":"electron","messages":[{"role":"user"}]}',
    "byte-order mark": b'\xef\xbb\xbf{"model":"electron","messages":[{"role":"user","content":"a"}]}',
    "escaped half of a surrogate pair": b'{"model":"electron","messages":[{"role":"user","content":"a \\ud83d b"}]}',
    "half a surrogate pair": b'{"model":"electron","messages":[{"role":"user","content":"\xed\xa0\xbd"}]}',
}
NO_TEXT = ("Latin-1", "no JSON", "half a surrogate pair")
"""Bodies that are not UTF-8."""
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(params=BODIES)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the kind of the odd body in the log, which has three ordinary requests, too."""
    name: str = request.param

    async def fill() -> None:
        async with opened(tmp_path / "data") as log:
            runs = [EndedRun(record(body=body_of(f"question {n}"), minute=n), tuple(answered())) for n in (1, 2, 3)]
            odd = tuple(answered(request_id=ODD_ID))
            await log.add([*runs, EndedRun(record(body=BODIES[name], minute=4), odd)])

    asyncio.run(fill())
    return name


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str, home: str = "data") -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / home)}
        done = forked_program.run(arguments, environment, b"", folder=tmp_path)
        assert b"Traceback" not in done.stderr, done.stderr
        return done

    return call


def test_odd_body_is_shown_in_tickets_and_pages_and_exported(run: Run, kind: str, tmp_path: Path) -> None:
    for arguments in (
        ("show", ODD_ID),
        ("show", ODD_ID, "--as", "html"),
        ("ticket", ODD_ID),
        ("ticket", "model:electron"),
    ):
        assert run("log", *arguments).returncode == 0, arguments
    # The text of such a body has other bytes than it: the command names a file that the ticket does not have.
    assert (b"body.bin" in run("log", "show", ODD_ID).stdout) == (kind in NO_TEXT)
    assert run("log", "ticket", ODD_ID, "-o", "t.zip").returncode == 0
    names = zipfile.ZipFile(io.BytesIO((tmp_path / "t.zip").read_bytes())).namelist()
    assert any(name.endswith("request.json") for name in names)
    assert run("log", "ticket", "model:electron", "-o", "t.zip", "--contents", "included").returncode == 0
    with zipfile.ZipFile(tmp_path / "t.zip") as bundle:
        (sent,) = (bundle.read(name) for name in bundle.namelist() if ODD_ID in name and name.endswith("request.json"))
    if kind.startswith(("escaped", "messages", "message")):
        assert json.loads(sent) == json.loads(BODIES[kind])
    for form in ("jsonl", "har", "csv"):
        assert run("log", "export", "-o", f"all.{form}").returncode == 0
    assert run("log", "import", "all.jsonl", home="other").returncode == 0
    assert run("log", "export", "-o", "again.jsonl", home="other").returncode == 0
    first, again = ((tmp_path / name).read_text().splitlines() for name in ("all.jsonl", "again.jsonl"))
    bodies = [{key: json.loads(line).get(key) for key in ("body", "body_base64")} for line in (*first, *again)]
    assert bodies[:4] == bodies[4:]
    assert (bodies[3]["body"] is None) == (kind in NO_TEXT)


def test_script_that_cannot_send_the_same_bytes_is_refused_by_name(run: Run, kind: str) -> None:
    refused = {
        form for form in ("curl", "powershell", "javascript") if run("log", "show", ODD_ID, "--as", form).returncode
    }
    assert refused == ({"curl", "powershell", "javascript"} if kind in NO_TEXT else set())
    if refused:
        assert b"body" in run("log", "show", ODD_ID, "--as", "curl").stderr
    done = run("log", "show", "model:electron", "--as", "curl")
    assert all(f"question {n}".encode() in done.stdout for n in (1, 2, 3))
    assert (done.returncode, b"Left out: " in done.stderr) == ((1, True) if refused else (0, False))
    assert run("log", "show", ODD_ID, "--as", "httpx").returncode == 0
    done = run("log", "show", ODD_ID, "--as", "python")
    assert (done.returncode != 0) == (kind in ("no JSON", "list", "Latin-1"))


def test_other_requests_are_checked_and_replayed_and_the_odd_one_is_named(run: Run, kind: str) -> None:
    for form in ("jsonl", "har"):
        run("log", "export", "-o", f"all.{form}")
        replayed = run("replay", f"all.{form}", "--json")
        assert replayed.returncode == 0, replayed.stderr
        requests = json.loads(replayed.stdout.splitlines()[-1])["summary"]["requests"]
        place = b"line 4" if form == "jsonl" else b"entry 4"
        assert (requests, place in replayed.stderr) in ((3, True), (4, False)), replayed.stderr
    for source in (("--log", "since:2020-01-01"), ("all.jsonl",), ("all.har",)):
        done = run("check", *source, "--json")
        assert done.returncode in (0, 1), (source, done.stderr)
    if kind in ("repeated name", "message without content"):
        assert b"Left out: log:" in run("check", "--log", "since:2020-01-01").stderr

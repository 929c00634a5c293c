"""Control characters of servers and files are visible escapes on a terminal; request_ids and errors always are."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from playground.cli.arguments import parse
from playground.client.events import ApiError, AttemptFailed, AttemptStarted, HeadersReceived
from playground.export.terminal import visible, visible_line
from playground.requestlog.records import EndedRun
from tests import forked_program
from tests.requestlog.samples import answered, opened, record

HOSTILE = "\x1b]0;title\x07 \x1b]52;c;Zm9v\x07 \x9b2J \u202egnp.exe\u202c \x08\x08 \r over"
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a\\x0db"),
        ("\x9b1m", "\\x9b1m"),
        ("x\u202ey\u2066", "x\\u202ey\\u2066"),
        ("\ud83d", "\\ud83d"),
        ("\U000e0041", "\\U000e0041"),
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947 \U0001f469\u200d\U0001f4bb",
            "\u0928\u092e\u0938\u094d\u0924\u0947 \U0001f469\u200d\U0001f4bb",
        ),
    ],
)
def test_visible_escapes_controls_and_keeps_scripts(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_visible_line_escapes_line_feeds_and_joiners() -> None:
    assert visible_line("a\nb\u200d\tc") == "a\\x0ab\\u200d\\x09c"


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(folder), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with opened(tmp_path) as log:
            headers = HeadersReceived(0.1, 500, f"id-{HOSTILE}", "application/json")
            failed = AttemptFailed(
                0.2, ApiError("http", f"bad {HOSTILE}", f"worse {HOSTILE}", status=500), f"id-{HOSTILE}"
            )
            await log.add(
                [
                    EndedRun(record("one"), tuple(answered(f"answer {HOSTILE}", request_id=f"id-{HOSTILE}"))),
                    EndedRun(record("two", minute=1), (AttemptStarted(0.0, 1), headers, failed)),
                ]
            )

    asyncio.run(fill())
    return tmp_path


def on_terminal(folder: Path, *arguments: str) -> str:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "playground", *arguments]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=_environment(folder)) as process:
        os.close(slave)
        screen, until = b"", time.monotonic() + 60
        while time.monotonic() < until:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    break
                if not piece:
                    break
                screen += piece
            elif process.poll() is not None:
                break
    os.close(master)
    return screen.decode("utf-8", "replace").replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("arguments", [("log",), ("log", "show", "id:id"), ("log", "show", "--json", "id:id")])
def test_log_on_a_terminal_prints_no_control_characters(folder: Path, arguments: tuple[str, ...]) -> None:
    screen = on_terminal(folder, *arguments)
    assert "id-" in screen
    assert CONTROL.findall(screen.replace("\r", "")) == []


def test_log_in_a_pipe_escapes_request_ids_and_errors(folder: Path) -> None:
    done = forked_program.run(["log"], _environment(folder))
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    failed = next(line for line in lines if "500" in line)
    assert CONTROL.findall(failed) == []
    assert "id-\\x1b]0;title" in done.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "words", "options"),
    [
        (["log", "list", "--json", "status:429"], ["list", "status:429"], {"json": True}),
        (["log", "--json", "status:429", "--limit", "3", "is:failed"], ["status:429", "is:failed"], {"limit": 3}),
        (["log", "export", "-o", "F", "is:marked"], ["export", "is:marked"], {"output": "F"}),
        (["log", "-o", "F", "export", "is:marked"], ["export", "is:marked"], {"output": "F"}),
        (["log", "ticket", "-o", "F", "ID"], ["ticket", "ID"], {"output": "F"}),
        (["log", "delete", "--yes", "x", "y"], ["delete", "x", "y"], {"yes": True}),
        (["log", "--json", "--", "-tag:keep"], ["-tag:keep"], {"json": True}),
        (["--data-dir", "D", "log", "x"], ["x"], {"data_dir": "D"}),
        (["log", "x", "--data-dir", "D", "y"], ["x", "y"], {"data_dir": "D"}),
        (["log", "import", "-"], ["import", "-"], {}),
    ],
)
def test_parse_arguments_log_options_in_any_order(
    arguments: list[str], words: list[str], options: dict[str, object]
) -> None:
    found = parse(arguments)
    assert found.words == words
    assert {name: getattr(found, name) for name in options} == options


@pytest.mark.parametrize("arguments", [["log", "--nonsense"], ["log", "-tag:keep"], ["send", "a", "b"]])
def test_parse_arguments_unknown_option_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2


def test_parse_arguments_send_a_file_named_log() -> None:
    found: argparse.Namespace = parse(["send", "log", "--json"])
    assert (found.command, found.file, found.json) == ("send", "log", True)


async def test_show_run_without_a_request_id_by_its_run_id(tmp_path: Path) -> None:
    lost = record("nothing came")

    async with opened(tmp_path) as log:
        await log.add([EndedRun(lost, (AttemptStarted(0.0, 1),))])
    for arguments in (["show", "--json", lost.run_id], ["export", "-o", "-", "--format", "jsonl", f"id:{lost.run_id}"]):
        done = forked_program.run(["log", *arguments], _environment(tmp_path))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["record"]["run_id"] == lost.run_id

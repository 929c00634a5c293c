"""Commands whose output does not reach its file: a sentence, a status that is not 0, and no part of a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from playground.experiments.batch_results import ResultFile, parse_results
from playground.requestlog.records import EndedRun
from playground.simulator.process import SimulatorProcess
from tests.forked_program import run_text
from tests.requestlog.samples import answered, opened, record

FULL = Path("/dev/full")
ROWS = 400
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def _prompt(folder: Path) -> str:
    path = folder / "prompt.json"
    path.write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}))
    return str(path)


def _recorded(folder: Path) -> str:
    path = folder / "traffic.jsonl"
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    path.write_text(
        json.dumps({"at": 1.0, "request": body, "response": {"status": 200, "usage": {"prompt_tokens": 9}}}) + "\n"
    )
    return str(path)


SCRIPT = """
import io, os, sys
if sys.argv.pop(1) == "full":
    output = os.open("/dev/full", os.O_WRONLY)
else:
    reader, output = os.pipe()
    os.close(reader)
os.dup2(output, 1)
if os.environ.get("PYTHONUNBUFFERED"):
    sys.stdout = io.TextIOWrapper(open(1, "wb", 0), "utf-8", write_through=True)
from playground.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
sys.stdout.flush()
sys.exit(status)
"""
"""Runs a command whose standard output is full, or a pipe that nobody reads."""


def _run_into(output: str, words: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return run_text(["-c", SCRIPT, output, *words], environment)


def test_full_standard_output_of_a_new_interpreter_is_told_with_status_1() -> None:
    with FULL.open("wb") as full:
        arguments = [sys.executable, "-m", "playground", "--version"]
        done = subprocess.run(arguments, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        ("check", ""),
        ("check --json", "1"),
        ("convert --to body", ""),
        ("completion bash", ""),
        ("--version", ""),
        ("send --help", ""),
        ("check --help", "1"),
        ("log list", ""),
        ("batch", ""),
    ],
)
def test_full_standard_output_is_told_with_status_1(command: str, unbuffered: str, tmp_path: Path) -> None:
    words = command.split()
    if words[0] in ("check", "convert"):
        words.append(_prompt(tmp_path))
    if words[0] == "batch":
        (tmp_path / "data.csv").write_text("x\n1\n")
        words += [_prompt(tmp_path), "--data", str(tmp_path / "data.csv")]
    home = {"ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home")}
    environment = {**os.environ, **home, "PYTHONUNBUFFERED": unbuffered}
    if words[:2] == ["log", "list"]:
        assert run_text(["send", _prompt(tmp_path)], environment).returncode == 0
    done = _run_into("full", words, environment)
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "None" not in done.stderr


@pytest.mark.parametrize(
    ("command", "unbuffered", "status"),
    [
        ("check --json", "1", 1),
        ("convert --to body", "1", 1),
        ("completion bash", "1", 1),
        ("doctor", "1", 1),
        ("--version", "1", 1),
        ("--version", "", 0),
        ("send --help", "", 0),
    ],
)
def test_reader_that_closed_the_pipe_is_no_traceback(
    command: str, unbuffered: str, status: int, tmp_path: Path
) -> None:
    words = command.split()
    if words[0] in ("check", "convert"):
        words.append(_prompt(tmp_path))
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": unbuffered}
    done = _run_into("closed", words, environment)
    assert (done.returncode, done.stderr) == (status, "")


def test_replay_to_a_full_disk_does_not_blame_an_option(tmp_path: Path) -> None:
    done = _run_into("full", ["replay", _recorded(tmp_path)], os.environ)
    assert done.returncode == 1, done.stderr
    assert "--learned" not in done.stderr
    assert "No space left on device" in done.stderr


def _part(folder: Path, *, note: bool) -> Path:
    part = folder / "part.jsonl"
    rows = [{"row": n, "phase": "done", "text": "word " * 200, "variables": {}} for n in range(ROWS)]
    part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if note:
        part.with_name("part.jsonl.batch").write_text("id\n\n")
    return part


def test_batch_merge_to_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    part, output = _part(tmp_path, note=False), tmp_path / "all.jsonl"
    done = run_text(["batch-merge", str(part), "-o", str(output)], os.environ, file_limit=100_000)
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.jsonl"]
    assert run_text(["batch-merge", str(part), "-o", str(output)], os.environ).returncode == 0
    assert len(output.read_text().splitlines()) == ROWS


def test_batch_merge_tells_that_a_shard_is_unfinished(tmp_path: Path) -> None:
    part, output = _part(tmp_path, note=True), tmp_path / "all.jsonl"
    done = run_text(["batch-merge", str(part), "-o", str(output)], os.environ)
    assert done.returncode == 1
    assert "part.jsonl: its batch has not ended with all rows answered" in done.stderr
    assert len(output.read_text().splitlines()) == ROWS


def test_baseline_that_cannot_be_written_is_told_with_status_1(tmp_path: Path) -> None:
    folder = tmp_path / "a file"
    folder.write_text("")
    # A folder that is a file is an invalid name, found when the baseline is read.
    for place, status in ((Path("/proc/prefixes.json"), 1), (folder / "prefixes.json", 2)):
        done = run_text(["check", _prompt(tmp_path), "--baseline", str(place), "--update-baseline"], os.environ)
        assert done.returncode == status, done.stdout
        assert "--baseline" in done.stderr


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_batch_to_a_full_disk_keeps_whole_lines_and_is_continued(
    suffix: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    data, output = tmp_path / "data.csv", tmp_path / f"out.{suffix}"
    data.write_text("x\n" + "".join(f"{n} {'word ' * 400}\n" for n in range(12)))
    prompt = tmp_path / "p.json"
    prompt.write_text(json.dumps({"model": "electron", "messages": [{"role": "user", "content": "{{x}}"}]}))
    command = ["batch", str(prompt), "--data", str(data), "--base-url", simulator.base_url, "-o", str(output)]
    home = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home")}
    made = ResultFile(output, resume=False)
    made.write({"row": 0, "phase": "failed", "text": "", "variables": {}})
    before = output.read_bytes()
    with _limited(len(before) + 40), pytest.raises(OSError, match="File too large"):
        made.write({"row": 1, "phase": "done", "text": "word " * 50, "variables": {}})
    assert output.read_bytes() == before
    made.close(complete=False)
    done = run_text([*command, "--resume"], home)
    assert done.returncode == 0, done.stderr
    rows = parse_results(output.read_bytes(), output)
    assert sorted((row["row"], row["phase"]) for row in rows) == [(n, "done") for n in range(12)]


@contextlib.contextmanager
def _limited(size: int) -> Iterator[None]:
    import resource  # not on Windows, where these tests are skipped

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("command", ["batch", "batch-merge", "convert", "log ticket", "log export", "check"])
def test_output_that_cannot_be_written_is_named_with_status_1(command: str, tmp_path: Path) -> None:
    home, output = tmp_path / "home", "/proc/out.json" if command == "convert" else "/proc/out.jsonl"

    async def fill() -> None:
        async with opened(home) as log:
            await log.add([EndedRun(record(), tuple(answered()))])

    asyncio.run(fill())
    (tmp_path / "data.csv").write_text("x\n1\n")
    words = {
        "batch": ["batch", _prompt(tmp_path), "--data", str(tmp_path / "data.csv"), "-o", output],
        "batch-merge": ["batch-merge", str(_part(tmp_path, note=False)), "-o", output],
        "convert": ["convert", _prompt(tmp_path), "-o", output],
        "log ticket": ["log", "ticket", "since:2000-01-01", "-o", output],
        "log export": ["log", "export", "-o", output],
        "check": ["check", _prompt(tmp_path), "--baseline", output, "--update-baseline"],
    }[command]
    done = run_text(words, {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(home)})
    assert (done.returncode, f"{output} cannot be written" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("suffix", ["jsonl", "har"])
def test_log_export_to_a_full_disk_keeps_the_earlier_file(suffix: str, tmp_path: Path) -> None:
    home, output = tmp_path / "home", tmp_path / f"out.{suffix}"
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(home)}

    async def fill() -> None:
        async with opened(home) as log:
            text = "".join(random.Random(1).choices("abcdefghij ", k=400_000))
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
            await log.add([EndedRun(record(body=body), tuple(answered()))])

    asyncio.run(fill())
    output.write_text("earlier")
    for _ in range(2):
        done = run_text(["log", "export", "-o", str(output)], environment, file_limit=300_000)
        assert done.returncode == 1
        assert f"{output} cannot be written: File too large" in done.stderr
        assert "Errno" not in done.stderr
        assert output.read_text() == "earlier"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["home", output.name]
    assert run_text(["log", "export", "-o", str(output)], environment).returncode == 0
    assert output.stat().st_size > 400_000

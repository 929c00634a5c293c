"""`send` and `log` as a script uses them: real processes, a real simulator, exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.cli.arguments import RUN
from playground.simulator.process import SimulatorProcess
from playground.versions.service import VersionStore, history_key
from tests.forked_program import run_text

PROGRAM = [sys.executable, "-m", "playground"]
LIMIT_S = 120
KEYS = {
    "request_id",
    "request_ids",
    "warnings",
    "reasoning",
    "refusal",
    "status",
    "attempts",
    "text",
    "tool_calls",
    "finish_reason",
    "usage",
    "forecast",
    "ttft_ms",
    "duration_ms",
    "error",
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the program with a data folder of the test and without an API key."""

    def call(*arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "SMALLEST_API_KEY"}
        if key is not None:
            environment["SMALLEST_API_KEY"] = key
        environment["ELECTRON_PLAYGROUND_HOME"] = str(tmp_path / "data")
        return run_text(arguments, environment)

    return call


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    """A plain request body with a variable in it."""
    body = {"model": "electron", "messages": [{"role": "user", "content": "hello {{name}}"}], "stream": True}
    file = tmp_path / "prompt.json"
    file.write_text(json.dumps(body), "utf-8")
    return file


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_with_neither_address_nor_endpoint_it_starts_the_simulator(run: Run, prompt: Path) -> None:
    done = run("send", str(prompt), "--var", "name=Asha")
    assert done.returncode == 0, done.stderr
    assert "simulated" in done.stdout
    assert "request_id " in done.stderr


def test_send_prints_findings_of_tools_and_sends(run: Run, tmp_path: Path, simulator: SimulatorProcess) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "objekt"}}}
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}], "tools": [tool, tool]}), "utf-8")
    done = run("send", str(file), "--base-url", simulator.base_url)
    assert done.returncode == 0, done.stderr
    assert "tools[0].function.parameters.type" in done.stderr
    assert "tools[1].function.name" in done.stderr


def test_send_prompt_file_is_a_version_and_values_are_not(
    run: Run, prompt: Path, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    for name in ("Asha", "Ravi"):
        assert run("send", str(prompt), "--var", f"name={name}", "--base-url", simulator.base_url).returncode == 0
    prompt.write_text(prompt.read_text("utf-8").replace("hello", "good day"), "utf-8")
    assert run("send", str(prompt), "--var", "name=Asha", "--base-url", simulator.base_url).returncode == 0
    versions = VersionStore(tmp_path / "data").load(history_key(prompt, "")).versions()
    assert [(version.reason, len(version.run_ids)) for version in versions] == [("sent", 2), ("sent", 1)]


def test_one_object_at_the_end_and_the_log_has_it(run: Run, prompt: Path, simulator: SimulatorProcess) -> None:
    done = run("send", str(prompt), "--var", "name=Asha", "--base-url", simulator.base_url, "--json")
    outcome = _json(done)
    assert done.returncode == 0
    assert outcome.keys() == KEYS
    assert outcome["usage"].keys() >= {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"}
    assert outcome["usage"]["prompt_tokens_details"].keys() == {"cached_tokens"}
    assert outcome["forecast"].keys() == {"cached_tokens", "basis"}
    assert outcome["error"] is None
    (row,) = [json.loads(line) for line in run("log", "--json").stdout.splitlines()]
    assert row["request_id"] == outcome["request_id"]
    assert outcome["request_id"] in run("log", "id:" + outcome["request_id"][:8]).stdout
    assert run("log", "status:429").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((), "--var name=VALUE"),
        (("--var", "name"), "--var"),
        (("--var", "nmae=x"), "--var: the prompt has no variable nmae. It has name."),
        (("--var", "name=x", "--base-url", "ftp://x"), "base_url"),
        (("--var", "name=x", "--endpoint", "nowhere"), "endpoint"),
        (("--var", "name=x", "--endpoint", "Electron"), "key"),
    ],
)
def test_bad_input_names_the_field_and_sends_nothing(
    run: Run, prompt: Path, arguments: tuple[str, ...], field: str
) -> None:
    done = run("send", str(prompt), *arguments)
    assert done.returncode == 2
    assert field in done.stderr
    assert "Traceback" not in done.stderr
    assert run("log").stdout == ""


@pytest.mark.parametrize(
    ("content", "value", "words"),
    [
        ("", None, "The prompt is empty: type it, or open one."),
        (
            [{"type": "text", "text": ""}, {"type": "text", "text": "\u200b"}],
            None,
            "only spaces and invisible characters.",
        ),
        ("{{name}}", "\u00a0", "The prompt is empty: {{name}} has no visible text. Give {{name}} a value."),
    ],
)
def test_send_empty_prompt_is_refused_and_changes_nothing(
    run: Run, tmp_path: Path, content: Any, value: str | None, words: str
) -> None:
    file = tmp_path / "empty.json"
    file.write_text(json.dumps({"model": "electron", "messages": [{"role": "user", "content": content}]}), "utf-8")
    done = run("send", str(file), "--no-check", *(() if value is None else ("--var", f"name={value}")))
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"messages": 7}', '{"messages": [{"role": "robot", "content": "x"}]}'])
def test_a_file_that_is_no_prompt(run: Run, tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    done = run("send", str(file))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert run("send", str(tmp_path / "missing.json")).returncode == 2


def test_a_bad_filter_says_where(run: Run) -> None:
    done = run("log", "status:many")
    assert done.returncode == 2
    assert "status" in done.stderr


def test_keys_right_and_wrong_and_never_in_sight(
    run: Run, prompt: Path, tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]
) -> None:
    base_url = make_simulator("--api-key", "sk_right_0123456789", "--plan", "none").base_url
    arguments = ("send", str(prompt), "--var", "name=x", "--base-url", base_url, "--json")
    wrong, right = run(*arguments, key="sk_wrong_9876543210"), run(*arguments, key="sk_right_0123456789")
    assert (wrong.returncode, _json(wrong)["status"]) == (1, 401)
    assert (right.returncode, _json(right)["status"]) == (0, 200)
    said = wrong.stdout + wrong.stderr + right.stdout + right.stderr
    kept = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    for key in ("sk_right_0123456789", "sk_wrong_9876543210"):
        assert key not in said
        assert key.encode() not in kept


def test_retries_are_in_the_object(run: Run, prompt: Path, make_simulator: Callable[..., SimulatorProcess]) -> None:
    import urllib.request

    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "0", "--plan", "none")
    faults = simulator.base_url.removesuffix("/waves/v1") + "/simulator/faults"
    with urllib.request.urlopen(urllib.request.Request(faults, b'{"fault": "503"}')):
        pass
    done = run("send", str(prompt), "--var", "name=x", "--base-url", simulator.base_url, "--json")
    attempts = _json(done)["attempts"]
    assert [attempt["status"] for attempt in attempts] == [503, 200]
    assert attempts[0]["error_type"] == "overloaded_error"
    assert attempts[1]["wait_s"] > 0
    assert len({attempt["request_id"] for attempt in attempts}) == 2


@pytest.mark.skipif(os.name != "posix", reason="a file size limit")
def test_send_disk_that_fills_is_reported_with_exit_status_3(run: Run, prompt: Path, tmp_path: Path) -> None:
    assert run("send", str(prompt), "--var", "name=x").returncode == 0
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "data")}
    done = run_text(["send", str(prompt), "--var", "name=x", "--json"], environment, file_limit=60 * 1024)
    assert done.returncode == 3
    assert _json(done)["status"] == 200
    assert "could not be saved" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(run("log", "--json").stdout.splitlines()) == 1


def test_log_import_disk_that_fills_is_a_failure_and_no_invalid_input(run: Run, prompt: Path, tmp_path: Path) -> None:
    body = json.loads(prompt.read_text())
    body["messages"][0]["content"] += " " + os.urandom(100_000).hex()
    prompt.write_text(json.dumps(body), "utf-8")
    assert run("send", str(prompt), "--var", "name=x").returncode == 1  # it is too long, and logged
    export = tmp_path / "one.jsonl"
    assert run("log", "export", "-o", str(export), "--format", "jsonl").returncode == 0
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "other")}
    assert run_text(["log"], environment).returncode == 0
    done = run_text(["log", "import", str(export)], environment, file_limit=60 * 1024)
    assert done.returncode == 1
    assert f"{export} cannot be imported: the request log could not take them up: " in done.stderr
    assert "FILE" not in done.stderr
    assert run_text(["log"], environment).stdout == ""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_stops_the_stream_and_keeps_the_text(
    run: Run, prompt: Path, tmp_path: Path, simulator: SimulatorProcess
) -> None:
    body = json.loads(prompt.read_text())
    prompt.write_text(json.dumps({**body, "simulate": "stall=9"}))
    command = [*PROGRAM, "send", str(prompt), "--var", "name=x", "--base-url", simulator.base_url]
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "data"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        first = process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, errors
    (row,) = [json.loads(line) for line in run("log", "--json").stdout.splitlines()]
    assert row["phase"] == "stopped"
    assert row["prompt_tokens"] is None
    assert row["answer"].startswith((first + rest).decode().strip()[:5])


def test_what_electron_refuses_is_not_sent_unless_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prompt.json"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}], "temperature": 3, "n": 2}))
    done = run("send", str(file))
    assert done.returncode == 2
    assert "temperature: must be a number from 0 to 2." in done.stderr
    assert "n: is refused by Electron." in done.stderr
    assert run("log").stdout == ""
    assert run("send", str(file), "--no-check").returncode == 1
    (row,) = [json.loads(line) for line in run("log", "--json").stdout.splitlines()]
    assert row["status"] == 400


ALONE = """
import importlib, sys
for name in sys.argv[1:]:
    module, _, function = name.partition(":")
    for loaded in [one for one in sys.modules if one.partition(".")[0] == "playground"]:
        del sys.modules[loaded]
    assert callable(getattr(importlib.import_module(module), function)), name
"""


def test_each_command_is_imported_alone_in_a_new_interpreter() -> None:
    command = [sys.executable, "-c", ALONE, *(RUN[name] for name in sorted(RUN))]
    subprocess.run(command, check=True, timeout=LIMIT_S)


def test_error_of_a_server_that_does_not_run_is_whole_sentences(run: Run, prompt: Path) -> None:
    done = run("send", str(prompt), "--var", "name=Ann", "--base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        "electron-playground: No server at this address. Nothing answers at http://127.0.0.1:9/v1: is the server "
        "running? Start it, or check the address and the port."
    )


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

name, sys.argv = sys.argv[1], ["electron-playground", "send", "missing.json"]

class Finder:
    def find_spec(self, found, path=None, target=None):
        if found == name:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
runpy.run_module("playground", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("name", ["argparse", "playground.prompt.field_errors", "playground.cli.send", "msgspec"])
def test_ctrl_c_while_a_command_is_imported_ends_without_a_traceback(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, name], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

"""`check` as a team's CI uses it: a real process, exit statuses, JSON, no log unless told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.prompt.document import Document, Message
from playground.prompt.files import dump
from playground.simulator.launch import SimulatorProcess

LIMIT_S = 120
LONG = "Give one fact at a time, and be kind to the caller. " * 200
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The program, with the data folder that a user would have in the environment."""

    def call(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home"), "PYTHONUTF8": "1"}
        environment.pop("SMALLEST_API_KEY", None)
        command = [sys.executable, "-m", "playground", *arguments]
        return subprocess.run(
            command, input=text, capture_output=True, encoding="utf-8", check=False, timeout=LIMIT_S, env=environment
        )

    return call


def _file(folder: Path, body: Any, name: str = "prompt.json") -> str:
    path = folder / name
    path.write_text(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False), "utf-8")
    return str(path)


def _body(text: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Hello"}]
    return {"model": "electron", "messages": messages, "max_tokens": 100, **fields}


def test_a_good_prompt_passes_in_silence_and_no_folder_is_made(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body("Be kind.")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("0 serious, 0 warning, 0 hint")
    assert not (tmp_path / "home").exists()


def test_serious_advice_fails_and_names_the_place(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body(f"The caller is {{{{name}}}}. {LONG}")), "--rates", "0.40,0.10")
    assert done.returncode == 1
    assert "serious" in done.stdout
    assert "messages[0].content:14-22" in done.stdout
    assert "$" in done.stdout
    ignored = run("check", _file(tmp_path, _body(f"The caller is {{{{name}}}}. {LONG}")), "--ignore", "prefix-order")
    assert ignored.returncode == 0


def test_warnings_do_not_fail(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body("Reply with JSON only.")))
    assert done.returncode == 0
    assert "json-not-set" in done.stdout


def test_json_has_everything_and_unknown_is_null(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body(f"The caller is {{{{name}}}}. {LONG}", tools=[])), "--json")
    assert done.returncode == 1
    value = json.loads(done.stdout)
    assert value["serious"] == 2
    by_rule = {item["rule"]: item for item in value["advice"]}
    order = by_rule["prefix-order"]
    assert order["places"] == [{"path": ["messages", 0, "content"], "start": 14, "end": 22, "tool": None}]
    assert order["source"]["section"] == "Prefix caching"
    assert order["fix"]
    money = next(item for item in order["evidence"] if item["unit"] == "dollars")
    assert (money["value"], money["basis"]) == (None, "unknown")
    assert by_rule["empty-tools"]["severity"] == "serious"


def test_a_prompt_file_is_judged_as_this_program_sends_it(run: Run, tmp_path: Path) -> None:
    document = Document(messages=(Message("user", "Hallo"),), parameters={"max_tokens": 9})
    assert json.loads(run("check", _file(tmp_path, dump(document)), "--json").stdout)["advice"] == []
    foreign = {"messages": [{"role": "user", "content": "Hallo"}], "max_tokens": 9, "stream": True}
    (only,) = json.loads(run("check", "-", "--json", text=json.dumps(foreign)).stdout)["advice"]
    assert only["rule"] == "usage-off"


def test_a_fixture_may_be_named(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, _body("Be kind.", seed=7))
    assert "seed-in-fixture" not in run("check", file).stdout
    assert "seed-in-fixture" in run("check", file, "--fixture").stdout


@pytest.mark.parametrize(
    ("content", "arguments", "word"),
    [
        ("not json", (), "format"),
        ("[]", (), "messages"),
        ('{"messages": [{"role": "boss", "content": "x"}]}', (), "role"),
        ('{"messages": []}', ("--rates", "cheap"), "--rates"),
        ('{"messages": []}', ("--rates", "-1,2"), "--rates"),
        ('{"messages": []}', ("--ignore", "no-such-rule"), "no-such-rule"),
    ],
)
def test_bad_input_is_two(run: Run, tmp_path: Path, content: str, arguments: tuple[str, ...], word: str) -> None:
    done = run("check", _file(tmp_path, content), *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    assert run("check", str(tmp_path / "none.json")).returncode == 2


def test_the_log_is_read_only_when_told(run: Run, tmp_path: Path, simulator: SimulatorProcess) -> None:
    schema = {"type": "object", "properties": {}}
    offered = {"type": "function", "function": {"name": "idle", "description": "Does nothing.", "parameters": schema}}
    body = _body("You answer letters. Be kind and exact.", tools=[offered], stream=True)
    body["stream_options"] = {"include_usage": True}
    del body["max_tokens"]
    file = _file(tmp_path, body)
    for _ in range(2):
        assert run("send", file, "--base-url", simulator.base_url).returncode == 0
    alone = json.loads(run("check", file, "--json").stdout)
    told = json.loads(run("check", file, "--json", "--log").stdout)
    named = json.loads(run("check", file, "--json", "--data-dir", str(tmp_path / "home")).stdout)
    assert _known(alone) == 0
    assert _known(told) == _known(named) == 2


def _known(value: dict[str, Any]) -> int:
    (cap,) = (item for item in value["advice"] if item["rule"] == "output-cap")
    return int(cap["evidence"][0]["value"])


def test_several_bodies_with_a_literal_name_in_front_are_serious(run: Run, tmp_path: Path) -> None:
    stable = "Answer billing questions briefly and politely. " * 120
    files = []
    for number, name in enumerate(("Asha Rao", "Ben Okafor", "Chen Wei")):
        body = {
            "model": "electron",
            "messages": [{"role": "system", "content": f"You are talking to {name}. {stable}"}],
        }
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(body), "utf-8")
        files.append(str(path))
    done = run("check", *files, "--json", "--rates", "0.40,0.10")
    assert done.returncode == 1, done.stderr
    value = json.loads(done.stdout)
    assert [file["file"] for file in value["files"]] == files
    (span,) = value["varying"]
    assert (span["kind"], span["part"], span["index"]) == ("name", "message", 0)
    assert span["tokens_behind"] > 500
    assert span["dollars_per_1000_requests"] > 0


def test_lines_of_identical_bodies_have_no_varying_span(run: Run, tmp_path: Path) -> None:
    body = {"messages": [{"role": "system", "content": "Be brief. " * 100}, {"role": "user", "content": "hi"}]}
    path = tmp_path / "bodies.jsonl"
    path.write_text("\n".join(json.dumps({"request": body}) for _ in range(3)), "utf-8")
    done = run("check", str(path), "--json")
    value = json.loads(done.stdout)
    assert len(value["files"]) == 3
    assert value["varying"] == []

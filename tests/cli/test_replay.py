"""`electron-playground replay`, as a program in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import forked_program

TRAFFIC = Path(__file__).parents[1] / "data" / "cache_traffic"
FILE = TRAFFIC / "blocks_16-voice_tools.jsonl"


def replay(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return forked_program.run(["replay", *arguments], os.environ)


def test_replay_json_prints_one_object_per_request_and_a_summary() -> None:
    done = replay(str(FILE), "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [json.loads(line) for line in done.stdout.decode("ascii").splitlines()]
    asked = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
    assert [line["request_id"] for line in lines[:-1]] == [line["response"]["request_id"] for line in asked]
    keys = {"request_id", "at", "prompt_tokens", "cached_tokens", "cause", "place", "basis"}
    said = {"sentence", "reason", "candidates", "compared_with", "corrections"}
    assert all(set(line) == keys | said for line in lines[:-1])
    text = replay(str(FILE)).stdout.decode("utf-8")
    assert any(line["sentence"] for line in lines[:-1])
    for line in lines[:-1]:
        assert (line["cause"] is None) == (line["sentence"] is None) == (line["reason"] is None)
        assert line["sentence"] is None or f"    {line['cause']}: {line['sentence']}\n" in text
    assert all(
        line["cached_tokens"]["low"] <= line["cached_tokens"]["forecast"] <= line["cached_tokens"]["high"]
        for line in lines[:-1]
    )
    summary = lines[-1]["summary"]
    assert summary["block"]["value"] == 16
    assert summary["answers_cached"]["value"] is True
    assert 0 <= summary["coverage"] <= 1


def test_replay_json_has_the_candidates_of_a_loss() -> None:
    done = replay(str(FILE.parents[1] / "judged_cases" / "f5_ttl_silent.jsonl"), "--json")
    line = json.loads(done.stdout.splitlines()[5])
    assert (line["cause"], line["reason"]) == ("server", "lost")
    found = {one["code"]: one for one in line["candidates"]}
    assert found["gap"]["seconds"] > 0
    assert found["restart"] == {"code": "restart", "seconds": None, "text": "a restart"}
    assert all(one["text"] in line["sentence"] for one in found.values())


def test_replay_prints_the_correction_of_an_earlier_explanation_with_the_request_that_makes_it(tmp_path: Path) -> None:
    """The cache was off for the second of three requests; the third one is served."""
    path = tmp_path / "off.jsonl"
    system = {"role": "system", "content": "You are a clerk of the harbour office. Name the crate, the shelf. " * 40}
    with path.open("w", encoding="utf-8") as file:
        for number, cached in enumerate((0, 0, 560)):
            messages = [system, {"role": "user", "content": f"Where is crate {number}?"}]
            usage = {"prompt_tokens": 600, "prompt_tokens_details": {"cached_tokens": cached}}
            response = {"status": 200, "request_id": f"r{number}", "usage": usage}
            line = {"at": 1e9 + 20 * number, "request": {"model": "m", "messages": messages}, "response": response}
            file.write(json.dumps(line) + "\n")
    lines = [json.loads(line) for line in replay(str(path), "--json").stdout.splitlines()]
    assert [len(line["corrections"]) for line in lines[:-1]] == [0, 0, 1]
    found = lines[2]["corrections"][0]
    assert found["request_id"] == "r1"
    assert found["sentence"].startswith(lines[1]["sentence"])
    assert "bypassed" in {one["code"] for one in found["candidates"]}
    assert f"    corrects r1, {found['cause']}: {found['sentence']}\n" in replay(str(path)).stdout.decode("utf-8")


def test_replay_same_file_twice_prints_the_same() -> None:
    assert replay(str(FILE)).stdout == replay(str(FILE)).stdout


def test_replay_bad_line_is_named_and_nothing_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(FILE.read_text("utf-8").splitlines()[0] + "\nnot JSON\n", "utf-8")
    done = replay(str(path), "--json")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"line 2" in done.stderr


def test_replay_missing_file_and_bad_lifetime_are_input_errors(tmp_path: Path) -> None:
    assert replay(str(tmp_path / "none.jsonl")).returncode == 2
    assert replay(str(FILE), "--lifetime", "0").returncode == 2


def test_replay_of_half_a_surrogate_pair_writes_and_reads_what_it_learned(tmp_path: Path) -> None:
    file, memory = tmp_path / "cut.jsonl", tmp_path / "memory.json"
    lines = FILE.read_text("utf-8").splitlines()
    asked = json.loads(lines[-1])
    asked["request"]["messages"][-1]["content"] = "cut inside an emoji: \ud83d"
    file.write_text("\n".join((*lines[:-1], json.dumps(asked))) + "\n", "utf-8")
    for _ in range(2):
        done = replay(str(file), "--learned", str(memory))
        assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(memory.read_text("utf-8"))["requests"][-1]["request"] == asked["request"]


def test_replay_learned_state_is_written_and_read(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    assert replay(str(FILE), "--learned", str(memory)).returncode == 0
    before = json.loads(memory.read_text("utf-8"))
    assert before["version"] == 1
    assert replay(str(FILE), "--learned", str(memory)).returncode == 0


@pytest.mark.parametrize("contents", [b"# My notes\n", b'{"version": 1, "learned": {', b'{"version": 99}'])
def test_replay_does_not_replace_a_file_that_no_replay_has_written(tmp_path: Path, contents: bytes) -> None:
    memory = tmp_path / "notes.md"
    memory.write_bytes(contents)
    done = replay(str(FILE), "--learned", str(memory))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--learned" in done.stderr
    assert memory.read_bytes() == contents


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_replay_full_disk_keeps_what_was_learned_earlier(tmp_path: Path) -> None:
    memory, full = tmp_path / "memory.json", FILE.read_text("utf-8").splitlines()
    (tmp_path / "first.jsonl").write_text("\n".join(full[:2]) + "\n", "utf-8")
    assert replay(str(tmp_path / "first.jsonl"), "--learned", str(memory)).returncode == 0
    before = memory.read_bytes()
    arguments = ["replay", str(FILE), "--learned", str(memory)]
    done = forked_program.run_text(arguments, dict(os.environ), file_limit=len(before) + 1)
    assert done.returncode == 2
    assert "--learned" in done.stderr
    assert memory.read_bytes() == before


def test_replay_har_without_entries_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.har"
    path.write_text('{"log":{}}', "utf-8")
    done = replay(str(path))
    assert done.returncode == 2
    assert b"log.entries" in done.stderr

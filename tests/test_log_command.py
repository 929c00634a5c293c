"""`electron-playground log`: the real command in a process of its own, over a real log."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from playground.simulator.launch import SimulatorProcess
from tests.test_commands import Run, prompt, run

__all__ = ["prompt", "run"]


@pytest.fixture
def ids(run: Run, prompt: Path, simulator: SimulatorProcess) -> list[str]:
    """The request_ids of two logged requests, the newer first."""
    send = ("send", str(prompt), "--var", "name=Asha", "--base-url", simulator.base_url, "--json")
    found = [json.loads(run(*send).stdout) for _ in range(2)]
    return [str(one["request_id"]) for one in reversed(found)]


def test_a_request_is_shown_by_any_part_of_its_id(run: Run, ids: list[str]) -> None:
    done = run("log", "show", ids[0][4:12])
    assert done.returncode == 0
    assert ids[0] in done.stdout
    assert ids[1] not in done.stdout
    shown = json.loads(run("log", "show", ids[0], "--json").stdout)
    assert shown["electron_playground_request"] == 1
    nothing = run("log", "show", "0000-no-such-id")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no request matches" in nothing.stderr


def test_a_ticket_leaves_contents_out_unless_they_are_asked_for(run: Run, ids: list[str], tmp_path: Path) -> None:
    words = run("log", "ticket", ids[0]).stdout
    assert "sha256" in words
    assert '"content": "' not in words
    assert '"content": "' in run("log", "ticket", ids[0], "--contents", "included").stdout
    archive = tmp_path / "ticket.zip"
    assert run("log", "ticket", *ids, "-o", str(archive)).returncode == 0
    with zipfile.ZipFile(archive) as opened:
        assert "ticket.md" in opened.namelist()
        assert len(opened.namelist()) == 5


def test_an_export_is_deleted_here_and_comes_back(run: Run, ids: list[str], tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    assert "2 requests in" in run("log", "export", "-o", str(file)).stderr
    refused = run("log", "delete", "status:200")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert "2 requests deleted." in run("log", "delete", "status:200", "--yes").stderr
    assert run("log").stdout == ""
    assert "2 requests imported." in run("log", "import", str(file)).stderr
    listed = [json.loads(line) for line in run("log", "list", "is:imported", "--json").stdout.splitlines()]
    assert [one["request_id"] for one in listed] == ids


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["log", "show"], "needs a part of an id"),
        (["log", "export"], "nowhere to write to"),
        (["log", "export", "-o", "requests.txt"], "one of jsonl, csv, har"),
        (["log", "export", "staus:1", "-o", "a.csv"], "staus: is not something to filter by"),
        (["log", "import"], "takes one file"),
        (["log", "delete"], "needs a filter"),
    ],
)
def test_bad_input_says_what_to_do(run: Run, words: list[str], sentence: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    done = run("log", "import", str(tmp_path / "none.jsonl"))
    assert done.returncode == 1
    assert "none.jsonl" in done.stderr

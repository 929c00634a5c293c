"""Data folders of every landed version open and migrate; one of a newer version is read and never changed.

tests/make_data_folder.py writes the samples.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from playground.requestlog.migrations import CURRENT
from playground.storage.endpoints import EndpointStore
from playground.storage.settings import Settings
from tests.forked_program import run_text

SAMPLES = sorted((Path(__file__).parent / "data" / "data_folders").glob("*.zip"))


def _unpacked(sample: Path, folder: Path) -> Path:
    with zipfile.ZipFile(sample) as file:
        file.extractall(folder)
    return folder


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "ELECTRON_PLAYGROUND_HOME": str(folder)}
    return run_text(arguments, environment)


def _rows(folder: Path) -> list[dict[str, Any]]:
    done = _run(folder, "log", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_samples_are_present() -> None:
    assert len(SAMPLES) >= 2


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_data_folder_of_landed_version_opens_and_migrates(sample: Path, tmp_path: Path) -> None:
    folder = _unpacked(sample, tmp_path / "data")
    assert _run(folder, "--exit-after-first-paint").returncode == 0
    rows = _rows(folder)
    assert [(row["status"], row["finish_reason"], row["prompt_tokens"] > 0) for row in rows] == [
        (200, "stop", True)
    ] * 2
    assert all(row["answer"].startswith("Hello!") for row in rows)
    shown = json.loads(_run(folder, "log", "show", rows[0]["request_id"], "--json").stdout)
    assert "You are Mira." in json.dumps(shown)
    settings, endpoints = Settings(folder / "settings.json"), EndpointStore(folder / "endpoints.json")
    assert (settings.notice, settings.get("theme"), settings.number("font_size")) == ("", "dark", 15.0)
    assert endpoints.by_name("Local").base_url == "http://127.0.0.1:8080/v1"
    assert not list(folder.glob("*damaged*"))
    with closing(sqlite3.connect(folder / "request-log.sqlite3")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (CURRENT,)


def test_data_folder_of_newer_version_is_read_and_its_log_not_changed(tmp_path: Path) -> None:
    folder = _unpacked(SAMPLES[-1], tmp_path / "data")
    log = folder / "request-log.sqlite3"
    _rows(folder)
    with closing(sqlite3.connect(log)) as connection:
        connection.execute(f"PRAGMA user_version = {CURRENT + 1}")
    before = log.read_bytes()
    done = _run(folder, "log", "--json")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert "newer version" in done.stderr
    prompt = tmp_path / "prompt.json"
    prompt.write_text('{"messages": [{"role": "user", "content": "hello"}]}')
    assert _run(folder, "send", str(prompt)).returncode == 3
    assert _run(folder, "--exit-after-first-paint").returncode == 0
    assert log.read_bytes() == before

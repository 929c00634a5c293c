"""Commits of a prompt file as versions, from real repositories, harmless and hostile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from playground.prompt.document import Document, Message
from playground.prompt.files import dump
from playground.versions.service import commits, opened_commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A prompt file with two commits, in a folder of a repository."""
    git(tmp_path, "init", "-q")
    path = tmp_path / "prompts" / "agent's [1].prompt.json"
    path.parent.mkdir()
    for text in ("one", "two"):
        path.write_text(dump(Document(messages=(Message("user", text),))), "utf-8")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", f"Write {text}")
    (tmp_path / "other").write_text("x")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Other file")
    return path


def test_commits_file_in_repository_lists_its_commits_newest_first(file: Path) -> None:
    found = commits(file)
    assert [commit.subject for commit in found] == ["Write two", "Write one"]
    opened = opened_commit(file, found[1].id)
    assert opened is not None
    assert opened.document.messages[0].content == "one"


def test_commits_without_repository_is_empty(tmp_path: Path) -> None:
    assert commits(tmp_path / "a.prompt.json") == []
    assert commits(tmp_path / "no folder" / "a.prompt.json") == []


@pytest.mark.parametrize("commit", ["HEAD", "--output=x", "0" * 40, ""])
def test_opened_commit_unknown_or_no_hash_is_none(file: Path, commit: str) -> None:
    assert opened_commit(file, commit) is None


def test_commits_hostile_configuration_runs_no_program(file: Path) -> None:
    repository, mark = file.parent.parent, file.parent.parent / "ran"
    script = repository / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    script.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "diff.x.textconv",
        "filter.x.smudge",
        "gpg.program",
        "core.sshCommand",
        "diff.x.command",
        "core.alternateRefsCommand",
        "alias.log",
        "alias.cat-file",
    ):
        git(repository, "config", name, str(script) if not name.startswith("alias") else f"!{script}")
    git(repository, "config", "log.showSignature", "true")
    git(repository, "config", "core.hooksPath", str(repository))
    (repository / ".git" / "info" / "attributes").write_text("* diff=x filter=x\n")
    found = commits(file)
    assert len(found) == 2
    assert opened_commit(file, found[0].id) is not None
    assert not mark.exists()


def test_commits_git_in_the_folder_is_not_run(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = file.parent / "git"
    fake.write_text(f"#!/bin/sh\ntouch '{file.parent / 'ran'}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}.")
    assert commits(file) == []
    assert not (file.parent / "ran").exists()

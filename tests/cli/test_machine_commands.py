"""doctor, completion and install-desktop-entry as processes, in real shells and folders."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from playground import __version__
from playground.cli.arguments import RUN, build_parser
from playground.cli.installation import LOG_ACTIONS, entry, script, subcommands
from playground.cli.log import ACTIONS
from tests.forked_program import run_text

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the program with a data folder, a home folder and an XDG data folder of the test."""

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "PYTHONIOENCODING": "utf-8",
            "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "data"),
            "XDG_DATA_HOME": str(tmp_path / "xdg data"),
            "HOME": str(tmp_path),
            **variables,
        }
        return run_text(arguments, environment)

    return call


def _states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}


def test_doctor_working_machine_passes_and_prints_no_secret(run: Run) -> None:
    done = run(
        "doctor",
        "--json",
        HTTPS_PROXY="http://alice:pr0xy-passw0rd@proxy.example:3128",
        SMALLEST_API_KEY="sk_secret_0123456789",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    texts = {check["name"]: check["text"] for check in report["checks"]}
    assert texts["proxy"] == "http://proxy.example:3128 (HTTPS_PROXY)"
    assert texts["data folder"].startswith("~/data")
    assert {"Program", "Python", "System", "httpx"} <= report["versions"].keys()
    assert "passw0rd" not in done.stdout
    assert "sk_secret" not in done.stdout


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"{"])
def test_doctor_damaged_settings_are_no_error_and_unchanged(run: Run, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "data" / "settings.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(data)
    done = run("doctor", "--json", ELECTRON_PLAYGROUND_HOME=str(path.parent))
    assert "certificates" in _states(done), done.stderr
    assert path.read_bytes() == data


def test_doctor_page_has_one_line_for_each_check(run: Run) -> None:
    names = list(_states(run("doctor", "--json")))
    lines = [line for line in run("doctor").stdout.splitlines() if line.split(" ")[0] in ("ok", "warning", "failed")]
    assert [line[9:22].strip() for line in lines] == names


@pytest.mark.parametrize(
    ("variables", "check"),
    [
        ({"HTTPS_PROXY": "gopher://x"}, "proxy"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "certificates"),
        ({"QT_QPA_PLATFORM": "xcb", "DISPLAY": ":4711", "WAYLAND_DISPLAY": ""}, "display"),
        ({"ELECTRON_PLAYGROUND_HOME": "/proc/none"}, "data folder"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="paths and displays of Linux")
def test_doctor_broken_part_fails_with_its_name(run: Run, variables: dict[str, str], check: str) -> None:
    done = run("doctor", "--json", **variables)
    assert done.returncode == 1
    assert [name for name, state in _states(done).items() if state == "failed"] == [check]


def test_doctor_log_states_are_distinguished_and_unchanged(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    path = folder / "request-log.sqlite3"
    assert _states(run("doctor", "--json"))["request log"] == "ok"
    run("log")
    assert _states(run("doctor", "--json"))["request log"] == "ok"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    assert _states(run("doctor", "--json"))["request log"] == "warning"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    before = sorted((file.name, file.read_bytes()) for file in folder.iterdir())
    done = run("doctor", "--json")
    assert (done.returncode, _states(done)["request log"]) == (1, "failed")
    assert sorted((file.name, file.read_bytes()) for file in folder.iterdir()) == before


def test_every_command_of_the_parser_has_a_function() -> None:
    assert set(subcommands(build_parser())) == set(RUN)


@pytest.mark.parametrize("command", RUN)
def test_parser_of_one_command_is_that_of_all(command: str) -> None:
    def of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
        return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))

    alone, every = of(build_parser(command)), of(build_parser())
    assert alone[command].format_help() == every[command].format_help()
    assert set(alone) < set(every)


def test_completion_log_actions_are_those_of_the_command() -> None:
    assert set(LOG_ACTIONS) == set(ACTIONS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("electron-playground", "se"), {"send", "self-test"}),
        (("electron-playground", "self-test", "--theme", ""), {"light", "dark"}),
        (("electron-playground", "log", "ex"), {"export"}),
        (("electron-playground", "--data-dir", "x", "batch", "--dry"), {"--dry-run"}),
        (("electron-playground", "send", "pro"), {"prompt.json"}),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_bash_offers_words(words: tuple[str, ...], expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "prompt.json").touch()
    (tmp_path / "completion").write_text(script(build_parser(), "bash"), "utf-8")
    # compopt works only inside a completion by readline.
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"source ./completion; compopt() {{ :; }}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        '_electron_playground; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_completion_fish_offers_words(tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(script(build_parser(), "fish"), "utf-8")

    def offered(line: str) -> set[str]:
        code = f"source ./completion; complete -C '{line}'"
        done = subprocess.run(["fish", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return {row.split("\t")[0] for row in done.stdout.splitlines()}

    assert offered("electron-playground se") == {"send", "self-test"}
    assert offered("electron-playground self-test --theme ") == {"light", "dark"}
    assert offered("electron-playground batch --dry") == {"--dry-run"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_has_valid_syntax(shell: str, tmp_path: Path, run: Run) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    done = run("completion", shell)
    assert done.returncode == 0, done.stderr
    (tmp_path / "completion").write_text(done.stdout, "utf-8")
    checked = subprocess.run([shell, "-n", "completion"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_completion_zsh_script_defines_the_completion(tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(script(build_parser(), "zsh"), "utf-8")
    code = "autoload -Uz compinit; compinit -u -d ./dump; source ./completion; print $_comps[electron-playground]"
    done = subprocess.run(["zsh", "-fc", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("_electron_playground", "")


@pytest.mark.skipif(sys.platform != "linux", reason="XDG folders")
def test_desktop_entry_is_installed_valid_and_removed(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "xdg data"
    done = run("install-desktop-entry")
    assert done.returncode == 0, done.stderr
    file = data / "applications" / "electron-playground.desktop"
    text = file.read_text("utf-8")
    assert "StartupWMClass=electron-playground" in text
    assert "%f" in text
    icons = {path.relative_to(data / "icons/hicolor").parts[0] for path in data.rglob("electron-playground.[ps][nv]g")}
    assert {"scalable", "16x16", "48x48", "256x256"} <= icons
    if shutil.which("desktop-file-validate"):
        checked = subprocess.run(["desktop-file-validate", file], capture_output=True, text=True, check=False)
        assert checked.stdout + checked.stderr == ""
    assert run("install-desktop-entry", "--remove").returncode == 0
    assert not [path for path in data.rglob("electron-playground*") if path.is_file()]


@pytest.mark.skipif(sys.platform != "linux", reason="XDG folders")
def test_desktop_entry_folder_not_writable_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "xdg data").write_text("a file")
    assert run("install-desktop-entry").returncode == 1


def test_desktop_entry_command_with_spaces_is_quoted() -> None:
    assert 'Exec="/opt/my tools/100%%/run" %f' in entry(["/opt/my tools/100%/run"])


def test_version_first_line_is_the_programs_and_the_rest_names_python_system_and_libraries(run: Run) -> None:
    done = run("--version")
    first, *rest = done.stdout.splitlines()
    assert (done.returncode, first) == (0, f"electron-playground {__version__}")
    assert {"Python", "System", "PySide6_Essentials", "httpx"} <= {line.split()[0] for line in rest}

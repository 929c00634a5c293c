"""Files that commands read: pipes, devices, folders, and names that no file can have."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from playground.cli.main import main, parse_arguments
from playground.experiments.batch_rows import read_rows
from playground.prompt.field_errors import InputError
from tests.forked_program import run_text

BODY = b'{"model": "electron", "messages": [{"role": "user", "content": "hi"}]}'
TOO_LONG = "x" * 300 + ".json"


@contextmanager
def pipe(path: Path, data: bytes) -> Iterator[Path]:
    """A named pipe from which `data` can be read once."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,), daemon=True)
    writer.start()
    yield path
    writer.join(30)
    assert not writer.is_alive()


@pytest.mark.parametrize(
    "command",
    [
        ["send", "NAME"],
        ["check", "NAME"],
        ["check", "--log", "NAME", "good.json"],
        ["convert", "NAME"],
        ["replay", "NAME"],
        ["batch", "good.json", "--data", "NAME"],
        ["batch", "NAME", "--data", "rows.csv"],
        ["log", "import", "NAME"],
    ],
)
@pytest.mark.parametrize("name", [TOO_LONG, ".", "loop", "dangling", "missing.json"])
def test_command_file_that_cannot_be_read_is_invalid_input(
    command: list[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELECTRON_PLAYGROUND_HOME", str(tmp_path / "data"))
    if name == "." and command[1] == "--log":
        pytest.skip("a folder is a source of check")
    Path("good.json").write_bytes(BODY)
    Path("rows.csv").write_text("name\nx\n", "utf-8")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nothing")
    if command[:2] == ["check", "--log"] and name != ".":
        pytest.skip("--log reads a value that is no file as a filter")
    if name == "." and command[0] == "check":
        Path("good.json").unlink()
    assert main([name if word == "NAME" else word for word in command]) == 2
    assert "electron-playground: " in capfd.readouterr().err


@pytest.mark.parametrize("command", [["send"], ["check"], ["convert"], ["batch", "--data", "rows.csv"]])
def test_command_device_without_end_is_too_large(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("name\nx\n", "utf-8")
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "data")}
    done = run_text([*command, "/dev/zero"], environment, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "/dev/zero is larger than 64 MiB" in done.stderr


def test_convert_named_pipe_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pipe(tmp_path / "p", BODY) as path:
        assert main(["convert", str(path)]) == 0
    assert '"content": "hi"' in capfd.readouterr().out


def test_log_import_named_pipe_is_imported_as_a_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELECTRON_PLAYGROUND_HOME", str(tmp_path / "a"))
    (tmp_path / "body.json").write_bytes(BODY)
    assert main(["send", str(tmp_path / "body.json")]) == 0
    assert main(["log", "export", "-o", str(tmp_path / "all.jsonl")]) == 0
    monkeypatch.setenv("ELECTRON_PLAYGROUND_HOME", str(tmp_path / "b"))
    with pipe(tmp_path / "p", (tmp_path / "all.jsonl").read_bytes()) as path:
        assert main(["log", "import", str(path)]) == 0
    assert "1 request imported" in capfd.readouterr().err


def test_parse_arguments_word_longer_than_a_file_name_is_no_file() -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["x" * 300])
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["convert", "export"])
def test_output_to_a_pipe_or_a_link_keeps_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELECTRON_PLAYGROUND_HOME", str(tmp_path / "data"))
    body = tmp_path / "body.json"
    body.write_bytes(BODY)
    if command == "export":
        assert main(["send", str(body)]) == 0
    words = ["convert", str(body)] if command == "convert" else ["log", "export", "--format", "jsonl"]
    (tmp_path / "link").symlink_to("target")
    assert main([*words, "-o", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    expected = (tmp_path / "target").read_bytes()
    assert b"messages" in expected
    pipe_path = tmp_path / "pipe"
    os.mkfifo(pipe_path)
    handle = os.open(pipe_path, os.O_RDONLY | os.O_NONBLOCK)
    assert main([*words, "-o", str(pipe_path)]) == 0
    os.set_blocking(handle, True)
    with os.fdopen(handle, "rb") as reader:
        assert reader.read() == expected
    assert pipe_path.is_fifo()
    capfd.readouterr()


REPEATED = {
    "model": '{"model": "a", "model": "b", "messages": [{"role": "user", "content": "hi"}]}',
    "messages[1].content": '{"messages": [{"role": "user", "content": "a"}, '
    '{"role": "user", "content": "b", "content": "c"}]}',
    "tools[0].function.parameters.properties.a": '{"messages": [{"role": "user", "content": "a"}], "tools": [{"type": '
    '"function", "function": {"name": "f", "parameters": {"properties": {"a": {}, "\\u0061": {}}}}}]}',
    "electron_playground_prompt": '{"electron_playground_prompt": 1, "electron_playground_prompt": 1, "messages": []}',
}


@pytest.mark.parametrize("place", REPEATED)
@pytest.mark.parametrize(
    "command",
    [
        ["send", "body.json"],
        ["send", "body.json", "--json"],
        ["check", "body.json"],
        ["check", "bodies.jsonl"],
        ["check", "logged.jsonl"],
        ["batch", "body.json", "--data", "rows.csv", "-o", "out.jsonl"],
    ],
)
def test_command_repeated_name_in_a_request_is_refused_with_its_place(
    command: list[str],
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELECTRON_PLAYGROUND_HOME", str(tmp_path / "data"))
    Path("body.json").write_text(REPEATED[place], "utf-8")
    Path("bodies.jsonl").write_text(f"{BODY.decode()}\n{REPEATED[place]}\n", "utf-8")
    Path("logged.jsonl").write_text(json.dumps({"body": REPEATED[place]}) + "\n", "utf-8")
    Path("rows.csv").write_text("name\nx\n", "utf-8")
    assert main(command) == 2
    assert place in capfd.readouterr().err
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("text", ['{"q": "a", "q": "b"}', '[{"r": 1, "q": {"x": 1, "x": 2}}]'])
def test_batch_repeated_name_in_a_row_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(text.encode(), "rows.json")
    assert "q" in caught.value.problems[0].path

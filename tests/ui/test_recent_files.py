"""Opening a file from the command line, and the menu of recent files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtWidgets import QApplication

from playground.cli.arguments import parse
from playground.cli.main import main, parse_arguments
from playground.cli.selftest import UiDriver
from playground.prompt.document import Document, Message
from playground.prompt.files import dump
from playground.ui.session import Session
from tests.conftest import FAST


def saved(path: Path, text: str) -> Path:
    path.write_text(dump(Document(messages=(Message("user", text),))), "utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "file", "command"),
    [
        (["a.prompt.json"], "a.prompt.json", None),
        (["--data-dir", "d", "x/y"], "x/y", None),
        (["--", "send"], "send", None),
        (["send", "a.json"], None, "send"),
        (["--data-dir", "d", "log", "list"], None, "log"),
        ([], None, None),
    ],
)
def test_parse_arguments_leading_file_is_opened(arguments: list[str], file: str | None, command: str | None) -> None:
    options = parse_arguments(arguments)
    assert options.open_file == (Path(file) if file else None)
    assert options.command == command


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["prompt.json"],
        ["./prompt"],
        ["--data-dir", "folder", "prompt.json", "--exit-after-first-paint"],
        ["--data-dir=a=b"],
        ["--data-dir="],
        ["--data-dir", "one", "--data-dir", "two"],
    ],
)
def test_window_options_are_those_of_argparse(words: list[str]) -> None:
    options = parse_arguments(words)
    assert isinstance(options, SimpleNamespace)
    assert vars(options) == vars(parse(words))


@pytest.mark.parametrize(
    "words", [["--data-dir"], ["--data-dir", "--open-file"], ["one.json", "two.json"], ["--exit-after-first-paint=1"]]
)
def test_window_options_with_a_fault_are_refused_by_argparse(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(words)
    assert ended.value.code == 2
    assert "usage: electron-playground" in capfd.readouterr().err


def test_parse_arguments_unknown_command_is_bad_input() -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["sned"])
    assert ended.value.code == 2


def test_main_missing_file_is_bad_input(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([str(tmp_path / "missing.json")]) == 2
    assert "missing.json does not exist." in capfd.readouterr().err


@pytest.mark.parametrize("damaged", [False, True])
def test_session_opens_the_file_of_the_command_line(
    runner: asyncio.Runner, qapp: QApplication, tmp_path: Path, damaged: bool
) -> None:
    file = saved(tmp_path / "mine.prompt.json", "From the command line")
    if damaged:
        file.write_bytes(b"{")

    async def story() -> None:
        (tmp_path / "data").mkdir()
        session = Session(qapp, tmp_path / "data", {}, simulator_options=FAST, file=file)
        driver = UiDriver(session.window, None)
        try:
            session.show()
            await driver.until(session.ready.is_set, "log and simulator ready")
            if damaged:
                await driver.until(lambda: not session.window.notice_bar.isHidden(), "the notice")
                assert session.window.files.file.path is None
            else:
                await driver.until(lambda: session.window.files.file.path == file, "the file")
                assert session.window.prompt.document().messages[0].content == "From the command line"
                assert session.window.recent.paths == [file]
        finally:
            await session.close()

    runner.run(story())


async def test_recent_files_newest_first_without_duplicates(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{number} & more.prompt.json", str(number)) for number in range(12)]
    window = session.window
    for file in (*files, files[5]):
        await window.files.open_file(file)
        window.files.close_tab()
    expected = [files[5], *(file for file in reversed(files) if file != files[5])][:10]
    assert window.recent.paths == expected
    window.recent.aboutToShow.emit()
    actions = window.recent.actions()
    assert actions[1].text().replace("&&", "&").endswith(f"{files[11].name} — {tmp_path}")
    files[11].unlink()
    actions[1].trigger()
    await hand.until(lambda: not window.notice_bar.isHidden(), "the notice about the missing file")
    actions[2].trigger()
    await hand.until(lambda: window.files.file.path == files[10], "the recent file")
    window.recent.clear_files()
    assert window.recent.paths == []
    assert not window.recent.menuAction().isEnabled()

"""The prompt's file in the real window: identity under undo, changes on disk, formats, drops."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from pathlib import Path

from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton, QWidget

from playground.cli.selftest import UiDriver
from playground.prompt.document import Document, Message
from playground.prompt.files import dump, parse_bytes
from playground.requestlog.filter import EVERYTHING
from playground.ui.main_window import MainWindow
from playground.ui.session import Session
from tests.ui.conftest import Tell
from tests.ui.test_window import _send


def prompt_file(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.prompt.json"
    path.write_text(dump(Document(name=name, messages=(Message("user", text),))), "utf-8")
    return path


def content(path: Path) -> str | None:
    return parse_bytes(path.read_bytes()).document.messages[0].content


async def type_first(window: MainWindow, hand: UiDriver, text: str) -> None:
    window.prompt.show_place(0, 0)
    await hand.type(text)


def press(window: QWidget, label: str) -> None:
    next(button for button in window.findChildren(QPushButton) if button.text() == label).click()


async def test_open_pipe_or_device_is_reported_and_never_waited_for(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    window = session.window
    told: list[str] = []
    window.files.notice.connect(told.append)
    before = window.files.file
    for name in ("pipe.json", "zero.json"):
        await asyncio.wait_for(window.files.open_file(tmp_path / name), 30)
    assert len(told) == 2
    assert window.files.file is before


def test_undo_of_an_open_gives_save_the_previous_file(tell: Tell, tmp_path: Path) -> None:
    a = prompt_file(tmp_path, "a", "text of a")
    pasted = '{"model": "electron", "messages": [{"role": "user", "content": "pasted"}]}'

    async def story(session: Session, hand: UiDriver) -> None:
        window = session.window
        await window.files.open_file(a)
        await type_first(window, hand, "edited ")
        await window.files.offer_import(pasted)
        window.prompt.paste_bar.press("Open as prompt")
        assert window.files.file.path is None
        window.prompt.undo()
        assert window.files.name == "a"
        assert window.files.dirty
        window.files.save()
        await hand.until(lambda: not window.files.dirty, "saved")
        window.prompt.redo()
        assert window.files.file.path is None
        assert not window.files.dirty

    tell(story)
    assert content(a) == "edited text of a"


async def test_a_logged_prompt_in_the_editor_has_no_file(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    a = prompt_file(tmp_path, "a", "text of a")
    window = session.window
    window.requests.send_or_stop()
    await hand.until(lambda: window.requests.current is not None and not window.requests.running, "the request")
    run_id = window.requests.shown_run_id
    assert run_id is not None
    await window.files.open_file(a)
    recalled = await session.workspace.recall(run_id)
    assert recalled is not None
    window.requests.looking_back.emit(recalled)
    window.response.from_log.press("Use its prompt")
    assert window.files.file.path is None
    assert window.files.dirty


async def test_save_does_not_overwrite_a_file_that_changed_on_disk(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    a = prompt_file(tmp_path, "a", "text of a")
    window = session.window
    await window.files.open_file(a)
    await type_first(window, hand, "mine ")
    prompt_file(tmp_path, "a", "of another program")
    await window.files.save_file(a)
    assert content(a) == "of another program"
    assert window.prompt.file_bar.isVisible()
    window.prompt.file_bar.press("Keep mine")
    await hand.until(lambda: not window.prompt.file_bar.isVisible(), "the banner is gone")
    assert window.files.dirty
    window.files.save()
    await hand.until(lambda: not window.files.dirty, "saved")
    assert content(a) == "mine text of a"


async def test_a_change_on_disk_shows_the_banner_and_reload_can_be_undone(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    a = prompt_file(tmp_path, "a", "text of a")
    window = session.window
    await window.files.open_file(a)
    # As editors do: a new file is moved over the old one.
    other = prompt_file(tmp_path, "other", "newer")
    before = a.read_bytes()
    other.replace(a)
    await hand.until(window.prompt.file_bar.isVisible, "the banner")
    newer = a.read_bytes()
    a.write_bytes(before)
    await hand.until(lambda: not window.prompt.file_bar.isVisible(), "no banner: the file is unchanged")
    a.write_bytes(newer)
    await hand.until(window.prompt.file_bar.isVisible, "the banner again")
    window.prompt.file_bar.press("Reload")
    await hand.until(lambda: window.prompt.document().messages[0].content == "newer", "the new text")
    assert not window.files.dirty
    assert not window.prompt.file_bar.isVisible()
    window.prompt.undo()
    assert window.prompt.document().messages[0].content == "text of a"


async def test_compare_shows_the_lines_of_disk_and_editor(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    a = prompt_file(tmp_path, "a", "text of a")
    window = session.window
    await window.files.open_file(a)
    prompt_file(tmp_path, "a", "newer")
    await hand.until(window.prompt.file_bar.isVisible, "the banner")
    await window.files.compare()
    from playground.ui.dialogs.rewrite import FileChangesDialog

    dialog = window.findChild(FileChangesDialog)
    assert dialog is not None
    shown = dialog.view.toPlainText()
    assert "newer" in shown
    assert "text of a" in shown
    press(dialog, "Reload")
    await hand.until(lambda: window.prompt.document().messages[0].content == "newer", "the new text")
    await hand.until(lambda: window.findChild(FileChangesDialog) is None, "the end of the dialog")


def test_after_a_restart_a_changed_file_is_not_overwritten_and_the_name_is_shown(tell: Tell, tmp_path: Path) -> None:
    a = prompt_file(tmp_path, "a", "text of a")

    async def first(session: Session, _hand: UiDriver) -> None:
        await session.window.files.open_file(a)

    async def unchanged(session: Session, hand: UiDriver) -> None:
        window = session.window
        assert window.top.file_button.text().startswith("a")
        await hand.until(lambda: window.files.file.digest is not None, "the file was compared")
        assert not window.prompt.file_bar.isVisible()

    async def changed(session: Session, hand: UiDriver) -> None:
        window = session.window
        await hand.until(window.prompt.file_bar.isVisible, "the banner")
        await type_first(window, hand, "mine ")
        await window.files.save_file(a)
        assert content(a) == "newer"

    tell(first)
    tell(unchanged)
    prompt_file(tmp_path, "a", "newer")
    tell(changed)


def test_a_request_body_is_saved_as_a_body_with_its_model(tell: Tell, tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    body = {"temperature": 0, "messages": [{"role": "user", "content": "hello"}], "model": "other-model"}
    path.write_text(json.dumps(body), "utf-8")

    async def story(session: Session, hand: UiDriver) -> None:
        window = session.window
        await window.files.open_file(path)
        assert "other-model" in window.notice_bar.words
        await type_first(window, hand, "oh, ")
        window.files.save()
        await hand.until(lambda: not window.files.dirty, "saved")

    tell(story)
    saved = json.loads(path.read_bytes())
    assert list(saved) == ["temperature", "messages", "model"]
    assert saved["model"] == "other-model"
    assert saved["messages"] == [{"role": "user", "content": "oh, hello"}]


async def test_a_file_dropped_on_the_editor_is_opened(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    a = prompt_file(tmp_path, "a", "text of a")
    window = session.window
    text = window.prompt.prompt_tab.cards[0].text
    before = text.exact.text
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(a))])
    data.setText(a.as_uri())
    actions, buttons = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    for target in (text.viewport(), text, window):
        enter = QDragEnterEvent(QPoint(5, 5), actions, data, buttons, none)
        QApplication.sendEvent(target, enter)
        drop = QDropEvent(QPointF(5, 5), actions, data, buttons, none)
        drop.setAccepted(False)
        QApplication.sendEvent(target, drop)
        if drop.isAccepted():
            break
    assert text.exact.text in (before, "text of a")
    await hand.until(lambda: window.files.name == "a", "the file is open")


async def test_the_question_about_unsaved_changes_can_save(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    window = session.window
    await window.files.open_file(a)
    await type_first(window, hand, "edited ")
    window.files.open_path(b)
    await hand.until(lambda: window.files.name == "b", "the other file is open")
    before = len(window.files.tabs.pages)
    window.files.close_tab(window.files.tabs.find(a))
    box = window.findChild(QMessageBox)
    assert box is not None
    press(box, "Save")
    await hand.until(lambda: len(window.files.tabs.pages) == before - 1, "the tab is closed")
    assert (window.files.tabs.find(a), window.files.tabs.find(b) is None) == (None, False)
    assert content(a) == "edited text of a"


async def test_prompt_of_another_tool_is_opened_without_a_file(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    path = tmp_path / "greet.prompty"
    text = "---\nname: greet\n---\nsystem:\nBe brief.\n\nuser:\nHi {{name}}\n"
    path.write_text(text, "utf-8")
    await session.window.files.open_file(path)
    document = session.window.prompt.document()
    assert [message.content for message in document.messages] == ["Be brief.", "Hi {{name}}"]
    assert session.window.files.file.path is None
    assert path.read_text("utf-8") == text


def _delete(folder: Path) -> None:
    """Delete a folder into which the program may write a file meanwhile."""
    while True:
        try:
            return shutil.rmtree(folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise


async def test_a_deleted_data_folder_is_created_again_with_the_draft_and_a_new_log(
    session: Session, hand: UiDriver
) -> None:
    window, folder = session.window, session.workspace.folder
    await _send(session, hand)
    before = session.workspace.log
    _delete(folder)
    await hand.until(lambda: session.workspace.log not in (None, before), "a new log")
    assert "was deleted" in window.notice_bar.words
    await type_first(window, hand, "typed after it ")
    await hand.until(lambda: "typed after it" in (folder / "draft.json").read_text(), "the draft")
    await _send(session, hand)
    log = session.workspace.log
    assert log is not None
    assert (await log.totals(EVERYTHING)).requests == 1

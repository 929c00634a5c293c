"""Several prompts in tabs, files from the command line and recent files, in the real window."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QFontMetrics
from PySide6.QtWidgets import QApplication, QMessageBox
from pytestqt.qtbot import QtBot

from playground.cli.selftest import CONTROL, UiDriver
from playground.prompt.document import Document, Message
from playground.storage.draft import Draft, DraftState
from playground.storage.paths import write_shared
from playground.tasks import Tasks
from playground.ui.dialogs.rewrite import RewriteDialog
from playground.ui.panes.prompt.undo import PromptFile
from playground.ui.session import Session
from playground.ui.theme import ui_font
from playground.ui.widgets.tab_bar import MORE_PX, split, tab_bar
from tests.forked_program import start_script, start_text
from tests.ui.conftest import Tell
from tests.ui.test_files import content, press, prompt_file, type_first
from tests.ui.test_window import _send


def first_text(session: Session) -> str | None:
    return session.window.prompt.document().messages[0].content


async def test_each_tab_has_its_document_undo_steps_and_newest_request(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    window, tabs = session.window, session.window.files.tabs
    await window.files.open_all([a])
    await _send(session, hand)
    of_a = window.requests.shown_run_id
    await type_first(window, hand, "edited ")
    await window.files.open_all([b])
    assert first_text(session) == "text of b"
    assert window.requests.shown_run_id is None
    assert window.prompt.history.stack.count() <= 1
    await _send(session, hand)
    of_b = window.requests.shown_run_id
    await hand.press(Qt.Key.Key_Tab, CONTROL)
    await hand.press(Qt.Key.Key_Tab, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert window.requests.shown_run_id == of_b
    tabs.show_page(next(page for page in tabs.pages if page.file.path == a))
    assert first_text(session) == "edited text of a"
    assert window.requests.shown_run_id == of_a
    window.prompt.undo()
    assert first_text(session) == "text of a"
    assert of_a != of_b


async def test_open_of_an_open_file_switches_to_its_tab(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    window = session.window
    await window.files.open_all([a, b])
    tabs = len(window.files.tabs.pages)
    await window.files.open_all([a])
    assert (window.files.name, len(window.files.tabs.pages)) == ("a", tabs)
    assert window.files.tabs.bar.isVisible()
    link = tmp_path / "link.json"
    link.symlink_to(b)
    await window.files.open_all([link])
    assert (window.files.name, len(window.files.tabs.pages)) == ("b", tabs)


async def test_close_of_the_last_tab_leaves_an_empty_prompt(session: Session, hand: UiDriver) -> None:
    window = session.window
    await hand.press(Qt.Key.Key_W, CONTROL)
    assert len(window.files.tabs.pages) == 1
    assert window.files.tabs.blank
    assert not window.files.dirty
    assert not window.files.tabs.bar.isVisible()


@pytest.mark.parametrize(("answer", "pages"), [("Discard", 1), ("Cancel", 2)])
async def test_close_of_a_changed_tab_asks_and_follows_the_answer(
    session: Session, hand: UiDriver, answer: str, pages: int
) -> None:
    window = session.window
    await hand.press(Qt.Key.Key_T, CONTROL)
    assert len(window.files.tabs.pages) == 2
    await type_first(window, hand, "typed")
    await hand.press(Qt.Key.Key_W, CONTROL)
    box = window.findChild(QMessageBox)
    assert box is not None
    press(box, answer)
    assert len(window.files.tabs.pages) == pages


async def test_a_request_that_ends_in_another_tab_is_shown_on_return(session: Session, hand: UiDriver) -> None:
    window = session.window
    sender = window.files.tabs.page
    window.requests.send_or_stop()
    window.files.new_tab()
    await hand.until(lambda: not window.requests.running, "the end of the request")
    shown = window.requests.shown_run_id
    assert shown is None
    window.files.tabs.show_page(sender)
    assert window.requests.current is not None
    assert window.requests.shown_run_id == window.requests.current.run.id
    assert window.requests.current.run.state.phase == "done"


def test_tabs_are_restored_with_their_place_after_a_restart(tell: Tell, tmp_path: Path) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")

    async def first(session: Session, hand: UiDriver) -> None:
        await session.window.files.open_all([a, b])
        await type_first(session.window, hand, "edited ")
        session.window.files.tabs.step(-1)

    async def second(session: Session, hand: UiDriver) -> None:
        tabs = session.window.files.tabs
        assert [page.name for page in tabs.pages][-2:] == ["a", "b"]
        assert session.window.files.name == "a"
        tabs.step(1)
        assert first_text(session) == "edited text of b"
        assert session.window.files.dirty

    tell(first)
    tell(second)


def test_tabs_stay_over_starts_without_an_edit(tell: Tell, tmp_path: Path) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    names: list[str] = []

    async def first(session: Session, hand: UiDriver) -> None:
        await session.window.files.open_all([a])
        await type_first(session.window, hand, "edited ")
        await session.window.files.open_all([b])
        await type_first(session.window, hand, "changed ")
        tabs = session.window.files.tabs
        tabs.bar.moveTab(0, 1)
        names.extend(page.name for page in tabs.pages)

    async def later(session: Session, _hand: UiDriver) -> None:
        tabs, draft = session.window.files.tabs, session.workspace.draft
        assert [page.name for page in tabs.pages] == names
        assert first_text(session) == "changed text of b"
        assert draft is not None
        await draft.flush()  # what a kill now would leave
        draft_on_disk = draft.load()
        assert draft_on_disk is not None
        assert draft_on_disk.others == tabs.state().others

    async def last(session: Session, hand: UiDriver) -> None:
        await later(session, hand)
        session.window.files.tabs.show_page(next(page for page in session.window.files.tabs.pages if page.name == "a"))
        assert first_text(session) == "edited text of a"
        session.window.actions_table["undo"].trigger()
        assert first_text(session) == "text of a"

    for story in (first, later, later, last):
        tell(story)


def test_the_order_of_moved_tabs_is_saved_without_an_edit(tell: Tell, tmp_path: Path) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    orders: list[list[str]] = []

    async def opened(session: Session, _hand: UiDriver) -> None:
        await session.window.files.open_all([a, b])

    async def moved(session: Session, _hand: UiDriver) -> None:
        tabs = session.window.files.tabs
        tabs.bar.moveTab(tabs.pages.index(tabs.page), 0)
        orders.append([page.name for page in tabs.pages])

    async def seen(session: Session, _hand: UiDriver) -> None:
        orders.append([page.name for page in session.window.files.tabs.pages])

    for story in (opened, moved, seen):
        tell(story)
    assert orders[0][0] == "b"
    assert orders[1] == orders[0]


def test_drafts_of_all_tabs_survive_a_kill(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from playground.prompt.document import Document, Message\n"
        "from playground.storage.draft import Draft, DraftState\n"
        "from playground.tasks import Tasks\n"
        "async def main():\n"
        "    draft = Draft(Path(sys.argv[1]), Tasks(lambda *_: None))\n"
        "    one = lambda text: DraftState(Document(messages=(Message('user', text),)))\n"
        "    from msgspec.structs import replace\n"
        "    draft.note(replace(one('current'), others=(one('left'), one('right')), place=1))\n"
        "    await draft.flush()\n"
        "    print('written', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    child = start_script(script, str(tmp_path))
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    child.kill()
    child.communicate()
    draft = Draft(tmp_path, Tasks(lambda *_: None))
    state = draft.load()
    draft.close()
    assert state is not None
    texts = [one.document.messages[0].content for one in (state, *state.others)]
    assert (texts, state.place) == (["current", "left", "right"], 1)


def test_draft_of_a_version_without_tabs_is_read(tmp_path: Path) -> None:
    draft = Draft(tmp_path, Tasks(lambda *_: None))
    draft._newest = DraftState(Document(messages=(Message("user", "old"),)))
    asyncio.run(draft.flush())
    draft.close()
    path = next(tmp_path.rglob("*draft*.json"))
    row = json.loads(path.read_bytes())
    del row["others"], row["place"]
    path.write_text(json.dumps(row), "utf-8")
    again = Draft(tmp_path, Tasks(lambda *_: None))
    state = again.load()
    again.close()
    assert state is not None
    assert (state.document.messages[0].content, state.others) == ("old", ())


async def test_dropped_files_open_in_tabs_and_logs_are_imported(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    har = tmp_path / "traffic.har"
    har.write_text('{"log":{"version":"1.2","entries":[]}}', "utf-8")
    window = session.window
    imported: list[Path] = []
    window.files.import_requested.connect(imported.append)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in (a, b, har)])
    none, left = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    enter = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, left, none)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(window, QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, left, none))
    await hand.until(lambda: bool(imported), "the import")
    assert imported == [har]
    assert {page.name for page in window.files.tabs.pages} >= {"a", "b"}


async def test_notice_of_dropped_files_names_each_that_is_refused(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    files, said = session.window.files, list[str]()
    bad = [tmp_path / name for name in ("one.json", "two.json")]
    for path in bad:
        path.write_text("{", "utf-8")
    files.notice.connect(said.append)
    await files.open_all(bad)
    assert all(path.name in said[-1] for path in bad)


@pytest.mark.skipif(os.name != "posix", reason="ended by a signal")
def test_program_opens_the_files_of_its_command_line(tmp_path: Path) -> None:
    a, data = prompt_file(tmp_path, "a", "text of a"), tmp_path / "data"
    child = start_text(["--data-dir", str(data), str(a)])
    deadline = time.monotonic() + 60
    try:
        while not any("text of a" in path.read_text("utf-8") for path in data.rglob("*draft*.json")):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    assert child.returncode == 0
    assert content(a) == "text of a"


async def test_a_missing_file_is_marked_and_named(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    window, recent = session.window, session.window.recent
    await window.files.open_all([a, b])
    assert recent.paths == [b, a]
    window.files.new_tab()
    panel = window.prompt.prompt_tab._start
    assert panel is not None
    assert panel._files == [b, a]
    window.files._close(next(page for page in window.files.tabs.pages if page.file.path == a))
    a.unlink()
    recent.aboutToShow.emit()
    await hand.until(lambda: "(missing)" in recent.actions()[1].text(), "the mark")
    assert "(missing)" not in recent.actions()[0].text()
    recent.actions()[1].trigger()
    await hand.until(lambda: str(a) in window.notice_bar.words, "the notice")


async def test_a_save_that_waits_writes_the_prompt_of_its_own_tab(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    files = session.window.files
    await files.open_all([a, b])
    page = files.tabs.find(a)
    assert page is not None
    files.tabs.show_page(page)
    saved: list[str] = []
    files.saved.connect(saved.append)
    async with files._saving:
        files.save()
        other = files.tabs.find(b)
        assert other is not None
        files.tabs.show_page(other)
    await hand.until(lambda: bool(saved), "the save")
    assert b"text of a" in a.read_bytes()
    assert b"text of b" in b.read_bytes()
    assert (page.file.path, other.file.path) == (a, b)


async def test_save_over_a_file_of_another_tab_closes_it_or_is_refused_with_unsaved_changes(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    window = session.window
    files, shown = window.files, window.notice_bar
    await files.open_all([a, b])
    of_a = files.tabs.find(a)
    assert of_a is not None
    files.tabs.show_page(of_a)
    await type_first(window, hand, "edited ")
    files.tabs.step(1)
    await files.save_file(a, force=True)
    assert "open in another tab" in shown.words
    assert "text of a" in a.read_text()
    of_a.file.saved = of_a.document
    await files.save_file(a, force=True)
    assert "text of b" in a.read_text()
    assert of_a not in files.tabs.pages
    assert files.file.path == a


async def test_save_that_waits_writes_the_prompt_of_the_key_press_to_its_own_file(
    session: Session, hand: UiDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")
    free = threading.Event()

    def slow(path: Path, data: bytes) -> None:
        assert free.wait(10)
        write_shared(path, data)

    monkeypatch.setattr("playground.ui.controllers.files.write_shared", slow)
    window = session.window
    files, tabs = window.files, window.files.tabs
    await files.open_all([a])
    page, bar = tabs.page, window.prompt.file_bar
    await type_first(window, hand, "one ")
    first = asyncio.create_task(files.save_file(a))
    second = asyncio.create_task(files.save_file(a))
    await asyncio.sleep(0)
    tabs.rename_file(page.file, PromptFile(b, page.file.format, page.document, page.file.digest))
    free.set()
    await asyncio.gather(first, second)
    assert (content(a), content(b)) == ("one text of a", "text of b")
    # A conflict is displayed over the prompt that it is about.
    await files.open_all([a])
    page = tabs.page
    await type_first(window, hand, "two ")
    a.write_text(a.read_text("utf-8").replace("text of a", "other"), "utf-8")
    saving = asyncio.create_task(files.save_file(a))
    await asyncio.sleep(0)
    files.new_tab()
    await saving
    assert tabs.page is page
    assert bar.isVisible()


def test_overflow_tabs_too_narrow_offer_a_menu_and_show_the_chosen_tab_beside_its_button(qtbot: QtBot) -> None:
    bar = tab_bar("Views", ("Text", "Request", "Rendered", "Tool calls 3", "Events 111", "JSON"))
    qtbot.addWidget(bar)
    bar.resize(260, 34)
    bar.show()
    assert bar.more.isVisible()
    bar.menu().actions()[5].trigger()
    assert bar.currentIndex() == 5
    assert bar.tabRect(5).right() <= bar.width() - MORE_PX
    bar.resize(900, 34)
    assert not bar.more.isVisible()


async def test_findings_and_pasted_text_of_one_tab_do_nothing_in_another(session: Session, hand: UiDriver) -> None:
    curl = 'curl https://x/v1/chat/completions -d \'{"model": "m", "messages": [{"role": "user", "content": "P"}]}\''
    late = Document(messages=(Message("system", "At {{now}}.\n" + "Be kind.\n" * 300), Message("user", "a")))
    window, tabs = session.window, session.window.files.tabs
    adviser = window.answers.adviser
    window.prompt.set_document(replace(late, variables={"now": "10:22"}))
    adviser.look_soon()
    await hand.until(lambda: bool(adviser.advice) and adviser.document is window.prompt.document(), "findings")
    page = tabs.page
    tabs.add()
    window.prompt.set_document(Document(messages=(Message("user", "short"),)))
    window.answers.adviser.fix()
    assert not [dialog for dialog in window.findChildren(RewriteDialog) if dialog.isVisible()]
    reading = asyncio.create_task(window.files.offer_import(curl))
    await asyncio.sleep(0)
    tabs.show_page(page)
    await reading
    assert window.prompt.paste_bar.isHidden()
    await window.files.offer_import(curl)
    assert window.prompt.paste_bar.isVisible()
    tabs.show_page(next(other for other in tabs.pages if other is not page))
    assert window.prompt.paste_bar.isHidden()


def test_unsaved_changes_of_each_tab_are_undone_and_redone_after_a_restart(tell: Tell, tmp_path: Path) -> None:
    a, b = prompt_file(tmp_path, "a", "text of a"), prompt_file(tmp_path, "b", "text of b")

    async def first(session: Session, hand: UiDriver) -> None:
        await session.window.files.open_all([a])
        await type_first(session.window, hand, "edited ")
        await session.window.files.open_all([b])
        await type_first(session.window, hand, "changed ")

    async def second(session: Session, _hand: UiDriver) -> None:
        window = session.window
        for edited, saved in (("changed text of b", "text of b"), ("edited text of a", "text of a")):
            assert (first_text(session), window.files.dirty) == (edited, True)
            window.actions_table["undo"].trigger()
            assert (first_text(session), window.files.dirty) == (saved, False)
            window.actions_table["redo"].trigger()
            assert first_text(session) == edited
            window.actions_table["previous_tab"].trigger()

    tell(first)
    tell(second)


def test_a_tab_that_is_partly_in_view_ends_with_an_ellipsis(qtbot: QtBot) -> None:
    bar = tab_bar("Views", ("Text", "Request", "Rendered", "Tool calls 3", "Events 111", "JSON"))
    qtbot.addWidget(bar)
    bar.show()
    cut = 0
    for width in range(150, 400, 7):
        bar.resize(width, 34)
        for index in range(bar.count()):
            title, whole, place = bar.displayed(index)[0], bar.tabText(index), bar.tabRect(index)
            if place.left() < bar.more.x() - 40 and place.right() > bar.more.x():
                assert whole.startswith(title.removesuffix("…"))
                assert title.endswith("…") or title == split(whole)[0]
                assert QFontMetrics(ui_font()).horizontalAdvance(title) <= bar.more.x() - place.left()
                cut += title.endswith("…")
    assert cut > 10


async def test_a_hidden_tab_that_sends_is_marked_and_not_stopped(session: Session, hand: UiDriver) -> None:
    window, tabs = session.window, session.window.files.tabs
    window.prompt.set_document(Document(messages=(Message("user", "a long answer"),)))
    sending = tabs.page
    window.requests.send_or_stop()
    await hand.until(lambda: window.requests.current is not None, "a request on its way")
    run = window.requests.current.run  # type: ignore[union-attr]
    assert "sending" in tabs.bar.accessibleTabName(tabs.pages.index(sending))
    run._began -= 1000
    tabs.add()
    window.requests.send_or_stop()
    assert window.notice_bar.isVisible()
    tabs.show_page(sending)
    assert window.response._elapsed_s >= 1000
    await hand.until(lambda: not window.requests.running, "the end")
    assert run.state.phase == "done"
    assert "sending" not in tabs.bar.accessibleTabName(tabs.pages.index(sending))


async def test_an_empty_prompt_is_neither_sent_nor_verified(session: Session) -> None:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("user", ""),)))
    for send in (window.requests.send_or_stop, window.requests.verify):
        send()
        assert not window.requests.running


async def test_a_deleted_request_is_no_longer_shown(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    run_id = window.requests.shown_run_id
    assert run_id is not None
    assert session.workspace.log is not None
    await session.workspace.log.delete([run_id])
    await hand.until(lambda: window.requests.shown_run_id is None, "nothing shown")
    assert window.requests.current is None


async def test_alt_and_a_letter_opens_a_menu_and_types_nothing(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.focus_editor()
    before = window.prompt.document()
    await hand.press(Qt.Key.Key_Z, Qt.KeyboardModifier.AltModifier)
    assert window.prompt.document() == before
    titles = [action.text() for action in window.menu_row.menus.actions()]
    assert titles == ["&File", "&Edit", "&View", "&Request", "&Help"]


async def test_each_tab_has_its_own_collapsed_messages(session: Session, hand: UiDriver) -> None:
    tab, files = session.window.prompt.prompt_tab, session.window.files
    assert tab.collapsed == {0, 1}  # the sample's, so that its boundary is in view
    sample = files.tabs.page
    files.new_tab()
    assert tab.collapsed == frozenset()
    other = files.tabs.page
    tab.cards[1].set_collapsed(True)
    files.tabs.show_page(sample)
    assert tab.collapsed == {0, 1}
    files.tabs.show_page(other)
    assert tab.collapsed == frozenset({1} - {other.cursor[0]})
    tab.cards[0].set_collapsed(True)
    session.window.prompt.set_document(Document(name="another", messages=(Message("user", "Hello?"),)))
    assert tab.collapsed == frozenset()

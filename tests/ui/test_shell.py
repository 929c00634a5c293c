"""Accessible names of all controls, keys that the user changes, pictures of charts, notices of ended requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAccessible, QAccessibleInterface, QClipboard, QImage
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QTableWidget, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.client.endpoint import PLANS
from playground.client.retry import Load
from playground.requestlog.records import RecoveryProgress
from playground.ui.actions import ACTIONS
from playground.ui.appearance import tab_stops
from playground.ui.dialogs.palette import CommandPalette, KeysSheet
from playground.ui.edges import MenuRow, StatusBar
from playground.ui.session import Session
from playground.ui.theme import load_theme
from playground.ui.widgets import notice
from playground.ui.widgets.figure_row import SCALE, Chart, Series
from playground.ui.widgets.notice import LONG_S
from tests.ui.conftest import Tell
from tests.ui.test_window import _send

CONTROLS = frozenset(
    (
        QAccessible.Role.Button,
        QAccessible.Role.ButtonMenu,
        QAccessible.Role.CheckBox,
        QAccessible.Role.ComboBox,
        QAccessible.Role.EditableText,
        QAccessible.Role.Link,
        QAccessible.Role.List,
        QAccessible.Role.PageTab,
        QAccessible.Role.PageTabList,
        QAccessible.Role.RadioButton,
        QAccessible.Role.Slider,
        QAccessible.Role.SpinBox,
        QAccessible.Role.Table,
        QAccessible.Role.Tree,
    )
)


def _holds(clipboard: QClipboard, part: str) -> bool:
    return part in clipboard.text().lower()


def controls(top: QAccessibleInterface) -> Iterator[QAccessibleInterface]:
    waiting = [top]
    while waiting:
        item = waiting.pop()
        if item is None or not item.isValid() or item.state().invisible:
            continue
        if item.role() in CONTROLS:
            yield item
        if item.role() not in (QAccessible.Role.Table, QAccessible.Role.Tree, QAccessible.Role.List):
            waiting += [item.child(place) for place in range(item.childCount())]


def _name(widget: QWidget) -> str:
    return QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)


def nameless(widget: QWidget) -> list[str]:
    found = []
    for item in controls(QAccessible.queryAccessibleInterface(widget)):
        if not item.text(QAccessible.Text.Name):
            what: QObject | None = item.object()
            parents = []
            while what is not None and what is not widget:
                parents.append(type(what).__name__)
                what = what.parent()
            found.append(f"{item.role().name}: {' < '.join(parents)}")
    return found


async def test_every_control_of_the_window_has_an_accessible_name(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    window.files.new_tab()
    window.prompt.show_find(replacing=True)
    seen = 0
    for tabs in (window.prompt.tabs, window.response.tabs, window.inspector.tabs):
        for place in range(tabs.count()):
            tabs.setCurrentIndex(place)
            await asyncio.sleep(0.02)
            seen = max(seen, len(list(controls(QAccessible.queryAccessibleInterface(window)))))
            assert nameless(window) == [], tabs.tabText(place)
    assert seen > 30


async def test_tab_reaches_every_pane_in_reading_order_and_only_named_widgets(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    for card in window.prompt.prompt_tab.cards:
        card.set_collapsed(False)
    for stop in tab_stops(window):
        stop.setFocus()  # after that, Qt lets Tab reach only the checked one of exclusive buttons
    stops = list(tab_stops(window))
    assert [type(stop).__name__ for stop in stops if not _name(stop)] == []
    panes = (window.top, window.prompt, window.response, window.inspector, window.log)
    first = [next(at for at, stop in enumerate(stops) if pane.isAncestorOf(stop)) for pane in panes]
    assert first == sorted(first)
    texts = [stops.index(card.text) for card in window.prompt.prompt_tab.cards if not card.collapsed]
    assert texts == sorted(texts)
    stops[0].setFocus()
    for stop in (*stops[1:], stops[0]):
        assert window.focusNextPrevChild(True)
        assert window.focusWidget() is stop
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Backtab, Qt.KeyboardModifier.ShiftModifier)
    assert window.focusWidget() is stops[-1]
    cards = window.prompt.prompt_tab.cards
    cards[-1].text.setFocus()
    document = window.prompt.document()
    window.prompt.set_document(replace(document, messages=document.messages[:2]))
    assert window.focusWidget() is cards[1].text
    window.prompt.tabs.setCurrentIndex(1)  # hides the text: the focus stays in the pane
    assert window.prompt.isAncestorOf(window.focusWidget())


async def _check_names_of_dialog(session: Session, hand: UiDriver, action: str) -> None:
    """Open a dialog or a page, check the name of each control, and close it."""
    window = session.window
    before = set(QApplication.topLevelWidgets())

    def opened() -> list[QWidget]:
        page = window.area.panel.page
        windows = [w for w in QApplication.topLevelWidgets() if w.isVisible() and w not in before]
        return windows if page is None else [*windows, window.area.panel]

    window.actions_table[action].trigger()
    await hand.until(lambda: bool(opened()), f"dialog or page of {action}")
    unnamed = [control for dialog in opened() for control in nameless(dialog)]
    assert (action, unnamed) == (action, [])
    window.area.panel.close_page()
    for dialog in opened():
        dialog.close()
    await hand.until(lambda: not opened(), f"the end of {action}")


async def test_every_control_of_a_dialog_has_an_accessible_name(session: Session, hand: UiDriver) -> None:
    for action in ("settings", "keys", "connect", "about", "cache_lab", "repeat", "replay", "guide"):
        await _check_names_of_dialog(session, hand, action)


def _sheet(session: Session) -> KeysSheet:
    session.window.program.keys_sheet()
    return next(sheet for sheet in session.window.findChildren(KeysSheet) if sheet.isVisible())


def _choose(table: QTableWidget, action: str) -> None:
    table.setCurrentCell(next(row for row, spec in enumerate(ACTIONS) if spec.id == action), 1)


def test_a_changed_key_works_at_once_and_after_a_restart(tell: Tell) -> None:
    async def first(session: Session, _hand: UiDriver) -> None:
        sheet = _sheet(session)
        _choose(sheet.table, "theme")
        sheet.key.setKeySequence("Ctrl+Alt+9")
        sheet.set_key.click()
        sheet.close()
        before = session.appearance.theme.name
        QTest.keyClick(
            session.window, Qt.Key.Key_9, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
        )
        assert session.appearance.theme.name != before

    async def second(session: Session, _hand: UiDriver) -> None:
        assert session.window.actions_table["theme"].shortcut().toString() == "Ctrl+Alt+9"
        sheet = _sheet(session)
        _choose(sheet.table, "theme")
        sheet.default.click()
        assert session.workspace.settings.get("shortcuts") == {}
        assert session.window.actions_table["theme"].shortcut().toString() == "Ctrl+Shift+L"

    tell(first)
    tell(second)


@pytest.mark.parametrize("taken", ["Ctrl+S", "Ctrl+D"])
async def test_a_key_of_another_action_is_refused(session: Session, taken: str) -> None:
    sheet = _sheet(session)
    _choose(sheet.table, "theme")
    sheet.key.setKeySequence(taken)
    sheet.set_key.click()
    assert sheet.clash.isVisible()
    assert session.window.actions_table["theme"].shortcut().toString() == "Ctrl+Shift+L"
    assert session.workspace.settings.get("shortcuts") == {}


async def test_palette_goes_to_a_view_and_to_an_open_prompt(session: Session, hand: UiDriver) -> None:
    window = session.window
    first = window.files.tabs.page
    window.files.new_tab()
    for label, done in (
        ("Prompt: Tools", lambda: window.prompt.tabs.currentIndex() == 1),
        (f"Go to prompt: {first.name}", lambda: window.files.tabs.page is first),
        ("Message: Duplicate", lambda: len(window.prompt.prompt_tab.cards) == 3),
    ):
        window.program.palette()
        palette = next(found for found in window.findChildren(CommandPalette) if found.isVisible())
        palette.line.setText(label)
        QTest.keyClick(palette.line, Qt.Key.Key_Return)
        await hand.until(done, label)


def chart() -> Chart:
    made = Chart("Tokens", lambda work, _name: work.close())
    made.resize(400, 200)
    made.show_series([Series("cached", ((0, 1), (1, 3)), "warm_edge", joined=True)], "min", "tokens")
    return made


def test_chart_is_saved_as_png_and_svg(qapp: QApplication, tmp_path: Path) -> None:
    made = chart()
    asyncio.run(made.save(tmp_path / "a.png"))
    asyncio.run(made.save(tmp_path / "a.svg"))
    image = QImage(str(tmp_path / "a.png"))
    assert (image.width(), image.height()) == (400 * SCALE, 200 * SCALE)
    colors = {image.pixelColor(x, y).name() for x in range(0, 800, 2) for y in range(0, 400, 2)}
    assert load_theme("light").warm_edge.name() in colors
    svg = (tmp_path / "a.svg").read_bytes()
    assert QSvgRenderer(svg).isValid()
    assert load_theme("light").warm_edge.name().encode() in svg


def test_chart_that_cannot_be_written_reports_it(qapp: QApplication, tmp_path: Path) -> None:
    made, said = chart(), list[str]()
    made.notice.connect(said.append)
    asyncio.run(made.save(tmp_path / "missing" / "a.png"))
    assert len(said) == 1
    assert "a.png" in said[0]


def test_status_bar_shows_the_recovery_until_it_ends(qapp: QApplication) -> None:
    bar = StatusBar()
    bar.show_recovery(RecoveryProgress(120, 4_000))
    assert "120 of 4,000" in bar._recovery.text()
    bar.show_recovery(RecoveryProgress(4_000, 4_000))
    assert bar._recovery.text() == ""
    bar.show_recovery(RecoveryProgress(3_998, 4_000, 2))
    assert "2" in bar._recovery.text()


def test_status_bar_names_more_requests_than_the_plan_allows(qapp: QApplication) -> None:
    bar, plan = StatusBar(), PLANS["standard"]
    bar.show_load(Load(2, 10), plan)
    assert (bar._in_flight.text(), bar._minute.text()) == ("2 of 3 in flight", "10 of 10 this minute")
    bar.show_load(Load(5, 15), plan)
    assert bar._in_flight.text() == "5 in flight, more than the plan's 3"
    assert bar._minute.text() == "15 this minute, more than the plan's 10"
    assert "recorded programs are never delayed" in bar._minute.toolTip()
    assert bar._minute.minimumSizeHint().width() < bar._minute.sizeHint().width() / 2  # the tooltip has all of it
    bar.show_load(Load(5, 15), PLANS["none"])
    assert (bar._in_flight.text(), bar._minute.text()) == ("5 in flight", "15 this minute")


async def test_a_long_request_that_ends_in_the_background_is_notified(
    session: Session, hand: UiDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = session.window
    await _send(session, hand)
    dispatch = window.requests.current
    assert dispatch is not None
    badges: list[int] = []  # Qt's offscreen platform has no badge to read back
    monkeypatch.setattr(notice, "_badge", badges.append)
    for seconds, active, told in ((9.9, False, False), (60, True, False), (LONG_S, False, True)):
        monkeypatch.setattr(window, "isActiveWindow", lambda active=active: active)
        badges.clear()
        window.end_notice.last = ""
        dispatch.run.state.ended_at = seconds
        window.requests.ended.emit(dispatch.run)
        assert bool(window.end_notice.last) == told
        assert badges == ([1] if told else [])
        window.requests.ended.emit(dispatch.run)
        monkeypatch.setattr(window, "isActiveWindow", lambda: True)
        QApplication.sendEvent(window, QEvent(QEvent.Type.ActivationChange))
        assert badges == ([1, 2, 0] if told else [])
        assert window.end_notice.unseen == 0


async def test_pasted_words_that_are_no_ids_are_named_at_the_filter(session: Session, hand: UiDriver) -> None:
    log = session.window.log
    first, second = "6301ec8b-cb7c-4730-bdad-5bdd4d7d429d", "16c0d7a7-c0b3-4bd2-b955-a81d9c0901d2"
    log.filter_line.setText(f"{first} 42ab {second}")
    await hand.until(lambda: "42ab" in log.wrong.text() and first in log.wrong.text(), "both kinds of ids")
    assert log.wrong.isVisible()


async def test_escape_in_the_response_pane_returns_from_a_logged_request(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    first = window.requests.shown_run_id
    await _send(session, hand)
    newest = window.requests.shown_run_id
    assert first is not None
    window.requests.open_logged(first)
    await hand.until(lambda: window.requests.shown_run_id == first, "the first request")
    window.response.take_focus()
    QTest.keyClick(window.response.tabs, Qt.Key.Key_Escape)
    assert window.requests.shown_run_id == newest


async def test_row_menu_sends_again_and_copies_code(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    first = window.requests.current
    await hand.until(lambda: window.log.current_run_id() is not None, "the row")
    clipboard = QApplication.clipboard()
    for name, part in (("curl", "curl"), ("python", "openai"), ("httpx", "httpx"), ("javascript", "fetch")):
        clipboard.setText("")
        window.log.table.asked.emit(name)
        await hand.until(partial(_holds, clipboard, part), name)
    window.log.table.asked.emit("resend")
    await hand.until(lambda: window.requests.current is not first and not window.requests.running, "the second")
    assert first is not None
    assert window.requests.current is not None
    assert window.requests.current.run.request.body == first.run.request.body


def test_button_of_the_menus_without_room_has_a_name_and_an_icon(qtbot: QtBot) -> None:
    row = MenuRow()
    qtbot.addWidget(row)
    (more,) = row.menus.findChildren(QToolButton)
    assert more.accessibleName()
    assert not more.icon().isNull()
    row.set_menus([QMenu(title, row) for title in ("File", "Edit", "View")])
    row.menus.setFixedWidth(60)
    row.show()
    qtbot.waitUntil(more.isVisible)
    assert more.width() >= 24
    assert row.menus.rect().contains(more.geometry())

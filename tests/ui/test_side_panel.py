"""Side panel: tools open as tabs beside the work, within the window's width, and close by any key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from playground.cli.selftest import UiDriver
from playground.ui.dialogs.cache_lab import CacheLabDialog
from playground.ui.dialogs.guide import GuideDialog
from playground.ui.main_window import MainWindow
from playground.ui.session import Session
from playground.ui.window_state import MIN_PROMPT_PX

Story = Callable[..., None]
PAGES = ("cache_lab", "replay", "guide", "voice", "chain", "repeat")
"""Actions that open a page."""


def _has_width_of(page: QWidget, panel: QWidget) -> bool:
    return page.width() == panel.width()


def shown(window: MainWindow) -> list[bool]:
    return [pane.isVisible() for pane in (window.prompt, window.response, window.inspector, window.log)]


async def test_side_panel_every_page_opens_beside_the_work_without_a_window(session: Session, hand: UiDriver) -> None:
    for size in ((1000, 700), (1280, 800), (1920, 1080)):
        await _open_every_page(session, hand, size)
        while session.window.area.panel.isVisible():
            session.window.area.panel.close_page()


async def _open_every_page(session: Session, hand: UiDriver, size: tuple[int, int]) -> None:
    window = session.window
    window.resize(*size)
    await hand.until(lambda: (window.width(), window.height()) == size, "the size")
    before = {one for one in QApplication.topLevelWidgets() if one.isVisible()}
    for number, name in enumerate(PAGES, 1):
        window.actions_table[name].trigger()
        panel = window.area.panel
        assert panel.isVisible()
        assert panel.tabs.count() == number
        page = panel.page
        assert isinstance(page, QDialog)
        assert page.isVisible()
        assert page.minimumSizeHint().width() <= 440
        await hand.until(partial(_has_width_of, page, panel), "the page's width")
    assert {one for one in QApplication.topLevelWidgets() if one.isVisible()} == before
    assert (window.width(), window.height()) == size
    assert shown(window)[0]
    assert window.area.sizes()[0] >= 480


async def test_side_panel_beside_versions_leaves_room_for_the_prompt(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1500, 850)
    window.actions_table["versions"].trigger()
    window.actions_table["cache_lab"].trigger()
    panel = window.versions.panel
    assert panel is not None
    await hand.until(lambda: panel.isVisible() and window.area.panel.isVisible(), "both panels")
    assert window.prompt.width() >= MIN_PROMPT_PX
    window.actions_table["versions"].trigger()
    assert shown(window)[0]


async def test_side_panel_narrow_work_hides_panes_and_closing_restores_them(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1280, 800)
    assert shown(window) == [True] * 4
    sizes = window.prompt.width(), window.response.width()
    window.actions_table["guide"].trigger()
    assert shown(window) == [True, True, False, True]
    window.resize(1000, 700)
    await hand.until(lambda: shown(window) == [True, False, False, True], "the prompt alone")
    window.resize(1280, 800)
    await hand.until(lambda: window.response.isVisible(), "the response again")
    assert window.area.panel.page is not None
    QTest.keyClick(window.area.panel.page, Qt.Key.Key_Escape)
    await hand.until(lambda: window.area.panel.isHidden(), "the panel's end")
    await hand.until(lambda: shown(window) == [True] * 4, "all panes")
    assert abs(window.prompt.width() - sizes[0]) <= 2
    assert abs(window.response.width() - sizes[1]) <= 2


async def test_side_panel_in_a_wide_window_divides_the_rest_in_proportion(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1920, 1080)
    before = [window.prompt.width(), window.response.width(), window.inspector.width()]
    window.actions_table["guide"].trigger()
    await hand.until(lambda: window.prompt.width() < before[0], "the columns")
    after = [window.prompt.width(), window.response.width(), window.inspector.width()]
    assert after[0] / after[1] == pytest.approx(before[0] / before[1], rel=0.2)  # the inspector keeps its least width
    window.area.panel.close_page()
    await hand.until(lambda: window.prompt.width() == before[0], "the columns as before")


async def test_side_panel_escape_in_the_tab_bar_closes_the_page_on_display_only(session: Session) -> None:
    window = session.window
    window.actions_table["cache_lab"].trigger()
    window.actions_table["guide"].trigger()
    panel = window.area.panel
    assert isinstance(panel.page, GuideDialog)
    panel.tabs.setFocus()
    QTest.keyClick(panel.tabs, Qt.Key.Key_Escape)
    assert isinstance(panel.page, CacheLabDialog)
    assert panel.tabs.count() == 1


async def test_side_panel_escape_on_the_last_page_returns_the_focus(session: Session) -> None:
    window = session.window
    window.resize(1280, 800)
    window.activateWindow()
    for before in ("editor", "filter", "gone"):
        window.prompt.focus_editor()
        editor = window.focusWidget()
        if before == "filter":
            window.log.focus_filter()
        had = editor if before == "gone" else window.focusWidget()
        window.actions_table["guide"].trigger()
        if before == "gone":
            window.area._focus_before = None
        assert window.area.panel.page is not None
        QTest.keyClick(window.area.panel.page, Qt.Key.Key_Escape)
        assert window.area.panel.isHidden()
        assert window.focusWidget() is had, before


async def test_side_panel_page_opened_twice_is_one_tab_and_a_running_one_goes_on(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    panel = window.area.panel
    for _ in range(2):
        window.actions_table["guide"].trigger()
        window.actions_table["cache_lab"].trigger()
    assert panel.tabs.count() == 2
    lab = panel.page
    assert isinstance(lab, CacheLabDialog)
    lab.go.click()
    await hand.until(lambda: lab.running, "the experiment")
    window.actions_table["guide"].trigger()
    window.actions_table["cache_lab"].trigger()
    assert panel.page is lab
    lab.go.click()
    await hand.until(lambda: not lab.running, "its end")


async def test_side_panel_from_another_mode_opens_in_prompt_mode_and_f6_reaches_it(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    window.modes.show_mode("batch")
    window.actions_table["guide"].trigger()
    assert window.modes.current == "prompt"
    page = window.area.panel.page
    assert isinstance(page, GuideDialog)
    window.activateWindow()
    await hand.until(lambda: page.isAncestorOf(window.focusWidget()), "the focus in the page")
    window.prompt.take_focus()
    for _ in range(4):
        window.actions_table["next_pane"].trigger()
        if page.isAncestorOf(window.focusWidget()):
            return
    raise AssertionError("F6 does not reach the side panel")


async def test_panes_hidden_and_maximised_are_remembered(session: Session) -> None:
    window, settings = session.window, session.workspace.settings
    window.resize(1400, 900)
    window.actions_table["toggle_log"].trigger()
    assert shown(window) == [True, True, True, False]
    window.actions_table["toggle_response"].trigger()
    assert shown(window) == [True, False, True, False]
    assert settings.text("hidden_panes") == "log,response"
    window.actions_table["toggle_response"].trigger()
    assert settings.text("hidden_panes") == "log"
    window.response.take_focus()
    window.actions_table["maximise"].trigger()
    assert shown(window) == [False, True, False, False]
    assert settings.text("maximised_pane") == "response"
    window.actions_table["maximise"].trigger()
    window.actions_table["toggle_log"].trigger()
    assert shown(window) == [True] * 4
    assert (settings.text("hidden_panes"), settings.text("maximised_pane")) == ("", "")


async def test_window_fits_a_small_screen_in_every_mode(session: Session, hand: UiDriver) -> None:
    window = session.window
    for name in ("mode_compare", "mode_batch", "mode_recorder", "mode_prompt", "cache_lab"):
        window.actions_table[name].trigger()
        window.resize(960, 540)  # 1920×1080 at a scale factor of 2
        await hand.until(lambda: window.top.width() == 960, "the layout")
        assert (window.width(), window.height()) == (960, 540), name
        row = window.top.layout()
        assert row is not None
        assert row.sizeHint().width() <= 960, name

"""Keep-warm in the real window against the simulator: requests in the log, limits, and the end by an edit."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QPushButton

from playground.cli.selftest import UiDriver
from playground.requestlog.filter import EVERYTHING
from playground.ui.controllers.keep_warm import KeepWarmController
from playground.ui.dialogs.settings import SettingsDialog
from playground.ui.session import Session
from tests.ui.test_files import type_first
from tests.ui.test_window import _send

LIFETIME_S = 30


async def _start(keep: KeepWarmController, hand: UiDriver) -> None:
    dialog = keep.ask()
    assert dialog is not None
    dialog.go.click()
    await hand.until(lambda: keep.active, "keeping warm")


async def test_keep_warm_refreshes_the_prefix_within_limits_and_ends_when_the_prompt_changes(
    session: Session, hand: UiDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Due after 0.3 s of the lifetime; tests/runs/test_keep_warm.py checks the interval.
    monkeypatch.setattr("playground.runs.keep_warm.SHARE", 0.01)
    window = session.window
    keep, bar = window.keep_warm, window.prompt.warm_bar
    await _send(session, hand)
    assert keep.ask() is None  # the lifetime is an assumption of the program: no offer
    assert [button.text() for button in window.notice_bar._buttons] == ["Cache lab…", "Settings…", "Dismiss"]
    window.notice_bar.press("Settings…")
    settings = window.findChild(SettingsDialog)
    assert settings is not None
    settings.reject()
    session.workspace.settings.set("cache_lifetime_s", LIFETIME_S)
    await _send(session, hand)
    window.requests.refresh_forecast()
    assert window.prompt.axes is not None
    assert window.prompt.axes.state.startswith("warm, ≈ ")
    dialog = keep.ask()
    assert dialog is not None
    dialog.requests.setValue(2)
    dialog.go.click()
    await hand.until(lambda: keep.active, "keeping warm")
    await hand.until(lambda: not keep.active, "the limit of two requests")
    keep.refresh()
    assert bar.isVisible()
    log = session.workspace.log
    assert log is not None
    rows = await log.page(EVERYTHING)
    kept = [row for row in rows if row.source == "keep_warm"]
    assert len(kept) == 2
    assert all(row.completion_tokens == 1 and row.cached_tokens for row in kept)
    keep.refresh()
    await _start(keep, hand)
    await type_first(window, hand, "Changed. ")
    assert not keep.active
    assert bar.isVisible()
    bar.press("Dismiss")
    assert bar.isHidden()
    await _send(session, hand)
    window.requests.refresh_forecast()
    await _start(keep, hand)
    window.program.endpoint_edited.emit()
    assert not keep.active
    await _start(keep, hand)
    page = window.files.tabs.page
    window.files.new_tab()
    assert len(keep.sessions) == 1
    window.files.tabs.remove(page)
    assert len(keep.sessions) == 0


async def test_stop_keeps_the_focus_while_keep_warm_counts_down(session: Session, hand: UiDriver) -> None:
    bar = session.window.prompt.warm_bar
    bar.show_message("Keeping the cache warm: next in 9 s", [("Stop", lambda: None)])
    stop = bar.findChild(QPushButton)
    assert stop is not None
    stop.setFocus()
    pressed = list[str]()
    bar.show_message("Keeping the cache warm: next in 8 s", [("Stop", lambda: pressed.append("8 s"))])
    assert session.window.focusWidget() is stop
    stop.click()
    assert pressed == ["8 s"]

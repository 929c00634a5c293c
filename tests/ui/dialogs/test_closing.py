"""However a dialog with running work is closed, the work stops, nothing is sent after it, and no task fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog

from playground.cli.selftest import UiDriver
from playground.experiments.lab import plan_repeats
from playground.prompt.document import Document, Json, Message
from playground.requestlog.filter import EVERYTHING
from playground.ui.dialogs.cache_lab import CacheLabDialog
from playground.ui.dialogs.repeat import RepeatDialog
from playground.ui.session import Session
from playground.ui.widgets.task_dialog import TaskDialog
from tests.agent.dialogue import ANSWER, calls, prompt

Story = Callable[..., None]
SLOW: dict[str, Json] = {"simulate": "token_ms=200", "max_tokens": 200}
CLOSE: dict[str, Callable[[QDialog], object]] = {
    "escape": lambda dialog: QTest.keyClick(dialog, Qt.Key.Key_Escape),
    "close": lambda dialog: dialog.close(),
}


def _repeat(session: Session) -> TaskDialog:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("user", "Hi"),), parameters=SLOW))
    window.actions_table["repeat"].trigger()
    dialog = window.area.panel.page
    assert isinstance(dialog, RepeatDialog)
    dialog.times.setValue(20)
    dialog.at_once.setValue(2)
    dialog.go.click()
    return dialog


def _lab(session: Session) -> TaskDialog:
    dialog = session.window.program.cache_lab(session.window.requests)
    assert isinstance(dialog, CacheLabDialog)
    dialog.use_plan(plan_repeats(20))
    dialog.go.click()
    return dialog


def _agent(session: Session) -> TaskDialog:
    window = session.window
    document = prompt([[calls(5, "get_balance")], ANSWER])
    window.prompt.set_document(
        replace(document, name="test", parameters={**document.parameters, "simulate": "slow_headers=60000"})
    )
    assert window.answers
    return window.chaining.run()


@pytest.mark.parametrize("way", list(CLOSE))
@pytest.mark.parametrize("opened", [_repeat, _lab, _agent])
async def test_dialog_closed_while_running_stops_and_sends_nothing_after(
    session: Session, hand: UiDriver, opened: Callable[[Session], TaskDialog], way: str
) -> None:
    window, log = session.window, session.workspace.log
    assert log is not None
    assert window.answers
    dialog = opened(session)
    gone: list[bool] = []
    dialog.destroyed.connect(lambda: gone.append(True))
    running = session.workspace.sender.running
    await hand.until(lambda: bool(running), "a request in flight")
    CLOSE[way](dialog)
    await hand.until(lambda: not running and bool(gone), "the end of the work")
    sent = (await log.count(EVERYTHING)).n
    await asyncio.sleep(0.15)  # longer than two requests to the simulator take
    assert (await log.count(EVERYTHING)).n == sent
    assert not running
    assert "RuntimeError" not in window.notice_bar.words

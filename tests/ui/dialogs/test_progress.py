"""Long work displays its progress and can be stopped; short work opens no dialog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from playground.cli.selftest import UiDriver
from playground.ui.controllers.log_actions import ProgressDialog, watched
from playground.ui.session import Session


def _dialog() -> ProgressDialog | None:
    found = (w for w in QApplication.topLevelWidgets() if isinstance(w, ProgressDialog) and w.isVisible())
    return next(found, None)


async def test_it_opens_when_it_takes_long_and_is_stopped_by_button_and_by_escape(
    session: Session, hand: UiDriver
) -> None:
    results: list[int | None] = []

    async def endless(progress: Callable[[int], None]) -> int:
        progress(3)
        await asyncio.Event().wait()
        return 3

    async def work() -> None:
        results.append(await watched(session.window, "Export", 10, endless))

    for number, key in enumerate((Qt.Key.Key_Space, Qt.Key.Key_Escape), 1):
        session.workspace.tasks.start(work(), "work")
        await hand.until(lambda: _dialog() is not None, "the dialog")
        dialog = _dialog()
        assert dialog is not None
        assert dialog.said.text() == "3 of 10 requests"
        assert dialog.bar.value() == 3
        QTest.keyClick(dialog.stop_button, key)
        await hand.until(lambda number=number: len(results) == number, "the stop")  # type: ignore[misc]
        assert _dialog() is None
    assert results == [None, None]


async def test_what_is_done_at_once_opens_nothing(session: Session) -> None:
    async def quick(_progress: Callable[[int], None]) -> int:
        return 3

    assert await watched(session.window, "Import", None, quick) == 3
    assert _dialog() is None

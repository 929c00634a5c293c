"""Long work displays its progress and can be stopped; short work opens no dialog."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from playground.cli.selftest import UiDriver
from playground.ui.session import Session
from playground.ui.widgets.task_dialog import ProgressDialog, watched


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


@pytest.mark.parametrize("reader", ["batch", "compare", "controllers"])
async def test_a_file_that_takes_long_to_read_can_be_given_up(
    session: Session, hand: UiDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    go_on, window = threading.Event(), session.window
    monkeypatch.setattr(f"playground.ui.{reader}.files.read_regular", lambda *_: go_on.wait() and b"")
    said: list[str] = []
    path = tmp_path / ("prompt.json" if reader == "controllers" else "rows.csv")
    window.files.notice.connect(said.append)
    if reader == "controllers":
        window.files.open_path(path)
    else:
        window.modes.show_mode(reader)
    if reader == "batch":
        window.batch.files.said.connect(said.append)
        window.batch.files.open_file(path)
    elif reader == "compare":
        window.compare.files.notice.connect(said.append)
        session.workspace.tasks.start(window.compare.files.read_values(path), "read rows")
    await hand.until(lambda: _dialog() is not None, "the dialog")
    dialog = _dialog()
    assert dialog is not None
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    await hand.until(lambda: bool(said), "the end")
    go_on.set()
    assert said[0].startswith(f"Stopped: {path.name}")
    assert window.prompt.history.file.path is None

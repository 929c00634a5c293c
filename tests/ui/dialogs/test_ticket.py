"""The ticket dialog: the copied text has the values of the fields, also right after typing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from playground.requestlog.records import StoredRun
from playground.storage.settings import Settings
from playground.ui.dialogs import ticket as ticket_module
from playground.ui.dialogs.ticket import TicketDialog
from tests.requestlog.samples import answered, record


@pytest.mark.parametrize("beyond", [-1, 0, 1, 1_500])
def test_preview_is_cut_at_its_limit_and_says_how_much_is_left_out(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    dialog = TicketDialog(
        [StoredRun(record(), 1, "done", False, tuple(answered()))], Settings(tmp_path / "settings.json")
    )
    qtbot.addWidget(dialog)
    size = len(dialog._text)
    monkeypatch.setattr(ticket_module, "SHOWN", size - beyond)
    dialog._show()
    assert dialog.message.text().startswith(f"{size:,} characters.")
    dialog.copy.click()
    text = QGuiApplication.clipboard().text()
    assert len(text) == size
    left_out = f"\n… {beyond:,} characters more" if beyond > 0 else ""
    assert dialog.preview.toPlainText() == text[: size - beyond] + left_out


def test_what_was_just_typed_is_in_what_is_copied_and_saved(qtbot: QtBot, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    dialog = TicketDialog([StoredRun(record(), 1, "done", False, tuple(answered()))], settings)
    qtbot.addWidget(dialog)
    QTest.keyClicks(dialog.workspace, "ws-42")
    dialog.copy.click()
    assert "| workspace | ws-42 |" in QGuiApplication.clipboard().text()
    QTest.keyClicks(dialog.workspace, "7")
    dialog.save_to(tmp_path / "ticket.md")
    assert "| workspace | ws-427 |" in (tmp_path / "ticket.md").read_text("utf-8")
    assert settings.text("ticket_workspace") == "ws-427"
    QTest.keyClicks(dialog.workspace, "8")
    qtbot.waitUntil(lambda: "ws-4278" in dialog.preview.toPlainText())

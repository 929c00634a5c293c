"""Tools of a real server, chosen in the real window; the question for consent blocks nothing else."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QMessageBox

from playground.cli.selftest import UiDriver
from playground.prompt.document import Document, Message, Tool
from playground.tools.mcp_servers import ToolServerError
from playground.ui.dialogs.tool_server import ToolServerDialog
from playground.ui.session import Session

SERVER = Path(__file__).parents[1] / "tools" / "small_server.py"
STDIO = f'"{sys.executable}" "{SERVER}"'


async def _listed(session: Session, hand: UiDriver, server: str) -> ToolServerDialog:
    window = session.window
    dialog = window.program.tool_server_dialog(window.prompt, window.chaining.answer_by_server)
    dialog.server.setText(server)
    dialog.go.click()
    assert dialog.go.text() == "Stop"
    await hand.until(lambda: dialog.go.text() == "List its tools", "an answer of the server")
    return dialog


async def test_tools_are_listed_chosen_and_added_in_one_step(session: Session, hand: UiDriver) -> None:
    window = session.window
    before = window.prompt.document()
    dialog = await _listed(session, hand, STDIO)
    assert dialog.list.item(0).text() == "get_balance   Balance of an account."
    assert not dialog.add.isEnabled()
    many = tuple(Tool.of({"type": "function", "function": {"name": f"tool_{n}"}}) for n in range(64))
    window.prompt.set_document(replace(before, tools=many))  # Electron's limit, not that of each endpoint
    dialog.list.item(0).setCheckState(Qt.CheckState.Checked)
    dialog.add.click()
    assert [tool.name for tool in window.prompt.document().tools][-1] == "get_balance"
    again = await _listed(session, hand, STDIO)
    assert not again.list.item(0).flags() & Qt.ItemFlag.ItemIsEnabled
    again.close()
    window.prompt.undo()
    assert window.prompt.document() == replace(before, tools=many)
    assert session.workspace.settings.text("tool_server") == STDIO


async def test_tools_of_a_server_are_answered_by_it(session: Session, hand: UiDriver) -> None:
    window = session.window
    assert window.answers
    script = [
        [{"at_ms": 1, "call": {"name": "get_balance", "arguments": '{"account_id": "AC-7"}'}}],
        [{"at_ms": 1, "content": "Done."}],
    ]
    messages = (Message("user", "My balance?"),)
    window.prompt.set_document(Document("mine", messages=messages, parameters={"scenario": script}))  # type: ignore[dict-item]
    listed = await _listed(session, hand, STDIO)
    listed.list.item(0).setCheckState(Qt.CheckState.Checked)
    listed.add.click()
    dialog = window.chaining.run()
    await hand.until(lambda: _question() is not None, "the question")
    box = _question()
    assert box is not None
    box.buttons()[0].click()
    await hand.until(lambda: not dialog.running, "the answer")
    assert dialog.cards[0].call_rows[0].result.text() == "AC-7: ₹412"


async def test_secret_of_a_listed_server_is_a_placeholder_in_the_dialog_the_settings_and_the_mocks(
    session: Session, hand: UiDriver
) -> None:
    secret = "q7-Wm2x+Zk9/tLp4"
    dialog = await _listed(session, hand, f"{STDIO} --token {secret}")
    shown = dialog.server.text()
    assert shown.startswith(f"{STDIO} --token {{secret:")
    assert session.workspace.settings.text("tool_server") == shown
    dialog.list.item(0).setCheckState(Qt.CheckState.Checked)
    dialog.server.setText("another text, typed after the list came")
    dialog.add.click()
    mocks = session.window.chaining.service.book(session.window.prompt.document()).tools
    assert mocks["get_balance"].otherwise.text == shown
    await session.workspace.writer.flush()
    folder = session.workspace.folder
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert [path.name for path in files if secret.encode() in path.read_bytes()] == []


async def test_a_server_that_is_not_there_is_told_of(session: Session, hand: UiDriver) -> None:
    dialog = await _listed(session, hand, "no-such-program-at-all")
    assert "There is no program" in dialog.message.text()
    assert dialog.message.property("tone") == "failure"
    dialog.server.setText('python "')
    dialog.go.click()
    await hand.until(lambda: "cannot be read" in dialog.message.text(), "a sentence")
    dialog.close()


async def test_a_call_waits_for_consent_and_the_window_does_not(session: Session, hand: UiDriver) -> None:
    servers = session.workspace.tool_servers
    for agree in (False, True):
        call = asyncio.ensure_future(servers.call(STDIO, "get_balance", {"account_id": "A"}, "prompt"))
        await hand.until(lambda: _question() is not None, "the question")
        box = _question()
        assert box is not None
        assert STDIO in box.text()
        assert box.textFormat() is Qt.TextFormat.PlainText
        box.buttons()[0 if agree else 1].click()
        if agree:
            assert await call == "A: ₹412"
        else:
            with pytest.raises(ToolServerError, match="did not allow"):
                await call


def _question() -> QMessageBox | None:
    return next((w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox) and w.isVisible()), None)

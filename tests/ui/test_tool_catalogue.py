"""The catalogue in the real window: from a template to what its calls return, and to a server's tools."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication

from playground.cli.selftest import UiDriver
from playground.ui.agent.dialog import AgentDialog
from playground.ui.dialogs.tool_server import ToolServerDialog
from playground.ui.panes.prompt.pane import TOOLS
from playground.ui.session import Session


async def test_a_template_leads_to_what_it_returns_and_to_a_servers_tools(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.tabs.setCurrentIndex(TOOLS)
    tab = window.prompt.tools_tab
    tab.bar.menu.aboutToShow.emit()
    offered = {action.text(): action for action in tab.bar.menu.actions()}
    offered["Book an appointment"].trigger()
    assert window.prompt.document().tools[-1].name.startswith("book_appointment")
    card = tab.cards[-1]
    assert card.answers.isVisible()
    assert card.form is not None
    assert card.form.name.hasFocus()
    card.answers.click()
    dialog = window.chaining.dialog
    assert isinstance(dialog, AgentDialog)
    item = dialog.answers.list.currentItem()
    assert item is not None
    assert item.text().startswith(card.tool.name)
    dialog.close()
    offered["From an MCP server…"].trigger()
    opened = [one for one in QApplication.topLevelWidgets() if isinstance(one, ToolServerDialog)]
    assert len(opened) == 1
    assert opened[0].isVisible()
    opened[0].close()


async def test_a_tool_that_the_shown_conversation_lacks_is_said_to_be_none_of_it(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    window.prompt.tabs.setCurrentIndex(TOOLS)
    dialog = window.chaining.show_answers("no_such_tool")
    assert "no_such_tool is no tool of this conversation" in dialog.state.text()
    dialog.close()

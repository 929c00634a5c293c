"""Import tools from a Model Context Protocol server: enter its address, list its tools, select some."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QListWidgetItem, QWidget

from playground.prompt.document import Document, Tool
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted
from playground.storage.server_secrets import ServerSecrets
from playground.storage.settings import Settings
from playground.tasks import Start
from playground.tools.mcp_servers import ToolServerError
from playground.ui.theme import restyle
from playground.ui.widgets.form import line_edit, list_box
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import row_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.task_dialog import TaskDialog, button_box, fill_dialog

HINT = "python my_server.py   or   http://localhost:8000/mcp"


class ToolServerDialog(TaskDialog):
    """`fetch` gives a server's tools; `document` is the current prompt."""

    added = Signal(tuple)
    """The chosen tools."""

    def __init__(
        self,
        fetch: Callable[[str], Coroutine[Any, Any, tuple[Tool, ...]]],
        document: Callable[[], Document],
        settings: Settings,
        secrets: ServerSecrets,
        start: Start,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Tools from an MCP server")
        self._fetch, self._document, self._settings, self._start = fetch, document, settings, start
        self._task: asyncio.Task[None] | None = None
        self._tools: tuple[Tool, ...] = ()
        self._secrets = secrets
        self.listed = ""
        """The text of the server whose tools are listed, with placeholders for its secrets."""
        address = secrets.hide(settings.text("tool_server"))
        self.server = line_edit("Command line or address of the server", HINT, address)
        self.server.returnPressed.connect(self._toggle)
        self.go = push_button("", clicked=self._toggle)
        self.go.setAutoDefault(False)
        self.message = words("")
        self.list = list_box("Tools of the server")
        self.list.itemChanged.connect(lambda _item: self._show_selection())
        self.add = push_button("Add to the prompt", "primary", self._add)
        self.add.setAutoDefault(False)
        self._lay_out()
        self._show_busy()
        self._show_selection()

    def _lay_out(self) -> None:
        row = row_of((self.server, 1), self.go)
        buttons = button_box(self.close, self.add)
        fill_dialog(
            self,
            (640, 480),
            words(
                "A command line is started on this machine, with your rights and without your API key; an address is "
                "reached over HTTP. This dialog requests only the list of tools."
            ),
            row,
            self.message,
            (self.list, 1),
            buttons,
        )

    def _toggle(self) -> None:
        if self._task is not None:
            self._task.cancel()
            return
        self.list.clear()
        self._tools = ()
        self._show_selection()
        self._update_text("Asking for its tools…")
        self._task = self._start(self._ask(self.server.text()), "list the tools of a server")
        self._show_busy()

    async def _ask(self, server: str) -> None:
        stored = self._secrets.hide(server.strip())
        try:
            self._show(await self._fetch(stored))
            self.listed = stored
            if stored != server.strip():
                self.server.setText(stored)
            self._settings.set("tool_server", stored)
            self._secrets.keep(stored)
            if error := await self._secrets.flush():
                self._update_text(f"{self.message.text()} {error}")
        except InputError as bad:
            self._update_text(str(bad), "failure")
        except ToolServerError as failed:
            self._update_text(str(failed), "failure")
        except asyncio.CancelledError:
            self._update_text("Stopped.")
            raise
        finally:
            self._task = None
            self._show_busy()

    def _show(self, tools: tuple[Tool, ...]) -> None:
        self._tools = tools
        taken = {tool.name for tool in self._document().tools}
        self._update_text(f"{counted(len(tools), 'tool')}. Each that is added is input on every turn.")
        for tool in tools:
            item = QListWidgetItem(f"{tool.name}   {_description(tool)}", self.list)
            if tool.name in taken:
                item.setText(f"{tool.name}   (the prompt has a tool of this name)")
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            else:
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(Qt.CheckState.Unchecked)
        self.list.setCurrentRow(0)
        self.list.setFocus()

    def chosen(self) -> tuple[Tool, ...]:
        """Return the tools that are checked, in the server's order."""
        return tuple(
            tool
            for number, tool in enumerate(self._tools)
            if self.list.item(number).checkState() is Qt.CheckState.Checked
        )

    def _show_selection(self) -> None:
        chosen = len(self.chosen()) if self.list.count() == len(self._tools) else 0
        self.add.setText(f"Add {chosen} to the prompt" if chosen else "Add to the prompt")
        self.add.setEnabled(chosen > 0)

    def _add(self) -> None:
        self.added.emit(self.chosen())
        self.accept()

    def _update_text(self, sentence: str, tone: str = "") -> None:
        self.message.setText(sentence)
        restyle(self.message, tone=tone)

    def _show_busy(self) -> None:
        self.go.setText("Stop" if self._task is not None else "List its tools")

    def work(self) -> tuple[asyncio.Task[None] | None, ...]:
        return (self._task,)


def _description(tool: Tool) -> str:
    function = tool.definition.get("function")
    description = function.get("description", "") if isinstance(function, dict) else ""
    return " ".join(str(description).split())[:120]

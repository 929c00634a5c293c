"""Tools: each definition as JSON; the prompt keeps the last one that was right."""

from __future__ import annotations

import json

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from playground.prompt.document import Json, Tool
from playground.prompt.limits import COUNTS
from playground.prompt.parameters import parse_object
from playground.prompt.problems import BadInput, Problem
from playground.ui.editor.field_text import FieldText
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.notice import words


def new_tool(number: int) -> Tool:
    """A tool to begin with."""
    properties: dict[str, Json] = {"query": {"type": "string", "description": "What to look for."}}
    parameters: dict[str, Json] = {"type": "object", "properties": properties, "required": ["query"]}
    description = "One sentence that says when to use it."
    function: dict[str, Json] = {"name": f"tool_{number}", "description": description, "parameters": parameters}
    return Tool.of({"type": "function", "function": function})


class _ToolCard(QFrame):
    """One tool."""

    edited = Signal(object)
    removed = Signal()
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, theme: Theme, tool: Tool) -> None:
        super().__init__()
        self._tool = tool
        self._name = QLabel()
        self._name.setTextFormat(Qt.TextFormat.PlainText)
        self._name.setProperty("tone", "strong")
        remove = QPushButton("Delete")
        remove.setProperty("look", "quiet")
        remove.clicked.connect(self.removed)
        self._wrong = words("", "failure")
        self._wrong.hide()
        self.edit = FieldText(theme, "Tool definition as JSON")
        self.edit.edited.connect(self._typed)
        self.edit.undo_requested.connect(self.undo_requested)
        self.edit.redo_requested.connect(self.redo_requested)
        head = QHBoxLayout()
        head.addWidget(self._name, 1)
        head.addWidget(remove)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, GRID * 2)
        column.addLayout(head)
        column.addWidget(self.edit)
        column.addWidget(self._wrong)
        self._show(tool)

    def set_tool(self, tool: Tool) -> None:
        """Show a tool, unless it is the one that the text in hand stands for."""
        if tool != self._tool:
            self._tool = tool
            self._show(tool)

    def _show(self, tool: Tool) -> None:
        self._name.setText(tool.name)
        self.edit.set_exact(json.dumps(dict(tool.definition), ensure_ascii=False, indent=2))
        self._say("")

    def _typed(self, text: str) -> None:
        try:
            tool = _parsed(text)
        except BadInput as bad:
            self._say(f"{bad.problems[0]} The prompt keeps the last definition that was right.")
            return
        self._say("")
        if tool != self._tool:
            self._tool = tool
            self._name.setText(tool.name)
            self.edited.emit(tool)

    def _say(self, sentence: str) -> None:
        self._wrong.setText(sentence)
        self._wrong.setVisible(bool(sentence))
        self.edit.mark(bool(sentence))


def _parsed(text: str) -> Tool:
    definition = parse_object("tool", text)
    tool = Tool.of(definition)
    if definition.get("type") != "function" or not tool.name:
        raise BadInput(Problem(("tool",), 'needs "type": "function" and a function with a name.'))
    return tool


class ToolsTab(QScrollArea):
    """The catalogue, in the order in which it is sent."""

    tools_edited = Signal(object, str)
    """The new tuple of tools, and a key under which typing on merges into one undo step."""
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._tools: tuple[Tool, ...] = ()
        self._cards: list[_ToolCard] = []
        self._add = QPushButton("Add a tool")
        self._add.clicked.connect(self._add_tool)
        hint = words(
            "Every description and schema is input on every turn. One sentence of intent a tool, short parameter "
            "descriptions; examples belong in the system prompt.",
            "muted",
        )
        inside = QWidget()
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        self._column.addWidget(hint)
        self._column.addWidget(self._add)
        self._column.addStretch(1)
        self.setWidget(inside)
        self.setWidgetResizable(True)

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        for card in self._cards:
            card.edit.set_theme(theme)

    def show_tools(self, tools: tuple[Tool, ...]) -> None:
        """Show a catalogue; a tool that did not change is not touched."""
        self._tools = tools
        while len(self._cards) > len(tools):
            card = self._cards.pop()
            self._column.removeWidget(card)
            card.deleteLater()
        for index in range(len(self._cards), len(tools)):
            self._cards.append(self._card(index, tools[index]))
            self._column.insertWidget(self._column.count() - 2, self._cards[index])
        for card, tool in zip(self._cards, tools, strict=True):
            card.set_tool(tool)
        self._add.setEnabled(len(tools) < (COUNTS["tools"].high or 0))

    def go_to(self, index: int) -> None:
        """Give a tool's definition the keyboard, and show it."""
        if 0 <= index < len(self._cards):
            self._cards[index].edit.setFocus()
            self.ensureWidgetVisible(self._cards[index])
        else:
            self._add.setFocus()

    def _card(self, index: int, tool: Tool) -> _ToolCard:
        card = _ToolCard(self._theme, tool)
        card.edited.connect(lambda new: self._put(index, new))
        card.removed.connect(lambda: self._remove(index))
        card.undo_requested.connect(self.undo_requested)
        card.redo_requested.connect(self.redo_requested)
        return card

    def _put(self, index: int, tool: Tool) -> None:
        self.tools_edited.emit((*self._tools[:index], tool, *self._tools[index + 1 :]), f"tool {index}")

    def _remove(self, index: int) -> None:
        self.tools_edited.emit((*self._tools[:index], *self._tools[index + 1 :]), "")

    def _add_tool(self) -> None:
        self.tools_edited.emit((*self._tools, new_tool(len(self._tools) + 1)), "")

"""Paste tools: JSON definitions of many APIs, with a preview of the tools and notes on omitted parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QTextEdit, QWidget

from playground import asset
from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import InputError
from playground.prompt.limits import COUNTS
from playground.tools.form_model import description_of, rows
from playground.tools.import_definitions import ImportedTools, from_json, unique_names
from playground.ui.theme import GRID, current_theme, mono_font
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import column_of
from playground.ui.widgets.lossless_text import utf16_length
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.timers import single_timer

if TYPE_CHECKING:
    from playground.prefix_cache.zones import ZoneMap


RULE = "Sent in this order, before the messages: order is part of the prefix."


def warm_after(zones: ZoneMap | None, first: int, count: int) -> float | None:
    """Return the estimated warm tokens from tool `first` on, which reordering makes fresh; None if unknown.

    `count` is the number of tools: zones of another catalogue are ignored.
    """
    if zones is None or len(zones.tool_tokens) != count:
        return None
    return max(zones.warm_tokens - sum(zones.tool_tokens[:first]), 0.0)


def hint(zones: ZoneMap | None, count: int) -> str:
    """Return the message above two or more tools."""
    if count < 2:
        return ""
    warm = warm_after(zones, 0, count)
    if warm is None:
        return RULE
    if warm < 1:
        return f"{RULE} Nothing of it is warm now."
    return f"{RULE} Another first tool would make ≈ {warm:,.0f} warm tokens fresh once."


def moved(name: str, place: int, warm: float | None) -> str:
    """Return the message after a move; `place` counts from 1."""
    head = f"{name} is number {place} now, and order is part of the prefix:"
    if warm is None:
        return f"{head} everything from the first tool that moved on is fresh once."
    if warm < 1:
        return f"{head} nothing from there on was warm, so it costs nothing more."
    return f"{head} ≈ {warm:,.0f} tokens that were warm will be fresh at the next request."


@lru_cache(maxsize=1)
def templates() -> tuple[tuple[str, Tool], ...]:
    """(title, tool) of each template, in the order in which they are offered."""
    found = json.loads(asset("tools/voice-agent.json").read_text("utf-8"))
    return tuple((str(one["title"]), Tool.of(one["tool"])) for one in found)


def blank_tool() -> Tool:
    """Return a tool with one parameter, to be named."""
    properties: dict[str, Json] = {"query": {"type": "string", "description": "What to look for."}}
    parameters: dict[str, Json] = {"type": "object", "properties": properties, "required": ["query"]}
    description = "One sentence that says when to use it."
    function: dict[str, Json] = {"name": "new_tool", "description": description, "parameters": parameters}
    return Tool.of({"type": "function", "function": function})


HINT = "One or several JSON definitions in the format of OpenAI, Anthropic, Gemini, Bedrock or MCP, or a JSON schema."
EXAMPLE = '{"name": "get_balance", "description": "Get the account balance.", "parameters": {"type": "object"}}'
_REST_MS = 120


class PasteDialog(QDialog):
    """`there` gives the tools that the prompt has."""

    added = Signal(tuple)
    """The tools, under names that no other has."""

    def __init__(self, there: Callable[[], tuple[Tool, ...]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Paste tools")
        self._there = there
        self._tools: tuple[Tool, ...] = ()
        self._rest = single_timer(self, _REST_MS, self.look)
        self.text = QPlainTextEdit()
        self.text.setProperty("boxed", "true")
        self.text.setFont(mono_font())
        self.text.setAccessibleName("JSON definitions of tools")
        self.text.setPlaceholderText(EXAMPLE)
        self.text.setTabChangesFocus(True)
        self.text.textChanged.connect(lambda: self._rest.start())
        self.made = words("", "strong")
        self.wrong = words("", "failure")
        self.notes = words("", "variable")
        self.table = plain_table("Tools made of it", ("Tool", "Parameters", "Description"), 2, {0: 150, 1: 170})
        self.add = push_button("Add", "primary", self._add)
        self._lay_out()
        self.look()

    def _lay_out(self) -> None:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton(self.add, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column_of(
            words(HINT),
            (self.text, 3),
            self.made,
            self.wrong,
            (self.table, 2),
            self.notes,
            buttons,
            on=self,
            margins=GRID * 2,
        )
        self.resize(720, 560)

    def look(self) -> None:
        """Parse the text."""
        self._rest.stop()
        text = self.text.toPlainText()
        self._mark(None)
        if not text.strip():
            self._show(ImportedTools(()), "")
            return
        try:
            self._show(from_json(text), "")
        except InputError as bad:
            self._show(ImportedTools(()), str(bad))
            self._mark(bad.problems[0].offset)

    def _show(self, pasted: ImportedTools, wrong: str) -> None:
        there = self._there()
        self._tools = unique_names(pasted.tools, there)
        room = int(COUNTS["tools"].high or 0) - len(there)
        notes = list(pasted.notes)
        for old, new in zip(pasted.tools, self._tools, strict=True):
            if old.name != new.name:
                notes.append(f"{old.name} is a name that is taken: it is added as {new.name}.")
        if len(self._tools) > room:
            wrong = f"There is room for {max(room, 0)} more: a request takes {COUNTS['tools'].high:g} tools at most."
        count = len(self._tools)
        self.made.setText(f"{count} {'tool' if count == 1 else 'tools'}" if count else "")
        self.wrong.setText(wrong)
        self.notes.setText("\n".join(f"• {note}" for note in notes[:12]))
        fill_table(self.table, [_cells(tool) for tool in self._tools])
        for widget, shown in ((self.made, count), (self.table, count), (self.wrong, wrong), (self.notes, notes)):
            widget.setVisible(bool(shown))
        self.add.setText(f"Add {count} tools" if count > 1 else "Add the tool")
        self.add.setEnabled(bool(count) and not wrong)

    def _mark(self, offset: int | None) -> None:
        if offset is None:
            self.text.setExtraSelections([])
            return
        selection = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.text.document())
        text = self.text.toPlainText()
        last = self.text.document().characterCount() - 1
        cursor.setPosition(min(utf16_length(text[:offset]), max(last - 1, 0)))
        cursor.movePosition(QTextCursor.MoveOperation.NextCharacter, QTextCursor.MoveMode.KeepAnchor)
        form = QTextCharFormat()
        form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
        form.setUnderlineColor(current_theme().failure)
        form.setBackground(current_theme().selection)
        selection.cursor, selection.format = cursor, form
        self.text.setExtraSelections([selection])

    def _add(self) -> None:
        self.look()
        if self.add.isEnabled():
            self.added.emit(self._tools)
            self.accept()


def _cells(tool: Tool) -> tuple[str, str, str]:
    found = rows(tool)
    named = [row.name if row.required else f"{row.name}?" for row in found or ()]
    parameters = ", ".join(named) if found is not None else "as JSON"
    return tool.name, parameters or "none", " ".join(description_of(tool).split())

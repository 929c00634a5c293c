"""A tool as JSON, the last valid definition of which is kept; and pasting tools as JSON definitions of many APIs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QWidget

from playground import asset
from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.json_text import JsonFault, fault_at, read_json, span_at
from playground.runs.metrics import counted
from playground.tools.form_model import description_of, rows
from playground.tools.import_definitions import ImportedTools, from_json, unique_names
from playground.tools.schema import check_parameters
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.panes.prompt.field_text import FieldText
from playground.ui.panes.prompt.marks import marks_of
from playground.ui.panes.prompt.undo import UndoHistory
from playground.ui.theme import GRID, current_theme, mono_font
from playground.ui.widgets.form import cursor_over, marked
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import STRETCH, column_of, row_of, single_timer
from playground.ui.widgets.lossless_text_edit import TextBox
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import button_box, fill_dialog

if TYPE_CHECKING:
    from playground.prefix_cache.zones import ZoneMap

_REST_MS = 60
"""Colours follow the typing that soon; in between Qt moves them along with the text."""


class JsonText(CardText):
    """Definitions cannot contain variables, so there are no chips."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: tuple[tuple[int, int], ...] = ()
        self._rest = single_timer(self, _REST_MS, self._color_marks)

    def mark_faults(self, faults: Sequence[tuple[int, int]]) -> None:
        """Underline code points [start, end) of the text."""
        if tuple(faults) != self.faults:
            self.faults = tuple(faults)
            self._color_marks()

    def settled(self) -> None:
        """Invisible characters remain marked; syntax colors follow shortly."""
        self._marks = [mark for mark in marks_of(self.exact, {}) if mark.kind == "odd"]
        if self.extraSelections():
            self._rest.start()
        else:
            self._color_marks()

    def _color_marks(self) -> None:
        # Imported here: only this tab shows code.
        from playground.ui.widgets.highlight import spans

        self._rest.stop()
        text, theme, document = self.exact.image, current_theme(), self.document()
        found = [
            marked(cursor_over(document, at, at + length), ink=color)
            for at, length, color in spans(text, "json", theme)
        ]
        found += [self._colored_mark(mark) for mark in self._marks]
        for start, end in self.faults:
            first, last = self.exact.unit(start), self.exact.unit(min(max(end, start + 1), len(text)))
            # At the end of the text, underline the preceding character.
            over = cursor_over(document, min(first, max(last - 1, 0)), last)
            found.append(marked(over, wave=theme.failure))
        self.setExtraSelections(found)


_MOST_SAID = 3
_PARAMETERS: Path = ("function", "parameters")


class Read(Struct, frozen=True):
    """Parse result of a definition. `tool` is None if invalid; `faults` are offsets with messages."""

    tool: Tool | None
    faults: tuple[tuple[int, int, str], ...] = ()


def read(text: str) -> Read:
    """Parse a definition and collect its errors: as JSON, as a tool, and by JSON Schema."""
    value = read_json(text)
    if isinstance(value, JsonFault):
        return Read(None, ((value.offset, value.offset + 1, f"Not JSON. {str(value).capitalize()}."),))
    wrong = _no_tool(value)
    if wrong is not None:
        return Read(None, (_placed(text, wrong),))
    assert isinstance(value, dict)
    return Read(Tool.of(value), tuple(_placed(text, problem) for problem in schema_problems(Tool.of(value))))


def schema_problems(tool: Tool) -> tuple[FieldError, ...]:
    """Return the errors of JSON Schema in the parameters of a tool; paths are inside its definition."""
    function = tool.definition.get("function")
    parameters = function.get("parameters") if isinstance(function, dict) else None
    return check_parameters(parameters, _PARAMETERS) if parameters is not None else ()


def _no_tool(value: Json) -> FieldError | None:
    if not isinstance(value, dict):
        return FieldError((), "should be an object, {…}.")
    if value.get("type") != "function":
        return FieldError(("type",), 'should be "function".')
    function = value.get("function")
    if not isinstance(function, dict):
        return FieldError(("function",), "should be an object.")
    if not isinstance(function.get("name"), str) or not function["name"]:
        return FieldError(("function", "name"), "a function needs a name.")
    if not isinstance(function.get("description", ""), str):
        return FieldError(("function", "description"), "should be text.")
    return None


def _placed(text: str, problem: FieldError) -> tuple[int, int, str]:
    start, end = span_at(text, problem.path)
    where = fault_at(text, start, "")
    # A long value is marked at its beginning: a line or so is enough to find it.
    line_end = text.find("\n", start)
    return start, min(end, line_end if line_end >= 0 else end), f"Line {where.line:,}: {problem}"


class ToolJson(QWidget):
    """Shows errors above the text and underlines them in it."""

    edited = Signal(object)
    """Emitted with the Tool if the text is valid or the user accepts it anyway."""

    def __init__(self, history: UndoHistory, name: str) -> None:
        super().__init__()
        self._tool: Tool | None = None
        self._read = Read(None)
        self.text = JsonText()
        self.edit = FieldText(history, f"Definition of {name} as JSON", text=self.text)
        self.edit.edited.connect(self._typed)
        self.wrong = words("", "failure")
        self.go = push_button("Go there", "link", self._go)
        self.anyway = push_button("Use it all the same", "link", self._use)
        row = row_of(self.go, self.anyway, STRETCH, spacing=GRID // 2)
        # Errors are above the text, which may be longer than the window.
        column_of(self.wrong, row, self.edit, on=self, margins=0, spacing=GRID // 2)
        self._update_text()

    def show_tool(self, tool: Tool) -> None:
        """Display a tool, unless the text already describes it."""
        if tool != self._tool:
            self._tool = tool
            self.edit.set_exact(json.dumps(dict(tool.definition), ensure_ascii=False, indent=2))
            self._read = read(self.edit.exact)
            self._update_text()

    @property
    def unused(self) -> bool:
        """Return whether the text differs from the prompt."""
        return self._read.tool != self._tool

    def _typed(self, text: str) -> None:
        self._read = read(text)
        if self._read.tool is not None and not self._read.faults:
            self._use()
        else:
            self._update_text()

    def _use(self) -> None:
        if self._read.tool is not None and self.unused:
            self._tool = self._read.tool
            self.edited.emit(self._tool)
        self._update_text()

    def _update_text(self) -> None:
        faults = self._read.faults
        said = [sentence for _, _, sentence in faults[:_MOST_SAID]]
        if len(faults) > _MOST_SAID:
            said.append(f"And {len(faults) - _MOST_SAID:,} more.")
        if faults and self.unused:
            said.append("The prompt keeps the last definition that was right.")
        elif faults:
            said.append("The prompt uses this definition, including these errors.")
        self.wrong.setText("\n".join(said))
        for widget in (self.wrong, self.go):
            widget.setVisible(bool(faults))
        self.anyway.setVisible(bool(faults) and self._read.tool is not None and self.unused)
        self.text.mark_faults([(start, end) for start, end, _ in faults])
        self.edit.mark(bool(faults))

    def _go(self) -> None:
        if self._read.faults:
            start = min(self._read.faults[0][0], len(self.edit.exact))
            self.text.select(start, start)
            self.text.setFocus()


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
    warm, more = warm_after(zones, 0, count), ""
    if warm is not None:
        cost = f"Another first tool would make ≈ {warm:,.0f} warm tokens fresh once."
        more = f" {cost}" if warm >= 1 else " Nothing of it is warm now."
    return f"{RULE}{more}"


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
_PASTE_REST_MS = 120


class PasteDialog(QDialog):
    """`there` gives the tools that the prompt has."""

    added = Signal(tuple)
    """The tools, under names that no other has."""

    def __init__(self, there: Callable[[], tuple[Tool, ...]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Paste tools")
        self._there = there
        self._tools: tuple[Tool, ...] = ()
        self._rest = single_timer(self, _PASTE_REST_MS, self.look)
        self.text = TextBox("JSON definitions of tools", EXAMPLE, font=mono_font())
        self.text.textChanged.connect(self._rest.start)
        self.made = words("", "strong")
        self.wrong = words("", "failure")
        self.notes = words("", "variable")
        self.table = plain_table("Tools made of it", ("Tool", "Parameters", "Description"), 2, {0: 150, 1: 170})
        self.add = push_button("Add", "primary", self._add)
        buttons = button_box(self.reject, self.add, label="Cancel")
        items = words(HINT), (self.text, 3), self.made, self.wrong, (self.table, 2), self.notes, buttons
        fill_dialog(self, (720, 560), *items)
        self.look()

    def look(self) -> None:
        self._rest.stop()
        text = self.text.exact.text
        self._mark(None)
        try:
            self._show(from_json(text) if text.strip() else ImportedTools(()), "")
        except InputError as bad:
            self._show(ImportedTools(()), str(bad))
            self._mark(bad.problems[0].offset)

    def _show(self, pasted: ImportedTools, wrong: str) -> None:
        there = self._there()
        self._tools = unique_names(pasted.tools, there)
        notes = list(pasted.notes)
        for old, new in zip(pasted.tools, self._tools, strict=True):
            if old.name != new.name:
                notes.append(f"{old.name} is a name that is taken: it is added as {new.name}.")
        count = len(self._tools)
        self.made.setText(counted(count, "tool") if count else "")
        self.wrong.setText(wrong)
        self.notes.setText("\n".join(f"• {note}" for note in notes[:12]))
        fill_table(self.table, [_cells(tool) for tool in self._tools])
        for widget, shown in ((self.made, count), (self.table, count), (self.wrong, wrong), (self.notes, notes)):
            widget.setVisible(bool(shown))
        self.add.setText(f"Add {count} tools" if count > 1 else "Add the tool")
        self.add.setEnabled(bool(count) and not wrong)

    def _mark(self, offset: int | None) -> None:
        marks = []
        if offset is not None:
            end = min(offset + 1, len(self.text.exact.text))
            cursor = self.text.cursor_over(end - 1, end)
            marks.append(marked(cursor, wave=current_theme().failure, ground=current_theme().selection))
        self.text.setExtraSelections(marks)

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

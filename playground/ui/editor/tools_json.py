"""A tool as JSON: the prompt keeps the last definition that was right."""

from __future__ import annotations

import json
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from playground.chains.metaschema import check_parameters
from playground.prompt.document import Json, Tool
from playground.prompt.problems import Path, Problem
from playground.runs.json_path import span_at
from playground.runs.json_place import Fault, fault_at, read_json
from playground.ui.editor.field_text import FieldText
from playground.ui.editor.tools_json_text import JsonText
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.notice import words

_MOST_SAID = 3
_PARAMETERS: Path = ("function", "parameters")


@dataclass(frozen=True, slots=True)
class Read:
    """What a typed definition is. `tool` is None where it is none; `faults` are places with words."""

    tool: Tool | None
    faults: tuple[tuple[int, int, str], ...] = ()


def read(text: str) -> Read:
    """A typed definition, and what is wrong with it: as JSON, as a tool, and by JSON Schema's own rules."""
    value = read_json(text)
    if isinstance(value, Fault):
        return Read(None, ((value.offset, value.offset + 1, f"Not JSON. {str(value).capitalize()}."),))
    wrong = _no_tool(value)
    if wrong is not None:
        return Read(None, (_placed(text, wrong),))
    assert isinstance(value, dict)
    return Read(Tool.of(value), tuple(_placed(text, problem) for problem in schema_problems(Tool.of(value))))


def schema_problems(tool: Tool) -> tuple[Problem, ...]:
    """What JSON Schema says against the parameters of a tool; paths are inside its definition."""
    function = tool.definition.get("function")
    parameters = function.get("parameters") if isinstance(function, dict) else None
    return check_parameters(parameters, _PARAMETERS) if parameters is not None else ()


def _no_tool(value: Json) -> Problem | None:
    if not isinstance(value, dict):
        return Problem((), "should be an object, {…}.")
    if value.get("type") != "function":
        return Problem(("type",), 'should be "function".')
    function = value.get("function")
    if not isinstance(function, dict):
        return Problem(("function",), "should be an object.")
    if not isinstance(function.get("name"), str) or not function["name"]:
        return Problem(("function", "name"), "a function needs a name.")
    if not isinstance(function.get("description", ""), str):
        return Problem(("function", "description"), "should be text.")
    return None


def _placed(text: str, problem: Problem) -> tuple[int, int, str]:
    start, end = span_at(text, problem.path)
    where = fault_at(text, start, "")
    # A long value is marked at its beginning: a line or so is enough to find it.
    line_end = text.find("\n", start)
    return start, min(end, line_end if line_end >= 0 else end), f"Line {where.line:,}: {problem}"


class ToolJson(QWidget):
    """Says what is wrong above the text, and underlines it in it."""

    edited = Signal(object)
    """The Tool, when the text is a right one, or a person wants it all the same."""
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__()
        self._tool: Tool | None = None
        self._read = Read(None)
        self._text = JsonText(theme)
        self.edit = FieldText(theme, f"Definition of {name} as JSON", text=self._text)
        self.edit.edited.connect(self._typed)
        self.edit.undo_requested.connect(self.undo_requested)
        self.edit.redo_requested.connect(self.redo_requested)
        self.wrong = words("", "failure")
        self.go = _link("Go there", self._go)
        self.anyway = _link("Use it all the same", self._use)
        row = QHBoxLayout()
        row.setSpacing(GRID // 2)
        row.addWidget(self.go)
        row.addWidget(self.anyway)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        # Above the text, which may be longer than the window.
        column.addWidget(self.wrong)
        column.addLayout(row)
        column.addWidget(self.edit)
        self._say()

    def show_tool(self, tool: Tool) -> None:
        """Show a tool, unless it is what the text in hand stands for."""
        if tool != self._tool:
            self._tool = tool
            self.edit.set_exact(json.dumps(dict(tool.definition), ensure_ascii=False, indent=2))
            self._read = read(self.edit.exact)
            self._say()

    @property
    def unused(self) -> bool:
        """Whether what is typed is not what the prompt has."""
        return self._read.tool != self._tool

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self.edit.set_theme(theme)

    @property
    def faults(self) -> tuple[str, ...]:
        """The text at each place that is underlined."""
        return self._text.faults

    def _typed(self, text: str) -> None:
        self._read = read(text)
        if self._read.tool is not None and not self._read.faults:
            self._use()
        else:
            self._say()

    def _use(self) -> None:
        tool = self._read.tool
        if tool is not None and tool != self._tool:
            self._tool = tool
            self.edited.emit(tool)
        self._say()

    def _say(self) -> None:
        faults = self._read.faults
        said = [sentence for _, _, sentence in faults[:_MOST_SAID]]
        if len(faults) > _MOST_SAID:
            said.append(f"And {len(faults) - _MOST_SAID:,} more.")
        if faults and self.unused:
            said.append("The prompt keeps the last definition that was right.")
        elif faults:
            said.append("The prompt has it as it is here.")
        self.wrong.setText("\n".join(said))
        for widget in (self.wrong, self.go):
            widget.setVisible(bool(faults))
        self.anyway.setVisible(bool(faults) and self._read.tool is not None and self.unused)
        self._text.mark_faults([(start, end) for start, end, _ in faults])
        self.edit.mark(bool(faults))

    def _go(self) -> None:
        if self._read.faults:
            start = min(self._read.faults[0][0], len(self.edit.exact))
            self._text.select(start, start)
            self._text.setFocus()


def _link(label: str, clicked: object) -> QPushButton:
    button = QPushButton(label)
    button.setProperty("look", "link")
    button.clicked.connect(clicked)
    return button

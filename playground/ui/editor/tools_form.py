"""A tool as a form. Every right edit makes a new definition; what the form does not show stays in it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFormLayout, QPushButton, QVBoxLayout, QWidget

from playground.chains import tool_form
from playground.prompt.document import Tool
from playground.prompt.problems import BadInput
from playground.ui.editor.field_line import FieldLine
from playground.ui.editor.field_text import FieldText
from playground.ui.editor.tools_row import ParameterRow
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.notice import words

NO_FORM = "These parameters are no plain object with properties: edit them as JSON."
_TYPED = {
    "name": tool_form.renamed_parameter,
    "description": tool_form.described_parameter,
    "choices": tool_form.limited_parameter,
}


class ToolForm(QWidget):
    """Name, description, and the parameters in order."""

    edited = Signal(object, str)
    """The Tool, and the field, under which typing on merges into one undo step (empty: a step of its own)."""
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, theme: Theme, tool: Tool) -> None:
        super().__init__()
        self._tool = tool
        self._names: tuple[str, ...] = ()
        self.rows: list[ParameterRow] = []
        self.name = FieldLine("Name of the function", "name", mono=True)
        self.name.textEdited.connect(
            lambda text: self._try(lambda: tool_form.with_name(self._tool, text), "name", self.name)
        )
        self.description = FieldText(theme, "Description", "One sentence that says when to use it")
        self.description.edited.connect(
            lambda text: self._try(lambda: tool_form.with_description(self._tool, text), "description", None)
        )
        for field in (self.name, self.description):
            field.undo_requested.connect(self.undo_requested)
            field.redo_requested.connect(self.redo_requested)
        self.wrong = words("", "failure")
        self.wrong.hide()
        self.no_form = words(NO_FORM, "muted")
        self.add = QPushButton("+ Add parameter")
        self.add.setProperty("look", "quiet")
        self.add.clicked.connect(self._add)
        self._lay_out()
        self._show(None, own=False)

    def _lay_out(self) -> None:
        fields = QFormLayout()
        fields.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        fields.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        fields.addRow("Name", self.name)
        fields.addRow("Description", self.description)
        self._column = QVBoxLayout()
        self._column.setSpacing(0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(fields)
        column.addWidget(self.no_form)
        column.addLayout(self._column)
        column.addWidget(self.wrong)
        column.addWidget(self.add, 0, Qt.AlignmentFlag.AlignLeft)

    def show_tool(self, tool: Tool) -> None:
        """Show a tool, unless it is the one that the fields stand for."""
        if tool != self._tool:
            self._tool = tool
            self._show(None, own=False)

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self.description.set_theme(theme)

    def _show(self, skip: FieldLine | None, *, own: bool) -> None:
        if self.name is not skip and not (own and self.name.bad):
            self.name.show_text(self._tool.name)
            self.name.mark("")
        text = tool_form.description_of(self._tool)
        if self.description.exact != text:
            self.description.set_exact(text)
        rows = tool_form.rows(self._tool)
        self.no_form.setVisible(rows is None)
        self.add.setVisible(rows is not None)
        self._names = tuple(row.name for row in rows or ())
        self._fit(len(self._names))
        for widget, row in zip(self.rows, rows or (), strict=True):
            widget.show_row(row, skip, own=own)
        self._say()

    def _fit(self, count: int) -> None:
        while len(self.rows) > count:
            row = self.rows.pop()
            row.hide()
            self._column.removeWidget(row)
            row.deleteLater()
        while len(self.rows) < count:
            self.rows.append(self._row(len(self.rows)))
            self._column.addWidget(self.rows[-1])

    def _row(self, index: int) -> ParameterRow:
        row = ParameterRow()
        for line in row.lines.values():
            line.undo_requested.connect(self.undo_requested)
            line.redo_requested.connect(self.redo_requested)
        row.typed.connect(lambda field, text: self._typed(index, field, text))
        row.kind_chosen.connect(
            lambda kind: self._try(lambda: tool_form.typed_parameter(self._tool, self._names[index], kind), "", None)
        )
        row.required_chosen.connect(
            lambda on: self._try(lambda: tool_form.required_parameter(self._tool, self._names[index], on), "", None)
        )
        row.action.connect(lambda name: self._act(index, name))
        return row

    def _typed(self, index: int, field: str, text: str) -> None:
        change, line = _TYPED[field], self.rows[index].lines[field]
        self._try(lambda: change(self._tool, self._names[index], text), f"parameter {index} {field}", line)

    def _act(self, index: int, name: str) -> None:
        parameter = self._names[index]
        if name == "remove":
            self._try(lambda: tool_form.without_parameter(self._tool, parameter), "", None)
            self._focus_row(min(index, len(self.rows) - 1))
        else:
            step = -1 if name == "up" else 1
            self._try(lambda: tool_form.moved_parameter(self._tool, parameter, step), "", None)
            self._focus_row(min(max(index + step, 0), len(self.rows) - 1))

    def _add(self) -> None:
        self._try(lambda: tool_form.with_parameter(self._tool), "", None)
        self._focus_row(len(self.rows) - 1)
        if self.rows:
            self.rows[-1].name.selectAll()

    def _focus_row(self, index: int) -> None:
        (self.rows[index].name if 0 <= index < len(self.rows) else self.add).setFocus()

    def _try(self, change: Callable[[], Tool], field: str, line: FieldLine | None) -> None:
        try:
            tool = change()
        except BadInput as bad:
            if line is not None:
                line.mark(str(bad))
            self._say()
            return
        if line is not None:
            line.mark("")
        before, self._tool = self._tool, tool
        self._show(line, own=True)
        if tool != before:
            self.edited.emit(tool, field)

    def _say(self) -> None:
        lines = [self.name, *(line for row in self.rows for line in row.lines.values())]
        said = dict.fromkeys(line.toolTip() for line in lines if line.bad)
        self.wrong.setText(" ".join((*said, "The prompt keeps the last that was right.")) if said else "")
        self.wrong.setVisible(bool(said))

"""A tool as a card: its head, and below it the form or the JSON, created on first display."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, QPointF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QFrame, QToolButton, QVBoxLayout, QWidget

from playground.prompt.document import Tool
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted
from playground.tools import form_model
from playground.tools.form_model import KINDS, FormRow, description_of
from playground.ui.panes.prompt.axis_paint import SIDE_PX
from playground.ui.panes.prompt.cards import CardHead
from playground.ui.panes.prompt.field_text import FieldLine, FieldText
from playground.ui.panes.prompt.tools_json import ToolJson, schema_problems
from playground.ui.panes.prompt.undo import UndoHistory
from playground.ui.theme import GRID, current_theme
from playground.ui.widgets.labels import push_button, show_or_hide, toned
from playground.ui.widgets.layouts import column_of, discard, row_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import hairline
from playground.ui.widgets.tab_bar import tab_bar


class _Kind(QComboBox):
    """Does not change under a page that is scrolled."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class ParameterRow(QFrame):
    """Two lines: name, type, required; description and choices. Emits each edit; the form applies it."""

    changed = Signal(str, object)
    """A field, one of _CHANGES, and its text; "required": whether it is."""
    action = Signal(str)
    """ "up", "down" or "remove"."""

    def __init__(self, history: UndoHistory) -> None:
        super().__init__()
        self.name = FieldLine(history, "Name of the parameter", "name", mono=True)
        self.kind = _Kind()
        self.required = QCheckBox("required")
        self.description = FieldLine(history, "Description", "description: short, it is input on every turn")
        self.choices = FieldLine(history, "Choices", "choices: a, b, c")
        self.lines = {"name": self.name, "description": self.description, "choices": self.choices}
        self.inside = toned("", "muted", wraps=True)
        for field, line in self.lines.items():
            line.textEdited.connect(lambda text, chosen=field: self.changed.emit(chosen, text))
        self.kind.activated.connect(lambda _index: self.changed.emit("kind", self.kind.currentText()))
        self.required.clicked.connect(lambda on: self.changed.emit("required", on))
        first = row_of((self.name, 1), self.kind, self.required, spacing=GRID // 2)
        for name, sign, what in (("up", "↑", "Move"), ("down", "↓", "Move"), ("remove", "✕", "Remove")):
            label = f"{what} the parameter{'' if name == 'remove' else f' {name}'}"
            first.addWidget(self._button(name, sign, label))
        second = row_of((self.description, 3), (self.choices, 2), spacing=GRID // 2)
        column_of(first, second, self.inside, on=self, margins=(0, 0, 0, GRID), spacing=GRID // 2)

    def _button(self, name: str, sign: str, label: str) -> QToolButton:
        button = QToolButton()
        button.setText(sign)
        button.setToolTip(label)
        button.setAccessibleName(label)
        button.clicked.connect(lambda: self.action.emit(name))
        return button

    def show_row(self, row: FormRow, skip: FieldLine | None, *, own: bool) -> None:
        """Show a parameter. `skip` is the field that is being typed in; `own`: a wrong field keeps what was typed."""
        for field, line in self.lines.items():
            if line is skip or (own and line.bad):
                continue
            line.show_text(getattr(row, field))
            line.mark("")
        kinds = KINDS if row.kind in KINDS else (*KINDS, row.kind)
        if [self.kind.itemText(index) for index in range(self.kind.count())] != list(kinds):
            self.kind.clear()
            self.kind.addItems(kinds)
        self.kind.setCurrentText(row.kind)
        self.kind.setAccessibleName(f"Type of {row.name}")
        self.required.setChecked(row.required)
        self.required.setAccessibleName(f"{row.name} is required")
        self.choices.setEnabled(row.kind not in ("object", "array", "boolean"))
        show_or_hide(self.inside, f"{row.inside}. Kept as it is; edit it as JSON." if row.inside else "")


NO_FORM = "These parameters are no plain object with properties: edit them as JSON."
_CHANGES: dict[str, Callable[..., Tool]] = {
    "name": form_model.renamed_parameter,
    "description": form_model.described_parameter,
    "choices": form_model.limited_parameter,
    "kind": form_model.typed_parameter,
    "required": form_model.required_parameter,
}


class ToolForm(QWidget):
    """Name, description, and the parameters in order."""

    edited = Signal(object, str)
    """The Tool, and the field, under which typing on merges into one undo step (empty: a step of its own)."""

    def __init__(self, history: UndoHistory, tool: Tool) -> None:
        super().__init__()
        self._history, self._tool = history, tool
        self._names: tuple[str, ...] = ()
        self.rows: list[ParameterRow] = []
        self.name = FieldLine(history, "Name of the function", "name", mono=True)
        self.name.textEdited.connect(lambda text: self._try(form_model.with_name, text, field="name", line=self.name))
        self.description = FieldText(history, "Description", "One sentence that says when to use it")
        self.description.edited.connect(lambda text: self._try(form_model.with_description, text, field="description"))
        self.wrong = words("", "failure")
        self.wrong.hide()
        self.no_form = words(NO_FORM, "muted")
        self.add = push_button("+ Add parameter", "quiet", self._add)
        fields = QFormLayout()
        fields.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        fields.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        fields.addRow("Name", self.name)
        fields.addRow("Description", self.description)
        self._column = column_of(spacing=0)
        items = fields, self.no_form, self._column, self.wrong, (self.add, 0, Qt.AlignmentFlag.AlignLeft)
        column_of(*items, on=self, margins=0, spacing=GRID)
        self._show(None, own=False)

    def show_tool(self, tool: Tool) -> None:
        """Show a tool, unless it is the one that the fields stand for."""
        if tool != self._tool:
            self._tool = tool
            self._show(None, own=False)

    def _show(self, skip: FieldLine | None, *, own: bool) -> None:
        if self.name is not skip and not (own and self.name.bad):
            self.name.show_text(self._tool.name)
            self.name.mark("")
        text = form_model.description_of(self._tool)
        if self.description.exact != text:
            self.description.set_exact(text)
        rows = form_model.rows(self._tool)
        self.no_form.setVisible(rows is None)
        self.add.setVisible(rows is not None)
        self._names = tuple(row.name for row in rows or ())
        self._fit(len(self._names))
        for widget, row in zip(self.rows, rows or (), strict=True):
            widget.show_row(row, skip, own=own)
        self._update_text()

    def _fit(self, count: int) -> None:
        while len(self.rows) > count:
            discard(self._column, self.rows.pop())
        while len(self.rows) < count:
            self.rows.append(self._row(len(self.rows)))
            self._column.addWidget(self.rows[-1])

    def _row(self, index: int) -> ParameterRow:
        row = ParameterRow(self._history)
        row.changed.connect(lambda field, value: self._changed(index, field, value))
        row.action.connect(lambda name: self._act(index, name))
        return row

    def _changed(self, index: int, field: str, value: object) -> None:
        line = self.rows[index].lines.get(field)
        if field == "kind" and value not in KINDS:
            return  # kept as it is
        key = f"parameter {index} {field}" if line is not None else ""
        self._try(_CHANGES[field], self._names[index], value, field=key, line=line)

    def _act(self, index: int, name: str) -> None:
        step = {"up": -1, "down": 1}.get(name, 0)
        if step:
            self._try(form_model.moved_parameter, self._names[index], step)
        else:
            self._try(form_model.without_parameter, self._names[index])
        self._focus_row(min(max(index + step, 0), len(self.rows) - 1))

    def _add(self) -> None:
        self._try(form_model.with_parameter)
        self._focus_row(len(self.rows) - 1)
        if self.rows:
            self.rows[-1].name.selectAll()

    def _focus_row(self, index: int) -> None:
        (self.rows[index].name if 0 <= index < len(self.rows) else self.add).setFocus()

    def _try(self, change: Callable[..., Tool], *how: object, field: str = "", line: FieldLine | None = None) -> None:
        """Apply a change of the form's model, or say at the field that was typed in why it cannot be."""
        wrong, tool = "", self._tool
        try:
            tool = change(self._tool, *how)
        except InputError as bad:
            wrong = str(bad)
        if line is not None:
            line.mark(wrong)
        if wrong:
            self._update_text()
            return
        before, self._tool = self._tool, tool
        self._show(line, own=True)
        if tool != before:
            self.edited.emit(tool, field)

    def _update_text(self) -> None:
        lines = [self.name, *(line for row in self.rows for line in row.lines.values())]
        said = dict.fromkeys(line.toolTip() for line in lines if line.bad)
        show_or_hide(self.wrong, " ".join((*said, "The prompt keeps the last that was right.")) if said else "")


_DOT_PX = 3
_STEP_PX = 5


class DragHandle(QWidget):
    """Six dots. Keys do the same: Alt+Up and Alt+Down."""

    dragged = Signal(QPoint)
    """Global pointer position while the button is pressed."""
    dropped = Signal(QPoint)

    def __init__(self) -> None:
        super().__init__()
        self._held = False
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.setToolTip("Drag to another place (Alt+Up, Alt+Down)")
        self.setAccessibleName("Drag to another place; Alt+Up and Alt+Down do the same")
        self.setFixedSize(QSize(16, 20))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._held = event.button() == Qt.MouseButton.LeftButton

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._held:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
            self.dragged.emit(event.globalPosition().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._held:
            self._held = False
            self.setCursor(Qt.CursorShape.OpenHandCursor)
            self.dropped.emit(event.globalPosition().toPoint())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current_theme().muted)
        middle = QPointF(self.width() / 2, self.height() / 2)
        for column in (-0.5, 0.5):
            for row in (-1, 0, 1):
                painter.drawEllipse(middle + QPointF(column, row) * _STEP_PX, _DOT_PX / 2, _DOT_PX / 2)


class DropLine(QWidget):
    """Lies over the cards, and takes no clicks."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def show_at(self, y: int) -> None:
        """Across the parent at `y`."""
        parent = self.parentWidget()
        self.setGeometry(0, max(y - 1, 0), parent.width() if parent else 0, 3)
        self.raise_()
        self.show()

    def paintEvent(self, _event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), current_theme().accent)


FORM, JSON = range(2)


class ToolCard(QFrame):
    """Shows one tool. Says what the person did; the prompt's history decides what becomes of it."""

    edited = Signal(object, str)
    """The Tool, and a key under which typing on merges into one undo step."""
    answers_wanted = Signal()
    menu_wanted = Signal(QPoint)
    """The card's menu, at this global place."""

    def __init__(self, history: UndoHistory, tool: Tool) -> None:
        super().__init__()
        self._history = history
        self.tool = tool
        self.expanded = False
        self.form: ToolForm | None = None
        self.json: ToolJson | None = None
        self._tokens = ""
        self.head = CardHead()
        self.handle = DragHandle()
        self.head.row.setContentsMargins(GRID // 2, 2, GRID // 2, 0)
        self.head.row.insertWidget(0, self.handle)
        self._body = QWidget()
        self._body.hide()
        self._body_column: QVBoxLayout | None = None
        column_of(self.head, self._body, hairline(), on=self, margins=0, spacing=0)
        self._name_it()
        self.head.role.clicked.connect(lambda: self.set_expanded(not self.expanded))
        menu = self.head.menu
        menu.clicked.connect(lambda: self.menu_wanted.emit(menu.mapToGlobal(QPoint(0, menu.height()))))

    def set_tool(self, tool: Tool) -> None:
        """Display a tool, unless it is displayed already."""
        if tool != self.tool:
            self._show_tool(tool)

    def _show_tool(self, tool: Tool) -> None:
        self.tool = tool
        self._name_it()
        for view in (self.form, self.json):
            if view is not None:
                view.show_tool(tool)

    def set_tokens(self, said: str) -> None:
        """≈ tokens and the zone, as words."""
        if said != self._tokens:
            self._tokens = said
            self._name_it()

    def _name_it(self) -> None:
        name = self.tool.name or "(no name)"
        self.head.role.setText(f"{'▾' if self.expanded else '▸'} {name}".replace("&", "&&"))
        self.head.role.setAccessibleName(f"{name}: {'collapse' if self.expanded else 'expand'}")
        self.head.role.setAccessibleDescription(self._tokens)
        self.head.menu.setAccessibleName(f"Menu of {name}")
        self.head.show_note(self._note(), self._tokens)

    def _note(self) -> str:
        if self.json is not None and self.json.unused:
            return "✗ the JSON is not right yet"
        faults = len(schema_problems(self.tool))
        if faults:
            return f"✗ {counted(faults, 'fault')} in its schema"
        return "" if self.expanded else " ".join(description_of(self.tool).split())

    def set_expanded(self, expanded: bool) -> None:
        """Show the form or the JSON, or the head only."""
        if expanded and self._body_column is None:
            self._build_body()
        self.expanded = expanded
        self._body.setVisible(expanded)
        self._name_it()

    def _build_body(self) -> None:
        self.views = tab_bar(f"How {self.tool.name} is edited", ("Form", "JSON"))
        self.views.currentChanged.connect(self._show_view)
        self.answers = push_button("What it returns…", "link", self.answers_wanted)
        self.answers.hide()
        self._waits = words("The JSON view has text that is not right yet: correct it there first.", "failure")
        self._waits.hide()
        row = row_of((self.views, 1), self.answers, margins=(0, 0, GRID, 0))
        self._body_column = column_of(self._waits, margins=(SIDE_PX, GRID, SIDE_PX, GRID * 2))
        column_of(row, self._body_column, on=self._body, margins=0)
        self._show_view(FORM)

    def offer_answers(self, offered: bool) -> None:
        """Set whether the mock results of the tool can be edited."""
        if self._body_column is not None:
            self.answers.setVisible(offered)

    def _show_view(self, index: int) -> None:
        assert self._body_column is not None
        if index == JSON and self.json is None:
            self.json = ToolJson(self._history, self.tool.name)
            self.json.show_tool(self.tool)
            self.json.edited.connect(lambda tool: self._edited(tool, "json"))
            self.json.edit.edited.connect(lambda _text: self._name_it())
            self._body_column.addWidget(self.json)
        if index == FORM and self.form is None:
            self.form = ToolForm(self._history, self.tool)
            self.form.edited.connect(self._edited)
            self._body_column.addWidget(self.form)
        waits = index == FORM and self.json is not None and self.json.unused
        self._waits.setVisible(waits)
        if self.form is not None:
            self.form.setVisible(index == FORM)
            self.form.setEnabled(not waits)
        if self.json is not None:
            self.json.setVisible(index == JSON)

    def _edited(self, tool: Tool, key: str) -> None:
        self._show_tool(tool)
        self.edited.emit(tool, key)

    def take_focus(self) -> None:
        if not self.expanded:
            self.head.role.setFocus()
        elif self.views.currentIndex() == JSON and self.json is not None:
            self.json.edit.setFocus()
        elif self.form is not None:
            self.form.name.setFocus()

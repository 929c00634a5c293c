"""A tool as a card: its head, and below it the form or the JSON, created on first display."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from playground.prompt.document import Tool
from playground.tools.form_model import description_of
from playground.ui.panes.prompt.axis_paint import SIDE_PX
from playground.ui.panes.prompt.cards import CardHead
from playground.ui.panes.prompt.tools_form import ToolForm
from playground.ui.panes.prompt.tools_json import ToolJson, schema_problems
from playground.ui.theme import GRID, current_theme
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import column_of, row_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import hairline
from playground.ui.widgets.tab_bar import tab_bar

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
        """Note where a drag may begin."""
        self._held = event.button() == Qt.MouseButton.LeftButton

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """On its way."""
        if self._held:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
            self.dragged.emit(event.globalPosition().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """There."""
        if self._held:
            self._held = False
            self.setCursor(Qt.CursorShape.OpenHandCursor)
            self.dropped.emit(event.globalPosition().toPoint())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the dots."""
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
        """Paint a bar in the accent's color."""
        QPainter(self).fillRect(self.rect(), current_theme().accent)


FORM, JSON = range(2)


class ToolCard(QFrame):
    """Shows one tool. Says what the person did; the prompt's history decides what becomes of it."""

    edited = Signal(object, str)
    """The Tool, and a key under which typing on merges into one undo step."""
    answers_wanted = Signal()
    menu_wanted = Signal(QPoint)
    """The card's menu, at this global place."""
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, tool: Tool) -> None:
        super().__init__()
        self.tool = tool
        self.expanded = False
        self.form: ToolForm | None = None
        self.json: ToolJson | None = None
        self._tokens = ""
        self._build_head()
        self._body = QWidget()
        self._body.hide()
        self._body_column: QVBoxLayout | None = None
        column_of(self.head, self._body, hairline(), on=self, margins=0, spacing=0)
        self._name_it()

    def _build_head(self) -> None:
        self.head = CardHead()
        self.handle = DragHandle()
        row = self.head.layout()
        assert isinstance(row, QHBoxLayout)
        row.setContentsMargins(GRID // 2, 2, GRID // 2, 0)
        row.insertWidget(0, self.handle)
        self.head.role.clicked.connect(lambda: self.set_expanded(not self.expanded))
        self.head.menu.clicked.connect(lambda: self.menu_wanted.emit(self._menu_place()))

    def _menu_place(self) -> QPoint:
        return self.head.menu.mapToGlobal(QPoint(0, self.head.menu.height()))

    def set_tool(self, tool: Tool) -> None:
        """Display a tool, unless it is displayed already."""
        if tool != self.tool:
            self.tool = tool
            self._name_it()
            if self.form is not None:
                self.form.show_tool(tool)
            if self.json is not None:
                self.json.show_tool(tool)

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
            return f"✗ {faults} {'fault' if faults == 1 else 'faults'} in its schema"
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
        if index == JSON and self.json is None:
            self._add_json()
        if index == FORM and self.form is None:
            self._add_form()
        waits = index == FORM and self.json is not None and self.json.unused
        self._waits.setVisible(waits)
        if self.form is not None:
            self.form.setVisible(index == FORM)
            self.form.setEnabled(not waits)
        if self.json is not None:
            self.json.setVisible(index == JSON)

    def _add_form(self) -> None:
        form = self.form = ToolForm(self.tool)
        form.edited.connect(self._edited)
        self._add_view(form)

    def _add_json(self) -> None:
        view = self.json = ToolJson(self.tool.name)
        view.show_tool(self.tool)
        view.edited.connect(lambda tool: self._edited(tool, "json"))
        view.edit.edited.connect(lambda _text: self._name_it())
        self._add_view(view)

    def _add_view(self, view: ToolForm | ToolJson) -> None:
        view.undo_requested.connect(self.undo_requested)
        view.redo_requested.connect(self.redo_requested)
        assert self._body_column is not None
        self._body_column.addWidget(view)

    def _edited(self, tool: Tool, key: str) -> None:
        self.tool = tool
        self._name_it()
        for view in (self.form, self.json):
            if view is not None:
                view.show_tool(tool)
        self.edited.emit(tool, key)

    def take_focus(self) -> None:
        """Set the focus to the first visible field."""
        if not self.expanded:
            self.head.role.setFocus()
        elif self.views.currentIndex() == JSON and self.json is not None:
            self.json.edit.setFocus()
        elif self.form is not None:
            self.form.name.setFocus()

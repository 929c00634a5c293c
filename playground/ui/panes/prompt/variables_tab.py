"""Variables: each name with its value, and where it stands in the prompt."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from playground.prompt.document import Document
from playground.prompt.variables import names, places
from playground.ui.panes.prompt.field_text import FieldText
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.notice import words


class _Row(QFrame):
    """One variable."""

    value_edited = Signal(str, object)
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__()
        self.name = name
        label = QLabel(name)
        label.setProperty("mono", "true")
        label.setProperty("tone", "strong")
        self._where = QLabel()
        self._where.setProperty("tone", "muted")
        self._forget = QPushButton("Remove the value")
        self._forget.setProperty("look", "quiet")
        self._forget.clicked.connect(lambda: self.value_edited.emit(name, None))
        self.edit = FieldText(theme, f"Value of {name}", "no value yet: Send will ask for one")
        self.edit.edited.connect(lambda text: self.value_edited.emit(name, text))
        self.edit.undo_requested.connect(self.undo_requested)
        self.edit.redo_requested.connect(self.redo_requested)
        head = QHBoxLayout()
        head.addWidget(label)
        head.addWidget(self._where, 1)
        head.addWidget(self._forget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, GRID)
        column.addLayout(head)
        column.addWidget(self.edit)

    def show_value(self, value: str | None, where: str) -> None:
        """The value (None: it has none), and where the variable stands."""
        self._where.setText(where if value is not None else f"{where} · no value")
        self._forget.setVisible(value is not None)
        self.edit.set_exact(value or "")


class VariablesTab(QScrollArea):
    """One row a variable, in the order in which they first stand in the prompt; unused values last."""

    value_edited = Signal(str, object)
    """Name, and the value or None for none."""
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._rows: dict[str, _Row] = {}
        self._empty = words("Write {{name}} in a message, and its value is asked for here.", "muted")
        inside = QWidget()
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        self._column.addWidget(self._empty)
        self._column.addStretch(1)
        self.setWidget(inside)
        self.setWidgetResizable(True)

    def show_document(self, document: Document) -> int:
        """Show the document's variables; returns how many there are."""
        used = names(document.messages)
        wanted = list(dict.fromkeys((*used, *document.variables)))
        for name in [name for name in self._rows if name not in wanted]:
            row = self._rows.pop(name)
            self._column.removeWidget(row)
            row.deleteLater()
        for at, name in enumerate(wanted):
            row = self._rows.get(name) or self._add(name)
            if self._column.indexOf(row) != at:
                self._column.insertWidget(at, row)
            row.show_value(document.variables.get(name), _where(document, name))
        self._empty.setVisible(not wanted)
        return len(wanted)

    def _add(self, name: str) -> _Row:
        row = self._rows[name] = _Row(self._theme, name)
        row.value_edited.connect(self.value_edited)
        row.undo_requested.connect(self.undo_requested)
        row.redo_requested.connect(self.redo_requested)
        return row

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        for row in self._rows.values():
            row.edit.set_theme(theme)

    def go_to(self, name: str) -> None:
        """Put the caret into a variable's value."""
        if name in self._rows:
            self._rows[name].edit.setFocus()
            self.ensureWidgetVisible(self._rows[name])


def _where(document: Document, name: str) -> str:
    found = [
        f"message {index + 1}"
        for index, message in enumerate(document.messages)
        if any(place.name == name for place in places(message.content or ""))
    ]
    return "in " + ", ".join(found) if found else "not used in the prompt"

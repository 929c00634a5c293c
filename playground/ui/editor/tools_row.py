"""One parameter of a tool in its form."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout

from playground.chains.tool_form import KINDS, Row
from playground.ui.editor.field_line import FieldLine
from playground.ui.theme import GRID


class _Kind(QComboBox):
    """Does not change under a page that is scrolled."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The page's."""
        event.ignore()


class ParameterRow(QFrame):
    """Two lines: name, type, required; description and choices. Says what was done; the form decides."""

    typed = Signal(str, str)
    """(field, text): "name", "description" or "choices"."""
    kind_chosen = Signal(str)
    required_chosen = Signal(bool)
    action = Signal(str)
    """ "up", "down" or "remove"."""

    def __init__(self) -> None:
        super().__init__()
        self.name = FieldLine("Name of the parameter", "name", mono=True)
        self.kind = _Kind()
        self.required = QCheckBox("required")
        self.description = FieldLine("Description", "description: short, it is input on every turn")
        self.choices = FieldLine("Choices", "choices: a, b, c")
        self.lines = {"name": self.name, "description": self.description, "choices": self.choices}
        self.inside = QLabel()
        self.inside.setProperty("tone", "muted")
        self.inside.setWordWrap(True)
        for field, line in self.lines.items():
            line.textEdited.connect(lambda text, chosen=field: self.typed.emit(chosen, text))
        self.kind.activated.connect(lambda _index: self._choose())
        self.required.clicked.connect(self.required_chosen)
        self._lay_out()

    def _lay_out(self) -> None:
        first, second = QHBoxLayout(), QHBoxLayout()
        first.setSpacing(GRID // 2)
        second.setSpacing(GRID // 2)
        first.addWidget(self.name, 1)
        first.addWidget(self.kind)
        first.addWidget(self.required)
        for name, sign, words in (
            ("up", "↑", "Move the parameter up"),
            ("down", "↓", "Move the parameter down"),
            ("remove", "✕", "Remove the parameter"),
        ):
            first.addWidget(self._button(name, sign, words))
        second.addWidget(self.description, 3)
        second.addWidget(self.choices, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, GRID)
        column.setSpacing(GRID // 2)
        column.addLayout(first)
        column.addLayout(second)
        column.addWidget(self.inside)

    def _button(self, name: str, sign: str, words: str) -> QToolButton:
        button = QToolButton()
        button.setText(sign)
        button.setToolTip(words)
        button.setAccessibleName(words)
        button.clicked.connect(lambda: self.action.emit(name))
        return button

    def show_row(self, row: Row, skip: FieldLine | None, *, own: bool) -> None:
        """Show a parameter. `skip` is the field that is being typed in; `own`: a wrong field keeps what was typed."""
        for field, line in self.lines.items():
            if line is skip or (own and line.bad):
                continue
            line.show_text(getattr(row, field))
            line.mark("")
        kinds = KINDS if row.kind in KINDS else (*KINDS, row.kind)
        if [self.kind.itemText(index) for index in range(self.kind.count())] != list(kinds):
            self.kind.clear()
            self.kind.addItems(list(kinds))
        self.kind.setCurrentText(row.kind)
        self.kind.setAccessibleName(f"Type of {row.name}")
        self.required.setChecked(row.required)
        self.required.setAccessibleName(f"{row.name} is required")
        self.choices.setEnabled(row.kind not in ("object", "array", "boolean"))
        self.inside.setText(f"{row.inside}. Kept as it is; edit it as JSON." if row.inside else "")
        self.inside.setVisible(bool(row.inside))

    def _choose(self) -> None:
        if self.kind.currentText() in KINDS:
            self.kind_chosen.emit(self.kind.currentText())

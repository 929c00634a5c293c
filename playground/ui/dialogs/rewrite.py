"""A proposed rewrite of the prompt: its changes, their effect on the forecast, and a button to apply it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QListWidget,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from playground.lint.reorder import Effect, Option
from playground.prompt.diff import changes
from playground.prompt.document import Document
from playground.runs.metrics import dollars
from playground.ui.theme import GRID
from playground.ui.widgets.diff_view import DifferenceView
from playground.ui.widgets.notice import words


class RewriteDialog(QDialog):
    """Shows each option; nothing is changed before it is chosen, and then it is one step that Undo takes back."""

    chosen = Signal(object)
    """The Option."""

    def __init__(
        self,
        before: Document,
        options: Sequence[Option],
        effect: Callable[[Document], Effect],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Fix the prompt")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._before, self._options, self._effect = before, tuple(options), effect
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setAccessibleName("Ways to fix")
        self.list.addItems([option.title for option in options])
        self.why = words("")
        self.difference = DifferenceView()
        self.figures = _Figures()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.apply = QPushButton("Apply")
        self.apply.setProperty("look", "primary")
        self.apply.setDefault(True)
        self.buttons.addButton(self.apply, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self._choose)
        self.buttons.rejected.connect(self.reject)
        self._lay_out()
        self.list.currentRowChanged.connect(self._show)
        self.list.setCurrentRow(0)
        self.list.setFocus()

    def _lay_out(self) -> None:
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(GRID, 0, 0, 0)
        column.addWidget(self.why)
        column.addWidget(self.difference, 1)
        column.addWidget(self.figures)
        split = QSplitter()
        split.addWidget(self.list)
        split.addWidget(right)
        split.setSizes([250, 610])
        split.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        layout.addWidget(split, 1)
        layout.addWidget(words("No word is changed that is not shown here. Undo takes the whole step back.", "muted"))
        layout.addWidget(self.buttons)
        self.resize(900, 600)

    def _show(self, row: int) -> None:
        if not 0 <= row < len(self._options):
            return
        option = self._options[row]
        self.why.setText(option.why)
        self.difference.show_rows(changes(self._before, option.after))
        self.figures.show_effects(self._effect(self._before), self._effect(option.after))

    def _choose(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self._options):
            self.chosen.emit(self._options[row])
        self.accept()


class _Figures(QWidget):
    """The effect before and after, side by side. All of it is estimated."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(3, 1)
        self._cells: list[QLabel] = []

    def show_effects(self, before: Effect, after: Effect) -> None:
        """Both, and the difference in money."""
        for cell in self._cells:
            cell.deleteLater()
        self._cells = []
        rows = (
            ("", "now", "fixed"),
            ("the same in every request", f"≈ {before.stable:,.0f}", f"≈ {after.stable:,.0f} tokens"),
            ("forecast for the next one", f"≈ {before.forecast:,.0f}", f"≈ {after.forecast:,.0f} cached"),
            ("whole prompt", f"≈ {before.prompt:,.0f}", f"≈ {after.prompt:,.0f} tokens"),
            ("input of 1,000 requests, cache warm", _money(before), _money(after)),
        )
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                label = QLabel(text)
                label.setProperty("tone", "muted" if not column or not row else "")
                self._grid.addWidget(label, row, column)
                self._cells.append(label)
        self.setAccessibleName("; ".join(", ".join(cells) for cells in rows[1:]))


def _money(effect: Effect) -> str:
    return "— (no rates set)" if effect.dollars is None else f"≈ {dollars(effect.dollars)}"

"""Dialogs that show changes of a prompt: a proposed rewrite with its effect on the forecast, a file changed on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QWidget

from playground.lint.model import Effect
from playground.prefix_cache.rewrites import PromptRewrite
from playground.prompt.diff import DiffRow, changes
from playground.prompt.document import Document
from playground.runs.metrics import dollars
from playground.ui.theme import GRID
from playground.ui.widgets.form import list_box
from playground.ui.widgets.highlight import DifferenceView
from playground.ui.widgets.labels import push_button, toned
from playground.ui.widgets.layouts import STRETCH, column_of, row_of, split_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.task_dialog import fill_dialog, resize_dialog


class RewriteDialog(QDialog):
    """Shows each option, with the best one selected: the one with the longest stable prefix. Applying is one step of
    the undo history."""

    chosen = Signal(object)
    """The PromptRewrite."""

    def __init__(
        self,
        before: Document,
        options: Sequence[PromptRewrite],
        effect: Callable[[Document], Effect],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Fix the prompt")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._before, self._options = before, tuple(options)
        self._now, self._effects = effect(before), [effect(option.after) for option in options]
        gains = [found.stable - self._now.stable for found in self._effects]
        self.best = max(range(len(gains)), key=gains.__getitem__, default=0)
        """Number of the option that is recommended; of equal ones the first, which changes least."""
        self.list = list_box("Ways to fix", wraps=True)
        for number, option in enumerate(options):
            best = number == self.best and len(options) > 1 and gains[number] >= 1
            self.list.addItem(f"{option.title}\nrecommended" if best else option.title)
            if best:
                self.list.item(number).setToolTip("It has the longest stable prefix.")
        self.why = words("")
        self.difference = DifferenceView()
        self.figures = _Figures()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.apply = push_button("Apply", "primary")
        self.apply.setDefault(True)
        self.buttons.addButton(self.apply, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self._choose)
        self.buttons.rejected.connect(self.reject)
        self._lay_out()
        self.list.currentRowChanged.connect(self._show)
        self.list.setCurrentRow(self.best)
        self.list.setFocus()

    def _lay_out(self) -> None:
        right = QWidget()
        column_of(self.why, (self.difference, 1), self.figures, on=right, margins=(GRID, 0, 0, 0))
        fill_dialog(
            self,
            (900, 600),
            (split_of(Qt.Orientation.Horizontal, self.list, right, sizes=(250, 610)), 1),
            words("Only the changes shown here are applied. Undo reverts them in one step.", "muted"),
            self.buttons,
        )

    def _show(self, row: int) -> None:
        if not 0 <= row < len(self._options):
            return
        option = self._options[row]
        self.why.setText(option.why)
        self.difference.show_rows(changes(self._before, option.after))
        self.figures.show_effects(self._now, self._effects[row])

    def _choose(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self._options):
            self.chosen.emit(self._options[row])
        self.accept()


class _Figures(QWidget):
    """Estimated tokens and cost of this prompt and of the fixed one, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(GRID * 2)
        self._grid.setColumnStretch(3, 1)
        self._cells: list[QLabel] = []

    def show_effects(self, before: Effect, after: Effect) -> None:
        for cell in self._cells:
            cell.deleteLater()
        self._cells = []
        first = " (new to the cache)" if after.forecast < before.forecast else ""
        rows = (
            ("", "this prompt", "after the fix"),
            ("stable prefix, cached with any values", f"≈ {before.stable:,.0f}", f"≈ {after.stable:,.0f} tokens"),
            ("cached at the next send", f"≈ {before.forecast:,.0f}", f"≈ {after.forecast:,.0f} tokens{first}"),
            ("whole prompt", f"≈ {before.prompt:,.0f}", f"≈ {after.prompt:,.0f} tokens"),
            ("input of 1,000 requests, stable prefix cached", _money(before), _money(after)),
        )
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                label = toned(text, "muted" if not column or not row else "")
                self._grid.addWidget(label, row, column)
                self._cells.append(label)
        self.setAccessibleName("; ".join(", ".join(cells) for cells in rows[1:]))


def _money(effect: Effect) -> str:
    return "— (no rates set)" if effect.dollars is None else f"≈ {dollars(effect.dollars)}"


class FileChangesDialog(QDialog):
    """Removed lines are on disk only, added lines in the editor only."""

    reload_requested = Signal()
    keep_requested = Signal()

    def __init__(self, name: str, rows: Sequence[DiffRow], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"{name}: disk and editor")
        self.view = DifferenceView()
        self.view.show_rows(rows or (DiffRow("same", "The prompts are identical."),))
        column = column_of(
            words(f"{name} changed on disk", "strong"),
            words("− lines of the file on disk · + lines of the editor", "muted"),
            (self.view, 1),
            on=self,
            margins=GRID * 2,
            spacing=GRID,
        )
        row = row_of(STRETCH)
        for label, signal in (("Reload", self.reload_requested), ("Keep mine", self.keep_requested), ("Close", None)):
            button = push_button(label, clicked=self.close)
            if signal is not None:
                button.clicked.connect(signal)
            row.addWidget(button)
        column.addLayout(row)
        resize_dialog(self, 760, 520)

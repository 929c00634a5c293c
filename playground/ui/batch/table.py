"""Table of a batch: rows, headings of groups, and a bar of cached tokens."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QFontMetrics, QKeyEvent, QKeySequence, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QHeaderView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from playground.experiments.batch_lines import BatchLine
from playground.ui.batch.model import FIGURES, BatchColumn, BatchModel
from playground.ui.theme import current_theme, mono_font, scaled, ui_font
from playground.ui.widgets.icons import icon
from playground.ui.widgets.id_label import copy_text
from playground.ui.widgets.plain_table import set_up_rows

ROW_PX = 24
PAD_PX = 10
BAR_PX = 52
ICON_PX, ARROW_PX = 13, 12
LEAST_CHAR_PX = 3
"""Width of the narrowest characters: longer texts are cut before they are measured."""
WIDTHS = {"row": 54, "request_id": 290, "in": 70, "cached": 126, "cost": 100, "checks": 72, "status": 106}
"""A request_id is never shortened."""
VARIABLE_PX = (64, 150)
OUTPUT_PX = 180
NARROWEST_PX = 48
NARROW_PX = 1_100
NARROW_DROPS = ("in", "cost")
"""Columns that a narrower table leaves out: the selected row has their figures."""
_PRESS = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
_ICONS = {"queued": "clock", "running": "play", "done": "check", "failed": "error"}


class BatchRowLook(QStyledItemDelegate):
    """Draws headings across all columns, hairlines, status icons and bars of cached tokens."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        plain, mono = ui_font(12, tabular=True), mono_font(12)
        self._plain, self._mono = (plain, QFontMetrics(plain)), (mono, QFontMetrics(mono))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        model, theme, cell = index.model(), current_theme(), QRect(option.rect)
        assert isinstance(model, BatchModel)
        line = model.line(index.row())
        if line is None:
            self._paint_heading(painter, option, model.heading(index.row()), model.is_folded(index.row()))
        else:
            if option.state & QStyle.StateFlag.State_Selected:
                painter.fillRect(cell, theme.selection)
            self._paint_cell(painter, cell, model, line, model.columns[index.column()])
        painter.setPen(theme.line)
        painter.drawLine(cell.bottomLeft(), cell.bottomRight())

    def _paint_heading(self, painter: QPainter, option: QStyleOptionViewItem, text: str, folded: bool) -> None:
        """Draw the part of the heading that is in this cell: it runs across all columns."""
        theme, cell = current_theme(), option.rect
        view = option.widget
        assert isinstance(view, BatchTable)
        offset, current = view.horizontalOffset(), view.currentIndex().row() == view.indexAt(cell.topLeft()).row()
        painter.fillRect(cell, theme.selection if current else theme.sunk)
        painter.save()
        painter.setClipRect(cell)
        painter.setFont(ui_font(12))
        painter.setPen(theme.muted)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextSingleLine
        arrow = icon("right" if folded else "down", theme.muted, ARROW_PX)
        arrow.paint(painter, QRect(PAD_PX - offset, cell.center().y() - ARROW_PX // 2, ARROW_PX, ARROW_PX))
        left = 2 * PAD_PX - offset + ARROW_PX - 4
        if left + painter.fontMetrics().horizontalAdvance(text) > cell.left():
            painter.drawText(QRect(left, cell.top(), 4_000, cell.height()), int(flags), text)
        painter.restore()

    def _paint_cell(
        self, painter: QPainter, cell: QRect, model: BatchModel, line: BatchLine, column: BatchColumn
    ) -> None:
        """Draw a cell without the style, which takes ten times as long with a style sheet."""
        room, theme = cell.adjusted(PAD_PX, 0, -PAD_PX, 0), current_theme()
        if column.kind == "status":
            tone = {"failed": "failure", "running": "accent"}.get(line.status, "muted")
            shape = icon(_ICONS[line.status], getattr(theme, tone), ICON_PX)
            shape.paint(painter, QRect(room.left(), cell.center().y() - 6, ICON_PX, ICON_PX))
            room.setLeft(room.left() + ICON_PX + 6)
        elif column.kind == "cached" and line.result is not None:
            self._paint_bar(painter, cell, line)
            room.setLeft(room.left() + BAR_PX + 8)
        font, metrics = self._mono if column.kind == "request_id" else self._plain
        painter.setFont(font)
        painter.setPen(getattr(theme, model.tone(line, column)))
        text = model.cell(line, column, max(room.width() // LEAST_CHAR_PX, 8))
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width())
        side = Qt.AlignmentFlag.AlignRight if column.kind in FIGURES else Qt.AlignmentFlag.AlignLeft
        flags = side | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine
        painter.drawText(room, int(flags), text)

    def _paint_bar(self, painter: QPainter, cell: QRect, line: BatchLine) -> None:
        """Draw the reported share: cached filled, fresh hollow, so that they differ without color vision."""
        prompt, cached = line.prompt_tokens.value, line.cached_tokens.value
        if not prompt or cached is None:
            return
        theme, bar = current_theme(), QRect(cell.left() + PAD_PX, cell.center().y() - 4, BAR_PX, 8)
        painter.setPen(theme.fresh_outline)
        painter.drawRect(bar.adjusted(0, 0, -1, -1))
        painter.fillRect(QRect(bar.left(), bar.top(), round(bar.width() * min(cached / prompt, 1)), 8), theme.warm_edge)


class BatchTable(QTableView):
    """Arrows, J and K, Home and End move; Enter opens a row in the panes; Ctrl+C copies its request_id.

    A click, Enter or Space on a heading folds or unfolds its group; Left folds the group of any row, Right unfolds it.
    """

    open_asked = Signal()

    def __init__(self, model: BatchModel) -> None:
        super().__init__()
        self._batch = model
        self._widths_for: tuple[str, ...] = ()
        self.setItemDelegate(BatchRowLook(self))
        self.setModel(model)
        set_up_rows(self, "Rows of the batch", ROW_PX, NARROWEST_PX)
        columns = self.horizontalHeader()
        columns.setSortIndicatorClearable(True)
        columns.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.doubleClicked.connect(lambda _index: self.open_asked.emit())
        model.modelReset.connect(self._fit_columns)

    def _fit_columns(self) -> None:
        """Set the widths of other columns than before; the output takes the room that is left."""
        narrow = self.width() < scaled(NARROW_PX)
        kinds = (str(narrow), *(column.title for column in self._batch.columns))
        if kinds == self._widths_for:
            return
        self._widths_for = kinds
        left_out = NARROW_DROPS if narrow else ()
        fixed = sum(WIDTHS.get(column.kind, 0) for column in self._batch.columns if column.kind not in left_out)
        variables = sum(column.kind == "variable" for column in self._batch.columns)
        least, most = VARIABLE_PX
        room = (self.width() - fixed - OUTPUT_PX) // max(variables, 1)
        for number, column in enumerate(self._batch.columns):
            stretched = column.kind == "output"
            self.setColumnHidden(number, column.kind in left_out)
            mode = QHeaderView.ResizeMode.Stretch if stretched else QHeaderView.ResizeMode.Interactive
            self.horizontalHeader().setSectionResizeMode(number, mode)
            if not stretched:
                self.setColumnWidth(number, WIDTHS.get(column.kind, max(least, min(room, most))))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_columns()

    def current_line(self) -> BatchLine | None:
        """Return the selected row."""
        return self._batch.line(self.currentIndex().row()) if self.currentIndex().isValid() else None

    def select_number(self, number: int) -> None:
        """Select a row by its number in the data, if it is displayed."""
        row = self._batch.row_of(number)
        if row is not None:
            flags = QItemSelectionModel.SelectionFlag
            self.selectionModel().setCurrentIndex(self._batch.index(row, 0), flags.ClearAndSelect | flags.Rows)

    def copy_request_id(self) -> None:
        """Copy the selected row's request_id."""
        line = self.current_line()
        if line is not None and line.request_id:
            copy_text(line.request_id)

    def keyboardSearch(self, _search: str) -> None:
        """Do nothing: the filter line finds."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_J: 1, Qt.Key.Key_K: -1}.get(Qt.Key(event.key())) if not event.modifiers() else None
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_request_id()
        elif event.key() in _PRESS and not event.modifiers() and self._is_heading(self.currentIndex()):
            self._fold(self.currentIndex(), not self._batch.is_folded(self.currentIndex().row()))
        elif event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right) and not event.modifiers() and self._batch.has_groups:
            self._fold(self.currentIndex(), event.key() == Qt.Key.Key_Left)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self.open_asked.emit()
        elif event.key() in (Qt.Key.Key_Home, Qt.Key.Key_End):
            self._go(0 if event.key() == Qt.Key.Key_Home else self._batch.rowCount() - 1, 1)
        elif step is not None:
            self._go(self.currentIndex().row() + step, step)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        super().mousePressEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and self._is_heading(index):
            self._fold(index, not self._batch.is_folded(index.row()))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if self._batch.has_groups:
            menu = QMenu(self)
            menu.addAction("Fold all groups").triggered.connect(lambda: self._batch.fold_all(True))
            menu.addAction("Unfold all groups").triggered.connect(lambda: self._batch.fold_all(False))
            menu.aboutToHide.connect(menu.deleteLater)
            menu.popup(event.globalPos())

    def _is_heading(self, index: QModelIndex) -> bool:
        return index.isValid() and self._batch.line(index.row()) is None

    def _fold(self, index: QModelIndex, folded: bool) -> None:
        """Fold or unfold the group of a row; its heading becomes the current row if the rows are hidden."""
        row, group = index.row(), self._batch.group(index.row())
        if group is None:
            return
        while folded and row > 0 and self._batch.line(row) is not None:
            row -= 1
        self._batch.fold(row, folded)
        if self._batch.line(row) is None and self._batch.group(row) == group:
            flags = QItemSelectionModel.SelectionFlag
            self.selectionModel().setCurrentIndex(self._batch.index(row, 0), flags.Clear)

    def _go(self, row: int, step: int) -> None:
        """Select a row; a heading is skipped in the direction of the step."""
        while 0 <= row < self._batch.rowCount() and self._batch.line(row) is None:
            row += step
        line = self._batch.line(row)
        if line is not None:
            self.select_number(line.item.row.number)
            self.scrollTo(self._batch.index(row, 0))

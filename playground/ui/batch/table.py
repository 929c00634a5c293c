"""Table of a batch: rows, headings of groups, and a bar of cached tokens."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QFont, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QHeaderView, QMenu, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from playground.experiments.batch_lines import BatchLine
from playground.ui.batch.model import FIGURES, BatchColumn, BatchModel
from playground.ui.theme import current_theme, mono_font, scaled, ui_font, zoom_factor
from playground.ui.widgets.icons import icon
from playground.ui.widgets.labels import copy_text
from playground.ui.widgets.row_table import BAR_PX, FIGURE_PAD_PX, LEFT, PAD_PX, RIGHT, RowTable, paint_cached_bar

ROW_PX = 24
ICON_PX, ARROW_PX = 13, 12
LEAST_CHAR_PX = 3
"""Width of the narrowest characters: longer texts are cut before they are measured."""
WIDTHS = {"row": 54, "request_id": 290, "in": 88, "cached": 126, "cost": 100, "checks": 72, "status": 106}
"""A request_id is never shortened."""
VARIABLE_PX = (64, 260)
OUTPUT_PX = 180
NARROWEST_PX = 48
NARROW_PX = 1_100
NARROW_DROPS = ("in", "cost")
"""Columns that a narrower table leaves out: the selected row has their figures."""
_ICONS = {"queued": "clock", "running": "play", "done": "check", "failed": "error"}


class BatchRowLook(QStyledItemDelegate):
    """Draws headings across all columns, hairlines, status icons and bars of cached tokens."""

    def __init__(self, parent: BatchTable) -> None:
        super().__init__(parent)
        self._zoom = 0.0
        self._fonts: list[tuple[QFont, QFontMetrics]] = []

    def _font(self, *, mono: bool) -> tuple[QFont, QFontMetrics]:
        if self._zoom != zoom_factor():
            self._zoom = zoom_factor()
            self._fonts = [(font, QFontMetrics(font)) for font in (ui_font(12, tabular=True), mono_font(12))]
        return self._fonts[mono]

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
        flags = LEFT | Qt.TextFlag.TextSingleLine
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
        pad = FIGURE_PAD_PX if column.kind in ("in", "cost") else PAD_PX
        room, theme = cell.adjusted(pad, 0, -PAD_PX, 0), current_theme()
        if column.kind == "status":
            tone = {"failed": "failure", "running": "accent"}.get(line.status, "muted")
            shape = icon(_ICONS[line.status], getattr(theme, tone), ICON_PX)
            shape.paint(painter, QRect(room.left(), cell.center().y() - 6, ICON_PX, ICON_PX))
            room.setLeft(room.left() + ICON_PX + 6)
        elif column.kind == "cached" and line.result is not None:
            prompt, cached = line.prompt_tokens.value, line.cached_tokens.value
            if prompt and cached is not None:
                paint_cached_bar(painter, room.left(), cell.center().y(), cached / prompt)
            room.setLeft(room.left() + BAR_PX + 8)
        font, metrics = self._font(mono=column.kind == "request_id" and bool(line.request_id))
        painter.setFont(font)
        painter.setPen(getattr(theme, model.tone(line, column)))
        text = model.cell(line, column, max(room.width() // LEAST_CHAR_PX, 8))
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width())
        flags = (RIGHT if column.kind in FIGURES else LEFT) | Qt.TextFlag.TextSingleLine
        painter.drawText(room, int(flags), text)


class BatchTable(RowTable):
    """Enter opens a row in the panes; Ctrl+C copies its request_id.

    A click, Enter or Space on a heading folds or unfolds its group; Left folds the group of any row, Right unfolds it.
    """

    open_asked = Signal()

    def __init__(self, model: BatchModel) -> None:
        super().__init__("Rows of the batch", ROW_PX, NARROWEST_PX)
        self.setModel(model)
        self._batch = model
        self._widths_for: tuple[str, ...] = ()
        self.setItemDelegate(BatchRowLook(self))
        columns = self.horizontalHeader()
        columns.setSortIndicatorClearable(True)
        columns.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        model.modelReset.connect(self._fit_columns)

    def _fit_columns(self) -> None:
        """Set the widths of other columns than before; the output takes the room that is left."""
        narrow = self.width() < scaled(NARROW_PX)
        kinds = (str(narrow), *(column.title for column in self._batch.columns))
        if kinds == self._widths_for:
            return
        self._widths_for = kinds
        self.horizontalHeader().setProperty("zoomApplied", zoom_factor())  # sections have their size in this text size
        left_out = NARROW_DROPS if narrow else ()
        fixed = sum(scaled(WIDTHS.get(column.kind, 0)) for column in self._batch.columns if column.kind not in left_out)
        variables = sum(column.kind == "variable" for column in self._batch.columns)
        least, most = map(scaled, VARIABLE_PX)
        room = max(least, min((self.width() - fixed - scaled(OUTPUT_PX)) // max(variables, 1), most))
        for number, column in enumerate(self._batch.columns):
            stretched = column.kind == "output"
            self.setColumnHidden(number, column.kind in left_out)
            mode = QHeaderView.ResizeMode.Stretch if stretched else QHeaderView.ResizeMode.Interactive
            self.horizontalHeader().setSectionResizeMode(number, mode)
            if not stretched:
                self.setColumnWidth(number, scaled(WIDTHS[column.kind]) if column.kind in WIDTHS else room)

    def show_zoom(self) -> None:
        """Apply the text size to rows and columns."""
        self._widths_for = ()
        self._fit_columns()
        self.verticalHeader().setDefaultSectionSize(scaled(ROW_PX))

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

    def open_row(self) -> None:
        """Open the selected row in the panes; fold or unfold the group of a heading."""
        if self._is_heading(self.currentIndex()):
            self._fold(self.currentIndex(), not self._batch.is_folded(self.currentIndex().row()))
        else:
            self.open_asked.emit()

    def copy_row(self) -> None:
        """Copy the selected row's request_id."""
        line = self.current_line()
        if line is not None and line.request_id:
            copy_text(line.request_id)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain, index = not event.modifiers(), self.currentIndex()
        if plain and event.key() == Qt.Key.Key_Space and self._is_heading(index):
            self.open_row()
        elif plain and event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right) and self._batch.has_groups:
            self._fold(index, event.key() == Qt.Key.Key_Left)
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

    def go_to_row(self, row: int, step: int) -> None:
        """Select a row; a heading is skipped in the direction of the step."""
        while 0 <= row < self._batch.rowCount() and self._batch.line(row) is None:
            row += step
        line = self._batch.line(row)
        if line is not None:
            self.select_number(line.item.row.number)
            self.scrollTo(self._batch.index(row, 0))

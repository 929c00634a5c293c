"""Tables of requests, and rows over a list that grows during a stream. Not part of the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QMetaObject, QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QFont, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from playground.ui.theme import Theme, current_theme
from playground.ui.widgets.plain_table import plain_tip, show_as_list

Index = QModelIndex | QPersistentModelIndex
Row = TypeVar("Row")
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class GrowingModel(QAbstractTableModel, Generic[Row]):
    """Rows over a run's own list. Nothing is formatted before its row is painted; tooltips are displayed literally."""

    columns: tuple[str, ...] = ()
    right: tuple[int, ...] = ()
    """Columns of figures, which are aligned to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Sequence[Row] = ()
        self._count = 0

    def show_rows(self, rows: Sequence[Row]) -> None:
        self.beginResetModel()
        self.rows, self._count = rows, len(rows)
        self.endResetModel()

    def grow(self) -> bool:
        """Add the rows that the list has gained. Returns whether there were any."""
        if len(self.rows) == self._count:
            return False
        self.beginInsertRows(QModelIndex(), self._count, len(self.rows) - 1)
        self._count = len(self.rows)
        self.endInsertRows()
        return True

    def text(self, row: int, column: int) -> str:
        raise NotImplementedError

    def tip(self, row: int) -> str:
        raise NotImplementedError

    def font(self, column: int) -> QFont | None:
        """Return the font of a column; None: the table's."""
        raise NotImplementedError

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section]
        return RIGHT if role == Qt.ItemDataRole.TextAlignmentRole and section in self.right else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.text(index.row(), index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(self.tip(index.row()))
        if role == Qt.ItemDataRole.FontRole:
            return self.font(index.column())
        return RIGHT if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in self.right else None


REQUEST_ROW_PX = 25
PAD_PX, FIRST_PAD_PX = 11, 14
"""Beside a cell's text, as the style sheet has it for headers; at the left of the first column."""
FIGURE_PAD_PX = 2
"""Before a right-aligned figure, so that it is not cut: "1,…" would read as another figure."""
BAR_PX, MARK_PX = 52, 3
"""Width of the bar of cached tokens, and of the mark at the left of the row on display."""
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
LINE_LEFT, LINE_RIGHT = ((side | Qt.TextFlag.TextSingleLine).value for side in (LEFT, RIGHT))
"""Flags to draw a cell's text on one line. Combining them takes 6 µs, too long for every cell."""


def paint_cached_bar(painter: QPainter, left: int, middle: int, share: float, theme: Theme | None = None) -> None:
    """Paint the cached share of a prompt: cached filled, fresh hollow, so that they differ without color vision.

    More than the whole prompt cannot be right: nothing is filled.
    """
    colors, bar = theme or current_theme(), QRect(left, middle - 4, BAR_PX, 8)
    painter.fillRect(bar, colors.line)
    painter.setPen(colors.fresh_outline)
    painter.drawRect(bar.adjusted(0, 0, -1, -1))
    bar.setWidth(round(BAR_PX * share) if share <= 1 else 0)
    painter.fillRect(bar, colors.warm_edge)


class RowTable(QTableView):
    """One row is selected as a whole, rows have one height, Tab leaves the table.

    J, K, Home and End move the selection like the arrows. Subclasses say what Enter, a double click and Ctrl+C do.
    """

    def __init__(self, name: str, row_px: int = REQUEST_ROW_PX, least_column_px: int = 40) -> None:
        self._fitting = False
        super().__init__()
        show_as_list(self, name, row_px)
        self.setProperty("rows", "true")
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setTextElideMode(Qt.TextElideMode.ElideRight)
        columns.setMinimumSectionSize(least_column_px)
        self.doubleClicked.connect(lambda _index: self.open_row())

    def updateGeometries(self) -> None:
        """Show whole rows only: a strip of a row would be read, and hit, as if it were one."""
        if self._fitting:
            return
        self._fitting = True
        super().updateGeometries()
        numbers, view, margins = self.verticalHeader(), self.viewport(), self.viewportMargins()
        room, row = view.height(), numbers.defaultSectionSize()
        if room > row and room % row:
            self.setViewportMargins(margins.left(), margins.top(), margins.right(), room % row)
            numbers.resize(numbers.width(), view.height())  # the last rows are placed by the height of their numbers
            QMetaObject.invokeMethod(numbers, "updateGeometries")
            bar = self.verticalScrollBar()
            if bar.maximum() and bar.value() == bar.maximum():
                numbers.setOffsetToLastSection()
        self._fitting = False

    def open_row(self) -> None:
        raise NotImplementedError

    def copy_row(self) -> None:
        raise NotImplementedError

    def go_to_row(self, row: int, step: int) -> None:
        """Select a row and show it. `step`: the direction in which it was reached, 1 or -1."""
        self.selectRow(min(max(row, 0), self.model().rowCount() - 1))

    def keyboardSearch(self, _search: str) -> None:
        """Do nothing: Qt's search would read every row. The filter line finds."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # The keys of a number pad have a modifier.
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        last, now = self.model().rowCount() - 1, self.currentIndex().row()
        ways = {
            Qt.Key.Key_Home: (0, 1),
            Qt.Key.Key_End: (last, -1),
            Qt.Key.Key_J: (now + 1, 1),
            Qt.Key.Key_K: (now - 1, -1),
        }
        way = ways.get(Qt.Key(event.key())) if plain else None
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_row()
        elif plain and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.open_row()
        elif way is not None and last >= 0:
            self.go_to_row(*way)
        else:
            super().keyPressEvent(event)

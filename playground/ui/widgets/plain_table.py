"""Tables: to read, of requests, over a list that grows during a stream; tooltips of untrusted text; rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QFont, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView

from playground.export.terminal import visible
from playground.ui.theme import Theme, current_theme, scaled

if TYPE_CHECKING:
    from PySide6.QtWidgets import QTableWidget

# Imported in the functions: the first frame has no table.


ROW_PX = 26


def plain_tip(text: str) -> str:
    """Return `text` for a tooltip, displayed literally.

    Qt takes a tooltip that looks like markup for markup, and would load the file that an <img> in a completion names.
    """
    if "<" not in text and "&" not in text:
        return text
    # Imported here: few texts need it, and its table of entities is a millisecond of the start.
    from html import escape

    return f'<p style="white-space: pre-wrap">{escape(text)}</p>'


def hairline() -> QFrame:
    """Return a line of one pixel in the theme's line color, as wide as its place."""
    line = QFrame()
    line.setProperty("look", "hairline")
    return line


def set_list_look(table: QTableView, name: str, row_px: int, widths: Sequence[int]) -> None:
    """Give a table over a model the look of a list of rows: its name, height of a row, widths of its first columns."""
    from PySide6.QtWidgets import QHeaderView, QTableView

    table.setProperty("look", "pane")
    table.setAccessibleName(name)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
    table.setTabKeyNavigation(False)
    rows = table.verticalHeader()
    rows.hide()
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    rows.setDefaultSectionSize(row_px)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    for column, width in enumerate(widths):
        header.resizeSection(column, width)
    header.setStretchLastSection(True)


def plain_table(name: str, columns: Sequence[str], stretched: int, widths: Mapping[int, int]) -> QTableWidget:
    """`stretched` is the column that takes the room that is left; `widths` are others' in device-independent pixels."""
    from PySide6.QtWidgets import QHeaderView, QTableWidget

    table = QTableWidget(0, len(columns))
    table.setAccessibleName(name)
    # Names of fields are written as in the protocol.
    table.setHorizontalHeaderLabels([one if "_" in one else one[:1].upper() + one[1:] for one in columns])
    table.verticalHeader().setDefaultSectionSize(scaled(ROW_PX))
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    header = table.horizontalHeader()
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
    for column, width in widths.items():
        table.setColumnWidth(column, width)
    header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
    return table


def fill_table(table: QTableWidget, rows: Sequence[Sequence[str]]) -> None:
    """Replace the rows. Control characters are displayed as escapes."""
    from PySide6.QtWidgets import QTableWidgetItem

    table.setRowCount(len(rows))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            item = QTableWidgetItem(visible(text))
            item.setToolTip(plain_tip(item.text()))
            table.setItem(number, column, item)


AnyIndex = QModelIndex | QPersistentModelIndex
Row = TypeVar("Row")
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


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
        """Display another run's rows."""
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
        """Return the text of a cell."""
        raise NotImplementedError

    def tip(self, row: int) -> str:
        """Return the text of a row's tooltip."""
        raise NotImplementedError

    def font(self, column: int) -> QFont | None:
        """Return the font of a column; None: the table's."""
        raise NotImplementedError

    def rowCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section]
        return _RIGHT if role == Qt.ItemDataRole.TextAlignmentRole and section in self.right else None

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Qt's hook."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.text(index.row(), index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(self.tip(index.row()))
        if role == Qt.ItemDataRole.FontRole:
            return self.font(index.column())
        return _RIGHT if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in self.right else None


REQUEST_ROW_PX = 25
PAD_PX, FIRST_PAD_PX = 11, 14
FIGURE_PAD_PX = 2
"""Before a right-aligned figure, so that it is not cut: "1,…" would read as another figure."""
"""Beside a cell's text, as the style sheet has it for headers; at the left of the first column."""
BAR_PX, MARK_PX = 52, 3
"""Width of the bar of cached tokens, and of the mark at the left of the row on display."""
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
Index = QModelIndex | QPersistentModelIndex


def paint_cached_bar(painter: QPainter, left: int, middle: int, share: float, theme: Theme | None = None) -> None:
    """Paint the cached share of a prompt: cached filled, fresh hollow, so that they differ without color vision."""
    colors, bar = theme or current_theme(), QRect(left, middle - 4, BAR_PX, 8)
    painter.fillRect(bar, colors.line)
    painter.setPen(colors.fresh_outline)
    painter.drawRect(bar.adjusted(0, 0, -1, -1))
    bar.setWidth(round(BAR_PX * min(share, 1.0)))
    painter.fillRect(bar, colors.warm_edge)


class RowTable(QTableView):
    """One row is selected as a whole, rows have one height, Tab leaves the table.

    J, K, Home and End move the selection like the arrows. Subclasses say what Enter, a double click and Ctrl+C do.
    """

    def __init__(self, name: str, row_px: int = REQUEST_ROW_PX, least_column_px: int = 40) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setProperty("rows", "true")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(row_px)
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(least_column_px)
        self.doubleClicked.connect(lambda _index: self.open_row())

    def open_row(self) -> None:
        """Open the selected row."""
        raise NotImplementedError

    def copy_row(self) -> None:
        """Copy the selected row's request_id."""
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

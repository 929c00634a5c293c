"""Tables of requests, and rows over a list that grows during a stream. Not part of the first frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct
from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QMetaObject,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFont, QFontMetrics, QKeyEvent, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from playground.ui.theme import current_theme, mono_font, scaled, ui_font
from playground.ui.widgets.plain_table import plain_tip, show_as_list

Index = QModelIndex | QPersistentModelIndex
Row = TypeVar("Row")
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_NOWHERE = QModelIndex()


class RowModel(QAbstractTableModel):
    """Answers Qt by row and column. Subclasses have the texts; tooltips are displayed literally."""

    titles: Sequence[str] = ()
    """The headings of the columns. Qt asks often how many there are."""

    def text(self, row: int, column: int) -> str:
        raise NotImplementedError

    def tip(self, row: int, column: int) -> str:
        raise NotImplementedError

    def spoken(self, _row: int, _column: int) -> str | None:
        """Return what screen readers read; None: the text."""
        return None

    def is_figure(self, _column: int) -> bool:
        """Return whether a column has figures, which are aligned to the right."""
        return False

    def font(self, _column: int) -> QFont | None:
        """Return the font of a column; None: the table's."""
        return None

    def color(self, _row: int, _column: int) -> QColor | None:
        """Return the color of a cell's text; None: that of text."""
        return None

    def hint(self, _column: int) -> str:
        """Return the tooltip of a heading."""
        return ""

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.titles)

    def repaint_rows(self, first: int = 0, last: int | None = None) -> None:
        """Repaint the visible rows from `first` to `last`; None: to the end."""
        last = self.rowCount() - 1 if last is None else last
        if 0 <= first <= last:
            self.dataChanged.emit(self.index(first, 0), self.index(last, self.columnCount() - 1))

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < self.columnCount():
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self.titles[section]
            case Qt.ItemDataRole.ToolTipRole:
                return self.hint(section)
            case Qt.ItemDataRole.TextAlignmentRole:
                return RIGHT if self.is_figure(section) else LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = index.row(), index.column()
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self.text(row, column)
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tip(self.tip(row, column))
            case Qt.ItemDataRole.AccessibleTextRole:
                return self.spoken(row, column)
            case Qt.ItemDataRole.TextAlignmentRole:
                return RIGHT if self.is_figure(column) else LEFT
            case Qt.ItemDataRole.FontRole:
                return self.font(column)
            case Qt.ItemDataRole.ForegroundRole:
                return self.color(row, column)
        return None


class GrowingModel(RowModel, Generic[Row]):
    """Rows over a run's own list. Nothing is formatted before its row is painted."""

    right: tuple[int, ...] = ()
    """Columns of figures."""

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
        self.beginInsertRows(_NOWHERE, self._count, len(self.rows) - 1)
        self._count = len(self.rows)
        self.endInsertRows()
        return True

    def is_figure(self, column: int) -> bool:
        return column in self.right

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else self._count


REQUEST_ROW_PX = 25
PAD_PX, FIRST_PAD_PX = 11, 14
"""Beside a cell's text, as the style sheet has it for headers; at the left of the first column."""
FIGURE_PAD_PX = 2
"""Before a right-aligned figure, so that it is not cut: "1,…" would read as another figure."""
BAR_PX, MARK_PX = 52, 3
"""Width of the bar of cached tokens, and of the mark at the left of the row on display."""
_LINE_LEFT, _LINE_RIGHT = ((side | Qt.TextFlag.TextSingleLine).value for side in (LEFT, RIGHT))
"""Flags to draw a cell's text on one line. Combining them takes 6 µs, too long for every cell."""
Spans: TypeAlias = Sequence[tuple[int, int, int]]
"""Visible columns: number, left edge and width in the viewport."""


class RowFont(Struct, frozen=True):
    """The font of a cell, at 100 %."""

    mono: bool = False
    px: int = 12
    tabular: bool = True

    def made(self) -> QFont:
        """Return the font in the present text size."""
        return mono_font(self.px) if self.mono else ui_font(self.px, tabular=self.tabular)


@lru_cache(maxsize=32)
def _font(font: RowFont, _scaled_px: int) -> QFont:
    return font.made()


@lru_cache(maxsize=2_048)
def _elided(text: str, width: int, font: RowFont, _scaled_px: int) -> str:
    """Cut a text to a width. Qt takes 10 to 40 µs for it, too long for every cell of every paint."""
    return QFontMetrics(font.made()).elidedText(text, Qt.TextElideMode.ElideRight, width)


@lru_cache(maxsize=512)
def _width(text: str, font: RowFont, _scaled_px: int) -> int:
    return QFontMetrics(font.made()).horizontalAdvance(text)


def text_width(text: str, font: RowFont) -> int:
    """Return the width of a text in the present text size."""
    return _width(text, font, scaled(font.px))


def paint_text(painter: QPainter, room: QRect, text: str, font: RowFont, color: QColor, *, right: bool) -> None:
    """Draw the text of a cell, as much of it as there is room for."""
    px = scaled(font.px)
    painter.setFont(_font(font, px))
    painter.setPen(color)
    if not text.isascii():  # dots at the end of a text from right to left are at its left
        painter.setLayoutDirection(Qt.LayoutDirection.LayoutDirectionAuto)
    painter.drawText(room, _LINE_RIGHT if right else _LINE_LEFT, _elided(text, room.width(), font, px))


def paint_line_below(painter: QPainter, area: QRect) -> None:
    painter.setPen(current_theme().line)
    painter.drawLine(area.bottomLeft(), area.bottomRight())


def paint_cached_bar(painter: QPainter, left: int, middle: int, share: float) -> None:
    """Paint the cached share of a prompt: cached filled, fresh hollow, so that they differ without color vision.

    More than the whole prompt cannot be right: nothing is filled.
    """
    colors, bar = current_theme(), QRect(left, middle - 4, BAR_PX, 8)
    painter.fillRect(bar, colors.line)
    painter.setPen(colors.fresh_outline)
    painter.drawRect(bar.adjusted(0, 0, -1, -1))
    bar.setWidth(round(BAR_PX * share) if share <= 1 else 0)
    painter.fillRect(bar, colors.warm_edge)


class RowTable(QTableView):
    """One row is selected as a whole, Tab leaves the table. Subclasses paint their rows, which may be higher than
    `row_px`.

    J, K, Home and End move the selection like the arrows. Subclasses say what Enter, a double click and Ctrl+C do.
    """

    asked = Signal(str)
    """What is to be done with the selected rows: a name of `keys`, or of the subclass's menu."""

    def __init__(
        self, name: str, row_px: int = REQUEST_ROW_PX, least_column_px: int = 40, keys: Mapping[str, str] | None = None
    ) -> None:
        """`keys`: a name for `asked` by its key."""
        self._fitting, self._keys = False, keys or {}
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

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint whole rows in one pass: to let the view ask a delegate for each cell takes ten times as long."""
        painter, model = QPainter(self.viewport()), self.model()
        columns = [(at, self.columnViewportPosition(at), self.columnWidth(at)) for at in range(model.columnCount())]
        for area in event.region():  # type: ignore[attr-defined]  # single cells of a row that goes on; otherwise one area
            painter.setClipRect(area)
            end = area.right()
            spans = [span for span in columns if span[2] and span[1] <= end and span[1] + span[2] > area.left()]
            row = self.rowAt(area.top())
            while 0 <= row < model.rowCount() and (top := self.rowViewportPosition(row)) <= area.bottom():
                self.paint_row(painter, row, QRect(0, top, self.viewport().width(), self.rowHeight(row)), spans)
                row += 1

    def paint_row(self, painter: QPainter, number: int, area: QRect, spans: Spans) -> None:
        raise NotImplementedError

    def rowsInserted(self, parent: Index, start: int, end: int) -> None:
        """Keep the visible rows in place when new ones come on top, unless the newest one is visible."""
        bar = self.verticalScrollBar()
        top = bar.value()
        super().rowsInserted(parent, start, end)
        if top > 0 and start == 0:
            self.updateGeometries()  # else the bar still has its old end
            bar.setValue(top + end + 1)

    def select_only(self, index: QModelIndex) -> None:
        """Select one row. QAbstractItemView.setCurrentIndex extends the selection while Ctrl is down (Ctrl+Enter)."""
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

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
        elif plain and (name := self._keys.get(QKeySequence(event.key()).toString())):
            self.asked.emit(name)
        elif way is not None and last >= 0:
            self.go_to_row(*way)
        else:
            super().keyPressEvent(event)

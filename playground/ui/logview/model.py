"""The log as a table of all its rows, of which only the pages that are looked at are in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor, QFont

from playground.requestlog.filter import EVERYTHING, LogFilter
from playground.requestlog.records import LogRow
from playground.ui.logview.columns import COLUMNS
from playground.ui.logview.source import LogSource
from playground.ui.theme import Theme, mono_font, ui_font

PAGE = 128
MAX_PAGES = 24

Index = QModelIndex | QPersistentModelIndex
Start = Callable[[Coroutine[Any, Any, None], str], object]
_NOWHERE = QModelIndex()
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class LogModel(QAbstractTableModel):
    """Rows are asked for when they are painted; until they have come a cell shows …"""

    loaded = Signal()
    """Rows or their number have come."""

    def __init__(self, theme: Theme, start: Start) -> None:
        super().__init__()
        self._theme, self._start = theme, start
        self._source: LogSource | None = None
        self._filter = EVERYTHING
        self._count = 0
        self._pages: OrderedDict[int, list[LogRow]] = OrderedDict()
        self._asked: set[int] = set()
        self._generation = 0
        self._figures, self._ids, self._plain = ui_font(12, tabular=True), mono_font(12), ui_font(12)

    def set_source(self, source: LogSource | None) -> None:
        """Show another log, from its newest request on."""
        self._source = source
        self.show_filter(EVERYTHING)

    @property
    def filter(self) -> LogFilter:
        """What is shown."""
        return self._filter

    def show_filter(self, chosen: LogFilter) -> None:
        """Show what matches."""
        self._filter = chosen
        self.refresh()

    def refresh(self) -> None:
        """Ask anew for the number of rows and for the pages that are held; what is shown stays until they come."""
        self._generation += 1
        self._asked.clear()
        if self._source is not None:
            self._start(self._load(self._source, self._generation), "read the request log")
        else:
            self._take(0, {})

    async def _load(self, source: LogSource, generation: int) -> None:
        count = await source.count(self._filter, None)
        wanted = [page for page in self._pages if page * PAGE < count.n] or [0]
        pages = {page: await source.rows_at(self._filter, page * PAGE, PAGE) for page in wanted[-2:]}
        if generation == self._generation:
            self._take(count.n, pages)

    def _take(self, count: int, pages: dict[int, list[LogRow]]) -> None:
        if count != self._count:
            self._resize(count)
        self._pages = OrderedDict(pages)
        if count:
            self.dataChanged.emit(self.index(0, 0), self.index(count - 1, len(COLUMNS) - 1))
        self.loaded.emit()

    def _resize(self, count: int) -> None:
        if count > self._count:
            # New requests are the newest: they come in at the top, and push the selection down with its row.
            self.beginInsertRows(_NOWHERE, 0, count - self._count - 1)
            self._count = count
            self.endInsertRows()
        else:
            self.beginResetModel()
            self._count = count
            self.endResetModel()

    def row(self, number: int) -> LogRow | None:
        """A row, where it is in memory; else it is asked for."""
        page, place = divmod(number, PAGE)
        rows = self._pages.get(page)
        if rows is None:
            self._ask(page)
            return None
        self._pages.move_to_end(page)
        return rows[place] if place < len(rows) else None

    def _ask(self, page: int) -> None:
        if page in self._asked or self._source is None:
            return
        self._asked.add(page)
        self._start(self._load_page(self._source, page, self._generation), "read a page of the request log")

    async def _load_page(self, source: LogSource, page: int, generation: int) -> None:
        rows = await source.rows_at(self._filter, page * PAGE, PAGE)
        if generation != self._generation:
            return
        self._pages[page] = rows
        while len(self._pages) > MAX_PAGES:
            self._asked.discard(self._pages.popitem(last=False)[0])
        last = min((page + 1) * PAGE, self._count) - 1
        if last >= page * PAGE:
            self.dataChanged.emit(self.index(page * PAGE, 0), self.index(last, len(COLUMNS) - 1))
        self.loaded.emit()

    def find(self, run_id: str) -> int | None:
        """Where a run stands, among the rows in memory."""
        for page, rows in self._pages.items():
            for place, row in enumerate(rows):
                if row.run_id == run_id:
                    return page * PAGE + place
        return None

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        if self._count:
            self.dataChanged.emit(self.index(0, 0), self.index(self._count - 1, len(COLUMNS) - 1))

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if COLUMNS[section].figure else _LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.figure else _LEFT
        if role == Qt.ItemDataRole.FontRole:
            return self._font(column.figure, column.mono)
        if role not in _CELL_ROLES:
            return None
        row = self.row(index.row())
        if row is None:
            return "…" if role == Qt.ItemDataRole.DisplayRole else None
        cell = column.cell(row)
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._color(cell.tone)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.title}: {'unknown' if cell.text == '—' else cell.text}"
        return cell.text if role == Qt.ItemDataRole.DisplayRole else (cell.why or cell.text)

    def _font(self, figure: bool, mono: bool) -> QFont:
        return self._ids if mono else (self._figures if figure else self._plain)

    def _color(self, tone: str) -> QColor | None:
        color = getattr(self._theme, tone) if tone else None
        return color if isinstance(color, QColor) else None


_CELL_ROLES = frozenset(
    (
        Qt.ItemDataRole.DisplayRole,
        Qt.ItemDataRole.ForegroundRole,
        Qt.ItemDataRole.ToolTipRole,
        Qt.ItemDataRole.AccessibleTextRole,
    )
)

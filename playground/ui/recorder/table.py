"""The recorded requests as a table, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QIcon, QKeyEvent, QPainter, QPaintEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import QHeaderView, QMenu

from playground.export.terminal import visible, visible_line
from playground.requestlog.records import LogRow
from playground.runs.metrics import UNKNOWN
from playground.ui.panes.log.columns import COLUMNS, Cell, status_icon
from playground.ui.panes.log.details import NOTHING, RowDetail
from playground.ui.theme import Theme, current_theme, mono_font, scaled, ui_font, zoom_factor
from playground.ui.widgets.icons import ROW_ICON_PX, paint_row_icon, row_icon
from playground.ui.widgets.plain_table import plain_tip
from playground.ui.widgets.row_table import (
    BAR_PX,
    FIGURE_PAD_PX,
    FIRST_PAD_PX,
    LEFT,
    LINE_LEFT,
    LINE_RIGHT,
    MARK_PX,
    PAD_PX,
    REQUEST_ROW_PX,
    RIGHT,
    Index,
    RowTable,
    paint_cached_bar,
)

_NOWHERE = QModelIndex()
_TITLES = "time", "status", "request_id", "in", "cached", "TTFT", "prefix"
_LOG = [column for column in COLUMNS if column.title in _TITLES]
_TIME, _STATUS, _ID, _IN, _CACHED, _TTFT, _CAUSE = range(len(_LOG))
Spans: TypeAlias = tuple[tuple[int, int, int], ...]
"""Visible columns: number, left edge and width in device-independent pixels."""
_FIGURES = frozenset((_IN, _CACHED, _TTFT))
_MAX_DRAWN = 200
_WIDTHS = (79, 126, 284, 62, 114, 68)
_STATUS_PX, _ROOMY_PX = 176, 1_000
"""Width of the status from this width of the table on: whole texts like "200 cut at max_tokens"."""
_NARROW = {_TIME: 79, _STATUS: 66, _ID: 88, _IN: 57, _CACHED: 66}
"""Least widths; a shorter request_id ends with dots. Copying and the tooltips have the whole one."""
_WIDE_PX = 840
"""Least width with all columns; below it, TTFT is only in the tooltip of the status."""
_BAR_TABLE_PX = 738
"""Least width of a narrow table with bars of cached tokens, beside a whole request_id."""
_ICON_COLUMN_PX = 40
_CAUSE_PX, _LEAST_CAUSE_PX, _FIRST_CAUSE_PX = 138, 64, 120
"""Width that the cause has before the request_id becomes longer, its least one, and before a scrolled request_id."""
_NARROW_COLUMNS = (_TIME, _STATUS, _ID, _IN, _CACHED), (_STATUS, _ID, _CACHED), (_STATUS, _ID)
"""Columns of a narrow table: the first of these that leave room for the cause. Else the request_id is behind the
cause, and the table scrolls sideways to it. The tooltip of the status has the other columns."""


ASKS = (
    ("open", "Open in Prompt mode", "Enter"),
    ("prompt", "Open as prompt, varying spans as variables", "O"),
    ("resend", "Send again", "R"),
    ("compare", "Compare with the request before it", "C"),
    ("earlier", "Select the request before it", "P"),
    ("ticket", "Support ticket…", "S"),
    ("copy", "Copy request_id", "Ctrl+C"),
)
"""What can be done with a row: name, label, key."""


def _status_icon(row: LogRow) -> QIcon:
    name, tone = status_icon(row)
    return row_icon(name, getattr(current_theme(), tone).name(), ROW_ICON_PX)


class RecordedModel(QAbstractTableModel):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[LogRow] = []
        self._details: Mapping[str, RowDetail] = {}
        self._cells: dict[str, tuple[LogRow, RowDetail, list[Cell]]] = {}
        """Cells of rows that were displayed: painting asks for each several times."""
        self._status_heading = True
        self.set_fonts()

    def set_fonts(self) -> None:
        self._fonts = mono_font(12), ui_font(12, tabular=True)
        self.repaint_rows()

    def show_rows(self, rows: Sequence[LogRow], details: Mapping[str, RowDetail]) -> None:
        """Show these, newest first. New rows are inserted on top, so that selection and scroll position stay."""
        self._details = details
        if len(self._cells) > 2 * len(rows) + 100:
            self._cells.clear()
        known = self.rows[0].number if self.rows else 0
        new = sum(row.number > known for row in rows)
        stay = len(rows) - new
        if not stay or [row.run_id for row in rows[new:]] != [row.run_id for row in self.rows[:stay]]:
            self.beginResetModel()
            self.rows = list(rows)
            self.endResetModel()
            return
        if stay < len(self.rows):
            # The oldest rows fall off the end.
            self.beginRemoveRows(_NOWHERE, stay, len(self.rows) - 1)
            self.rows = self.rows[:stay]
            self.endRemoveRows()
        if new:
            self.beginInsertRows(_NOWHERE, 0, new - 1)
            self.rows = list(rows)
            self.endInsertRows()
        self.rows = list(rows)
        self.repaint_rows()

    def show_status_heading(self, shown: bool) -> None:
        """Show or hide the heading of a status column that has room for an icon only."""
        if shown != self._status_heading:
            self._status_heading = shown
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, _STATUS, _STATUS)

    def repaint_rows(self) -> None:
        if self.rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.rows) - 1, _CAUSE))

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(_LOG)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(section)
        if role == Qt.ItemDataRole.DisplayRole and section == _STATUS and not self._status_heading:
            return ""
        if role == Qt.ItemDataRole.DisplayRole:
            return "What broke the prefix" if section == _CAUSE else _LOG[section].header
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(index.column())
        if role == Qt.ItemDataRole.FontRole:
            return self._fonts[index.column() != _ID]
        if role not in _CELL_ROLES:
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DecorationRole:
            return _status_icon(row) if index.column() == _STATUS else None
        cell = self.cell(row, index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return cell.text
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tip(visible(cell.why) or cell.text)
            case Qt.ItemDataRole.AccessibleTextRole:
                title = "What broke the prefix" if index.column() == _CAUSE else _LOG[index.column()].title
                return f"{title}: {'unknown' if cell.text == UNKNOWN else cell.text}"
            case Qt.ItemDataRole.ForegroundRole:
                color = getattr(current_theme(), cell.tone, None) if cell.tone else None
                return color if isinstance(color, QColor) else None
        return None

    def cell(self, row: LogRow, column: int) -> Cell:
        return self.row_cells(row)[column]

    def row_cells(self, row: LogRow) -> list[Cell]:
        detail = self._details.get(row.run_id, NOTHING)
        known = self._cells.get(row.run_id)
        if known is not None and known[0] is row and known[1] is detail:
            return known[2]
        cells = [column.cell(row, detail) for column in _LOG]
        cells = [Cell(visible_line(cell.text), cell.why, cell.tone) for cell in cells]
        time, tokens, cached, ttft = (cells[column].text for column in (_TIME, _IN, _CACHED, _TTFT))
        figures = f"{time} · In {tokens} · cached {cached} · TTFT {ttft}\nrequest_id {cells[_ID].text}"
        status = cells[_STATUS]
        cells[_STATUS] = Cell(status.text, "\n".join(filter(None, (status.why, figures))), status.tone)
        self._cells[row.run_id] = row, detail, cells
        return cells

    @staticmethod
    def _alignment(column: int) -> Qt.AlignmentFlag:
        return RIGHT if _LOG[column].figure else LEFT


_CELL_ROLES = frozenset(
    (
        Qt.ItemDataRole.DisplayRole,
        Qt.ItemDataRole.ToolTipRole,
        Qt.ItemDataRole.AccessibleTextRole,
        Qt.ItemDataRole.ForegroundRole,
        Qt.ItemDataRole.DecorationRole,
    )
)


class _RowPainter:
    """Draws whole rows without the style, and each only once: rows mostly move down while streams run."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        self._drawn: dict[tuple[object, ...], QPixmap] = {}
        self.set_fonts()

    def set_fonts(self) -> None:
        self._fonts = tuple((font, QFontMetrics(font)) for font in (ui_font(12, tabular=True), mono_font(12)))
        self._drawn.clear()

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self._drawn.clear()

    def drawn(self, row: LogRow, cells: Sequence[Cell], spans: Spans, selected: bool, ratio: float) -> QPixmap:
        """Return the picture of a row. `spans`: left edge and width of each visible column; `ratio`: of the device."""
        bar_px = 0
        if row.cached_tokens is not None and row.prompt_tokens:
            bar_px = 1 + round(BAR_PX * min(row.cached_tokens / row.prompt_tokens, 1.0))
        key = (spans, selected, ratio, row.phase, bar_px, *((cell.text, cell.tone) for cell in cells))
        drawn = self._drawn.get(key)
        if drawn is None:
            if len(self._drawn) >= _MAX_DRAWN:
                self._drawn.clear()
            width, height = sum(width for _, _, width in spans), scaled(REQUEST_ROW_PX)
            drawn = QPixmap(round(width * ratio), round(height * ratio))
            drawn.setDevicePixelRatio(ratio)
            drawn.fill(self._theme.selection if selected else self._theme.surface)
            painter = QPainter(drawn)
            for column, left, room in spans:
                painter.save()
                painter.translate(left, 0)
                painter.setClipRect(0, 0, room, height)
                if selected and left == 0:
                    painter.fillRect(0, 0, MARK_PX, height, self._theme.accent)
                self._draw(painter, QRect(0, 0, room, height), cells[column], column, row, bar_px - 1)
                painter.restore()
            painter.end()
            self._drawn[key] = drawn
        return drawn

    def _draw(self, painter: QPainter, rect: QRect, cell: Cell, column: int, row: LogRow, bar_px: int) -> None:
        """Draw one cell. `bar_px`: pixels of the bar of cached tokens; negative if they are not reported."""
        theme, left, text = self._theme, FIRST_PAD_PX if column == _TIME else PAD_PX, cell.text
        has_bar = column == _CACHED and rect.width() >= BAR_PX + scaled(50)
        left = FIGURE_PAD_PX if column in _FIGURES and not has_bar else left
        room = rect.width() - left - PAD_PX
        painter.setPen(theme.line)
        painter.drawLine(0, rect.bottom(), rect.right(), rect.bottom())
        if column == _STATUS:
            name, tone = status_icon(row)
            icon_px = 6 + paint_row_icon(painter, name, left, rect.height() // 2, getattr(theme, tone))
            left, room = left + icon_px, room - icon_px
            text = text if rect.width() > scaled(_NARROW[_STATUS]) else text.partition(" ")[0]
            text = text if rect.width() > scaled(_ICON_COLUMN_PX) else ""
        elif has_bar and bar_px >= 0:
            paint_cached_bar(painter, left, rect.center().y(), bar_px / BAR_PX, theme)
        font, metrics = self._fonts[column == _ID]
        if column == _STATUS and metrics.horizontalAdvance(text) > room:
            text = ""  # the icon and the tooltip say it
        painter.setFont(font)
        painter.setPen(getattr(theme, cell.tone) if cell.tone else theme.text)
        place = QRect(left, 0, room, rect.height())
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
        painter.drawText(place, LINE_RIGHT if column in _FIGURES else LINE_LEFT, text)


class RecordedTable(RowTable):
    """Recorded requests; ASKS are keys and entries of the menu."""

    asked = Signal(str)
    """A name of ASKS, for the selected row."""
    selected = Signal()

    def __init__(self, model: RecordedModel, theme: Theme) -> None:
        super().__init__("Recorded requests", scaled(REQUEST_ROW_PX))
        self.setModel(model)
        self.recorded = model
        self._look = _RowPainter(theme)
        self._wide: bool | None = None
        self._fit(wide=True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu_at)
        self.selectionModel().selectionChanged.connect(lambda _on, _off: self.selected.emit())

    def set_theme(self, theme: Theme) -> None:
        self._look.set_theme(theme)
        self.recorded.repaint_rows()

    def show_zoom(self) -> None:
        self.recorded.set_fonts()
        self._look.set_fonts()
        self.verticalHeader().setDefaultSectionSize(scaled(REQUEST_ROW_PX))
        self._wide = None
        self._fit(wide=self.width() >= scaled(_WIDE_PX))

    def _fit(self, *, wide: bool) -> None:
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setProperty("zoomApplied", zoom_factor())  # sections have their size in the present text size
        if wide != self._wide:
            self._wide = wide
            for column, width in enumerate(_WIDTHS):
                self.setColumnHidden(column, not wide and column not in _NARROW)
                self.setColumnWidth(column, scaled(width if wide else _NARROW.get(column, width)))
        if not wide:
            room = self.viewport().width()
            px = {column: scaled(least) for column, least in _NARROW.items()}
            if room >= scaled(_BAR_TABLE_PX):
                px[_CACHED] = scaled(_WIDTHS[_CACHED])
            left = {columns: room - sum(px[column] for column in columns) for columns in _NARROW_COLUMNS}
            shown = next((columns for columns in _NARROW_COLUMNS if left[columns] >= scaled(_LEAST_CAUSE_PX)), None)
            scrolls = shown is None
            if shown is None:
                shown, px[_STATUS], px[_ID] = (_STATUS, _ID), scaled(_ICON_COLUMN_PX), scaled(_WIDTHS[_ID])
            else:
                px[_ID] = min(px[_ID] + max(0, left[shown] - scaled(_CAUSE_PX)), scaled(_WIDTHS[_ID]))
            for column, width in px.items():
                self.setColumnWidth(column, width)
                self.setColumnHidden(column, column not in shown)
            self.recorded.show_status_heading(not scrolls)
        else:
            scrolls = False
            self.setColumnWidth(_STATUS, scaled(_STATUS_PX if self.width() >= scaled(_ROOMY_PX) else _WIDTHS[_STATUS]))
            self.recorded.show_status_heading(True)
        header = self.horizontalHeader()
        header.moveSection(header.visualIndex(_CAUSE), _ID if scrolls else _CAUSE)
        modes = QHeaderView.ResizeMode
        header.setSectionResizeMode(_CAUSE, modes.Fixed if scrolls else modes.Stretch)
        if scrolls:
            self.setColumnWidth(_CAUSE, scaled(_FIRST_CAUSE_PX))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw whole rows: to let the view ask for each cell takes ten times as long."""
        painter, area = QPainter(self.viewport()), event.rect()
        header, rows, ratio = self.horizontalHeader(), self.recorded.rows, self.devicePixelRatioF()
        spans: Spans = tuple(
            (column, header.sectionPosition(column), header.sectionSize(column))
            for column in range(self.recorded.columnCount())
            if not header.isSectionHidden(column)
        )
        chosen = {index.row() for index in self.selectionModel().selectedRows()}
        left = -header.offset()
        number, top = self.rowAt(area.top()), 0
        while 0 <= number < len(rows) and (top := self.rowViewportPosition(number)) <= area.bottom():
            row = rows[number]
            drawn = self._look.drawn(row, self.recorded.row_cells(row), spans, number in chosen, ratio)
            painter.drawPixmap(left, top, drawn)
            number += 1
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit(wide=self.width() >= scaled(_WIDE_PX))

    def current_row(self) -> LogRow | None:
        chosen = self.selectionModel().selectedRows()
        return self.recorded.rows[chosen[0].row()] if chosen else None

    def select(self, run_id: str) -> bool:
        """Select the row of a request and scroll to it. Returns whether it is in the table."""
        place = next((at for at, row in enumerate(self.recorded.rows) if row.run_id == run_id), None)
        if place is not None:
            self.selectRow(place)
        return place is not None

    def menu(self) -> QMenu:
        menu, row = QMenu(self), self.current_row()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for name, label, key in ASKS:
            action = menu.addAction(f"{label}\t{key}")
            action.setEnabled(row is not None and (name != "copy" or row.request_id is not None))
            action.triggered.connect(lambda _checked, name=name: self.asked.emit(name))
        return menu

    def _menu_at(self, place: QPoint) -> None:
        row = self.current_row()
        if row is not None:
            # From the keyboard the position is the middle of the table; the row is where the eye is.
            inside = self.indexAt(place).row() == self.selectionModel().selectedRows()[0].row()
            point = place if inside else self.visualRect(self.currentIndex()).bottomLeft()
            self.menu().popup(self.viewport().mapToGlobal(point))

    def rowsInserted(self, parent: Index, start: int, end: int) -> None:
        """Keep the visible rows in place, unless the newest one is visible."""
        bar = self.verticalScrollBar()
        top = bar.value()
        super().rowsInserted(parent, start, end)
        if top > 0 and start == 0:
            self.updateGeometries()  # the bar still has its old end
            bar.setValue(top + end + 1)

    def open_row(self) -> None:
        self.asked.emit("open")

    def copy_row(self) -> None:
        self.asked.emit("copy")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.text().upper() if not event.modifiers() else ""
        name = next((name for name, _, keys in ASKS if keys == key), None)
        if name is not None:
            self.asked.emit(name)
        else:
            super().keyPressEvent(event)

"""The recorded requests as a table, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from PySide6.QtCore import QModelIndex, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPixmap, QResizeEvent
from PySide6.QtWidgets import QHeaderView, QMenu

from playground.export.terminal import visible, visible_line
from playground.requestlog.records import LogRow
from playground.runs.metrics import UNKNOWN
from playground.ui.panes.log.columns import COLUMNS, Cell, status_icon
from playground.ui.panes.log.details import NOTHING, RowDetail
from playground.ui.panes.prompt.axis_paint import whole_words
from playground.ui.theme import current_theme, scaled, zoom_factor
from playground.ui.widgets.icons import paint_row_icon
from playground.ui.widgets.labels import passing_menu
from playground.ui.widgets.row_table import (
    BAR_PX,
    FIGURE_PAD_PX,
    FIRST_PAD_PX,
    MARK_PX,
    PAD_PX,
    REQUEST_ROW_PX,
    Index,
    RowFont,
    RowModel,
    RowTable,
    Spans,
    paint_cached_bar,
    paint_line_below,
    paint_text,
)

_NOWHERE = QModelIndex()
_TITLES = "time", "status", "request_id", "in", "cached", "TTFT", "prefix"
_LOG = [column for column in COLUMNS if column.title in _TITLES]
_TIME, _STATUS, _ID, _IN, _CACHED, _TTFT, _CAUSE = range(len(_LOG))
_FIGURES = frozenset((_IN, _CACHED, _TTFT))
CAUSE = "What broke the prefix"
_MAX_PICTURES = 200
_WIDTHS = (79, 126, 284, 62, 114, 68)
_STATUS_PX, _ROOMY_PX = 176, 1_000
"""Width of the status from this width of the table on: whole texts like "200 cut at max_tokens"."""
_NARROW = {_TIME: 79, _STATUS: 72, _ID: 88, _IN: 57, _CACHED: 80}
"""Least widths; a shorter request_id ends with dots. Copying and the tooltips have the whole one."""
_WIDE_PX = 920
"""Least width with all columns; below it, TTFT is only in the tooltip of the status."""
_BAR_TABLE_PX = 782
"""Least width of a narrow table with bars of cached tokens, beside a whole request_id."""
_ICON_COLUMN_PX = 40
_CAUSE_PX = 176
"""Least width of the cause, with its whole heading; before that the request_id does not become longer."""
_NARROW_COLUMNS = tuple(_NARROW), (_TIME, _STATUS, _ID, _CACHED), (_STATUS, _ID, _CACHED), (_STATUS, _ID)
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


class RecordedModel(RowModel):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[LogRow] = []
        self._details: Mapping[str, RowDetail] = {}
        self._cells: dict[str, tuple[LogRow, RowDetail, list[Cell]]] = {}
        """Cells of rows that were displayed: painting asks for each several times."""
        self.titles: list[str] = [CAUSE if column == _CAUSE else shown.header for column, shown in enumerate(_LOG)]

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
        heading = _LOG[_STATUS].header if shown else ""
        if heading != self.titles[_STATUS]:
            self.titles[_STATUS] = heading
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, _STATUS, _STATUS)

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def is_figure(self, column: int) -> bool:
        return column in _FIGURES

    def font(self, column: int) -> QFont:
        return _font(column).made()

    def text(self, row: int, column: int) -> str:
        return self.cell(self.rows[row], column).text

    def tip(self, row: int, column: int) -> str:
        cell = self.cell(self.rows[row], column)
        return visible(cell.why) or cell.text

    def spoken(self, row: int, column: int) -> str:
        text = self.text(row, column)
        title = CAUSE if column == _CAUSE else _LOG[column].title
        return f"{title}: {'unknown' if text == UNKNOWN else text}"

    def color(self, row: int, column: int) -> QColor | None:
        tone = self.cell(self.rows[row], column).tone
        return getattr(current_theme(), tone) if tone else None

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


def _font(column: int) -> RowFont:
    return RowFont(mono=column == _ID)


class RecordedTable(RowTable):
    """Recorded requests; ASKS are keys and entries of the menu."""

    selected = Signal()

    def __init__(self, model: RecordedModel) -> None:
        super().__init__("Recorded requests", keys={key: name for name, _, key in ASKS})
        self.setModel(model)
        self.recorded = model
        self._pictures: dict[tuple[object, ...], QPixmap] = {}
        self._wide: bool | None = None
        self._fit(wide=True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu_at)
        self.selectionModel().selectionChanged.connect(lambda _on, _off: self.selected.emit())

    def show_zoom(self) -> None:
        self.recorded.repaint_rows()
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
            shown = next((columns for columns in _NARROW_COLUMNS if left[columns] >= scaled(_CAUSE_PX)), None)
            scrolls = shown is None
            if shown is None:
                shown, px[_STATUS], px[_ID] = (_STATUS, _ID), scaled(_ICON_COLUMN_PX), scaled(_WIDTHS[_ID])
            else:
                px[_ID] = min(px[_ID] + left[shown] - scaled(_CAUSE_PX), scaled(_WIDTHS[_ID]))
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
            self.setColumnWidth(_CAUSE, min(scaled(_CAUSE_PX), self.viewport().width() - scaled(_ICON_COLUMN_PX)))

    def paint_row(self, painter: QPainter, number: int, area: QRect, spans: Spans) -> None:
        """Draw the picture of a row, which is made once: rows mostly move down while streams run."""
        row, theme, ratio = self.recorded.rows[number], current_theme(), self.devicePixelRatioF()
        cells = ((cell.text, cell.tone) for cell in self.recorded.row_cells(row))
        selected = self.selectionModel().isRowSelected(number)
        look = selected, theme.name, ratio, scaled(100), area.width(), *spans
        key = (*look, row.phase, row.warning, row.cached_tokens, row.prompt_tokens, *cells)
        picture = self._pictures.get(key)
        if picture is None:
            if len(self._pictures) >= _MAX_PICTURES:
                self._pictures.clear()
            picture = self._pictures[key] = QPixmap(area.size() * ratio)
            picture.setDevicePixelRatio(ratio)
            picture.fill(theme.selection if selected else theme.surface)
            self._paint_cells(QPainter(picture), QRect(QPoint(), area.size()), row, spans, selected=selected)
        painter.drawPixmap(area.topLeft(), picture)

    def _paint_cells(self, painter: QPainter, area: QRect, row: LogRow, spans: Spans, *, selected: bool) -> None:
        if selected:
            painter.fillRect(QRect(-self.horizontalOffset(), 0, MARK_PX, area.height()), current_theme().accent)
        for column, left, width in spans:
            self._paint_cell(painter, QRect(left, 0, width, area.height()), row, column)
        paint_line_below(painter, area)
        painter.end()

    def _paint_cell(self, painter: QPainter, area: QRect, row: LogRow, column: int) -> None:
        cell, theme, middle = self.recorded.cell(row, column), current_theme(), area.top() + area.height() // 2
        text, wide = cell.text, area.width() >= BAR_PX + scaled(50)
        pad = FIRST_PAD_PX if column == _TIME else PAD_PX
        pad = FIGURE_PAD_PX if column in _FIGURES and not (column == _CACHED and wide) else pad
        room = area.adjusted(pad, 0, -PAD_PX, 0)
        if column == _STATUS:
            name, tone = status_icon(row)
            icon_px = paint_row_icon(painter, name, room.left(), middle, getattr(theme, tone))
            room.setLeft(room.left() + icon_px + 6)
            text = text if area.width() > scaled(_NARROW[_STATUS]) else text.partition(" ")[0]
            metrics = QFontMetricsF(_font(column).made())
            text = "" if area.width() <= scaled(_ICON_COLUMN_PX) else whole_words(text, metrics, room.width())
        elif column == _CACHED and wide and row.cached_tokens is not None and row.prompt_tokens:
            paint_cached_bar(painter, room.left(), middle, min(row.cached_tokens / row.prompt_tokens, 1.0))
        color = getattr(theme, cell.tone) if cell.tone else theme.text
        paint_text(painter, room, text, _font(column), color, right=column in _FIGURES)

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
        menu, row = passing_menu(self), self.current_row()
        for name, label, key in ASKS:
            action = menu.addAction(f"{label}\t{key}", partial(self.asked.emit, name))
            action.setEnabled(row is not None and (name != "copy" or row.request_id is not None))
        return menu

    def _menu_at(self, place: QPoint) -> None:
        row = self.current_row()
        if row is not None:
            # From the keyboard the position is the middle of the table; the row is where the eye is.
            inside = self.indexAt(place).row() == self.selectionModel().selectedRows()[0].row()
            point = place if inside else self.visualRect(self.currentIndex()).bottomLeft()
            self.menu().popup(self.viewport().mapToGlobal(point))

    def open_row(self) -> None:
        self.asked.emit("open")

    def copy_row(self) -> None:
        self.asked.emit("copy")

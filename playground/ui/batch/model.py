"""Table of a batch: the lines that a filter, an order and folded groups select, their cells, and the view of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QItemSelectionModel, QModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QHeaderView

from playground.experiments.batch_session import STATUS_TEXT, BatchLine, BatchLines, Kind, Selection, select
from playground.export.terminal import visible_line
from playground.runs.metrics import UNKNOWN, Figure, dollars, whole_seconds
from playground.tasks import Begin
from playground.ui.theme import current_theme, scaled, ui_font, zoom_factor
from playground.ui.widgets.icons import paint_row_icon
from playground.ui.widgets.labels import copy_text, passing_menu
from playground.ui.widgets.row_table import (
    BAR_PX,
    FIGURE_PAD_PX,
    PAD_PX,
    Index,
    RowFont,
    RowModel,
    RowTable,
    Spans,
    paint_cached_bar,
    paint_line_below,
    paint_text,
)

FIGURES = frozenset(("row", "in", "cached", "cost"))
SHOWN_CHARS = 300
"""Characters of a text in a cell."""
SMALL = 1_000
"""Rows up to which a selection is computed at once; more are selected in a worker."""


class BatchColumn(Struct, frozen=True):
    """A column; `name` is the variable's for kind "variable"."""

    kind: Kind
    title: str
    name: str = ""


class Displayed(Struct, frozen=True):
    """Positions of lines on display by row, negative for headings, and the row of each position."""

    positions: Sequence[int] = ()
    rows: dict[int, int] | None = None

    @classmethod
    def of(cls, lines: BatchLines, selection: Selection) -> Displayed:
        """Select the displayed lines. Takes long for many lines: call it in a worker."""
        positions = select(lines, selection)
        return cls(positions, {position: row for row, position in enumerate(positions) if position >= 0})


class BatchModel(RowModel):
    """Rows on display are lines of the batch, or headings of groups in the order of sending."""

    def __init__(self, start: Begin) -> None:
        """`start` starts a task."""
        super().__init__()
        self._start = start
        self._selecting = self._again = False
        self.lines = BatchLines()
        self.columns: list[BatchColumn] = []
        self.active = False
        """Whether the batch runs: queued rows display their estimated wait."""
        self.selection = Selection()
        self._displayed = Displayed()

    def set_lines(
        self, lines: BatchLines, variables: Sequence[str], *, checked: bool, selection: Selection, displayed: Displayed
    ) -> None:
        """Display the lines of a batch. `displayed` was computed with `selection`."""
        wanted = replace(self.selection, folded=frozenset())
        self.beginResetModel()
        self.lines, self._displayed, self.selection = lines, displayed, selection
        self.columns = [
            BatchColumn("row", "Row"),
            *(BatchColumn("variable", name, name) for name in variables),
            BatchColumn("output", "Output"),
            BatchColumn("request_id", "request_id"),
            BatchColumn("in", "In"),
            BatchColumn("cached", "Cached"),
            BatchColumn("cost", "Cost"),
            *([BatchColumn("checks", "Checks")] if checked else []),
            BatchColumn("status", "Status"),
        ]
        self.titles = [visible_line(column.title) for column in self.columns]
        self.endResetModel()
        self._change(wanted)  # the filter may have been edited meanwhile

    def line(self, row: int) -> BatchLine | None:
        """Return the line of a displayed row; None for a heading."""
        positions = self._displayed.positions
        if not 0 <= row < len(positions) or positions[row] < 0:
            return None
        found: BatchLine = self.lines[positions[row]]
        return found

    def row_of(self, number: int) -> int | None:
        """Return the displayed row of a row number of the data."""
        position = self.lines.position(number)
        return None if position is None else (self._displayed.rows or {}).get(position)

    def group(self, row: int) -> int | None:
        positions = self._displayed.positions
        if not 0 <= row < len(positions):
            return None
        position = positions[row]
        found: int = self.lines[position if position >= 0 else -1 - position].group
        return found

    def is_folded(self, row: int) -> bool:
        return self.group(row) in self.selection.folded

    def fold(self, row: int, folded: bool) -> None:
        group = self.group(row)
        if group is not None and not self.selection.follows_results and folded != self.is_folded(row):
            change = {group}
            groups = self.selection.folded | change if folded else self.selection.folded - change
            self._change(replace(self.selection, folded=groups))

    def fold_all(self, folded: bool) -> None:
        groups = frozenset(self.lines.group_size) if folded else frozenset()
        self._change(replace(self.selection, folded=groups))

    @property
    def has_groups(self) -> bool:
        return any(position < 0 for position in self._displayed.positions[:1])

    def heading(self, row: int) -> str:
        """Return the text of a displayed heading; empty for other rows."""
        positions = self._displayed.positions
        if not 0 <= row < len(positions) or positions[row] >= 0:
            return ""
        lines, first = self.lines, -1 - positions[row]
        line = lines[first]
        size, ended = lines.group_size[line.group], lines.group_ended[line.group]
        second = lines[first + 1].forecast if size > 1 else None
        prefix = f"a prefix of {Figure.estimated(second.cached_tokens).text} tokens" if second else "a prefix"
        many = f"{size:,} rows share {prefix}" if size > 1 else "1 row"
        state = "finished" if ended == size else f"{ended:,} of {size:,} finished" if ended else "queued"
        variable = next((column.name for column in self.columns if column.kind == "variable"), "")
        value = line.item.document.variables.get(variable, "")
        return f"{visible_line(value[:48])}  ·  {many}  ·  {state}"

    def set_filter(self, text: str) -> None:
        self._change(replace(self.selection, filter=text))

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 restores the order of sending."""
        by = self.columns[column] if 0 <= column < len(self.columns) else None
        descending = order == Qt.SortOrder.DescendingOrder
        self._change(replace(self.selection, sort=None if by is None else (by.kind, by.name, descending)))

    def _change(self, selection: Selection) -> None:
        if selection != self.selection:
            self.selection = selection
            self.refresh()

    def refresh(self) -> None:
        """Select the displayed lines again: at once if they are few, else when the worker has ended."""
        if len(self.lines) <= SMALL:
            self.lines.look()
            self._show(Displayed.of(self.lines, self.selection))
        elif not self._selecting:
            self._selecting = True
            self._start(self._select_in_worker(), "select rows of a batch")
        else:
            self._again = True

    async def _select_in_worker(self) -> None:
        """Select until nothing has changed meanwhile."""
        try:
            self._again = True
            while self._again:
                self._again = False
                lines, selection = self.lines, self.selection
                lines.look()
                displayed = await asyncio.to_thread(Displayed.of, lines, selection)
                if lines is self.lines and selection == self.selection:
                    self._show(displayed)
        finally:
            self._selecting = False

    def _show(self, displayed: Displayed) -> None:
        if displayed.positions != self._displayed.positions:
            self.beginResetModel()
            self._displayed = displayed
            self.endResetModel()
        else:
            self.repaint_rows()

    def repaint(self, position: int | None) -> None:
        row = None if position is None else (self._displayed.rows or {}).get(position)
        if row is not None:
            self.repaint_rows(row, row)

    def tick(self) -> None:
        """Update the display of running rows."""
        for position in self.lines.running:
            self.repaint(position)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._displayed.positions)

    def is_figure(self, column: int) -> bool:
        return self.columns[column].kind in FIGURES

    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) if self.line(index.row()) is not None else Qt.ItemFlag.ItemIsEnabled

    def text(self, row: int, column: int) -> str:
        line = self.line(row)
        return "" if line is None else self.cell(line, self.columns[column])

    def tip(self, row: int, column: int) -> str:
        line = self.line(row)
        return "" if line is None else self._tip(line, self.columns[column])

    def spoken(self, row: int, column: int) -> str | None:
        if self.line(row) is not None or column:
            return None
        return f"{self.heading(row)}, {'folded' if self.is_folded(row) else 'unfolded'}"

    def cell(self, line: BatchLine, column: BatchColumn, limit: int = SHOWN_CHARS) -> str:
        """Return the text of a cell, made of at most `limit` characters of a value or completion."""
        texts: dict[Kind, Callable[[], str]] = {
            "row": lambda: f"{line.item.row.number:,}",
            "variable": lambda: visible_line(line.item.document.variables.get(column.name, "")[:limit]),
            "output": lambda: visible_line(line.output[:limit]) or UNKNOWN,
            "request_id": lambda: visible_line(line.request_id or UNKNOWN),
            "in": lambda: line.prompt_tokens.text,
            "cached": lambda: line.cached_tokens.text,
            "cost": lambda: dollars(line.cost),
            "checks": lambda: f"{sum(line.checks.values())} of {len(line.checks)}" if line.checks else UNKNOWN,
            "status": lambda: self._status(line),
        }
        return texts[column.kind]()

    def _status(self, line: BatchLine) -> str:
        if line.run is not None:
            if (wait_s := line.wait_s) is not None:
                return f"in ≈ {whole_seconds(wait_s)}"
            return {"streaming": "streaming", "waiting": "waits"}.get(line.run.state.phase, "sending")
        if line.status != "queued" or not self.active or line.forecast is None:
            return STATUS_TEXT[line.status]
        planned_s = max(line.forecast.start_s - self.lines.queue_start_s, 0.0)
        return f"in ≈ {whole_seconds(planned_s + self.lines.wait_s)}"

    def _tip(self, line: BatchLine, column: BatchColumn) -> str:
        if column.kind == "checks":
            return "\n".join(f"{name}: {'passed' if passed else 'failed'}" for name, passed in line.checks.items())
        if column.kind == "row":
            return "Counted from 0 in the order of the data, as in exports"
        if column.kind in ("in", "cached"):
            figure = line.prompt_tokens if column.kind == "in" else line.cached_tokens
            return figure.why
        if column.kind == "status" and line.run is not None and line.run.state.queued is not None:
            return f"Waits for the plan's limit: {line.run.state.queued.reason}"
        return self.cell(line, column)

    def tone(self, line: BatchLine, column: BatchColumn) -> str:
        if line.status == "failed" and column.kind in ("output", "status"):
            return "failure"
        if column.kind == "checks" and line.checks and not all(line.checks.values()):
            return "failure"
        if column.kind == "status" and line.status == "running":
            return "accent"
        estimated = line.result is None and column.kind in ("in", "cached", "cost", "status")
        return "muted" if estimated or column.kind in ("row", "output") else "text"


ROW_PX = 24
LEAST_CHAR_PX = 3
"""Width of the narrowest characters: longer texts are cut before they are measured."""
WIDTHS = {"row": 54, "request_id": 290, "in": 88, "cached": 126, "cost": 100, "checks": 72, "status": 106}
"""A request_id is never shortened."""
VARIABLE_PX = (64, 260)
HEADING_PX = 160
"""Greatest width of a variable's heading that is shown whole, whatever the values."""
OUTPUT_PX, LEAST_OUTPUT_PX = 180, 100
NARROWEST_PX = 48
NARROW_PX = 1_100
NARROW_DROPS = ("in", "cost")
"""Columns that a narrower table leaves out: the selected row has their figures."""
_ICONS = {"queued": "clock", "running": "play", "done": "check", "failed": "error"}


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
        header = self.horizontalHeader()
        shown = [(at, column) for at, column in enumerate(self._batch.columns) if column.kind not in left_out]
        fixed = sum(scaled(WIDTHS.get(column.kind, 0)) for _, column in shown)
        variables = [at for at, column in shown if column.kind == "variable"]
        output, room = scaled(OUTPUT_PX), self.width() - fixed
        least, most = map(scaled, VARIABLE_PX)
        share = max(least, min((room - output) // max(len(variables), 1), most))
        heading = QFontMetrics(ui_font(11))
        titles = {at: heading.horizontalAdvance(self._batch.columns[at].title) + scaled(4 * PAD_PX) for at in variables}
        widths = {at: max(share, min(titles[at], scaled(HEADING_PX))) for at in variables}
        fits = room - sum(widths.values()) >= scaled(LEAST_OUTPUT_PX)  # else the table scrolls sideways
        for at, column in enumerate(self._batch.columns):
            stretched = column.kind == "output" and fits
            self.setColumnHidden(at, column.kind in left_out)
            mode = QHeaderView.ResizeMode.Stretch if stretched else QHeaderView.ResizeMode.Interactive
            header.setSectionResizeMode(at, mode)
            if not stretched:
                self.setColumnWidth(at, widths.get(at, scaled(WIDTHS.get(column.kind, LEAST_OUTPUT_PX))))

    def paint_row(self, painter: QPainter, number: int, area: QRect, spans: Spans) -> None:
        line, theme = self._batch.line(number), current_theme()
        if line is None:
            left = PAD_PX - self.horizontalOffset()
            painter.fillRect(area, theme.selection if self.currentIndex().row() == number else theme.sunk)
            arrow = "right" if self._batch.is_folded(number) else "down"
            left += PAD_PX - 4 + paint_row_icon(painter, arrow, left, area.center().y(), theme.muted)
            room = QRect(left, area.top(), 4_000, area.height())
            paint_text(painter, room, self._batch.heading(number), RowFont(tabular=False), theme.muted, right=False)
        else:
            if self.selectionModel().isRowSelected(number):
                painter.fillRect(area, theme.selection)
            for at, left, width in spans:
                cell = QRect(left, area.top(), width, area.height())
                self._paint_cell(painter, cell, line, self._batch.columns[at])
        paint_line_below(painter, area)

    def _paint_cell(self, painter: QPainter, cell: QRect, line: BatchLine, column: BatchColumn) -> None:
        pad = FIGURE_PAD_PX if column.kind in ("in", "cost") else PAD_PX
        room, theme = cell.adjusted(pad, 0, -PAD_PX, 0), current_theme()
        if column.kind == "status":
            tone = {"failed": "failure", "running": "accent"}.get(line.status, "muted")
            px = paint_row_icon(painter, _ICONS[line.status], room.left(), cell.center().y(), getattr(theme, tone))
            room.setLeft(room.left() + px + 6)
        elif column.kind == "cached" and line.result is not None:
            prompt, cached = line.prompt_tokens.value, line.cached_tokens.value
            if prompt and cached is not None:
                paint_cached_bar(painter, room.left(), cell.center().y(), cached / prompt)
            room.setLeft(room.left() + BAR_PX + 8)
        text = self._batch.cell(line, column, max(room.width() // LEAST_CHAR_PX, 8))
        font = RowFont(mono=column.kind == "request_id" and bool(line.request_id))
        color = getattr(theme, self._batch.tone(line, column))
        paint_text(painter, room, text, font, color, right=column.kind in FIGURES)

    def show_zoom(self) -> None:
        self._widths_for = ()
        self._fit_columns()
        self.verticalHeader().setDefaultSectionSize(scaled(ROW_PX))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_columns()

    def current_line(self) -> BatchLine | None:
        return self._batch.line(self.currentIndex().row()) if self.currentIndex().isValid() else None

    def select_number(self, number: int) -> None:
        """Select a row by its number in the data, if it is displayed."""
        row = self._batch.row_of(number)
        if row is not None:
            self.select_only(self._batch.index(row, 0))

    def open_row(self) -> None:
        """Open the selected row in the panes; fold or unfold the group of a heading."""
        if self._is_heading(self.currentIndex()):
            self._fold(self.currentIndex(), not self._batch.is_folded(self.currentIndex().row()))
        else:
            self.open_asked.emit()

    def copy_row(self) -> None:
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
            menu = passing_menu(self)
            menu.addAction("Fold all groups", partial(self._batch.fold_all, True))
            menu.addAction("Unfold all groups", partial(self._batch.fold_all, False))
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

"""Table model of a batch: the lines that a filter, an order and folded groups select, and the text of their cells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from playground.experiments.batch_lines import (
    STATUS_TEXT,
    BatchLine,
    BatchLines,
    Kind,
    Selection,
    select,
)
from playground.export.terminal import visible_line
from playground.runs.metrics import UNKNOWN, Figure, dollars, whole_seconds
from playground.ui.widgets.plain_table import plain_tip

Index = QModelIndex | QPersistentModelIndex
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


class BatchModel(QAbstractTableModel):
    """Rows on display are lines of the batch, or headings of groups in the order of sending."""

    def __init__(self, start: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
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
        self,
        lines: BatchLines,
        variables: Sequence[str],
        *,
        checked: bool,
        selection: Selection,
        displayed: Displayed,
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
        """Return the group of a displayed row or heading."""
        positions = self._displayed.positions
        if not 0 <= row < len(positions):
            return None
        position = positions[row]
        found: int = self.lines[position if position >= 0 else -1 - position].group
        return found

    def is_folded(self, row: int) -> bool:
        """Return whether the rows of a group are hidden."""
        return self.group(row) in self.selection.folded

    def fold(self, row: int, folded: bool) -> None:
        """Hide or display the rows of the group of a displayed row."""
        group = self.group(row)
        if group is not None and not self.selection.follows_results and folded != self.is_folded(row):
            change = {group}
            groups = self.selection.folded | change if folded else self.selection.folded - change
            self._change(replace(self.selection, folded=groups))

    def fold_all(self, folded: bool) -> None:
        """Hide or display the rows of all groups."""
        groups = frozenset(self.lines.group_size) if folded else frozenset()
        self._change(replace(self.selection, folded=groups))

    @property
    def has_groups(self) -> bool:
        """Whether headings of groups are displayed."""
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
        """Display only the rows that match a filter; empty displays all."""
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
            self.repaint_all()

    def repaint(self, position: int | None) -> None:
        """Update the display of a line."""
        row = None if position is None else (self._displayed.rows or {}).get(position)
        if row is not None:
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(self.columns) - 1))

    def repaint_all(self) -> None:
        """Update the display of all lines."""
        if self._displayed.positions:
            last = len(self._displayed.positions) - 1
            self.dataChanged.emit(self.index(0, 0), self.index(last, len(self.columns) - 1))

    def tick(self) -> None:
        """Update the display of running rows."""
        for position in self.lines.running:
            self.repaint(position)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._displayed.positions)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return visible_line(column.title)
        return _alignment(column) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) if self.line(index.row()) is not None else Qt.ItemFlag.ItemIsEnabled

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        line = self.line(index.row())
        roles = Qt.ItemDataRole
        if line is None:
            return self._heading_data(index, role)
        column = self.columns[index.column()]
        if role in (roles.DisplayRole, roles.AccessibleTextRole):
            return self.cell(line, column)
        if role == roles.ToolTipRole:
            return plain_tip(self._tip(line, column))
        if role == roles.TextAlignmentRole:
            return _alignment(column)
        return None

    def _heading_data(self, index: Index, role: int) -> str | None:
        if role != Qt.ItemDataRole.AccessibleTextRole or index.column():
            return None
        return f"{self.heading(index.row())}, {'folded' if self.is_folded(index.row()) else 'unfolded'}"

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
            return "streaming" if line.run.state.phase == "streaming" else "sending"
        if line.status != "queued" or not self.active or line.forecast is None:
            return STATUS_TEXT[line.status]
        return f"in ≈ {whole_seconds(max(line.forecast.start_s - self.lines.queue_start_s, 0.0))}"

    def _tip(self, line: BatchLine, column: BatchColumn) -> str:
        if column.kind == "checks":
            return "\n".join(f"{name}: {'passed' if passed else 'failed'}" for name, passed in line.checks.items())
        if column.kind == "row":
            return "Counted from 0 in the order of the data, as in exports"
        if column.kind in ("in", "cached"):
            figure = line.prompt_tokens if column.kind == "in" else line.cached_tokens
            return figure.why
        return self.cell(line, column)

    def tone(self, line: BatchLine, column: BatchColumn) -> str:
        """Return the theme's role for the text of a cell."""
        if line.status == "failed" and column.kind in ("output", "status"):
            return "failure"
        if column.kind == "checks" and line.checks and not all(line.checks.values()):
            return "failure"
        if column.kind == "status" and line.status == "running":
            return "accent"
        estimated = line.result is None and column.kind in ("in", "cached", "cost", "status")
        return "muted" if estimated or column.kind in ("row", "output") else "text"


def _alignment(column: BatchColumn) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column.kind in FIGURES else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter

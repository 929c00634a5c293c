"""The recorded requests as a table, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from playground.export.terminal import visible, visible_line
from playground.requestlog.records import LogRow
from playground.runs.metrics import UNKNOWN
from playground.ui.panes.log.columns import COLUMNS, Cell
from playground.ui.panes.log.details import NOTHING
from playground.ui.panes.log.row_paint import ROW_PX, RowLook
from playground.ui.theme import Theme, current_theme, mono_font, ui_font
from playground.ui.widgets.plain_tip import plain_tip

Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()
_LOG = [column for column in COLUMNS if column.title in ("time", "status", "request_id", "in", "cached", "TTFT")]
_CAUSE = len(_LOG)
_WIDTHS = (84, 112, 292, 56, 66, 68)


class RecordedModel(QAbstractTableModel):
    """Rows of the log and, per run_id, the cause of a miss (a few words, and a sentence)."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[LogRow] = []
        self._causes: Mapping[str, tuple[str, str]] = {}

    def show_rows(self, rows: Sequence[LogRow], causes: Mapping[str, tuple[str, str]]) -> None:
        """Show these, newest first. New rows are inserted on top, so that selection and scroll position stay."""
        self._causes = causes
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
        self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, _CAUSE))

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else _CAUSE + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(section)
        if role == Qt.ItemDataRole.DisplayRole:
            return "What broke the prefix" if section == _CAUSE else _LOG[section].header
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(index.column())
        if role == Qt.ItemDataRole.FontRole:
            mono = index.column() < _CAUSE and _LOG[index.column()].mono
            return mono_font(12) if mono else ui_font(12, tabular=True)
        cell = self._cell(self.rows[index.row()], index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return visible_line(cell.text)
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tip(visible(cell.why) or visible_line(cell.text))
            case Qt.ItemDataRole.AccessibleTextRole:
                title = "What broke the prefix" if index.column() == _CAUSE else _LOG[index.column()].title
                return f"{title}: {'unknown' if cell.text == UNKNOWN else visible_line(cell.text)}"
            case Qt.ItemDataRole.ForegroundRole:
                color = getattr(current_theme(), cell.tone, None) if cell.tone else None
                return color if isinstance(color, QColor) else None
        return None

    def _cell(self, row: LogRow, column: int) -> Cell:
        if column < _CAUSE:
            return _LOG[column].cell(row, NOTHING)
        if row.trouble:
            return Cell(" ".join(row.trouble.split()), row.trouble, "failure")
        cause, reason = self._causes.get(row.run_id, (UNKNOWN, "Known after the end of the request"))
        return Cell(cause, reason, "variable_edge" if reason and cause != UNKNOWN else "muted")

    @staticmethod
    def _alignment(column: int) -> Qt.AlignmentFlag:
        right = column < _CAUSE and _LOG[column].figure
        return (Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter


class RecordedTable(QTableView):
    """Enter or a double click opens; Ctrl+C copies the request_id."""

    opened = Signal()
    copy_wanted = Signal()
    selected = Signal()

    def __init__(self, model: RecordedModel, theme: Theme) -> None:
        super().__init__()
        self.recorded = model
        self.setModel(model)
        self._look = RowLook(theme, self)
        self.setItemDelegate(self._look)
        self.setAccessibleName("Recorded requests")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.horizontalHeader().setHighlightSections(False)
        for column, width in enumerate(_WIDTHS):
            self.setColumnWidth(column, width)
        self.horizontalHeader().setSectionResizeMode(_CAUSE, QHeaderView.ResizeMode.Stretch)
        self.doubleClicked.connect(lambda _index: self.opened.emit())
        self.selectionModel().selectionChanged.connect(lambda _on, _off: self.selected.emit())

    def set_theme(self, theme: Theme) -> None:
        """Use other colours."""
        self._look.theme = theme
        self.viewport().update()

    def current_row(self) -> LogRow | None:
        """Return the selected row."""
        chosen = self.selectionModel().selectedRows()
        return self.recorded.rows[chosen[0].row()] if chosen else None

    def select(self, run_id: str) -> None:
        """Select the row of a request, if it is in the table."""
        place = next((at for at, row in enumerate(self.recorded.rows) if row.run_id == run_id), None)
        if place is not None:
            self.selectRow(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.opened.emit()
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_wanted.emit()
        else:
            super().keyPressEvent(event)

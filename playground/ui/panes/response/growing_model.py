"""Base of the table models over a list of a run that grows while the response streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont

from playground.ui.widgets.plain_table import plain_tip

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
        """Qt's hook."""
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008
        """Qt's hook."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Qt's hook."""
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

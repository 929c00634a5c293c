"""The chosen row is a request, not a place: it stays chosen while rows come and go around it."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, Signal

from playground.requestlog.records import LogRow
from playground.ui.panes.log.model import LogModel
from playground.ui.panes.log.table import LogTable


class Choice(QObject):
    """Keeps the run_id of the row that was chosen, also while a filter hides it."""

    changed = Signal()

    def __init__(self, model: LogModel, table: LogTable) -> None:
        super().__init__(table)
        self._model, self._table = model, table
        self._run_id: str | None = None
        self._settling = False
        table.selectionModel().currentRowChanged.connect(self._moved)
        model.loaded.connect(self._settle)

    @property
    def row(self) -> LogRow | None:
        """The chosen row; None where none is, or where it has not come yet."""
        index = self._table.currentIndex()
        return self._model.row(index.row()) if index.isValid() else None

    def _moved(self, current: QModelIndex, _before: QModelIndex) -> None:
        if self._settling or self._model.changing:
            return
        row = self._model.row(current.row()) if current.isValid() else None
        self._run_id = row.run_id if row is not None else None
        self.changed.emit()

    def _settle(self) -> None:
        row, somewhere = self.row, self._table.currentIndex().isValid()
        if self._run_id is None:
            self._run_id = row.run_id if row is not None else None
        elif (row is None and not somewhere) or (row is not None and row.run_id != self._run_id):
            self._put_back(self._model.find(self._run_id))
        self.changed.emit()

    def _put_back(self, place: int | None) -> None:
        self._settling = True
        if place is not None and not self._table.currentIndex().isValid():
            self._table.go_to(place)  # other rows stand around it now: it is looked for
        else:
            self._table.choose(-1 if place is None else place)
        self._settling = False

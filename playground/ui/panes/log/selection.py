"""The selected row is a request, not a position: it stays selected while rows come and go around it."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, Signal

from playground.requestlog.records import LogRow
from playground.ui.panes.log.model import LogModel
from playground.ui.panes.log.table import LogTable


class RowSelection(QObject):
    """Keeps the run_id of the selected row, also while a filter hides it."""

    changed = Signal()
    chosen = Signal(str)
    """The user has selected another row: its run_id."""

    def __init__(self, model: LogModel, table: LogTable) -> None:
        super().__init__(table)
        self._model, self._table = model, table
        self._run_id: str | None = None
        self._settling = False
        table.selectionModel().currentRowChanged.connect(self._moved)
        table.selectionModel().selectionChanged.connect(lambda *_: self.changed.emit())
        model.loaded.connect(self._settle)

    @property
    def row(self) -> LogRow | None:
        """The selected row; None if there is none, or if it is not in memory yet."""
        index = self._table.currentIndex()
        return self._model.row(index.row()) if index.isValid() else None

    def select(self, run_id: str | None) -> None:
        """Select a request by the program: its row is selected when it comes. Emits no `chosen`."""
        self._run_id = run_id
        row = self.row
        if row is None or row.run_id != run_id:
            self._put_back(self._model.find(run_id) if run_id is not None else None)
        self.changed.emit()

    def _moved(self, current: QModelIndex, _before: QModelIndex) -> None:
        if self._settling or self._model.changing:
            return
        row = self._model.row(current.row()) if current.isValid() else None
        self._take(row)
        self.changed.emit()

    def _take(self, row: LogRow | None) -> None:
        before, self._run_id = self._run_id, row.run_id if row is not None else None
        if self._run_id is not None and self._run_id != before:
            self.chosen.emit(self._run_id)

    def _settle(self) -> None:
        row, anywhere = self.row, self._table.currentIndex().isValid()
        if self._run_id is None:
            self._take(row)
        elif (row is None and not anywhere) or (row is not None and row.run_id != self._run_id):
            self._put_back(self._model.find(self._run_id))
        self.changed.emit()

    def _put_back(self, place: int | None) -> None:
        self._settling = True
        if place is not None and not self._table.currentIndex().isValid():
            self._table.go_to(place)  # other rows are around it now: bring it into view
        else:
            self._table.choose(-1 if place is None else place)
        self._settling = False

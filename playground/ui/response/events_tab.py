"""The Events tab: the merged text on top, every raw event with its time below."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QLabel, QSplitter, QTableView, QVBoxLayout

from playground.runs.state import RunState
from playground.ui.response.events_model import EventsModel
from playground.ui.response.live_text import LiveText
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.clipboard import copy_text

NOTHING = "Every server-sent event will stand here with its time."
ROW_PX = 24


class EventsTable(QTableView):
    """Ctrl+C copies the chosen events' data, whole and as it came."""

    def __init__(self, model: EventsModel) -> None:
        super().__init__()
        self.setProperty("look", "pane")
        self._rows = model
        self.setModel(model)
        self.setAccessibleName("Raw events")
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column, width in enumerate((72, 64, 80, 112)):
            header.resizeSection(column, width)
        header.setStretchLastSection(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy the chosen events."""
        if event.matches(QKeySequence.StandardKey.Copy):
            rows = sorted(index.row() for index in self.selectionModel().selectedRows())
            copy_text("\n".join(self._rows.event_at(row).data for row in rows))
        else:
            super().keyPressEvent(event)


class EventsTab(QFrame):
    """Follows the newest event only while the reader is at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.model = EventsModel()
        self.merged = LiveText("Merged text of all events")
        self.table = EventsTable(self.model)
        self._state: RunState | None = None
        self._words = QLabel(NOTHING)
        self._words.setProperty("tone", "muted")
        self._words.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        self._split = QSplitter(Qt.Orientation.Vertical)
        self._split.setChildrenCollapsible(False)
        self._split.addWidget(self.merged)
        self._split.addWidget(self.table)
        self._split.setSizes([90, 400])
        self._split.setStretchFactor(1, 1)
        self.merged.setMinimumHeight(GRID * 6)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._words)
        column.addWidget(self._split, 1)

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        """Show what is new."""
        if state is not self._state:
            self._state = state
            self.model.show_events(state.raw if state else [])
        bar = self.table.verticalScrollBar()
        follow = bar.value() >= bar.maximum()
        if self.model.grow() and follow:
            self.table.scrollToBottom()
        self.merged.show_text(state.text if state else "", final=state is None or state.ended)
        there_are = self.model.rowCount() > 0
        self._words.setVisible(not there_are)
        self._split.setVisible(there_are)

    def set_theme(self, theme: Theme) -> None:
        """Nothing here has a colour of its own."""

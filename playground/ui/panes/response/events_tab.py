"""The Events tab: the merged text on top, every raw event with its time below."""

from __future__ import annotations

import json
from functools import lru_cache

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QLabel, QSplitter, QTableView, QVBoxLayout

from playground.client.events import RawEvent
from playground.runs.state import RunState
from playground.ui.panes.response.live_text import LiveText
from playground.ui.theme import GRID, mono_font, ui_font
from playground.ui.widgets.labels import copy_text

COLUMNS = ("time", "after", "kind", "carries", "data")
LONGEST_CELL = 400
LONGEST_TIP = 4_000
AnyIndex = QModelIndex | QPersistentModelIndex


class EventsModel(QAbstractTableModel):
    """Rows over a run's own list of raw events. Nothing is parsed before its row is painted."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[RawEvent] = []
        self._count = 0
        self._fonts = {"time": ui_font(12, tabular=True), "carries": mono_font(12), "data": mono_font(12)}

    def show_events(self, events: list[RawEvent]) -> None:
        """Rows for another run's events."""
        self.beginResetModel()
        self._events, self._count = events, len(events)
        self.endResetModel()

    def grow(self) -> bool:
        """Rows for the events that came since. Returns whether there were any."""
        if len(self._events) == self._count:
            return False
        self.beginInsertRows(QModelIndex(), self._count, len(self._events) - 1)
        self._count = len(self._events)
        self.endInsertRows()
        return True

    def event_at(self, row: int) -> RawEvent:
        """Return the event that row `row` shows."""
        return self._events[row]

    def rowCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Qt's hook."""
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008
        """Qt's hook."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Qt's hook."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and section < 2:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Qt's hook."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(index.row(), index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._events[index.row()].data[:LONGEST_TIP]
        if role == Qt.ItemDataRole.FontRole:
            return self._font(index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() < 2:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def _font(self, column: int) -> QFont | None:
        return self._fonts.get("time" if column < 2 else COLUMNS[column])

    def _text(self, row: int, column: int) -> str:
        event = self._events[row]
        if column == 0:
            return f"{event.at:.3f} s"
        if column == 1:
            return f"{(event.at - self._events[row - 1].at) * 1000:.0f} ms" if row else ""
        if column in (2, 3):
            return read(event.data)[column - 2]
        data = event.data[:LONGEST_CELL].replace("\n", " ")
        return data + ("…" if len(event.data) > LONGEST_CELL else "")


@lru_cache(maxsize=512)
def read(data: str) -> tuple[str, str]:
    """Return (kind, content summary) of an event."""
    if data.strip() == "[DONE]":
        return "[DONE]", ""
    try:
        body = json.loads(data)
    except ValueError:
        return "not JSON", ""
    return _read_body(body) if isinstance(body, dict) else ("other", "")


def _read_body(body: dict[str, object]) -> tuple[str, str]:
    if body.get("error"):
        return "error", _short(body["error"])
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = first.get("delta") or first.get("message")
    carried = delta if isinstance(delta, dict) else {}
    found = [
        (kind, value)
        for kind, value in (
            ("text", carried.get("content")),
            ("tool call", carried.get("tool_calls")),
            ("finish", first.get("finish_reason")),
            ("usage", body.get("usage")),
        )
        if value
    ]
    if not found:
        return ("role", _short(carried["role"])) if carried.get("role") else ("empty", "")
    return " + ".join(kind for kind, _ in found), _short(found[0][1])


def _short(value: object) -> str:
    """JSON, so that blanks and line ends can be seen."""
    return json.dumps(value, ensure_ascii=False)[:LONGEST_CELL]


NOTHING = "Server-sent events appear here with their times."
ROW_PX = 24


class EventsTable(QTableView):
    """Event table. Ctrl+C copies the complete, unmodified data of the selected events."""

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
        """Show changes since the last refresh."""
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

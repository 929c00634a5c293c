"""The raw events as rows: when, how long after the one before, what kind, and the data."""

from __future__ import annotations

import json
from functools import lru_cache

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont

from playground.client.events import RawEvent
from playground.ui.theme import mono_font, ui_font

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
        """The event that row `row` shows."""
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
    """(kind, what it carries) of an event, in the field's words."""
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

"""Layout of controls in rows that wrap, so that a narrow or zoomed window clips nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PySide6.QtCore import QMargins, QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLayout, QLayoutItem, QWidget

from playground.ui.theme import GRID


class FlowLayout(QLayout):
    """Items from left to right (or right to left), at their preferred sizes, with the same space between them."""

    def __init__(self, spacing: int = GRID) -> None:
        super().__init__()
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(QMargins())
        self.setSpacing(spacing)

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def add_labelled(self, label: str, *fields: QWidget) -> None:
        """Add fields with their label before them; they stay in one row."""
        name = QLabel(label)
        name.setBuddy(fields[0])
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(QMargins())
        row.setSpacing(GRID // 2)
        for widget in (name, *fields):
            row.addWidget(widget)
        self.addWidget(holder)

    def add_all(self, widgets: Sequence[QWidget]) -> None:
        """Add widgets."""
        for widget in widgets:
            self.addWidget(widget)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # Qt asks beyond the end
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return max((place.bottom() + 1 for _, place in self._places(width)), default=0)

    def minimumSize(self) -> QSize:
        sizes = [item.minimumSize() for item in self._shown()]
        return QSize(max((s.width() for s in sizes), default=0), max((s.height() for s in sizes), default=0))

    def sizeHint(self) -> QSize:
        """Return the size of one row."""
        sizes = [item.sizeHint() for item in self._shown()]
        width = sum(size.width() + self.spacing() for size in sizes) - self.spacing()
        return QSize(max(width, 0), max((size.height() for size in sizes), default=0))

    def setGeometry(self, area: QRect) -> None:
        super().setGeometry(area)
        for item, place in self._places(area.width()):
            item.setGeometry(place.translated(area.topLeft()))

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _places(self, width: int) -> Iterator[tuple[QLayoutItem, QRect]]:
        row: list[tuple[QLayoutItem, QSize, int]] = []
        left = top = 0
        for item in self._shown():
            size = item.sizeHint().boundedTo(QSize(max(width, 0), 10_000)).expandedTo(item.minimumSize())
            if row and left + size.width() > width:
                yield from _row(row, top)
                top += max(one.height() for _, one, _ in row) + self.spacing()
                row, left = [], 0
            row.append((item, size, left))
            left += size.width() + self.spacing()
        yield from _row(row, top)


def _row(row: Sequence[tuple[QLayoutItem, QSize, int]], top: int) -> Iterator[tuple[QLayoutItem, QRect]]:
    """Yield the items of a row, each in its vertical middle."""
    height = max((size.height() for _, size, _ in row), default=0)
    for item, size, left in row:
        yield item, QRect(QPoint(left, top + (height - size.height()) // 2), size)

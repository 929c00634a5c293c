"""Layouts: columns and rows from their items, rows of controls that wrap, scroll areas; and timers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar

from msgspec import Struct
from PySide6.QtCore import QEvent, QMargins, QObject, QPoint, QRect, QSize, Qt, QTimer
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLayoutItem,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from playground.ui.theme import GRID, scaled, zoom_factor


class Space(Struct, frozen=True):
    """Room between items: `px` device-independent pixels, or a share of the free room."""

    px: int = 0
    stretch: int = 0


STRETCH = Space(stretch=1)
"""Takes the free room."""
Item: TypeAlias = (
    QWidget | QLayout | Space | tuple[QWidget | QLayout, int] | tuple[QWidget | QLayout, int, Qt.AlignmentFlag]
)
"""A widget or a layout, with its share of the free room and its alignment if they are given, or a space."""
Margins: TypeAlias = int | tuple[int, int, int, int]
"""The same on all sides, or left, top, right and bottom."""
_Box = TypeVar("_Box", bound=QBoxLayout)


def column_of(
    *items: Item, on: QWidget | None = None, margins: Margins | None = None, spacing: int | None = None
) -> QVBoxLayout:
    """Return a layout with the items from top to bottom, as the layout of `on`. None: margins, spacing of the style."""
    return _filled(QVBoxLayout(), items, on, margins, spacing)


def row_of(
    *items: Item, on: QWidget | None = None, margins: Margins | None = None, spacing: int | None = None
) -> QHBoxLayout:
    """Return a layout with the items from left to right, otherwise as `column_of`."""
    return _filled(QHBoxLayout(), items, on, margins, spacing)


def _filled(box: _Box, items: Sequence[Item], on: QWidget | None, margins: Margins | None, spacing: int | None) -> _Box:
    # With a style sheet, a new parent costs time for every widget below: the layout has its own before it is filled.
    if on is not None:
        on.setLayout(box)
    if margins is not None:
        box.setContentsMargins(*(margins if isinstance(margins, tuple) else (margins,) * 4))
    if spacing is not None:
        box.setSpacing(spacing)
    add_items(box, *items)
    return box


def add_items(box: QBoxLayout, *items: Item) -> None:
    """Add items at the end of a column or row."""
    for item in items:
        if isinstance(item, Space):
            box.addStretch(item.stretch) if item.stretch else box.addSpacing(item.px)
            continue
        what, stretch, *alignment = item if isinstance(item, tuple) else (item, 0)
        if isinstance(what, QWidget):
            box.addWidget(what, stretch)
        else:
            box.addLayout(what, stretch)
        for place in alignment:
            box.setAlignment(what, place)


def grid_of(on: QWidget | None = None, *, stretched: int, across: int, down: int, margins: Margins = 0) -> QGridLayout:
    """Return an empty grid, as the layout of `on`. `stretched`: the column that takes the free room; `across`, `down`:
    pixels between columns and rows."""
    grid = QGridLayout()
    if on is not None:
        on.setLayout(grid)
    grid.setContentsMargins(*(margins if isinstance(margins, tuple) else (margins,) * 4))
    grid.setHorizontalSpacing(across)
    grid.setVerticalSpacing(down)
    grid.setColumnStretch(stretched, 1)
    return grid


def split_of(way: Qt.Orientation, *parts: QWidget, sizes: Sequence[int] = (), shares: Sequence[int] = ()) -> QSplitter:
    """Return a splitter of parts that cannot be collapsed. `shares`: how they share further room; none: by `sizes`."""
    split = QSplitter(way)
    split.setChildrenCollapsible(False)
    for part in parts:
        split.addWidget(part)
    split.setSizes(sizes)
    for place, share in enumerate(shares):
        split.setStretchFactor(place, share)
    return split


def discard(layout: QLayout, widget: QWidget) -> None:
    """Take a widget out of its layout, now, and delete it, once the events for it are handled."""
    layout.removeWidget(widget)
    widget.hide()
    widget.deleteLater()


class Panel(QFrame):
    """A frame in a look of the style sheet. `name`: its accessible name."""

    def __init__(self, look: str, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("look", look)
        self.setAccessibleName(name)


class PageScroll(QScrollArea):
    """Resizes its page to fit."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)

    def showEvent(self, event: QShowEvent) -> None:
        """Lay out the page in its size: Qt tells it of one before it is shown, and not of the larger one after that."""
        super().showEvent(event)
        page = self.widget()
        if page is not None and (layout := page.layout()) is not None:
            layout.setGeometry(page.contentsRect())


class PageArea(PageScroll):
    """Holds a page, which scrolls in a window too low for it: for its minimum height, or `least_px` at 100 %."""

    def __init__(self, page: QWidget, least_px: int = 0, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.page, self._holder, self._least_px = page, QWidget(self.viewport()), least_px
        self.setWidget(self._holder)
        page.setParent(self._holder, Qt.WindowType.Widget)
        page.installEventFilter(self)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        return QSize(self.page.minimumSizeHint().width(), 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._fit()
        super().resizeEvent(event)
        self.page.resize(self._holder.size())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.page and event.type() == QEvent.Type.LayoutRequest:
            self._fit()
            self.updateGeometry()  # the least width may be another one
        elif watched is self._holder and event.type() == QEvent.Type.Resize:
            self.page.resize(self._holder.size())
        return super().eventFilter(watched, event)

    def _fit(self) -> None:
        layout, least = self.page.layout(), scaled(self._least_px)
        if layout is not None and not self._least_px:
            least = layout.totalMinimumHeightForWidth(self.viewport().width())
            least = max(least, layout.totalMinimumSize().height() * (not layout.hasHeightForWidth()))
        self._holder.setProperty("zoomApplied", zoom_factor())  # the height is in the present text size
        self._holder.setMinimumHeight(least)


def scrolled(inside: QWidget, *, sideways: bool = True) -> QScrollArea:
    """Return a scroll area that resizes `inside` to fit and takes no focus. `sideways`: it may scroll horizontally."""
    area = PageScroll()
    area.setWidget(inside)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    if not sideways:
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


class FlowLayout(QLayout):
    """Items from left to right (or right to left) in rows that wrap: a narrow or zoomed window clips nothing.

    Widgets with the horizontal policy Expanding share the room that is left in their row.
    """

    def __init__(self, spacing: int = GRID) -> None:
        super().__init__()
        self._items: list[QLayoutItem] = []
        self._heights: dict[int, int] = {}
        """The height for each width since the last change: Qt asks for it ten times for one change."""
        self.setContentsMargins(QMargins())
        self.setSpacing(spacing)

    def invalidate(self) -> None:
        self._heights.clear()
        super().invalidate()

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)
        self.invalidate()

    def add_labelled(self, label: str, *fields: QWidget) -> None:
        """Add fields with their label before them; they stay in one row."""
        name = QLabel(label)
        name.setBuddy(fields[0])
        holder = QWidget()
        row_of(name, *fields, on=holder, margins=0, spacing=GRID // 2)
        self.addWidget(holder)

    def add_all(self, widgets: Sequence[QWidget]) -> None:
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
        if (height := self._heights.get(width)) is None:
            rows = [max(size.height() for _, size, _ in row) for row in self._rows(width)]
            height = self._heights[width] = sum(rows) + self.spacing() * max(len(rows) - 1, 0)
        return height

    def minimumSize(self) -> QSize:
        sizes = [item.minimumSize() for item in self._shown()]
        return QSize(max((s.width() for s in sizes), default=0), max((s.height() for s in sizes), default=0))

    def sizeHint(self) -> QSize:
        sizes = [item.sizeHint() for item in self._shown()]
        width = sum(size.width() + self.spacing() for size in sizes) - self.spacing()
        return QSize(max(width, 0), max((size.height() for size in sizes), default=0))

    def setGeometry(self, area: QRect) -> None:
        super().setGeometry(area)
        for item, place in self._places(area.width()):
            item.setGeometry(place.translated(area.topLeft()))

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _rows(self, width: int) -> list[list[tuple[QLayoutItem, QSize, int]]]:
        """Return the items of each row with their sizes and left edges."""
        rows: list[list[tuple[QLayoutItem, QSize, int]]] = []
        most, left, spacing = QSize(max(width, 0), 10_000), 0, self.spacing()
        for item in self._shown():
            size = item.sizeHint().boundedTo(most).expandedTo(item.minimumSize())
            if not rows or left + size.width() > width:
                rows.append([])
                left = 0
            rows[-1].append((item, size, left))
            left += size.width() + spacing
        return rows

    def _places(self, width: int) -> Iterator[tuple[QLayoutItem, QRect]]:
        """Yield the place of each item: in the vertical middle of its row, wider if it expands and there is room."""
        top = 0
        for row in self._rows(width):
            height = max(size.height() for _, size, _ in row)
            growing = [item for item, *_ in row if _expands(item.widget())]
            more = max(width - row[-1][2] - row[-1][1].width(), 0) // len(growing) if growing else 0
            moved = 0
            for item, size, left in row:
                wider = more if item in growing else 0
                place = QPoint(left + moved, top + (height - size.height()) // 2)
                yield item, QRect(place, size + QSize(wider, 0))
                moved += wider
            top += height + self.spacing()


def _expands(widget: QWidget | None) -> bool:
    return (
        widget is not None
        and widget.minimumWidth() < widget.maximumWidth()
        and widget.sizePolicy().horizontalPolicy() == QSizePolicy.Policy.Expanding
    )


_LEAST_SHARE = 0.3
"""Share of the window's height from which contents scroll while other parts have less than they ask for."""


class FittedScroll(PageScroll):
    """As tall as its contents at its width, if there is room for them (at most `most_px`); otherwise they scroll.

    It is hidden and shown with its contents.
    """

    def __init__(self, inside: QWidget, most_px: int = 10_000) -> None:
        super().__init__()
        self._inside, self._most_px = inside, most_px
        self.setWidget(inside)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        if inside.isHidden() and inside.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide):
            self.hide()

    def sizeHint(self) -> QSize:
        inside = self._inside
        height = inside.heightForWidth(self.width()) if inside.hasHeightForWidth() else inside.sizeHint().height()
        return QSize(inside.sizeHint().width(), min(height, scaled(self._most_px)))

    def minimumSizeHint(self) -> QSize:
        least = self._inside.minimumSizeHint().width()
        return QSize(least, min(self.sizeHint().height(), round(self.window().height() * _LEAST_SHARE)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        elif event.type() == QEvent.Type.HideToParent:
            self.hide()
        elif event.type() == QEvent.Type.ShowToParent and self.parentWidget() is not None:
            self.show()  # without a parent it would open as a window, which takes the focus
        return super().eventFilter(watched, event)


def single_timer(owner: QObject, interval_ms: int, handler: Callable[[], object]) -> QTimer:
    """Return a timer that calls `handler` once after each start; another start begins the interval again."""
    timer = repeating_timer(owner, interval_ms, handler)
    timer.setSingleShot(True)
    return timer


def repeating_timer(owner: QObject, interval_ms: int, handler: Callable[[], object]) -> QTimer:
    """Return a timer that calls `handler` at each interval while it runs."""
    timer = QTimer(owner)
    timer.setInterval(interval_ms)
    timer.timeout.connect(handler)
    return timer

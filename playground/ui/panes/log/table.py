"""The table: keys, context menu, widths, and its rows, painted in one pass without an item delegate's work per cell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial

from msgspec import Struct
from PySide6.QtCore import (
    QElapsedTimer,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QKeySequence, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractItemView, QMenu, QWidget

from playground.export.terminal import visible_line
from playground.requestlog.filter import Order
from playground.requestlog.records import LogRow
from playground.ui.panes.log.columns import COLUMNS, Column, attempt_cell, column_font, status_icon
from playground.ui.panes.log.model import LogModel
from playground.ui.theme import current_theme, scaled, ui_font, zoom_factor
from playground.ui.widgets.icons import paint_row_icon
from playground.ui.widgets.labels import add_choice, copy_text
from playground.ui.widgets.layouts import repeating_timer
from playground.ui.widgets.row_table import (
    BAR_PX,
    FIGURE_PAD_PX,
    FIRST_PAD_PX,
    LEFT,
    MARK_PX,
    PAD_PX,
    REQUEST_ROW_PX,
    RIGHT,
    RowTable,
    paint_cached_bar,
)

ATTEMPT_PX = 20
TEXT_PX = 20
"""Height of a row down to the end of its text."""
DAY_PX = 22
"""Height of the row of a day, above the first of its requests."""
BAR_GAP_PX = 4
"""Least room between the bar of cached tokens and its figure."""
_ICON_GAP_PX, _INDENT_PX = 6, 14


class _Place(Struct, frozen=True):
    """A visible column, and where its text is."""

    number: int
    column: Column
    left: int
    width: int
    flags: int


class RowPainter:
    """Paints the rows within an area of the viewport, once."""

    def __init__(self, table: LogTable, painter: QPainter) -> None:
        self._table, self._log, self._painter = table, table.log, painter
        self._theme, self._zoom = current_theme(), zoom_factor()

    def paint(self, area: QRect) -> None:
        table = self._table
        first, last = table.rowAt(area.top()), table.rowAt(area.bottom())
        if first < 0:
            return
        places = list(self._places(area))
        for number in range(first, self._log.rowCount() if last < 0 else last + 1):
            row = QRect(0, table.rowViewportPosition(number), table.viewport().width(), table.rowHeight(number))
            self._paint_row(number, row, places)

    def _places(self, area: QRect) -> Iterator[_Place]:
        table = self._table
        for number, column in enumerate(COLUMNS):
            left, width = table.columnViewportPosition(number), table.columnWidth(number)
            if not table.isColumnHidden(number) and left < area.right() and left + width > area.left():
                pad = PAD_PX if left + table.horizontalOffset() else FIRST_PAD_PX
                if column.figure and column.title != "cached":
                    pad = FIGURE_PAD_PX
                flags = (RIGHT if column.figure else LEFT).value
                yield _Place(number, column, left + pad, width - pad - PAD_PX, flags)

    def _paint_row(self, number: int, area: QRect, places: list[_Place]) -> None:
        row = self._log.row(number)
        if day := self._table.days.get(number):
            self._paint_day(QRect(area.left(), area.top(), area.width(), scaled(DAY_PX)), day)
            area = area.adjusted(0, scaled(DAY_PX), 0, 0)
        self._paint_ground(number, area, row)
        top, high, attempt_px = area.top(), scaled(REQUEST_ROW_PX), scaled(ATTEMPT_PX)
        if top + scaled(TEXT_PX) > self._table.viewport().height():
            return  # the text would be cut in the middle of its letters
        for at in places:
            self._painter.setFont(column_font(at.column))
            self._paint_cell(number, row, at, top, high)
        if row is not None and area.height() > high:
            for line, attempt in enumerate(self._log.detail(row).attempts):
                for at in places:
                    cell = attempt_cell(at.column.title, attempt)
                    self._painter.setFont(column_font(at.column, 11))
                    self._painter.setPen(getattr(self._theme, cell.tone or "muted"))
                    room = QRect(at.left, top + high + line * attempt_px, at.width, attempt_px)
                    self._draw(room, at, visible_line(cell.text), 11)
        self._draw_end(area)

    def _paint_cell(self, number: int, row: LogRow | None, at: _Place, top: int, high: int) -> None:
        """Paint the text of a cell; before it the icon of the status, the indent of a member, or the cached share."""
        text, color = self._log.painted(number, at.number)
        indent, middle = 0, top + high // 2
        if row is not None and at.column.title == "cached":
            self._paint_cached(at, middle, row, self._painter.fontMetrics().horizontalAdvance(text))
        elif row is not None and row.group is None and at.column.title == "status":
            name, role = status_icon(row)
            indent = paint_row_icon(self._painter, name, at.left, middle, getattr(self._theme, role)) + _ICON_GAP_PX
        elif row is not None and row.group is None and at.column.title == "time" and self._log.is_member(row):
            spare = at.width - self._painter.fontMetrics().horizontalAdvance(text)
            indent = min(_INDENT_PX, max(spare, 0))
        self._painter.setPen(color or self._theme.text)
        self._draw(QRect(at.left + indent, top, at.width - indent, high), at, text, 12)

    def _draw(self, room: QRect, at: _Place, text: str, px: int) -> None:
        if text:
            text = _elide(text, room.width(), at.column, px, self._zoom)
            self._painter.drawText(room, at.flags, text)

    def _draw_end(self, area: QRect) -> None:
        self._painter.setPen(self._theme.line)
        self._painter.drawLine(area.bottomLeft(), area.bottomRight())

    def _paint_day(self, area: QRect, day: str) -> None:
        self._painter.fillRect(area, self._theme.sunk)
        self._painter.setFont(ui_font(12))
        self._painter.setPen(self._theme.muted)
        self._painter.drawText(area.adjusted(FIRST_PAD_PX, 0, 0, 0), LEFT, day)
        self._draw_end(area)

    def _paint_ground(self, number: int, area: QRect, row: LogRow | None) -> None:
        strength = self._table.freshness(number)
        if self._table.selectionModel().isRowSelected(number):
            self._painter.fillRect(area, self._theme.selection)
        elif strength:
            color = QColor(self._theme.selection)
            color.setAlphaF(strength)
            self._painter.fillRect(area, color)
        if row is not None and row.run_id == self._log.shown_run_id:
            self._painter.fillRect(QRect(area.left(), area.top(), MARK_PX, area.height()), self._theme.accent)

    def _paint_cached(self, at: _Place, middle: int, row: LogRow, figure_px: int) -> None:
        """Draw the cached share of the prompt as a bar before its figure, if it was reported and there is room."""
        cached, prompt = row.cached_tokens, row.prompt_tokens
        if row.group is not None:
            cached, prompt = row.group.compared_cached_tokens, row.group.compared_prompt_tokens
        if cached is not None and prompt and at.width >= BAR_PX + BAR_GAP_PX + figure_px:
            paint_cached_bar(self._painter, at.left, middle, cached / prompt)


@lru_cache(maxsize=1_024)
def _elide(text: str, width: int, column: Column, px: int, _zoom: float) -> str:
    """Cut a text to a width. Qt takes 10 to 40 µs for it, too long for every cell of every paint."""
    return QFontMetrics(column_font(column, px)).elidedText(text, Qt.TextElideMode.ElideRight, width)


FADE_MS = 600
"""How long a new row stays highlighted. Not with reduced motion."""
FADE_STEP_MS = 50


class Ask(Struct, frozen=True):
    """Something that can be done with chosen rows: with at least and at most so many (0: any number)."""

    name: str
    label: str
    key: str = ""
    least: int = 1
    most: int = 0
    apart: bool = False


ASKS = (
    Ask("mark", "Mark, or take the mark off", "M", apart=True),
    Ask("tag", "Tags…", "T"),
    Ask("comment", "Comment…", "N", most=1),
    Ask("earlier", "The earlier request it shares its prefix with", "P", most=1, apart=True),
    Ask("compare", "Compare selected", "C", least=2, most=4),
    Ask("resend", "Send again", "R", most=1, apart=True),
    Ask("curl", "Copy as curl", most=1),
    Ask("python", "Copy as Python (openai)", most=1),
    Ask("httpx", "Copy as Python (httpx)", most=1),
    Ask("javascript", "Copy as JavaScript", most=1),
    Ask("ticket", "Support ticket…", "S", apart=True),
    Ask("export", "Export…", "E"),
    Ask("delete", "Delete…", "Del", apart=True),
)
"""What the menu of rows offers, and the keys for it while the rows have the keyboard."""
_BY_KEY = {ask.key: ask.name for ask in ASKS if ask.key}


class LogTable(RowTable):
    """The requests of the log. The first row of each earlier day has the day above it."""

    open_asked = Signal(str)
    """A run_id that the user opens, by Enter or a double click."""
    copy_asked = Signal()
    left = Signal()
    """Escape: back to the newest request."""
    asked = Signal(str)
    """What is to be done with the chosen rows: the name of one of ASKS."""

    def __init__(self, model: LogModel) -> None:
        super().__init__("Logged requests")
        self.log = model
        self._tall: dict[int, int] = {}
        self.days: dict[int, str] = {}
        """Text of the day above a row."""
        for change in (model.rowsAboutToBeInserted, model.rowsAboutToBeRemoved):
            change.connect(self._flatten)  # before the heights move with their rows
        self.setModel(model)
        self._new_rows = 0
        self._since_new = QElapsedTimer()
        self._fading = repeating_timer(self, FADE_STEP_MS, self._fade)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        header = self.horizontalHeader()
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self.sort_by)
        model.loaded.connect(self.fit_rows)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)

    def sort_by(self, number: int) -> None:
        """Sort by a column: figures and times largest first, texts from A on; again: reversed; again: newest first."""
        column, order = COLUMNS[number], self.log.filter.order
        first = column.figure or column.title == "time"
        if order is None or order.key != column.title:
            # The default is newest first: the first click on the time shows the oldest first.
            self.show_order(Order(column.title, first and column.title != "time"))
        elif order.descending == first and column.title != "time":
            self.show_order(Order(column.title, not first))
        else:
            self.show_order(None)

    def show_order(self, order: Order | None) -> None:
        """Sort the log, mark the column, and name the order to screen readers."""
        header = self.horizontalHeader()
        header.setSortIndicatorShown(order is not None)
        if order is None:
            self.setAccessibleName("Logged requests")
        else:
            number = next(number for number, column in enumerate(COLUMNS) if column.title == order.key)
            down = Qt.SortOrder.DescendingOrder if order.descending else Qt.SortOrder.AscendingOrder
            header.setSortIndicator(number, down)
            words = "descending" if order.descending else "ascending"
            self.setAccessibleName(f"Logged requests, sorted by {COLUMNS[number].header}, {words}")
        self.log.show_order(order)

    def order_menu(self) -> QMenu:
        """Return a menu of the columns to sort by, for the keyboard."""
        menu, order = QMenu("Sort by", self), self.log.filter.order
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        add_choice(menu, "Newest first", checked=order is None, chosen=lambda: self.show_order(None))
        for number, column in enumerate(COLUMNS):
            checked = order is not None and order.key == column.title
            add_choice(menu, column.header, checked=checked, chosen=partial(self.sort_by, number))
        return menu

    def fit_rows(self) -> None:
        """Give unfolded rows room for their attempts, and the first row of a day room for the day."""
        self.days = dict(self._find_days())
        tall = {place: scaled(REQUEST_ROW_PX + DAY_PX) for place in self.days}
        for run_id in self.log.unfolded:
            if (place := self.log.find(run_id)) is not None and (row := self.log.row(place)) is not None:
                attempts = scaled(ATTEMPT_PX) * len(self.log.detail(row).attempts)
                tall[place] = tall.get(place, scaled(REQUEST_ROW_PX)) + attempts
        self._set_heights(tall)

    def _find_days(self) -> Iterator[tuple[int, str]]:
        """Yield the first row of each day among the rows in memory and the text of the day; none if today is on top."""
        if self.log.filter.order is not None:
            return
        zone = UTC if self.log.clock == "utc" else None
        today = datetime.now(zone).date()
        for place, day in self.log.day_changes(lambda row: row.started_utc.astimezone(zone).date()):
            if day == today - timedelta(days=1):
                yield place, f"Yesterday, {day.day} {day:%B}"
            elif day == today and place:  # below imported requests of earlier days
                yield place, f"Today, {day.day} {day:%B}"
            elif day != today:
                yield place, f"{day:%A}, {day.day} {day:%B %Y}"

    def _flatten(self) -> None:
        self._set_heights({})
        self.days = {}

    def _set_heights(self, tall: dict[int, int]) -> None:
        """Give rows a height other than that of a request; those that had one before get it back."""
        for place in {*self._tall, *tall}:
            if place < self.log.rowCount():
                self.verticalHeader().resizeSection(place, tall.get(place, scaled(REQUEST_ROW_PX)))
        self._tall = tall

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        RowPainter(self, painter).paint(event.rect())

    def _current(self) -> LogRow | None:
        return self.log.row(self.currentIndex().row()) if self.currentIndex().isValid() else None

    def open_row(self) -> None:
        """Open the current request, or show or hide the requests of a group."""
        if not self._unfold_group() and (row := self._current()) is not None:
            self.open_asked.emit(row.run_id)

    def copy_row(self) -> None:
        self.copy_asked.emit()

    def _unfold_group(self, unfolded: bool | None = None) -> bool:
        row = self._current()
        if row is None or row.group is None:
            return False
        self.log.expand_group(row.group.tag, not row.group.expanded if unfolded is None else unfolded)
        return True

    def unfold(self, unfolded: bool | None = None) -> bool:
        """Show or hide the requests of the current group, or the attempts of the current request (None: toggle).

        Returns whether the row has any.
        """
        row = self._current()
        if row is None or self._unfold_group(unfolded):
            return row is not None
        if row.attempts < 2:
            return unfolded is False and self._go_to_heading(row)
        now = row.run_id in self.log.unfolded
        if unfolded is None or unfolded != now:
            self.log.unfold(row.run_id, not now)
        return True

    def _go_to_heading(self, row: LogRow) -> bool:
        """Select the heading of an expanded group from one of its requests."""
        folds = self.log.filter.folds
        for tag in row.tags:
            if folds is not None and tag in folds.expanded and (place := self.log.find(tag)) is not None:
                self.go_to(place)
                return True
        return False

    def chosen_rows(self) -> list[int]:
        """Return the places of the selected rows, the newest first."""
        return sorted(index.row() for index in self.selectionModel().selectedRows())

    def chosen_requests(self) -> int:
        """Return the number of selected requests, those of selected groups included."""
        places, collapsed = set(self.chosen_rows()), 0
        for place, group in self.log.headings_in_memory():
            if place in places and group.expanded:
                places |= set(range(place + 1, place + 1 + group.requests))
            if place in places:
                places.discard(place)
                collapsed += 0 if group.expanded else group.requests
        return len(places) + collapsed

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and COLUMNS[index.column()].title == "time":
            row, left = self.log.row(index.row()), self.columnViewportPosition(index.column())
            if row is not None and (row.attempts > 1 or row.group is not None) and event.position().x() - left < 20:
                self.unfold()

    def _menu(self, place: QPoint) -> None:
        if not self.currentIndex().isValid():
            return
        menu, many, row = QMenu(self), self.chosen_requests(), self._current()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        group = row.group if row is not None else None
        if group is not None and len(self.chosen_rows()) < 2:
            label = "Collapse the group\tLeft" if group.expanded else "Expand the group\tRight"
            menu.addAction(label, lambda: self.unfold())
        elif many < 2:
            menu.addAction("Open in the panes\tEnter", self.open_row)
        label = "Copy request_id" if many < 2 else f"Copy {many:,} request_ids"
        menu.addAction(f"{label}\tCtrl+C", self.copy_row)
        attempts = self.log.detail(row).attempts if row is not None and many < 2 and row.attempts > 1 else ()
        for attempt in attempts:
            if attempt.request_id is not None:
                label = f"Copy request_id of attempt {attempt.number}\t{visible_line(attempt.request_id)}"
                menu.addAction(label.replace("&", "&&"), partial(copy_text, attempt.request_id))
        if group is not None and group.kind == "comparison":
            menu.addAction("Open in Compare mode", partial(self.asked.emit, "compare"))
        for ask in ASKS:
            if ask.least <= max(many, 1) <= (ask.most or many):
                if ask.apart:
                    menu.addSeparator()
                menu.addAction(f"{ask.label}\t{ask.key}".strip(), partial(self.asked.emit, ask.name))
        menu.popup(self.viewport().mapToGlobal(place))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, plain = event.key(), not event.modifiers()
        if key == Qt.Key.Key_Escape:
            self.left.emit()
        elif plain and key in (Qt.Key.Key_Right, Qt.Key.Key_Left) and self.unfold(key == Qt.Key.Key_Right):
            pass
        elif plain and (name := _BY_KEY.get(QKeySequence(key).toString())):
            self.asked.emit(name)
        else:
            super().keyPressEvent(event)

    def rowsInserted(self, parent: QModelIndex | QPersistentModelIndex, start: int, end: int) -> None:
        """Keep the rows that the user reads in place when new rows come on top."""
        bar = self.verticalScrollBar()
        top = bar.value()
        super().rowsInserted(parent, start, end)
        if start == 0 and self.log.filter.order is None and animated(self):
            self._new_rows = end + 1
            self._since_new.start()
            self._fading.start()
        if top > 0 and start == 0:
            self.updateGeometries()  # else the bar still has its old end
            bar.setValue(top + end + 1)

    def freshness(self, row: int) -> float:
        """Return how strongly a row is highlighted as new, from 0 to 1."""
        if row >= self._new_rows or not self._fading.isActive():
            return 0.0
        return max(0.0, 1.0 - self._since_new.elapsed() / FADE_MS)

    def _fade(self) -> None:
        if self._since_new.elapsed() >= FADE_MS:
            self._fading.stop()
        end = self.rowViewportPosition(self._new_rows - 1) + self.rowHeight(self._new_rows - 1)
        self.viewport().update(0, 0, self.viewport().width(), end)

    def reset(self) -> None:
        """Other rows altogether, after another filter: from the newest on."""
        super().reset()
        self._flatten()
        self.scrollToTop()

    def choose(self, row: int) -> None:
        """Choose a row and leave the scrolling alone; -1 chooses none."""
        bar = self.verticalScrollBar()
        top = bar.value()
        self._select_only(self.model().index(row, 0))
        bar.setValue(top)

    def go_to(self, row: int) -> None:
        if 0 <= row < self.model().rowCount():
            index = self.model().index(row, 0)
            self._select_only(index)
            self.scrollTo(index)

    def _select_only(self, index: QModelIndex) -> None:
        """Select one row. QAbstractItemView.setCurrentIndex extends the selection while Ctrl is down (Ctrl+Enter)."""
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)


def animated(widget: QWidget) -> bool:
    """Whether the desktop wants animations (reduced motion is off)."""
    from PySide6.QtWidgets import QStyle  # 600 enum members: 11 ms

    return bool(widget.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration, None, widget))

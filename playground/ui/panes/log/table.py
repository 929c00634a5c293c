"""The table of the log: keys, context menu, heights and painting of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from msgspec import Struct
from PySide6.QtCore import QElapsedTimer, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QMenu, QWidget

from playground.export.terminal import visible_line
from playground.requestlog.filter import Order
from playground.requestlog.records import LogRow
from playground.ui.panes.log.columns import COLUMNS, attempt_cell, status_icon
from playground.ui.panes.log.model import LogModel
from playground.ui.theme import current_theme, scaled
from playground.ui.widgets.icons import paint_row_icon
from playground.ui.widgets.labels import add_choice, copy_text, passing_menu
from playground.ui.widgets.layouts import repeating_timer
from playground.ui.widgets.row_table import (
    BAR_PX,
    FIGURE_PAD_PX,
    FIRST_PAD_PX,
    MARK_PX,
    PAD_PX,
    REQUEST_ROW_PX,
    Index,
    RowFont,
    RowTable,
    Spans,
    paint_cached_bar,
    paint_line_below,
    paint_text,
    text_width,
)

ATTEMPT_PX = 20
TEXT_PX = 20
"""Height of a row down to the end of its text."""
DAY_PX = 22
"""Height of the row of a day, above the first of its requests."""
BAR_GAP_PX = 4
"""Least room between the bar of cached tokens and its figure."""
_ICON_GAP_PX, _INDENT_PX = 6, 14


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


class LogTable(RowTable):
    """The requests of the log. The first row of each earlier day has the day above it."""

    open_asked = Signal(str)
    """A run_id that the user opens, by Enter or a double click."""
    copy_asked = Signal()
    left = Signal()
    """Escape: back to the newest request."""

    def __init__(self, model: LogModel) -> None:
        super().__init__("Logged requests", keys={ask.key: ask.name for ask in ASKS if ask.key})
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
        menu, order = passing_menu(self, "Sort by"), self.log.filter.order
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

    def paint_row(self, painter: QPainter, number: int, area: QRect, spans: Spans) -> None:
        row, theme = self.log.row(number), current_theme()
        if day := self.days.get(number):
            head = QRect(area.left(), area.top(), area.width(), scaled(DAY_PX))
            painter.fillRect(head, theme.sunk)
            paint_text(painter, head.adjusted(FIRST_PAD_PX, 0, 0, 0), day, RowFont(), theme.muted, right=False)
            paint_line_below(painter, head)
            area = area.adjusted(0, scaled(DAY_PX), 0, 0)
        self._paint_ground(painter, number, area, row)
        top, high, attempt_px = area.top(), scaled(REQUEST_ROW_PX), scaled(ATTEMPT_PX)
        if top + scaled(TEXT_PX) > self.viewport().height():
            return  # the text would be cut in the middle of its letters
        attempts = self.log.detail(row).attempts if row is not None and area.height() > high else ()
        for at, left, width in spans:
            column = COLUMNS[at]
            pad = PAD_PX if left + self.horizontalOffset() else FIRST_PAD_PX
            pad = FIGURE_PAD_PX if column.figure and column.title != "cached" else pad
            room = QRect(left + pad, top, width - pad - PAD_PX, high)
            self._paint_cell(painter, number, row, at, room)
            for line, attempt in enumerate(attempts):
                cell = attempt_cell(column.title, attempt)
                room = QRect(room.left(), top + high + line * attempt_px, room.width(), attempt_px)
                color = getattr(theme, cell.tone or "muted")
                paint_text(painter, room, visible_line(cell.text), column.font(11), color, right=column.figure)
        paint_line_below(painter, area)

    def _paint_cell(self, painter: QPainter, number: int, row: LogRow | None, at: int, room: QRect) -> None:
        """Paint the text of a cell; before it the icon of the status, the indent of a member, or the cached share."""
        text, color = self.log.painted(number, at)
        column, theme, indent = COLUMNS[at], current_theme(), 0
        if row is not None and column.title == "cached":
            _paint_cached(painter, room, row, text_width(text, column.font()))
        elif row is not None and row.group is None and column.title == "status":
            name, role = status_icon(row)
            middle = room.top() + room.height() // 2
            indent = paint_row_icon(painter, name, room.left(), middle, getattr(theme, role)) + _ICON_GAP_PX
        elif row is not None and row.group is None and column.title == "time" and self.log.is_member(row):
            indent = min(_INDENT_PX, max(room.width() - text_width(text, column.font()), 0))
        room = room.adjusted(indent, 0, 0, 0)
        paint_text(painter, room, text, column.font(), color or theme.text, right=column.figure)

    def _paint_ground(self, painter: QPainter, number: int, area: QRect, row: LogRow | None) -> None:
        color, strength = QColor(current_theme().selection), self.freshness(number)
        if self.selectionModel().isRowSelected(number):
            painter.fillRect(area, color)
        elif strength:
            color.setAlphaF(strength)
            painter.fillRect(area, color)
        if row is not None and row.run_id == self.log.shown_run_id:
            painter.fillRect(QRect(area.left(), area.top(), MARK_PX, area.height()), current_theme().accent)

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
        menu, many, row = passing_menu(self), self.chosen_requests(), self._current()
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
        elif not (plain and key in (Qt.Key.Key_Right, Qt.Key.Key_Left) and self.unfold(key == Qt.Key.Key_Right)):
            super().keyPressEvent(event)

    def rowsInserted(self, parent: Index, start: int, end: int) -> None:
        super().rowsInserted(parent, start, end)
        if start == 0 and self.log.filter.order is None and animated(self):
            self._new_rows = end + 1
            self._since_new.start()
            self._fading.start()

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
        self.select_only(self.model().index(row, 0))
        bar.setValue(top)

    def go_to(self, row: int) -> None:
        if 0 <= row < self.model().rowCount():
            index = self.model().index(row, 0)
            self.select_only(index)
            self.scrollTo(index)


def _paint_cached(painter: QPainter, room: QRect, row: LogRow, figure_px: int) -> None:
    """Draw the cached share of the prompt as a bar before its figure, if it was reported and there is room."""
    cached, prompt = row.cached_tokens, row.prompt_tokens
    if row.group is not None:
        cached, prompt = row.group.compared_cached_tokens, row.group.compared_prompt_tokens
    if cached is not None and prompt and room.width() >= BAR_PX + BAR_GAP_PX + figure_px:
        paint_cached_bar(painter, room.left(), room.top() + room.height() // 2, cached / prompt)


def animated(widget: QWidget) -> bool:
    """Whether the desktop wants animations (reduced motion is off)."""
    from PySide6.QtWidgets import QStyle  # 600 enum members: 11 ms

    return bool(widget.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration, None, widget))

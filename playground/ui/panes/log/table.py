"""The table: keys, context menu, widths, and its rows, painted in one pass without an item delegate's work per cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QMenu,
    QWidget,
)

from playground.export.terminal import visible_line
from playground.requestlog.filter import Order
from playground.requestlog.records import LogRow
from playground.ui.panes.log.columns import COLUMNS, Column, attempt_cell, status_icon
from playground.ui.panes.log.details import AttemptLine
from playground.ui.panes.log.model import LogModel
from playground.ui.theme import current_theme, mono_font, scaled, ui_font
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


class _Column(Struct, frozen=True):
    """A visible column: its number, where its text is, and how it is drawn."""

    number: int
    left: int
    width: int
    column: Column
    font: QFont
    key: str
    flags: int


class RowPainter:
    """Paints rows of a log table."""

    def __init__(self, table: LogTable, model: LogModel) -> None:
        self._table, self._model = table, model

    def paint(self, painter: QPainter, area: QRect) -> None:
        """Paint the rows within an area of the viewport."""
        table, count = self._table, self._model.rowCount()
        first, last = table.rowAt(area.top()), table.rowAt(area.bottom())
        if first < 0:
            return
        columns = self._columns(area)
        for number in range(first, (count if last < 0 else last + 1)):
            place = QRect(0, table.rowViewportPosition(number), table.viewport().width(), table.rowHeight(number))
            self._paint_row(painter, number, place, columns)

    def _columns(self, area: QRect) -> list[_Column]:
        """Return the columns within an area."""
        table, found = self._table, []
        for number, column in enumerate(COLUMNS):
            left, width = table.columnViewportPosition(number), table.columnWidth(number)
            if not table.isColumnHidden(number) and left < area.right() and left + width > area.left():
                font = self._model.font_of(column)
                pad = PAD_PX if left + table.horizontalOffset() else FIRST_PAD_PX
                if column.figure and column.title != "cached":
                    pad = FIGURE_PAD_PX
                flags = (RIGHT if column.figure else LEFT).value
                found.append(_Column(number, left + pad, width - pad - PAD_PX, column, font, _key_of(font), flags))
        return found

    def _paint_row(self, painter: QPainter, number: int, place: QRect, columns: Sequence[_Column]) -> None:
        row = self._model.row(number)
        if day := self._table.days.get(number):
            self._paint_day(painter, QRect(place.left(), place.top(), place.width(), scaled(DAY_PX)), day)
            place = place.adjusted(0, scaled(DAY_PX), 0, 0)
        top = place.top()
        self._paint_ground(painter, number, place, row)
        if top + scaled(TEXT_PX) > self._table.viewport().height():
            return  # the text would be cut in the middle of its letters
        high, attempts = scaled(REQUEST_ROW_PX), scaled(ATTEMPT_PX)
        unfolded = self._model.detail(row).attempts if row is not None and place.height() > high else ()
        for at in columns:
            text, color = self._model.painted(number, at.number)
            indent = 0
            if row is not None and row.group is None:
                if at.column.title == "status":
                    name, role = status_icon(row)
                    color_of_icon = getattr(current_theme(), role)
                    indent = paint_row_icon(painter, name, at.left, top + high // 2, color_of_icon) + _ICON_GAP_PX
                elif at.column.title == "time" and self._model.is_member(row):
                    spare = at.width - QFontMetrics(at.font).horizontalAdvance(text)
                    indent = min(_INDENT_PX, max(spare, 0))
            if text:
                painter.setFont(at.font)
                painter.setPen(color or current_theme().text)
                shown = _elide(text, at.key, at.width - indent)
                painter.drawText(at.left + indent, top, at.width - indent, high, at.flags, shown)
            if row is not None and at.column.title == "cached":
                self._paint_cached(painter, at, top + high // 2, row, QFontMetrics(at.font).horizontalAdvance(text))
            for line, attempt in enumerate(unfolded):
                self._paint_attempt(
                    painter, QRect(at.left, top + high + line * attempts, at.width, attempts), at, attempt
                )
        painter.setPen(current_theme().line)
        painter.drawLine(place.bottomLeft(), place.bottomRight())

    def _paint_day(self, painter: QPainter, place: QRect, day: str) -> None:
        theme = current_theme()
        painter.fillRect(place, theme.sunk)
        painter.setFont(ui_font(12))
        painter.setPen(theme.muted)
        painter.drawText(place.adjusted(FIRST_PAD_PX, 0, 0, 0), LEFT, day)
        painter.setPen(theme.line)
        painter.drawLine(place.bottomLeft(), place.bottomRight())

    def _paint_ground(self, painter: QPainter, number: int, place: QRect, row: LogRow | None) -> None:
        strength = self._table.freshness(number)
        if self._table.selectionModel().isRowSelected(number):
            painter.fillRect(place, current_theme().selection)
        elif strength:
            color = QColor(current_theme().selection)
            color.setAlphaF(strength)
            painter.fillRect(place, color)
        shown = self._model.shown_run_id
        if row is not None and shown is not None and row.run_id == shown:
            painter.fillRect(QRect(place.left(), place.top(), MARK_PX, place.height()), current_theme().accent)

    def _paint_cached(self, painter: QPainter, at: _Column, middle: int, row: LogRow, figure_px: int) -> None:
        """Draw the cached share of the prompt as a bar before its figure, if it was reported and there is room."""
        cached, prompt = row.cached_tokens, row.prompt_tokens
        if row.group is not None:
            cached, prompt = row.group.compared_cached_tokens, row.group.compared_prompt_tokens
        if cached is None or not prompt or at.width < BAR_PX + BAR_GAP_PX + figure_px:
            return
        paint_cached_bar(painter, at.left, middle, cached / prompt)

    def _paint_attempt(self, painter: QPainter, place: QRect, at: _Column, attempt: AttemptLine) -> None:
        cell = attempt_cell(at.column.title, attempt)
        font = mono_font(11) if at.column.mono else ui_font(11, tabular=at.column.figure)
        painter.setFont(font)
        painter.setPen(getattr(current_theme(), cell.tone) if cell.tone else current_theme().muted)
        text = _elide(visible_line(cell.text), _key_of(font), place.width())
        painter.drawText(place, at.flags, text)


_fonts: dict[str, QFont] = {}
"""The fonts of rows by the key under which `_elide` finds them."""


def _key_of(font: QFont) -> str:
    key = f"{font.key()} {font.pixelSize()}"
    _fonts.setdefault(key, font)
    return key


@lru_cache(maxsize=1_024)
def _elide(text: str, font: str, width: int) -> str:
    """`font`: as `_key_of` returns it."""
    return QFontMetrics(_fonts[font]).elidedText(text, Qt.TextElideMode.ElideRight, width)


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

    open_asked = Signal()
    copy_asked = Signal()
    left = Signal()
    """Escape: leave the logged request."""
    asked = Signal(str)
    """What is to be done with the chosen rows: the name of one of ASKS."""

    def __init__(self, model: LogModel) -> None:
        super().__init__("Logged requests")
        self._log = model
        self._tall: dict[int, int] = {}
        self.days: dict[int, str] = {}
        """Text of the day above a row."""
        self._painter = RowPainter(self, model)
        self.setModel(model)
        self._new_rows = 0
        self._since_new = QElapsedTimer()
        self._fading = repeating_timer(self, FADE_STEP_MS, self._fade)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        header = self.horizontalHeader()
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self.sort_by)
        model.loaded.connect(self.fit_rows)
        model.rowsAboutToBeInserted.connect(self._flatten)  # before the heights move with their rows
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)

    def sort_by(self, number: int) -> None:
        """Sort by a column: figures and times largest first, texts from A on; again: reversed; again: newest first."""
        column, order = COLUMNS[number], self._log.filter.order
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
        self._log.show_order(order)

    def order_menu(self) -> QMenu:
        """Return a menu of the columns to sort by, for the keyboard."""
        menu, order = QMenu("Sort by", self), self._log.filter.order
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
        for run_id in self._log.unfolded:
            place = self._log.find(run_id)
            row = self._log.row(place) if place is not None else None
            if place is not None and row is not None:
                attempts = scaled(ATTEMPT_PX) * len(self._log.detail(row).attempts)
                tall[place] = tall.get(place, scaled(REQUEST_ROW_PX)) + attempts
        header = self.verticalHeader()
        for place in {*self._tall, *tall}:
            if place < self._log.rowCount():
                header.resizeSection(place, tall.get(place, scaled(REQUEST_ROW_PX)))
        self._tall = tall

    def _find_days(self) -> Iterator[tuple[int, str]]:
        """Yield the first row of each day among the rows in memory and the text of the day; none if today is on top."""
        if self._log.filter.order is not None:
            return
        zone = UTC if self._log.clock == "utc" else None
        today = datetime.now(zone).date()
        for place, day in self._log.day_changes(lambda row: row.started_utc.astimezone(zone).date()):
            if day == today - timedelta(days=1):
                yield place, f"Yesterday, {day.day} {day:%B}"
            elif day == today and place:  # below imported requests of earlier days
                yield place, f"Today, {day.day} {day:%B}"
            elif day != today:
                yield place, f"{day:%A}, {day.day} {day:%B %Y}"

    def rowsAboutToBeRemoved(self, parent: QModelIndex | QPersistentModelIndex, start: int, end: int) -> None:
        """Row heights depend on the request, so set them again."""
        self._flatten()
        super().rowsAboutToBeRemoved(parent, start, end)

    def _flatten(self) -> None:
        for place in self._tall:
            if place < self._log.rowCount():
                self.verticalHeader().resizeSection(place, scaled(REQUEST_ROW_PX))
        self._tall, self.days = {}, {}

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        self._painter.paint(painter, event.rect())

    def _current(self) -> LogRow | None:
        return self._log.row(self.currentIndex().row()) if self.currentIndex().isValid() else None

    def open_row(self) -> None:
        """Open the current request, or show or hide the requests of a group."""
        row = self._current()
        if row is not None and row.group is not None:
            self._log.expand_group(row.group.tag, not row.group.expanded)
        else:
            self.open_asked.emit()

    def copy_row(self) -> None:
        """Copy the chosen request_ids."""
        self.copy_asked.emit()

    def unfold(self, unfolded: bool | None = None) -> bool:
        """Show or hide the requests of the current group, or the attempts of the current request (None: toggle).

        Returns whether the row has any.
        """
        row = self._current()
        if row is not None and row.group is not None:
            self._log.expand_group(row.group.tag, not row.group.expanded if unfolded is None else unfolded)
            return True
        if row is None or row.attempts < 2:
            return self._go_to_heading(row) if unfolded is False else False
        now = row.run_id in self._log.unfolded
        if unfolded is None or unfolded != now:
            self._log.unfold(row.run_id, not now)
        return True

    def _go_to_heading(self, row: LogRow | None) -> bool:
        """Select the heading of an expanded group from one of its requests."""
        folding = self._log.filter.folds
        if row is None or folding is None:
            return False
        places = (self._log.find(tag) for tag in row.tags if tag in folding.expanded)
        place = next((place for place in places if place is not None), None)
        if place is None:
            return False
        self.go_to(place)
        return True

    def chosen_rows(self) -> list[int]:
        """Return the places of the selected rows, the newest first."""
        return sorted(index.row() for index in self.selectionModel().selectedRows())

    def chosen_requests(self) -> int:
        """Return the number of selected requests, those of selected groups included."""
        places, collapsed = set(self.chosen_rows()), 0
        for place, group in self._log.headings_in_memory():
            if place in places and group.expanded:
                places |= set(range(place + 1, place + 1 + group.requests))
            if place in places:
                places.discard(place)
                collapsed += 0 if group.expanded else group.requests
        return len(places) + collapsed

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        index = self.indexAt(event.position().toPoint())
        row = self._log.row(index.row()) if index.isValid() else None
        mark = index.isValid() and COLUMNS[index.column()].title == "time"
        within = event.position().x() - self.columnViewportPosition(index.column()) < 20 if mark else False
        if row is not None and (row.attempts > 1 or row.group is not None) and within:
            self.unfold()

    def _menu(self, place: QPoint) -> None:
        if not self.currentIndex().isValid():
            return
        menu = QMenu(self)
        many, row = self.chosen_requests(), self._current()
        if row is not None and row.group is not None and len(self.chosen_rows()) < 2:
            label = "Collapse the group\tLeft" if row.group.expanded else "Expand the group\tRight"
            menu.addAction(label).triggered.connect(lambda _checked: self.unfold())
        elif many < 2:
            menu.addAction("Open in the panes\tEnter").triggered.connect(lambda _checked: self.open_asked.emit())
        label = "Copy request_id" if many < 2 else f"Copy {many:,} request_ids"
        menu.addAction(f"{label}\tCtrl+C").triggered.connect(lambda _checked: self.copy_asked.emit())
        attempts = self._log.detail(row).attempts if row is not None and many < 2 and row.attempts > 1 else ()
        for attempt in attempts:
            if attempt.request_id is not None:
                label = f"Copy request_id of attempt {attempt.number}\t{visible_line(attempt.request_id)}"
                menu.addAction(label.replace("&", "&&")).triggered.connect(partial(copy_text, attempt.request_id))
        if row is not None and row.group is not None and row.group.kind == "comparison":
            menu.addAction("Open in Compare mode").triggered.connect(lambda _checked: self.asked.emit("compare"))
        for ask in ASKS:
            if ask.least <= max(many, 1) <= (ask.most or many):
                if ask.apart:
                    menu.addSeparator()
                action = menu.addAction(f"{ask.label}\t{ask.key}" if ask.key else ask.label)
                action.triggered.connect(lambda _checked, name=ask.name: self.asked.emit(name))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.viewport().mapToGlobal(place))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not _with_control(event):
            self.open_row()
        elif event.key() in (Qt.Key.Key_Right, Qt.Key.Key_Left) and not event.modifiers():
            if not self.unfold(event.key() == Qt.Key.Key_Right):
                super().keyPressEvent(event)
        elif (ask := _asked_by(event)) is not None:
            self.asked.emit(ask)
        else:
            super().keyPressEvent(event)

    def rowsInserted(self, parent: QModelIndex | QPersistentModelIndex, start: int, end: int) -> None:
        """Keep the rows that the user reads in place when new rows come on top."""
        bar = self.verticalScrollBar()
        top = bar.value()
        super().rowsInserted(parent, start, end)
        if start == 0 and self._log.filter.order is None and animated(self):
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

    def go_to_row(self, row: int, _step: int) -> None:
        """Select the row, the first or the last one if there is no such row."""
        self.go_to(min(max(row, 0), self.model().rowCount() - 1))

    def go_to(self, row: int) -> None:
        """Choose a row, and show it."""
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


def _asked_by(event: QKeyEvent) -> str | None:
    if event.modifiers():
        return None
    key = QKeySequence(event.key()).toString()
    return next((ask.name for ask in ASKS if ask.key and ask.key.lower() == key.lower()), None)


def _with_control(event: QKeyEvent) -> bool:
    return bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)

"""Table model of the whole log; only the visible pages are in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QModelIndex, Signal
from PySide6.QtGui import QColor, QFont

from playground.export.terminal import visible, visible_line
from playground.requestlog.filter import EVERYTHING, Folding, LogFilter, Order
from playground.requestlog.records import LogGroup, LogRow
from playground.runs.metrics import APPROXIMATELY, UNKNOWN, counted
from playground.runs.state import ENDED
from playground.tasks import Start
from playground.ui.panes.log.columns import COLUMNS, LIVE_COLUMNS, Cell, Column, attempt_cell, cell_of
from playground.ui.panes.log.details import Clock, Details, LiveRequests, RowDetail
from playground.ui.theme import current_theme
from playground.ui.widgets.row_table import Index, RowModel

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog

PAGE = 128
_SEARCHING_S = 0.15
"""Seconds without a row after which the earlier rows are replaced."""
MAX_PAGES = 24

_NOWHERE = QModelIndex()


class LogModel(RowModel):
    """Loads rows when they are painted; until then, cells show …"""

    titles = tuple(column.header for column in COLUMNS)
    loaded = Signal()
    """Rows or their number have come."""
    summed = Signal(object)
    """Emitted when the totals of the filtered rows are loaded."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self._start = start
        self._source: RequestLog | None = None
        self.filter = EVERYTHING
        """The current filter."""
        self._shown = EVERYTHING
        self._count = 0
        self._pages: OrderedDict[int, list[LogRow]] = OrderedDict()
        self._asked: set[int] = set()
        self._generation = 0
        self._stale = self._reading = self.changing = False
        """Whether rows are being inserted or removed: selection changes by Qt meanwhile are not the user's."""
        self._provisional = False
        """Whether only the newest rows of the filter are known yet."""
        self.searching = False
        """Whether no row of the filter is known yet, and the search takes long."""
        self.details = Details(start, self._detail_came)
        self.unfolded: set[str] = set()
        """The run_ids of the requests whose attempts are listed."""
        self.clock: Clock = "local"
        self.shown_run_id: str | None = None
        """The request that the panes show."""
        self.live: Callable[[str], LiveRequests | None] = lambda _run_id: None
        """What is known of a request that this window is sending."""
        self._painted_live: dict[str, LiveRequests | None] = {}
        """Snapshots of the requests that go on, as they were painted last."""

    @property
    def shows_filter(self) -> bool:
        return self._shown is self.filter and not self.searching

    def set_source(self, source: RequestLog | None, chosen: LogFilter = EVERYTHING) -> None:
        """Show what matches of another log, from its newest request on."""
        self._source, self.filter = source, replace(chosen, order=self.filter.order, folding=self.filter.folding)
        self.details.set_source(source)
        self._take(0, {}, self.filter)
        self.refresh()

    def show_filter(self, chosen: LogFilter) -> None:
        self._list(replace(chosen, order=self.filter.order, folding=self.filter.folding))

    def show_order(self, order: Order | None) -> None:
        """Order the rows by a column; None: newest first."""
        self._list(replace(self.filter, order=order))

    def fold_groups(self, folded: bool) -> None:
        """List each group of requests as one row, all collapsed, or every request."""
        if folded != (self.filter.folding is not None):
            self._list(replace(self.filter, folding=Folding() if folded else None))

    def expand_group(self, tag: str, expanded: bool) -> None:
        """List the requests of a group below its heading, or only the heading."""
        folding = self.filter.folding
        if folding is not None and expanded != (tag in folding.expanded):
            self._list(replace(self.filter, folding=Folding(folding.expanded ^ {tag})))

    def _list(self, chosen: LogFilter) -> None:
        self.filter = chosen
        if self._source is not None:
            self._source.stop_counting()
        self.refresh()

    def refresh(self) -> None:
        """Reload the current rows; they remain until the reply arrives. During a reload, queue one more."""
        if self._source is None:
            return
        self._stale = True
        if not self._reading:
            self._reading = True
            self._start(self._read(), "read the request log")

    async def _read(self) -> None:
        try:
            while self._stale and self._source is not None:
                self._stale = False
                await self._read_once(self._source, self.filter)
        finally:
            self._reading = False

    async def _read_once(self, source: RequestLog, chosen: LogFilter) -> None:
        if not self._is_same_list(chosen) and (chosen.terms or chosen.order):
            whole = await (self._search(source, chosen) if chosen.order is None else self._read_first(source, chosen))
            if whole or not self._is_asked(source, chosen):
                return
        count = await source.count(chosen, None)
        pages = {page: await source.rows_at(chosen, page * PAGE, PAGE) for page in self._wanted(count.n, chosen)}
        if not self._is_asked(source, chosen):
            return
        self._take(count.n, pages, chosen)
        await self._sum_up(source, chosen)

    async def _sum_up(self, source: RequestLog, chosen: LogFilter) -> None:
        totals = await source.totals(chosen)
        if self._is_asked(source, chosen):
            self.summed.emit(totals)

    async def _read_first(self, source: RequestLog, chosen: LogFilter) -> bool:
        """Show the first rows of another order before it is known how many there are: counting may take seconds."""
        rows = await source.rows_at(chosen, 0, PAGE)
        if rows and self._is_asked(source, chosen):
            self._take(len(rows), {0: rows}, chosen)
            self._provisional = len(rows) == PAGE
        return False

    async def _search(self, source: RequestLog, chosen: LogFilter) -> bool:
        """Show the newest rows of another filter during the search. Return whether they are all; then sum them up."""
        rows: list[LogRow] = []
        before, began = None, time.monotonic()
        while True:
            found = await source.search(chosen, before, PAGE - len(rows))
            if not self._is_asked(source, chosen):
                return False
            before = found.below
            rows += found.rows
            whole = before is None and len(rows) < PAGE
            if found.rows or whole or time.monotonic() - began > _SEARCHING_S:
                self._take(len(rows), {0: list(rows)}, chosen, searching=before is not None and not rows)
                self._provisional = not whole
            if whole:
                await self._sum_up(source, chosen)
            if before is None:
                return whole

    def _is_same_list(self, chosen: LogFilter) -> bool:
        """Return whether a filter lists the rows on display, but for groups that were expanded or collapsed."""
        folded, shown = chosen.folds is not None, self._shown
        return (folded, chosen.terms, chosen.order) == (shown.folds is not None, shown.terms, shown.order)

    def _is_asked(self, source: RequestLog, chosen: LogFilter) -> bool:
        return source is self._source and chosen is self.filter

    def _wanted(self, count: int, chosen: LogFilter) -> list[int]:
        """Return the visible pages, at their position now and after new rows are inserted at the top."""
        if not self._is_same_list(chosen) or not self._pages or self._provisional:
            return [0] if count else []
        more = max(0, count - self._count) if chosen.order is None else 0
        looked_at = list(self._pages)[-2:]
        first = {(page * PAGE + more) // PAGE for page in looked_at} | set(looked_at)
        moved = first | ({page + 1 for page in first} if more % PAGE else set())
        return sorted(page for page in moved if page * PAGE < count)

    def _take(self, count: int, pages: dict[int, list[LogRow]], chosen: LogFilter, *, searching: bool = False) -> None:
        self.changing, self.searching = True, searching
        self._generation += 1  # a page being loaded belongs to the previous rows
        if not self._is_same_list(chosen) or not count or not self._count:
            self.beginResetModel()
            self._set(count, pages)
            self.endResetModel()
        elif chosen.folds != self._shown.folds:
            self._resize(count, pages, self._place_below_toggled(chosen))
        else:
            # In an order by a column new requests come in anywhere: the visible pages are replaced.
            at_end = (self._provisional or chosen.order is not None) and count >= self._count
            self._resize(count, pages, self._count if at_end else 0)
        self._provisional = False
        self._shown = chosen
        self.changing = False
        self.loaded.emit()

    def _set(self, count: int, pages: dict[int, list[LogRow]]) -> None:
        self._count, self._pages, self._asked = count, OrderedDict(pages), set(pages)

    def _place_below_toggled(self, chosen: LogFilter) -> int:
        """Return the place below the heading of the group that is expanded or collapsed; 0 if it is not in memory."""
        before, after = self._shown.folds, chosen.folds
        toggled = before.expanded ^ after.expanded if before and after else ()
        places = [place + 1 for tag in toggled if (place := self.find(tag)) is not None]
        return min(places, default=0)

    def _resize(self, count: int, pages: dict[int, list[LogRow]], place: int) -> None:
        """Insert or remove rows at `place`: 0 for new requests, which are the newest."""
        more = count - self._count
        if more > 0:
            self.beginInsertRows(_NOWHERE, place, place + more - 1)
            self._set(count, pages)
            self.endInsertRows()
        elif more < 0:
            first = min(place or count, count)
            self.beginRemoveRows(_NOWHERE, first, first - more - 1)
            self._set(count, pages)
            self.endRemoveRows()
        self._set(count, pages)
        self.repaint_rows()

    def detail(self, row: LogRow) -> RowDetail:
        """Return further facts about a row, and how it is to be displayed."""
        if row.group is not None:
            return RowDetail(clock=self.clock)
        known, live = self.details.of(row), self.live(row.run_id) if row.phase not in ENDED else None
        unfolded = row.run_id in self.unfolded
        if live is None and not unfolded and self.clock == "local":
            return known
        return replace(known, live=live, unfolded=unfolded, clock=self.clock)

    def is_member(self, row: LogRow) -> bool:
        """Return whether a request is listed below the heading of its group."""
        folds = self._shown.folds
        return folds is not None and any(tag in folds.expanded for tag in row.tags)

    def repaint_live(self) -> list[LiveRequests]:
        """Paint the rows of requests that have gone on. Returns those of the newest that this window is sending."""
        going = {row.run_id: place for place, row in enumerate(self._pages.get(0, [])) if row.phase not in ENDED}
        painted, self._painted_live = self._painted_live, {run_id: self.live(run_id) for run_id in going}
        for run_id, place in going.items():
            before, now = painted.get(run_id), self._painted_live[run_id]
            if before is None and now is not None:
                self.repaint_rows(place, place)
            elif before is not now:
                for column in LIVE_COLUMNS:
                    cell = self.index(place, column)
                    self.dataChanged.emit(cell, cell)
        return [live for live in self._painted_live.values() if live is not None]

    def unfold(self, run_id: str, unfolded: bool) -> None:
        self.unfolded = self.unfolded | {run_id} if unfolded else self.unfolded - {run_id}
        self._detail_came(run_id)
        self.loaded.emit()

    def _detail_came(self, run_id: str) -> None:
        if (place := self.find(run_id)) is not None:
            self.repaint_rows(place, place)
        if run_id in self.unfolded:
            self.loaded.emit()

    def row(self, number: int) -> LogRow | None:
        """Return a row if it is in memory; otherwise load it and return None."""
        page, place = divmod(number, PAGE)
        rows = self._pages.get(page)
        if rows is None:
            self._ask(page)
            return None
        self._pages.move_to_end(page)
        return rows[place] if place < len(rows) else None

    def _ask(self, page: int) -> None:
        if page in self._asked or self._source is None or self.changing:
            return
        self._asked.add(page)
        self._start(self._read_page(self._source, page, self._generation), "read a page of the request log")

    async def _read_page(self, source: RequestLog, page: int, generation: int) -> None:
        rows = await source.rows_at(self._shown, page * PAGE, PAGE)
        if generation != self._generation:
            return
        self._pages[page] = rows
        while len(self._pages) > MAX_PAGES:
            self._asked.discard(self._pages.popitem(last=False)[0])
        self.repaint_rows(page * PAGE, min((page + 1) * PAGE, self._count) - 1)
        self.loaded.emit()

    def day_changes(self, day_of: Callable[[LogRow], date]) -> Iterator[tuple[int, date]]:
        """Yield the first row and each row in memory with another day than the row before, and its day.

        A page has one day if its earliest and its latest row have: an import puts earlier days between newer rows.
        """
        end, before = 0, None
        for page in sorted(self._pages):
            rows = self._pages[page]
            if not rows:
                continue
            days = [day_of(rows[0]), day_of(rows[-1])]
            if end == page * PAGE and days[0] != before:
                yield end, days[0]
            end, before = page * PAGE + len(rows), days[-1]
            started = [row.started_utc for row in rows]
            if day_of(rows[started.index(min(started))]) != day_of(rows[started.index(max(started))]):
                days = [day_of(row) for row in rows]
                changes = (place for place in range(1, len(rows)) if days[place] != days[place - 1])
                yield from ((page * PAGE + place, days[place]) for place in changes)

    def headings_in_memory(self) -> list[tuple[int, LogGroup]]:
        return [
            (page * PAGE + place, row.group)
            for page, rows in self._pages.items()
            for place, row in enumerate(rows)
            if row.group is not None
        ]

    def find(self, run_id: str) -> int | None:
        loaded = ((page * PAGE, rows) for page, rows in self._pages.items())
        places = (start + place for start, rows in loaded for place, row in enumerate(rows) if row.run_id == run_id)
        return next(places, None)

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        return 0 if parent.isValid() else self._count

    def is_figure(self, column: int) -> bool:
        return COLUMNS[column].figure

    def hint(self, column: int) -> str:
        return COLUMNS[column].hint

    def font(self, column: int) -> QFont:
        return COLUMNS[column].font().made()

    def text(self, row: int, column: int) -> str:
        return self.painted(row, column)[0]

    def color(self, row: int, column: int) -> QColor | None:
        return self.painted(row, column)[1]

    def tip(self, row: int, column: int) -> str:
        if (found := self.row(row)) is None:
            return ""
        cell, text = self._cell(found, COLUMNS[column])
        return visible(cell.why) or text

    def spoken(self, row: int, column: int) -> str | None:
        if (found := self.row(row)) is None:
            return None
        title, detail = COLUMNS[column].title, self.detail(found)
        attempts = _spoken_attempts(title, detail) if detail.unfolded else ""
        return _spoken_cell(title, self.text(row, column), found) + attempts

    def _cell(self, row: LogRow, column: Column) -> tuple[Cell, str]:
        """Return a cell and its text: a control character must not reorder the row or show another id."""
        cell = cell_of(column, row, self.detail(row))
        return cell, visible_line(cell.text) if column.mono else visible(cell.text)

    def painted(self, number: int, column: int) -> tuple[str, QColor | None]:
        """Return a cell's text and color (None: that of text) for painting."""
        row = self.row(number)
        if row is None:
            return "…", None
        cell, text = self._cell(row, COLUMNS[column])
        return text, getattr(current_theme(), cell.tone) if cell.tone else None


def _spoken_cell(title: str, text: str, row: LogRow) -> str:
    state = ""
    if title == "time" and row.group is not None:
        expanded = "expanded" if row.group.expanded else "collapsed"
        state = f", group of {counted(row.group.requests, 'request')}, {expanded}"
    elif title == "time" and row.attempts > 1:
        state = f", {row.attempts} attempts"
    return f"{title}: {_spoken(text.lstrip('▸▾ ') if state else text)}{state}"


def _spoken_attempts(title: str, detail: RowDetail) -> str:
    """Return the text of a column for each expanded attempt."""
    cells = ((attempt.number, attempt_cell(title, attempt)) for attempt in detail.attempts)
    return "".join(f"; attempt {number}: {_spoken(visible_line(cell.text))}" for number, cell in cells if cell.text)


def _spoken(text: str) -> str:
    if text == UNKNOWN:
        return "unknown"
    return text.replace(APPROXIMATELY, "about").replace("→", "then").replace("≥", "at least")

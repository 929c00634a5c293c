"""The request log pane: all requests, newest first, with a filter that applies while typing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QObject, Qt, Signal
from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedWidget, QToolButton, QWidget

from playground.export.terminal import visible_line
from playground.prompt.field_errors import InputError
from playground.requestlog.filter import EVERYTHING, IdTerm, LogFilter, parse
from playground.requestlog.records import LogGroup, LogRow, Totals
from playground.runs.metrics import counted, percent
from playground.tasks import Start
from playground.ui.panes.log.filter_line import FilterLine
from playground.ui.panes.log.model import LogModel
from playground.ui.panes.log.table import LogTable
from playground.ui.theme import GRID, scaled
from playground.ui.widgets.form import mark_field
from playground.ui.widgets.labels import copy_text, push_button, toned
from playground.ui.widgets.layouts import STRETCH, FlowLayout, Panel, Space, column_of, row_of, scrolled, single_timer
from playground.ui.widgets.plain_table import plain_tip
from playground.ui.widgets.row_table import FIRST_PAD_PX

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog


class RowSelection(QObject):
    """Keeps the run_id of the selected row, also while a filter hides it."""

    changed = Signal()
    chosen = Signal(str)
    """The user has selected another row: its run_id."""

    def __init__(self, table: LogTable) -> None:
        super().__init__(table)
        self._model, self._table = table.log, table
        self._run_id: str | None = None
        self._settling = False
        table.selectionModel().currentRowChanged.connect(self._moved)
        table.selectionModel().selectionChanged.connect(lambda *_: self.changed.emit())
        self._model.loaded.connect(self._settle)

    @property
    def row(self) -> LogRow | None:
        """The selected row; None if there is none, or if it is not in memory yet."""
        index = self._table.currentIndex()
        return self._model.row(index.row()) if index.isValid() else None

    def select(self, run_id: str | None) -> None:
        """Select a request by the program: its row is selected when it comes. Emits no `chosen`."""
        self._run_id = run_id
        if self.row is None or self.row.run_id != run_id:
            self._put_back()
        self.changed.emit()

    def _moved(self, current: QModelIndex, _before: QModelIndex) -> None:
        if not self._settling and not self._model.changing:
            self._take(self._model.row(current.row()) if current.isValid() else None)
            self.changed.emit()

    def _take(self, row: LogRow | None) -> None:
        before, self._run_id = self._run_id, row.run_id if row is not None else None
        if self._run_id is not None and self._run_id != before:
            self.chosen.emit(self._run_id)

    def _settle(self) -> None:
        row = self.row
        if self._run_id is None:
            self._take(row)
        elif row.run_id != self._run_id if row is not None else not self._table.currentIndex().isValid():
            self._put_back()
        self.changed.emit()

    def _put_back(self) -> None:
        place = self._model.find(self._run_id) if self._run_id is not None else None
        self._settling = True
        if place is not None and not self._table.currentIndex().isValid():
            self._table.go_to(place)  # other rows are around it now: bring it into view
        else:
            self._table.choose(-1 if place is None else place)
        self._settling = False


NARROW_PX = 640
TYPING_MS = 120
"""How long after the last key the filter is applied."""
REFRESH_MS = 250
LIVE_MS, WAIT_MS = 100, 1000
"""How often the rows of requests that go on are painted; WAIT_MS if all wait to be sent."""
COPIED_MS = 1200
COPY, COPIED = "Copy request_id", "request_id copied"
COPY_UNSEEN = "Copy request_id (not in view)"
"""The panes show a request that the filter hides, for example one that was just sent."""
OPENING = "The log is being opened…"
OLD_ROWS = "The list still shows the last valid filter."
OLD_TOTALS = "Last valid filter:"
NO_MATCH = "No request matches this filter."
SEARCHING = "Nothing found so far. Searching older requests…"
NONE_REPORTED = "No request here has reported both prompt and cached tokens"
NOTHING_YET = "Every request is listed here with its request_id, usage and timing, on this computer only."
_LINKS = (
    ("mode_recorder", "record", "Record your program…"),
    ("import_log", "import", "Import requests…"),
    ("log_size", "clock", "Log size and retention…"),
)
"""What an empty log offers: an action of the window, an icon, a label."""


class LogPane(QWidget):
    previewed = Signal(str)
    """A run_id that the user has selected."""
    displayed = Signal(bool)
    """The pane was shown or hidden."""
    zoomed = Signal()
    """The text size of rows has changed."""
    ids_pasted = Signal(tuple)
    """The filter is a list of ids: these."""

    def __init__(
        self,
        start: Start,
        place: Callable[[QWidget], object] | None = None,
    ) -> None:
        """`start` runs a task of the pane. `place` gives the empty pane its parent."""
        super().__init__()
        self._source: RequestLog | None = None
        self._start = start
        self._shown_request_id: str | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self.model = LogModel(start)
        self.table = LogTable(self.model)
        self._choice = RowSelection(self.table)
        self.filter_line = FilterLine()
        self._sums = ""
        self._old_rows = False
        """Whether rows and totals are those of the last filter that could be read, not of the text in the field."""
        self.menu_button = QToolButton()
        self.wrong = toned("", "failure", wraps=True)
        self.totals = QLabel(self)
        self.copy_button = push_button(COPY, icon=("copy", "text"))
        self.empty = EmptyPage()
        self._typing = single_timer(self, TYPING_MS, self._apply_filter)
        self._is_shut_down = False
        self._choose_all = False
        """Whether the rows of a pasted list are to be chosen when they come."""
        self._left_out = ""
        self._refresh = single_timer(self, REFRESH_MS, self.model.refresh)
        self._live = single_timer(self, LIVE_MS, self.repaint_live)
        self._copied = single_timer(self, COPIED_MS, self._show_copy)
        if place is not None:
            place(self)
        self._build()
        self._connect()

    def _build(self) -> None:
        self._stack = QStackedWidget(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.table)
        self.wrong.setTextFormat(Qt.TextFormat.PlainText)
        self.wrong.setContentsMargins(FIRST_PAD_PX, 0, GRID, 4)
        self.wrong.hide()
        top = Panel("pane")
        column_of(self._head(), self.wrong, on=top, margins=0, spacing=0)
        column_of(top, (self._stack, 1), on=self, margins=0, spacing=0)

    def _head(self) -> QHBoxLayout:
        title = toned("Request log", "strong")
        title.setBuddy(self.table)
        self.totals.setProperty("tone", "muted")
        self.copy_button.setEnabled(False)
        self.menu_button.setText("⋯")
        self.menu_button.setAccessibleName("Log menu: filters, times, columns, import, export, size")
        self.menu_button.setToolTip("Saved filters, times, columns, import, export, size")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        items = title, (self.filter_line, 1), self.totals, self.copy_button, self.menu_button
        return row_of(*items, margins=(FIRST_PAD_PX, 5, GRID, 5), spacing=GRID)

    def _connect(self) -> None:
        self.filter_line.textChanged.connect(lambda _text: self._typing.start())
        self.filter_line.returnPressed.connect(self._apply_filter)
        self.filter_line.settled.connect(self._typing.start)
        self.filter_line.down.connect(self.take_focus)
        self.filter_line.cleared.connect(self.clear_filter)
        self.empty.clear_button.clicked.connect(self.clear_filter)
        self.copy_button.clicked.connect(self.copy_request_id)
        self.table.copy_asked.connect(self.copy_request_id)
        self.model.loaded.connect(self._loaded)
        self.model.summed.connect(self._show_totals)
        self._choice.changed.connect(self._show_copy)
        self._choice.chosen.connect(self._preview)

    def set_source(self, source: RequestLog | None, notice: str = "") -> None:
        """Show a log, through the filter that is there. None: `notice` says why there is none."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._source = source
        self._unsubscribe = source.subscribe(self.row_changed) if source is not None else None
        self._refresh.stop()
        self._sums = ""
        self._write_totals()
        self.empty.show_message(notice or OPENING, clear=False)
        self.model.set_source(source, self._read_filter() or EVERYTHING)

    def shut_down(self) -> None:
        """Read nothing any more: the window is going, and the log before it."""
        self._is_shut_down = True
        for timer in (self._refresh, self._typing, self._live):
            timer.stop()

    def repaint_live(self) -> None:
        """Repaint running requests if the pane is visible, and again every LIVE_MS or WAIT_MS while there are any."""
        if self.isVisible() and not self._is_shut_down and (going := self.model.repaint_live()):
            self._live.start(WAIT_MS if all(live.state.waits for live in going) else LIVE_MS)

    def row_changed(self, run_id: str) -> None:
        """Read again after a request began, went on, ended or was explained: at most four times a second."""
        self.model.details.forget_unexplained(run_id)
        for timer, wanted, soon_ms in ((self._live, self.isVisible(), LIVE_MS), (self._refresh, True, REFRESH_MS)):
            if wanted and not 0 <= timer.remainingTime() <= soon_ms and not self._is_shut_down:
                timer.start(soon_ms)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.repaint_live()
        self.displayed.emit(True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the totals out of a pane that has no room for them beside the filter."""
        super().resizeEvent(event)
        self._write_totals()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._live.stop()
        self.displayed.emit(False)

    def _apply_filter(self) -> None:
        self._typing.stop()
        chosen = self._read_filter()
        if chosen is not None and chosen.terms != self.model.filter.terms:
            self.model.show_filter(chosen)
            ids = tuple(term.part for term in chosen.terms if isinstance(term, IdTerm))
            self._choose_all = len(ids) > 1 and len(ids) == len(chosen.terms)
            if self._choose_all:
                self.ids_pasted.emit(ids)

    def _read_filter(self) -> LogFilter | None:
        """Parse the filter line. If it is invalid, show the reason below it and return None."""
        try:
            chosen = parse(self.filter_line.text(), datetime.now().astimezone())  # dates are meant in local time
        except InputError as bad:
            # A word that is being completed is not wrong yet.
            self._show_wrong("" if self.filter_line.offered else f"{bad.problems[0]} {OLD_ROWS}")
            self._old_rows = True
            self._write_totals()
            return None
        self._old_rows = False
        self._write_totals()
        left_out = f"Not ids, left out: {', '.join(chosen.malformed[:20])}." if chosen.malformed else ""
        self._left_out = visible_line(left_out)
        self._show_wrong(self._left_out)
        return chosen

    def show_missing(self, missing: tuple[str, ...], asked_for: int) -> None:
        """Name the ids of a pasted list that no request has."""
        if missing:
            absent = f"{len(missing):,} of {asked_for:,} ids are not in the log: {', '.join(missing[:20])}."
            self._show_wrong(f"{self._left_out} {absent}".strip())

    def _show_wrong(self, sentence: str) -> None:
        mark_field(self.filter_line, self.wrong, sentence)

    def _loaded(self) -> None:
        filtered = bool(self.model.filter.terms)
        if self._source is not None:
            words = SEARCHING if self.model.searching else NO_MATCH if filtered else NOTHING_YET
            self.empty.show_message(words, clear=filtered, links=words == NOTHING_YET)
        self._stack.setCurrentWidget(self.table if self.model.rowCount() else self.empty)
        if self._choose_all and self.model.shows_filter:
            self._choose_all = False
            self.table.selectAll()
        self._show_copy()

    def _show_totals(self, totals: Totals) -> None:
        self._sums = f"{counted(totals.requests, 'request')} · hit rate {percent(totals.hit_rate)}"
        self._write_totals()
        known = f"Cached over prompt tokens of the {totals.compared:,} that reported both"
        self.totals.setToolTip(NONE_REPORTED if totals.hit_rate is None else known)

    def _write_totals(self) -> None:
        self.totals.setText(f"{OLD_TOTALS} {self._sums}" if self._old_rows else self._sums)
        self.totals.setVisible(self._old_rows or self.width() >= scaled(NARROW_PX))

    def show_shown(self, run_id: str | None, request_id: str | None) -> None:
        """Mark the row of the request that the panes show, and select it. Copy request_id copies its id."""
        if (run_id, request_id) == (self.model.shown_run_id, self._shown_request_id):
            return  # in each frame of a stream
        self._shown_request_id = request_id
        if run_id != self.model.shown_run_id:
            self.model.shown_run_id = run_id
            self._choice.select(run_id)
            self.table.viewport().update()
        self._show_copy()

    def _preview(self, run_id: str) -> None:
        if len(self.table.chosen_rows()) <= 1 and self.current_run_id() is not None:
            self.previewed.emit(run_id)

    def id_on_display(self) -> str | None:
        """Return the request_id of the selected row, which the panes show; without a row, of the request shown."""
        row = self._choice.row
        if row is None:
            return self._shown_request_id
        if row.group is not None:
            return None
        return (self._shown_request_id if row.run_id == self.model.shown_run_id else None) or row.request_id

    def _show_copy(self) -> None:
        many, request_id, shown = self.table.chosen_requests(), self.id_on_display(), self.model.shown_run_id
        on_display = shown is not None and request_id is not None and request_id == self._shown_request_id
        hidden = on_display and bool(self.model.filter.terms) and self.model.find(shown or "") is None
        if not self._copied.isActive():
            one = COPY_UNSEEN if hidden else COPY
            self.copy_button.setText(f"Copy {many:,} request_ids" if many > 1 else one)
        self.copy_button.setEnabled(many > 1 or request_id is not None)
        none = "No request selected" if self._choice.row is None else "This request has no request_id"
        self.copy_button.setToolTip(plain_tip(f"{visible_line(request_id)}  (Ctrl+C)") if request_id else none)

    def clear_filter(self) -> None:
        self.filter_line.clear()
        self.filter_line.setFocus()
        self._apply_filter()

    def current_run_id(self) -> str | None:
        """Return the run_id of the selected request; None without one, or for the heading of a group."""
        row = self._choice.row
        return row.run_id if row is not None and row.group is None else None

    def heading(self) -> LogGroup | None:
        """Return the group whose heading is the only selected row."""
        row = self._choice.row
        return row.group if row is not None and len(self.table.chosen_rows()) == 1 else None

    def copy_request_id(self) -> bool:
        """Copy the request_ids of all selected rows; of fewer than two, the id on display.

        Returns whether anything is copied.
        """
        if self.table.chosen_requests() > 1:
            rows = [self.model.row(place) for place in self.table.chosen_rows()]
            known = {row.number: row.request_id for row in rows if row is not None and row.group is None}
            if len(known) == len(rows):  # at once: the user may paste before another turn of the loop
                self._put_ids([request_id for _, request_id in sorted(known.items()) if request_id], len(known))
            else:
                self._start(self._copy_ids(), "copy request_ids")
            return True
        if (request_id := self.id_on_display()) is not None:
            copy_text(request_id)
            self._show_copied(COPIED)
        return request_id is not None

    async def chosen_numbers(self) -> list[int]:
        """Return the numbers of the selected requests, ascending, those of selected groups included."""
        source, places = self._source, self.table.chosen_rows()
        if source is None:
            return []
        numbers = await source.numbers(self.model.filter)
        return await source.members([numbers[-1 - place] for place in places if place < len(numbers)])

    async def _copy_ids(self) -> None:
        if (source := self._source) is not None:
            chosen = await self.chosen_numbers()
            self._put_ids(await source.request_ids(chosen), len(chosen))

    def _put_ids(self, ids: Sequence[str], chosen: int) -> None:
        copy_text("\n".join(ids))
        without = chosen - len(ids)
        self._show_copied(f"{len(ids):,} request_ids copied" + (f", {without:,} have none" if without else ""))

    def _show_copied(self, text: str) -> None:
        self.copy_button.setText(text)
        self._copied.start()

    def focus_filter(self) -> None:
        self.filter_line.setFocus()
        self.filter_line.selectAll()

    def take_focus(self) -> None:
        """Set the focus to the rows, or to the filter if the list is empty."""
        if not self.model.rowCount():
            self.filter_line.setFocus()
            return
        self.table.setFocus()
        if not self.table.currentIndex().isValid():
            self.table.go_to(0)

    def show_zoom(self) -> None:
        self.model.repaint_rows()
        self.table.fit_rows()
        self.zoomed.emit()


class EmptyPage(Panel):
    action = Signal(str)
    """The id of an action of the window."""

    def __init__(self) -> None:
        super().__init__("pane")
        self._title = toned("No requests yet", "strong")
        self.words = toned(OPENING, "muted", wraps=True)
        self.clear_button = push_button("Clear filter")
        self._links = QWidget()
        row = FlowLayout()
        self._links.setLayout(row)
        for name, icon, text in _LINKS:
            row.addWidget(
                push_button(text, "link", lambda _checked, name=name: self.action.emit(name), icon=(icon, "accent"))
            )
        page = QWidget()
        column_of(scrolled(page), on=self, margins=0)
        center = Qt.AlignmentFlag.AlignCenter
        for words in (self._title, self.words):
            words.setAlignment(center)
        items = self._title, self.words, (self.clear_button, 0, center), (self._links, 0, center), Space(stretch=2)
        column_of(STRETCH, *items, on=page, margins=(GRID * 2, GRID, GRID * 2, GRID))
        self.show_message(OPENING, clear=False)

    def show_message(self, sentence: str, *, clear: bool, links: bool = False) -> None:
        """Show a message, with a button that clears a filter, or with the ways to get requests."""
        self.words.setText(sentence)
        self.clear_button.setVisible(clear)
        self._title.setVisible(links)
        self._links.setVisible(links)

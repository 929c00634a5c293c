"""The page of Recorder mode: programs, requests over time, and leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from msgspec import Struct, field
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QBoxLayout, QMenu, QPushButton, QStackedWidget, QTabWidget, QWidget

from playground.recorder.programs import Analysis, Figures, Leak, figures
from playground.requestlog.records import LogRow
from playground.runs.metrics import counted, dollars, percent, seconds
from playground.runs.state import ENDED
from playground.ui.modes import Pane
from playground.ui.panes.inspector.figures import InspectorModel
from playground.ui.panes.inspector.pane import InspectorPane
from playground.ui.panes.log.details import RowDetail
from playground.ui.panes.log.filter_line import FilterLine
from playground.ui.panes.log.pane import EmptyPage
from playground.ui.panes.response.raw_tabs import DisplayedRequest, RequestTab
from playground.ui.recorder.bars import (
    LINES,
    LOW_LINES,
    LOWEST_LINES,
    ConnectPanel,
    DifferenceStrip,
    TokenBars,
)
from playground.ui.recorder.programs import LeaksPanel, ProgramList
from playground.ui.recorder.table import RecordedModel, RecordedTable
from playground.ui.theme import GRID, scaled
from playground.ui.widgets.form import mark_field
from playground.ui.widgets.icons import icon_button, set_compact, set_icon
from playground.ui.widgets.labels import push_button, toned
from playground.ui.widgets.layouts import FlowLayout, PageArea, Panel, column_of, row_of, scrolled, split_of
from playground.ui.widgets.notice import SlimBar, words
from playground.ui.widgets.row_table import FIRST_PAD_PX
from playground.ui.widgets.tab_bar import tab_bar

STEPS = """1. Start the Recorder. It forwards requests to the endpoint chosen above, with key and body unchanged.
2. Set the base URL of your program to the address that is then displayed.
3. Run your program. Its requests are listed here with cached tokens and what broke their prefix."""
NO_REQUEST = """The Recorder listens at {url} and has received no request yet.
Set the base URL of your program to this address and run it; the tab Connect has the code to copy."""
LABELS = {"prompt": "Open as prompt", "ticket": "Ticket…", "copy": "Copy request_id"}
"""Buttons for the selected request by the name of what they do, which is also their icon's."""
UNSELECTED = "Select a request to see its messages, tools, parameters and exact body."
NO_MATCH = "No recorded request matches this filter."
MAX_BODIES = 300
"""Newest requests that are analysed."""
_WIDE_PX = 1_180
"""Least width with words on the buttons beside the filter."""
_LOW_PX, _BARS_PX = 640, 400
"""Least height with bars and a difference of full height; least height with bars: in a lower page rows have it."""
_SIDES_PX, _TABS_PX, _TABS_SHARE = (190, 300), 392, 0.4
"""Widths of programs and tabs in a wide page; of the tabs in a narrow one, which have the programs, and their largest
share of it."""


class Shown(Struct, frozen=True):
    """Recorded rows, newest first, and their stored explanations by run_id."""

    rows: Sequence[LogRow] = ()
    details: Mapping[str, RowDetail] = field(default_factory=dict)


class RecorderPage(QWidget):
    asked = Signal(str, str)
    """A name of table.ASKS, and the run_id of the selected row."""
    compare_wanted = Signal(list)
    """run_ids of two requests."""
    start_wanted = Signal()
    resume_wanted = Signal()
    selection_changed = Signal()
    """The selected row or the chosen tab has changed."""
    visible_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.notice, self.paused = SlimBar("Recorder"), SlimBar("Paused display")
        self.programs = ProgramList()
        self.title = toned("All requests", "strong")
        self.summary = words("", "muted")
        self.bars = TokenBars()
        self.filter_line = FilterLine()
        self.wrong = words("", "failure")
        self.scope = QPushButton()
        self.model = RecordedModel()
        self.table = RecordedTable(self.model)
        self.no_match = EmptyPage()
        self.strip = DifferenceStrip()
        self.leaks = LeaksPanel()
        self.connect_panel = ConnectPanel()
        self.request = RequestTab(narrow=True, nothing=UNSELECTED)
        self.inspector = InspectorPane()
        self.inspector.show_unselected()
        self.inspector.tabs.hide()  # advice is about the prompt in the editor
        self.tabs = QTabWidget()
        bar = tab_bar("Views of the recording", ())
        bar.tightens = True
        self.tabs.setTabBar(bar)
        self.tabs.setDocumentMode(True)
        self.start_button = QPushButton("Start recording")
        self.buttons = {name: push_button("", icon=(name, "text"), name=label) for name, label in LABELS.items()}
        """Without words: the first resize adds them if there is room, so that a narrow window does not grow."""
        self._wide: bool | None = None
        self._divided = False
        """Whether the user has moved a handle since the page became wide or narrow."""
        self.more = icon_button("more", "More for the selected request")
        self.analysis = Analysis()
        self._analysed: Set[str] = frozenset()
        self._shown, self._whole = Shown(), figures(())
        self._matched: Set[int] | None = None
        self._leak: Leak | None = None
        self._lay_out()
        self._connect()
        self.show_requests(Shown())

    def _lay_out(self) -> None:
        # Each part is placed while it is empty: with a style sheet, a new parent costs time for every widget below.
        middle, requests = Panel("pane"), QWidget()
        self._middle, self._list = QStackedWidget(), QStackedWidget()
        self._split = split_of(Qt.Orientation.Horizontal, self.programs, middle, self.tabs, shares=(0, 1, 0))
        self._split.setHandleWidth(1)
        column_of(self.notice, (self._split, 1), on=self, margins=0, spacing=0)
        column_of(self._middle, on=middle, margins=0)
        self._middle.addWidget(scrolled(self._empty(), sideways=False))
        self._middle.addWidget(PageArea(requests))
        self._head = head = row_of(self.title, (self.summary, 1), spacing=GRID * 2)
        self.filter_line.setPlaceholderText("Filter: cached:0, any text")
        self.filter_line.setAccessibleName("Filter the recorded requests")
        self.scope.setProperty("look", "quiet")
        set_icon(self.scope, "close", "muted")
        self.more.setPopupMode(self.more.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(QMenu(self.more))
        row = FlowLayout()
        row.add_all((self.filter_line, self.scope, *self.buttons.values(), self.more))
        top = column_of(head, self.bars, row, self.wrong, margins=(FIRST_PAD_PX, GRID, FIRST_PAD_PX, GRID), spacing=6)
        column_of(top, self.paused, (self._list, 1), self.strip, on=requests, margins=0, spacing=0)
        self.wrong.hide()
        self.no_match.show_message(NO_MATCH, clear=True)
        self._list.addWidget(self.table)
        self._list.addWidget(self.no_match)
        self.tabs.addTab(self.leaks, "Leaks")
        self.tabs.addTab(self.request, "Request")
        self.tabs.addTab(self.inspector, "Inspector")
        connect = scrolled(self.connect_panel, sideways=False)
        self.tabs.addTab(connect, "Connect")
        self.tabs.setCurrentWidget(connect)
        self.programs.setMinimumWidth(160)
        for part in (self.tabs, self.inspector):
            part.setMinimumWidth(240)
            part.setProperty("keepsWidth", True)  # larger text wraps

    def _empty(self) -> QWidget:
        page = QWidget()
        self.empty_title, self.steps = words("", "title"), words("")
        self.show_recording("", busy=False)
        column = column_of(
            self.empty_title, self.steps, on=page, margins=(GRID * 5, GRID * 4, GRID * 5, GRID * 4), spacing=GRID
        )
        column.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        return page

    def show_recording(self, url: str, *, busy: bool) -> None:
        """Say what to do while there is no request. `url`: the Recorder's address, empty if it does not run."""
        self.empty_title.setText("Waiting for the first request" if url else "Record the requests of your program")
        self.steps.setText(NO_REQUEST.format(url=url) if url else STEPS)
        self.start_button.setVisible(not url)
        self.start_button.setEnabled(not busy)

    def _connect(self) -> None:
        self._split.splitterMoved.connect(lambda _at, _index: setattr(self, "_divided", True))
        self.start_button.clicked.connect(lambda _checked: self.start_wanted.emit())
        for name, button in self.buttons.items():
            button.clicked.connect(lambda _checked, name=name: self.ask(name))
        self.more.menu().aboutToShow.connect(self._fill_more)
        self.scope.clicked.connect(lambda _checked: self.show_leak_requests(None))
        self.no_match.clear_button.clicked.connect(self.clear_filter)
        self.filter_line.cleared.connect(self.clear_filter)
        self.filter_line.down.connect(self.take_focus)
        self.table.asked.connect(self.ask)
        self.table.selected.connect(self._show_selection)
        self.tabs.currentChanged.connect(lambda _index: self.selection_changed.emit())
        self.bars.chosen.connect(self.table.select)
        self.programs.chosen.connect(self._show_chosen)
        self.leaks.requests_wanted.connect(self.show_leak_requests)
        self.strip.earlier_wanted.connect(self.select)
        self.strip.compare_wanted.connect(self.compare_wanted)

    def ask(self, name: str) -> None:
        """Emit the action for the selected row, if one is selected: a name of table.ASKS."""
        row = self.table.current_row()
        if row is not None:
            self.asked.emit(name, row.run_id)

    def _fill_more(self) -> None:
        menu, source = self.more.menu(), self.table.menu()
        menu.clear()
        for action in source.actions():
            action.setParent(menu)
            menu.addAction(action)
        source.deleteLater()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Divide the page, unless the user has; set labels when it becomes wide or narrow in the text size.

        The programs are beside the requests in a wide page, and a tab in a narrow one.
        """
        wide, low = self.width() >= scaled(_WIDE_PX), self.height() < scaled(_LOW_PX)
        self.bars.show_low(low)
        lowest = self.height() < scaled(_BARS_PX)
        self.bars.setVisible(not lowest)
        self.strip.show_lines(LOWEST_LINES if lowest else LOW_LINES if low else LINES)
        if wide != self._wide:
            self._divided = False
            focused = self.focusWidget() is self.programs
            if wide:
                self._split.insertWidget(0, self.programs)
                self.programs.show()
            elif self.tabs.indexOf(self.programs) < 0:
                self.tabs.insertTab(0, self.programs, "Programs")
            if focused:
                self.tabs.setCurrentWidget(self.programs)
                self.programs.setFocus()
        if not self._divided:
            sides = (
                [scaled(px) for px in _SIDES_PX] if wide else [min(scaled(_TABS_PX), int(self.width() * _TABS_SHARE))]
            )
            sides.insert(-1, self.width() - sum(sides))
            self._split.setSizes(sides)
        if wide == self._wide:
            return
        self._wide = wide
        self._head.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        self._head.setSpacing(GRID * 2 if wide else 2)
        for name, button in self.buttons.items():
            set_compact(button, LABELS[name], not wide)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.visible_changed.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.visible_changed.emit(False)

    def take_focus(self) -> None:
        """Set the focus to the rows, or to Start."""
        if not self._shown.rows:
            self.start_button.setFocus()
            return
        self.table.setFocus()
        if self.table.current_row() is None:
            self.table.selectRow(0)

    def panes(self) -> Sequence[Pane]:
        side = [(self.programs, self.programs.setFocus)] if self._wide else []
        return (*side, (self._middle, self.take_focus), (self.tabs, self.tabs.tabBar().setFocus))

    def show_zoom(self) -> None:
        self._wide = None
        self._fit()
        for part in (self.bars, self.table, self.strip, self.programs):
            part.show_zoom()

    def detailed_row(self) -> LogRow | None:
        """Return the selected row if the tab Request or Inspector is chosen: its request is to be displayed there."""
        return self.table.current_row() if self.tabs.currentWidget() in (self.request, self.inspector) else None

    def show_detail(self, sent: DisplayedRequest | None, model: InspectorModel | None) -> None:
        """Show a request in the tabs Request and Inspector; None: nothing is selected."""
        self.request.show_request(sent)
        self.request.refresh(None)
        if model is None:
            self.inspector.show_unselected()
        else:
            self.inspector.show_model(model)

    def clear_filter(self) -> None:
        """Show the requests of all leaks and without a filter again."""
        self.filter_line.clear()
        self.show_leak_requests(None)
        self.filter_line.setFocus()

    def show_wrong(self, message: str) -> None:
        """Show why the filter is invalid; "" if it is valid."""
        if message != self.wrong.text():
            mark_field(self.filter_line, self.wrong, message)

    def show_paused(self, arrived: int | None) -> None:
        """Show how many requests arrived since the display was paused; None: it is not paused."""
        if arrived is None:
            self.paused.hide()
            return
        requests = counted(arrived, "new request")
        text = f"Paused: the rows stay in place, recording continues. {requests}."
        if not self.paused.isVisibleTo(self) or self.paused.words != text:
            self.paused.show_message(text, [("Resume", self.resume_wanted.emit)])

    def show_requests(self, shown: Shown) -> None:
        first = bool(shown.rows) and not self._shown.rows
        # Starting has disabled the button, which moves the focus to the tabs.
        focused = self.focusWidget() in (self.start_button, self.tabs.tabBar())
        self._shown = shown
        self._middle.setCurrentIndex(int(bool(shown.rows)))
        self._whole = figures(shown.rows)
        self._show_programs()
        self._show_chosen()
        if first:
            self.tabs.setCurrentWidget(self.leaks)
        if first and focused:
            self.table.setFocus()

    def _pending(self) -> bool:
        """Return whether ended requests are listed that are not analysed yet."""
        return any(row.phase in ENDED and row.run_id not in self._analysed for row in self._shown.rows[:MAX_BODIES])

    def _show_programs(self) -> None:
        self.programs.show_programs(self._shown.rows, self._whole, self.analysis, pending=self._pending())

    def show_analysis(self, analysis: Analysis, run_ids: Set[str]) -> None:
        """Show programs and leaks. `run_ids`: the requests that were analysed."""
        self.analysis, self._analysed = analysis, run_ids
        if self._leak is not None:
            key = self._leak.key
            self._leak = next((leak for leak in analysis.leaks if leak.key == key), self._leak)
        self._show_programs()
        self._show_chosen()

    def show_matches(self, matched: Set[int] | None) -> None:
        """Show only rows with these numbers; None: the filter is empty."""
        if matched != self._matched:
            self._matched = matched
            self._show_chosen()

    def show_leak_requests(self, leak: Leak | None) -> None:
        """Show only requests in which a leak differs from the request before; None: all."""
        if leak is not self._leak:
            self._leak = leak
            self._show_chosen()
            if leak is not None:
                self.table.selectRow(0)
                self.table.setFocus()

    def select(self, run_id: str) -> None:
        """Select a request; a filter that hides it is removed."""
        if not self.table.select(run_id):
            self.clear_filter()
            self.show_matches(None)
            if not self.table.select(run_id):
                self.programs.show_all()
                self.table.select(run_id)
        self.table.setFocus()

    def _chosen_rows(self) -> list[LogRow]:
        kind, value = self.programs.key()
        rows = list(self._shown.rows)
        if kind == "conversation":
            # Of the analysis: it also follows a history that was written in another way.
            names = {
                run_id: name
                for program in self.analysis.programs
                for name, run_ids in program.conversations.items()
                for run_id in run_ids
            }
            rows = [row for row in rows if names.get(row.run_id, row.conversation) == value]
        elif kind == "program":
            number = self.programs.program()
            members = set(self.analysis.programs[number].run_ids) if number is not None else set()
            rows = [row for row in rows if row.run_id in members]
        if self._leak is not None:
            members = set(self._leak.run_ids)
            rows = [row for row in rows if row.run_id in members]
        if self._matched is not None:
            rows = [row for row in rows if row.number in self._matched]
        return rows

    def _show_chosen(self) -> None:
        rows = self._chosen_rows()
        self.title.setText(self.programs.name())
        found = self._whole if len(rows) == len(self._shown.rows) else figures(rows)
        self.summary.setText(summary(found))
        self.summary.setToolTip(
            f"Hit rate: cached over prompt tokens of the {found.compared:,} requests that reported both. "
            f"Cold: no cached token reported; warm: some. Input cost of "
            f"{counted(found.priced, 'request')} with reported usage."
        )
        current = self.table.current_row()
        self.model.show_rows(rows, self._shown.details)
        if current is not None and self.table.current_row() is None:
            self.table.select(current.run_id)  # the model was reset: rows came in another order
        self._list.setCurrentIndex(int(not rows))
        self.scope.setVisible(self._leak is not None)
        if self._leak is not None:
            self.scope.setText(f"{self._leak.title} · {len(self._leak.run_ids):,}")
            self.scope.setAccessibleName(f"Remove the filter: requests in which {self._leak.title} differs")
            self.scope.setToolTip("Requests in which this leak differs from the request before. Click: all requests")
        self._show_leaks()
        self._show_selection()

    def _show_leaks(self) -> None:
        number, analysis = self.programs.program(), self.analysis
        leaks = [leak for leak in analysis.leaks if number is None or leak.program == number]
        programs = analysis.programs if number is None else analysis.programs[number : number + 1]
        requests = sum(len(program.run_ids) for program in programs)
        self.leaks.show_leaks(leaks, analysis.saved(number), requests, pending=self._pending())
        self.leaks.show_chosen(self._leak)
        self.tabs.setTabText(self.tabs.indexOf(self.leaks), f"Leaks {len(leaks)}" if leaks else "Leaks")

    def _show_selection(self) -> None:
        row = self.table.current_row()
        leaks = self.analysis.leaks if self._leak is None else (self._leak,)
        leaking = frozenset(run_id for leak in leaks for run_id in leak.costly_ids)
        paid = frozenset(one.run_id for one in self.model.rows if one.phase != "failed" and one.run_id in leaking)
        self.bars.show_rows(self.model.rows, row.run_id if row is not None else "", paid)
        for name, button in self.buttons.items():
            button.setEnabled(row is not None and (name != "copy" or row.request_id is not None))
        self.more.setEnabled(row is not None)
        self.selection_changed.emit()


def summary(found: Figures) -> str:
    requests = counted(found.requests, "request")
    ttft = f"TTFT cold {seconds(found.ttft_cold_s)}, warm {seconds(found.ttft_warm_s)}"
    return f"{requests} · hit rate {percent(found.hit_rate)} · {ttft} · input cost {dollars(found.dollars)}"

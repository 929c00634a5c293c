"""The page of Recorder mode: programs, requests over time, and leaks; and its controls in the toolbar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from playground.export.terminal import visible_line
from playground.recorder.programs import Analysis, Figures, figures
from playground.requestlog.records import LogRow
from playground.runs.metrics import dollars, percent, seconds
from playground.ui.bars.banner import SlimBar
from playground.ui.recorder.bars import TokenBars
from playground.ui.recorder.connect import ConnectPanel
from playground.ui.recorder.leaks import LeaksPanel
from playground.ui.recorder.table import RecordedModel, RecordedTable
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, Theme, mono_font, ui_font
from playground.ui.widgets.copy_button import CopyButton
from playground.ui.widgets.form import padded
from playground.ui.widgets.icons import set_icon
from playground.ui.widgets.notice import words

STEPS = """1. Start the Recorder. It forwards requests to the endpoint chosen above, unchanged.
2. Set the base URL of your program to the address that is then displayed.
3. Run your program. Its requests are listed here with cached tokens and what broke their prefix."""
_PLACES = (236, 774, 270)
_NAME_ROLE = Qt.ItemDataRole.UserRole


class RecorderTools(QWidget):
    """State, address, port, Start and Stop."""

    start_wanted = Signal()
    stop_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.state = QLabel("Not recording")
        self.url = QLineEdit()
        self.url.setReadOnly(True)
        self.url.setFont(mono_font(12))
        self.url.setAccessibleName("Base URL for your program")
        self.url.setMinimumWidth(264)
        self.copy = CopyButton("the base URL")
        self.forwards = QLabel()
        self.forwards.setProperty("tone", "muted")
        self.port = padded(QSpinBox())
        self.port.setRange(0, 65_535)
        self.port.setValue(8788)
        self.port.setPrefix("Port ")
        self.port.setSpecialValueText("Any free port")
        self.port.setAccessibleName("Port of the Recorder; 0 takes a free one")
        self.button = QPushButton()
        self.button.clicked.connect(lambda _checked: self._clicked())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID)
        for widget in (self.state, self.url, self.copy, self.forwards, self.port, self.button):
            row.addWidget(widget)
        self._running = False
        self.show_state("Not recording", "", "", running=False, busy=False)

    def show_state(self, state: str, url: str, forwards: str, *, running: bool, busy: bool) -> None:
        """Show the state in words, the base URL ("" without one), and the endpoint that requests go to."""
        self._running = running
        self.state.setText(state)
        tone = "failure" if running else "muted"
        if self.state.property("tone") != tone:
            self.state.setProperty("tone", tone)
            restyle(self.state)
        if self.url.text() != url:
            self.url.setText(url)
            self.url.setCursorPosition(0)
        self.url.setVisible(bool(url))
        self.copy.set_text_to_copy(url)
        self.copy.setVisible(bool(url))
        self.forwards.setText(f"forwards to {forwards}" if forwards else "")
        self.port.setVisible(not running)
        self.button.setEnabled(not busy)
        look = "" if running else "primary"
        self.button.setText("Stop" if running else "Start recording")
        set_icon(self.button, "stop" if running else "record", "text" if running else "on_accent")
        if (self.button.property("look") or "") != look:
            self.button.setProperty("look", look)
            restyle(self.button)

    def _clicked(self) -> None:
        (self.stop_wanted if self._running else self.start_wanted).emit()


class RecorderPage(QWidget):
    """Displays what the controller gives it; emits the user's choices."""

    open_wanted = Signal(str)
    prompt_wanted = Signal(str)
    ticket_wanted = Signal(str)
    copy_wanted = Signal(str)
    start_wanted = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.notice = SlimBar("Recorder")
        self.programs = _programs_tree()
        self.title = QLabel("All requests")
        self.title.setProperty("tone", "strong")
        self.summary = words("", "muted")
        self.bars = TokenBars(theme)
        self.model = RecordedModel()
        self.table = RecordedTable(self.model, theme)
        self.leaks = LeaksPanel()
        self.connect_panel = ConnectPanel()
        self.tabs = QTabWidget()
        self.start_button = QPushButton("Start recording")
        self.buttons = {
            name: self._action(label, icon)
            for name, label, icon in (
                ("open", "Open", "right"),
                ("prompt", "Open as prompt", "prompt"),
                ("ticket", "Ticket…", "flag"),
                ("copy", "Copy request_id", "copy"),
            )
        }
        self.analysis = Analysis()
        self._rows: Sequence[LogRow] = ()
        self._causes: Mapping[str, tuple[str, str]] = {}
        self._lay_out()
        self._connect()
        self.show_requests((), {})

    def _action(self, label: str, icon: str) -> QPushButton:
        button = QPushButton(label)
        set_icon(button, icon, "text")
        return button

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(GRID * 2)
        head.addWidget(self.title)
        head.addWidget(self.summary, 1)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        for button in self.buttons.values():
            row.addWidget(button)
        row.addStretch(1)
        top = QVBoxLayout()
        top.setContentsMargins(GRID * 2, GRID, GRID * 2, GRID)
        for item in (head, row):
            top.addLayout(item)
        top.insertWidget(1, self.bars)
        requests = QWidget()
        column = QVBoxLayout(requests)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top)
        column.addWidget(self.table, 1)
        self._middle = QStackedWidget()
        self._middle.addWidget(self._empty())
        self._middle.addWidget(requests)
        self.tabs.addTab(self.leaks, "Leaks")
        self.tabs.addTab(self.connect_panel, "Connect")
        self.tabs.setCurrentIndex(1)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.setHandleWidth(1)
        split.setChildrenCollapsible(False)
        for place, widget in enumerate((self.programs, _pane(self._middle), self.tabs)):
            split.addWidget(widget)
            split.setStretchFactor(place, int(place == 1))
        split.setSizes(list(_PLACES))
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.notice)
        outer.addWidget(split, 1)

    def _empty(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(GRID * 5, GRID * 4, GRID * 5, GRID * 4)
        column.setSpacing(GRID)
        column.addWidget(words("Record the requests of your program", "title"))
        column.addWidget(words(STEPS))
        self.start_button.setProperty("look", "primary")
        column.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        return page

    def _connect(self) -> None:
        self.start_button.clicked.connect(lambda _checked: self.start_wanted.emit())
        for name, signal in (
            ("open", self.open_wanted),
            ("prompt", self.prompt_wanted),
            ("ticket", self.ticket_wanted),
            ("copy", self.copy_wanted),
        ):
            self.buttons[name].clicked.connect(lambda _checked, signal=signal: self._emit(signal.emit))
        self.table.opened.connect(lambda: self._emit(self.open_wanted.emit))
        self.table.copy_wanted.connect(lambda: self._emit(self.copy_wanted.emit))
        self.table.selected.connect(self._show_selection)
        self.bars.chosen.connect(self.table.select)
        self.programs.currentItemChanged.connect(lambda _now, _before: self._show_chosen())

    def _emit(self, emit: Callable[[str], object]) -> None:
        row = self.table.current_row()
        if row is not None:
            emit(row.run_id)

    def take_focus(self) -> None:
        """Set the focus to the rows, or to Start."""
        if not self._rows:
            self.start_button.setFocus()
            return
        self.table.setFocus()
        if self.table.current_row() is None:
            self.table.selectRow(0)

    def set_theme(self, theme: Theme) -> None:
        """Use other colours."""
        self.bars.set_theme(theme)
        self.table.set_theme(theme)

    def show_requests(self, rows: Sequence[LogRow], causes: Mapping[str, tuple[str, str]]) -> None:
        """Show recorded requests, newest first, with the causes of their misses."""
        if rows and not self._rows:
            self.tabs.setCurrentIndex(0)
        self._rows, self._causes = rows, causes
        self._middle.setCurrentIndex(int(bool(rows)))
        self._show_tree()
        self._show_chosen()

    def show_analysis(self, analysis: Analysis) -> None:
        """Show programs and leaks."""
        self.analysis = analysis
        self._show_tree()
        self._show_chosen()

    def _show_tree(self) -> None:
        by_id = {row.run_id: row for row in self._rows}
        chosen = self._key()
        self.programs.blockSignals(True)
        expanded = {
            item.data(0, _NAME_ROLE)
            for item in map(self.programs.topLevelItem, range(self.programs.topLevelItemCount()))
            if item is not None and item.isExpanded()
        }
        self.programs.clear()
        items = [_item("All requests", ("all", ""), figures(self._rows))]
        for program in self.analysis.programs:
            key = ("program", program.run_ids[0])
            top = _item(program.name, key, figures(_known(program.run_ids, by_id)))
            for conversation, run_ids in program.conversations.items():
                found = _known(run_ids, by_id)
                if conversation and found:
                    name = f"{found[0].started_utc.astimezone():%H:%M}  {conversation}"
                    top.addChild(_item(name, ("conversation", conversation), figures(found)))
            items.append(top)
        self.programs.addTopLevelItems(items)
        current = items[0]
        for item in items:
            item.setExpanded(item.data(0, _NAME_ROLE) in expanded)
            for one in (item, *(item.child(place) for place in range(item.childCount()))):
                if one is not None and one.data(0, _NAME_ROLE) == chosen:
                    current = one
        self.programs.setCurrentItem(current)
        self.programs.blockSignals(False)

    def _key(self) -> tuple[str, str]:
        item = self.programs.currentItem()
        kind, value = item.data(0, _NAME_ROLE) if item is not None else ("all", "")
        return kind, value

    def _program(self) -> int | None:
        """Return the number of the chosen program; of the only one; None for several."""
        kind, value = self._key()
        programs = self.analysis.programs
        for number, program in enumerate(programs):
            if (kind == "program" and program.run_ids[0] == value) or value in program.conversations:
                return number
        return 0 if len(programs) == 1 else None

    def _chosen_rows(self) -> list[LogRow]:
        kind, value = self._key()
        if kind == "conversation":
            return [row for row in self._rows if row.conversation == value]
        if kind == "program":
            number = self._program()
            members = set(self.analysis.programs[number].run_ids) if number is not None else set()
            return [row for row in self._rows if row.run_id in members]
        return list(self._rows)

    def _show_chosen(self) -> None:
        rows = self._chosen_rows()
        item = self.programs.currentItem()
        self.title.setText(item.text(0) if item is not None else "")
        found = figures(rows)
        self.summary.setText(summary(found))
        self.summary.setToolTip(
            f"Hit rate: cached over prompt tokens of the {found.compared:,} requests that reported both. "
            f"Cold: no cached token reported; warm: some. Input cost of {found.priced:,} requests with reported usage."
        )
        self.model.show_rows(rows, self._causes)
        number = self._program()
        leaks = [leak for leak in self.analysis.leaks if number is None or leak.program == number]
        requests = sum(
            len(one.run_ids) for at, one in enumerate(self.analysis.programs) if number is None or at == number
        )
        self.leaks.show_leaks(leaks, None if number is None else self.analysis.lost(number), requests)
        self.tabs.setTabText(0, f"Leaks {len(leaks)}" if leaks else "Leaks")
        self._show_selection()

    def _show_selection(self) -> None:
        row = self.table.current_row()
        self.bars.show_rows(self.model.rows, row.run_id if row is not None else "")
        for name, button in self.buttons.items():
            button.setEnabled(row is not None and (name != "copy" or row.request_id is not None))


def summary(found: Figures) -> str:
    """Return the totals as one line."""
    requests = f"{found.requests:,} request{'' if found.requests == 1 else 's'}"
    ttft = f"TTFT cold {seconds(found.ttft_cold_s)}, warm {seconds(found.ttft_warm_s)}"
    return f"{requests} · hit rate {percent(found.hit_rate)} · {ttft} · input cost {dollars(found.dollars)}"


def _known(run_ids: Sequence[str], rows: Mapping[str, LogRow]) -> list[LogRow]:
    return [rows[run_id] for run_id in run_ids if run_id in rows]


def _item(name: str, key: tuple[str, str], found: Figures) -> QTreeWidgetItem:
    item = QTreeWidgetItem([visible_line(name), percent(found.hit_rate), f"{found.requests:,}"])
    item.setData(0, _NAME_ROLE, key)
    item.setToolTip(0, visible_line(name))
    for column in (1, 2):
        item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setFont(column, ui_font(12, tabular=True))
    return item


def _programs_tree() -> QTreeWidget:
    tree = QTreeWidget()
    tree.setHeaderLabels(["Program", "Cached", "Sent"])
    tree.setAccessibleName("Programs and conversations")
    tree.setIndentation(12)
    header = tree.header()
    header.setStretchLastSection(False)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    header.setMinimumSectionSize(40)
    for column, width in ((1, 64), (2, 48)):
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(column, width)
    return tree


def _pane(content: QWidget) -> QFrame:
    pane = QFrame()
    pane.setProperty("look", "pane")
    column = QVBoxLayout(pane)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(content)
    return pane

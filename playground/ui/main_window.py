"""The window: it builds the panes, lays them out, and connects them in one block. It decides nothing itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace
from PySide6.QtCore import QCoreApplication, QEvent, Qt, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDragMoveEvent, QDropEvent, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QDialog, QFrame, QMainWindow, QMenu, QSplitter, QWidget

from playground.export.terminal import visible_line
from playground.prompt.limits import empty_prompt
from playground.services import AppServices
from playground.ui.actions import MENUS, RECENT, Actions, WindowActions
from playground.ui.appearance import Appearance, WheelZoom, move_focus, scroll_to
from playground.ui.controllers.dialogs import DialogController
from playground.ui.controllers.files import Files
from playground.ui.edges import MenuRow, RecentFilesMenu, StatusBar
from playground.ui.modes import Modes, OtherModes
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.theme import mono_font
from playground.ui.topbar import TopBar
from playground.ui.widgets.layouts import Panel, column_of
from playground.ui.widgets.notice import EndNotice, SlimBar
from playground.ui.window_state import COLUMNS, GROWTH, ROWS, Places, WorkArea

if TYPE_CHECKING:
    from pathlib import Path

    from playground.prefix_cache.forecaster import PromptForecast
    from playground.ui.controllers.batch import BatchController
    from playground.ui.controllers.compare import CompareController
    from playground.ui.controllers.recorder import RecorderController
    from playground.ui.controllers.request import Requests
    from playground.ui.controllers.results import Answers
    from playground.ui.controllers.versions import VersionPaths
    from playground.ui.panes.inspector.pane import InspectorPane
    from playground.ui.panes.log.pane import LogPane
    from playground.ui.panes.response.pane import ResponsePane

LOOK_S, LOOKS_PER_FILE = 1.0, 3
"""How often the log is searched for writes of other processes; after so many seconds, the file of the endpoints."""


class MainWindow(QMainWindow):
    """One window on one workspace."""

    first_painted = Signal()
    closing = Signal()
    versions: VersionPaths
    """Created with the panes of `answers`."""
    compare: CompareController
    """Created when the mode is first displayed, as the two following ones."""
    batch: BatchController
    recorder: RecorderController

    def __init__(self, workspace: AppServices, appearance: Appearance) -> None:
        super().__init__()
        self.workspace = workspace
        self._notice_until = ""
        """The event that ends the notice on display."""
        self.appearance = appearance
        self._shown = self._painted = False
        self._answers: Answers | None = None
        self._following: asyncio.Task[None] | None = None
        """The look at other windows and commands that was begun last."""
        self._looks, self._written = 0, False
        """Ticks so far, and whether the log was written to since the last look at the load."""
        self._build_panes()
        self._build_parts()
        self._lay_out()
        self.places = Places(self, self._columns, self._rows, workspace.settings)
        self._connect()
        self.setWindowTitle("Electron Playground")
        self.resize(1280, 800)

    def _build_panes(self) -> None:
        self._centre = QWidget(self)
        self.top = TopBar(lambda name: self.actions_table[name], self._centre)
        self.modes = Modes(self._work_area, self.top, self._centre)
        self.prompt = PromptPane(self._left)
        self.menu_row = MenuRow()
        self.simulated = self.menu_row.destination
        self.notice_bar = SlimBar("Notice")
        self.status = StatusBar()
        self.end_notice = EndNotice(self)

    def _work_area(self, parent: QWidget) -> WorkArea:
        """Return the page of Prompt mode, still empty: widgets are created below their parents (see `Answers`)."""
        self.area = WorkArea(self.workspace.settings, parent)
        self._rows = self.area.work
        self._columns = QSplitter(Qt.Orientation.Horizontal, self._rows)
        self._left = QFrame(self._columns)
        return self.area

    def _build_parts(self) -> None:
        self.files = Files(self, self.workspace.open_draft(), self.prompt, self.workspace.tasks)
        self.program = DialogController(self, self.workspace, self.appearance)
        self.recent = RecentFilesMenu(self.workspace.settings, self.files.open_path, self.workspace.tasks, self)
        self.files.file_used.connect(self.recent.add)
        self.handlers = WindowActions(self)
        self.program.extra_commands = self.handlers.more_commands
        self.actions_table = Actions(self, self.program.shortcuts())
        self.program.use_actions(self.actions_table)

    def _menu(self, title: str) -> QMenu:
        menu = QMenu(f"&{title}", self)
        for group in MENUS[title]:
            menu.addSeparator()  # Qt shows none at the top
            for action_id in group:
                menu.addAction(self.recent.menuAction() if action_id == RECENT else self.actions_table[action_id])
        return menu

    def _lay_out(self) -> None:
        column_of(self.files.tabs.bar, (self.prompt, 1), on=self._left, margins=0, spacing=0)
        for _pane in GROWTH[1:]:
            self._columns.addWidget(Panel("pane"))
        self._rows.addWidget(Panel("pane"))  # stands where a pane will be
        self._rows.setStretchFactor(0, 1)
        for splitter, sizes in ((self._columns, COLUMNS), (self._rows, ROWS)):
            splitter.setChildrenCollapsible(False)
            splitter.setHandleWidth(1)
            splitter.setSizes(list(sizes))
        self.mode_views = OtherModes(self)
        bars = self.menu_row, self.top, self.notice_bar
        column_of(*bars, (self.modes, 1), self.status, on=self._centre, margins=0, spacing=0)
        self.setCentralWidget(self._centre)

    @property
    def has_answers(self) -> bool:
        """Whether the panes that show completions have been built."""
        return self._answers is not None

    @property
    def answers(self) -> Answers:
        """The panes that show completions, built when they are first needed."""
        if self._answers is None:
            self._answers = self._build_answers()
            self._connect_answers(self._answers)
        return self._answers

    def _build_answers(self) -> Answers:
        # Imported here: the first frame does not show them.
        from playground.ui.controllers.agent import Chaining
        from playground.ui.controllers.keep_warm import KeepWarmController
        from playground.ui.controllers.results import Answers
        from playground.ui.controllers.versions import VersionPaths
        from playground.ui.controllers.voice import VoiceController

        answers = Answers(self.workspace, self.prompt, self.files, self.program, columns=self._columns, rows=self._rows)
        self.voicing = VoiceController(
            self.workspace, self.appearance, self.prompt, answers.requests, self, self.show_page
        )
        self.versions = VersionPaths(self.workspace, self.prompt, self.files, self.places.show_beside)
        self.keep_warm = KeepWarmController(self, self.workspace, self.prompt, self.files.tabs)
        self.chaining = Chaining(self, self.workspace, self.prompt, self.files, self.voicing, self.show_page)
        self.prompt.answers_wanted.connect(self.chaining.show_answers)
        for place, share in enumerate(GROWTH):
            self._columns.setStretchFactor(place, share)
        self.places.show_panes()
        return answers

    def complete(self) -> None:
        """Build what the first frame did not need."""
        self.requests.document_shown(self.prompt.document())  # its forecast comes when panes and menus are there
        self.answers.adviser.look_soon()
        menus = list(map(self._menu, MENUS))
        self.menu_row.set_menus(menus)
        self.top.file_button.setMenu(menus[0])
        self._wheel = WheelZoom(self, self.appearance)

    @property
    def response(self) -> ResponsePane:
        return self.answers.response

    @property
    def inspector(self) -> InspectorPane:
        return self.answers.inspector

    @property
    def log(self) -> LogPane:
        return self.answers.log

    @property
    def requests(self) -> Requests:
        return self.answers.requests

    def _connect(self) -> None:
        """Connect what does not lead to a completion."""
        self.area.work_resized.connect(self.places.fit)
        self.area.opening.connect(self.places.note_sizes)
        self.area.divided.connect(self.places.share)
        self.area.focus_lost.connect(self.prompt.focus_editor)
        self.program.show_page = self.show_page
        self._stop_end_notices = self.workspace.tasks.on_end.subscribe(self.end_notice.notify_task)
        self.prompt.edited.connect(self.files.edited)
        self.prompt.send_requested.connect(lambda: self.requests.send_or_stop())
        self.prompt.action_requested.connect(lambda name: self.actions_table[name].trigger())
        self.top.send_clicked.connect(lambda: self.requests.send_or_stop())
        self.top.endpoint_chosen.connect(self.choose_endpoint)
        self.top.new.clicked.connect(self.files.new)
        self.files.saved.connect(lambda _name: self.status.saved.setText(f"Saved {datetime.now().astimezone():%H:%M}"))
        self.files.notice.connect(self.show_notice)
        self.files.import_requested.connect(lambda path: self.answers.log_paths.import_from(path))
        self.files.rows_requested.connect(self._open_rows)
        self.files.changed.connect(self._show_file)
        self.prompt.prompt_tab.recent_files = lambda: self.recent.paths
        self.prompt.prompt_tab.file_chosen.connect(self.files.open_path)
        self.files.tabs.switched.connect(lambda page: self.requests.show_page(page))
        self.program.endpoint_changed.connect(self.choose_endpoint)
        self.program.notice.connect(self.show_notice)
        self.appearance.zoomed.connect(self._show_zoom)
        self.workspace.on_notice.subscribe(self.show_notice)
        self.workspace.allow_server = self.program.allow_server

    def _connect_answers(self, answers: Answers) -> None:
        """Every path between the prompt and the panes that show answers."""
        requests = answers.requests
        self.prompt.edited.connect(requests.document_edited)
        self.prompt.document_shown.connect(requests.document_shown)
        answers.log.table.open_asked.connect(requests.open_logged)
        answers.log.previewed.connect(requests.open_logged)
        answers.log.table.left.connect(requests.show_current)
        answers.log.empty.action.connect(lambda name: self.actions_table[name].trigger())
        answers.response.left.connect(requests.show_current)
        requests.ended.connect(self.end_notice.notify_end)
        answers.inspector.action.connect(lambda name: self.actions_table[name].trigger())
        answers.log_paths.open_requested.connect(requests.open_logged)
        answers.log_paths.request_asked.connect(self.handlers.ask_of_request)
        answers.log_paths.compare_requested.connect(self.mode_views.compare_logged)
        answers.inspector.rates_requested.connect(lambda: self.program.connect_dialog(requests.shown_endpoint_id))
        answers.inspector.place_requested.connect(self.prompt.show_place)
        answers.inspector.why.comparable = requests.comparable
        answers.inspector.why.compare_requested.connect(requests.compare)
        answers.response.place_requested.connect(self.prompt.show_problem)
        answers.response.notice_action.connect(lambda name: self.actions_table[name].trigger())
        requests.running_changed.connect(self._show_running)
        requests.running_changed.connect(self.prompt.set_running)
        requests.running_changed.connect(lambda _running: self.files.tabs.show_sending(requests.sending_page))
        requests.forecast_changed.connect(self._show_forecast)
        requests.ticked.connect(self._on_tick)
        self.keep_warm.row_changed.connect(requests.sent_beside)
        self.program.endpoint_edited.connect(lambda: self.keep_warm.stop_all("an endpoint or its key was changed"))
        self.modes.changed.connect(lambda mode: requests.set_displayed(mode == "prompt"))
        self.modes.changed.connect(lambda _mode: self._end_notice("action"))
        requests.sent.connect(self.versions.sent)
        self.chaining.prompt_sent.connect(self.versions.sent)
        requests.settled.connect(self.versions.refresh_soon)
        self.versions.fix_requested.connect(lambda: self.actions_table["mend"].trigger())
        self.versions.open_logged.connect(requests.open_logged)
        requests.key_missing.connect(self._show_key_missing)
        parts = self.chaining, answers.log_paths, self.keep_warm, self.versions, requests
        for notice in (*(part.notice for part in parts), requests.found):
            notice.connect(self.show_notice)
        self.keep_warm.refused.connect(self.show_notice)
        requests.sent.connect(lambda _document, _run_id: self._end_notice("sent"))
        answers.log.previewed.connect(lambda _run_id: self._end_notice("action"))

    def start(self) -> None:
        """Show the draft or the sample, and everything that goes with the chosen endpoint."""
        self.files.start()
        self.top.show_running(False, self.actions_table.shortcut("send"))
        self.choose_endpoint(self.workspace.endpoint.id)
        keys = self.actions_table.shortcut
        self.status.show_hint(f"{keys('palette')} Commands     {keys('next_pane')} Next pane")
        for sentence in self.workspace.notices:
            self.show_notice(sentence)

    def show_draft(self) -> None:
        """Put the cursor at the start of a draft; the sample has it in its question."""
        if not self.files.sample_shown:
            self.prompt.show_place(0, 0)

    def _show_question(self) -> None:
        """Show the sample with its first messages collapsed and the cursor in the question."""
        messages = self.prompt.document().messages
        self.prompt.prompt_tab.collapse_to_fit()
        self.prompt.show_place(len(messages) - 1, len(messages[-1].content or ""))
        # Else the first frame has the messages below the collapsed ones in their old places.
        QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)

    def log_opened(self) -> None:
        self.log.set_source(self.workspace.log, self.workspace.log_notice)
        if self.workspace.log is not None:
            self.workspace.log.on_notice(self.status.show_error)
            self.workspace.log.subscribe(self.requests.log_changed)
            self.workspace.log.subscribe_recovery(self.status.show_recovery)
            self.workspace.log.follow_writes(LOOK_S, self._show_written)
        if self.workspace.log_notice:
            self.show_notice(self.workspace.log_notice)
        self.answers.log_paths.keep_bounds()
        self.requests.refresh_forecast()

    def choose_endpoint(self, endpoint_id: str) -> None:
        """Send to this endpoint from now on, and say so everywhere."""
        if self._answers is not None and endpoint_id != self.workspace.endpoint.id:
            self.keep_warm.stop_all("another endpoint was chosen")
        self.workspace.choose(endpoint_id)
        self._end_notice("endpoint")
        endpoint = self.workspace.endpoint
        self.top.show_endpoints(self.workspace.endpoints.all(), endpoint)
        self.prompt.set_model(endpoint.model)
        self.simulated.setVisible(False)
        if endpoint.kind == "simulator" and self.workspace.settings.flag("show_simulator_bar"):
            self.simulated.show_message(
                "Simulator: replies are simulated, nothing leaves this computer",
                [("Connect to Electron…", self.program.connect_to_electron)],
            )
        elif endpoint.kind != "simulator":
            self.simulated.show_message(
                f"Requests go to {visible_line(urlsplit(endpoint.base_url).netloc or endpoint.name)}"
            )
        if self._answers is not None:
            self._answers.adviser.look_soon()
            self.requests.refresh_forecast()  # before the log is read: not the forecast of the other endpoint
            self.workspace.tasks.start(self._remember(), "load logged requests")

    async def start_simulator(self) -> None:
        """Start the simulator before the first Send; if it fails, Send reports the error."""
        from playground.simulator.process import SimulatorError  # not in the first frame

        with contextlib.suppress(SimulatorError):
            await self.workspace.simulation.resolve(self.workspace.endpoint)
        self.requests.refresh_forecast()

    async def _remember(self) -> None:
        await self.workspace.remember_sent()
        self.requests.refresh_forecast()

    def step_pane(self, step: int) -> None:
        """Move the focus to the next (1) or previous (-1) visible pane of the mode on display."""
        panes = self.modes.panes() or [
            (pane, pane.take_focus) for pane in (self.prompt, self.response, self.inspector, self.area.panel, self.log)
        ]
        shown = [(pane, take_focus) for pane, take_focus in panes if pane and pane.isVisible()]
        focus = self.focusWidget()
        within = [at for at, (pane, _) in enumerate(shown) if focus is pane or (focus and pane.isAncestorOf(focus))]
        if shown:
            shown[((within or [min(-step, 0)])[0] + step) % len(shown)][1]()
            scroll_to(self.focusWidget())

    def send(self) -> None:
        """Send in the mode on display, or stop its requests."""
        if not self.modes.send():
            self.requests.send_or_stop()

    def open_logged(self, run_id: str) -> None:
        self.modes.show_mode("prompt")
        self.requests.open_logged(run_id)

    def show_page(self, page: QDialog, width: int) -> None:
        """Show a page in the side panel of Prompt mode. `width`: of the panel, if the user has set none."""
        self.modes.show_mode("prompt")
        self.area.show_page(page, width)

    def _show_running(self, running: bool) -> None:
        self.top.show_running(running, self.actions_table.shortcut("send"))
        self._show_load()

    def _on_tick(self) -> None:
        self._show_load()
        self._looks += 1
        self._follow()

    def _show_written(self) -> None:
        """Show what was written to the log, also by other windows and commands."""
        self.answers.log_paths.show_written()
        self._written = True
        self._follow()

    def _follow(self) -> None:
        is_busy = self._written or self.workspace.rate_limiter.others_in_flight(self.workspace.endpoint.id)
        # Without a reason no task is started: each costs more than everything else that an idle window does.
        if (is_busy or self._looks % LOOKS_PER_FILE == 0) and (self._following is None or self._following.done()):
            work = self._follow_others(load=is_busy)
            self._following = self.workspace.tasks.start(work, "look at other windows and commands")

    async def _follow_others(self, *, load: bool) -> None:
        """Take over the load of other windows and commands, and the endpoints that they have changed."""
        if load:
            self._written = False
            await self.workspace.refresh_load()
            self._show_load()
        if await self.workspace.endpoints.refresh():
            self.top.show_endpoints(self.workspace.endpoints.all(), self.workspace.endpoint)
            self.prompt.set_model(self.workspace.endpoint.model)

    def _show_load(self) -> None:
        self.status.show_load(self.workspace.load(), self.workspace.endpoint.plan)

    def _show_forecast(self, prompt_forecast: PromptForecast) -> None:
        # Imported here: the first frame shows no estimates.
        from playground.client.endpoint import CONTEXT_SOURCES
        from playground.prefix_cache.zones import composition

        axes = self.prompt.axes
        neutral = axes is None or axes.neutral
        total = 0 if axes is None or neutral else axes.total
        endpoint = self.workspace.endpoint
        source = CONTEXT_SOURCES.get(endpoint.context_source, "")
        parts = composition(prompt_forecast.view.document, prompt_forecast.zones, endpoint.context_tokens, source)
        # An empty prompt has no tokens; the estimate of its empty messages would be of the chat template alone.
        self.top.context.show_parts(replace(parts, system=0.0, history=0.0, rest=0.0) if neutral else parts, total)
        self._show_load()

    def _show_file(self) -> None:
        self.top.show_file(self.files.name, self.files.dirty)
        problem = empty_prompt(self.prompt.document())
        self.top.show_refusal(str(problem).removesuffix(".") if problem else "")

    def _show_key_missing(self, sentence: str) -> None:
        self._notice_until = "sent"
        name = self.workspace.endpoint.name
        self.notice_bar.show_message(sentence, [(f"Edit {name}…", self.program.connect_dialog), *self._dismiss()])

    def show_notice(self, sentence: str, helping: Sequence[str] = ()) -> None:
        """Show a message at the top of the window, until the user's next action or until it is dismissed.

        `helping`: ids of actions that remove its cause, which are offered beside it.
        """
        self._notice_until = "action"
        actions = [self.actions_table[name] for name in helping]
        self.notice_bar.show_message(sentence, [*((one.text(), one.trigger) for one in actions), *self._dismiss()])

    def _end_notice(self, event: str) -> None:
        """Hide the notice whose cause has gone: `event` is "sent", "endpoint" or "action"."""
        if self._notice_until == event or (event in ("sent", "endpoint") and self._notice_until in ("sent", "action")):
            self.notice_bar.hide()
            self._notice_until = ""

    def _dismiss(self) -> list[tuple[str, Callable[[], object]]]:
        return [("Dismiss", self.notice_bar.hide)]

    def _show_zoom(self) -> None:
        """Apply the text size to every widget that displays a prompt or a completion (property `textZoom`)."""
        for widget in self.findChildren(QWidget):
            if widget.property("textZoom"):
                widget.setFont(mono_font())
        if self._answers is not None:
            self.log.show_zoom()
        self.modes.show_zoom()
        self.area.announce_width()

    def shut_down(self) -> None:
        """Stop all timers: the window is about to be deleted."""
        self.places.keep()
        self.places.shut_down()
        self._stop_end_notices()
        self.end_notice.shut_down()
        self.modes.shut_down()
        if self._answers is not None:
            self._answers.shut_down()

    def showEvent(self, event: QShowEvent) -> None:
        """Show the sample's question before the first frame; the panes have their sizes now."""
        super().showEvent(event)
        if not self._shown:
            self._shown = True
            if self.files.sample_shown:
                self._show_question()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._painted:
            self._painted = True
            self.first_painted.emit()

    def changeEvent(self, event: QEvent) -> None:
        """Remove the badge and read the log, which other processes write to, when the window becomes active."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and self.isActiveWindow():
            self.end_notice.clear()
            if self._answers is not None:
                self.log.row_changed("")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        self.files.take_drop(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        self.files.take_drop(event)

    def _open_rows(self, path: Path) -> None:
        self.modes.show_mode("batch")
        self.batch.files.open_file(path)

    def dropEvent(self, event: QDropEvent) -> None:
        self.files.take_drop(event)

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Move the focus by position; Qt calls this for Tab and Shift+Tab of every widget in the window."""
        return move_focus(self, forward=forward)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.places.keep()
        super().closeEvent(event)
        self.closing.emit()

"""Recorder mode: the recorder's process, the rows that it writes to the request log, and their analysis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from playground.child_process import ServerProcess, StartError
from playground.experiments.comparison import Piece, text_changes
from playground.prompt.field_errors import InputError
from playground.recorder.difference import compare
from playground.recorder.programs import Analysis, Leak, RecordedRequest, analyse, as_template, rewrites
from playground.requestlog.filter import EVERYTHING, LogFilter, parse
from playground.requestlog.records import LogRow
from playground.runs.metrics import seconds
from playground.services import AppServices
from playground.simulator.process import SimulatorError
from playground.ui.actions import COPY_FORMS
from playground.ui.controllers.recorder_requests import RecordedRequests
from playground.ui.controllers.request import logged_model, logged_request
from playground.ui.modes import ModeView
from playground.ui.panes.log.details import RowDetail
from playground.ui.recorder.bars import Compared, RecorderTools
from playground.ui.recorder.page import RecorderPage, Shown
from playground.ui.recorder.programs import LeakDialog, previews
from playground.ui.widgets.labels import copy_text
from playground.ui.widgets.layouts import repeating_timer, single_timer

LOOK_MS, QUIET_LOOK_MS = 300, 1000
"""Interval of reads of the log, also while nothing is recorded in this window and nothing new was found."""
TYPING_MS, SELECTING_MS = 120, 60
"""How long after the last key the filter is applied, and after the last selection the difference is computed."""
ANALYSE_S = 1.5
"""Seconds between two analyses while requests arrive."""
NO_LOG = "The request log cannot be opened: requests are forwarded, and nothing is recorded or listed."
_PREFIX = "electron-playground: "
_NOT_RECORDED, _IN_PART = "not recorded", "not recorded in full"


class RecorderController(QObject):
    """One per window, built when the mode is first displayed."""

    notice = Signal(str)
    open_wanted = Signal(str)
    """A run_id that is to be displayed in Prompt mode."""
    prompt_wanted = Signal(object)
    """A Document that is to be opened in the editor."""
    ticket_wanted = Signal(str)
    copy_wanted = Signal(str, str)
    """The run_id of a request, and the form in which it is copied."""
    resend_wanted = Signal(str)
    """A run_id whose prompt is to be sent again."""
    rates_wanted = Signal(str)
    """The id of the endpoint whose rates are to be set."""
    compare_wanted = Signal(list)
    """run_ids that are to be displayed in Compare mode."""

    def __init__(self, window: QWidget, pages: QWidget, workspace: AppServices) -> None:
        """`pages`: the parent of the page."""
        super().__init__(window)
        self._window, self._workspace, self._begin = window, workspace, workspace.tasks.start
        self._loop = asyncio.get_running_loop()
        self.page = RecorderPage(pages)
        self.tools = RecorderTools()
        self.process: ServerProcess | None = None
        """The recorder's process while it runs."""
        self.dialog: LeakDialog | None = None
        self._changing: Literal["", "Starting…", "Stopping…"] = ""
        """What the process does now, besides recording."""
        self._closed = False
        self._started_at = 0.0
        self._forwards = ""
        self._last_line = ""
        self._unrecorded = 0
        """Messages about requests that are not recorded, since the notice was dismissed."""
        self._paused_at: int | None = None
        """Number of the newest row when the display was paused; None: it is not paused."""
        self._filter: LogFilter = EVERYTHING
        self._compared: tuple[LogRow, str] | None = None
        self._detailed: tuple[LogRow, RowDetail | None] | None = None
        """The row whose request is displayed in the tabs Request and Inspector, and its explanation."""
        self._follow = RecordedRequests(workspace)
        self._reading = False
        self._analysed: tuple[str, ...] = ()
        self._analysis_due = 0.0
        self._timer = repeating_timer(self, LOOK_MS, self._look)
        self._typing = single_timer(self, TYPING_MS, self._apply_filter)
        self._selecting = single_timer(self, SELECTING_MS, self._show_selected)
        self._connect()

    def _connect(self) -> None:
        self.tools.start_wanted.connect(self.start)
        self.page.start_wanted.connect(self.start)
        self.tools.stop_wanted.connect(self.stop)
        self.tools.pause_wanted.connect(self.pause_or_resume)
        self.page.resume_wanted.connect(self.pause_or_resume)
        self.page.asked.connect(self._asked)
        self.page.compare_wanted.connect(self.compare_wanted)
        self.page.visible_changed.connect(self._show_or_hide)
        self.page.selection_changed.connect(self._selecting.start)
        self.page.inspector.action.connect(self._act)
        self.page.inspector.place_requested.connect(lambda _message, _offset: self.page.ask("open"))
        self.page.inspector.rates_requested.connect(lambda: self._begin(self._set_rates(), "set rates"))
        self.page.leaks.preview_wanted.connect(lambda leak: self._begin(self._preview(leak), "preview a rewrite"))
        line = self.page.filter_line
        line.textChanged.connect(lambda _text: self._typing.start())
        line.settled.connect(self._typing.start)
        line.returnPressed.connect(self._apply_filter)
        line.words_wanted.connect(lambda: self._begin(self._read_words(), "read the filter's words"))

    def view(self) -> ModeView:
        self._look()
        return ModeView(
            self.page,
            self.tools,
            take_focus=self.page.take_focus,
            panes=self.page.panes,
            take_zoom=self.page.show_zoom,
            close=self.close,
            commands={
                "filter_log": self.page.filter_line.setFocus,
                "copy_request_id": lambda: self.page.ask("copy"),
                "ticket": lambda: self.page.ask("ticket"),
                **{f"copy_{form}": partial(self._copy_as, form) for form in COPY_FORMS},
                "resend": lambda: self.page.ask("resend"),
                "compare_requests": lambda: self.page.ask("compare"),
            },
        )

    def _copy_as(self, form: str) -> None:
        row = self.page.table.current_row()
        if row is not None:
            self.copy_wanted.emit(row.run_id, form)

    def _show_or_hide(self, shown: bool) -> None:
        """Read the log only while the page is visible."""
        if shown and not self._closed:
            self._timer.start(LOOK_MS)
            self._look()
        else:
            self._timer.stop()

    # The process

    def start(self) -> None:
        """Start the recorder for the current endpoint, on the port of the toolbar."""
        if self.process is None and not self._changing:
            self._changing = "Starting…"
            self._dismiss()
            self._show_state()
            self._begin(self._start(), "start the recorder")

    async def _start(self) -> None:
        endpoint, port = self._workspace.endpoint, self.tools.port.value()
        where = ("--endpoint", endpoint.name, "--data-dir", str(self._workspace.folder))
        try:
            # The window's simulator, so that both use the same cache.
            address = (await self._workspace.simulation.resolve(endpoint)).base_url
            simulator = ("--simulator-url", address) if endpoint.kind == "simulator" else ()
            arguments = ("record", "--port", str(port), *where, *simulator)
            self.process = await asyncio.to_thread(self._launch, arguments)
        except (StartError, SimulatorError) as error:
            self._changing = ""
            self._show_state()
            self._show_not_started(str(error).removeprefix(_PREFIX))
            return
        self._changing = ""
        self._started_at, self._forwards, self._last_line = time.monotonic(), endpoint.name, ""
        process = self.process
        process.watch(
            lambda line: self._on_loop(lambda: self._said(line)),
            lambda status: self._on_loop(lambda: self._ended(process, status)),
        )
        self._show_state()

    def _launch(self, arguments: Sequence[str]) -> ServerProcess:
        process = ServerProcess.launch(arguments, os.environ)
        if self._closed:
            process.stop()
        return process

    def _on_loop(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the window has been closed meanwhile
            self._loop.call_soon_threadsafe(function)

    def _show_not_started(self, reason: str) -> None:
        buttons: list[tuple[str, Callable[[], object]]] = [("Try again", self.start)]
        if "Port" in reason:
            buttons.append(("Use a free port", self._start_on_free_port))
        self.page.notice.show_message(f"The Recorder did not start. {reason}", [*buttons, ("Dismiss", self._dismiss)])

    def _start_on_free_port(self) -> None:
        self.tools.port.setValue(0)
        self.start()

    def _said(self, line: str) -> None:
        """Show a message of the process, for example about a request that is not recorded."""
        if line.startswith(_PREFIX) and not self._closed:
            self._unrecorded += _NOT_RECORDED in line and _IN_PART not in line
            more = f" (At least {self._unrecorded:,} requests are not recorded.)" if self._unrecorded > 1 else ""
            self.page.notice.show_message(f"{line.removeprefix(_PREFIX)}{more}", [("Dismiss", self._dismiss)])
        self._last_line = line or self._last_line

    def _dismiss(self) -> None:
        self._unrecorded = 0
        self.page.notice.hide()

    def _ended(self, process: ServerProcess, status: int) -> None:
        if self.process is not process or self._closed:
            return
        self.process = None
        self._begin(asyncio.to_thread(process.stop), "close the recorder's pipes")
        if not self._changing:
            self._begin(self._workspace.recover_recordings(), "recover recorded requests")
            self.tools.port.setValue(urlsplit(process.base_url).port or 0)
            reason = f" {self._last_line.removeprefix(_PREFIX)}" if self._last_line else ""
            self.page.notice.show_message(
                f"The Recorder ended unexpectedly (exit status {status}).{reason} Requests to its address fail, and "
                "nothing is recorded.",
                [("Start again", self.start), ("Dismiss", self._dismiss)],
            )
        self._changing = ""
        self._show_state()

    def stop(self) -> None:
        """End the recorder; requests in flight are cut, and recorded up to there."""
        if self.process is not None and not self._changing:
            self._changing = "Stopping…"
            self._show_state()
            self._begin(asyncio.to_thread(self.process.stop), "stop the recorder")

    def _show_state(self) -> None:
        process, busy = self.process, bool(self._changing)
        url, forwards, state = "", "", "Not recording"
        if process is not None:
            url, forwards = process.base_url, self._forwards
            state = f"Recording {seconds(float(int(time.monotonic() - self._started_at)))}"
        self.tools.show_state(self._changing or state, url, forwards, running=process is not None, busy=busy)
        self.page.show_recording(url, busy=busy)
        self.page.connect_panel.show_url(url or self._planned_url())

    def _planned_url(self) -> str:
        """Return the base URL that the Recorder will have; it keeps the path of the endpoint's."""
        endpoint = self._workspace.endpoint
        path = "/waves/v1" if endpoint.kind == "simulator" else urlsplit(endpoint.base_url).path.rstrip("/")
        return f"http://127.0.0.1:{self.tools.port.value()}{path}"

    def close(self) -> None:
        """Stop timers and end the process: the window is about to be deleted."""
        self._closed = True
        for timer in (self._timer, self._typing, self._selecting):
            timer.stop()
        process, self.process = self.process, None
        if process is not None:
            # Not a daemon: this program exits after the recorder has written its last requests.
            threading.Thread(target=process.stop, name="stop-recorder").start()

    # The log

    def _look(self) -> None:
        if self.process is not None:
            self._show_state()
        else:
            self.page.connect_panel.show_url(self._planned_url())
        notice = self.page.notice
        if self._workspace.log is None:
            if self._workspace.log_notice and not notice.isVisibleTo(self.page):
                notice.show_message(f"{NO_LOG} {self._workspace.log_notice}")
            return
        if notice.words.startswith(NO_LOG):
            notice.hide()
        if self.page.isVisible() and not self._reading and not self._closed:
            self._reading = True
            self._begin(self._read(), "read recorded requests")

    async def _read(self) -> None:
        try:
            changed = await self._follow.read()
            quiet = not changed and self.process is None
            self._timer.setInterval(QUIET_LOOK_MS if quiet else LOOK_MS)
            if self.process is not None:
                # Also without a change: the process counts a request when it begins, and the log has it when it ended.
                await self._workspace.refresh_load()
            if self._paused_at is not None:
                self._count_arrived()
                return
            if changed:
                await self._show_rows()
            await self._analyse()
        finally:
            self._reading = False

    async def _show_rows(self) -> None:
        if self._filter.terms:
            await self._show_matches()
        self.page.show_requests(Shown(tuple(self._follow.rows), dict(self._follow.details)))

    async def _analyse(self) -> None:
        requests = self._follow.requests()
        run_ids = tuple(request.row.run_id for request in requests)
        if run_ids != self._analysed and time.monotonic() >= self._analysis_due:
            analysis: Analysis = await asyncio.to_thread(analyse, requests)
            self._analysed, self._analysis_due = run_ids, time.monotonic() + ANALYSE_S
            if self._paused_at is None:
                self.page.show_analysis(analysis, frozenset(run_ids))
            else:
                self._analysed = ()

    def pause_or_resume(self) -> None:
        """Keep the rows in place, or show what arrived meanwhile. Recording continues in both cases."""
        paused = self._paused_at is None
        self._paused_at = (self._follow.rows[0].number if self._follow.rows else 0) if paused else None
        self.tools.show_paused(paused)
        if paused:
            self._count_arrived()
        else:
            self.page.show_paused(None)
            self._begin(self._show_rows(), "show recorded requests")

    def _count_arrived(self) -> None:
        at = self._paused_at or 0
        self.page.show_paused(sum(row.number > at for row in self._follow.rows))

    def _apply_filter(self) -> None:
        self._typing.stop()
        line = self.page.filter_line
        try:
            chosen = parse(line.text(), datetime.now().astimezone())  # dates are meant in local time
        except InputError as error:
            # A word that is being completed is not wrong yet.
            self.page.show_wrong("" if line.offered else str(error.problems[0]))
            return
        self.page.show_wrong("")
        if chosen.terms != self._filter.terms:
            self._filter = chosen
            self._begin(self._show_matches(), "filter recorded requests")

    async def _show_matches(self) -> None:
        chosen = self._filter
        matched = await self._follow.matching(chosen)
        if chosen is self._filter:
            self.page.show_matches(matched)

    async def _read_words(self) -> None:
        if self._workspace.log is not None:
            self.page.filter_line.words = await self._workspace.log.words()

    # One request

    def _asked(self, name: str, run_id: str) -> None:
        """Carry out a name of table.ASKS for a row."""
        match name:
            case "open":
                self.open_wanted.emit(run_id)
            case "prompt":
                self._begin(self._open_as_prompt(run_id), "open a prompt")
            case "resend":
                self.resend_wanted.emit(run_id)
            case "ticket":
                self.ticket_wanted.emit(run_id)
            case "copy":
                row = self._follow.row(run_id)
                if row is not None and row.request_id is not None:
                    copy_text(row.request_id)
            case "earlier" | "compare":
                row = self._follow.row(run_id)
                earlier, _ = self._earlier(row) if row is not None else (None, "")
                if earlier is None:
                    self.notice.emit("There is no earlier request of this conversation or program.")
                elif name == "compare":
                    self.compare_wanted.emit([earlier.run_id, run_id])
                else:
                    self.page.select(earlier.run_id)

    def _earlier(self, row: LogRow) -> tuple[LogRow | None, str]:
        """Return the request before in its conversation, else in its program, and which of both it is."""
        run_ids = self.page.analysis.conversation_of(row.run_id)
        at = run_ids.index(row.run_id) if run_ids else 0
        found = self._follow.row(run_ids[at - 1]) if at else self._follow.earlier_in_conversation(row)
        if found is not None:
            return found, "conversation"
        program = self.page.analysis.program_of(row.run_id)
        if program is None:
            return None, ""
        at = program.run_ids.index(row.run_id)
        return (self._follow.row(program.run_ids[at - 1]) if at else None), "program"

    def _act(self, name: str) -> None:
        if name.startswith("copy_"):
            self._copy_as(name.removeprefix("copy_"))
        else:
            self.page.ask(name)

    async def _set_rates(self) -> None:
        recalled = await self._workspace.recall(self._detailed[0].run_id) if self._detailed is not None else None
        if recalled is not None:
            self.rates_wanted.emit(recalled.stored.record.endpoint_id)

    def _show_selected(self) -> None:
        self._show_difference()
        row = self.page.detailed_row()
        if self.page.table.current_row() is None and self._detailed is not None:
            self._detailed = None
            self.page.show_detail(None, None)
        key = None if row is None else (row, self._follow.details.get(row.run_id))
        if row is not None and key != self._detailed:
            self._detailed = key
            self._begin(self._show_detail(row), "show a recorded request")

    async def _show_detail(self, row: LogRow) -> None:
        key = self._detailed
        recalled = await self._workspace.recall(row.run_id)
        if key is not self._detailed:
            return  # another request was selected meanwhile, or the explanation corrected
        shown = (None, None) if recalled is None else (logged_request(recalled), logged_model(recalled))
        self.page.show_detail(*shown)

    def _show_difference(self) -> None:
        row = self.page.table.current_row()
        earlier, within = self._earlier(row) if row is not None else (None, "")
        if row is None or earlier is None:
            self._compared = None
            self.page.strip.show_compared(None)
            return
        key = row, earlier.run_id
        if key != self._compared:
            self._compared = key
            self._begin(self._compare(row, earlier, within), "compare recorded requests")

    async def _compare(self, row: LogRow, earlier: LogRow, within: str) -> None:
        key = self._compared
        pair = await self._follow.request(earlier.run_id), await self._follow.request(row.run_id)
        if pair[0] is None or pair[1] is None or not (pair[0].body and pair[1].body):
            found = None
        else:
            found = await asyncio.to_thread(_compared, pair[0], pair[1], within)
        if key == self._compared:
            self.page.strip.show_compared(found)

    async def _open_as_prompt(self, run_id: str) -> None:
        request = await self._follow.request(run_id)
        if request is None:
            self.notice.emit("The body of this request cannot be read.")
            return
        program = self.page.analysis.program_of(run_id)
        members = set(program.run_ids) if program is not None else set()
        others = [other for other in self._follow.requests() if other.row.run_id in members - {run_id}]
        self.prompt_wanted.emit(await asyncio.to_thread(as_template, request, others))

    async def _preview(self, leak: Leak) -> None:
        options = await asyncio.to_thread(lambda: previews(rewrites(leak)))
        if not self._closed:
            self.dialog = LeakDialog(leak, options, self._window)
            self.dialog.open()


def _compared(earlier: RecordedRequest, now: RecordedRequest, within: str) -> Compared:
    found = compare(earlier, now)
    pieces = list(text_changes(found.before, found.after)) if found.place else []
    # The excerpts end at different characters: what differs at their ends is not known to differ.
    while found.cut and pieces and pieces[-1].sign != "same":
        pieces.pop()
    pieces = [*pieces, Piece("same", "…")] if found.cut and pieces else pieces
    return Compared(now.row, earlier.row, within, found, tuple(pieces))

"""Recorder mode: the recorder's process, the rows that it writes to the request log, and their analysis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QWidget

from playground.child_process import ServerProcess, StartError
from playground.prompt.document import Json
from playground.prompt.json_bounds import loads
from playground.recorder.programs import Analysis, Leak, RecordedRequest, analyse, as_template, rewrites
from playground.requestlog.filter import LogFilter, parse
from playground.requestlog.records import LogRow, StoredRun
from playground.runs.metrics import seconds
from playground.runs.state import ENDED
from playground.runs.stored_explanation import read_explanation
from playground.services import AppServices
from playground.simulator.launch import SimulatorError
from playground.ui.modes import ModeView
from playground.ui.recorder.leaks import LeakDialog
from playground.ui.recorder.page import RecorderPage, RecorderTools
from playground.ui.theme import Theme
from playground.ui.widgets.copy_button import copy_text

LOOK_MS = 300
PAGE = 128
MAX_ROWS = 2_000
"""Newest rows that the mode lists; the log in Prompt mode has all of them (`source:recorder`)."""
MAX_BODIES, MAX_BODY_BYTES = 300, 24_000_000
"""Newest bodies that are compared."""
BATCH = 24
TRIES = 10
"""Reads after which a request without an explanation has none: it is stored after the end of the request."""
ANALYSE_S = 1.5
"""Seconds between two analyses while requests arrive."""
_PREFIX = "electron-playground: "


class RecorderController(QObject):
    """One per window, built when the mode is first displayed."""

    trouble = Signal(str)
    open_wanted = Signal(str)
    """A run_id that is to be displayed in Prompt mode."""
    prompt_wanted = Signal(object)
    """A Document that is to be opened in the editor."""
    ticket_wanted = Signal(str)

    def __init__(self, window: QWidget, workspace: AppServices, theme: Callable[[], Theme]) -> None:
        super().__init__(window)
        self._window, self._workspace, self._theme = window, workspace, theme
        self._loop = asyncio.get_running_loop()
        self.page = RecorderPage(theme())
        self.tools = RecorderTools()
        self.process: ServerProcess | None = None
        """The recorder's process while it runs."""
        self.dialog: LeakDialog | None = None
        self._starting = self._stopping = self._closed = False
        self._started_at = 0.0
        self._forwards = ""
        self._last_line = ""
        self._follow = RecordedRequests(workspace)
        self._reading = False
        self._analysed: tuple[str, ...] = ()
        self._analysis_due = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        self._connect()

    def _connect(self) -> None:
        self.tools.start_wanted.connect(self.start)
        self.page.start_wanted.connect(self.start)
        self.tools.stop_wanted.connect(self.stop)
        self.page.open_wanted.connect(self.open_wanted)
        self.page.ticket_wanted.connect(self.ticket_wanted)
        self.page.copy_wanted.connect(self._copy)
        self.page.prompt_wanted.connect(lambda run_id: self._begin(self._open_as_prompt(run_id), "open a prompt"))
        self.page.leaks.preview_wanted.connect(lambda leak: self._begin(self._preview(leak), "preview a rewrite"))

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._workspace.tasks.start(work, name)

    def view(self) -> ModeView:
        """Return the widgets of the mode."""
        self._look()
        return ModeView(
            self.page,
            self.tools,
            take_focus=self.page.take_focus,
            take_theme=lambda: self.page.set_theme(self._theme()),
            close=self.close,
        )

    # The process

    def start(self) -> None:
        """Start the recorder for the current endpoint, on the port of the toolbar."""
        if self.process is None and not self._starting:
            self._starting = True
            self.page.notice.hide()
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
            self._starting = False
            self._show_state()
            self._say_not_started(str(error).removeprefix(_PREFIX))
            return
        self._starting = False
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

    def _say_not_started(self, reason: str) -> None:
        buttons: list[tuple[str, Callable[[], object]]] = [("Try again", self.start)]
        if "Port" in reason:
            buttons.append(("Use a free port", self._start_on_free_port))
        self.page.notice.say(f"The Recorder did not start. {reason}", [*buttons, ("Dismiss", self.page.notice.hide)])

    def _start_on_free_port(self) -> None:
        self.tools.port.setValue(0)
        self.start()

    def _said(self, line: str) -> None:
        """Show a message of the process, for example about a request that is not recorded."""
        if line.startswith(_PREFIX) and not self._closed:
            self.page.notice.say(line.removeprefix(_PREFIX), [("Dismiss", self.page.notice.hide)])
        self._last_line = line or self._last_line

    def _ended(self, process: ServerProcess, status: int) -> None:
        if self.process is not process or self._closed:
            return
        self.process = None
        self._begin(asyncio.to_thread(process.stop), "close the recorder's pipes")
        if not self._stopping:
            self.tools.port.setValue(urlsplit(process.base_url).port or 0)
            reason = f" {self._last_line.removeprefix(_PREFIX)}" if self._last_line else ""
            self.page.notice.say(
                f"The Recorder ended unexpectedly (exit status {status}).{reason} Requests to its address fail, and "
                "nothing is recorded.",
                [("Start again", self.start), ("Dismiss", self.page.notice.hide)],
            )
        self._stopping = False
        self._show_state()

    def stop(self) -> None:
        """End the recorder; requests in flight are cut, and recorded up to there."""
        if self.process is not None and not self._stopping:
            self._stopping = True
            self._show_state()
            self._begin(asyncio.to_thread(self.process.stop), "stop the recorder")

    def _show_state(self) -> None:
        process = self.process
        state = "Not recording"
        if self._starting:
            state = "Starting…"
        elif self._stopping:
            state = "Stopping…"
        elif process is not None:
            state = f"Recording {seconds(float(int(time.monotonic() - self._started_at)) or 0.0)}"
        url = process.base_url if process is not None else ""
        busy = self._starting or self._stopping
        forwards = self._forwards if process is not None else ""
        self.tools.show_state(state, url, forwards, running=process is not None, busy=busy)
        self.page.start_button.setEnabled(process is None and not busy)
        self.page.connect_panel.show_url(url)

    def close(self) -> None:
        """Stop timers and end the process: the window is about to be deleted."""
        self._closed = True
        self._timer.stop()
        process, self.process = self.process, None
        if process is not None:
            # Not a daemon: this program exits after the recorder has written its last requests.
            threading.Thread(target=process.stop, name="stop-recorder").start()

    # The log

    def _look(self) -> None:
        if self.process is not None:
            self._show_state()
        if self.page.isVisible() and not self._reading and not self._closed:
            self._reading = True
            self._begin(self._read(), "read recorded requests")

    async def _read(self) -> None:
        try:
            if await self._follow.read():
                self.page.show_requests(self._follow.rows, self._follow.causes)
            requests = self._follow.requests()
            run_ids = tuple(request.row.run_id for request in requests)
            if run_ids != self._analysed and time.monotonic() >= self._analysis_due:
                analysis: Analysis = await asyncio.to_thread(analyse, requests)
                self._analysed, self._analysis_due = run_ids, time.monotonic() + ANALYSE_S
                self.page.show_analysis(analysis)
        finally:
            self._reading = False

    def _copy(self, run_id: str) -> None:
        row = self._follow.row(run_id)
        if row is not None and row.request_id is not None:
            copy_text(row.request_id)

    async def _open_as_prompt(self, run_id: str) -> None:
        request = await self._follow.request(run_id)
        if request is None:
            self.trouble.emit("The body of this request cannot be read.")
            return
        program = next((one for one in self.page.analysis.programs if run_id in one.run_ids), None)
        members = set(program.run_ids) if program is not None else set()
        others = [other for other in self._follow.requests() if other.row.run_id in members - {run_id}]
        self.prompt_wanted.emit(await asyncio.to_thread(as_template, request, others))

    async def _preview(self, leak: Leak) -> None:
        options = await asyncio.to_thread(rewrites, leak)
        self.dialog = LeakDialog(self._theme(), leak, options, self._window)
        self.dialog.open()


class RecordedRequests:
    """The recorded rows of the log, newest first, with bodies and causes of the newest. Another process writes them."""

    def __init__(self, workspace: AppServices) -> None:
        self._workspace = workspace
        self._filter: LogFilter = parse("source:recorder", datetime.now(UTC))
        self.rows: list[LogRow] = []
        self.causes: dict[str, tuple[str, str]] = {}
        self._requests: dict[str, RecordedRequest] = {}
        self._sizes: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._page: list[LogRow] = []

    def row(self, run_id: str) -> LogRow | None:
        """Return a row by its run_id."""
        return next((row for row in self.rows if row.run_id == run_id), None)

    def requests(self) -> list[RecordedRequest]:
        """Return the requests with bodies, oldest first."""
        return [self._requests[row.run_id] for row in reversed(self.rows) if row.run_id in self._requests]

    async def read(self) -> bool:
        """Read what changed. Returns whether anything did."""
        log = self._workspace.log
        if log is None:
            return False
        page = await log.page(self._filter, None, PAGE)
        changed = page != self._page
        if changed:
            self._page = page
            await self._merge(page)
        return await self._read_bodies() or changed

    async def _merge(self, page: list[LogRow]) -> None:
        log = self._workspace.log
        assert log is not None
        unfinished = [row.number for row in self.rows if row.phase not in ENDED]
        floor = min([self.rows[0].number + 1 if self.rows else 0, *unfinished])
        found = list(page)
        while len(page) == PAGE and found[-1].number > floor and len(found) < MAX_ROWS:
            page = await log.page(self._filter, found[-1].number, PAGE)
            found += page
        oldest = found[-1].number if found else 0
        kept = [row for row in self.rows if row.number < oldest] if found else []
        self.rows = [*found, *kept][:MAX_ROWS]
        listed = {row.run_id for row in self.rows}
        self.causes = {run_id: cause for run_id, cause in self.causes.items() if run_id in listed}

    async def _read_bodies(self) -> bool:
        """Read bodies and explanations of a batch of ended requests. Returns whether there were any."""
        log = self._workspace.log
        assert log is not None
        newest = [row for row in self.rows[:MAX_BODIES] if row.phase in ENDED]
        wanted = [row for row in newest if row.run_id not in self._requests or row.run_id in self._tries][:BATCH]
        if not wanted:
            return False
        runs, _ = await log.readable(sorted(row.number for row in wanted))
        read = await asyncio.to_thread(_read_all, runs)
        for row in wanted:
            found = read.get(row.run_id, _NOTHING)
            self._requests[row.run_id] = RecordedRequest(row, found.fields)
            self._sizes[row.run_id] = found.size
            tries = self._tries.pop(row.run_id, 0) + 1
            if found.cause is None and row.phase == "done" and row.status == 200 and tries < TRIES:
                self._tries[row.run_id] = tries
            self.causes[row.run_id] = found.cause or ("—", "No explanation is stored")
        self._drop([row.run_id for row in newest])
        return True

    def _drop(self, newest: Sequence[str]) -> None:
        """Keep the newest bodies only: MAX_BODIES of at most MAX_BODY_BYTES together."""
        size = 0
        for run_id in newest:
            size += self._sizes.get(run_id, 0)
            if size > MAX_BODY_BYTES and run_id in self._requests:
                self._requests[run_id] = RecordedRequest(self._requests[run_id].row, {})
        for run_id in self._requests.keys() - set(newest):
            del self._requests[run_id], self._sizes[run_id]
            self._tries.pop(run_id, None)

    async def request(self, run_id: str) -> RecordedRequest | None:
        """Return a request with its body, read from the log if it is not in memory."""
        if run_id in self._requests and self._requests[run_id].body:
            return self._requests[run_id]
        row, log = self.row(run_id), self._workspace.log
        if row is None or log is None:
            return None
        runs, _ = await log.readable([row.number])
        read = await asyncio.to_thread(_read_all, runs)
        return RecordedRequest(row, read[run_id].fields) if run_id in read else None


@dataclass(frozen=True, slots=True)
class _Read:
    """What a stored request adds to its row. `cause`: a few words and a sentence; None if it is not stored yet."""

    fields: Mapping[str, Json]
    size: int
    cause: tuple[str, str] | None


_NOTHING = _Read({}, 0, None)


def _read_all(runs: Sequence[StoredRun]) -> dict[str, _Read]:
    found = {}
    for run in runs:
        try:
            body = loads(run.record.body)
        except ValueError:
            body = None
        cause = None
        if run.explanation is not None:
            why = read_explanation(run.explanation)
            cause = ("as forecast", "") if why is None else (why.title or "cause not known", why.sentence)
        fields = body if isinstance(body, dict) else {}
        found[run.record.run_id] = _Read(fields, len(run.record.body), cause)
    return found

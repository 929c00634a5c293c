"""Batch mode: plans, runs, pauses, continues and exports a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget

from playground.experiments.batch_job import concurrency_of
from playground.experiments.batch_rows import BatchRow, columns_of
from playground.experiments.batch_session import BatchSession, BatchSpec, BatchStore, PreparedBatch, SavedBatch
from playground.prompt.document import Document, names
from playground.prompt.field_errors import FieldError, InputError
from playground.runs.metrics import counted
from playground.services import AppServices
from playground.simulator.process import SimulatorError
from playground.ui.batch.files import BatchFiles
from playground.ui.batch.page import BatchPage, BatchTools
from playground.ui.batch.setup import BatchPlanner, DisplayedBatch
from playground.ui.modes import ModeView
from playground.ui.widgets.labels import show_or_hide
from playground.ui.widgets.layouts import repeating_timer
from playground.versions.service import PromptIdentity

TICK_MS = 200
SELECT_TICKS = 5
"""Ticks between two selections of rows that follow the results."""


class BatchController(QObject):
    """One per window. States: no data, settings, running or paused, ended."""

    def __init__(
        self,
        window: QWidget,
        pages: QWidget,
        services: AppServices,
        prompt: Callable[[], Document],
        prompt_name: Callable[[], str],
        open_prompt: Callable[[], object],
        open_logged: Callable[[str], object],
        row_logged: Callable[[str], object],
        identify: Callable[[Document], PromptIdentity | None],
        prompt_sent: Callable[[PromptIdentity, Document, Sequence[str]], object],
    ) -> None:
        """Connect the mode with the window.

        Args:
            pages: the parent of the page.
            row_logged: called with the run_id of each request that is sent.
            identify: returns the identity of the prompt in the editor; None for another document.
            prompt_sent: called when a batch ends, with the run_ids of its prompt.
        """
        super().__init__(window)
        self._services = services
        self._prompt, self._prompt_name, self._row_logged = prompt, prompt_name, row_logged
        self._identify, self._prompt_sent = identify, prompt_sent
        self._store = BatchStore(services.folder / "batches")
        self._rows: tuple[BatchRow, ...] = ()
        self._columns: tuple[str, ...] = ()
        self._source = ""
        self._prepared: PreparedBatch | None = None
        """The plan of the present settings; None until it is ready."""
        self.session: BatchSession | None = None
        """The batch since its first start; None while it is set up."""
        self._task: asyncio.Task[None] | None = None
        self._ticks = 0
        self._start_wanted = False
        """Whether Start was pressed while a plan is being made: the batch begins with that plan."""
        self._dirty = False
        self.page, self.tools = BatchPage(services.tasks.start, pages), BatchTools()
        self.files = BatchFiles(window, services)
        self._planner = BatchPlanner(self, services)
        self._tick = repeating_timer(self, TICK_MS, self._show_tick)
        self._connect(open_prompt, open_logged)
        services.settings.subscribe(lambda name: self.prompt_changed() if name == "endpoint_id" else None)
        self._show()
        services.endpoints.subscribe(self.prompt_changed)
        services.tasks.start(self._offer_unfinished(), "look for an unfinished batch")

    def _connect(self, open_prompt: Callable[[], object], open_logged: Callable[[str], object]) -> None:
        page, tools, files = self.page, self.tools, self.files
        files.rows_read.connect(
            lambda rows, name: self._services.tasks.start(self.use_rows(rows, name), "set up a batch")
        )
        files.said.connect(self.page.say)
        page.first_button.clicked.connect(files.ask_for_file)
        page.paste.clicked.connect(files.paste)
        page.logged.clicked.connect(files.ask_for_filter)
        page.dropped.connect(lambda path: files.open_file(Path(path)))
        page.retry.clicked.connect(self.retry_failed)
        page.open_asked.connect(lambda run_id: open_logged(run_id))
        page.displayed.connect(self._resume_ticks)
        page.setup.changed.connect(self.plan_soon)
        self._planner.due.connect(self._plan_now)
        self._planner.planned.connect(self._take_plan)
        self._planner.refused.connect(self._take_refusal)
        paste = QShortcut(QKeySequence(QKeySequence.StandardKey.Paste), page)
        paste.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        paste.activated.connect(files.paste)
        tools.prompt.clicked.connect(lambda: open_prompt())
        tools.run.clicked.connect(self.start_or_pause)
        tools.stop.clicked.connect(self.stop)
        tools.export.clicked.connect(self._ask_for_export)
        tools.set_data_menu(
            ("Open data file…", files.ask_for_file),
            ("Paste rows…", files.paste),
            ("Use logged requests…", files.ask_for_filter),
            ("New batch with the same data", self.new_batch),
        )

    def view(self) -> ModeView:
        return ModeView(
            self.page,
            self.tools,
            send=self.start_or_pause,
            take_focus=self.take_focus,
            panes=self.page.panes,
            close=self.close,
            take_zoom=self.page.show_zoom,
        )

    @property
    def running(self) -> bool:
        """Whether rows are being sent, or the batch is paused."""
        return self._task is not None

    def take_focus(self) -> None:
        """Take over the current prompt and give the keyboard to the page, when the mode is displayed."""
        self.prompt_changed()
        (self.page.table if self._rows else self.page.first_button).setFocus()

    def close(self) -> None:
        self._planner.cancel()
        self._tick.stop()

    # Data

    async def use_rows(self, rows: tuple[BatchRow, ...], name: str) -> None:
        """Set up a batch with these rows. While a batch runs, its rows stay."""
        columns = await asyncio.to_thread(columns_of, rows)
        if self.running:
            self.page.say("Stop the batch before you use other rows.")
            return
        self.page.notice.hide()
        self._rows, self._source, self._columns = rows, name, columns
        self.new_batch()
        self.page.table.setFocus()

    def new_batch(self) -> None:
        """Return to the settings with the same rows and the present prompt."""
        if self.running or not self._rows:
            return
        self.session, self._prepared = None, None
        self.page.model.active = False
        self.prompt_changed()
        self._show()

    # Plan

    @property
    def setting_up(self) -> bool:
        return bool(self._rows) and not self.running and self.session is None

    def prompt_changed(self) -> None:
        """Plan again with the present prompt; a batch that has started keeps its own."""
        name = self._prompt_name()
        if self.session is not None and self._prepared is not None:
            name = self._prepared.spec.document.name or name
        self.tools.show_prompt(name)
        if self.setting_up and self.page.isVisible():
            document, endpoint = self._prompt(), self._services.endpoint
            setup = self.page.setup
            setup.show_columns(names(document.messages), self._columns, document.variables)
            setup.show_limit(endpoint.plan.in_flight, concurrency_of(endpoint, setup.wanted_concurrency))
            self._plan_now()

    def plan_soon(self) -> None:
        if self.setting_up:
            self._prepared, self._start_wanted = None, False
            self._show_tools()
            self._planner.plan_soon()

    def _plan_now(self) -> None:
        if self.setting_up:
            setup = self.page.setup
            endpoint, chosen = self._services.endpoint, setup.mapping()
            given = self._prompt(), self._rows, chosen, setup.checks(), setup.chosen_order(), self._source
            spec = BatchSpec(*given, endpoint.id, setup.concurrency.value())
            self._planner.plan(spec, endpoint, self.page.model.selection)

    def _take_plan(self, made: DisplayedBatch) -> None:
        if self.setting_up:
            self.page.setup.show_error(None)
            self._show_plan(made)
            if self._start_wanted:
                self._start_wanted = False
                self._begin()

    def _take_refusal(self, problem: FieldError) -> None:
        self._prepared, self._start_wanted = None, False
        self.page.setup.show_error(problem)
        self.page.setup.show_forecast(None, "")
        self._show_tools()

    def _show_plan(self, made: DisplayedBatch) -> None:
        prepared = self._prepared = made.prepared
        plan = prepared.plan
        self.page.setup.show_forecast(plan.forecast, prepared.endpoint.plan.name)
        self.page.model.set_lines(
            prepared.lines,
            list(plan.columns),
            checked=bool(prepared.checks),
            selection=made.selection,
            displayed=made.displayed,
        )
        self.page.show_counts(can_retry=False)
        self.page.show_totals(None, 0)
        show_or_hide(self.page.gaps, made.gaps)
        self._show_order()
        self._show_tools()

    # Run

    def start_or_pause(self) -> None:
        """Start, pause or resume the batch, or continue one that was stopped."""
        session = self.session
        if self.running and session is not None:
            session.pause_or_resume()
            self.page.model.active = not session.paused  # a paused row has no time at which it is sent
            self.page.model.repaint_rows()
            self._show_tools()
        elif session is not None and session.unfinished:
            self._run(session, None)
        elif session is not None:
            self.new_batch()
        elif self._prepared is not None:
            self._begin()
        elif self.setting_up:
            self._start_wanted = self._planner.busy

    def retry_failed(self) -> None:
        failed = self.page.model.lines.numbers("failed")
        if not self.running and self.session is not None and failed:
            self._run(self.session, failed)

    def stop(self) -> None:
        """Stop the requests in flight and send no further row."""
        if self.session is not None and self.session.sending:
            self.session.stop()
        elif self._task is not None:
            self._task.cancel()

    def _begin(self, saved: SavedBatch | None = None) -> None:
        """Start the prepared batch; `saved`: continue the stored one."""
        assert self._prepared is not None
        services, model = self._services, self.page.model
        self._planner.cancel()
        session = self.session = BatchSession(self._prepared, self._store, services.sender, services.log, saved)
        session.on_open.subscribe(model.refresh)
        session.on_row.subscribe(self._take_row)
        session.on_start.subscribe(lambda run: self._row_logged(run.id))
        self._run(session, None)

    def _run(self, session: BatchSession, only: frozenset[int] | None) -> None:
        self.page.notice.hide()
        self.page.model.active = True
        self._task = self._services.tasks.start(self._run_session(session, only), "run a batch")
        self._resume_ticks()
        self._show()

    async def _run_session(self, session: BatchSession, only: frozenset[int] | None) -> None:
        message, document = "", session.prepared.spec.document
        identity = self._identify(document)
        try:
            await session.run(only)
        except InputError as bad:
            message = str(bad.problems[0])
        except SimulatorError as failed:
            message = str(failed)
        except OSError as error:
            message = f"Results cannot be written: {error.strerror or error}. The batch was stopped."
        finally:
            self._task = None
            self._end()
            if identity is not None and session.run_ids:
                self._prompt_sent(identity, document, session.run_ids)
        if message:
            self.page.say(message)

    def _take_row(self, position: int | None) -> None:
        self._dirty = True
        self.page.model.repaint(position)

    def _end(self) -> None:
        self._tick.stop()
        self.page.model.active = False
        self.page.model.refresh()
        self._show()
        self._show_now()
        self._show_order()

    # Continue after a restart

    async def _offer_unfinished(self) -> None:
        saved = await asyncio.to_thread(self._store.unfinished)
        if saved is None or self._rows:
            return
        spec = saved.spec
        failed = f", {saved.failed:,} failed" if saved.failed else ""
        step = "Continue" if saved.answered + saved.failed < len(spec.rows) else "Retry failed"
        self.page.notice.show_message(
            f"Unfinished batch of {spec.started_utc.astimezone():%d %b %H:%M}: {spec.source}, "
            f"{saved.answered:,} of {counted(len(spec.rows), 'row')} answered{failed}",
            [
                (step, lambda: self._services.tasks.start(self.continue_saved(saved), "continue a batch")),
                ("Discard", lambda: self._services.tasks.start(self._discard(saved), "discard a batch")),
            ],
        )

    async def _discard(self, saved: SavedBatch) -> None:
        self.page.notice.hide()
        await asyncio.to_thread(self._store.close, saved)

    async def continue_saved(self, saved: SavedBatch) -> None:
        spec = saved.spec
        endpoint = next((one for one in self._services.endpoints.all() if one.id == spec.endpoint_id), None)
        if endpoint is None:
            self.page.say("The endpoint of this batch no longer exists.")
            return
        try:
            made = await self._planner.made(spec, endpoint, self.page.model.selection)
        except InputError as bad:
            self.page.say(str(bad.problems[0]))
            return
        if self.running:
            return
        self._rows, self._source, self._columns = spec.rows, spec.source, made.columns
        self._show_plan(made)
        self._begin(saved)

    def _ask_for_export(self) -> None:
        if self.session is not None:
            self.files.ask_for_export(self.session.results)

    # Display

    def _show(self) -> None:
        self.page.stack.setCurrentIndex(1 if self._rows else 0)
        self.page.setup.setVisible(self.setting_up)
        self.page.progress.setVisible(not self.setting_up)
        self._show_tools()

    def _show_tools(self) -> None:
        tools, session = self.tools, self.session
        tools.show_data(f"{self._source[:40]} · {counted(len(self._rows), 'row')}" if self._rows else "Choose data")
        tools.stop.setVisible(self.running)
        tools.export.setEnabled(session is not None and bool(session.results))
        label, enabled = "Start", self._prepared is not None
        if session is not None and self.running:
            label, enabled = "Resume" if session.paused else "Pause", session.sending
        elif session is not None:
            label, enabled = session.next_step, True
        tools.show_run(label, enabled=enabled)
        self.page.show_counts(can_retry=not self.running)
        self.page.bar.eta.setText(session.state_text(running=self.running) if session is not None else "")

    def _resume_ticks(self) -> None:
        """Update the display at intervals while the batch runs and its page is visible."""
        if self.running and self.page.isVisible():
            self._show_now()
            self._tick.start()

    def _show_tick(self) -> None:
        if not self.page.isVisible():
            self._tick.stop()  # until the page is displayed again
            return
        self._ticks += 1
        if self._dirty and self.page.model.selection.follows_results and not self._ticks % SELECT_TICKS:
            self._dirty = False
            self.page.model.refresh()
        self._show_now()

    def _show_now(self) -> None:
        model, page = self.page.model, self.page
        model.tick()
        page.show_selected()
        page.show_totals(self.session.totals if self.session else None, model.lines.counts["done"])
        self._show_tools()

    def _show_order(self) -> None:
        if self._prepared is not None:
            totals = self.session.totals if self.session is not None else None
            self.page.order_text.setText(self._prepared.order_text(totals, running=self.running))

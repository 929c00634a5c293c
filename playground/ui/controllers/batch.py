"""Batch mode: reads the rows, plans, runs, pauses, continues and exports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMenu, QWidget

from playground.client.endpoint import Endpoint
from playground.client.pricing import PER
from playground.experiments.batch_checks import AnswerCheck, parse_check
from playground.experiments.batch_job import BatchJob, concurrency_of
from playground.experiments.batch_plan import BatchPlan, make_plan
from playground.experiments.batch_results import BatchTotals, ResultFile, format_results, row_number
from playground.experiments.batch_rows import (
    MAX_DATA_BYTES,
    BatchRow,
    columns_of,
    map_columns,
    read_pasted,
    read_rows,
    rows_of_requests,
)
from playground.experiments.batch_store import BatchSpec, BatchStore, SavedBatch
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import load
from playground.prompt.variables import names
from playground.requestlog.filter import parse
from playground.runs.metrics import dollars, percent, whole_seconds
from playground.services import AppServices
from playground.simulator.launch import SimulatorError
from playground.storage.json_file import read_regular
from playground.storage.paths import write_shared
from playground.ui.batch.page import BatchPage, BatchTools
from playground.ui.modes import ModeView
from playground.ui.widgets.icons import set_icon

PLAN_MS = 300
"""Wait after a change before planning again."""
TICK_MS = 200
SAME_DOLLARS = 1e-9
"""A smaller difference of two costs is the rounding of sums."""
MAX_LOG_ROWS = 10_000
DATA_FILTER = "Tables (*.csv *.tsv *.jsonl *.ndjson *.json);;All files (*)"
EXPORT_FILTER = "CSV (*.csv);;JSON lines (*.jsonl)"


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan with everything that starting it needs."""

    document: Document
    rows: tuple[BatchRow, ...]
    source: str
    endpoint: Endpoint
    plan: BatchPlan
    checks: tuple[AnswerCheck, ...]
    concurrency: int


class BatchController(QObject):
    """One per window. States: no data, settings, running or paused, ended."""

    def __init__(
        self,
        window: QWidget,
        services: AppServices,
        prompt: Callable[[], Document],
        prompt_name: Callable[[], str],
        open_prompt: Callable[[], object],
        open_logged: Callable[[str], object],
        row_logged: Callable[[str], object],
    ) -> None:
        """`row_logged` is called with the run_id of each request that is sent."""
        super().__init__(window)
        self._window, self._services = window, services
        self._prompt, self._prompt_name, self._row_logged = prompt, prompt_name, row_logged
        self._store = BatchStore(services.folder / "batches")
        self._rows: tuple[BatchRow, ...] = ()
        self._source = ""
        self._planned: _Planned | None = None
        self._saved: SavedBatch | None = None
        self._results: dict[int, dict[str, Json]] = {}
        self._job: BatchJob | None = None
        self._totals: BatchTotals | None = None
        self._task: asyncio.Task[None] | None = None
        self._generation = self._ended_generation = 0
        self._start_wanted = False
        """Whether Start was pressed while a plan is being made: the batch begins with that plan."""
        self._dirty = False
        self.page, self.tools = BatchPage(), BatchTools()
        self._plan_timer = QTimer(self, interval=PLAN_MS, singleShot=True)
        self._plan_timer.timeout.connect(self._plan_now)
        self._tick = QTimer(self, interval=TICK_MS)
        self._tick.timeout.connect(self._show_tick)
        self._connect(open_prompt, open_logged)
        services.settings.listen(lambda name: self.prompt_changed() if name == "endpoint_id" else None)
        self._show()
        services.endpoints.listen(self.prompt_changed)
        services.tasks.start(self._offer_unfinished(), "look for an unfinished batch")

    def _connect(self, open_prompt: Callable[[], object], open_logged: Callable[[str], object]) -> None:
        page, tools = self.page, self.tools
        page.open_data_asked.connect(self.ask_for_data)
        page.paste_asked.connect(self.paste)
        page.log_asked.connect(self.ask_for_filter)
        page.dropped.connect(lambda path: self.open_data(Path(path)))
        page.retry_asked.connect(self.retry_failed)
        page.open_asked.connect(lambda run_id: open_logged(run_id))
        page.setup.changed.connect(self.plan_soon)
        paste = QShortcut(QKeySequence(QKeySequence.StandardKey.Paste), page)
        paste.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        paste.activated.connect(self.paste)
        tools.prompt_asked.connect(lambda: open_prompt())
        tools.run.clicked.connect(self.start_or_pause)
        tools.stop.clicked.connect(self.stop)
        tools.export.clicked.connect(self.ask_for_export)
        menu = QMenu(tools)
        for label, handler in (
            ("Open data file…", self.ask_for_data),
            ("Paste rows", self.paste),
            ("Use logged requests…", self.ask_for_filter),
            ("New batch with the same data", self.new_batch),
        ):
            menu.addAction(label).triggered.connect(lambda _checked=False, run=handler: run())
        tools.set_data_menu(menu)

    def view(self) -> ModeView:
        """Return the widgets of the mode."""
        return ModeView(self.page, self.tools, send=self.start_or_pause, take_focus=self.take_focus, close=self.close)

    @property
    def running(self) -> bool:
        """Whether rows are being sent, or the batch is paused."""
        return self._task is not None

    def take_focus(self) -> None:
        """The mode is displayed: take over the present prompt and give the keyboard to the page."""
        self.prompt_changed()
        (self.page.table if self._rows else self.page.first_button).setFocus()

    def close(self) -> None:
        """Stop the timers; the session cancels the task."""
        self._plan_timer.stop()
        self._tick.stop()

    # Data

    def ask_for_data(self) -> None:
        """Ask for a data file and open it."""
        dialog = QFileDialog(self._window, "Open the rows of a batch")
        dialog.setNameFilter(DATA_FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self.open_data(Path(path)))
        dialog.open()

    def open_data(self, path: Path) -> None:
        """Read rows from a file."""
        self._read(path.name, lambda: read_rows(read_regular(path, MAX_DATA_BYTES), path.name))

    def paste(self) -> None:
        """Read rows from the clipboard."""
        text = QGuiApplication.clipboard().text()
        if text.strip():
            self._read("pasted rows", lambda: read_pasted(text))
        else:
            self._say("The clipboard has no text. Copy rows with their header line first.")

    def ask_for_filter(self) -> None:
        """Ask for a filter of the request log and use the matching requests as rows."""
        dialog = QInputDialog(self._window)
        dialog.setWindowTitle("Use logged requests")
        dialog.setLabelText(f"Filter of the request log (empty: the newest {MAX_LOG_ROWS:,} requests):")
        dialog.textValueSelected.connect(self.open_log)
        dialog.open()

    def open_log(self, text: str) -> None:
        """Use the logged requests that match a filter as rows."""
        self._services.tasks.start(self._open_log(text), "read rows from the log")

    async def _open_log(self, text: str) -> None:
        log = self._services.log
        if log is None:
            self._say("The request log is not available.")
            return
        try:
            numbers = await log.numbers(parse(text, datetime.now(UTC)))
            stored = await log.stored(numbers[-MAX_LOG_ROWS:])
            rows = await asyncio.to_thread(
                lambda: rows_of_requests((one.state().request_id, load(one.record.document)) for one in stored)
            )
        except InputError as bad:
            self._say(str(bad.problems[0]))
            return
        self.use_rows(rows, f"log: {text}" if text else "request log")

    def _read(self, name: str, read: Callable[[], tuple[BatchRow, ...]]) -> None:
        self._services.tasks.start(self._read_in_worker(name, read), "read rows")

    async def _read_in_worker(self, name: str, read: Callable[[], tuple[BatchRow, ...]]) -> None:
        try:
            rows = await asyncio.to_thread(read)
        except InputError as bad:
            self._say(f"{name}: {bad.problems[0]}")
        except OSError as error:
            self._say(f"{name} cannot be read: {error.strerror or error}.")
        else:
            self.use_rows(rows, name)

    def use_rows(self, rows: tuple[BatchRow, ...], name: str) -> None:
        """Set up a batch with these rows. While a batch runs, its rows stay."""
        if self.running:
            self._say("Stop the batch before you use other rows.")
            return
        self.page.notice.hide()
        self._rows, self._source = rows, name
        self.new_batch()
        self.page.table.setFocus()

    def new_batch(self) -> None:
        """Return to the settings with the same rows and the present prompt."""
        if self.running or not self._rows:
            return
        self._saved, self._results, self._totals, self._planned = None, {}, None, None
        self.page.model.active = False
        self.prompt_changed()
        self._show()

    # Plan

    @property
    def setting_up(self) -> bool:
        """Whether the settings are displayed."""
        return bool(self._rows) and not self.running and self._saved is None

    def prompt_changed(self) -> None:
        """Plan again with the present prompt; a batch that has started keeps its own."""
        self.tools.prompt.setText((self._prompt_name() or "Untitled").replace("&", "&&")[:40])
        if self.setting_up:
            document, endpoint = self._prompt(), self._services.endpoint
            setup = self.page.setup
            setup.show_columns(names(document.messages), columns_of(self._rows), document.variables)
            setup.show_limit(endpoint.plan.in_flight, concurrency_of(endpoint, setup.wanted_concurrency))
            self._plan_now()

    def plan_soon(self) -> None:
        """Plan again after a change."""
        if self.setting_up:
            self._planned, self._start_wanted = None, False
            self._show_tools()
            self._plan_timer.start()

    def _plan_now(self) -> None:
        if self.setting_up:
            self._generation += 1
            self._services.tasks.start(self._plan(self._generation), "plan a batch")

    async def _plan(self, generation: int) -> None:
        """Plan in a worker; the result of a plan that was overtaken by another is dropped."""
        setup, endpoint, document = self.page.setup, self._services.endpoint, self._prompt()
        mapping, checks = setup.mapping(), setup.checks()
        order, concurrency = setup.chosen_order(), setup.concurrency.value()
        rows, source = self._rows, self._source
        count = self._services.sender.forecaster.counter(endpoint.id, endpoint.model).estimate
        lifetime_s = self._services.settings.number("cache_lifetime_s")

        def work() -> _Planned:
            parsed = tuple(map(parse_check, checks))
            columns = map_columns(document, rows, mapping)
            plan = make_plan(
                document, rows, columns, order, count, endpoint, concurrency=concurrency, lifetime_s=lifetime_s
            )
            return _Planned(document, rows, source, endpoint, plan, parsed, concurrency)

        try:
            planned = await asyncio.to_thread(work)
        except InputError as bad:
            if generation == self._generation:
                self._planned, self._start_wanted = None, False
                self._ended_generation = generation
                setup.show_error(bad.problems[0])
                setup.show_forecast(None, "")
                self._show_tools()
            return
        if generation == self._generation and self.setting_up:
            self._ended_generation = generation
            setup.show_error(None)
            self._show_plan(planned)
            if self._start_wanted:
                self._start_wanted = False
                self._begin(None)

    @property
    def _planning(self) -> bool:
        return self._plan_timer.isActive() or self._generation != self._ended_generation

    def _show_plan(self, planned: _Planned) -> None:
        self._planned = planned
        plan = planned.plan
        self.page.setup.show_forecast(plan.forecast, planned.endpoint.plan.name)
        self.page.model.set_plan(plan.rows, list(plan.columns), plan.forecast.rows, bool(planned.checks))
        self.page.show_counts(can_retry=False)
        self.page.show_totals(None, 0)
        self._show_order()
        self._show_tools()

    # Run

    def start_or_pause(self) -> None:
        """Start, pause or resume the batch, or continue one that was stopped."""
        if self._job is not None and self.running:
            runner = self._job.runner
            (runner.resume if runner.paused else runner.pause)()
            self._show_tools()
        elif self._planned is not None and not self.running and self._unfinished():
            self._begin(None)
        elif not self.running and self._saved is not None:
            self.new_batch()
        elif self.setting_up and self._planned is None:
            self._start_wanted = self._planning

    def retry_failed(self) -> None:
        """Send the failed rows again, and no others."""
        if not self.running:
            self._begin(frozenset(line.item.row.number for line in self.page.model.lines if line.status == "failed"))

    def stop(self) -> None:
        """Stop the requests in flight and send no further row."""
        if self._job is not None:
            self._job.runner.stop()
        elif self._task is not None:
            self._task.cancel()

    def _unfinished(self) -> bool:
        return self.page.model.counts["done"] < len(self.page.model.lines)

    def _begin(self, only: frozenset[int] | None) -> None:
        planned = self._planned
        if planned is None or only == frozenset():
            return
        self._generation += 1
        self._ended_generation = self._generation
        self.page.notice.hide()
        for line in self.page.model.lines:
            if line.status == "failed" and (only is None or line.item.row.number in only):
                self.page.model.reset_row(line.item.row.number)
        self.page.model.active = True
        self._task = self._services.tasks.start(self._run(planned, only), "run a batch")
        self._tick.start()
        self._show()

    async def _run(self, planned: _Planned, only: frozenset[int] | None) -> None:
        message = ""
        try:
            self._job = await self._open_job(planned, only)
            self._job.on_result = self._take_result
            self._job.runner.on_start = lambda item, run: self._take_start(item.row.number, run)
            self._show_tools()
            await self._job.run()
        except InputError as bad:
            message = str(bad.problems[0])
        except SimulatorError as failed:
            message = str(failed)
        except OSError as error:
            message = f"Results cannot be written: {error.strerror or error}. The batch was stopped."
        finally:
            self._job, self._task = None, None
            self._end()
        if message:
            self._say(message)

    async def _open_job(self, planned: _Planned, only: frozenset[int] | None) -> BatchJob:
        """Save the batch if it is new, and open its result file. Raises InputError or OSError."""
        saved = self._saved

        def work() -> tuple[SavedBatch, ResultFile]:
            found = saved or self._store.save(_spec(planned))
            return found, ResultFile(found.results, resume=True)

        self._saved, results = await asyncio.to_thread(work)
        job = BatchJob(
            planned.plan.rows,
            planned.plan.columns,
            planned.plan.order,
            planned.checks,
            planned.endpoint,
            self._services.sender,
            self._services.log,
            results,
            concurrency=planned.concurrency,
            only=only,
        )
        self._totals = job.totals
        for result in results.finished.values():
            if row_number(result) not in self._results:
                self._take_result(result)
        return job

    def _take_start(self, number: int, run: object) -> None:
        from playground.runs.run import Run

        assert isinstance(run, Run)
        self.page.model.start_row(number, run)
        self._row_logged(run.id)

    def _take_result(self, result: dict[str, Json]) -> None:
        self._results[row_number(result)] = result
        self.page.model.finish_row(result)
        self._dirty = True

    def _end(self) -> None:
        self._tick.stop()
        model = self.page.model
        model.active = False
        for line in model.lines:
            if line.status == "running":
                model.reset_row(line.item.row.number)
        self._show()
        self._show_tick()
        self._show_order()

    # Continue after a restart

    async def _offer_unfinished(self) -> None:
        saved = await asyncio.to_thread(self._store.unfinished)
        if saved is None or self._rows:
            return
        spec = saved.spec
        self.page.notice.say(
            f"Unfinished batch of {spec.started_utc.astimezone():%d %b %H:%M}: {spec.source}, "
            f"{saved.finished:,} of {len(spec.rows):,} rows have results",
            [
                ("Continue", lambda: self._services.tasks.start(self.continue_saved(saved), "continue a batch")),
                ("Discard", lambda: self._services.tasks.start(self._discard(saved), "discard a batch")),
            ],
        )

    async def _discard(self, saved: SavedBatch) -> None:
        self.page.notice.hide()
        await asyncio.to_thread(self._store.close, saved)

    async def continue_saved(self, saved: SavedBatch) -> None:
        """Continue a batch of an earlier session with its own prompt, rows and endpoint."""
        spec = saved.spec
        endpoint = next((one for one in self._services.endpoints.all() if one.id == spec.endpoint_id), None)
        if endpoint is None:
            self._say("The endpoint of this batch no longer exists.")
            return
        count = self._services.sender.forecaster.counter(endpoint.id, endpoint.model).estimate
        lifetime_s = self._services.settings.number("cache_lifetime_s")

        def work() -> _Planned:
            checks = tuple(map(parse_check, spec.checks))
            plan = make_plan(
                spec.document,
                spec.rows,
                spec.columns,
                spec.order,
                count,
                endpoint,
                concurrency=spec.concurrency,
                lifetime_s=lifetime_s,
            )
            return _Planned(spec.document, spec.rows, spec.source, endpoint, plan, checks, spec.concurrency)

        try:
            planned = await asyncio.to_thread(work)
        except InputError as bad:
            self._say(str(bad.problems[0]))
            return
        if self.running:
            return
        self._rows, self._source, self._saved, self._results = spec.rows, spec.source, saved, {}
        self._show_plan(planned)
        self._begin(None)

    # Export

    def ask_for_export(self) -> None:
        """Ask for a file and write the results to it."""
        dialog = QFileDialog(self._window, "Export the results")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(EXPORT_FILTER)
        dialog.setDefaultSuffix("csv")
        dialog.filterSelected.connect(lambda text: dialog.setDefaultSuffix("csv" if "csv" in text else "jsonl"))
        dialog.fileSelected.connect(lambda path: self.export(Path(path)))
        dialog.open()

    def export(self, path: Path) -> None:
        """Write the results so far in the order of the data: a table for .csv, else JSON lines."""
        results = [self._results[number] for number in sorted(self._results)]
        self._services.tasks.start(self._export(path, results), "export results")

    async def _export(self, path: Path, results: Sequence[dict[str, Json]]) -> None:
        try:
            await asyncio.to_thread(lambda: write_shared(path, format_results(results, path)))
        except OSError as error:
            self._say(f"{path.name} cannot be written: {error.strerror or error}.")
        else:
            self._say(f"Exported {len(results):,} rows to {path.name}.")

    # Display

    def _say(self, sentence: str) -> None:
        self.page.notice.say(sentence, [("Dismiss", self.page.notice.hide)])

    def _show(self) -> None:
        self.page.stack.setCurrentIndex(1 if self._rows else 0)
        self.page.setup.setVisible(self.setting_up)
        self.page.progress.setVisible(not self.setting_up)
        self._show_tools()

    def _show_tools(self) -> None:
        tools, model = self.tools, self.page.model
        tools.data.setText(f"{self._source[:40]} · {len(self._rows):,} rows" if self._rows else "Choose data")
        tools.stop.setVisible(self.running)
        tools.export.setEnabled(bool(self._results))
        paused = self._job is not None and self._job.runner.paused
        label = "Start"
        if self.running:
            label = "Resume" if paused else "Pause"
        elif self._saved is not None:
            label = "Continue" if self._unfinished() else "New batch"
        tools.run.setText(label)
        busy = self.running and self._job is None
        enabled = not busy and (self.running or self._saved is not None or self._planned is not None)
        tools.run.setEnabled(enabled)
        set_icon(tools.run, "pause" if label == "Pause" else "play", "on_accent" if enabled else "muted")
        self.page.show_counts(can_retry=not self.running)
        self._show_eta(paused=paused, ended=bool(model.lines) and not self.running)

    def _show_eta(self, *, paused: bool, ended: bool) -> None:
        text = ""
        if paused:
            text = "paused"
        elif ended and self._saved is not None:
            text = "stopped" if self.page.model.counts["queued"] else "finished"
        elif self._job is not None and (left := self._job.runner.progress.eta_s) is not None:
            done_at = datetime.fromtimestamp(datetime.now(UTC).timestamp() + left, UTC).astimezone()
            text = f"≈ {whole_seconds(left)} left, done at ≈ {done_at:%H:%M}"
        self.page.bar.eta.setText(text)

    def _show_tick(self) -> None:
        model, page = self.page.model, self.page
        model.update_queue()
        if self._dirty and model.changes_order:
            model.refresh()
        self._dirty = False
        model.tick()
        page.refresh_selected()
        page.show_totals(self._totals, model.counts["done"])
        self._show_tools()

    def _show_order(self) -> None:
        """State what the order saves: the forecast before and during the batch, and the measured share after it."""
        if self._planned is None:
            return
        plan, totals = self._planned.plan, self._totals
        other = percent(plan.file_order.cached_share)
        if not self.running and totals is not None and totals.cached_share is not None:
            text = f"Measured: {percent(totals.cached_share)} of the prompt tokens were cached (file order: ≈ {other})"
            rates = self._planned.endpoint.rates
            if rates.fresh is not None and rates.cached is not None:
                more = totals.cached_tokens - plan.file_order.cached_share * totals.prompt_tokens
                cost = more * (rates.fresh - rates.cached) / PER
                text += f", ≈ {dollars(abs(cost))} {'less' if cost >= 0 else 'more'} than in file order"
        elif plan.order == "file":
            text = f"File order: ≈ {other} of the prompt tokens cached"
        else:
            text = f"Prefixes warm first: ≈ {percent(plan.forecast.cached_share)} of the prompt tokens cached"
            text += f" (file order: ≈ {other})"
            if plan.saved_cost is not None and plan.saved_cost > SAME_DOLLARS:
                text += f", saves ≈ {dollars(plan.saved_cost)} against file order"
        self.page.order_text.setText(f"{text}. Exports keep the order of the data.")


def _spec(planned: _Planned) -> BatchSpec:
    return BatchSpec(
        document=planned.document,
        rows=planned.rows,
        columns=planned.plan.columns,
        checks=tuple(check.name for check in planned.checks),
        order=planned.plan.order,
        source=planned.source,
        endpoint_id=planned.endpoint.id,
        concurrency=planned.concurrency,
        started_utc=datetime.now(UTC),
    )

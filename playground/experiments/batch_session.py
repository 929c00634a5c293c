"""A batch of the window from its first start to its last row: stored on disk, stopped, continued, retried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from playground.experiments.batch_job import BatchJob, StoredRuns
from playground.experiments.batch_results import BatchTotals, ResultFile, row_number
from playground.experiments.batch_setup import PreparedBatch
from playground.experiments.batch_store import BatchStore, SavedBatch
from playground.prefix_cache.value_kinds import compile_patterns
from playground.prompt.document import Json
from playground.runs.metrics import whole_seconds
from playground.runs.run import Run
from playground.runs.service import RequestService


class BatchSession:
    """Updates the lines of a prepared batch. The order, prompt and endpoint never change."""

    def __init__(
        self,
        prepared: PreparedBatch,
        store: BatchStore,
        service: RequestService,
        log: StoredRuns | None,
        saved: SavedBatch | None = None,
    ) -> None:
        """`saved`: the stored batch that is continued; None for a new one."""
        self.prepared, self._store, self._service, self._log, self._saved = prepared, store, service, log, saved
        self.results: dict[int, dict[str, Json]] = {}
        """Results by row number."""
        self.run_ids: list[str] = []
        """Ids of the requests of the newest run, in the order of sending."""
        self.totals: BatchTotals | None = None
        self.on_open: Callable[[], None] = lambda: None
        """Called when the results of earlier runs are in the lines, before the first row is sent."""
        self.on_row: Callable[[int | None], None] = lambda _position: None
        """Called with the position of a row whose state has changed."""
        self.on_start: Callable[[Run], object] = lambda _run: None
        self._job: BatchJob | None = None

    @property
    def sending(self) -> bool:
        """Return whether rows are being sent, or the batch is paused."""
        return self._job is not None

    @property
    def paused(self) -> bool:
        """Return whether the batch is paused."""
        return self._job is not None and self._job.runner.paused

    @property
    def eta_s(self) -> float | None:
        """Return the seconds that are left (an estimate); None before the first row."""
        return self._job.runner.progress.eta_s if self._job is not None else None

    @property
    def unfinished(self) -> bool:
        """Return whether rows have no answer yet."""
        lines = self.prepared.lines
        return lines.counts["done"] < len(lines)

    def state_text(self, *, running: bool) -> str:
        """Return whether the batch is paused or has ended, or the time that is left."""
        if self.paused:
            return "paused"
        if not running:
            return "stopped" if self.prepared.lines.counts["queued"] else "finished"
        if (left := self.eta_s) is None:
            return ""
        done_at = datetime.fromtimestamp(datetime.now(UTC).timestamp() + left, UTC).astimezone()
        return f"≈ {whole_seconds(left)} left, done at ≈ {done_at:%H:%M}"

    def pause_or_resume(self) -> None:
        """Send no further row, or continue."""
        if self._job is not None:
            (self._job.runner.resume if self._job.runner.paused else self._job.runner.pause)()

    def stop(self) -> None:
        """Stop the requests in flight and send no further row."""
        if self._job is not None:
            self._job.runner.stop()

    async def run(self, only: frozenset[int] | None = None) -> None:
        """Send the rows without an answer, or those with the numbers `only`. Raises InputError, SimulatorError or
        OSError."""
        lines = self.prepared.lines
        self.run_ids = []
        lines.reset("failed", only)
        try:
            self._job = await self._open(only)
            self._job.on_result = self._take_result
            self._job.runner.on_start = lambda item, run: self._take_start(item.row.number, run)
            self.on_open()
            await self._job.run()
        finally:
            self._job = None
            lines.reset("running")

    async def _open(self, only: frozenset[int] | None) -> BatchJob:
        """Store the batch if it is new, and open its result file."""
        settings, plan, lines = self.prepared.settings, self.prepared.plan, self.prepared.lines
        endpoint, saved = settings.endpoint, self._saved
        cache_tokens = self._service.forecaster.capacity(endpoint.id, endpoint.model)

        def work() -> tuple[SavedBatch, BatchJob, dict[int, dict[str, Json]]]:
            found = saved or self._store.save(self.prepared.spec())
            results = ResultFile(found.results, resume=True)
            job = BatchJob(
                plan.rows,
                plan.columns,
                plan.order,
                self.prepared.checks,
                endpoint,
                self._service,
                self._log,
                results,
                concurrency=settings.concurrency,
                cache_tokens=cache_tokens,
                only=only,
            )
            lines.finish_new(results.finished.values())
            compile_patterns()  # else the first explanation of a miss would do it in the window's thread
            return found, job, {**results.finished, **self.results}

        self._saved, job, self.results = await asyncio.to_thread(work)
        self.totals = job.totals
        return job

    def _take_start(self, number: int, run: Run) -> None:
        self.on_row(self.prepared.lines.set(number, "running", run=run))
        self.run_ids.append(run.id)
        self.on_start(run)

    def _take_result(self, result: dict[str, Json]) -> None:
        self.results[row_number(result)] = result
        self.on_row(self.prepared.lines.finish(result))

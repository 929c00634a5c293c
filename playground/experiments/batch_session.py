"""A batch of the window: ready to be sent, stored on disk from its first start to its last row, continued, retried."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from playground.client.endpoint import Endpoint
from playground.experiments.batch_job import BatchJob
from playground.experiments.batch_lines import BatchLines
from playground.experiments.batch_plan import BatchPlan, Order, make_plan
from playground.experiments.batch_results import ResultFile, newest_results, parse_results, row_number
from playground.experiments.batch_rows import AnswerCheck, BatchRow, map_columns, parse_check
from playground.experiments.batch_totals import BatchTotals
from playground.prefix_cache.value_kinds import compile_patterns
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, load
from playground.requestlog.log import RequestLog
from playground.runs.metrics import dollars, percent, whole_seconds
from playground.runs.run import Run
from playground.runs.service import RequestService
from playground.storage.paths import write_private
from playground.tasks import Subscribers

KEEP = 20
"""Number of batches on disk; starting a new one deletes the oldest."""
_ABOUT, _ROWS, _RESULTS = "batch.json", "rows.jsonl", "results.jsonl"


class BatchSpec(Struct, frozen=True):
    """Everything that a batch needs to continue. `source` names its data; `columns` maps variables to columns."""

    document: Document
    rows: tuple[BatchRow, ...]
    columns: Mapping[str, str]
    checks: tuple[str, ...]
    order: Order
    source: str
    endpoint_id: str
    concurrency: int
    started_utc: datetime


class SavedBatch(Struct, frozen=True):
    """A batch in its folder. Its file has `answered` rows and `failed` ones; the others were not sent or stopped."""

    folder: Path
    spec: BatchSpec
    answered: int = 0
    failed: int = 0

    @property
    def results(self) -> Path:
        """Return the path of the result file."""
        return self.folder / _RESULTS


class BatchStore:
    """The batches below a folder. Every method reads or writes files: call them in a worker."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, spec: BatchSpec) -> SavedBatch:
        """Write a new batch and delete the oldest ones. Raises OSError."""
        folder = self._root / f"{spec.started_utc:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True, mode=0o700)
        lines = (json.dumps({"row": row.number, "values": dict(row.values)}) + "\n" for row in spec.rows)
        write_private(folder / _ROWS, "".join(lines).encode())
        about = {
            "version": 1,
            "prompt": dump(spec.document),
            "columns": dict(spec.columns),
            "checks": list(spec.checks),
            "order": spec.order,
            "source": spec.source,
            "endpoint_id": spec.endpoint_id,
            "concurrency": spec.concurrency,
            "started_unix": spec.started_utc.timestamp(),
        }
        # Written last: a folder without it was not completed and is ignored.
        write_private(folder / _ABOUT, json.dumps(about).encode())
        for old in self._folders()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        return SavedBatch(folder, spec)

    def unfinished(self) -> SavedBatch | None:
        """Return the newest batch if it has unfinished rows and no other process runs it. Damaged ones are ignored."""
        for folder in reversed(self._folders()[-1:]):
            note = folder / f"{_RESULTS}.batch"
            if note.exists() and not _running(folder / f"{_RESULTS}.lock"):
                with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, InputError, RecursionError):
                    path = folder / _RESULTS
                    found = newest_results(parse_results(path.read_bytes() if path.exists() else b"", path))
                    answered = sum(result.get("phase") == "done" for result in found.values())
                    return SavedBatch(folder, _read(folder), answered, len(found) - answered)
        return None

    def close(self, batch: SavedBatch) -> None:
        """Do not offer a batch for continuation any more; its files stay."""
        (batch.folder / f"{_RESULTS}.batch").unlink(missing_ok=True)

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in self._root.glob(f"*/{_ABOUT}"))


def _running(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _read(folder: Path) -> BatchSpec:
    about = json.loads((folder / _ABOUT).read_bytes())
    if about["version"] != 1:
        raise ValueError
    rows = [json.loads(line) for line in (folder / _ROWS).read_bytes().splitlines()]
    order: Order = "file" if about["order"] == "file" else "warm"
    return BatchSpec(
        document=load(about["prompt"]),
        rows=tuple(BatchRow(int(row["row"]), dict(row["values"])) for row in rows),
        columns=dict(about["columns"]),
        checks=tuple(map(str, about["checks"])),
        order=order,
        source=str(about["source"]),
        endpoint_id=str(about["endpoint_id"]),
        concurrency=int(about["concurrency"]),
        started_utc=datetime.fromtimestamp(about["started_unix"], UTC),
    )


SAME_DOLLARS = 1e-9
"""A smaller difference of two costs is the rounding of sums."""
WARM_SHARE = 0.05
"""More cached tokens than any forecast by this share of the prompt: the cache was not empty before the batch."""


class BatchSettings(Struct, frozen=True):
    """All settings of a batch, chosen by the user. `mapping` has the column of each variable."""

    document: Document
    rows: tuple[BatchRow, ...]
    source: str
    endpoint: Endpoint
    mapping: Mapping[str, str]
    checks: Sequence[str]
    order: Order
    concurrency: int


class PreparedBatch(Struct, frozen=True):
    """Settings with their plan. `lines` hold the state of the rows while the batch runs."""

    settings: BatchSettings
    plan: BatchPlan
    checks: tuple[AnswerCheck, ...]
    lines: BatchLines

    def spec(self) -> BatchSpec:
        """Return the stored form of the batch, started now."""
        settings = self.settings
        return BatchSpec(
            document=settings.document,
            rows=settings.rows,
            columns=self.plan.columns,
            checks=tuple(check.name for check in self.checks),
            order=self.plan.order,
            source=settings.source,
            endpoint_id=settings.endpoint.id,
            concurrency=settings.concurrency,
            started_utc=datetime.now(UTC),
        )

    def order_text(self, totals: BatchTotals | None, *, running: bool) -> str:
        """Return what the order saves: the forecast before and during the batch, and the measured share after it."""
        plan, rates = self.plan, self.settings.endpoint.rates
        other = percent(plan.file_order.cached_share)
        if not running and totals is not None and totals.cached_share is not None:
            text = f"Measured: {percent(totals.cached_share)} of the prompt tokens were cached"
            if totals.cached_share > max(plan.forecast.cached_share, plan.file_order.cached_share) + WARM_SHARE:
                # The forecasts begin with an empty cache: what the order saved is not known.
                return f"{text}, more than forecast: the cache was warm before. Exports keep the order of the data."
            if plan.order == "file":
                return f"{text} in file order. Exports keep the order of the data."
            if totals.cached_share < plan.forecast.cached_share - WARM_SHARE:
                # The server serves less than the plan assumes, and would have in file order, too.
                return f"{text}, less than forecast. Exports keep the order of the data."
            text += f" (file order: ≈ {other})"
            more = totals.cached_tokens - plan.file_order.cached_share * totals.prompt_tokens
            if (cost := rates.saved(more)) is not None:
                text += f", ≈ {dollars(abs(cost))} {'less' if cost >= 0 else 'more'} than in file order"
        elif plan.order == "file":
            text = f"File order: ≈ {other} of the prompt tokens cached"
        else:
            text = f"Prefixes warm first: ≈ {percent(plan.forecast.cached_share)} of the prompt tokens cached"
            text += f" (file order: ≈ {other})"
            if plan.saved_cost is not None and plan.saved_cost > SAME_DOLLARS:
                text += f", saves ≈ {dollars(plan.saved_cost)} against file order"
        return f"{text}. Exports keep the order of the data."


def prepare(settings: BatchSettings, count: Callable[[str], float], lifetime_s: float) -> PreparedBatch:
    """Plan a batch. Takes seconds for many rows: call it in a worker. Raises InputError."""
    checks = tuple(map(parse_check, settings.checks))
    columns = map_columns(settings.document, settings.rows, settings.mapping)
    plan = make_plan(
        settings.document,
        settings.rows,
        columns,
        settings.order,
        count,
        settings.endpoint,
        concurrency=settings.concurrency,
        lifetime_s=lifetime_s,
    )
    return PreparedBatch(settings, plan, checks, BatchLines(plan.rows, plan.forecast.rows))


def prepare_saved(
    spec: BatchSpec, endpoint: Endpoint, count: Callable[[str], float], lifetime_s: float
) -> PreparedBatch:
    """Plan a stored batch again, with its own prompt, rows and settings. Raises InputError."""
    settings = BatchSettings(
        spec.document, spec.rows, spec.source, endpoint, spec.columns, spec.checks, spec.order, spec.concurrency
    )
    return prepare(settings, count, lifetime_s)


class BatchSession:
    """Updates the lines of a prepared batch. The order, prompt and endpoint never change."""

    def __init__(
        self,
        prepared: PreparedBatch,
        store: BatchStore,
        service: RequestService,
        log: RequestLog | None,
        saved: SavedBatch | None = None,
    ) -> None:
        """Take a prepared batch. `saved`: the stored batch that is continued; None for a new one."""
        self.prepared, self._store, self._service, self._log, self._saved = prepared, store, service, log, saved
        self.results: dict[int, dict[str, Json]] = {}
        """Results by row number."""
        self.run_ids: list[str] = []
        """Ids of the requests of the newest run, in the order of sending."""
        self.totals: BatchTotals | None = None
        self.on_open: Subscribers[[]] = Subscribers()
        """The results of earlier runs are in the lines; the first row is not sent yet."""
        self.on_row: Subscribers[[int | None]] = Subscribers()
        """The position of a row whose state has changed."""
        self.on_start: Subscribers[[Run]] = Subscribers()
        """A run before its first byte is sent."""
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

    @property
    def next_step(self) -> str:
        """Return what can be done after the end: as on the command line, failed and missing rows are sent again."""
        if self.prepared.lines.counts["queued"]:
            return "Continue"
        return "Retry failed" if self.unfinished else "New batch"

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
            self._job.on_result.subscribe(self._take_result)
            self._job.runner.on_start.subscribe(lambda item, run: self._take_start(item.row.number, run))
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

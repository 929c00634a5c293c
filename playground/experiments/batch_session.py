"""A batch of the window: its rows with filter and order, stored on disk from its start to its last row, continued."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import Struct, field
from msgspec.structs import replace

from playground.client.endpoint import Endpoint
from playground.experiments.batch_job import BatchJob
from playground.experiments.batch_plan import (
    SAME_DOLLARS,
    BatchPlan,
    Order,
    PlannedRow,
    RowForecast,
    ServerCache,
    against_file_order,
    groups,
    make_plan,
)
from playground.experiments.batch_results import (
    BatchTotals,
    ResultFile,
    attempts_of,
    cached_tokens_of,
    completion_tokens_of,
    newest_results,
    parse_results,
    prompt_tokens_of,
    row_number,
)
from playground.experiments.batch_rows import AnswerCheck, BatchRow, map_columns, parse_check
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.value_kinds import compile_patterns
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, load
from playground.requestlog.log import RequestLog
from playground.runs.metrics import Figure, dollars, input_figure, percent, whole_seconds
from playground.runs.run import Run
from playground.runs.service import RequestService
from playground.storage.file_lock import is_held
from playground.storage.paths import write_private
from playground.tasks import Subscribers

if TYPE_CHECKING:
    from playground.runs.state import Phase


Kind = Literal["row", "variable", "output", "request_id", "in", "cached", "cost", "checks", "status"]
Status = Literal["queued", "running", "done", "failed"]
ENDED: tuple[Status, ...] = ("done", "failed")
STATUS_TEXT: dict[Status, str] = {"queued": "queued", "running": "running", "done": "finished", "failed": "failed"}
COLD_SHARE = 0.5
"""A row's prefix counts as cold if the server reported less than this share of its tokens as cached."""


class BatchLine(Struct):
    """One row with its state and result. `seen` is the text of a running row at the last `BatchLines.look`."""

    item: PlannedRow
    group: int
    forecast: RowForecast | None = None
    status: Status = "queued"
    result: Mapping[str, Json] | None = None
    run: Run | None = None
    seen: str = ""
    _values: str = ""

    @property
    def cold(self) -> bool:
        """Whether the server reported that most of the prompt was not cached."""
        prompt, cached = prompt_tokens_of(self.result or {}), cached_tokens_of(self.result or {})
        return bool(prompt) and cached is not None and cached < COLD_SHARE * (prompt or 0)

    @property
    def output(self) -> str:
        """Return the text received so far, or the error of a failed row. Call it in the thread of the runs only."""
        return self.run.state.text if self.run is not None else self.ended_output

    @property
    def ended_output(self) -> str:
        """Return the text or the error of the result; of a running row the text at its last look."""
        if self.result is None:
            return self.seen
        error = self.result.get("error")
        if isinstance(error, dict):
            return f"{error.get('message', '')} {error.get('detail') or ''}".strip()
        text = self.result.get("text")
        return text if isinstance(text, str) else ""

    @property
    def wait_s(self) -> float | None:
        """Return the seconds until a running row is sent; None: it was sent, or the wait cannot be known."""
        return None if self.run is None else self.run.state.left_to_send_s(self.run.clock())

    @property
    def request_id(self) -> str | None:
        run = self.run
        found = run.state.request_id if run is not None else (self.result or {}).get("request_id")
        return found if isinstance(found, str) else None

    @property
    def run_id(self) -> str | None:
        found = self.run.id if self.run is not None else (self.result or {}).get("run_id")
        return found if isinstance(found, str) else None

    @property
    def prompt_tokens(self) -> Figure:
        """Return the prompt tokens: reported; estimated before the end, or if the server read the prompt."""
        estimate = self.forecast.prompt_tokens if self.forecast else None
        if self.result is None:
            return _estimated(estimate)
        phase, status = cast("Phase", self.result.get("phase") or "failed"), self.result.get("status")
        attempts = attempts_of(self.result)
        reported = prompt_tokens_of(self.result)
        return input_figure(reported, estimate, phase, status if isinstance(status, int) else None, attempts, "")

    @property
    def output_tokens(self) -> Figure:
        """Return the completion tokens: reported; else estimated from what arrived; else unknown."""
        result = self.result or {}
        reported, text = completion_tokens_of(result), result.get("text")
        if reported is None and isinstance(text, str) and text:
            return Figure.estimated(TokenEstimator().estimate(text))
        return Figure.reported(reported)

    @property
    def cached_tokens(self) -> Figure:
        """Return the cached tokens: reported, or forecast before the end."""
        if self.result is not None:
            return Figure.reported(cached_tokens_of(self.result))
        return _estimated(self.forecast.cached_tokens if self.forecast else None)

    @property
    def cost(self) -> float | None:
        value = (self.result or {}).get("cost")
        return float(value) if isinstance(value, (int, float)) else None

    @property
    def checks(self) -> dict[str, bool]:
        found = (self.result or {}).get("checks")
        return {name: bool(passed) for name, passed in found.items()} if isinstance(found, dict) else {}

    def text(self) -> str:
        """Return everything that the filter searches, in lower case."""
        if not self._values:
            self._values = "\n".join(self.item.row.values.values()).lower()
        return f"{self._values}\n{self.ended_output.lower()}\n{self.request_id or ''}"


def _estimated(tokens: float | None) -> Figure:
    return Figure.unknown("not estimated yet") if tokens is None else Figure.estimated(tokens)


class BatchLines(Sequence[BatchLine]):
    """All rows in the order of sending, with sums by status and group. Building it takes long: do it in a worker."""

    def __init__(self, plan: Sequence[PlannedRow] = (), forecasts: Sequence[RowForecast] = ()) -> None:
        """`forecasts` has one for each row, or none at all."""
        numbers = groups(plan)
        known = forecasts or (None,) * len(plan)
        self._lines = [
            BatchLine(item, group, forecast) for item, group, forecast in zip(plan, numbers, known, strict=True)
        ]
        self.group_size: Counter[int] = Counter(numbers)
        self.group_ended: Counter[int] = Counter()
        self.counts: Counter[Status] = Counter({"queued": len(self._lines)})
        self.cold = 0
        self.running: set[int] = set()
        """Positions."""
        self._positions = {line.item.row.number: position for position, line in enumerate(self._lines)}
        self._first_queued = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, position: Any) -> Any:
        return self._lines[position]

    def position(self, number: int) -> int | None:
        return self._positions.get(number)

    def set(
        self, number: int, status: Status, result: Mapping[str, Json] | None = None, run: Run | None = None
    ) -> int | None:
        """Set the state of a row. Returns its position; None for a number that is not in the batch."""
        position = self._positions.get(number)
        if position is None:
            return None
        line = self._lines[position]
        self.cold -= line.cold
        self.counts[line.status] -= 1
        self.group_ended[line.group] += (status in ENDED) - (line.status in ENDED)
        line.status, line.result, line.run, line.seen = status, result, run, ""
        self.counts[status] += 1
        self.cold += line.cold
        self.running.discard(position)
        if status == "running":
            self.running.add(position)
        if status == "queued":
            self._first_queued = min(self._first_queued, position)
        return position

    def finish(self, result: Mapping[str, Json]) -> int | None:
        return self.set(row_number(result), "done" if result.get("phase") == "done" else "failed", result)

    def finish_new(self, results: Iterable[Mapping[str, Json]]) -> None:
        """Set the results of the rows that have none yet."""
        for result in results:
            position = self._positions.get(row_number(result))
            if position is not None and self._lines[position].result is None:
                self.finish(result)

    def reset(self, status: Status, numbers: frozenset[int] | None = None) -> None:
        """Make the rows with this status queued again. `numbers`: of these only."""
        found = self.running if status == "running" else range(len(self._lines))
        for position in list(found):
            line = self._lines[position]
            if line.status == status and (numbers is None or line.item.row.number in numbers):
                self.set(line.item.row.number, "queued")

    def numbers(self, status: Status) -> frozenset[int]:
        return frozenset(line.item.row.number for line in self._lines if line.status == status)

    @property
    def queue_start_s(self) -> float:
        """Return the planned start of the first queued row, in seconds from the start of the batch."""
        while self._first_queued < len(self._lines) and self._lines[self._first_queued].status != "queued":
            self._first_queued += 1
        line = self._lines[self._first_queued] if self._first_queued < len(self._lines) else None
        return line.forecast.start_s if line is not None and line.forecast is not None else 0.0

    @property
    def wait_s(self) -> float:
        """Return the seconds until the last of the running rows that wait for the plan or a retry is sent."""
        return max((self._lines[position].wait_s or 0.0 for position in self.running), default=0.0)

    def look(self) -> None:
        """Note the text of running rows for `select`, which runs in another thread."""
        for position in self.running:
            self._lines[position].seen = self._lines[position].output


class Selection(Struct, frozen=True):
    """Which rows are displayed. `sort` is the column's kind, the variable's name, and whether it descends."""

    filter: str = ""
    sort: tuple[Kind, str, bool] | None = None
    folded: frozenset[int] = frozenset()
    """Groups whose rows are hidden; used in the order of sending without a filter only."""

    @property
    def follows_results(self) -> bool:
        """Whether a row's result may change which rows are displayed, or their order."""
        return bool(self.filter) or self.sort is not None


def select(lines: BatchLines, selection: Selection) -> list[int]:
    """Return the displayed positions. A heading of a group is -1 - (the position of its first row)."""
    accepts = line_filter(selection.filter)
    chosen = (
        [position for position, line in enumerate(lines) if accepts(line)] if selection.filter else range(len(lines))
    )
    if selection.sort is not None:
        kind, name, descending = selection.sort
        value = _sort_value(kind, name)

        def key(position: int) -> tuple[bool, Any]:
            """Unknown values sort before all others."""
            found = value(lines[position])
            return found is not None, found if found is not None else 0

        return sorted(chosen, key=key, reverse=descending)
    if not selection.filter and 1 < len(lines.group_size) < len(lines):
        return _with_headings(lines, selection.folded)
    return list(chosen)


def _with_headings(lines: BatchLines, folded: frozenset[int]) -> list[int]:
    found, group = [], -1
    for position, line in enumerate(lines):
        if line.group != group:
            group = line.group
            found.append(-1 - position)
        if group not in folded:
            found.append(position)
    return found


def line_filter(text: str) -> Callable[[BatchLine], bool]:
    """Return the predicate of a filter: `status:failed`, `cached:0`, `check:failed`, `prefix:cold`, or any text."""
    tests = [_term(term) for term in text.lower().split()]
    return lambda line: all(test(line) for test in tests)


def _term(term: str) -> Callable[[BatchLine], bool]:
    name, _, value = term.partition(":")
    if name == "status" and value:
        return lambda line: STATUS_TEXT[line.status].startswith(value)
    if name == "cached" and value.isdecimal():
        return lambda line: cached_tokens_of(line.result or {}) == int(value)
    if name == "check" and value:
        return lambda line: bool(line.checks) and all(line.checks.values()) != "failed".startswith(value)
    return (lambda line: line.cold) if term == "prefix:cold" else (lambda line: term in line.text())


def _sort_value(kind: Kind, name: str) -> Callable[[BatchLine], Any]:
    """Return the function from a line to the value that a column sorts by; None is unknown."""
    values: dict[Kind, Callable[[BatchLine], Any]] = {
        "row": lambda line: line.item.row.number,
        "variable": lambda line: line.item.document.variables.get(name, ""),
        "output": lambda line: line.ended_output,
        "request_id": lambda line: line.request_id,
        "in": lambda line: line.prompt_tokens.value,
        "cached": lambda line: line.cached_tokens.value,
        "cost": lambda line: line.cost,
        "checks": lambda line: sum(line.checks.values()) if line.checks else None,
        "status": lambda line: line.status,
    }
    return values[kind]


KEEP = 20
"""Number of batches on disk; starting a new one deletes the oldest."""
_ABOUT, _ROWS, _RESULTS = "batch.json", "rows.jsonl", "results.jsonl"


class BatchSpec(Struct, frozen=True):
    """Everything that a batch needs to start and to continue. `source` names its data; `columns` has the column of each
    variable, chosen by the user before the plan is made."""

    document: Document
    rows: tuple[BatchRow, ...]
    columns: Mapping[str, str]
    checks: tuple[str, ...]
    order: Order
    source: str
    endpoint_id: str
    concurrency: int
    started_utc: datetime = field(default_factory=lambda: datetime.now(UTC))


class SavedBatch(Struct, frozen=True):
    """A batch in its folder. Its file has `answered` rows and `failed` ones; the others were not sent or stopped."""

    folder: Path
    spec: BatchSpec
    answered: int = 0
    failed: int = 0

    @property
    def results(self) -> Path:
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
            if note.exists() and not is_held(folder / f"{_RESULTS}.lock"):
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


WARM_SHARE = 0.05
"""More cached tokens than any forecast by this share of the prompt: the cache knew prompts of other programs."""


class PreparedBatch(Struct, frozen=True):
    """A batch with its plan. `lines` hold the state of the rows while the batch runs."""

    spec: BatchSpec
    endpoint: Endpoint
    plan: BatchPlan
    checks: tuple[AnswerCheck, ...]
    lines: BatchLines

    def order_text(self, totals: BatchTotals | None, *, running: bool) -> str:
        """Return what the order saves: the forecast before and during the batch, and the measured share after it."""
        measured = not running and totals is not None and totals.cached_share is not None
        text = self._measured(totals, totals.cached_share or 0.0) if measured and totals else self._forecast()
        return f"{text}. Exports keep the order of the data."

    def _forecast(self) -> str:
        plan, other = self.plan, percent(self.plan.file_order.cached_share)
        if plan.order == "file":
            return f"File order: ≈ {other} of the prompt tokens cached"
        text = f"Prefixes warm first: ≈ {percent(plan.forecast.cached_share)} of the prompt tokens cached"
        saves = plan.saved_cost is not None and plan.saved_cost > SAME_DOLLARS
        return f"{text} (file order: ≈ {other})" + (f", saves ≈ {dollars(plan.saved_cost)} against file order" * saves)

    def _measured(self, totals: BatchTotals, share: float) -> str:
        chosen, other = self.plan.forecast.cached_share, self.plan.file_order.cached_share
        text = f"Measured: {percent(share)} of the prompt tokens were cached"
        if share > max(chosen, other) + WARM_SHARE:
            # Other programs have used the cache: what the order saved is not known.
            return f"{text}, more than forecast: the cache was warm before"
        if self.plan.order == "file":
            return f"{text} in file order"
        if share < chosen - WARM_SHARE:
            # The server serves less than the plan assumes, and would have in file order, too.
            return f"{text}, less than forecast"
        text += f" (forecast: ≈ {percent(chosen)}, file order: ≈ {percent(other)})"
        if percent(chosen) == percent(other):
            return f"{text}, as much as in file order"
        # An estimate is compared with an estimate: the reported tokens differ from it in any order.
        cost = self.endpoint.rates.saved((chosen - other) * totals.prompt_tokens)
        if cost is not None:
            text += f", {against_file_order(cost)}"
        return text


def prepare(spec: BatchSpec, endpoint: Endpoint, cache: ServerCache) -> PreparedBatch:
    """Plan a batch. Takes seconds for many rows: call it in a worker. Raises InputError."""
    checks = tuple(map(parse_check, spec.checks))
    columns = map_columns(spec.document, spec.rows, spec.columns)
    at_once = spec.concurrency
    plan = make_plan(spec.document, spec.rows, columns, spec.order, cache, endpoint, concurrency=at_once)
    spec = replace(spec, columns=columns)
    return PreparedBatch(spec, endpoint, plan, checks, BatchLines(plan.rows, plan.forecast.rows))


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
        return self._job is not None and self._job.runner.paused

    @property
    def eta_s(self) -> float | None:
        """Return the seconds that are left (an estimate); None before the first row."""
        eta_s = self._job.runner.progress.eta_s if self._job is not None else None
        return None if eta_s is None else max(eta_s, self.prepared.lines.wait_s)

    @property
    def unfinished(self) -> bool:
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
        if self._job is not None:
            (self._job.runner.resume if self._job.runner.paused else self._job.runner.pause)()

    def stop(self) -> None:
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
        spec, plan, lines = self.prepared.spec, self.prepared.plan, self.prepared.lines

        def open_job(stored: SavedBatch) -> BatchJob:
            results = ResultFile(stored.results, resume=True)
            job = BatchJob(
                plan.rows,
                plan.columns,
                plan.order,
                self.prepared.checks,
                self.prepared.endpoint,
                self._service,
                self._log,
                results,
                concurrency=spec.concurrency,
                only=only,
            )
            lines.finish_new(results.finished.values())
            self.results = {**results.finished, **self.results}
            compile_patterns()  # else the first explanation of a miss would do it in the window's thread
            return job

        if self._saved is None:
            self._saved = await asyncio.to_thread(self._store.save, replace(spec, started_utc=datetime.now(UTC)))
        job = await asyncio.to_thread(open_job, self._saved)
        self.totals = job.totals
        return job

    def _take_start(self, number: int, run: Run) -> None:
        self.on_row(self.prepared.lines.set(number, "running", run=run))
        self.run_ids.append(run.id)
        self.on_start(run)

    def _take_result(self, result: dict[str, Json]) -> None:
        self.results[row_number(result)] = result
        self.on_row(self.prepared.lines.finish(result))

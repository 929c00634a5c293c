"""`electron-playground batch`: one prompt for every row of a data file, prefixes warm first; merge of shards."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from playground.cli import FAILED, FINISHED, STOPPED, ends_soon, ignore_signals
from playground.cli.send import (
    check_document,
    endpoint_of,
    note_version,
    open_prompt,
    show_log_notices,
    status_with_log,
    wait_for_log,
)
from playground.client.endpoint import Endpoint
from playground.experiments.batch_job import BatchJob, BatchProgress, concurrency_of
from playground.experiments.batch_plan import (
    BatchForecast,
    BatchPlan,
    PlannedRow,
    ServerCache,
    against_file_order,
    make_plan,
    plan_of_shard,
    plan_rows,
    shard,
)
from playground.experiments.batch_results import (
    NOTE_SUFFIX,
    BatchTotals,
    ResultFile,
    check_output,
    format_results,
    merge_results,
    parse_results,
    row_number,
)
from playground.experiments.batch_rows import (
    MAX_DATA_BYTES,
    AnswerCheck,
    BatchRow,
    column_notes,
    map_columns,
    parse_check,
    read_rows,
)
from playground.export.terminal import print_error, print_task_error
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError, writing_to
from playground.prompt.files import OpenedPrompt, dump, read_input
from playground.runs.metrics import counted, dollars, percent
from playground.services import AppServices
from playground.simulator.process import SimulatorError
from playground.storage.paths import data_folder, write_shared
from playground.tasks import Tasks


def batch(options: argparse.Namespace) -> int:
    """Run the batch. Returns the exit status; raises InputError (2)."""
    if options.output:
        check_output(Path(options.output))
    opened = open_prompt(options.file)
    data = read_input(options.data, "--data", MAX_DATA_BYTES)
    rows = read_rows(data, options.data)
    columns = map_columns(opened.document, rows, _mapping(options.map))
    for note in column_notes(opened.document, rows, columns):
        print_error(note)
    part = _shard_of(options.shard)
    if part is not None:
        rows = shard(plan_rows(opened.document, rows, columns, "warm"), *part)
        if not rows:
            raise InputError.of(("--shard",), f"shard {options.shard} has no rows.")
    checks = [parse_check(text) for text in options.check]
    if options.resume and not options.output:
        raise InputError.of(("--resume",), "needs an output file.", "Name it with -o.")
    folder = data_folder(options.data_dir, os.environ)
    job = _Job(opened, rows, columns, checks, options)
    try:
        return asyncio.run(job.run(folder))
    except SimulatorError as failed:
        print_error(str(failed))
        return FAILED


def merge_batches(options: argparse.Namespace) -> int:
    """Merge the results of shards into one file, in the order of the data.

    Returns 1 if a row failed or is missing, or if a shard's batch is unfinished.
    """
    output = Path(options.output)
    check_output(output)
    parts = [parse_results(read_input(name, max_bytes=8 * MAX_DATA_BYTES), Path(name)) for name in options.files]
    merged = merge_results(parts)
    last = row_number(merged[-1]) + 1 if merged else 0
    rows = len(read_rows(read_input(options.data, "--data", MAX_DATA_BYTES), options.data)) if options.data else last
    if last > rows:
        raise InputError.of(("--data",), f"has {counted(rows, 'row')}, and a result is of row {last:,}.")
    if output.exists():
        raise InputError.of(("-o",), f"{output} exists.", "Name another file.")
    with writing_to("-o", output):
        # Whole or not at all: a part of the rows would look like the result.
        write_shared(output, format_results(merged, output))
    unfinished = [name for name in options.files if Path(name + NOTE_SUFFIX).exists()]
    for name in unfinished:
        print_error(f"{name}: its batch has not ended with all rows answered. Continue it with --resume.")
    failed = sum(result.get("phase") != "done" for result in merged)
    missing = rows - len(merged)
    where = "" if options.data else " before the last one"
    print(f"{counted(len(merged), 'row')}, {failed:,} failed, {missing:,} missing{where}", file=sys.stderr)
    return FAILED if failed or missing or unfinished else FINISHED


def _mapping(given: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for variable, equals, column in pairs:
        if not (variable and equals and column):
            raise InputError.of(("--map",), f"{variable}{equals}{column} is not VARIABLE=COLUMN.")
    return {variable: column for variable, _, column in pairs}


def _shard_of(given: str | None) -> tuple[int, int] | None:
    """Parse K/N. Raises InputError."""
    if given is None:
        return None
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", given)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError.of(("--shard",), f"{given!r} is not K/N with K from 1 to N.")
    return int(match[1]), int(match[2])


class _Job(Struct):
    """One run of the command: the prompt, the rows to send, the column of each variable, and the checks of answers."""

    opened: OpenedPrompt
    rows: tuple[BatchRow, ...]
    columns: dict[str, str]
    checks: list[AnswerCheck]
    options: argparse.Namespace

    async def run(self, folder: Path) -> int:
        """Open the services, then forecast or send."""
        services = AppServices(folder, os.environ, Tasks(print_task_error), source="command")
        services.on_notice.subscribe(print_error)
        try:
            endpoint = endpoint_of(services, self.opened.model, self.options)
            part = _shard_of(self.options.shard)
            if part is not None:
                endpoint = replace(endpoint, plan=plan_of_shard(endpoint.plan, part[1]))
            with ends_soon():
                await services.open_log()
            for notice in services.notices:
                print_error(notice)
            show_log_notices(services)
            services.tasks.start(services.recover_recordings(), "recover recorded requests")
            await services.remember_sent(endpoint)
            if self.options.dry_run:
                self._print_forecasts(self._plan(services, endpoint))
                return FINISHED
            plan = plan_rows(self.opened.document, self.rows, self.columns, self.options.order)
            status = await self._send(services, endpoint, plan)
        finally:
            await services.close()
            ignore_signals()
        return status_with_log(services, status)

    def _print_forecasts(self, plan: BatchPlan) -> None:
        chosen, other = plan.forecast, plan.file_order
        if self.options.json:
            print(json.dumps({"order": plan.order, **_forecast_fields(chosen), "file_order": _forecast_fields(other)}))
            return
        requests = counted(chosen.requests, "request")
        print(f"{requests}, ≈ {chosen.prompt_tokens:,.0f} prompt tokens, ≈ {chosen.seconds:,.0f} s")
        print(f"cached: ≈ {chosen.cached_tokens:,.0f} ({chosen.cached_share:.0%})")
        print(f"cached in file order: ≈ {other.cached_tokens:,.0f} ({other.cached_share:.0%})")
        if plan.saved_cost is not None:
            print(f"input cost: ≈ {dollars(chosen.input_cost)}, {against_file_order(plan.saved_cost)}")

    def _plan(self, services: AppServices, endpoint: Endpoint) -> BatchPlan:
        return make_plan(
            self.opened.document,
            self.rows,
            self.columns,
            self.options.order,
            ServerCache.of(services.sender, endpoint, self.opened.document),
            endpoint,
            concurrency=concurrency_of(endpoint, self.options.concurrency),
        )

    async def _send(self, services: AppServices, endpoint: Endpoint, plan: tuple[PlannedRow, ...]) -> int:
        """Send the rows. The first signal stops the batch, a second one also ends the wait for the log."""
        check_document(self.opened.document, electron=endpoint.kind != "other", refuse=False)
        results = self._result_file()
        job = BatchJob(
            plan,
            self.columns,
            self.options.order,
            self.checks,
            endpoint,
            services.sender,
            services.log,
            results,
            concurrency=concurrency_of(endpoint, self.options.concurrency),
            explicit=self.options.base_url is not None,
        )
        job.runner.on_progress.subscribe(self._show_progress)
        run_ids: list[str] = []
        job.runner.on_start.subscribe(lambda _item, run: run_ids.append(run.id))
        stopped, asked = asyncio.Event(), asyncio.Event()

        def stop() -> None:
            if stopped.is_set():
                asked.set()
            stopped.set()
            job.runner.stop()

        _on_signals(stop)
        try:
            progress = await job.run()
        except OSError as error:
            name = self.options.output or "Standard output"
            print_error(f"{name} cannot be written: {error.strerror or error}. The batch was ended.")
            return FAILED
        finally:
            if run_ids:
                note_version(services, self.options.file, self.opened, run_ids)
        _on_signals(asked.set)  # before the figures: who reads them may stop the wait
        self._print_totals(progress, job, len(results.finished))
        status = STOPPED if stopped.is_set() else FAILED if progress.failed else FINISHED
        await wait_for_log(services, asked, stopped=stopped.is_set())
        return status

    def _result_file(self) -> ResultFile:
        """Open the output file, or standard output. Raises InputError."""
        output = Path(self.options.output) if self.options.output else None
        rows = {
            row.number: {name: row.values.get(column, "") for name, column in self.columns.items()} for row in self.rows
        }
        prompt = dump(replace(self.opened.document, variables={}, name="", id=""))
        results = ResultFile(output, resume=self.options.resume, rows=rows, prompt=prompt)
        if results.is_changed:
            print_error(f"{output} was changed since the batch wrote it. Its answers are taken as they are.")
        return results

    def _show_progress(self, progress: BatchProgress) -> None:
        if self.options.json or not sys.stderr.isatty():
            return
        eta = "—" if progress.eta_s is None else f"≈ {progress.eta_s:,.0f} s"
        finished = progress.done + progress.failed
        print(f"\r{finished:,} of {progress.total:,}, {progress.failed:,} failed, {eta} left ", end="", file=sys.stderr)

    def _print_totals(self, progress: BatchProgress, job: BatchJob, earlier: int) -> None:
        """Print the figures of this run, and after other runs also those of all runs: `earlier` rows were answered."""
        run = _Figures(progress.total, progress.done, progress.failed, job.run_totals)
        every = _Figures(progress.total + earlier, progress.done + earlier, progress.failed, job.totals)
        if self.options.json:
            totals = {**run.fields(), "all_runs": every.fields()}
            print(json.dumps(totals), file=sys.stdout if self.options.output else sys.stderr)
            return
        several = earlier or job.totals != job.run_totals
        for label, figures in (("this run: ", run), ("all runs: ", every)) if several else (("", run),):
            for line in figures.lines():
                print(f"{label}{line}", file=sys.stderr)


class _Figures(Struct):
    """What is printed about one run of a batch, or about all of them."""

    rows: int
    done: int
    failed: int
    sums: BatchTotals

    def fields(self) -> dict[str, Json]:
        sums = self.sums
        return {
            "rows": self.rows,
            "done": self.done,
            "failed": self.failed,
            "requests": sums.requests,
            "prompt_tokens": sums.prompt_tokens,
            "cached_tokens": sums.cached_tokens,
            "completion_tokens": sums.completion_tokens,
            "unreported": sums.unreported,
            "warned": sums.warned,
            "cost": sums.cost,
            "checks": dict(sums.passed),
        }

    def lines(self) -> Iterator[str]:
        sums = self.sums
        yield (
            f"{self.done:,} of {counted(self.rows, 'row')} answered, {self.failed:,} failed, "
            f"{counted(sums.requests, 'request')}; cached tokens {sums.cached_tokens:,} of {sums.prompt_tokens:,} "
            f"({percent(sums.cached_share)}), completion tokens {sums.completion_tokens:,}, cost {dollars(sums.cost)}"
        )
        if sums.unreported:
            requests = counted(sums.unreported, "request")
            yield f"{requests} without reported tokens {'is' if sums.unreported == 1 else 'are'} not in these sums"
        if sums.warned:
            yield f"{counted(sums.warned, 'answer')} cut or not known to be complete: see “warnings” in the results"
        for name, passed in sums.passed.items():
            yield f"{name}: passed {passed:,} of {sums.done:,}"


def _forecast_fields(forecast: BatchForecast) -> dict[str, Json]:
    return {
        "requests": forecast.requests,
        "prompt_tokens": round(forecast.prompt_tokens),
        "cached_tokens": round(forecast.cached_tokens),
        "seconds": round(forecast.seconds, 1),
        "input_cost": forecast.input_cost,
        "basis": "estimated",
    }


def _on_signals(act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))

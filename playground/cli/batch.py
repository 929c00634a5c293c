"""`electron-playground batch`: one prompt for every row of a data file, prefixes warm first."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from playground.cli.exit_status import FAILED, FINISHED, STOPPED
from playground.cli.send import endpoint_of, open_prompt
from playground.client.endpoint import Endpoint
from playground.experiments.batch_checks import AnswerCheck, parse_check, run_checks
from playground.experiments.batch_plan import (
    BatchForecast,
    BatchRow,
    PlannedRow,
    forecast_batch,
    map_columns,
    plan_rows,
    read_rows,
    shard,
)
from playground.experiments.batch_results import ResultFile, failed_result, result_of
from playground.experiments.batch_runner import BatchProgress, BatchRunner
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import FieldError, InputError
from playground.runs.run import Run
from playground.runs.state import RunState
from playground.services import AppServices
from playground.simulator.launch import SimulatorError
from playground.storage.paths import data_folder
from playground.tasks import Tasks

DEFAULT_CONCURRENCY = 4
"""Requests at once if the endpoint's plan has no limit."""


def batch(options: argparse.Namespace) -> int:
    """Run the batch. Returns the exit status; raises InputError (2)."""
    opened = open_prompt(options.file)
    data = _read(options.data)
    rows = _shard(read_rows(data, options.data), options.shard)
    columns = map_columns(opened.document, rows, _mapping(options.map))
    checks = [parse_check(text) for text in options.check]
    if options.resume and not options.output:
        raise InputError(FieldError(("--resume",), "needs an output file.", "Name it with -o."))
    folder = data_folder(options.data_dir, os.environ)
    job = _Job(opened.document, opened.model, rows, columns, checks, options)
    try:
        return asyncio.run(job.run(folder))
    except SimulatorError as failed:
        print(f"electron-playground: {failed}", file=sys.stderr)
        return FAILED


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InputError(FieldError(("--data",), f"{name} cannot be read: {error.strerror}.")) from None


def _mapping(given: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for variable, equals, column in pairs:
        if not (variable and equals and column):
            raise InputError(FieldError(("--map",), f"{variable}{equals}{column} is not VARIABLE=COLUMN."))
    return {variable: column for variable, _, column in pairs}


def _shard(rows: tuple[BatchRow, ...], given: str | None) -> tuple[BatchRow, ...]:
    if given is None:
        return rows
    match = re.fullmatch(r"(\d+)/(\d+)", given)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(FieldError(("--shard",), f"{given!r} is not K/N with K from 1 to N."))
    chosen = shard(rows, int(match[1]), int(match[2]))
    if not chosen:
        raise InputError(FieldError(("--shard",), f"shard {given} has no rows."))
    return chosen


class _Job:
    """One run of the command."""

    def __init__(
        self,
        document: Document,
        model: str | None,
        rows: tuple[BatchRow, ...],
        columns: dict[str, str],
        checks: list[AnswerCheck],
        options: argparse.Namespace,
    ) -> None:
        self._document, self._model, self._rows, self._columns = document, model, rows, columns
        self._checks, self._options = checks, options
        self._passed = {check.name: 0 for check in checks}
        self._tokens = {"prompt_tokens": 0, "cached_tokens": 0}

    async def run(self, folder: Path) -> int:
        """Open the services, then forecast or send."""
        services = AppServices(folder, os.environ, Tasks(_report), source="command")
        services.on_trouble = _say
        try:
            endpoint = endpoint_of(services, self._model, self._options)
            plan = plan_rows(self._document, self._rows, self._columns, self._options.order)
            await services.open_log()
            await services.remember_sent(endpoint)
            if services.log_notice:
                _say(services.log_notice)
            if self._options.dry_run:
                self._print_forecasts(services, endpoint, plan)
                return FINISHED
            return await self._send(services, endpoint, plan)
        finally:
            await services.close()

    def _concurrency(self, endpoint: Endpoint) -> int:
        limit = endpoint.plan.in_flight
        wanted: int = self._options.concurrency or limit or DEFAULT_CONCURRENCY
        return min(wanted, limit) if limit else wanted

    def _print_forecasts(self, services: AppServices, endpoint: Endpoint, plan: tuple[PlannedRow, ...]) -> None:
        chosen = self._forecast(services, endpoint, plan)
        in_file_order = self._forecast(services, endpoint, plan_rows(self._document, self._rows, self._columns, "file"))
        value = {
            "order": self._options.order,
            **_forecast_fields(chosen),
            "file_order": _forecast_fields(in_file_order),
        }
        if self._options.json:
            print(json.dumps(value))
            return
        print(f"{chosen.requests:,} requests, ≈ {chosen.prompt_tokens:,.0f} prompt tokens, ≈ {chosen.seconds:,.0f} s")
        print(f"cached: ≈ {chosen.cached_tokens:,.0f} ({chosen.cached_share:.0%})")
        print(f"cached in file order: ≈ {in_file_order.cached_tokens:,.0f} ({in_file_order.cached_share:.0%})")
        if chosen.input_cost is not None and in_file_order.input_cost is not None:
            saved = in_file_order.input_cost - chosen.input_cost
            print(f"input cost: ≈ ${chosen.input_cost:,.4f}, ≈ ${saved:,.4f} less than in file order")

    def _forecast(self, services: AppServices, endpoint: Endpoint, plan: tuple[PlannedRow, ...]) -> BatchForecast:
        counter = services.sender.forecaster.counter(endpoint.id, endpoint.model)
        return forecast_batch(
            plan,
            counter.estimate,
            plan=endpoint.plan,
            rates=endpoint.rates,
            concurrency=self._concurrency(endpoint),
            lifetime_s=services.settings.number("cache_lifetime_s"),
        )

    async def _send(self, services: AppServices, endpoint: Endpoint, plan: tuple[PlannedRow, ...]) -> int:
        output = Path(self._options.output) if self._options.output else None
        results = ResultFile(output, resume=self._options.resume)
        explicit = self._options.base_url is not None

        async def send(item: PlannedRow, began: Callable[[Run], None]) -> RunState:
            run_id, answered = await _logged(services, results.batch_id, item.row.number)
            if answered is not None:
                return answered
            pending = await services.sender.send(
                item.document, endpoint, lambda sent: began(sent.run), explicit=explicit, run_id=run_id
            )
            return pending.run.state

        async def keep(item: PlannedRow, outcome: RunState | Exception) -> None:
            await asyncio.to_thread(results.write, self._result(item, outcome, endpoint))

        runner = BatchRunner(
            plan=plan,
            concurrency=self._concurrency(endpoint),
            send=send,
            on_result=keep,
            on_progress=self._show_progress,
            skip=frozenset(results.finished),
        )
        stopped = _stop_on_signals(runner)
        try:
            progress = await runner.execute()
        except OSError as error:
            _say(f"{self._options.output} cannot be written: {error.strerror or error}. The batch was ended.")
            return FAILED
        finally:
            results.close(complete=runner.progress.done == runner.progress.total)
        self._print_totals(progress)
        if stopped.is_set():
            return STOPPED
        return FAILED if progress.failed else FINISHED

    def _result(self, item: PlannedRow, outcome: RunState | Exception, endpoint: Endpoint) -> dict[str, Json]:
        values = {name: item.row.values.get(column, "") for name, column in self._columns.items()}
        if isinstance(outcome, Exception):
            return failed_result(item.row.number, values, str(outcome))
        usage = outcome.usage
        checked = run_checks(self._checks, outcome.text, usage.completion_tokens if usage else None)
        for name, passed in checked.items():
            self._passed[name] += passed
        if usage is not None:
            self._tokens["prompt_tokens"] += usage.prompt_tokens or 0
            self._tokens["cached_tokens"] += usage.cached_tokens or 0
        return result_of(item.row.number, values, outcome, endpoint.rates, checked)

    def _show_progress(self, progress: BatchProgress) -> None:
        if self._options.json or not sys.stderr.isatty():
            return
        eta = "—" if progress.eta_s is None else f"≈ {progress.eta_s:,.0f} s"
        finished = progress.done + progress.failed
        print(f"\r{finished:,} of {progress.total:,}, {progress.failed:,} failed, {eta} left ", end="", file=sys.stderr)

    def _print_totals(self, progress: BatchProgress) -> None:
        totals: dict[str, Json] = {"rows": progress.total, "done": progress.done, "failed": progress.failed}
        totals |= {**self._tokens, "checks": dict(self._passed)}
        if self._options.json:
            print(json.dumps(totals), file=sys.stdout if self._options.output else sys.stderr)
            return
        share = self._tokens["cached_tokens"] / self._tokens["prompt_tokens"] if self._tokens["prompt_tokens"] else 0.0
        print(
            f"{progress.done:,} of {progress.total:,} rows answered, {progress.failed:,} failed; "
            f"cached tokens {self._tokens['cached_tokens']:,} of {self._tokens['prompt_tokens']:,} ({share:.0%})",
            file=sys.stderr,
        )
        for name, passed in self._passed.items():
            print(f"{name}: passed {passed:,} of {progress.done:,}", file=sys.stderr)


async def _logged(services: AppServices, batch_id: str, number: int) -> tuple[str, RunState | None]:
    """Return the run id for a row's next attempt, or the answer of an attempt whose result was not written.

    A batch that was killed between the end of a request and the writing of its result finds it in the request log, so
    that no answered row is sent twice.
    """
    attempt = 0
    while True:
        run_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{batch_id}:{number}:{attempt}").hex
        stored = await services.log.get(run_id) if services.log is not None else None
        if stored is None:
            return run_id, None
        if (state := stored.state()).phase == "done":
            return run_id, state
        attempt += 1


def _forecast_fields(forecast: BatchForecast) -> dict[str, Json]:
    return {
        "requests": forecast.requests,
        "prompt_tokens": round(forecast.prompt_tokens),
        "cached_tokens": round(forecast.cached_tokens),
        "seconds": round(forecast.seconds, 1),
        "input_cost": forecast.input_cost,
        "basis": "estimated",
    }


def _stop_on_signals(runner: BatchRunner) -> asyncio.Event:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        stopped.set()
        runner.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    return stopped


def _say(sentence: str) -> None:
    print(f"electron-playground: {sentence}", file=sys.stderr)


def _report(name: str, error: BaseException) -> None:
    _say(f"{name} went wrong: {type(error).__name__}")

"""One batch from its plan to its results: sends, checks, prices and stores each row. Shared by window and command."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from playground.client.endpoint import Endpoint
from playground.experiments.batch_plan import Order, PlannedRow, without
from playground.experiments.batch_results import ResultFile, failed_result, result_of
from playground.experiments.batch_rows import AnswerCheck, run_checks
from playground.experiments.batch_runner import BatchProgress, BatchRunner, prefixes_held
from playground.experiments.batch_totals import BatchTotals, Earlier
from playground.prompt.document import Json
from playground.requestlog.filter import LogFilter, WordTerm
from playground.requestlog.log import RequestLog
from playground.runs.record import group_of_tag, group_tag
from playground.runs.run import Run
from playground.runs.service import RequestService
from playground.runs.state import RunState
from playground.tasks import Subscribers

DEFAULT_CONCURRENCY = 4
"""Requests at once if the endpoint's plan has no limit."""


_IDS_AT_ONCE = 1_000
CHARS_PER_TOKEN = 3.0
"""A low estimate, so that the number of prefixes in the cache is not overestimated."""


def concurrency_of(endpoint: Endpoint, wanted: int | None = None) -> int:
    """Return the number of requests at once: as wanted, within the endpoint's plan."""
    limit = endpoint.plan.in_flight
    chosen = wanted or limit or DEFAULT_CONCURRENCY
    return min(chosen, limit) if limit else chosen


class BatchJob:
    """One run of a batch. `totals` includes the results of earlier runs that are in the result file."""

    def __init__(
        self,
        plan: Sequence[PlannedRow],
        columns: Mapping[str, str],
        order: Order,
        checks: Sequence[AnswerCheck],
        endpoint: Endpoint,
        service: RequestService,
        log: RequestLog | None,
        results: ResultFile,
        *,
        concurrency: int,
        cache_tokens: float = 0.0,
        explicit: bool = False,
        only: frozenset[int] | None = None,
    ) -> None:
        """Take over the results of earlier runs. Takes long for many rows: call it in a worker.

        Args:
            plan: all rows; finished ones are not sent again.
            cache_tokens: what the server's cache is known to hold at least.
            explicit: see RequestService.send.
            only: the numbers of the rows to send; None: all.
        """
        self._columns, self._checks, self._endpoint, self._explicit = columns, checks, endpoint, explicit
        self._service, self._results = service, results
        self._whole_log = log
        self._log = log if results.continued else None
        """Has answers of this batch's earlier runs; None: there are no such runs."""
        self.on_result: Subscribers[[dict[str, Json]]] = Subscribers()
        """Each row's result, after it was written."""
        self._run_ids: dict[int, str] = {}
        self._earlier = {number: Earlier.with_result(result) for number, result in results.failed.items()}
        """By row: the requests of earlier runs that had no answer."""
        self.totals = BatchTotals(passed={check.name: 0 for check in checks})
        """Sums of all requests of earlier runs that are known, and of this run's."""
        self.run_totals = BatchTotals(passed={check.name: 0 for check in checks})
        """Sums of this run's requests."""
        for result in results.finished.values():
            self.totals.add(result)
            self.totals.add_sums(Earlier.of(result))
        for earlier in self._earlier.values():
            self.totals.add_sums(earlier)
        kept = set(results.finished)
        if only is not None:
            kept |= {item.row.number for item in plan} - only
        left = without(plan, kept, order)
        self.runner = BatchRunner(
            plan=left,
            concurrency=concurrency,
            send=self._send,
            on_result=self._keep,
            requests_per_minute=endpoint.plan.requests_per_minute,
            prefixes=prefixes_held(cache_tokens, max((item.chars for item in left), default=0) / CHARS_PER_TOKEN),
        )

    async def run(self) -> BatchProgress:
        """Send the rows. Raises InputError or SimulatorError before the first one, and OSError if results cannot be
        written. The result file is closed in any case."""
        try:
            await self._service.check_ready(self._endpoint, explicit=self._explicit)
            await self._count_removed()
            return await self.runner.execute()
        finally:
            progress = self.runner.progress
            await asyncio.to_thread(self._results.close, complete=progress.done == progress.total)

    async def _send(self, item: PlannedRow, began: Callable[[Run], None]) -> RunState:
        run_id, logged = await self._logged(item.row.number)
        if logged is not None:
            return logged
        pending = await self._service.send(
            item.document,
            self._endpoint,
            lambda sent: began(sent.run),
            explicit=self._explicit,
            run_id=run_id,
            before_attempt=lambda: asyncio.to_thread(self._results.note_attempt, run_id),
            tags=[group_tag("batch", self._results.batch_id[:8])],
        )
        state = pending.run.state
        if state.phase == "stopped" and state.attempts:  # has no result; the next run finds it in the log
            for totals in (self.totals, self.run_totals):
                totals.add_state(state, self._endpoint.rates)
        return state

    async def _logged(self, number: int) -> tuple[str, RunState | None]:
        """Return the run id for a row's next attempt, or the answer of an attempt whose result was not written.

        A batch that was killed between the end of a request and the writing of its result finds it in the request log,
        so that no answered row is sent twice.
        """
        attempt = 0
        while True:
            run_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{self._results.batch_id}:{number}:{attempt}").hex
            self._run_ids[number] = run_id
            stored = await self._log.get(run_id) if self._log is not None else None
            if stored is None and run_id not in self._results.attempts:
                return run_id, None
            state = stored.state() if stored is not None else RunState()
            if state.phase == "done":
                return run_id, state
            self._count_earlier(number, run_id, state)
            attempt += 1

    async def _count_removed(self) -> None:
        """Count the logged requests of earlier, complete runs of the batch whose results were removed from the file.

        A complete batch has no note: its group in the log is that of the results that are left, and is used again (the
        newest, if results of several batches were put together).
        A run without request_id may be that of a result that is left and has no id: such runs are then not counted.
        """
        ids = self._results.known_ids()
        if (log := self._whole_log) is None or not ids:
            return
        known = set(self._results.attempts)
        groups: dict[str, datetime] = {}
        """When the newest request of each group began."""
        for first in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[first : first + _IDS_AT_ONCE]
            rows = await log.rows_of((await log.find_many(some)).run_ids if self._results.is_table else some)
            known.update(row.run_id for row in rows)
            for row in rows:
                for group in filter(None, (group_of_tag("batch", tag) for tag in row.tags)):
                    groups[group] = max(row.started_utc, groups.get(group, row.started_utc))
        if groups and not self._results.continued:
            await asyncio.to_thread(self._results.join_group, max(groups, key=groups.__getitem__))
        for group in groups:
            tag = group_tag("batch", group)
            tagged = await log.run_ids(await log.numbers(LogFilter((WordTerm("tag", tag),))))
            for run_id in set(tagged) - known:
                state = stored.state() if (stored := await log.get(run_id)) is not None else None
                if state is not None and (state.request_id or not self._results.lacks_ids):
                    self.totals.add_state(state, self._endpoint.rates)

    def _count_earlier(self, number: int, run_id: str, state: RunState) -> None:
        """Count a run of an earlier run of the batch if it has no result: it was stopped, or its process was killed.

        `state`: as logged. The log of a process that was killed does not have the newest attempts, and a log that
        cannot be written has no run.
        """
        earlier = self._earlier.setdefault(number, Earlier())
        if run_id in earlier.ids or state.request_id in earlier.ids:
            return
        if self._results.is_table and state.phase in ("failed", "waiting") and state.request_id is None:
            return  # a table has no run ids: this may be the request of one of its results
        before = Earlier(ids=[run_id])
        attempts = 0 if state.phase in ("stopped", "failed") else self._results.attempts[run_id]
        before.add_state(state, self._endpoint.rates, attempts)
        if before:
            earlier.add(before)
            self.totals.add_sums(before)

    async def _keep(self, item: PlannedRow, outcome: RunState | Exception) -> None:
        result = self._result(item, outcome)
        await asyncio.to_thread(self._results.write, result)
        self.totals.add(result)
        self.run_totals.add(result)
        self.on_result(result)

    def _result(self, item: PlannedRow, outcome: RunState | Exception) -> dict[str, Json]:
        number = item.row.number
        values = {name: item.row.values.get(column, "") for name, column in self._columns.items()}
        run_id = self._run_ids.pop(number, None)
        earlier = self._earlier.get(number)
        if isinstance(outcome, Exception):
            return failed_result(number, values, str(outcome), earlier)
        checked = {}
        if outcome.phase == "done":
            tokens = outcome.usage.completion_tokens if outcome.usage else None
            checked = run_checks(self._checks, outcome.text, tokens)
        return result_of(number, values, outcome, self._endpoint.rates, checked, run_id, earlier)

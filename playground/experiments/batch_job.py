"""One batch from its plan to its results: sends rows, prefixes warm first, stops; checks and stores each row."""

from __future__ import annotations

import asyncio
import statistics
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush

from playground.client.endpoint import Endpoint
from playground.experiments.batch_plan import GROUP_SHARE, MINUTE_S, Order, PlannedRow, without
from playground.experiments.batch_results import BatchTotals, Earlier, ResultFile, failed_result, result_of
from playground.experiments.batch_rows import AnswerCheck, run_checks
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.requestlog.filter import LogFilter, WordTerm
from playground.requestlog.log import RequestLog
from playground.runs.record import group_of_tag, group_tag
from playground.runs.run import Run
from playground.runs.service import RequestService
from playground.runs.state import RunState
from playground.simulator.process import SimulatorError
from playground.tasks import Subscribers

LEADER_SHARE = 0.1
"""A row leads others if they share at least this part of their prompts with it, beyond the part it shares itself."""
PROBE_SHARE = 0.01
"""Most of the cached rows so far that a test of a larger limit may cost."""
HOPELESS_ROWS = 20
"""Number of rows without a cache hit, and none with one, after which the server is assumed to cache nothing."""
HIT_SHARE = 0.5
"""Least part of the expected cached tokens that counts as found."""
PATIENCE = 3.0
"""A leader blocks further prefixes for at most this multiple of the median time to first token."""
LEAST_PATIENCE_S = 1.0
TIMES = 31
"""Number of the newest times to first token of which the median is used."""
ROOM_OF_PREFIX = 2
"""Room in the cache per open prefix, in prompts: the second one is for text that differs and for completions."""


def leads(plan: Sequence[PlannedRow]) -> frozenset[int]:
    """Return the positions of the rows whose prefix others need from the cache."""
    return frozenset(
        item.after
        for item in plan
        if item.after is not None and item.shared_chars - plan[item.after].shared_chars >= LEADER_SHARE * item.chars
    )


def opens_prefix(item: PlannedRow) -> bool:
    """Return whether most of a row's prompt is not shared with the rows before it."""
    return item.shared_chars < GROUP_SHARE * item.chars


def prefixes_held(capacity_tokens: float, prompt_tokens: float) -> int:
    """Return the number of prefixes that may be open in a cache that holds at least `capacity_tokens`, 1 or more.

    `prompt_tokens`: of the longest prompt.
    """
    return max(int(min(capacity_tokens / (ROOM_OF_PREFIX * max(prompt_tokens, 1.0)), 1e6)), 1)


@dataclass(slots=True)
class PrefixWindow:
    """Limit of the prefixes that are open at once: their leader is in flight, and other rows wait for it.

    The limit begins at 1: the rows of a prefix are sent before the next prefix is opened, which no cache is too small
    for. It doubles if workers waited because of it, every row since the last change found its prefix in the cache, and
    the rows that a larger limit could cost are at most PROBE_SHARE of those found so far. If a row misses its prefix
    at a limit above 1, the limit returns to the one before and stays below the failed one. A server that serves none of
    HOPELESS_ROWS rows with one prefix open caches nothing, as far as can be seen: it gets requests without a limit.

    Args:
        concurrency: the number of requests at once; the limit is never higher.
        limit: the first limit, if the cache is known to hold more than one prefix.
    """

    concurrency: int
    limit: int = 1
    found: int = 0
    """Rows that found their prefix in the cache."""
    missed: int = 0
    _missed_at_limit: int = 0
    _caches_nothing: bool = False
    _ceiling: int | None = None
    _waited: bool = False
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=TIMES))

    def wait(self) -> None:
        """Note that a worker waits because of the limit."""
        self._waited = True

    @property
    def patience_s(self) -> float | None:
        """Return the seconds for which a leader blocks further prefixes; None before the first known time."""
        return max(PATIENCE * statistics.median(self._times), LEAST_PATIENCE_S) if self._times else None

    def learn(self, item: PlannedRow, state: RunState, open_prefixes: int) -> None:
        """Adjust the limit to the report of an answered row.

        `open_prefixes`: the most that were open at once since the row's prefix was opened.
        """
        if state.ttft_s is not None:
            self._times.append(state.ttft_s)
        usage = state.usage
        if opens_prefix(item) or usage is None or usage.fresh_tokens is None or not usage.prompt_tokens:
            return
        expected = usage.prompt_tokens * item.shared_chars / max(item.chars, 1)
        if usage.prompt_tokens - usage.fresh_tokens >= HIT_SHARE * expected:
            self.found += 1
            self._raise(open_prefixes)
            return
        self.missed += 1
        if self._caches_nothing and not self.found:
            return
        if self.limit > 1 and open_prefixes > 1:
            self._ceiling = min(self.limit, open_prefixes) - 1
            self.limit, self._waited, self._missed_at_limit = max(min(self.limit // 2, self._ceiling), 1), False, 0
            return
        self._missed_at_limit += 1
        if not self.found and self._missed_at_limit >= HOPELESS_ROWS:
            self.limit, self._caches_nothing = self.concurrency, True

    def _raise(self, open_prefixes: int) -> None:
        wanted = min(self.limit * 2, self._ceiling or self.concurrency, self.concurrency)
        at_risk = wanted * self.concurrency
        if wanted > self.limit and self._waited and at_risk <= PROBE_SHARE * self.found and open_prefixes >= self.limit:
            self.limit, self._waited = wanted, False


Send = Callable[[PlannedRow, Callable[[Run], None]], Awaitable[RunState]]
"""Sends a row and returns how it ended. The callback receives the run before its first byte is sent."""


@dataclass(slots=True)
class BatchProgress:
    """How far a batch is. `eta_s` is an estimate from the rows so far; None before the first."""

    total: int
    done: int = 0
    failed: int = 0
    running: int = 0
    eta_s: float | None = None


@dataclass
class BatchRunner:
    """Runs a plan once. Always sends the ready row that is first in the plan, so that a prefix is used while warm.

    While the first row of a prefix is in flight and others wait for it, rows of further prefixes are sent within the
    limit of a PrefixWindow only.

    Args:
        on_result: receives each row with its run, or with the exception that kept it from being sent. It writes to
            disk and may raise OSError, which ends the batch.
        requests_per_minute: the plan's limit, a lower bound of the estimated time that is left.
        prefixes: the number of prefixes that the cache is known to hold at least.
    """

    plan: Sequence[PlannedRow]
    concurrency: int
    send: Send
    on_result: Callable[[PlannedRow, RunState | Exception], Awaitable[None]]
    requests_per_minute: int | None = None
    prefixes: int = 1

    def __post_init__(self) -> None:
        self.on_progress: Subscribers[[BatchProgress]] = Subscribers()
        self.on_start: Subscribers[[PlannedRow, Run]] = Subscribers()
        """A row's run, before its first byte is sent."""
        self._runs: dict[int, Run] = {}
        """Requests in flight, by position."""
        self._stopping = False
        self._started = self._paused_s = 0.0
        """When `execute` was called, by the event loop's clock, and the duration of all pauses."""
        self._paused_at: float | None = None
        self._ready: list[int] = []
        """A heap of positions."""
        self._followers: dict[int, list[int]] = {}
        for position, item in enumerate(self.plan):
            if item.after is None:
                heappush(self._ready, position)
            else:
                self._followers.setdefault(item.after, []).append(position)
        self._leaders = set(leads(self.plan))
        self._open: dict[int, float | None] = {}
        """Leaders in flight without a first token, and the time at which the request was sent; None: not yet."""
        self._openings: list[int] = []
        """For each leader in the order of sending: the number of open prefixes, with its own."""
        self._opened: dict[int, int] = {}
        """Positions of leaders, and their indexes in `_openings`."""
        self._wakes_at: float | None = None
        self.window = PrefixWindow(self.concurrency, max(1, min(self.prefixes, self.concurrency)))
        self._left = len(self.plan)
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._changed = asyncio.Event()
        self.progress = BatchProgress(len(self.plan))

    @property
    def paused(self) -> bool:
        return not self._resumed.is_set()

    def pause(self) -> None:
        """Send no further row until `resume`; requests in flight continue."""
        if not self.paused:
            self._resumed.clear()
            self._paused_at = asyncio.get_running_loop().time()

    def resume(self) -> None:
        if self._paused_at is not None:
            self._paused_s += asyncio.get_running_loop().time() - self._paused_at
            self._paused_at = None
        self._resumed.set()

    def stop(self) -> None:
        """Stop requests in flight and send no further row."""
        self._stopping = True
        self.resume()
        self._changed.set()
        for run in list(self._runs.values()):
            run.stop()

    async def execute(self) -> BatchProgress:
        """Send every row. Cancelling stops the requests in flight."""
        self._started = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, len(self.plan))):
                    group.create_task(self._work())
        except* (OSError, SimulatorError) as failed:
            raise failed.exceptions[0] from None
        return self.progress

    async def _work(self) -> None:
        while (position := await self._next()) is not None:
            await self._finish(position)
            self._left -= 1
            if not self._left:
                self.resume()  # paused after the last row was sent
            self._changed.set()

    async def _next(self) -> int | None:
        """Wait for the next row that may be sent. Returns None at the end."""
        while True:
            await self._resumed.wait()
            if not self._left or self._stopping:
                return None
            if (position := self._take()) is not None:
                return position
            self._changed.clear()
            await self._changed.wait()

    def _take(self) -> int | None:
        """Remove and return the first ready row; None if no row is ready or the limit of prefixes is reached."""
        if not self._ready:
            return None
        position = self._ready[0]
        if (position in self._leaders or opens_prefix(self.plan[position])) and self._count_open() >= self.window.limit:
            self.window.wait()
            return None
        heappop(self._ready)
        if position in self._leaders and position in self._followers:
            self._open[position] = None
            self._opened[position] = len(self._openings)
            self._openings.append(len(self._open))
        return position

    def _count_open(self) -> int:
        """Return the number of open prefixes. A leader that takes unusually long to answer does not count."""
        patience, loop, count = self.window.patience_s, asyncio.get_running_loop(), 0
        now, next_end = loop.time(), None
        for sent_at in self._open.values():
            end = None if sent_at is None or patience is None else sent_at + patience
            if end is None or end > now:
                count += 1
                next_end = end if next_end is None else min(next_end, end or next_end)
        if next_end is not None and next_end != self._wakes_at:
            self._wakes_at = next_end
            loop.call_at(next_end, self._changed.set)
        return count

    def _most_open_since(self, leader: int | None) -> int:
        """Return the most prefixes that were open at once since this leader was sent; 0 if the row is no leader."""
        return max(self._openings[self._opened[leader] :]) if leader in self._opened else 0

    async def _finish(self, position: int) -> None:
        item = self.plan[position]
        self.progress.running += 1
        self.on_progress(self.progress)
        outcome = await self._sent(position, item)
        self.progress.running -= 1
        stopped = isinstance(outcome, RunState) and outcome.phase == "stopped"
        if not stopped:  # a stopped row is sent again when the batch is resumed
            await self.on_result(item, outcome)
            self._count(outcome)
            if isinstance(outcome, RunState) and outcome.phase == "done":
                self.window.learn(item, outcome, self._most_open_since(item.after))
        self._lead_on(position)

    async def _sent(self, position: int, item: PlannedRow) -> RunState | Exception:
        def began(run: Run) -> None:
            self._runs[position] = run
            run.subscribe(lambda seen, _event: self._release_followers(position, seen))
            self.on_start(item, run)

        try:
            return await self.send(item, began)
        except InputError as error:
            return error
        finally:
            self._runs.pop(position, None)

    def _release_followers(self, position: int, run: Run) -> None:
        """Release rows that wait for a prefix: it is cached once the leader's first token has arrived."""
        if run.state.first_token_at is not None:
            if position in self._followers:
                for follower in self._followers.pop(position):
                    heappush(self._ready, follower)
                self._close(position)
        elif position in self._open and self._open[position] is None and run.state.attempts:
            self._open[position] = asyncio.get_running_loop().time()

    def _lead_on(self, position: int) -> None:
        """If a row ended before its prefix was cached, let the next row with that prefix lead the others."""
        waiting = self._followers.pop(position, [])
        if waiting:
            first = waiting[0]
            self._followers.setdefault(first, []).extend(waiting[1:])
            if position in self._leaders:
                self._leaders.add(first)
            heappush(self._ready, first)
        self._close(position)

    def _close(self, position: int) -> None:
        self._open.pop(position, None)
        self._changed.set()

    def _count(self, outcome: RunState | Exception) -> None:
        progress = self.progress
        if isinstance(outcome, RunState) and outcome.phase == "done":
            progress.done += 1
        else:
            progress.failed += 1
        finished = progress.done + progress.failed
        elapsed = asyncio.get_running_loop().time() - self._started - self._paused_s
        left = progress.total - finished
        at_least = left * MINUTE_S / self.requests_per_minute if self.requests_per_minute else 0.0
        progress.eta_s = max(elapsed / finished * left, at_least)
        self.on_progress(progress)


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
        explicit: bool = False,
        only: frozenset[int] | None = None,
    ) -> None:
        """Take over the results of earlier runs. Takes long for many rows: call it in a worker.

        Args:
            plan: all rows; finished ones are not sent again.
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
        held = service.forecaster.capacity(endpoint.id, endpoint.model)
        self.runner = BatchRunner(
            plan=left,
            concurrency=concurrency,
            send=self._send,
            on_result=self._keep,
            requests_per_minute=endpoint.plan.requests_per_minute,
            prefixes=prefixes_held(held, max((item.chars for item in left), default=0) / CHARS_PER_TOKEN),
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
        newest, if results of several batches were merged).
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

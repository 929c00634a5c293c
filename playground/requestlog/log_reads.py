"""Queries of the request log for the event loop, on two worker threads: one for pages and runs, one for counts and
sums."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import queue
import sqlite3
import sys
import threading
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from playground.requestlog import log_queries, rows
from playground.requestlog.filter import IdTerm, LogFilter, Order, Words
from playground.requestlog.log_queries import NO_SIZE, FoundIds, LogSize
from playground.requestlog.ordered import NEAR
from playground.requestlog.reader import Reader
from playground.requestlog.records import Count, DamagedRunError, Found, LogRow, StoredRun, Totals, damaged_message
from playground.requestlog.store import OpenedStore, connect_reader, connect_unchanged, is_damage
from playground.requestlog.stored_runs import OTHER_ANSWER

T = TypeVar("T")


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.future: Future[T] = Future()

    def __call__(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.function())
        except BaseException as error:
            self.future.set_exception(error)


class Worker:
    """Calls and timers on one thread, in the order given."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | tuple[float, Callable[[], None]] | None]
        self._queue = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._stopped = False
        self._order = itertools.count()
        # A daemon thread, so that a program without close() can exit. Flushed data is safe.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the thread and return its result. A queued call runs even if the caller stops waiting."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(function)))

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` like `call`, without an event loop."""
        if self._stopped:
            raise RuntimeError("the request log is closed")
        call = _Call(function)
        self._queue.put(call)
        return call.future

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Run `function` on the thread in `seconds`. Dropped at `stop`."""
        self._queue.put((time.monotonic() + seconds, function))

    def stop(self) -> None:
        """Stop after the queued calls. Returns when the thread has ended."""
        self._stopped = True
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=self._wait())
            except queue.Empty:
                self._timer(heapq.heappop(self._timers)[2])
                continue
            if job is None:
                return
            if isinstance(job, tuple):
                heapq.heappush(self._timers, (job[0], next(self._order), job[1]))
            else:
                job()

    @staticmethod
    def _timer(function: Callable[[], None]) -> None:
        try:
            function()
        except Exception:  # a bug: reported as for any thread, but the thread continues with the queued calls
            kind, error, trace = sys.exc_info()
            if kind is not None:
                threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))

    def _wait(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None


STEP_S = 0.04
"""Seconds of a search between which other queries are answered."""
MOST_OF_AN_ID = 100
"""Maximum number of requests per partial id in a list of ids."""
IDS_PER_READ = 10_000
NO_TOTALS = Totals(0, None, None, None, 0, 0, 0)
A = TypeVar("A")
P = ParamSpec("P")


class RowCounter:
    """`connect` opens the connection, on the thread, at the first count."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._worker: Worker | None = None
        self._connection: sqlite3.Connection | None = None
        self._reader: Reader | None = None

    def stop(self) -> None:
        """Interrupt the running count."""
        if self._connection is not None:
            self._connection.interrupt()

    async def ask(self, question: Callable[[Reader], A], empty: A) -> A:
        """Return the result of a long query; `empty` if stopped. Raises sqlite3.Error."""

        def work() -> A:
            try:
                return question(self._opened())
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                return empty

        if self._worker is None:
            self._worker = Worker("request-log-counter")
        return await self._worker.call(work)

    def _opened(self) -> Reader:
        if self._reader is None:
            self._connection = self._connect()
            self._reader = Reader(self._connection)
        return self._reader

    async def close(self) -> None:
        if self._worker is None:
            return
        self.stop()
        worker, self._worker = self._worker, None
        if self._connection is not None:
            await worker.call(self._connection.close)
        worker.stop()


def _read(
    query: Callable[Concatenate[Reader, P], A], empty: A
) -> Callable[Concatenate[LogReads, P], Coroutine[Any, Any, A]]:
    """Return a method that runs a query of Reader on its thread. It returns `empty` if the log cannot be read."""

    @wraps(query)
    async def read(self: LogReads, /, *args: P.args, **more: P.kwargs) -> A:
        return await self._read(lambda: query(self._reader, *args, **more), empty)

    return read


def _asked(
    query: Callable[Concatenate[Reader, P], A], empty: A
) -> Callable[Concatenate[LogReads, P], Coroutine[Any, Any, A]]:
    """Return a method that runs a long query of Reader on the counter's thread. It returns `empty` if stopped."""

    @wraps(query)
    async def ask(self: LogReads, /, *args: P.args, **more: P.kwargs) -> A:
        return await self._ask(lambda reader: query(reader, *args, **more), empty)

    return ask


class LogReads(ABC):
    """The queries of RequestLog. All methods belong to the event loop."""

    def __init__(self, files: OpenedStore, path: Path) -> None:
        self._path = path
        self._read_worker = Worker("request-log-reader")
        self._closed = False
        self._stops = 0
        """Number of calls of `stop_counting`."""
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._connect_readers(files)

    def _connect_readers(self, files: OpenedStore) -> None:
        self._files = files
        self._reader = Reader(files.reader)
        connect = connect_unchanged if files.writer is None else connect_reader
        self._counter = RowCounter(partial(connect, self._path))
        self._read_failed = False
        self._damaged: set[str] = set()

    def follow_writes(self, seconds: float, written: Callable[[], None]) -> None:
        """Call `written` now and after writes to the file, also by other processes, at most once in `seconds`.

        The reader's thread looks, and wakes the event loop only after a write.
        """
        loop, worker, seen = asyncio.get_running_loop(), self._read_worker, -1

        def tell() -> None:
            if not self._closed:
                written()

        def look() -> None:
            nonlocal seen
            with suppress(sqlite3.Error):  # closed, or being replaced
                version = self._files.reader.execute("PRAGMA data_version").fetchone()[0]
                if version != seen:
                    seen = version
                    loop.call_soon_threadsafe(tell)
            worker.later(seconds, look)

        worker.later(0, look)

    async def page(self, log_filter: LogFilter, before: int | None = None, limit: int = 128) -> list[LogRow]:
        """Return a page of rows older than number `before`, newest first. Equally fast at any position."""
        rows: list[LogRow] = []
        while True:
            found = await self.search(log_filter, before, limit - len(rows))
            rows += found.rows
            if found.below is None:
                return rows
            before = found.below

    async def search(self, log_filter: LogFilter, before: int | None = None, limit: int = 128) -> Found:
        """Return the rows of a page that a step of about STEP_S finds, newest first, and the place of the next step."""
        return await self._read(lambda: self._reader.search(log_filter, before, limit, STEP_S), Found([]))

    async def rows_at(self, log_filter: LogFilter, first: int, limit: int = 128) -> list[LogRow]:
        """Return rows `first` to `first + limit` of the list, newest first, for random access by a table."""
        if log_filter.terms and log_filter.order is None and first + limit <= NEAR:
            return (await self.page(log_filter, None, first + limit))[first:]
        if log_filter.order is not None:
            return await self._rows_in_order(log_filter, log_filter.order, max(0, first), limit)
        return await self._read(lambda: self._reader.rows_at(log_filter, first, limit), [])

    async def _rows_in_order(self, log_filter: LogFilter, order: Order, first: int, limit: int) -> list[LogRow]:
        if first + limit > NEAR:
            return await self._ask(lambda reader: reader.rows_at(log_filter, first, limit), [])
        steps, stops = self._reader.first_in_order(log_filter, order, first, limit), self._stops
        while self._stops == stops:  # other queries are answered between two steps
            found: list[LogRow] | None = await self._read(lambda: next(steps, []), [])
            if found is not None:
                return found
        return []

    count = _asked(Reader.count, Count(0, True))
    totals = _asked(Reader.totals, NO_TOTALS)

    def stop_counting(self) -> None:
        """Cancel running counts and sums: they return an empty result."""
        self._stops += 1
        self._counter.stop()

    async def get(self, run_id: str) -> StoredRun | None:
        """Return a run; `.state()` folds its events. Of a damaged one: what is left, with a notice."""
        return await self._read(lambda: self._get(run_id), None)

    async def find(self, part: str, limit: int = 1000) -> list[LogRow]:
        """Return requests with `part` in a request_id (of any attempt) or body id, newest first."""
        return await self.page(LogFilter((IdTerm(part),)), None, limit) if part else []

    async def find_many(self, ids: Sequence[str]) -> FoundIds:
        """Find requests by a list of ids or parts of ids. Returns also the ids without a match."""
        wanted = dict.fromkeys(one.strip() for one in ids)
        found = {one: await self.find(one, MOST_OF_AN_ID) for one in wanted if one}
        rows = {row.number: row.run_id for some in found.values() for row in some}
        missing = tuple(one for one, some in found.items() if not some)
        return FoundIds(tuple(rows[number] for number in sorted(rows, reverse=True)), missing)

    rows_of = _read(Reader.rows_of, [])
    place_of = _read(Reader.place_of, None)
    numbers = _read(Reader.numbers, array("q"))
    members = _read(Reader.members, [])

    async def stored(self, numbers: Sequence[int]) -> list[StoredRun]:
        """Return these runs, oldest first, without deleted ones."""
        return (await self.readable(numbers))[0]

    async def readable(self, numbers: Sequence[int]) -> tuple[list[StoredRun], list[str]]:
        """Return these runs, oldest first, and the run_ids of those that are damaged. Deleted runs are left out."""
        return await self._read(lambda: self._reader.runs.stored(numbers), ([], []))

    async def run_ids(self, numbers: Sequence[int]) -> list[str]:
        """Return the run_ids of these numbers, oldest first, without deleted ones."""
        return await self._read(lambda: rows.run_ids(self._files.reader, numbers), [])

    async def request_ids(self, chosen: LogFilter | Sequence[int]) -> list[str]:
        """Return the request_ids of all matches of a filter, or of these numbers, newest first.

        Loads no pages: a million ids take about a second.
        """
        numbers = await self.numbers(chosen) if isinstance(chosen, LogFilter) else sorted(chosen)
        found: list[str] = []
        for first in range(0, len(numbers), IDS_PER_READ):
            some = numbers[first : first + IDS_PER_READ]
            found += await self._request_ids(some)
        return found[::-1]

    _request_ids = _read(Reader.request_ids, [])

    explanations = _read(Reader.explanations, {})

    async def words(self) -> Words:
        """Return the names, tags and finish reasons in the log, for completion in filters."""
        return await self._read(lambda: log_queries.words(self._files.reader), Words())

    async def size(self) -> LogSize:
        return await self._read(lambda: log_queries.size(self._files.reader, self._path), NO_SIZE)

    sent_since = _read(Reader.sent_since, [])

    def _get(self, run_id: str) -> StoredRun | None:
        try:
            return self._reader.runs.get(run_id)
        except DamagedRunError:
            remaining = self._reader.runs.remaining(run_id)
            if remaining is not None and OTHER_ANSWER in remaining.comment:
                self._report(f"{OTHER_ANSWER} ({run_id})")
            else:
                result = "the readable part is displayed" if remaining else "it could not be read"
                self._report(f"The stored data of a request is damaged; {result} ({run_id}).")
            return remaining

    async def _ask(self, question: Callable[[Reader], A], empty: A) -> A:
        """Return the result of a long query; `empty` if stopped or if the log cannot be read."""
        return await self._again_if_damaged(lambda: self._counter.ask(question, empty), empty)

    async def _read(self, function: Callable[[], A], empty: A) -> A:
        def work() -> A:
            try:
                return function()
            finally:
                self._report_damaged_rows()

        return await self._again_if_damaged(partial(self._read_worker.call, work), empty)

    async def _again_if_damaged(self, query: Callable[[], Awaitable[A]], empty: A) -> A:
        """Repeat a query in the log that replaces a damaged one. Returns `empty` if the log cannot be read."""
        while True:
            await self._is_open.wait()
            try:
                return await query()
            except sqlite3.Error as error:
                if not self._is_open.is_set():  # interrupted, because the log is being replaced
                    continue
                if not is_damage(error) or not await self._replace_damaged(error):
                    self._read_error(error)
                    return empty

    @abstractmethod
    async def _replace_damaged(self, error: sqlite3.Error) -> bool:
        """Set a damaged file aside and begin a new one, with the same numbers. Returns False if that is impossible."""

    def _report_damaged_rows(self) -> None:
        if new := sorted(self._reader.runs.damaged - self._damaged):
            self._damaged.update(new)
            self._report(damaged_message(new))

    def _read_error(self, error: sqlite3.Error) -> None:
        if self._closed or self._read_failed:
            return
        self._read_failed = True
        self._report(f"The request log cannot be read in full: {error}. The displayed data may be incomplete.")

    @abstractmethod
    def _report(self, sentence: str) -> None:
        """Deliver a message to the callbacks, from any thread."""

    async def _close_readers(self) -> None:
        await self._counter.close()
        self._files.reader.interrupt()
        await self._read_worker.call(self._files.reader.close)

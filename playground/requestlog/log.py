"""RequestLog: the log's interface for the rest of the program. The event loop never waits for the disk."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import repeat, starmap
from pathlib import Path
from typing import TypeVar

from playground.client.events import AnyEvent
from playground.prefix_cache.forecast import Forecast
from playground.prompt.document import Json
from playground.requestlog import rows
from playground.requestlog.blob_store import Keeper
from playground.requestlog.filter import EVERYTHING, IdTerm, LogFilter, Order
from playground.requestlog.log_queries import NO_SIZE, FoundIds, LogSize, Words, add_id_indexes
from playground.requestlog.ordered import NEAR
from playground.requestlog.reader import COUNT_UP_TO, Reader, RowCounter
from playground.requestlog.records import (
    Count,
    DamagedRunError,
    EndedRun,
    Found,
    LogRow,
    StoredRun,
    Totals,
)
from playground.requestlog.recovery import (
    Ready,
    RecoveryProgress,
    Salvage,
    advance,
    damaged_message,
    empty_old_search,
    end_orphans,
    is_index_damaged,
    open_log,
    rebuild_indexes,
)
from playground.requestlog.store import FILE_NAME, connect_another
from playground.requestlog.summary import summarize
from playground.requestlog.worker import Worker
from playground.requestlog.writer import BATCH, Writer
from playground.runs.record import RequestRecord, SentRow
from playground.runs.state import RunState

QUICK_RECOVERY_S = 0.3
"""Seconds that opening may spend on recovery; the rest follows in the background."""
RECOVERY_STEP_S = 0.05
"""Seconds of recovery between which new requests are written."""


IDLE_S = 0.2
"""Seconds without a write after which blocks are added to the index of the text search."""
SEAL_RETRY_S = 5.0
"""Pause before blocks are indexed again after a failure, such as a full disk."""
OPEN_BLOCKS = 128
"""Maximum number of blocks (4,096 requests) that wait for that; a search reads their requests."""
FLUSH_S = 0.2
"""Seconds that an event may wait in memory."""
STEP_S = 0.04
"""Seconds of a search between which other queries are answered."""
MOST_OF_AN_ID = 100
"""Maximum number of requests per partial id in a list of ids."""
IDS_PER_READ = 10_000
CHECK_INDEXES_BYTES = 4 * 1024 * 1024
"""Size up to which indexes are compared with the tables after opening (some 25 ms)."""
RETRY_S = 2.0
"""Seconds between attempts to write unsaved requests."""

T = TypeVar("T")
A = TypeVar("A")


class RequestLog:
    """The request log. One thread writes and one reads, so that a long search does not delay requests.

    All methods belong to the event loop that `open` ran on; all callbacks come on it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, worker: Worker, ready: Ready, path: Path) -> None:
        """Private: use `open`."""
        self._path = path
        self._loop = loop
        self._write_worker = worker
        self._read_worker = Worker("request-log-reader")
        self._files = ready.files
        self._reader = Reader(ready.files.reader)
        writable = ready.files.writer is not None
        self._counter = RowCounter(lambda: connect_another(path, writable), self._read_error)
        self._writer: Writer | None = None
        if ready.files.writer is not None and ready.owner is not None:
            self._writer = Writer(ready.files.writer, ready.owner, self._report, self._changed)
        self._recovery_steps = self._recovery(ready)
        self._notes: deque[tuple[str, AnyEvent]] = deque()
        self._changes: deque[tuple[str, Callable[[], None], asyncio.Future[None]]] = deque()
        self._refused: dict[str, BaseException] = {}
        self._armed = False
        self._retrying = False
        self._sealing = False
        self._written_at = 0.0
        self._closed = False
        self._stops = 0
        self._read_failed = False
        self.unsaved = 0
        """Requests that could not be written; known after `close`."""
        self.recovery: RecoveryProgress | None = None
        """Progress of the recovery; None if there was nothing to recover."""
        self._recovered = asyncio.Event()
        self._on_recovery: list[Callable[[RecoveryProgress], None]] = []
        self._damaged: set[str] = set()
        self._early: list[str] = []
        self._on_changed: list[Callable[[str], None]] = []
        self._on_error: list[Callable[[str], None]] = []

    @classmethod
    async def open(cls, folder: Path) -> RequestLog:
        """Open the log in a folder, created (mode 0700) if missing; its files have mode 0600.

        Raises LogUnavailableError if the folder cannot be written. A file of a newer version is opened for reading
        only (`read_only_reason`), a damaged one set aside (`notice`). Runs whose process died are interrupted.
        """
        worker = Worker("request-log-writer")
        try:
            ready = await worker.call(lambda: open_log(folder))
        except BaseException:
            worker.stop()
            raise
        log = cls(asyncio.get_running_loop(), worker, ready, folder / FILE_NAME)
        # Small leftovers are recovered before the first page is read; the rest in the background.
        await worker.call(lambda: log._recover(QUICK_RECOVERY_S))
        return log

    @property
    def read_only_reason(self) -> str | None:
        """Return the reason that the log is read-only; None if it is writable."""
        return self._files.reason

    @property
    def notice(self) -> str | None:
        """Return the message from opening if a damaged file was set aside."""
        return self._files.notice

    def on_notice(self, callback: Callable[[str], None]) -> None:
        """Call back with a message when writing fails, when it works again, and when damage is found.

        The first callback also gets `notice` and the messages of opening.
        """
        self._on_error.append(callback)
        early, self._early = self._early, []
        for message in ([self.notice] if self.notice is not None else []) + early:
            self._loop.call_soon(callback, message)

    def subscribe_recovery(self, callback: Callable[[RecoveryProgress], None]) -> Callable[[], None]:
        """Call back with the progress of a recovery in the background. Returns the function that unsubscribes."""
        self._on_recovery.append(callback)
        return lambda: self._on_recovery.remove(callback) if callback in self._on_recovery else None

    async def recovered(self) -> None:
        """Wait for the end of the recovery."""
        await self._recovered.wait()

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the run_id of each new, changed or deleted run. Returns the function that unsubscribes."""
        self._on_changed.append(callback)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._on_changed.remove(callback)

        return unsubscribe

    async def begin(self, record: RequestRecord) -> None:
        """Store a request before it is sent: it is on disk on return, or `on_notice` callbacks were called."""
        if (writer := self._writer) is not None:
            await self._settled(record.run_id, lambda: writer.begin(record))

    def note(self, run_id: str, event: AnyEvent) -> None:
        """Store an event of a run that has begun. Takes a microsecond; the event is on disk within 250 ms."""
        if self._writer is None or self._closed:
            return
        self._notes.append((run_id, event))
        # Cleared on the thread before it takes the notes, so no note is left without a timer.
        if not self._armed:
            self._armed = True
            self._write_worker.later(FLUSH_S, self._flush)

    async def finish(self, run_id: str, state: RunState) -> None:
        """End a run that has begun: it is on disk on return, or `on_notice` callbacks were called."""
        if (writer := self._writer) is not None:
            # A copy, since the state may still change; the thread computes the figures.
            end = replace(state, pieces=list(state.pieces))
            await self._settled(run_id, lambda: writer.finish(run_id, summarize(end)))

    async def add(self, runs: Sequence[EndedRun]) -> list[str]:
        """Store runs that ended elsewhere, all or none. Returns the run_ids that were new.

        Raises OSError with a message if they cannot be written.
        """
        if (writer := self._writer) is None:
            return []
        try:
            added = await self._write_worker.call(lambda: writer.add(runs))
        except sqlite3.Error as error:
            raise OSError(f"the request log could not take them up: {error}") from error
        self._write_worker.submit(self._seal_later)
        return added

    async def delete(self, run_ids: Iterable[str], progress: Callable[[int], None] = lambda _done: None) -> None:
        """Delete ended runs with their unshared data. Runs in flight are not deleted.

        On return their contents are in neither the database, its companion files nor the search index. `progress`
        gets the number of runs that are done. Cancellation stops it between two transactions.
        """
        ids = tuple(run_ids)
        if (writer := self._writer) is None:
            return
        try:
            for first in range(0, len(ids), BATCH):
                some = ids[first : first + BATCH]
                await self._write(lambda some=some: writer.delete(some))  # type: ignore[misc]
                progress(first + len(some))
                await asyncio.sleep(0)  # a cancellation by `progress` comes before the next transaction
        finally:
            await asyncio.shield(self._purge())

    async def delete_matching(self, log_filter: LogFilter, progress: Callable[[int], None] = lambda _done: None) -> int:
        """Delete all matches of a filter, like `delete`. Returns their number."""
        numbers = await self.numbers(log_filter)
        before = (await self.count(EVERYTHING)).n
        ids = [
            one for first in range(0, len(numbers), BATCH) for one in await self.run_ids(numbers[first : first + BATCH])
        ]
        await self.delete(ids, progress)
        return max(0, before - (await self.count(EVERYTHING)).n)

    async def keep_within(self, max_age: timedelta | None, max_bytes: int | None) -> int:
        """Apply retention by age, then by size, oldest first. Marked and running requests stay.

        Returns the number of deleted requests. None: no bound.
        """
        if (writer := self._writer) is None:
            return 0
        old: list[str] = []
        if max_age is not None:
            moment = datetime.now(UTC) - max_age
            old = await self._write_worker.call(lambda: writer.older_than(moment))
            await self.delete(old)
        deleted = 0 if max_bytes is None else await self._write_worker.call(lambda: writer.delete_oldest(max_bytes))
        if deleted:
            await self._purge()
        return len(old) + deleted

    async def set_tags(self, run_ids: Iterable[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Add tags to runs and remove others. Tags ignore case."""
        ids = tuple(run_ids)
        if (writer := self._writer) is not None:
            await self._write(lambda: writer.set_tags(ids, add, remove))

    async def set_comment(self, run_id: str, comment: str) -> None:
        """Set the comment of an ended run; an empty text removes it."""
        if (writer := self._writer) is not None:
            await self._write(lambda: writer.set_comment(run_id, comment))

    async def set_forecast(self, run_id: str, forecast: Forecast) -> None:
        """Replace the cache forecast of a run."""
        if (writer := self._writer) is not None:
            await self._write(lambda: writer.set_forecast(run_id, forecast))

    async def set_explanation(self, run_id: str, explanation: Json) -> None:
        """Store why the prompt cache was or was not used for a run, as JSON; None removes it."""
        text = None if explanation is None else json.dumps(explanation)
        if (writer := self._writer) is not None:
            await self._write(lambda: writer.set_explanation(run_id, text))
            self._changed([run_id])

    async def _purge(self) -> None:
        """Purge step by step, so that requests are written in between."""
        if (writer := self._writer) is None:
            return
        with suppress(sqlite3.Error):  # another process writes: the purge continues at the next opening
            while not self._closed and not await self._write_worker.call(writer.purge):
                pass
        if not self._closed:
            self._write_worker.submit(self._seal_later)

    async def mark(self, run_ids: Iterable[str], marked: bool = True) -> None:
        """Set or clear the mark that `is:marked` finds."""
        ids = tuple(run_ids)
        if (writer := self._writer) is not None:
            await self._write(lambda: writer.mark(ids, marked))

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
            return await self._counter.ask(lambda reader: reader.rows_at(log_filter, first, limit), [])
        steps, stops = self._reader.first_in_order(log_filter, order, first, limit), self._stops
        while self._stops == stops:  # other queries are answered between two steps
            rows = await self._read(lambda: next(steps), [])
            if rows is not None:
                return rows
        return []

    async def count(self, log_filter: LogFilter, up_to: int | None = COUNT_UP_TO) -> Count:
        """Return the number of matches: exact up to `up_to`, or entirely if it is None or there is no filter."""
        return await self._counter.count(log_filter, up_to)

    async def totals(self, log_filter: LogFilter) -> Totals:
        """Return sums and the hit rate over all matches. Takes some tenths of a second for a million rows."""
        return await self._counter.totals(log_filter)

    def stop_counting(self) -> None:
        """Cancel running counts and sums: they return an empty result."""
        self._stops += 1
        self._counter.stop()

    async def get(self, run_id: str) -> StoredRun | None:
        """Return a run with every event noted so far. `.state()` folds them."""
        if self._notes:
            await self._write_worker.call(self._flush)
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

    async def rows_of(self, run_ids: Sequence[str]) -> list[LogRow]:
        """Return the rows of these runs, newest first; unknown ids are left out. At most 30,000 ids."""
        return await self._read(lambda: self._reader.rows_of(run_ids), [])

    async def place_of(self, run_id: str, log_filter: LogFilter) -> int | None:
        """Return a request's position in a filter's list, 0 being the newest."""
        return await self._read(lambda: self._reader.place_of(run_id, log_filter), None)

    async def numbers(self, log_filter: LogFilter) -> array[int]:
        """Return the numbers of all matches, oldest first; they stay valid when other requests are added.

        Headings of groups are negative: see `members`.
        """
        return await self._read(lambda: self._reader.numbers(log_filter), array("q"))

    async def members(self, numbers: Sequence[int]) -> list[int]:
        """Return the numbers of requests, oldest first, with those of its group in place of each heading."""
        return await self._read(lambda: self._reader.members(numbers), [])

    async def stored(self, numbers: Sequence[int]) -> list[StoredRun]:
        """Return these runs, oldest first, without deleted ones."""
        return (await self.readable(numbers))[0]

    async def readable(self, numbers: Sequence[int]) -> tuple[list[StoredRun], list[str]]:
        """Return these runs, oldest first, and the run_ids of those that are damaged. Deleted runs are left out."""
        return await self._read(lambda: self._reader.stored(numbers), ([], []))

    async def run_ids(self, numbers: Sequence[int]) -> list[str]:
        """Return the run_ids of these numbers, oldest first, without deleted ones."""
        return await self._read(lambda: self._reader.run_ids(numbers), [])

    async def request_ids(self, chosen: LogFilter | Sequence[int]) -> list[str]:
        """Return the request_ids of all matches of a filter, or of these numbers, newest first.

        Loads no pages: a million ids take about a second.
        """
        numbers = await self.numbers(chosen) if isinstance(chosen, LogFilter) else sorted(chosen)
        found: list[str] = []
        for first in range(0, len(numbers), IDS_PER_READ):
            some = numbers[first : first + IDS_PER_READ]
            found += await self._read(lambda some=some: self._reader.request_ids(some), [])  # type: ignore[misc]
        return found[::-1]

    async def explanations(self, numbers: Sequence[int]) -> dict[int, Json]:
        """Return the cache explanations of these numbers that are stored; {}: no cached token was missed."""
        return await self._read(lambda: self._reader.explanations(numbers), {})

    async def words(self) -> Words:
        """Return the names, tags and finish reasons in the log, for completion in filters."""
        return await self._read(self._reader.words, Words())

    async def size(self) -> LogSize:
        """Return the size of the log."""
        return await self._read(lambda: self._reader.size(self._path), NO_SIZE)

    async def sent_since(
        self,
        endpoint_id: str,
        model: str,
        since_utc: datetime,
        limit: int | None = None,
        base_url: str | None = None,
        *,
        accepted: bool = False,
    ) -> list[SentRow]:
        """Return the requests to an endpoint and model, oldest first: at most the newest `limit`.

        `accepted`: only requests with status 200.
        """
        return await self._read(
            lambda: self._reader.sent_since(endpoint_id, model, since_utc, limit, base_url, accepted=accepted), []
        )

    async def saved(self, within_s: float) -> bool:
        """Wait until everything is on disk while another process holds the file; return whether it is.

        Does not wait for a full disk or a damaged file.
        """
        until = time.monotonic() + within_s
        while not self._closed and (writer := self._writer) is not None:
            await self._write_worker.call(self._flush)
            if not writer.owes:
                return True
            if not writer.locked or time.monotonic() >= until:
                break
        return False

    async def close(self) -> None:
        """Write pending data and close the files. Can be called more than once."""
        if self._closed:
            return
        self._closed = True
        await self._counter.close()
        self._files.reader.interrupt()
        await self._read_worker.call(self._files.reader.close)
        self.unsaved = await self._write_worker.call(self._close_writer)
        self._read_worker.stop()
        self._write_worker.stop()

    async def _settled(self, run_id: str, change: Callable[[], None]) -> None:
        """Apply a change to a live run; changes made while the disk is busy share the next transaction."""
        if self._closed:
            raise RuntimeError("the request log is closed")
        waiting = self._loop.create_future()
        self._changes.append((run_id, change, waiting))
        if len(self._changes) == 1:
            self._write_worker.submit(self._settle)
        await asyncio.shield(waiting)

    async def _write(self, function: Callable[[], None]) -> None:
        def work() -> None:
            self._take_notes()
            try:
                function()
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                self._report(f"The request log could not be changed: {error}.")
            self._retry_later()

        await self._write_worker.call(work)

    def _get(self, run_id: str) -> StoredRun | None:
        try:
            return self._reader.get(run_id)
        except DamagedRunError:
            self._report(damaged_message([run_id]))
            return None

    async def _read(self, function: Callable[[], A], empty: A) -> A:
        def work() -> A:
            try:
                return function()
            except sqlite3.Error as error:
                self._read_error(error)
                return empty
            finally:
                self._report_damaged_rows()

        return await self._read_worker.call(work)

    def _report_damaged_rows(self) -> None:
        if new := sorted(self._reader.damaged - self._damaged):
            self._damaged.update(new)
            self._report(damaged_message(new))

    # The methods below run on the threads.

    def _take_notes(self) -> None:
        self._armed = False
        if self._writer is None:
            return
        self._writer.take(_drain(self._notes))

    def _settle(self) -> None:
        changes = self._take_changes()
        self._take_notes()  # first, because an ended run accepts no more events
        outcomes: dict[asyncio.Future[None], BaseException | None] = {}
        for _, change, waiting in changes:
            outcomes[waiting] = _failure(change)
        failure = _failure(self._settle_writer)
        for run_id, _, waiting in changes:
            outcomes[waiting] = outcomes[waiting] or failure or self._refused.pop(run_id, None)
        # In one call, since waking the loop is the larger cost.
        self._on_loop(lambda: _resolve(outcomes))
        self._seal_later()
        self._retry_later()

    def _seal_later(self) -> None:
        """Index full blocks when no request was written for IDLE_S; those that are too many at once."""
        self._written_at = time.monotonic()
        with suppress(sqlite3.Error):
            while self._writer is not None and self._writer.open_blocks > OPEN_BLOCKS and self._writer.seal():
                pass
        if not self._sealing:
            self._sealing = True
            self._write_worker.later(IDLE_S, self._seal)

    def _seal(self) -> None:
        """Index a full block. Until then, and if it fails, its requests are found by reading them."""
        self._sealing = False
        idle = time.monotonic() - self._written_at >= IDLE_S
        pause_s = 0.0 if idle else IDLE_S
        try:
            more = self._writer is not None and (not idle or self._writer.seal(1) > 0)
        except sqlite3.Error:
            more, pause_s = True, SEAL_RETRY_S
        if more and self._writer is not None:
            self._sealing = True
            self._write_worker.later(pause_s, self._seal)

    def _take_changes(self) -> list[tuple[str, Callable[[], None], asyncio.Future[None]]]:
        # Loop until the queue is empty: an item added behind others did not schedule a call.
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._changes.popleft())
        return taken

    def _settle_writer(self) -> None:
        if self._writer is not None:
            self._refused.update(self._writer.settle(durable=True))

    def _flush(self) -> None:
        self._take_notes()
        if self._writer is not None:
            self._writer.settle(durable=False)
        self._retry_later()

    def _retry_later(self) -> None:
        if self._writer is not None and self._writer.owes and not self._retrying:
            self._retrying = True
            self._write_worker.later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        self._flush()

    def _close_writer(self) -> int:
        self._take_notes()
        # A timer may still fire; without a writer it does nothing.
        writer, self._writer = self._writer, None
        return writer.close() if writer is not None else 0

    def _recovery(self, ready: Ready) -> Iterator[RecoveryProgress]:
        """Return the steps of the recovery, on the writer's thread."""
        connection = ready.files.writer
        if connection is None:
            return
        done = 0
        for progress in end_orphans(connection, ready.orphans):
            yield progress
            if progress.done > done:
                done = progress.done
                self._changed([rows.run_id_of(connection, ready.orphans[done - 1])])
        if ready.files.aside is not None:
            salvage = Salvage(connection, Keeper(connection), ready.files.aside)
            yield from salvage.steps()
            self._report(salvage.message)
            self._changed([""])
        if self._path.stat().st_size <= CHECK_INDEXES_BYTES and is_index_damaged(connection):
            rebuild_indexes(connection)
            self._report(
                "Indexes of the request log were damaged, so that searches missed requests. They were rebuilt."
            )
            self._changed([""])
            yield RecoveryProgress(1, 1)
        add_id_indexes(connection)
        yield from self._index_all(connection)
        for _ in empty_old_search(connection):
            yield RecoveryProgress(1, 1)

    def _index_all(self, connection: sqlite3.Connection) -> Iterator[RecoveryProgress]:
        """Index the blocks that an earlier version or process left."""
        total = connection.execute("SELECT count(*) FROM open_blocks").fetchone()[0]
        done = 0
        while (writer := self._writer) is not None and (sealed := writer.seal()):
            done += sealed
            yield RecoveryProgress(min(done, total), total)

    def _recover(self, seconds: float) -> None:
        """Continue the recovery for a limited time, then let pending requests be written."""
        until = time.monotonic() + seconds
        more = True
        try:
            while more and not self._closed and time.monotonic() < until:
                more = advance(self._recovery_steps, self._set_recovery)
        except sqlite3.Error as error:
            # Another process writes, or the disk is full: the next opening continues.
            self._report(f"Recovery of the request log stopped: {error}. It continues at the next start.")
            more = False
        if more and not self._closed:
            self._write_worker.later(0.0, lambda: self._recover(RECOVERY_STEP_S))
        else:
            self._on_loop(self._recovered.set)

    def _set_recovery(self, progress: RecoveryProgress) -> None:
        self.recovery = progress
        self._on_loop(lambda: [callback(progress) for callback in tuple(self._on_recovery)])

    def _read_error(self, error: sqlite3.Error) -> None:
        if self._closed or self._read_failed:
            return
        self._read_failed = True
        self._report(f"The request log cannot be read in full: {error}. The displayed data may be incomplete.")

    def _report(self, sentence: str) -> None:
        self._on_loop(lambda: self._deliver(sentence))

    def _deliver(self, message: str) -> None:
        if not self._on_error:
            self._early.append(message)
        for callback in tuple(self._on_error):
            callback(message)

    def _changed(self, run_ids: list[str]) -> None:
        self._on_loop(lambda: [listener(run_id) for run_id in run_ids for listener in tuple(self._on_changed)])

    def _on_loop(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: there is no listener
            self._loop.call_soon_threadsafe(function)


def _drain(waiting: deque[T]) -> list[T]:
    """Remove and return the present items; later ones stay."""
    return list(starmap(waiting.popleft, repeat((), len(waiting))))


def _failure(function: Callable[[], None]) -> BaseException | None:
    try:
        function()
    except BaseException as error:
        return error
    return None


def _resolve(outcomes: dict[asyncio.Future[None], BaseException | None]) -> None:
    for waiting, failure in outcomes.items():
        if waiting.done():  # its loop is closing
            continue
        if failure is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(failure)

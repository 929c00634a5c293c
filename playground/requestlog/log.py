"""RequestLog: the log's interface for the rest of the program. The event loop never waits for the disk."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import repeat, starmap
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from playground.client.events import AnyEvent
from playground.prefix_cache.forecast import Forecast
from playground.prompt.document import Json
from playground.requestlog import retention
from playground.requestlog.filter import EVERYTHING, LogFilter
from playground.requestlog.log_reads import LogReads, Worker
from playground.requestlog.records import AddedRuns, EndedRun, LogUnavailableError, RecoveryProgress, StoredRun
from playground.requestlog.recovery import Ready, advance, open_log, recovery_steps, reopen
from playground.requestlog.rows import summarize
from playground.requestlog.store import FILE_NAME, identity, is_busy, is_damage, is_undecodable
from playground.requestlog.writer import BATCH, IDLE_BATCH, SEALED_AT_ONCE, Writer
from playground.runs.record import RequestRecord
from playground.runs.state import RunState
from playground.tasks import Subscribers

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
SEALS_PER_WRITE = 4
"""Steps (of SEALED_AT_ONCE blocks) in which too many waiting blocks are indexed after a write."""
FLUSH_S = 0.2
"""Seconds that an event may wait in memory."""
LOCK_PATIENCE_S = 1.0
"""Seconds for which a request waits while another process writes; its record is written later then."""
RETRY_S = 2.0
"""Seconds between attempts to write unsaved requests."""

MOST_REPLACED = 3
"""Number of damaged files that a process replaces: more are a fault of the disk."""

T = TypeVar("T")


class _Change(Struct, frozen=True):
    """A change of a live run that waits for the writer's thread. `waiting` gets its result when it is on disk."""

    run_id: str
    apply: Callable[[], None]
    waiting: asyncio.Future[None]


class RequestLog(LogReads):
    """The request log. One thread writes and one reads, so that a long search does not delay requests.

    All methods belong to the event loop that `open` ran on; all callbacks come on it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, worker: Worker, ready: Ready, path: Path) -> None:
        """Private: use `open`."""
        super().__init__(ready.files, path)
        self._loop = loop
        self._write_worker = worker
        self._writer: Writer | None = None
        if ready.files.writer is not None and ready.owner is not None:
            callbacks = (self._report, self._changed, self._will_replace_damaged, self._is_replaced)
            self._writer = Writer(ready.files.writer, ready.owner, *callbacks)
        self._identity = ready.identity
        self._replacing: asyncio.Task[bool] | None = None
        self._replaced = 0
        self._closing = False
        self.waits_for_copies = False
        """Whether a query that found damage waits until the readable requests are in the new log."""
        self.lock_wait_s = 0.0
        """How long a change of ended runs waits for another program that holds the log, after SQLite's own wait."""
        self._recovery_steps = recovery_steps(ready, self._seal_some, self._report, self._inform, self._changed)
        self._notes: deque[tuple[str, AnyEvent]] = deque()
        self._changes: deque[_Change] = deque()
        self._refused: dict[str, BaseException] = {}
        self._armed = self._retrying = self._sealing = False
        """Whether a timer runs: for the flush of notes, for another attempt to write, for the next indexed block."""
        self._written_at = 0.0
        self.has_failed = ready.files.notice is not None and ready.files.aside is None  # it was empty
        """Whether a message was delivered of something that was lost, not done or not read."""
        self.unsaved = 0
        """Requests that could not be written; known after `close`."""
        self._recovered = asyncio.Event()
        self._on_recovery: Subscribers[RecoveryProgress] = Subscribers()
        self._early: list[str] = []
        self._on_changed: Subscribers[str] = Subscribers()
        self._on_notice: Subscribers[str] | None = None

    @classmethod
    async def open(cls, folder: Path, *, reading: bool = False) -> RequestLog:
        """Open the log in a folder, created (mode 0700) if missing; its files have mode 0600.

        Raises LogUnavailableError if the folder cannot be written. A file of a newer version is opened for reading
        only (`read_only_reason`), and with `reading` one that cannot be written. A damaged one is set aside (`notice`).
        Runs whose process died are interrupted.
        """
        worker = Worker("request-log-writer")
        try:
            ready = await worker.call(lambda: open_log(folder, reading=reading))
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
        if self._on_notice is None:
            self._on_notice = Subscribers()
        self._on_notice.subscribe(callback)
        early, self._early = self._early, []
        for message in ([self.notice] if self.notice is not None else []) + early:
            self._loop.call_soon(callback, message)

    def subscribe_recovery(self, callback: Callable[[RecoveryProgress], None]) -> Callable[[], None]:
        """Call back with the progress of a recovery in the background. Returns the function that unsubscribes."""
        return self._on_recovery.subscribe(callback)

    async def recovered(self) -> None:
        """Wait for the end of the recovery."""
        await self._recovered.wait()

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the run_id of each new, changed or deleted run. Returns the function that unsubscribes."""
        return self._on_changed.subscribe(callback)

    async def begin(self, record: RequestRecord) -> None:
        """Store a request before it is sent.

        It is on disk on return, unless another process holds the file or `on_notice` callbacks were called.
        """
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
            self._write_worker.later(FLUSH_S, self._flush_by_timer)

    async def finish(
        self,
        run_id: str,
        state: RunState,
        forecast: Forecast | None = None,
        explanation: Json = None,
        saved: Callable[[], None] | None = None,
    ) -> None:
        """End a run that has begun. It is on disk on return with the exceptions of `begin`.

        Args:
            forecast: replaces the cache forecast with which the run began.
            explanation: why the prompt cache was or was not used, as JSON.
            saved: called when it is on disk, which is later if it cannot be written yet.
        """
        if (writer := self._writer) is not None:
            # A copy, since the state may still change; the thread computes the figures.
            end = replace(state, pieces=list(state.pieces))
            text = None if explanation is None else json.dumps(explanation)
            on_disk = None if saved is None else partial(self._on_loop, saved)
            await self._settled(run_id, lambda: writer.finish(run_id, summarize(end), forecast, text, on_disk))

    async def add(self, runs: Sequence[EndedRun]) -> AddedRuns:
        """Store runs that ended elsewhere, all or none. One imported from a HAR is replaced by itself with exact times.

        Raises OSError with a message if they cannot be written.
        """
        try:
            added = await self._attempt(lambda writer: writer.add(runs), AddedRuns())
        except sqlite3.Error as error:
            reason = "another program holds it" if is_busy(error) else error
            raise OSError(f"the request log could not take them up: {reason}") from error
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
            done = 0
            while done < len(ids):
                at_once = IDLE_BATCH if len(ids) > BATCH and not writer.is_live else BATCH
                some, is_last = ids[done : done + at_once], done + at_once >= len(ids)
                await self._write(partial(Writer.delete, run_ids=some, durable=is_last))
                done += len(some)
                progress(done)
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
        if self._writer is None:
            return 0
        old: list[str] = []
        if max_age is not None:
            moment = datetime.now(UTC) - max_age
            old = await self._attempt(lambda writer: writer.older_than(moment), [])
            await self.delete(old)
        deleted = 0
        if max_bytes is not None:
            deleted = await self._attempt(lambda writer: writer.delete_oldest(max_bytes), 0)
        if deleted:
            await self._purge()
        return len(old) + deleted

    async def set_tags(self, run_ids: Iterable[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Add tags to runs and remove others. Tags ignore case."""
        await self._change(partial(retention.set_tags, run_ids=list(run_ids), add=add, remove=remove))

    async def set_comment(self, run_id: str, comment: str) -> None:
        """Set the comment of an ended run; an empty text removes it."""
        await self._change(partial(retention.set_comment, run_id=run_id, comment=comment))

    async def set_explanation(self, run_id: str, explanation: Json) -> None:
        """Store why the prompt cache was or was not used for a run, as JSON; None removes it."""
        text = None if explanation is None else json.dumps(explanation)
        await self._change(partial(retention.explain, run_id=run_id, explanation=text), durable=False)

    async def _purge(self) -> None:
        """Purge step by step, so that requests are written in between."""
        if (writer := self._writer) is None:
            return
        with suppress(sqlite3.Error):  # another process writes: the purge continues at the next opening
            while not self._closed and not await self._write_worker.call(writer.purge):
                pass
        if not self._closed:
            with suppress(sqlite3.Error):
                await self._write_worker.call(writer.end_deletion)
        if not self._closed:
            self._write_worker.submit(self._seal_later)

    async def mark(self, run_ids: Iterable[str], *, marked: bool = True) -> None:
        """Set or clear the mark that `is:marked` finds."""
        await self._change(partial(retention.mark, run_ids=list(run_ids), marked=marked))

    async def get(self, run_id: str) -> StoredRun | None:
        """Return a run with every event noted so far. `.state()` folds them."""
        if self._notes:
            await self._write_worker.call(self._flush)
        return await super().get(run_id)

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
        if self._closing:
            return
        self._closing = True
        if self._writer is not None:
            await self._write_worker.call(self._flush)  # finds damage while the file can still be replaced
            await asyncio.sleep(0)
        if self._replacing is not None:
            await self._replacing
        self._closed = True
        await self._close_readers()
        self.unsaved += await self._write_worker.call(self._close_writer)
        self._read_worker.stop()
        self._write_worker.stop()

    async def _replace_damaged(self, error: sqlite3.Error) -> bool:
        if not self._can_replace():
            return False
        return await asyncio.shield(self._replacing or self._start_replacing(error))

    def _can_replace(self) -> bool:
        return self._writer is not None and not self._closed and self._replaced < MOST_REPLACED

    def _start_replacing(self, error: sqlite3.Error) -> asyncio.Task[bool]:
        self._replacing = asyncio.create_task(self._replace(error), name="replacement of the damaged log")
        return self._replacing

    async def _replace(self, damage: sqlite3.Error) -> bool:
        self._replaced += 1
        is_recovering = False
        self._is_open.clear()
        try:
            await self._close_readers()
            ready = await self._write_worker.call(lambda: self._reopen(damage))
        except LogUnavailableError as error:
            self._deliver(str(error))
            return False
        else:
            self._connect_readers(ready.files)
            self._recovered.clear()
            is_recovering = True
            if self.notice is not None:
                self._deliver(self.notice)
            self._write_worker.submit(lambda: self._recover(RECOVERY_STEP_S))
            if self.waits_for_copies:
                await self.recovered()
            self._on_changed("")
            return True
        finally:
            self._replacing = None
            self._is_open.set()
            if not is_recovering:
                self._recovered.set()

    @property
    def waits_for_lock(self) -> bool:
        """Whether a change waits for another program that holds the log."""
        return self._writer is not None and self._writer.waits_for_lock

    async def _settled(self, run_id: str, change: Callable[[], None]) -> None:
        """Apply a change to a live run; changes made while the disk is busy share the next transaction."""
        if self._closed:
            raise RuntimeError("the request log is closed")
        waiting = self._loop.create_future()
        self._changes.append(_Change(run_id, change, waiting))
        if len(self._changes) == 1:
            self._write_worker.submit(self._settle)
        while not (await asyncio.wait([waiting], timeout=LOCK_PATIENCE_S))[0]:
            if self.waits_for_lock:
                waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
                return
        waiting.result()

    async def _change(self, function: Callable[[sqlite3.Connection], list[str]], *, durable: bool = True) -> None:
        await self._write(lambda writer: writer.change(function, durable=durable))

    async def _write(self, function: Callable[[Writer], None]) -> None:
        """Change the log; report a failure."""
        try:
            await self._attempt(function, None)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            self._report(f"The request log could not be changed: {error}.")

    async def _attempt(self, function: Callable[[Writer], T], nothing: T) -> T:
        """Call a function on the writer's thread. Returns its result; `nothing` if the log is read-only.

        If damage is found, the function is called again in the new log, when the readable requests were copied into it.
        Raises sqlite3.Error.
        """
        until, is_told = time.monotonic() + self.lock_wait_s, False
        while self._writer is not None:
            try:
                return await self._write_worker.call(lambda: self._on_writer(function, nothing))
            except sqlite3.Error as error:
                if is_busy(error) and time.monotonic() < until:
                    if not is_told:
                        self._deliver(f"Waiting up to {self.lock_wait_s:.0f} s for another program that holds the log.")
                    is_told = True
                    continue
                if not is_damage(error) or is_undecodable(error) or not await self._replace_damaged(error):
                    raise
                await self.recovered()
        return nothing

    # The methods below run on the threads.

    def _on_writer(self, function: Callable[[Writer], T], nothing: T) -> T:
        self._take_notes()
        try:
            return function(self._writer) if self._writer is not None else nothing
        finally:
            self._retry_later()

    def _is_replaced(self) -> bool:
        """Return whether another process has set the open file aside and has begun a new one."""
        return self._can_replace() and identity(self._path) not in (None, self._identity)

    def _will_replace_damaged(self, error: sqlite3.Error) -> bool:
        """Let the damaged file be replaced soon. Returns False if that is impossible, or not worth it for one text."""
        if not self._can_replace() or is_undecodable(error):
            return False

        def replace() -> None:
            if self._replacing is None and self._can_replace():
                self._start_replacing(error)
            else:
                self._recovered.set()

        self._on_loop(replace)
        return True

    def _reopen(self, damage: sqlite3.Error) -> Ready:
        """Write into the log that replaces a damaged one, first what is not saved. Raises LogUnavailableError."""
        writer = self._writer
        if writer is None:
            raise LogUnavailableError("The request log is closed.")
        writer.disconnect()
        try:
            ready = reopen(self._path.parent, damage, self._identity)
        except LogUnavailableError:
            self._writer = None
            self.unsaved += writer.close()
            raise
        self._identity = ready.identity
        self._recovery_steps = recovery_steps(ready, self._seal_some, self._report, self._inform, self._changed)
        if ready.files.writer is not None and ready.owner is not None:
            writer.connect(ready.files.writer, ready.owner)
            self._flush()
        else:
            self._writer = None
            self.unsaved += writer.close()
        return ready

    def _take_notes(self) -> None:
        if self._writer is None:
            return
        self._writer.take(_drain(self._notes))

    def _settle(self) -> None:
        changes = self._take_changes()
        self._take_notes()  # first, because an ended run accepts no more events
        outcomes: dict[asyncio.Future[None], BaseException | None] = {}
        for change in changes:
            outcomes[change.waiting] = _failure(change.apply)
        failure = _failure(self._settle_writer)
        for change in changes:
            outcomes[change.waiting] = outcomes[change.waiting] or failure or self._refused.pop(change.run_id, None)
        # In one call, since waking the loop is the larger cost.
        self._on_loop(partial(_resolve, outcomes))
        self._seal_later()
        self._retry_later()

    def _seal_later(self) -> None:
        """Index full blocks when no request was written for IDLE_S; some at once if too many wait."""
        self._written_at = time.monotonic()
        with suppress(sqlite3.Error):
            for _ in range(SEALS_PER_WRITE):
                if not self._is_behind() or self._writer is None or not self._writer.seal():
                    break
        if not self._sealing:
            self._sealing = True
            self._write_worker.later(IDLE_S, self._seal)

    def _is_behind(self) -> bool:
        return self._writer is not None and self._writer.open_blocks > OPEN_BLOCKS

    def _seal(self) -> None:
        """Index a full block. Until then, and if it fails, its requests are found by reading them.

        After a deletion, thousands can wait: requests are written between two steps.
        """
        self._sealing = False
        pause_s = 0.0
        try:
            behind = self._is_behind()
            idle = behind or time.monotonic() - self._written_at >= IDLE_S
            pause_s = 0.0 if idle else IDLE_S
            limit = SEALED_AT_ONCE if behind else 1
            more = self._writer is not None and (not idle or self._writer.seal(limit) > 0)
        except sqlite3.Error as error:
            more, pause_s = not (is_damage(error) and self._will_replace_damaged(error)), SEAL_RETRY_S
        if more and self._writer is not None:
            self._sealing = True
            self._write_worker.later(pause_s, self._seal)

    def _take_changes(self) -> list[_Change]:
        # Loop until the queue is empty: an item added behind others did not schedule a call.
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._changes.popleft())
        return taken

    def _settle_writer(self) -> None:
        if self._writer is not None:
            self._refused.update(self._writer.settle(durable=True))

    def _flush_by_timer(self) -> None:
        self._armed = False
        self._flush()

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

    def _seal_some(self) -> int:
        return self._writer.seal() if self._writer is not None else 0

    def _recover(self, seconds: float) -> None:
        """Continue the recovery for a limited time, then let pending requests be written."""
        until = time.monotonic() + seconds
        more = True
        try:
            while more and not self._closed and time.monotonic() < until:
                more = advance(self._recovery_steps, self._set_recovery)
        except (OSError, sqlite3.Error) as error:
            # Another process writes, or the disk is full: the next opening continues.
            if isinstance(error, sqlite3.Error) and is_damage(error) and self._will_replace_damaged(error):
                return  # waits for the recovery of the new log
            self._report(f"Recovery of the request log stopped: {error}. It continues at the next start.")
            more = False
        if more and not self._closed:
            self._write_worker.later(0.0, lambda: self._recover(RECOVERY_STEP_S))
        else:
            self._on_loop(self._recovered.set)

    def _set_recovery(self, progress: RecoveryProgress) -> None:
        self._on_loop(lambda: self._on_recovery(progress))

    def _report(self, sentence: str) -> None:
        self.has_failed = True
        self._inform(sentence)

    def _inform(self, sentence: str) -> None:
        self._on_loop(lambda: self._deliver(sentence))

    def _deliver(self, message: str) -> None:
        if self._on_notice is None:
            self._early.append(message)
        else:
            self._on_notice(message)

    def _changed(self, run_ids: list[str]) -> None:
        def notify() -> None:
            for run_id in run_ids:
                self._on_changed(run_id)

        self._on_loop(notify)

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

"""Rate limiter that every process on a data folder shares: plan limits are counted in one file, under a lock.

Plan limits are an account's (electron-api.md, Plan limits). Of other programs only requests through the Recorder are
counted, so a 429 blocks the endpoint for all processes for a while. If the file or its lock cannot be used, requests
are counted within this process only and `on_error` receives a message: the limiter never blocks a request permanently.
"""

from __future__ import annotations

import asyncio
import math
import os
import stat
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from playground.client.endpoint import Endpoint, PlanLimits
from playground.client.retry import LONGEST_ASKED_S, Load, QueueStatus
from playground.runs.metrics import counted
from playground.storage.file_lock import acquired
from playground.storage.paths import write_private

FILE_NAME = "gate.json"
MINUTE_S = 60.0
MAX_HOLD_S = LONGEST_ASKED_S
"""Longest block after a 429: a run does not wait longer than this for a retry either."""
ABANDONED_S = 900.0
"""A request in flight for longer than this belongs to a process that died without giving its slot back."""
SPEECH = "{} speech"
"""The queue of an endpoint's speech requests."""
POLL_S, KNOWN_POLL_S = 0.2, 5.0
"""How often the head of the queue looks for a slot that another process has given back; the second one while the time
of the next slot is known."""
LOCK_TIMEOUT_S = 2.0
"""A process that holds the file's lock for longer than this is stuck: count within this process instead."""
MAX_FILE_BYTES = 1_000_000
"""A larger file counts as empty: 64 processes at 1,000 requests per minute need a tenth of this."""
_PAGE_BYTES = 4_096
_STUCK = "another process does not release its lock"
_UNFOLLOWED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
PASSED_S = 0.05
"""Time between two writes of counted requests."""
RELEASED_S = 0.05
"""How long a released slot may wait for the next request of this process, which writes both at once."""


class _PassedStep(Struct, frozen=True):
    """The start of a request that another program sends through the Recorder, or its end (`start_unix` is None)."""

    base_url: str
    ticket: str
    start_unix: float | None = None


class _Release(Struct, frozen=True):
    """A slot to give back. `held_until`: end of the endpoint's block; `arrived_unix`: of the request at the server."""

    endpoint: Endpoint
    ticket: str
    held_until: float
    arrived_unix: float | None


class SlotRecord(msgspec.Struct):
    """Slots of one address: unix times of the last minute's requests, of requests in flight, and of a block's end.

    A request in flight has the same time in `starts` and in `flights`; speech has none in `starts`.
    """

    starts: list[float] = []
    flights: dict[str, float] = {}
    held_until: float = 0.0


class _SlotAttempt(Struct, frozen=True):
    """Result of an attempt to take a slot. `status`: why the request has to wait; None if it has the slot.

    `others`: see `_Queue`. `error`: why the shared file cannot be used, as a sentence for the user; or empty.
    """

    status: QueueStatus | None
    others: Load
    error: str = ""


class _Queue(Struct):
    tickets: deque[str] = field(default_factory=deque)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    base_url: str = ""
    others: Load = field(default_factory=Load)
    """As of `load_unix`: what other processes have in flight, and the requests of this minute of all processes."""
    load_unix: float = 0.0


class SharedRateLimiter:
    """Slots by endpoint, in FIFO order within this process."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.time,
        on_error: Callable[[str], None] = lambda _message: None,
    ) -> None:
        """`clock` returns unix seconds, which processes share."""
        self._file = _SharedFile(folder / FILE_NAME)
        self._clock, self._on_error = clock, on_error
        self._own: dict[str, SlotRecord] = {}
        """This process's counts, used while the file cannot be used."""
        self._error = ""
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._held: dict[str, str] = {}
        """Tickets between `acquire` and `release` with their base URL: what this limiter has in flight."""
        self._own_tickets = f"{os.getpid()}-{os.urandom(4).hex()}-"
        self._writing: set[asyncio.Future[Any]] = set()
        self._passed: list[_PassedStep] = []
        """Steps of other programs that are not in the file yet."""
        self._passing: asyncio.Future[None] | None = None
        """The task that writes them."""
        self._releases: list[_Release] = []
        """Released slots that are not in the file yet: the next request of this process writes them with its own."""
        self._timer: asyncio.TimerHandle | None = None

    def _queues_of(self, endpoint_id: str) -> tuple[_Queue, _Queue]:
        """Return the queue of requests and that of speech."""
        return self._queues[endpoint_id], self._queues[SPEECH.format(endpoint_id)]

    async def acquire(self, endpoint: Endpoint, on_wait: Callable[[QueueStatus], None], *, speech: bool = False) -> str:
        """Wait for a slot and take it. Returns a ticket for `release`.

        Speech has a queue of its own: it does not wait behind requests that wait for the minute.
        """
        ticket = f"{self._own_tickets}{os.urandom(8).hex()}"
        queue = self._queues[SPEECH.format(endpoint.id) if speech else endpoint.id]
        queue.tickets.append(ticket)
        reported: tuple[int, str] | None = None
        try:
            while True:
                position = queue.tickets.index(ticket) + 1
                if position > 1:
                    status: QueueStatus | None = QueueStatus(position, "other requests are first", None)
                else:
                    status = await self._try(endpoint, ticket, speech=speech)
                if status is None:
                    self._held[ticket] = endpoint.base_url
                    return ticket
                if (status.position, status.reason) != reported:
                    reported = (status.position, status.reason)
                    on_wait(status)
                await self._pause(queue, status)
        finally:
            queue.tickets.remove(ticket)
            queue.released.set()

    async def _pause(self, queue: _Queue, status: QueueStatus) -> None:
        queue.released.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(status.expected_s, KNOWN_POLL_S) if status.expected_s else POLL_S):
                await queue.released.wait()

    async def _try(self, endpoint: Endpoint, ticket: str, *, speech: bool) -> QueueStatus | None:
        """Take a slot in a thread. Returns why the request has to wait; None if it has the slot."""
        releases, self._releases = self._releases, []
        take = asyncio.ensure_future(asyncio.to_thread(self._take, endpoint, ticket, releases, speech=speech))
        try:
            outcome = await asyncio.shield(take)
        except asyncio.CancelledError:
            # The thread may still acquire the slot: release it when the thread has ended.
            self._writing.add(take)
            take.add_done_callback(lambda _done: self._give_back_now(endpoint, ticket))
            take.add_done_callback(lambda _done: self._wake(releases))
            take.add_done_callback(self._writing.discard)
            raise
        self._wake(releases)
        if outcome.error and outcome.error != self._error:
            self._on_error(outcome.error)
        self._error = outcome.error
        self._note_load(endpoint, outcome.others)
        return outcome.status

    def _note_load(self, endpoint: Endpoint, others: Load) -> None:
        queue = self._queues[endpoint.id]
        queue.base_url, queue.others, queue.load_unix = endpoint.base_url, others, self._clock()

    def release(self, endpoint: Endpoint, ticket: str, hold_s: float = 0.0, arrived_s_ago: float | None = None) -> None:
        """Release a slot. The file is written in a thread; `close` waits for it.

        If no request of this process waits and the endpoint is not blocked, the slot is free for other processes after
        RELEASED_S, or with the next request.
        """
        self._held.pop(ticket, None)
        arrived_unix = None if arrived_s_ago is None else self._clock() - arrived_s_ago
        if hold_s > 0 or any(waiting.tickets for waiting in self._queues_of(endpoint.id)):
            self._give_back_now(endpoint, ticket, hold_s, arrived_unix)
            return
        self._releases.append(_Release(endpoint, ticket, 0.0, arrived_unix))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RELEASED_S, self._write_releases)

    def _give_back_now(
        self, endpoint: Endpoint, ticket: str, hold_s: float = 0.0, arrived_unix: float | None = None
    ) -> None:
        held_until = self._clock() + min(hold_s, MAX_HOLD_S) if hold_s > 0 else 0.0
        self._releases.append(_Release(endpoint, ticket, held_until, arrived_unix))
        self._write_releases()

    def _write_releases(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        releases, self._releases = self._releases, []

        def given_back(done: asyncio.Future[None]) -> None:
            self._writing.discard(done)
            self._wake(releases)

        if releases:
            future = asyncio.get_running_loop().run_in_executor(None, self._give_back, releases)
            self._writing.add(future)
            future.add_done_callback(given_back)

    def _wake(self, releases: Sequence[_Release]) -> None:
        for endpoint_id in {release.endpoint.id for release in releases}:
            for queue in self._queues_of(endpoint_id):
                queue.released.set()

    def count(self, endpoint: Endpoint) -> Callable[[], None]:
        """Count a request that another program sends now: it never waits. Call the result when it has ended."""
        ticket = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._pass(_PassedStep(endpoint.base_url, ticket, self._clock()))
        return lambda: self._pass(_PassedStep(endpoint.base_url, ticket))

    def hold(self, endpoint: Endpoint, hold_s: float) -> None:
        """Block the endpoint for this long, in all processes on the data folder. The file is written in a thread."""
        self._give_back_now(endpoint, "", hold_s)

    def _pass(self, step: _PassedStep) -> None:
        self._passed.append(step)
        if self._passing is None or self._passing.done():
            self._passing = asyncio.ensure_future(self._write_passed())
            self._writing.add(self._passing)
            self._passing.add_done_callback(self._writing.discard)

    async def _write_passed(self) -> None:
        while self._passed:
            steps, self._passed = self._passed, []
            await asyncio.to_thread(self._apply_passed, steps)
            # One write for all requests of this time: a busy program sends hundreds per second.
            await asyncio.sleep(PASSED_S)

    def _apply_passed(self, steps: Sequence[_PassedStep]) -> None:
        try:
            with self._file.locked() as records:
                _count_passed(records, steps, self._clock())
        except OSError:
            _count_passed(self._own, steps, self._clock())

    async def close(self) -> None:
        """Wait until every released slot is on disk."""
        self._write_releases()
        while writing := tuple(self._writing):
            await asyncio.gather(*writing, return_exceptions=True)
            # Since Python 3.12, waiting for finished tasks does not let their callbacks run.
            self._writing.difference_update(writing)
            self._write_releases()  # released meanwhile

    async def refresh(self, endpoint: Endpoint) -> None:
        """Read the counts of all processes on the data folder. Without a readable file they stay as they are."""
        with suppress(OSError):
            self._note_load(endpoint, await asyncio.to_thread(self._read_load, endpoint.base_url))

    def _read_load(self, base_url: str) -> Load:
        with self._file.locked() as records:
            record = records.get(base_url, SlotRecord())
            _prune(record, self._clock())
            return self._load_of_others(record)

    def _load_of_others(self, record: SlotRecord) -> Load:
        others = sum(not ticket.startswith(self._own_tickets) for ticket in record.flights)
        return Load(others, len(record.starts))

    def load(self, endpoint_id: str) -> Load:
        """Return the counts: this process's in flight as of now, the rest as of the last look at the file.

        Requests of the minute expire after a minute; requests of other processes when `refresh` reads again.
        """
        queue = self._queues[endpoint_id]
        stale = self._clock() - queue.load_unix > MINUTE_S
        own = sum(base_url == queue.base_url for base_url in self._held.values())
        return Load(own + queue.others.in_flight, 0 if stale else queue.others.this_minute)

    def others_in_flight(self, endpoint_id: str) -> bool:
        """Return whether other processes had requests in flight at the last look at the file."""
        return self._queues[endpoint_id].others.in_flight > 0

    def _take(self, endpoint: Endpoint, ticket: str, releases: Sequence[_Release], *, speech: bool) -> _SlotAttempt:
        """Give slots back, then take one if one is free, under the file's lock. Blocking."""

        def take(records: dict[str, SlotRecord], error: str) -> _SlotAttempt:
            record = _pruned(records, endpoint.base_url, now_unix := self._clock())
            status = _take_slot(record, endpoint.plan, ticket, now_unix, speech=speech)
            return _SlotAttempt(status, self._load_of_others(record), error)

        self._give_back_own(releases)
        try:
            with self._file.locked() as records:
                _give_slots_back(records, releases)
                return take(records, "")
        except OSError as error:
            message = (
                f"Plan limits are counted in this process only: {FILE_NAME} in the data folder cannot be used "
                f"({error.strerror or error}). Requests are sent all the same."
            )
            return take(self._own, message)

    def _give_back(self, releases: Sequence[_Release]) -> None:
        with suppress(OSError), self._file.locked() as records:
            _give_slots_back(records, releases)
        self._give_back_own(releases)

    def _give_back_own(self, releases: Sequence[_Release]) -> None:
        """Give slots back in this process's counts: all while the file cannot be used, later those counted there."""
        own = [release for release in releases if self._error or release.endpoint.base_url in self._own]
        _give_slots_back(self._own, own)


def _pruned(records: dict[str, SlotRecord], base_url: str, now_unix: float) -> SlotRecord:
    """Drop what has expired from all records, and empty records. Returns that of an address, new if there is none."""
    for url in list(records):
        _prune(records[url], now_unix)
        if records[url] == SlotRecord():
            del records[url]
    return records.setdefault(base_url, SlotRecord())


def _take_slot(
    record: SlotRecord, plan: PlanLimits, ticket: str, now_unix: float, *, speech: bool
) -> QueueStatus | None:
    """Take a slot if one is free; otherwise return why the request has to wait. No minute counts speech."""
    status = _queue_status(record, replace(plan, requests_per_minute=None) if speech else plan, now_unix)
    if status is None:
        if not speech:
            record.starts.append(now_unix)
        record.flights[ticket] = now_unix
    return status


def _count_passed(records: dict[str, SlotRecord], steps: Sequence[_PassedStep], now_unix: float) -> None:
    for step in steps:
        record = records.setdefault(step.base_url, SlotRecord())
        if step.start_unix is None:
            record.flights.pop(step.ticket, None)
        else:
            record.starts.append(step.start_unix)
            record.flights[step.ticket] = step.start_unix
    for base_url in {step.base_url for step in steps}:
        _prune(records[base_url], now_unix)


def _give_slots_back(records: dict[str, SlotRecord], releases: Sequence[_Release]) -> None:
    for release in releases:
        record = records.setdefault(release.endpoint.base_url, SlotRecord())
        start_unix = record.flights.pop(release.ticket, None)
        if release.arrived_unix is not None and start_unix in record.starts:
            # The server's minute begins when the request arrives, which may be long after the slot was acquired.
            record.starts[record.starts.index(start_unix)] = max(release.arrived_unix, start_unix)
        record.held_until = max(record.held_until, release.held_until)


class _SharedFile:
    """The file and its lock. A damaged file counts as empty, since it only holds one minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own_turn = threading.Lock()
        """Threads of this process wait for each other here: FileLock would look again every 10 ms."""

    @contextmanager
    def locked(self) -> Iterator[dict[str, SlotRecord]]:
        """Yield the records by base URL under the lock, and write them if they changed. Raises OSError."""
        # Imported on first use: the first paint does not need it.
        from filelock import Timeout

        until = time.monotonic() + LOCK_TIMEOUT_S
        if not self._own_turn.acquire(timeout=LOCK_TIMEOUT_S):
            raise TimeoutError(None, _STUCK)
        try:
            if not self._path.parent.is_dir():
                raise FileNotFoundError(None, "the data folder was deleted")
            try:
                lock = acquired(self._path.with_suffix(".lock"), max(until - time.monotonic(), 0.0))
            except Timeout as error:
                raise TimeoutError(None, _STUCK) from error
            try:
                before = self._read()
                records = _records(before)
                yield records
                after = msgspec.json.encode(records)
                if after != before.rstrip(b" "):
                    self._write(after, len(before))
            finally:
                lock.release()
        finally:
            self._own_turn.release()

    def _read(self) -> bytes:
        try:
            # O_NOFOLLOW: whatever a symbolic link points to is not ours. The next write replaces the link.
            handle = os.open(self._path, os.O_RDONLY | _UNFOLLOWED)
        except FileNotFoundError:
            return b""
        except OSError:
            if self._path.is_symlink():
                return b""
            raise
        with os.fdopen(handle, "rb") as file:
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                raise IsADirectoryError(None, "a folder has its name")
            return file.read(MAX_FILE_BYTES + 1)

    def _write(self, data: bytes, size: int) -> None:
        """Overwrite the file of `size` bytes in place: ext4 writes a file that replaces another to the disk at once.

        One write, with spaces up to the old end: a process that is killed leaves the old or the new text. Between two
        pages of a longer text it may leave both, which the next reader takes for damage.
        """
        if len(data) <= MAX_FILE_BYTES and size <= max(2 * len(data), _PAGE_BYTES):
            with suppress(OSError):
                handle = os.open(self._path, os.O_WRONLY | _UNFOLLOWED)
                try:
                    if _is_ours(os.fstat(handle)) and os.write(handle, data.ljust(size)) >= len(data):
                        return
                finally:
                    os.close(handle)
        write_private(self._path, data, replace_link=True, durable=False)


def _is_ours(status: os.stat_result) -> bool:
    """Return whether it is a regular file with one name; on POSIX systems, for this user only."""
    private = sys.platform == "win32" or not status.st_mode & 0o077
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and private


def _records(data: bytes) -> dict[str, SlotRecord]:
    """Decode what can be used; the rest counts as absent."""
    if len(data) > MAX_FILE_BYTES:
        return {}
    damage = (msgspec.MsgspecError, ValueError, RecursionError)
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except damage:
        return {}
    records: dict[str, SlotRecord] = {}
    for base_url, raw in fields.items():
        with suppress(*damage):
            records[base_url] = msgspec.json.decode(raw, type=SlotRecord)
    return records


def _prune(record: SlotRecord, now_unix: float) -> None:
    """Drop expired entries, and entries that no process can have written: future times, too long a block."""
    record.flights = {
        ticket: start_unix
        for ticket, start_unix in record.flights.items()
        if 0 <= now_unix - start_unix < ABANDONED_S and _is_alive(ticket.split("-")[0])
    }
    # A request in flight may not have arrived at the server: its minute may not have begun.
    in_flight = {start_unix for start_unix in record.flights.values() if now_unix - start_unix < 2 * MINUTE_S}
    record.starts = [at for at in record.starts if now_unix - MINUTE_S < at <= now_unix or at in in_flight]
    if not (math.isfinite(record.held_until) and 0 < record.held_until - now_unix <= MAX_HOLD_S):
        record.held_until = 0.0


def _is_alive(pid: str) -> bool:
    if sys.platform == "win32":
        return True  # os.kill would end the process there
    if not (pid.isascii() and pid.isdigit() and len(pid) < 10):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(pid) > 0


def _queue_status(record: SlotRecord, plan: PlanLimits, now_unix: float) -> QueueStatus | None:
    """Return why a request has to wait; None if it can be sent."""
    if plan.in_flight is not None and len(record.flights) >= plan.in_flight:
        return QueueStatus(1, f"{counted(plan.in_flight, 'request')} in flight, the plan's limit", None)
    if plan.requests_per_minute is not None and len(record.starts) >= plan.requests_per_minute:
        reason = f"{counted(plan.requests_per_minute, 'request')} within a minute, the plan's limit"
        # The oldest request frees a slot; one in flight does not before it has ended.
        expected_s = sorted(record.starts)[-plan.requests_per_minute] + MINUTE_S - now_unix
        return QueueStatus(1, reason, expected_s if expected_s > 0 else None)
    if record.held_until > now_unix:
        return QueueStatus(1, "the server answered 429 (too many requests)", record.held_until - now_unix)
    return None

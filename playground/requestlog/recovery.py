"""Opening of the log, and its recovery after a crash or damage.

The recovery runs in steps on the writer's thread, so that new requests are logged meanwhile. Two jobs: end the runs of
processes that died, and copy the readable requests of a damaged file that was set aside.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import chain, groupby
from pathlib import Path

from msgspec import Struct, field

from playground.client.events import AnyEvent, BodyIdReceived, ContentDelta, RawEvent, TokenProbabilities
from playground.requestlog import index, ordered, retention, rows
from playground.requestlog.blob_store import Keeper
from playground.requestlog.codec import decode_events
from playground.requestlog.log_queries import add_id_indexes
from playground.requestlog.migrations import OLD_SEARCH
from playground.requestlog.process_lock import Owner, is_alive, opening, sweep
from playground.requestlog.records import DamagedRunError, EndedRun, LogUnavailableError, StoredRun
from playground.requestlog.sent_body import SentBody
from playground.requestlog.store import (
    FILE_NAME,
    OpenedStore,
    copying,
    end_opening,
    identity,
    is_damage,
    open_aside,
    open_files,
    open_to_read,
    reason_of,
    replace_damaged,
    transaction,
    unavailable,
    unfinished_copies,
)
from playground.requestlog.stored_runs import DAMAGE, KINDS, StoredRuns, check_types
from playground.requestlog.summary import summarize
from playground.runs.metrics import counted
from playground.runs.state import ENDED, RunState

SMALL_BYTES = 256 * 1024
"""Events of a run (compressed) up to which they are rewritten as one block; those of a longer run are not changed."""
MAX_TEXT_CHARS = 8 * 1024 * 1024
"""Characters of an answer that recovery keeps in memory. The rest stays in the events."""
_BATCHES_PER_STEP = 16
PURGE_S = 0.2
"""Seconds that opening may spend on purging what an earlier process deleted."""
MAX_NAMED = 5
"""Damaged requests that a message names; the others are counted."""


class RecoveryProgress(Struct, frozen=True):
    """`done` of `total` requests are recovered; `damaged` could not be read."""

    done: int
    total: int
    damaged: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.done + self.damaged >= self.total


class Ready(Struct, frozen=True):
    """The opened files, this process's lock (None: read-only) and the runs of dead processes, claimed for recovery."""

    files: OpenedStore
    owner: Owner | None
    orphans: list[int] = field(default_factory=list)
    identity: tuple[int, int] | None = None
    """`store.identity` of the file."""


def finish_purge(connection: sqlite3.Connection) -> None:
    """Continue an interrupted purge for a limited time; the next opening continues the rest."""
    until = time.monotonic() + PURGE_S
    while retention.needed(connection) and time.monotonic() < until and not retention.step(connection):
        pass


def open_log(folder: Path, *, reading: bool = False) -> Ready:
    """Open, check and tidy the log in a folder, created with mode 0700 if missing. Raises LogUnavailableError.

    `reading`: a log that cannot be written is opened as it is.
    """
    try:
        return _open_log(folder)
    except LogUnavailableError as error:
        why = reason_of(error.__cause__ or error)
        files = open_to_read(folder, why) if reading else None
        if files is None:
            raise
        return Ready(files, None)


def _open_log(folder: Path) -> Ready:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with opening(folder):
            return _opened(folder)
    except OSError as error:
        raise LogUnavailableError(unavailable(folder, error)) from error


def _opened(folder: Path) -> Ready:
    files = open_files(folder)
    if files.writer is None:
        return Ready(files, None)
    owner: Owner | None = None
    try:
        sweep(folder)
        owner = Owner(folder)
        orphans = claim_orphans(files.writer, folder, owner.id)
        finish_purge(files.writer)
        end_opening(files.writer)
    except (OSError, sqlite3.Error) as error:
        files.writer.close()
        files.reader.close()
        if owner is not None and files.aside is None and isinstance(error, sqlite3.Error) and is_damage(error):
            # A large file is not checked as a whole when it is opened.
            files = replace_damaged(folder, error)
            if files.writer is not None:
                end_opening(files.writer)
            return Ready(files, owner, [], identity(folder / FILE_NAME))
        if owner is not None:
            owner.release()
        raise LogUnavailableError(unavailable(folder, error)) from error
    return Ready(files, owner, orphans, identity(folder / FILE_NAME))


def reopen(folder: Path, damage: sqlite3.Error, opened: tuple[int, int] | None) -> Ready:
    """Set aside a log in which this process found damage, and begin a new one, or open the one that another process
    has begun. Its connections are closed. Raises LogUnavailableError."""
    try:
        with opening(folder):
            files = replace_damaged(folder, damage, opened)
            if files.writer is None:
                return Ready(files, None)
            end_opening(files.writer)
            return Ready(files, Owner(folder), [], identity(folder / FILE_NAME))
    except (OSError, sqlite3.Error) as error:
        raise LogUnavailableError(unavailable(folder, error)) from error


def claim_orphans(connection: sqlite3.Connection, folder: Path, owner: str) -> list[int]:
    """Take over the runs of processes that died; returns their numbers. Another process then leaves them alone."""
    owners = [row[0] for row in connection.execute("SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL")]
    gone = [one for one in owners if one != owner and not is_alive(folder, one)]
    if not gone:
        return []
    claimed: list[int] = []
    with transaction(connection, durable=True):
        for one in gone:
            numbers = [row[0] for row in connection.execute("SELECT number FROM runs WHERE owner = ?", (one,))]
            connection.execute("UPDATE runs SET owner = ? WHERE owner = ?", (owner, one))
            claimed += numbers
    return claimed


def end_orphans(connection: sqlite3.Connection, numbers: list[int]) -> Iterator[RecoveryProgress]:
    """End claimed runs as interrupted (or as their events say), a step at a time. Raises sqlite3.Error."""
    for done, number in enumerate(numbers):
        for _ in _end_orphan(connection, number):
            yield RecoveryProgress(done, len(numbers))
        yield RecoveryProgress(done + 1, len(numbers))


def _end_orphan(connection: sqlite3.Connection, number: int) -> Iterator[None]:
    state, body_ids, last_at = RunState(), set[str](), 0.0
    batches = [row[0] for row in connection.execute("SELECT id FROM events WHERE number = ? ORDER BY id", (number,))]
    short = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM events WHERE number = ?", (number,))
    small = short.fetchone()[0] <= SMALL_BYTES
    chars = 0
    for first in range(0, len(batches), _BATCHES_PER_STEP):
        for event in _events(connection, batches[first : first + _BATCHES_PER_STEP]):
            last_at = event.at
            if isinstance(event, BodyIdReceived):
                body_ids.add(event.id)
            if isinstance(event, ContentDelta):
                chars += len(event.text)
            # Raw events and texts beyond the bound are not needed for the figures.
            if not isinstance(event, RawEvent | TokenProbabilities) and (
                chars <= MAX_TEXT_CHARS or not isinstance(event, ContentDelta)
            ):
                state.apply(event)
        _ = state.text  # joins the pieces: a million of them take more memory than their text
        yield
    if state.phase not in ENDED:
        state.phase = "interrupted"
        state.ended_at = last_at if batches else None
    summary = summarize(state, body_ids)
    with transaction(connection, durable=True):
        dropped = connection.execute("SELECT dropped_raw FROM runs WHERE number = ?", (number,)).fetchone()[0]
        rows.end_run(connection, number, summary, bool(dropped))
        if small:
            with suppress(*DAMAGE):
                rows.replace_events(connection, number, tuple(rows.read_events(connection, number)), summary)


def _events(connection: sqlite3.Connection, ids: list[int]) -> Iterator[AnyEvent]:
    for id_ in ids:
        row = connection.execute("SELECT data FROM events WHERE id = ?", (id_,)).fetchone()
        if row is not None:
            with suppress(*DAMAGE):
                yield from decode_events((row[0],))


class Salvage:
    """Copies the requests that can still be read from a damaged log into the new one, with their numbers.

    A process that ends before the last one leaves the rest to the next start: see `store.copying`.
    """

    def __init__(self, connection: sqlite3.Connection, keeper: Keeper, aside: Path) -> None:
        """Take over `connection` and `keeper`, which belong to the new log's writer."""
        self._connection, self._keeper, self._aside = connection, keeper, aside
        self.copied = self.without_events = 0
        self.damaged: list[str] = []

    def steps(self) -> Iterator[RecoveryProgress]:
        """Copy some requests per step. A file of which nothing can be read yields nothing."""
        marker = copying(self._aside)
        try:
            done = int(marker.read_bytes())
        except (OSError, ValueError):
            done = 0
        try:
            yield from self._copy_all(marker, done)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error) and self._aside.exists():
                raise
        with transaction(self._connection, durable=True):
            index.expire_caches(self._connection)  # requests were added below newer ones
        with suppress(OSError):
            marker.unlink()

    def _copy_all(self, marker: Path, done: int) -> Iterator[RecoveryProgress]:
        with closing(open_aside(self._aside)) as connection:
            reader = StoredRuns(connection)
            _replace_damaged_tables(connection, reader)
            running = self._running_elsewhere(connection)
            numbers = [number for number in _numbers(connection) if number > done and number not in running]
            # All requests of a block of the text search in one transaction: it is not indexed before.
            for _, some in groupby(numbers, lambda number: number >> index.SHIFT):
                together = list(some)
                self._copy(reader, together)
                with suppress(OSError):  # the next start copies them again, and finds that they are there
                    marker.write_bytes(str(together[-1]).encode())
                yield RecoveryProgress(self.copied, len(numbers), len(self.damaged))

    def _running_elsewhere(self, connection: sqlite3.Connection) -> set[object]:
        """Return the requests of other living processes: these write them into the new log."""
        owned = _readable(connection, "SELECT number, owner FROM runs NOT INDEXED WHERE owner NOT NULL")
        owners = {owner for _, owner in owned if isinstance(owner, str)}
        living = {owner for owner in owners if is_alive(self._aside.parent, owner)}
        return {number for number, owner in owned if owner in living}

    def _copy(self, reader: StoredRuns, numbers: list[int]) -> None:
        found: list[tuple[int, EndedRun]] = []
        for number in numbers:
            try:
                stored = reader.salvaged(number)
            except (DamagedRunError, sqlite3.Error):
                stored = None
            if stored is None:
                self.damaged.append(f"number {number}")
            else:
                found.append((number, _ended(stored)))
        with transaction(self._connection, durable=True):
            self._keeper.begin()
            taken = set(rows.taken_numbers(self._connection, numbers))
            for number, run in found:
                free = None if number in taken else number
                rows.insert_ended(self._connection, self._keeper, run, SentBody(run.record.body), free)
            self._keeper.end()
        self.copied += len(found)
        self.without_events = len(reader.without_events)

    @property
    def message(self) -> str:
        """The result for the user."""
        copied = counted(self.copied, "request") if self.copied else "No request"
        text = f"{copied} {'were' if self.copied > 1 else 'was'} copied from the damaged request log {self._aside.name}"
        if self.without_events:
            text += f" ({self.without_events:,} without events: their times and tool calls are lost)"
        if not self.damaged:
            return f"{text}."
        return f"{text}; {damaged_message(self.damaged)}"


def damaged_message(run_ids: list[str]) -> str:
    """Count the damaged requests and name the first MAX_NAMED."""
    named = ", ".join(run_ids[:MAX_NAMED]) + (", …" if len(run_ids) > MAX_NAMED else "")
    return f"{counted(len(run_ids), 'damaged request')} could not be read ({named})."


_TARGETS = "id, endpoint_id, endpoint_name, endpoint_kind, base_url, model, rates"
"""Columns of `targets`."""
_UNKNOWN_TARGET = ("", "unknown", "electron", "", "unknown", "{}")
"""Values of a row of `targets` that cannot be read."""


def _replace_damaged_tables(connection: sqlite3.Connection, reader: StoredRuns) -> None:
    """Put a temporary table with what can be read in place of a small table that is damaged: `targets`, `tags`.

    Every request needs a row of the first and reads the second.
    """
    if (targets := _good_targets(connection, reader)) is not None:
        connection.execute("CREATE TEMP TABLE targets AS SELECT * FROM main.targets WHERE 0")
        connection.executemany(f"INSERT INTO targets ({_TARGETS}) VALUES (?, ?, ?, ?, ?, ?, ?)", targets)
    try:
        connection.execute("SELECT count(*), max(tag) FROM tags NOT INDEXED").fetchone()
        connection.execute("PRAGMA quick_check(tags)").fetchone()
        connection.execute("SELECT number, tag FROM tags INDEXED BY tags_number ORDER BY number").fetchall()
    except sqlite3.Error:
        connection.execute("CREATE TEMP TABLE tags (tag TEXT, number INTEGER)")
        sql = "INSERT INTO temp.tags VALUES (?, ?)"
        connection.executemany(sql, _readable(connection, "SELECT tag, number FROM main.tags"))


def _good_targets(connection: sqlite3.Connection, reader: StoredRuns) -> list[tuple[object, ...]] | None:
    """Return a row for each target of a request; None if all rows are intact."""
    found: dict[object, tuple[object, ...]] = {}
    for order in ("ASC", "DESC"):
        for row in _readable(connection, f"SELECT {_TARGETS} FROM main.targets ORDER BY id {order}"):
            with suppress(*DAMAGE):
                check_types(row, (KINDS["i"], *[KINDS["t"]] * 6))
                reader.rates_of(str(row[-1]))
                found[row[0]] = row
    used: set[object] = set()
    for order in ("ASC", "DESC"):
        used.update(
            row[0] for row in _readable(connection, f"SELECT target FROM runs NOT INDEXED ORDER BY number {order}")
        )
    lost = used - found.keys()
    if not lost:
        return None
    return [*found.values(), *((id_, *_UNKNOWN_TARGET) for id_ in lost)]


def _readable(connection: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
    """Return the rows before the first one that cannot be read."""
    found = []
    with suppress(sqlite3.Error, *DAMAGE):
        for row in connection.execute(sql):
            found.append(row)  # list() would lose all
    return found


def _numbers(connection: sqlite3.Connection) -> list[int]:
    """Return the numbers to try, from whichever b-tree can be read."""
    found: set[int] = set()
    for sql in (
        "SELECT number FROM runs NOT INDEXED ORDER BY number",
        "SELECT number FROM runs NOT INDEXED ORDER BY number DESC",
        "SELECT number FROM texts ORDER BY number",
        "SELECT number FROM runs INDEXED BY runs_started",
    ):
        try:
            found.update(row[0] for row in connection.execute(sql) if isinstance(row[0], int))
        except (sqlite3.Error, *DAMAGE):
            continue
    return sorted(found)


def _ended(stored: StoredRun) -> EndedRun:
    return EndedRun(
        stored.record,
        tuple(stored.events),
        stored.marked,
        stored.tags,
        stored.comment,
        stored.imported,
        stored.dropped_raw,
        stored.explanation,
    )


def is_index_damaged(connection: sqlite3.Connection) -> bool:
    """Return whether the text search or an index misses rows. Reads the whole file: for small ones."""
    try:
        return connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok" or not index.is_whole(connection)
    except sqlite3.Error as error:
        if is_damage(error):
            return True
        raise


def rebuild_indexes(connection: sqlite3.Connection) -> None:
    """Build every index and the text search from the tables. Raises sqlite3.Error."""
    with transaction(connection, durable=True):
        connection.execute("REINDEX")
        index.open_all(connection)


_EMPTIED_AT_ONCE = 300


def empty_old_search(connection: sqlite3.Connection) -> Iterator[None]:
    """Remove the tables of the text search before version 6, a part per step, without a long transaction."""
    present = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in OLD_SEARCH:
        if table not in present:
            continue
        key = {"run_elements": "(number, element)", "elements": "id"}.get(table, "id")
        name = f"{table}_data" if table.endswith("_search") else table
        columns = key.strip("()")
        # FTS5 needs its first records to drop the table.
        some = f"SELECT {columns} FROM {name}{' WHERE id > 10' if name != table else ''} LIMIT {_EMPTIED_AT_ONCE}"
        while connection.execute(f"DELETE FROM {name} WHERE {key} IN ({some})").rowcount:
            yield
        connection.execute(f"DROP TABLE {table}")
        yield


CHECK_INDEXES_BYTES = 4 * 1024 * 1024
"""Size up to which indexes are compared with the tables after opening (some 25 ms)."""


def recovery_steps(
    ready: Ready,
    seal: Callable[[], int],
    report: Callable[[str], None],
    changed: Callable[[list[str]], None],
) -> Iterator[RecoveryProgress]:
    """Yield after each step of the recovery of an opened log. Raises sqlite3.Error.

    `seal` adds blocks to the text search and returns their number. `changed` gets run_ids; "" stands for all.
    """
    connection = ready.files.writer
    if connection is None:
        return
    done = 0
    for progress in end_orphans(connection, ready.orphans):
        yield progress
        if progress.done > done:
            done = progress.done
            changed([rows.run_id_of(connection, ready.orphans[done - 1])])
    for aside in unfinished_copies(ready.owner.folder) if ready.owner is not None else ():
        salvage = Salvage(connection, Keeper(connection), aside)
        yield from salvage.steps()
        report(salvage.message)
        changed([""])
    if retention.used_bytes(connection) <= CHECK_INDEXES_BYTES and is_index_damaged(connection):
        rebuild_indexes(connection)
        report("Indexes of the request log were damaged, so that searches missed requests. They were rebuilt.")
        changed([""])
        yield RecoveryProgress(1, 1)
    for _ in chain(add_id_indexes(connection), ordered.add_bounds(connection)):
        yield RecoveryProgress(1, 1)
    total = connection.execute("SELECT count(*) FROM open_blocks").fetchone()[0]
    done = 0
    while sealed := seal():  # blocks that an earlier version or process left
        done += sealed
        yield RecoveryProgress(min(done, total), total)
    for _ in empty_old_search(connection):
        yield RecoveryProgress(1, 1)


def advance(steps: Iterator[RecoveryProgress], on_progress: Callable[[RecoveryProgress], None]) -> bool:
    """Do one step; returns whether there are more."""
    progress = next(steps, None)
    if progress is None:
        return False
    on_progress(progress)
    return True

"""Opening of the log, and its recovery after a crash or damage.

The recovery runs in steps on the writer's thread, so that new requests are logged meanwhile. It ends the runs of
processes that died, lets `salvage` copy the requests of damaged files, and completes indexes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from msgspec import Struct, field

from playground.client.events import AnyEvent, BodyIdReceived, ContentDelta, TokenProbabilities
from playground.requestlog import index, ordered, retention, rows
from playground.requestlog.blob_store import Keeper
from playground.requestlog.codec import decode_events
from playground.requestlog.log_queries import add_id_indexes
from playground.requestlog.migrations import OLD_SEARCH
from playground.requestlog.records import LogUnavailableError, RecoveryProgress
from playground.requestlog.rows import summarize
from playground.requestlog.salvage import Salvage
from playground.requestlog.store import (
    FILE_NAME,
    OpenedStore,
    cause_of,
    identity,
    is_damage,
    open_files,
    open_to_read,
    reason_of,
    replace_damaged,
    set_busy_timeout,
    transaction,
    unavailable,
    unfinished_copies,
)
from playground.requestlog.stored_runs import DAMAGE
from playground.runs.state import ENDED, RunState
from playground.storage.file_lock import Owner, is_alive, opening, sweep

SMALL_BYTES = 256 * 1024
"""Events of a run (compressed) up to which they are rewritten as one block; those of a longer run are not changed."""
MAX_TEXT_CHARS = 8 * 1024 * 1024
"""Characters of an answer that recovery keeps in memory. The rest stays in the events."""
_BATCHES_PER_STEP = 16
PURGE_S = 0.2
"""Seconds that opening may spend on purging what an earlier process deleted."""


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
        why = reason_of(cause_of(folder / FILE_NAME, error.__cause__ or error))
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
        set_busy_timeout(files.writer)
    except (OSError, sqlite3.Error) as error:
        files.writer.close()
        files.reader.close()
        if owner is not None and files.aside is None and isinstance(error, sqlite3.Error) and is_damage(error):
            # A large file is not checked as a whole when it is opened.
            files = replace_damaged(folder, error)
            if files.writer is not None:
                set_busy_timeout(files.writer)
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
            set_busy_timeout(files.writer)
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
    """End a claimed run: fold its events, some per step, then write its figures."""
    state, body_ids, last_at = RunState(), set[str](), 0.0
    found = connection.execute("SELECT id, length(data) FROM events WHERE number = ? ORDER BY id", (number,)).fetchall()
    batches, stored_bytes = [row[0] for row in found], sum(row[1] or 0 for row in found)
    chars = 0
    for first in range(0, len(batches), _BATCHES_PER_STEP):
        for event in _events(connection, batches[first : first + _BATCHES_PER_STEP]):
            last_at = event.at
            match event:
                case TokenProbabilities():
                    continue
                case BodyIdReceived():
                    body_ids.add(event.id)
                case ContentDelta():
                    chars += len(event.text)
                    if chars > MAX_TEXT_CHARS:  # the figures do not need it
                        continue
            state.apply(event)
        _ = state.text  # joins the pieces: a million of them take more memory than their text
        yield
    if state.phase not in ENDED:
        state.phase = "interrupted"
        state.ended_at = last_at if batches else None
    summary = summarize(state, body_ids)
    with transaction(connection, durable=True):
        dropped = connection.execute("SELECT dropped_raw FROM runs WHERE number = ?", (number,)).fetchone()[0]
        rows.end_run(connection, number, summary, dropped_raw=bool(dropped))
        if stored_bytes <= SMALL_BYTES:
            with suppress(*DAMAGE):
                rows.replace_events(connection, number, tuple(rows.read_events(connection, number)), summary)


def _events(connection: sqlite3.Connection, ids: list[int]) -> Iterator[AnyEvent]:
    for id_ in ids:
        row = connection.execute("SELECT data FROM events WHERE id = ?", (id_,)).fetchone()
        if row is not None:
            with suppress(*DAMAGE):
                yield from decode_events((row[0],))


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
    inform: Callable[[str], None],
    changed: Callable[[list[str]], None],
) -> Iterator[RecoveryProgress]:
    """Yield after each step of the recovery of an opened log. Raises sqlite3.Error, and OSError for other files.

    `seal` adds blocks to the text search and returns their number. `report` receives messages of what is lost, `inform`
    others. `changed` gets run_ids; "" stands for all.
    """
    connection = ready.files.writer
    if connection is None:
        return
    done = 0
    for progress in end_orphans(connection, ready.orphans):
        yield progress
        if progress.done > done:
            done = progress.done
            changed(rows.run_ids(connection, [ready.orphans[done - 1]]))
    for aside in unfinished_copies(ready.owner.folder) if ready.owner is not None else ():
        salvage = Salvage(connection, Keeper(connection), aside)
        yield from salvage.steps()
        (report if salvage.is_incomplete else inform)(salvage.message)
        changed([""])
    if retention.used_bytes(connection) <= CHECK_INDEXES_BYTES and is_index_damaged(connection):
        rebuild_indexes(connection)
        inform("Indexes of the request log were damaged, so that searches missed requests. They were rebuilt.")
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

"""Opening of the log's file: checks, setting aside of a damaged file, read-only access to newer versions."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from playground.requestlog import migrations
from playground.requestlog.index import RUNS
from playground.requestlog.pages import Pages, committed_frames
from playground.requestlog.records import LogUnavailableError
from playground.runs.metrics import counted
from playground.storage.paths import advised, write_error, write_private

FILE_NAME = "request-log.sqlite3"
MOST_NUMBER = 2**40
"""A greater number of a request is damaged."""
RUNS_VALUES = 21
"""Least number of values in a row of `runs`, of any version."""
_WRITTEN_S = 2.0
"""Time in which another process has written a frame."""
_BUSY_S, _OPENING_BUSY_S = 5.0, 30.0
"""Timeouts for the lock of another process's write, and for that of one that creates, upgrades or closes the file."""
HELD_BUSY_S = 0.25
"""The same after a write has waited in vain, until one is done: each request and the end of the program would wait."""
PAGE_BYTES = 8192
_WRITER_CACHE_KB, _READER_CACHE_KB = (1_000, 16_000), (500, 2_000)
"""Least and greatest page cache of the writing thread, and of each reading one: a tenth of the file in between. Ids and
digests are unordered, so every page is equally likely to be needed. The system caches a small file as a whole."""
_CHECKPOINT_PAGES, _LARGE_CHECKPOINT_PAGES = 4_000, 12_000
"""Pages (32 and 96 MB) in the write-ahead file before a checkpoint, which writes each changed page once."""
_LARGE_BYTES = 100_000_000
"""Size of a file from which the larger one is used."""
_DELETING_CACHE_KB, _DELETING_PAGES = 64_000, 16_000
"""The same while many requests are deleted: every page that a transaction changes stays in memory until its end."""
_WRITER_STATEMENTS, _READER_STATEMENTS = 128, 24
"""Prepared statements that a connection keeps. A reader's have row numbers in their text: 27 KB for 200 rows, and
most are not used again."""
_CHECK_NAME = "request-log.check"
"""Exists from a write that found damage until the file has been checked."""
_CHECK_UP_TO = 32 * 1024 * 1024
"""Bytes. Up to here every page is checked at each start (some 50 ms); beyond, only what opening touches."""
_DAMAGED_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_ROOM_CODES = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
_SHARED_BYTES, _WAL_HEAD_BYTES = 32_768, 32
"""Size of SQLite's shared-memory file from its first use on, and of the head of a write-ahead file."""
_UNDECODABLE = "Could not decode to UTF-8"
"""Start of sqlite3's message for a text column that is not UTF-8."""


class DamagedFileError(Exception):
    """The file cannot be read as a request log."""


class OpenedStore(Struct, frozen=True):
    """The connections to a log.

    `writer` is None if the file may only be read; `reason` then says why. `aside` is a damaged file that was renamed;
    `notice` names it.
    """

    writer: sqlite3.Connection | None
    reader: sqlite3.Connection
    reason: str | None = None
    notice: str | None = None
    aside: Path | None = None


def open_files(folder: Path) -> OpenedStore:
    """Open the log in an existing folder. Raises LogUnavailableError."""
    path = folder / FILE_NAME
    try:
        return _open_or_set_aside(path)
    except (OSError, sqlite3.Error) as error:
        raise LogUnavailableError(unavailable(folder, error)) from error


def open_to_read(folder: Path, why: str) -> OpenedStore | None:
    """Open a log that cannot be written (full or read-only disk) without changing its contents.

    Removes incomplete shared memory, which a full disk leaves of an attempt to open it; no process can use it. Returns
    None if there is no log, it is of another version, or cannot be read either. `why`: a sentence's end.
    """
    path = folder / FILE_NAME
    try:
        if _peek(path) != migrations.CURRENT:
            return None
        reader = connect_unchanged(path)
        try:
            reader.execute("SELECT 1 FROM runs LIMIT 1").fetchone()
        except BaseException:
            reader.close()
            raise
    except (OSError, sqlite3.Error, DamagedFileError, UnicodeDecodeError):
        return None
    return OpenedStore(None, reader, f"The request log in {folder} is only read, because it cannot be written: {why}.")


def _open_or_set_aside(path: Path) -> OpenedStore:
    try:
        return _open(path, None, None)
    except DamagedFileError as damage:
        return _replaced(path, damage)


def replace_damaged(folder: Path, damage: Exception, opened: tuple[int, int] | None = None) -> OpenedStore:
    """Set aside a log whose damage was found after it was opened, and begin a new one. Raises LogUnavailableError.

    `opened`: `identity` of the file in which the damage was found; another process may have set it aside already.
    """
    path = folder / FILE_NAME
    try:
        return _replaced(path, damage) if opened in (None, identity(path)) else _open_or_set_aside(path)
    except (OSError, sqlite3.Error) as error:
        raise LogUnavailableError(unavailable(folder, error)) from error


def identity(path: Path) -> tuple[int, int] | None:
    """Return what stays the same when a file is renamed; None if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _replaced(path: Path, damage: Exception) -> OpenedStore:
    aside = _set_aside(path)
    write_private(copying(aside), b"0")
    reason = "a text is not UTF-8" if isinstance(damage, sqlite3.Error) and is_undecodable(damage) else damage
    notice = (
        f"The request log is damaged ({reason}). It was set aside as {aside.name}, and a new one was begun; "
        "requests that can still be read are being copied from it."
    )
    files = _open(path, notice, aside)
    if files.writer is not None:
        # Requests that are copied keep their numbers, and new ones follow them in other blocks of the text search.
        newest = _newest_number(aside) | (RUNS - 1)
        files.writer.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('runs', ?)", (newest,))
    return files


def copying(aside: Path) -> Path:
    """Return the file that exists until all requests of a file set aside were copied. It has the last number."""
    return aside.with_suffix(".copying")


def unfinished_copies(folder: Path) -> list[Path]:
    """Return the files set aside of which requests are still to be copied, oldest first."""
    return [marker.with_suffix(".sqlite3") for marker in sorted(folder.glob("request-log.damaged-*.copying"))]


def _newest_number(aside: Path) -> int:
    if aside.stat().st_size:  # of an empty file SQLite deletes the write-ahead file
        with suppress(sqlite3.Error, UnicodeDecodeError), closing(connect_unchanged(aside)) as connection:
            found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
            if found and isinstance(found[0], int) and 0 < found[0] < MOST_NUMBER:
                return int(found[0])
    with suppress(OSError), closing(Pages(aside, PAGE_BYTES)) as pages:
        return pages.greatest_rowid(RUNS_VALUES, MOST_NUMBER)
    return 0


def _open(path: Path, notice: str | None, aside: Path | None) -> OpenedStore:
    try:
        found = _peek(path)
        if found > migrations.CURRENT:
            return OpenedStore(None, connect_unchanged(path), _newer(path, found), notice)
        if path.exists() and path.stat().st_size == 0:
            notice = f"The request log {path.name} was empty (0 bytes). A new one was begun: earlier requests are lost."
        writer = _connect_writer(path)
    except UnicodeDecodeError as error:
        raise DamagedFileError("text that is not UTF-8") from error
    except sqlite3.DatabaseError as error:
        if is_damage(error) or _is_wrong_schema(error):
            raise DamagedFileError(str(error)) from error
        raise
    return OpenedStore(writer, connect_reader(path), None, notice, aside)


def _peek(path: Path) -> int:
    """Return the schema version, read without changing a byte; 0 if there is no file yet."""
    if not path.exists():
        return 0
    if path.stat().st_size == 0:
        if (wal := path.with_name(path.name + "-wal")).exists() and _has_frames(wal):
            raise DamagedFileError("it is empty, but its write-ahead file is not")
        return 0
    _check_wal(path)
    with closing(connect_unchanged(path)) as connection:
        connection.execute("BEGIN")  # one snapshot: another process may be creating the tables
        ours = connection.execute("PRAGMA application_id").fetchone()[0] == migrations.APPLICATION_ID
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and not ours:
            raise DamagedFileError("it is a database, but not a request log")
        return migrations.version(connection)


def _check_wal(path: Path) -> None:
    """Raise DamagedFileError if SQLite would leave out a transaction of the write-ahead file.

    Another process may be writing a frame: what looks damaged is read again.
    """
    until = time.monotonic() + _WRITTEN_S
    while (damage := _damage_of_wal(path)) and time.monotonic() < until:
        time.sleep(_WRITTEN_S / 20)
    if damage:
        raise DamagedFileError(damage)


def _damage_of_wal(path: Path) -> str:
    try:
        salts, frames = committed_frames(path.with_name(path.name + "-wal"))
    except ValueError as error:
        return str(error)
    if not frames:
        return ""
    with closing(connect_unchanged(path)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # now the shared memory is current
        found = _index_of_wal(path)
    is_read = found is None or found[0] != salts or found[1] >= frames
    return "" if is_read else "a part of its write-ahead file is damaged"


def _index_of_wal(path: Path) -> tuple[bytes, int] | None:
    """Return the salts and the number of valid frames in SQLite's shared memory; None without it.

    Source: the SQLite file format, section "The WAL-Index File Format".
    """
    try:
        index = path.with_name(path.name + "-shm").read_bytes()[:48]
    except OSError:
        return None
    return (index[32:40], int.from_bytes(index[16:20], sys.byteorder)) if len(index) == 48 else None


def _connect(path: Path, how: str, statements: int = _READER_STATEMENTS, busy_s: float = _BUSY_S) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, but not by the thread that creates it.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=statements,
    )


def _connect_writer(path: Path) -> sqlite3.Connection:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o600)
    regular = stat.S_ISREG(os.fstat(handle).st_mode)
    os.close(handle)
    if not regular:
        raise OSError(None, "It is not a regular file")
    with suppress(OSError):  # owned by someone else, or a file system without modes
        path.chmod(0o600)
    connection = _connect(path, "mode=rw", _WRITER_STATEMENTS, _OPENING_BUSY_S)
    try:
        if path.stat().st_size == 0:
            # What is deleted gives its room back; and a page holds several streams.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # What is replaced or deleted is overwritten, also the batches of events that a run's end makes one of.
        connection.execute("PRAGMA secure_delete = ON")
        # Where the file system cannot do WAL, SQLite stays with its rollback journal: slower, as safe.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        WriterMemory(connection).fit()
        migrations.migrate(connection)
        _check_small_tables(connection)
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def set_busy_timeout(connection: sqlite3.Connection, seconds: float = _BUSY_S) -> None:
    """Set how long writes wait for other processes: what they cannot write stays in memory. Raises sqlite3.Error."""
    connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")


def note_damage(folder: Path) -> None:
    """Let the next opening check the whole file, however large it is."""
    with suppress(OSError):
        (folder / _CHECK_NAME).touch(0o600)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    noted = path.with_name(_CHECK_NAME)
    if path.stat().st_size > _CHECK_UP_TO and not noted.exists():
        return
    answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        raise DamagedFileError(str(answer).splitlines()[-1])
    with suppress(OSError):
        noted.unlink()


_LOST_TARGET = """WITH RECURSIVE used (id) AS (
    SELECT min(target) FROM runs UNION ALL SELECT (SELECT min(target) FROM runs WHERE target > id) FROM used WHERE id
) SELECT 1 FROM used WHERE id NOT NULL AND id NOT IN (SELECT id FROM targets) LIMIT 1"""


def _check_small_tables(connection: sqlite3.Connection) -> None:
    """Raise DamagedFileError if a row of the tables is missing that everything else needs.

    A list would leave out the requests of a lost target without an error.
    """
    if connection.execute(_LOST_TARGET).fetchone() is not None:
        raise DamagedFileError("a row of targets is missing")
    if connection.execute(f"SELECT count(*) FROM meta WHERE name IN {_META}").fetchone()[0] < len(_META):
        raise DamagedFileError("a row of meta is missing")


_META = ("deletions", "elements", "parts_from", "purge")


def connect_reader(path: Path) -> sqlite3.Connection:
    """Return a read-only connection, with which a long search does not block writes. Raises sqlite3.Error."""
    connection = _connect(path, "mode=rw")
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{_cache_kb(path.stat().st_size, _READER_CACHE_KB)}")
    return connection


def connect_unchanged(path: Path) -> sqlite3.Connection:
    """Return a connection to a log that this process may not write. Raises OSError and sqlite3.Error."""
    # Without a write-ahead file no process writes the log: `immutable` then creates no lock or shared-memory file.
    pending = path.with_name(path.name + "-wal")
    if pending.exists():
        connection = _connect(path, "mode=ro", busy_s=_OPENING_BUSY_S)
        try:
            connection.execute("PRAGMA schema_version")
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            # On a full or read-only disk no shared memory can be created.
            if error.sqlite_errorcode & 0xFF not in _NO_ROOM_CODES or _is_shared(path):
                raise
            with suppress(OSError):
                path.with_name(path.name + "-shm").unlink()
            if _has_frames(pending):
                return _connect_alone(path)
        except BaseException:
            connection.close()
            raise
    return _connect(path, "immutable=1", busy_s=_OPENING_BUSY_S)


def _is_shared(path: Path) -> bool:
    """Return whether the file's shared memory is complete: a process may use it."""
    try:
        return path.with_name(path.name + "-shm").stat().st_size >= _SHARED_BYTES
    except OSError:
        return False


def _has_frames(pending: Path) -> bool:
    """Return whether a write-ahead file has a page since its last checkpoint: one with the salts of its header."""
    with pending.open("rb") as file:
        head = file.read(_WAL_HEAD_BYTES + 16)
    return len(head) == _WAL_HEAD_BYTES + 16 and head[16:24] == head[_WAL_HEAD_BYTES + 8 :]


def _connect_alone(path: Path) -> sqlite3.Connection:
    """Connect to a file that no process uses, with the index of its write-ahead file in this process's memory."""
    connection = _connect(path, f"mode=ro&vfs={'win32-none' if os.name == 'nt' else 'unix-none'}")
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA schema_version")
    except BaseException:
        connection.close()
        raise
    return connection


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the error means that the file is damaged: rows that refer to others are written after these."""
    code = getattr(error, "sqlite_errorcode", 0)
    damaged = code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY or code & 0xFF in _DAMAGED_CODES
    return damaged or is_undecodable(error) or isinstance(error, ReplacedFileError)


class ReplacedFileError(sqlite3.DatabaseError):
    """Another process has found damage in the open file, and has set it aside."""


def is_undecodable(error: sqlite3.Error) -> bool:
    """Return whether a text is not UTF-8. The message of the error has the text."""
    return str(error).startswith(_UNDECODABLE)


def _is_wrong_schema(error: sqlite3.Error) -> bool:
    """Return whether a statement of ours does not fit the tables: the schema's text is damaged."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_ERROR


def _set_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"request-log.damaged-{stamp}.sqlite3")
    path.rename(aside)
    with suppress(OSError):
        path.with_name(_CHECK_NAME).unlink()
    for ending in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside


class Health(Struct, frozen=True):
    """State of the log's file, for a report."""

    state: Literal["ok", "warning", "failed"]
    text: str


def health(folder: Path) -> Health:
    """Check the log in a folder without changing it; checks every page of a file of up to 32 MB."""
    path = folder / FILE_NAME
    try:
        found = _peek(path)
        if found == 0:
            return Health("ok", "no log yet")
        size = f"{path.stat().st_size / 1e6:.1f} MB, form {found}, SQLite {sqlite3.sqlite_version}"
        if found > migrations.CURRENT:
            return Health("warning", f"{size}: written by a newer version, opened read-only")
        with closing(connect_unchanged(path)) as connection:
            count = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
            _check(connection, path)
        damaged = len(list(folder.glob("request-log.damaged-*.sqlite3")))
        text = f"{counted(count, 'request')}, {size}"
        return Health("warning", f"{text}; {damaged} damaged set aside") if damaged else Health("ok", text)
    except (OSError, sqlite3.Error, DamagedFileError, UnicodeDecodeError) as error:
        return Health("failed", f"{path.name}: {error}")


def _newer(path: Path, found: int) -> str:
    return (
        f"The request log in {path.parent} was written by a newer version of Electron Playground (form {found}; this "
        f"one knows {migrations.CURRENT}). Its readable part is displayed, and nothing is added to it. "
        "Update Electron Playground, or choose another data folder."
    )


def cause_of(path: Path, error: BaseException) -> BaseException:
    """Return the system's error behind one of SQLite, which has no number, if the file cannot be written."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if code == sqlite3.SQLITE_FULL else error
    return (write_error(path) or full) if code in _NO_ROOM_CODES else error


def reason_of(error: BaseException) -> str:
    """Return the system's text of an error as the end of a sentence."""
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{what[:1].lower()}{what[1:]}"


def unavailable(folder: Path, error: Exception) -> str:
    """Return the message for a folder in which no log can be stored."""
    cause, otherwise = cause_of(folder / FILE_NAME, error), "Choose another folder with --data-dir."
    advice = advised(cause, otherwise) if isinstance(cause, OSError) else otherwise
    if is_busy(error):
        advice = f"Another program holds it: wait for its end. {otherwise}"
    return f"The request log cannot be kept in {folder}: {reason_of(cause)}. {advice}"


def is_busy(error: BaseException) -> bool:
    """Return whether another process holds the file's lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _cache_kb(file_bytes: int, bounds: tuple[int, int]) -> int:
    return min(max(file_bytes // 10_000, bounds[0]), bounds[1])


class WriterMemory:
    """Sizes of the writer's page cache and write-ahead file, by the size of the file, which may grow."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._set = (0, 0)

    def fit(self) -> None:
        """Set the sizes for all but large deletions. Raises sqlite3.Error."""
        pages, page = (self._connection.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "page_size"))
        size = pages * page
        large = size >= _LARGE_BYTES
        # In steps, so that each block of new requests does not change it.
        cache = 1_000 * round(_cache_kb(size, _WRITER_CACHE_KB) / 1_000)
        self._put(cache, _LARGE_CHECKPOINT_PAGES if large else _CHECKPOINT_PAGES)

    def widen(self) -> None:
        """Set the sizes for the deletion of many requests; `fit` ends it. Raises sqlite3.Error."""
        self._put(_DELETING_CACHE_KB, _DELETING_PAGES)

    @property
    def is_wide(self) -> bool:
        """Return whether `widen` was called last."""
        return self._set[0] == _DELETING_CACHE_KB

    def _put(self, cache: int, pages: int) -> None:
        if self._set != (cache, pages):
            self._connection.execute(f"PRAGMA cache_size = -{cache}")
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            self._set = cache, pages


@contextmanager
def transaction(connection: sqlite3.Connection, *, durable: bool) -> Iterator[None]:
    """Run a transaction. `durable`: it survives a power failure; otherwise only a crash of the program."""
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

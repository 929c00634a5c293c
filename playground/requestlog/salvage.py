"""Copies the readable requests of a damaged log that was set aside into the new one, page by page."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path

from msgspec import Struct

from playground.requestlog import index, migrations, rows
from playground.requestlog.blob_store import Keeper
from playground.requestlog.pages import INDEX_KINDS, TABLE_LEAF, Pages, Row, committed_frames
from playground.requestlog.records import DamagedRunError, RecoveryProgress, StoredRun, damaged_message
from playground.requestlog.sent_body import SentBody
from playground.requestlog.store import MOST_NUMBER, PAGE_BYTES, RUNS_VALUES, copying, transaction
from playground.requestlog.stored_runs import DAMAGE, KINDS, StoredRuns, check_types
from playground.runs.metrics import counted
from playground.storage.file_lock import is_alive
from playground.storage.paths import write_private


class _Shape(Struct, frozen=True):
    """How the rows of a table are recognized.

    `kinds`: types of the first values, by _TYPES. `values`: least number of values. `first_bytes`: if given, a row has
    exactly so many values, and the last one begins with one of these bytes.
    """

    kinds: str
    values: int
    first_bytes: bytes = b""


_SHAPES = {
    "targets": _Shape("Ntttttt", 7),
    "runs": _Shape("NXiiTt", RUNS_VALUES),
    "texts": _Shape("Nttttbb", 8),
    "events": _Shape("Nib", 3, b"\0\1\2"),
    "streams": _Shape("Nb", 2, b"\2\4"),
    "part_data": _Shape("Nb", 2, b"\0\1\3"),
}
_TYPES = KINDS | {"N": (type(None),), "X": (str, bytes)}
_TREES = {"tags": "tags (tag, number)", "tags_number": "tags (number, tag)", "runs_started": "numbers (_, number)"}
"""B-trees without rowids that are read, and where their values belong."""
_PAGES_PER_STEP = 50
_SCHEMA_VALUES = 5


class RowsOfPages:
    """Puts the rows of a damaged file into `connection`, an empty database, as tables without constraints."""

    def __init__(self, pages: Pages, connection: sqlite3.Connection) -> None:
        self._pages, self._connection = pages, connection
        self._roots = pages.roots()
        self._columns: dict[str, list[str]] = {}
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
            new.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            new.execute("PRAGMA auto_vacuum = INCREMENTAL")
            migrations.migrate(new)
            found = new.execute("SELECT rootpage, name FROM sqlite_master WHERE rootpage > 0")
            self._usual_names: dict[int, str] = dict(found.fetchall())
            for table in _SHAPES:
                found = new.execute("SELECT name, type, dflt_value FROM pragma_table_info(?)", (table,))
                (key, _, _), *others = found.fetchall()
                texts = [f"{name} {kind} DEFAULT {value or 'NULL'}" for name, kind, value in others]
                connection.execute(f"CREATE TABLE {table} ({key} INTEGER PRIMARY KEY, {', '.join(texts)})")
                self._columns[table] = [key, *(name for name, _, _ in others)]
        connection.execute("CREATE TABLE tags (tag TEXT, number INTEGER, PRIMARY KEY (number, tag))")
        connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, _)")

    def steps(self) -> Iterator[None]:
        """Read some pages per step. Raises OSError, sqlite3.Error."""
        kinds = defaultdict[int, list[int]](list)
        for page in range(1, self._pages.count + 1):
            kinds[self._pages.kind(page)].append(page)
        self._names = self._schema()
        is_known = "runs" in self._names.values()
        voted = set[tuple[int, str]]()
        self._connection.execute("BEGIN")
        for at, page in enumerate(kinds[TABLE_LEAF]):
            if (name := self._put_table_rows(page)) is not None:
                voted.add((self._roots[page], name))
            if at % _PAGES_PER_STEP == 0:
                yield
        # The other shapes are less certain.
        is_usual = {pair for pair in voted if pair[1] in ("runs", "texts")} <= self._usual_names.items()
        if not is_known and is_usual:
            self._names = self._usual_names
        for at, page in enumerate(page for kind in INDEX_KINDS for page in kinds[kind]):
            self._put_index_rows(page)
            if at % _PAGES_PER_STEP == 0:
                yield
        self._connection.execute("COMMIT")
        self._connection.execute("CREATE INDEX events_number ON events (number)")

    def _schema(self) -> dict[int, str]:
        """Return the names of the root pages in what can be read of the schema."""
        pages = (page for page in range(1, self._pages.count + 1) if self._roots[page] == 1)
        found = (values for page in pages for _, values in self._pages.rows(page) if len(values) == _SCHEMA_VALUES)
        return {root: name for _, name, _, root, _ in found if isinstance(root, int) and isinstance(name, str)}

    def _put_index_rows(self, page: int) -> None:
        if (target := _TREES.get(self._names.get(self._roots[page], ""))) is not None:
            pairs = [values for _, values in self._pages.rows(page) if len(values) == 2]
            self._connection.executemany(f"INSERT OR IGNORE INTO {target} VALUES (?, ?)", pairs)

    def _put_table_rows(self, page: int) -> str | None:
        """Insert the rows of a page into their table; return its name if it is one that is read."""
        name = self._names.get(self._roots[page])
        if name is not None and name not in _SHAPES:
            return None
        found = list(self._pages.rows(page))
        if name is None or not any(_fits(name, row) for row in found):
            # Most rows must have the shape: other tables have some that look the same.
            name = next((each for each in _SHAPES if sum(_fits(each, row) for row in found) * 2 > len(found)), None)
        if name is not None:
            columns = self._columns[name]
            for rowid, values in found:
                if 0 < rowid < MOST_NUMBER and 1 < len(values) <= len(columns) and values[0] is None:
                    sql = f"INSERT OR IGNORE INTO {name} ({', '.join(columns[: len(values)])}) VALUES"
                    self._connection.execute(f"{sql} (?{', ?' * (len(values) - 1)})", (rowid, *values[1:]))
        return name


def _fits(table: str, row: Row) -> bool:
    """Return whether a row has the shape of a table's rows."""
    (rowid, values), shape = row, _SHAPES[table]
    if not (0 < rowid < MOST_NUMBER and len(values) >= shape.values):
        return False
    if shape.first_bytes:
        last = values[-1]
        is_marked = isinstance(last, bytes) and last and last[0] in shape.first_bytes
        if not is_marked or len(values) > shape.values:
            return False
    try:
        check_types(values[: len(shape.kinds)], [_TYPES[kind] for kind in shape.kinds])
    except TypeError:
        return False
    return True


class Salvage:
    """Copies the requests that can still be read from a damaged log into the new one, with their numbers.

    A process that ends before the last one leaves the rest to the next start: see `store.copying`.
    """

    def __init__(self, connection: sqlite3.Connection, keeper: Keeper, aside: Path) -> None:
        """Take over `connection` and `keeper`, which belong to the new log's writer."""
        self._connection, self._keeper, self._aside = connection, keeper, aside
        self.copied = self.without_events = self.incomplete = self.without_target = 0
        self.damaged: list[str] = []
        self.has_lost_changes = False

    def steps(self) -> Iterator[RecoveryProgress]:
        """Copy some requests per step. A file of which nothing can be read yields nothing.

        Raises sqlite3.Error for the new log, and OSError for the other files.
        """
        marker = copying(self._aside)
        try:
            done = int(marker.read_bytes())
        except (OSError, ValueError):
            done = 0
        try:
            yield from self._copy_all(marker, done)
        except OSError:
            if self._aside.exists():
                raise
        with transaction(self._connection, durable=True):
            index.expire_caches(self._connection)  # requests were added below newer ones
        with suppress(OSError):
            marker.unlink()

    def _copy_all(self, marker: Path, done: int) -> Iterator[RecoveryProgress]:
        path = self._aside.with_suffix(".rows")
        with suppress(OSError):
            path.unlink()
        try:
            write_private(path, b"")  # prompts are in it
            with closing(Pages(self._aside, PAGE_BYTES)) as pages, closing(_connect(path)) as connection:
                self.has_lost_changes = _has_lost_changes(self._aside, pages)
                with _errors_of(path):
                    for _ in RowsOfPages(pages, connection).steps():
                        yield RecoveryProgress(0, 1)
                    reader = StoredRuns(connection)
                    numbers = self._numbers(connection, reader, done)
                yield from self._copy_from(reader, numbers, marker)
        finally:
            with suppress(OSError):
                path.unlink()

    def _numbers(self, connection: sqlite3.Connection, reader: StoredRuns, done: int) -> list[int]:
        """Return the numbers of the requests to copy, ascending."""
        self.without_target = _replace_lost_targets(connection, reader)
        running = self._running_elsewhere(connection)
        tables = ("runs", "texts", "numbers")
        found = connection.execute(" UNION ".join(f"SELECT number FROM {table}" for table in tables))
        return [number for (number,) in found if number > done and number not in running]

    def _copy_from(self, reader: StoredRuns, numbers: list[int], marker: Path) -> Iterator[RecoveryProgress]:
        # All requests of a block of the text search in one transaction: it is not indexed before.
        for _, some in groupby(numbers, lambda number: number >> index.SHIFT):
            together = list(some)
            self._copy(reader, together)
            with suppress(OSError):  # the next start copies them again, and finds that they are there
                marker.write_bytes(str(together[-1]).encode())
            yield RecoveryProgress(self.copied, len(numbers), len(self.damaged))

    def _running_elsewhere(self, connection: sqlite3.Connection) -> set[object]:
        """Return the requests of other living processes: these write them into the new log."""
        owned = connection.execute("SELECT number, owner FROM runs WHERE owner NOT NULL").fetchall()
        owners = {owner for _, owner in owned if isinstance(owner, str)}
        living = {owner for owner in owners if is_alive(self._aside.parent, owner)}
        return {number for number, owner in owned if owner in living}

    def _copy(self, reader: StoredRuns, numbers: list[int]) -> None:
        found: list[tuple[int, StoredRun]] = []
        for number in numbers:
            try:
                stored = reader.salvaged(number)
            except (DamagedRunError, sqlite3.Error):
                stored = None
            if stored is None:
                self.damaged.append(f"number {number}")
            else:
                found.append((number, stored))
        with transaction(self._connection, durable=True):
            self._keeper.begin()
            taken = set(rows.taken_numbers(self._connection, numbers))
            for number, run in found:
                free = None if number in taken else number
                rows.insert_ended(self._connection, self._keeper, run, SentBody(run.record.body), free)
            self._keeper.end()
        self.copied += len(found)
        self.without_events, self.incomplete = len(reader.without_events), len(reader.incomplete | reader.other_answer)

    @property
    def is_incomplete(self) -> bool:
        """Whether a request or a part of one is known to be lost."""
        lost = self.without_events or self.incomplete or self.without_target or self.has_lost_changes
        return not self.copied or bool(self.damaged or lost)

    @property
    def message(self) -> str:
        """The result for the user."""
        copied = counted(self.copied, "request") if self.copied else "No request"
        text = f"{copied} {'were' if self.copied > 1 else 'was'} copied from the damaged request log {self._aside.name}"
        if self.without_events:
            text += f" ({self.without_events:,} without events: their times and the arguments of tool calls are lost)"
        if self.incomplete:
            text += f" ({self.incomplete:,} with an incomplete prompt or a damaged answer, which their comments state)"
        if self.without_target:
            text += f" ({self.without_target:,} without endpoint, model and rates)"
        if self.has_lost_changes:
            text += (
                "; its last changes could not be read (its write-ahead file is damaged): newer requests may be missing"
            )
        if not self.damaged:
            return f"{text}."
        return f"{text}; {damaged_message(self.damaged)}"


def _has_lost_changes(aside: Path, pages: Pages) -> bool:
    """Return whether the write-ahead file has a commit behind its first damage."""
    try:
        return committed_frames(aside.with_name(f"{aside.name}-wal"))[1] > pages.read_frames
    except ValueError:
        return True


def _connect(path: Path) -> sqlite3.Connection:
    with _errors_of(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "secure_delete = OFF", "cache_size = -16000"):
            connection.execute(f"PRAGMA {pragma}")
        return connection


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Raise errors of a database that is not the log as OSError with its name."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"{path.name}: {error}") from error


_UNKNOWN_TARGET = "'', 'unknown', 'other', '', 'unknown', '{}'"
"""Values of a row of `targets` that cannot be read."""


def _replace_lost_targets(connection: sqlite3.Connection, reader: StoredRuns) -> int:
    """Insert a row for each target of a request whose row is lost or damaged. Return the number of these requests."""
    for id_, *texts, rates in connection.execute("SELECT * FROM targets").fetchall():
        try:
            check_types((id_, *texts, rates), [KINDS["i"], *[KINDS["t"]] * 6])
            reader.rates_of(rates)
        except DAMAGE:
            connection.execute("DELETE FROM targets WHERE id = ?", (id_,))
    (lost,) = connection.execute("SELECT count(*) FROM runs WHERE target NOT IN (SELECT id FROM targets)").fetchone()
    connection.execute(
        f"INSERT OR IGNORE INTO targets SELECT DISTINCT target, {_UNKNOWN_TARGET} FROM runs "
        "WHERE typeof(target) = 'integer'"
    )
    return int(lost)

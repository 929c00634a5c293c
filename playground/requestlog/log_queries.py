"""Queries on the whole log: lists of ids, names for filters, size."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from playground.requestlog.filter import WHOLE_ID, Words
from playground.requestlog.prompt_index import deletions_of
from playground.requestlog.retention import used_bytes
from playground.requestlog.rows import stored_id

_OTHER_END = "substr(body_id, -8) IS NOT substr(request_id, -8)"
_BODY_START = "substr(body_id, instr(body_id, '-') + 1, 8)"
ID_INDEXES = {
    "runs_request_start": "runs (substr(request_id, 1, 8))",
    "runs_body_start": f"runs ({_BODY_START}) WHERE {_OTHER_END}",
    "ids_start": "ids (substr(id, 1, 8))",
    "ids_end": "ids (substr(id, -8))",
}
"""Indexes of 8 characters of ids, in which UUIDs are different. A body id is usually a prefix, `-` and the request_id.
Added after opening, also to files of earlier versions."""
_OLD_INDEXES = ("runs_request_end", "runs_body_end")
_LIKE = "LIKE +:like ESCAPE '\\'"
"""With the `+`, SQLite does not prepare the statement again for each pattern, which takes four times as long as it."""
_WHOLE = f"""SELECT number FROM runs WHERE run_id IN (:stored, :id)
UNION SELECT number FROM runs INDEXED BY runs_request_start WHERE substr(request_id, 1, 8) IN (:start, :after)
    AND (request_id {_LIKE} OR body_id {_LIKE})
UNION SELECT number FROM runs INDEXED BY runs_body_start WHERE {_BODY_START} IN (:start, :after) AND {_OTHER_END}
    AND body_id {_LIKE}
UNION SELECT number FROM ids INDEXED BY ids_end WHERE substr(id, -8) = substr(:id, -8) AND id {_LIKE} LIMIT 1000"""
_BEGINNING = f"""SELECT number FROM runs INDEXED BY runs_request_start WHERE substr(request_id, 1, 8) = :key
    AND request_id {_LIKE}
UNION SELECT number FROM runs INDEXED BY runs_body_start WHERE {_BODY_START} = :key AND {_OTHER_END}
    AND substr(body_id, instr(body_id, '-') + 1) {_LIKE}
UNION SELECT number FROM ids INDEXED BY ids_start WHERE substr(id, 1, 8) = :key AND id {_LIKE}
UNION SELECT number FROM runs WHERE run_id >= :low AND run_id < :high AND hex(run_id) LIKE :digits || '%'
UNION SELECT number FROM runs WHERE run_id >= :digits AND run_id < :digits || 'g' LIMIT 1000"""
_BEGINS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f-]{0,27}|[0-9a-f]{0,23})", re.I)
"""The first 8 or more characters of a UUID, with or without hyphens."""


def add_id_indexes(connection: sqlite3.Connection) -> Iterator[None]:
    """Create the indexes of ids that are missing, and drop those that they replaced, one per step.

    Raises sqlite3.Error.
    """
    for name, columns in ID_INDEXES.items():
        connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")
        yield
    for name in _OLD_INDEXES:
        connection.execute(f"DROP INDEX IF EXISTS {name}")
        yield


class IndexedIds:
    """Finds requests by a whole id (a run_id, or the end of an id of an attempt or body), or by the start of a UUID."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._indexed = False

    def __call__(self, id_: str) -> list[int]:
        """Return the numbers of the requests; empty if there are none, or if other parts of ids must be compared."""
        whole = WHOLE_ID.fullmatch(id_) is not None
        if not (whole or _BEGINS.fullmatch(id_)) or not self._is_indexed():
            return []
        written = _written(id_) | {id_}
        found = (self._whole(one) if whole else self._beginning(one) for one in written)
        return sorted({row[0] for rows in found for row in rows})

    def _whole(self, id_: str) -> list[tuple[int]]:
        values = {
            "stored": stored_id(id_),
            "id": id_,
            "start": id_[:8],
            "after": id_.partition("-")[2][:8],
            "like": f"%{_escaped(id_)}",
        }
        return self._connection.execute(_WHOLE, values).fetchall()

    def _beginning(self, part: str) -> list[tuple[int]]:
        digits = part.replace("-", "")
        low = bytes.fromhex(digits[: len(digits) // 2 * 2])
        values = {
            "key": part[:8],
            "like": f"{_escaped(part)}%",
            # A run_id is stored as 16 bytes, by earlier versions as text.
            "digits": digits,
            "low": low,
            "high": low + b"\xff" * (17 - len(low)),
        }
        return self._connection.execute(_BEGINNING, values).fetchall()

    def _is_indexed(self) -> bool:
        if not self._indexed:
            names = ", ".join(f"'{name}'" for name in ID_INDEXES)
            sql = f"SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name IN ({names})"
            self._indexed = self._connection.execute(sql).fetchone()[0] == len(ID_INDEXES)
        return self._indexed


FEW_IDS = 20
"""Number of ids up to which each is compared alone; more are searched together."""
_IDS = "SELECT number, run_id, request_id, body_id FROM runs WHERE number >= ? ORDER BY number"


class ListedIds:
    """Finds the requests that have one of many ids as a run_id, or it or a part of it in an id of an attempt or body.

    Uses the indexes. If more than FEW_IDS of the ids are not in them, reads the ids of all requests; for the same list
    again, only those of requests that ran then or are newer, unless `deletions_of` has changed.
    """

    def __init__(self, connection: sqlite3.Connection, indexed: IndexedIds) -> None:
        self._connection, self._indexed = connection, indexed
        self._ids: frozenset[str] = frozenset()
        self._deletions = -1
        self._found: set[int] = set()
        self._left: list[str] = []
        self._next = 0

    def __call__(self, ids: frozenset[str]) -> tuple[list[int], list[str]]:
        """Return the numbers of the requests, and at most FEW_IDS ids that may be parts of others."""
        deletions = deletions_of(self._connection)
        if ids != self._ids or deletions != self._deletions:
            self._begin(ids)
            self._deletions = deletions
        self._next = self._read(self._next, ids)
        return sorted(self._found), self._left

    def _begin(self, ids: frozenset[str]) -> None:
        numbers = {id_: self._indexed(id_) for id_ in ids}
        self._ids, self._found = frozenset(), {number for some in numbers.values() for number in some}
        missing = [id_ for id_, some in numbers.items() if not some]
        self._left = missing if len(missing) <= FEW_IDS else []
        newest = self._connection.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
        self._next = self._following(newest) if self._left == missing else self._read(0, missing)
        self._ids = ids

    def _read(self, first: int, ids: Iterable[str]) -> int:
        """Read the ids of requests from this number on. Returns the first number to read next time."""
        last = first - 1
        wanted = {written for id_ in ids for written in _written(id_)}
        lengths = sorted({len(one) for one in wanted})
        for last, run_id, *others in self._connection.execute(_IDS, (first,)):
            whole = run_id.hex() if isinstance(run_id, bytes) else str(run_id).lower()
            if whole in wanted or any(_holds(text, wanted, lengths) for text in others):
                self._found.add(last)
        more = self._connection.execute("SELECT number, id FROM ids WHERE number >= ?", (first,))
        self._found.update(number for number, text in more if _holds(text, wanted, lengths))
        return self._following(last)

    def _following(self, last: int) -> int:
        running = self._connection.execute("SELECT min(number) FROM runs WHERE owner IS NOT NULL").fetchone()[0]
        return min(last + 1, running or last + 1)


def _holds(text: object, wanted: set[str], lengths: Sequence[int]) -> bool:
    if not isinstance(text, str):
        return False
    text = text.lower()
    if text in wanted:
        return True
    parts = (text[at : at + length] for length in lengths for at in range(len(text) - length + 1))
    return not wanted.isdisjoint(parts)


def _written(id_: str) -> set[str]:
    """Return an id in lower case, and with the hyphens that it may be stored with."""
    lower = id_.lower()
    return {lower, _with_hyphens(lower), lower.replace("-", "")} if _HEX_DIGITS.fullmatch(lower) else {lower}


_HEX_DIGITS = re.compile(r"[0-9a-f-]{8,36}", re.I)


def _with_hyphens(part: str) -> str:
    """Return the beginning of a UUID with its hyphens."""
    digits = part.replace("-", "")
    groups = (digits[first:last] for first, last in ((0, 8), (8, 12), (12, 16), (16, 20), (20, None)))
    return "-".join(group for group in groups if group)


def _escaped(part: str) -> str:
    """Return a part of a pattern for LIKE."""
    return re.sub(r"([\\%_])", r"\\\1", part)


class FoundIds(Struct, frozen=True):
    """Of a pasted list: `run_ids` of the requests that have one of the ids, newest first; `missing` ids, in order."""

    run_ids: tuple[str, ...]
    missing: tuple[str, ...]


class LogSize(Struct, frozen=True):
    """`file_bytes`: the database and what SQLite keeps beside it; `used_bytes` of the database are in use."""

    requests: int
    marked: int
    file_bytes: int
    used_bytes: int


NO_SIZE = LogSize(0, 0, 0, 0)


def words(connection: sqlite3.Connection) -> Words:
    """Return names and tags, most used first, at most a hundred of each."""
    return Words(
        _column(connection, "SELECT endpoint_name FROM targets GROUP BY endpoint_name ORDER BY max(id) DESC LIMIT 100"),
        _column(connection, "SELECT model FROM targets GROUP BY model ORDER BY max(id) DESC LIMIT 100"),
        _column(connection, "SELECT tag FROM tags GROUP BY tag ORDER BY count(*) DESC LIMIT 100"),
        ("stop", *_column(connection, _REASONS)),
    )


_REASONS = (
    "SELECT DISTINCT finish_reason FROM runs WHERE finish_reason IS NOT 'stop' AND finish_reason IS NOT NULL LIMIT 100"
)


def _column(connection: sqlite3.Connection, sql: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in connection.execute(sql))


def size(connection: sqlite3.Connection, path: Path) -> LogSize:
    requests = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    marked = connection.execute("SELECT count(*) FROM runs WHERE marked").fetchone()[0]
    beside = (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))
    file_bytes = sum(file.stat().st_size for file in beside if file.exists())
    return LogSize(requests, marked, file_bytes, used_bytes(connection))

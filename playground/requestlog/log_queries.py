"""Queries on the whole log: lists of ids, names for filters, size."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from playground.requestlog.filter import WHOLE_ID
from playground.requestlog.retention import used_bytes
from playground.requestlog.rows import stored_id

ID_INDEXES = {
    "runs_request_end": "runs (substr(request_id, -8))",
    "runs_body_end": "runs (substr(body_id, -8)) WHERE substr(body_id, -8) IS NOT substr(request_id, -8)",
    "ids_end": "ids (substr(id, -8))",
}
"""Indexes of the last 8 characters of ids: those of UUIDs are different, and a body id usually ends as the
request_id. Added after opening, also to files of earlier versions."""
_WITH_ID = """SELECT number FROM runs WHERE run_id IN (:stored, :id)
UNION SELECT number FROM runs INDEXED BY runs_request_end WHERE substr(request_id, -8) = substr(:id, -8)
    AND (request_id LIKE :like ESCAPE '\\' OR body_id LIKE :like ESCAPE '\\')
UNION SELECT number FROM runs INDEXED BY runs_body_end WHERE substr(body_id, -8) = substr(:id, -8)
    AND substr(body_id, -8) IS NOT substr(request_id, -8) AND body_id LIKE :like ESCAPE '\\'
UNION SELECT number FROM ids INDEXED BY ids_end WHERE substr(id, -8) = substr(:id, -8) AND id LIKE :like ESCAPE '\\'
LIMIT 1000"""


def add_id_indexes(connection: sqlite3.Connection) -> None:
    """Create the indexes of ids that are missing. Raises sqlite3.Error."""
    for name, columns in ID_INDEXES.items():
        connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")


class WholeIds:
    """Finds requests by a whole id: a run_id, or the end of an id of an attempt or body."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._indexed = False

    def __call__(self, id_: str) -> list[int]:
        """Return the numbers of the requests; empty if there are none, or if it is not a whole id."""
        if not WHOLE_ID.fullmatch(id_) or not self._is_indexed():
            return []
        like = "%" + re.sub(r"([\\%_])", r"\\\1", id_)
        found = [
            self._connection.execute(_WITH_ID, {"stored": stored_id(one), "id": one, "like": like}).fetchall()
            for one in {id_, id_.lower()}
        ]
        return sorted({row[0] for rows in found for row in rows})

    def _is_indexed(self) -> bool:
        if not self._indexed:
            names = ", ".join(f"'{name}'" for name in ID_INDEXES)
            sql = f"SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name IN ({names})"
            self._indexed = self._connection.execute(sql).fetchone()[0] == len(ID_INDEXES)
        return self._indexed


@dataclass(frozen=True, slots=True)
class FoundIds:
    """Of a pasted list: `run_ids` of the requests that have one of the ids, newest first; `missing` ids, in order."""

    run_ids: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Names in the log that a filter can use, the most used first."""

    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogSize:
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
    """Return the current size of the log."""
    requests = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    marked = connection.execute("SELECT count(*) FROM runs WHERE marked").fetchone()[0]
    beside = (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))
    file_bytes = sum(file.stat().st_size for file in beside if file.exists())
    return LogSize(requests, marked, file_bytes, used_bytes(connection))

"""Queries on the whole log: lists of ids, names for filters, size."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from playground.requestlog.retention import used_bytes


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

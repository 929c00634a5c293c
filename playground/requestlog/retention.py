"""Retention, tags and comments, and the purge of deleted contents from the files.

SQLite overwrites deleted rows (secure_delete), and the write-ahead file has earlier pages until it is truncated. The
purge returns free pages and truncates that file in steps, so that requests can be written in between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from playground.prefix_cache.forecast import Forecast
from playground.requestlog import index
from playground.requestlog.index import column_text
from playground.requestlog.rows import both_ids, id_text, number_of, put_tags

_ENDED = "SELECT number FROM runs WHERE run_id IN (?, ?) AND owner IS NULL"


def set_tags(
    connection: sqlite3.Connection, run_ids: list[str], add: Sequence[str], remove: Sequence[str]
) -> list[str]:
    """Add tags to runs and remove others. Tags ignore case. Returns the run_ids."""
    for run_id in run_ids:
        number = number_of(connection, run_id)
        if number is not None:
            connection.executemany("DELETE FROM tags WHERE number = ? AND tag = ?", ((number, tag) for tag in remove))
            put_tags(connection, number, add)
    return run_ids


def mark(connection: sqlite3.Connection, run_ids: list[str], *, marked: bool) -> list[str]:
    """Set or clear the mark of runs. Returns their run_ids."""
    values = ((int(marked), *both_ids(run_id)) for run_id in run_ids)
    connection.executemany("UPDATE runs SET marked = ? WHERE run_id IN (?, ?)", values)
    return run_ids


def set_comment(connection: sqlite3.Connection, run_id: str, comment: str) -> list[str]:
    """Set the comment of an ended run; a purge of the old one is due. Of an unknown or running one, returns nothing."""
    row = connection.execute(_ENDED, both_ids(run_id)).fetchone()
    if row is None:
        return []
    connection.execute("UPDATE texts SET comment = ? WHERE number = ?", (column_text(comment), row[0]))
    index.reopen(connection, row)
    owe(connection)
    return [run_id]


def set_forecast(connection: sqlite3.Connection, number: int, forecast: Forecast) -> None:
    """Replace the cache forecast of a run."""
    connection.execute(
        "UPDATE texts SET forecast = ? WHERE number = ?", (msgspec.json.encode(forecast).decode(), number)
    )
    connection.execute(
        "UPDATE runs SET prompt_tokens_estimated = ?, forecast_cached = ? WHERE number = ?",
        (forecast.prompt_tokens, forecast.cached_tokens, number),
    )


def set_explanation(connection: sqlite3.Connection, number: int, explanation: str | None) -> None:
    """Store a cache explanation (JSON text) with a run; None removes it."""
    connection.execute("UPDATE texts SET explanation = ? WHERE number = ?", (explanation, number))


def explain(connection: sqlite3.Connection, run_id: str, explanation: str | None) -> list[str]:
    """Store a cache explanation with a run, if it is known. Returns its run_id."""
    if (number := number_of(connection, run_id)) is not None:
        set_explanation(connection, number, explanation)
    return [run_id]


def older_than(connection: sqlite3.Connection, started_us: int) -> list[str]:
    """Return unmarked ended runs that began before that time, oldest first."""
    sql = f"SELECT {id_text()} FROM runs WHERE started_us < ? AND NOT marked AND owner IS NULL ORDER BY number"
    return [row[0] for row in connection.execute(sql, (started_us,))]


def oldest(connection: sqlite3.Connection, after: int, limit: int) -> Iterator[tuple[int, str]]:
    """Yield (number, run_id) of unmarked ended runs, oldest first."""
    sql = (
        f"SELECT number, {id_text()} FROM runs WHERE number > ? AND NOT marked AND owner IS NULL "
        "ORDER BY number LIMIT ?"
    )
    yield from connection.execute(sql, (after, limit)).fetchall()


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the number of bytes of the file that are in use."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


_FREE_PAGES = 4_000


def needed(connection: sqlite3.Connection) -> bool:
    """Return whether rows were deleted since the last complete purge, by any process."""
    return bool(index.meta(connection, "purge"))


def owe(connection: sqlite3.Connection) -> None:
    """Record within a deleting transaction that a purge is due."""
    connection.execute("UPDATE meta SET value = max(value, 1) WHERE name = 'purge'")


def step(connection: sqlite3.Connection) -> bool:
    """Do one step; return whether it was the last. Raises sqlite3.Error, also if another process writes."""
    if not needed(connection):
        return True
    if connection.execute("PRAGMA freelist_count").fetchone()[0]:
        before = connection.execute("PRAGMA page_count").fetchone()[0]
        # Not execute(): it steps the statement once, which frees one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES})")
        if connection.execute("PRAGMA page_count").fetchone()[0] < before:
            return False
    if not _emptied(connection):  # a long read in another process: the next opening continues
        return True
    connection.execute("UPDATE meta SET value = 0 WHERE name = 'purge'")
    _emptied(connection)
    return True


def _emptied(connection: sqlite3.Connection) -> bool:
    """Empty the write-ahead file; return whether that was possible."""
    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy

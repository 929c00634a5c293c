"""Retention, tags and comments, and the purge of deleted contents from the file and the search index.

SQLite overwrites deleted rows (secure_delete). The search index has deleted texts in older segments until they
are merged, and the write-ahead file has earlier pages until it is truncated. The purge does both in steps, so
that requests can be written in between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from playground.requestlog import index
from playground.requestlog.codec import column_text

MOST_TAG_CHARS = 64
_ENDED = "SELECT number FROM runs WHERE run_id = ? AND owner IS NULL"


def set_tags(connection: sqlite3.Connection, run_ids: Iterable[str], add: Sequence[str], remove: Sequence[str]) -> None:
    """Add tags to runs and remove others. Tags ignore case."""
    for run_id in run_ids:
        row = connection.execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if row is not None:
            connection.executemany("DELETE FROM tags WHERE number = ? AND tag = ?", ((row[0], tag) for tag in remove))
            pairs = ((column_text(tag), row[0]) for tag in add)
            connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", pairs)


def set_comment(connection: sqlite3.Connection, run_id: str, comment: str) -> bool:
    """Set the comment of an ended run. Returns False if it does not exist or still runs."""
    row = connection.execute(_ENDED, (run_id,)).fetchone()
    if row is None:
        return False
    index.remove(connection, row[0])
    connection.execute("UPDATE texts SET comment = ? WHERE number = ?", (column_text(comment), row[0]))
    index.add(connection, row[0])
    return True


def set_explanation(connection: sqlite3.Connection, run_id: str, explanation: str | None) -> None:
    """Store a cache explanation (JSON text) with a run; None removes it."""
    connection.execute(
        "UPDATE texts SET explanation = ? WHERE number = (SELECT number FROM runs WHERE run_id = ?)",
        (explanation, run_id),
    )


def older_than(connection: sqlite3.Connection, started_us: int) -> list[str]:
    """Return unmarked ended runs that began before that time, oldest first."""
    sql = "SELECT run_id FROM runs WHERE started_us < ? AND NOT marked AND owner IS NULL ORDER BY number"
    return [row[0] for row in connection.execute(sql, (started_us,))]


def oldest(connection: sqlite3.Connection, after: int, limit: int) -> Iterator[tuple[int, str]]:
    """Yield (number, run_id) of unmarked ended runs, oldest first."""
    sql = "SELECT number, run_id FROM runs WHERE number > ? AND NOT marked AND owner IS NULL ORDER BY number LIMIT ?"
    yield from connection.execute(sql, (after, limit)).fetchall()


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the number of bytes of the file that are in use."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


_MERGE_PAGES = 2_000
"""Pages of the search index that one step rewrites: some tens of milliseconds."""
_FREE_PAGES = 4_000


_MERGES = {
    1: ("texts_search", True, 2, 4),
    2: ("texts_search", False, 2, 4),
    4: ("elements_search", True, 5, 3),
    5: ("elements_search", False, 5, 3),
}
"""By the value of `purge`: the search to merge, whether it is its first merge, the value after it, and when merged."""


def needed(connection: sqlite3.Connection) -> bool:
    """Return whether rows were deleted since the last complete purge, by any process."""
    return bool(connection.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone()[0])


def owe(connection: sqlite3.Connection) -> None:
    """Record within a deleting transaction that a purge is due."""
    connection.execute("UPDATE meta SET value = max(value, 1) WHERE name = 'purge'")


def step(connection: sqlite3.Connection) -> bool:
    """Do one step; return whether it was the last. Raises sqlite3.Error, also if another process writes."""
    state = connection.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone()[0]
    if not state:
        return True
    if state in _MERGES:
        table, first, following, after = _MERGES[state]
        # The first merge starts on all segments (a negative number of pages); later ones continue it.
        pages = -_MERGE_PAGES if first else _MERGE_PAGES
        before = connection.total_changes
        connection.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)", (pages,))
        merged = connection.total_changes - before < 2
        value = after if merged and not first else following
        connection.execute("UPDATE meta SET value = ? WHERE name = 'purge'", (value,))
        return False
    if connection.execute("PRAGMA freelist_count").fetchone()[0]:
        before = connection.execute("PRAGMA page_count").fetchone()[0]
        # Not execute(): it steps the statement once, which frees one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES})")
        if connection.execute("PRAGMA page_count").fetchone()[0] < before:
            return False
    connection.execute("UPDATE meta SET value = 0 WHERE name = 'purge'")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return True

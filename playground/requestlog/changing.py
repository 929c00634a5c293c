"""Changes of requests that have ended: marks, tags, comments, and which are too old to keep. On the writing thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from playground.requestlog import index
from playground.requestlog.codec import column_text

MOST_TAG_CHARS = 64
_ENDED = "SELECT number FROM runs WHERE run_id = ? AND owner IS NULL"


def set_tags(connection: sqlite3.Connection, run_ids: Iterable[str], add: Sequence[str], remove: Sequence[str]) -> None:
    """Put tags on runs and take others off. The same tag in another case is the same tag."""
    for run_id in run_ids:
        row = connection.execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if row is not None:
            connection.executemany("DELETE FROM tags WHERE number = ? AND tag = ?", ((row[0], tag) for tag in remove))
            pairs = ((column_text(tag), row[0]) for tag in add)
            connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", pairs)


def set_comment(connection: sqlite3.Connection, run_id: str, comment: str) -> bool:
    """Comment a run that has ended, findable as its other texts are. False where it is not there, or still runs."""
    row = connection.execute(_ENDED, (run_id,)).fetchone()
    if row is None:
        return False
    index.remove(connection, row[0])
    connection.execute("UPDATE texts SET comment = ? WHERE number = ?", (column_text(comment), row[0]))
    index.add(connection, row[0])
    return True


def older_than(connection: sqlite3.Connection, started_us: int) -> list[str]:
    """Ended runs that began before that moment and are not marked, oldest first."""
    sql = "SELECT run_id FROM runs WHERE started_us < ? AND NOT marked AND owner IS NULL ORDER BY number"
    return [row[0] for row in connection.execute(sql, (started_us,))]


def oldest(connection: sqlite3.Connection, after: int, limit: int) -> Iterator[tuple[int, str]]:
    """(number, run_id) of ended runs that are not marked, from the oldest on."""
    sql = "SELECT number, run_id FROM runs WHERE number > ? AND NOT marked AND owner IS NULL ORDER BY number LIMIT ?"
    yield from connection.execute(sql, (after, limit)).fetchall()


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)

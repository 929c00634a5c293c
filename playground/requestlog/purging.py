"""After a deletion: nothing of what was deleted stays in the file, beside it, or in the search.

SQLite overwrites deleted rows (secure_delete). The search keeps what was taken out of it in older segments until they
are merged, and the write-ahead file keeps earlier pages until it is emptied. Both are done here, a step at a time, so
that requests are kept meanwhile.
"""

from __future__ import annotations

import sqlite3

_MERGE_PAGES = 2_000
"""Pages of the search that one step rewrites: some tens of milliseconds."""
_FREE_PAGES = 4_000


def needed(connection: sqlite3.Connection) -> bool:
    """Whether something was deleted since the last purge, also by a process that ended before it was done."""
    return bool(connection.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone()[0])


def owe(connection: sqlite3.Connection) -> None:
    """Within the transaction that deletes: what is deleted is to be purged."""
    connection.execute("UPDATE meta SET value = max(value, 1) WHERE name = 'purge'")


def step(connection: sqlite3.Connection) -> bool:
    """One step; tells whether it was the last. Raises sqlite3.Error, also where another process writes."""
    state = connection.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone()[0]
    if not state:
        return True
    if state in (1, 2):
        # The first merge takes all segments together (a negative number says so); the others go on with it.
        pages = -_MERGE_PAGES if state == 1 else _MERGE_PAGES
        before = connection.total_changes
        connection.execute("INSERT INTO texts_search (texts_search, rank) VALUES ('merge', ?)", (pages,))
        merged = connection.total_changes - before < 2
        connection.execute("UPDATE meta SET value = ? WHERE name = 'purge'", (3 if merged and state == 2 else 2,))
        return False
    if connection.execute("PRAGMA freelist_count").fetchone()[0]:
        before = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA incremental_vacuum({_FREE_PAGES})").fetchall()
        if connection.execute("PRAGMA page_count").fetchone()[0] < before:
            return False
    connection.execute("UPDATE meta SET value = 0 WHERE name = 'purge'")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return True

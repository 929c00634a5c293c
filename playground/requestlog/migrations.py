"""Upgrades of the database: `resources/schema/N.sql` leads to version N. A released step must not change."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from playground import asset
from playground.requestlog.codec import decode_events
from playground.requestlog.rows import hidden_text, traits_of
from playground.runs.state import fold
from playground.runs.summary import further_choices


def fill(connection: sqlite3.Connection) -> None:
    """Fill the columns of version 2 for earlier requests."""
    numbers = [row[0] for row in connection.execute("SELECT number FROM runs ORDER BY number")]
    for number in numbers:
        _fill(connection, number)
    connection.execute("UPDATE meta SET value = 1 WHERE name = 'purge'")


def _fill(connection: sqlite3.Connection, number: int) -> None:
    blobs = connection.execute("SELECT data FROM events WHERE number = ? ORDER BY id", (number,))
    state = fold(decode_events(row[0] for row in blobs))
    connection.execute("UPDATE runs SET traits = ? WHERE number = ?", (traits_of(state), number))
    hidden = hidden_text(state, further_choices(state))
    connection.execute("UPDATE texts SET error = ? WHERE number = ?", (hidden, number))


APPLICATION_ID = 0x45504C47
"""SQLite application id of the file (`EPLG`)."""

OLD_SEARCH = ("texts_search", "elements_search", "run_elements", "elements")
"""Tables of the text search before version 6."""


def drop_empty_search(connection: sqlite3.Connection) -> None:
    """Drop the tables of the earlier text search in a new file, in which they are empty."""
    if connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None:
        for table in OLD_SEARCH:
            connection.execute(f"DROP TABLE {table}")


_AFTER: dict[int, Callable[[sqlite3.Connection], None]] = {2: fill, 6: drop_empty_search}
"""By version: what follows the statements."""
CURRENT = 6
"""The schema version that this program writes."""


def version(connection: sqlite3.Connection) -> int:
    """Return the schema version of a file; 0 for an empty one."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def migrate(connection: sqlite3.Connection) -> None:
    """Upgrade a file to CURRENT, one transaction per step. Safe if two processes try at the same time."""
    while version(connection) < CURRENT:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _step(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _step(connection: sqlite3.Connection) -> None:
    at = version(connection)
    if at >= CURRENT:
        return
    for statement in _statements(asset(f"schema/{at + 1}.sql").read_text("utf-8")):
        connection.execute(statement)
    if (after := _AFTER.get(at + 1)) is not None:
        after(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {at + 1}")


def _statements(script: str) -> list[str]:
    # Not executescript: it commits first, which would split the step's transaction.
    statements, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            statements.append(text)
            text = ""
    return statements

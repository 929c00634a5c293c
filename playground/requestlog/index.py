"""Text search index of runs: texts and ids, added when a run has ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from playground.requestlog.search_text import indexed

TEXTS = ("question", "answer", "called", "trouble", "error", "comment")
"""Searched columns of `texts`."""


def add(connection: sqlite3.Connection, number: int) -> None:
    """Add a run to the index. Call once per run; `remove` it before its texts change."""
    connection.execute("INSERT INTO texts_search (rowid, text) VALUES (?, ?)", (number, _document(connection, number)))


def remove(connection: sqlite3.Connection, number: int) -> None:
    """Remove an indexed run. Call before its texts or ids change: FTS needs the indexed text."""
    connection.execute(
        "INSERT INTO texts_search (texts_search, rowid, text) VALUES ('delete', ?, ?)",
        (number, _document(connection, number)),
    )


def remove_known(connection: sqlite3.Connection, runs: Iterable[tuple[int, tuple[str, ...], tuple[str, ...]]]) -> None:
    """Remove several runs with known texts and ids: (number, TEXTS in order, ids)."""
    connection.executemany(
        "INSERT INTO texts_search (texts_search, rowid, text) VALUES ('delete', ?, ?)",
        ((number, document(texts, ids)) for number, texts, ids in runs),
    )


def document(texts: tuple[str, ...], ids: tuple[str, ...]) -> str:
    """Return the indexed text of a run, TEXTS in order. A match never spans two of them."""
    return indexed("\n".join((*texts, *sorted(ids))))


def _document(connection: sqlite3.Connection, number: int) -> str:
    texts = connection.execute(f"SELECT {', '.join(TEXTS)} FROM texts WHERE number = ?", (number,)).fetchone()
    ids = connection.execute("SELECT id FROM ids WHERE number = ?", (number,))
    return document(tuple(texts), tuple(row[0] for row in ids))

"""The text search's document of a run: its texts and ids. A run is added when it has ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from playground.requestlog.search_text import indexed

TEXTS = ("question", "answer", "called", "trouble", "error", "comment")
"""The columns of `texts` that are searched."""


def add(connection: sqlite3.Connection, number: int) -> None:
    """Make a run findable. Once a run; after a change of its texts, `remove` it first."""
    connection.execute("INSERT INTO texts_search (rowid, text) VALUES (?, ?)", (number, _document(connection, number)))


def remove(connection: sqlite3.Connection, number: int) -> None:
    """Take out a run that is in it. Before any of its texts or ids change: the same text must be given."""
    connection.execute(
        "INSERT INTO texts_search (texts_search, rowid, text) VALUES ('delete', ?, ?)",
        (number, _document(connection, number)),
    )


def remove_known(connection: sqlite3.Connection, runs: Iterable[tuple[int, tuple[str, ...], tuple[str, ...]]]) -> None:
    """As `remove`, for several runs whose texts and ids are known: (number, TEXTS in order, ids)."""
    connection.executemany(
        "INSERT INTO texts_search (texts_search, rowid, text) VALUES ('delete', ?, ?)",
        ((number, document(texts, ids)) for number, texts, ids in runs),
    )


def document(texts: tuple[str, ...], ids: tuple[str, ...]) -> str:
    """The text that stands for a run, TEXTS in order. What crosses two of them is never found as one."""
    return indexed("\n".join((*texts, *sorted(ids))))


def add_known(connection: sqlite3.Connection, number: int, texts: tuple[str, ...], ids: tuple[str, ...]) -> None:
    """As `add`, where the texts and ids are at hand."""
    connection.execute("INSERT INTO texts_search (rowid, text) VALUES (?, ?)", (number, document(texts, ids)))


def _document(connection: sqlite3.Connection, number: int) -> str:
    texts = connection.execute(f"SELECT {', '.join(TEXTS)} FROM texts WHERE number = ?", (number,)).fetchone()
    ids = connection.execute("SELECT id FROM ids WHERE number = ?", (number,))
    return document(tuple(texts), tuple(row[0] for row in ids))

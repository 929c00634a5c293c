"""Candidate rows for a filter, newest first, so that the first page does not need a scan of the whole log."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from itertools import chain, groupby, islice

from playground.requestlog.filter_sql import UNENDED, RowSource, Where

FEW = 2_000
"""A list of at most this many numbers is used without searching for a shorter one."""
MANY = 50_000
"""An index with more matches is not used: scanning the newest rows fills a page as fast."""
_FIRST_BATCH, _LAST_BATCH = 256, 4096

_FOUND = "SELECT rowid FROM texts_search WHERE texts_search MATCH ? AND rowid < ? ORDER BY rowid DESC"


def candidates(connection: sqlite3.Connection, made: Where, below: int) -> Iterator[list[int]] | None:
    """Return batches of numbers below `below`, descending, that include all matches; None if no index helps."""
    listed = _shortest(connection, [source for source in made.sources if not source.ordered])
    ordered = [source for source in made.sources if source.ordered]
    matches = [str(source.values[0]) for source in ordered if not source.elements]
    if not matches and ordered and (listed is None or len(listed) > FEW):
        return _batches(_with_elements(connection, ordered[0], below), below)
    if matches and (listed is None or len(listed) > FEW):
        found = connection.execute(_FOUND, (" AND ".join(f"({match})" for match in matches), below))
        first = [row[0] for row in islice(found, FEW)]
        if listed is None or len(first) < FEW:
            live = sorted((row[0] for row in connection.execute(UNENDED)), reverse=True)
            rest = chain(first, (row[0] for row in found))
            return _batches(heapq.merge(live, rest, reverse=True), below)
    if listed is None:
        return None
    return _batches(iter(sorted(listed, reverse=True)), below)


def _with_elements(connection: sqlite3.Connection, source: RowSource, below: int) -> Iterator[int]:
    """Yield the matches of one search in requests' texts or elements of their prompts, descending."""
    live = sorted((row[0] for row in connection.execute(UNENDED)), reverse=True)
    own = (row[0] for row in connection.execute(_FOUND, (source.values[0], below)))
    streams = [_of_element(connection, element, below) for element in source.elements]
    merged = heapq.merge(live, own, *streams, reverse=True)
    return (number for number, _ in groupby(merged))


def _of_element(connection: sqlite3.Connection, element: int, below: int) -> Iterator[int]:
    sql = "SELECT number FROM run_elements WHERE element = ? AND number < ? ORDER BY number DESC"
    return (row[0] for row in connection.execute(sql, (element, below)))


def _shortest(connection: sqlite3.Connection, sources: list[RowSource]) -> list[int] | None:
    """Return the shortest list of numbers from these sources; None if all have more than MANY."""
    best: list[int] | None = None
    most = MANY
    for source in sources:
        rows = connection.execute(f"SELECT * FROM ({source.sql}) LIMIT ?", (*source.values, most + 1)).fetchall()
        if len(rows) <= most:
            best, most = [row[0] for row in rows], len(rows)
    return best


def _batches(numbers: Iterator[int], below: int) -> Iterator[list[int]]:
    wanted = (number for number in numbers if number < below)
    size = _FIRST_BATCH
    while batch := list(dict.fromkeys(islice(wanted, size))):
        yield batch
        size = min(size * 2, _LAST_BATCH)

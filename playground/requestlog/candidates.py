"""Candidate rows for a filter, newest first, so that the first page does not need a scan of the whole log."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain, groupby, islice

from playground.requestlog.filter_sql import RowSource, Where
from playground.requestlog.index import RUNS, SHIFT

FEW = 2_000
"""A list of at most this many numbers is used without searching for a shorter one."""
MANY = 50_000
"""An index with more matches is not used: scanning the newest rows fills a page as fast."""
_FEW_BLOCKS = 64
_FIRST_BATCH, _LAST_BATCH = 256, 4096


def candidates(connection: sqlite3.Connection, made: Where, below: int) -> Iterator[list[int]] | None:
    """Return batches of numbers below `below`, descending, that include all matches; None if no index helps."""
    listed = _shortest(connection, [source for source in made.sources if not source.query])
    searched = [source for source in made.sources if source.query]
    queries = [source.query for source in searched if not source.elements]
    if listed is None or len(listed) > FEW:
        if not queries and searched:
            return _batches(_with_elements(connection, searched[0], below), below)
        if queries:
            blocks = _blocks(connection, queries, below)
            first = list(islice(blocks, _FEW_BLOCKS))
            if listed is None or len(first) < _FEW_BLOCKS:
                return _batches(_numbers(chain(first, blocks)), below)
    if listed is None:
        return None
    return _batches(iter(sorted(listed, reverse=True)), below)


def _blocks(connection: sqlite3.Connection, queries: list[str], below: int) -> Iterator[int]:
    """Yield the blocks that may match all queries of the text search, descending."""
    tests = " AND ".join("may_hold(bits, ?)" for _ in queries)
    last = below >> SHIFT
    found = connection.execute(
        f"SELECT block FROM search_blocks WHERE {tests} AND block <= ? ORDER BY block DESC", (*queries, last)
    )
    unsealed = connection.execute("SELECT block FROM open_blocks WHERE block <= ? ORDER BY block DESC", (last,))
    return (row[0] for row in heapq.merge(unsealed, found, reverse=True))


def _numbers(blocks: Iterable[int]) -> Iterator[int]:
    return chain.from_iterable(range((block << SHIFT) + RUNS - 1, (block << SHIFT) - 1, -1) for block in blocks)


def _with_elements(connection: sqlite3.Connection, source: RowSource, below: int) -> Iterator[int]:
    """Yield the matches of one search in requests' texts or elements of their prompts, descending."""
    own = _numbers(_blocks(connection, [source.query], below))
    streams = [_of_element(connection, element, below) for element in source.elements]
    merged = heapq.merge(own, *streams, reverse=True)
    return (number for number, _ in groupby(merged))


def _of_element(connection: sqlite3.Connection, element: int, below: int) -> Iterator[int]:
    sql = "SELECT number FROM element_runs WHERE element = ? AND number < ? ORDER BY number DESC"
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

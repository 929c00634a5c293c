"""Candidate rows for a filter in windows, newest first, so that no page needs a scan of the whole log."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from msgspec import Struct

from playground.requestlog.filter_sql import RowSource, Where
from playground.requestlog.index import RUNS, SHIFT

FEW = 2_000
"""A list of at most this many numbers is used without the text search."""
MANY = 50_000
"""An index with more matches is not used: scanning the newest rows fills a page as fast."""
_FIRST_ROWS, _MOST_ROWS = 512, 65_536
"""Rows in a window without candidates."""
_SOON_S, _LATE_S = 0.01, 0.03
"""Seconds for a window below which the next one is larger, and above which it is smaller."""
_FIRST_BLOCKS, _MOST_BLOCKS = 16, 1_024
_LISTED = 512
"""Candidates in a window."""


class Window(Struct, frozen=True):
    """Rows from `low` to before `high`: only `numbers` among them can match; None: all."""

    low: int
    high: int
    numbers: list[int] | None = None


def windows(connection: sqlite3.Connection, made: Where, below: int) -> Iterator[Window]:
    """Yield windows below `below`, descending, that include all matches."""
    listed = _shortest(connection, [source for source in made.sources if not source.query])
    searched = [source for source in made.sources if source.query]
    if searched and (listed is None or len(listed) > FEW):
        return _searched(connection, searched, below, None if listed is None else set(listed))
    if listed is None:
        return _plain(below)
    return _listed(sorted((number for number in listed if number < below), reverse=True), 0, below)


def _plain(below: int) -> Iterator[Window]:
    size = _FIRST_ROWS
    while below > 0:
        low, began = max(0, below - size), time.monotonic()
        yield Window(low, below)
        spent = time.monotonic() - began
        if spent < _SOON_S:
            size = min(size * 2, _MOST_ROWS)
        elif spent > _LATE_S:
            size = max(size // 2, RUNS)
        below = low


def _listed(numbers: list[int], low: int, high: int) -> Iterator[Window]:
    """Yield windows from `high` down to `low` with these candidates, descending."""
    for first in range(0, len(numbers), _LISTED):
        some = numbers[first : first + _LISTED]
        lowest = low if first + _LISTED >= len(numbers) else some[-1]
        yield Window(lowest, high, some)
        high = lowest
    if not numbers:
        yield Window(low, high, [])


def _searched(
    connection: sqlite3.Connection, sources: list[RowSource], below: int, among: set[int] | None
) -> Iterator[Window]:
    blocks = _FIRST_BLOCKS
    while below > 0:
        last = (below - 1) >> SHIFT
        first = max(0, last - blocks + 1)
        low = first << SHIFT
        found = set.intersection(*(_candidates(connection, source, first, last) for source in sources))
        if among is not None:
            found &= among
        numbers = sorted((number for number in found if number < below), reverse=True)
        yield from _listed(numbers, low, below)
        if len(numbers) < _LISTED:
            blocks = min(blocks * 4, _MOST_BLOCKS)
        below = low


def _candidates(connection: sqlite3.Connection, source: RowSource, first: int, last: int) -> set[int]:
    """Return the numbers in the blocks `first` to `last` that may match one text."""
    blocks = connection.execute(
        "SELECT block FROM search_blocks WHERE block BETWEEN ? AND ? AND may_hold(bits, ?) "
        "UNION ALL SELECT block FROM open_blocks WHERE block BETWEEN ? AND ?",
        (first, last, source.query, first, last),
    )
    found = {number for (block,) in blocks for number in range(block << SHIFT, (block + 1) << SHIFT)}
    found.update(number for number in source.numbers if first <= number >> SHIFT <= last)
    if source.elements:
        listed = ", ".join(map(str, source.elements))
        rows = connection.execute(
            f"SELECT number FROM element_runs WHERE element IN ({listed}) AND number BETWEEN ? AND ?",
            (first << SHIFT, ((last + 1) << SHIFT) - 1),
        )
        found.update(row[0] for row in rows)
    return found


def _shortest(connection: sqlite3.Connection, sources: list[RowSource]) -> list[int] | None:
    """Return the shortest list of numbers from these sources; None if all have more than MANY."""
    best: list[int] | None = None
    most = MANY
    for source in sources:
        rows = connection.execute(f"SELECT * FROM ({source.sql}) LIMIT ?", (*source.values, most + 1)).fetchall()
        if len(rows) <= most:
            best, most = [row[0] for row in rows], len(rows)
    return best

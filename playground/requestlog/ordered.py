"""Lists of the log: candidate rows for a filter in windows, newest first, and in the order of a column. No page scans
the whole log.

`block_bounds` has the least and the greatest value of some columns per sealed block of the text search (`index`). In
their orders, blocks are compared by these bounds, until those that are left cannot have one of the first requests.
Earlier versions of the program do not write this table: a block without a row in it is always compared.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from msgspec import Struct

from playground.requestlog.filter import LogFilter, Order
from playground.requestlog.filter_sql import RowSource, Value, Where
from playground.requestlog.index import RUNS, SHIFT, has_bounds
from playground.requestlog.prompt_index import Unfinished
from playground.requestlog.records import PREVIEW_CHARS
from playground.requestlog.store import transaction

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


_RATE = "json_extract(g.rates, '$.{}')"
ORDERS = {
    "time": "r.started_us",
    "status": "r.status",
    "request_id": "r.request_id",
    "in": "r.prompt_tokens",
    "cached": "r.cached_tokens",
    "out": "r.completion_tokens",
    "TTFT": "r.ttft_s",
    "total": "r.duration_s",
    "cost": f"((r.prompt_tokens - r.cached_tokens) * {_RATE.format('fresh')} + r.cached_tokens * "
    f"{_RATE.format('cached')})",
    "prefix": "CASE WHEN json_valid(t.explanation) THEN json_extract(t.explanation, '$.cause') END",
    "attempts": "r.attempts",
    "endpoint": "g.endpoint_name COLLATE NOCASE",
    "model": "g.model COLLATE NOCASE",
    "tags": "(SELECT group_concat(tag, char(31)) FROM tags WHERE tags.number = r.number) COLLATE NOCASE",
    "comment": "nullif(t.comment, '') COLLATE NOCASE",
    "question": f"nullif(substr(t.question, 1, {PREVIEW_CHARS}), '') COLLATE NOCASE",
    "answer": f"nullif(substr(t.answer, 1, {PREVIEW_CHARS}), '') COLLATE NOCASE",
}
"""SQL expressions of the keys of `filter.Order`."""
NEAR = 1_024
"""Number of requests at the beginning of a list that are found without reading the numbers of all matches."""
NEAR_BY_BOUNDS = 256
"""The same for the first rows of an order by bounds, where about one block is compared for each row."""
STEP_S = 0.04
"""Seconds of a step."""
_INDEXED = ("time", "in", "cached", "out")
"""Orders that an index of `runs` has."""
_TARGETS = 200
"""Number of targets up to which their names and rates are written into the expression: no join, no JSON to parse."""


def expression(connection: sqlite3.Connection, key: str) -> str:
    """Return the SQL expression of a key of `filter.Order`, over `runs` alone for figures of the request's target."""
    if key not in ("endpoint", "model", "cost"):
        return ORDERS[key]
    targets = connection.execute(
        "SELECT id, endpoint_name, model, json_extract(rates, '$.fresh'), json_extract(rates, '$.cached') FROM targets"
    ).fetchall()
    if len(targets) > _TARGETS:
        return ORDERS[key]
    if key == "cost":
        fresh, cached = (_of_target({row[0]: row[place] for row in targets}) for place in (3, 4))
        return f"((r.prompt_tokens - r.cached_tokens) * {fresh} + r.cached_tokens * {cached})"
    names = {row[0]: _folded(str(row[1 if key == "endpoint" else 2])) for row in targets}
    ranks = {name: rank for rank, name in enumerate(sorted(set(names.values())))}
    return _of_target({id_: ranks[name] for id_, name in names.items()})


def _of_target(values: dict[int, float | None]) -> str:
    cases = " ".join(f"WHEN {id_} THEN {value!r}" for id_, value in values.items() if isinstance(value, int | float))
    return f"(CASE r.target {cases} END)" if cases else "NULL"


def _folded(text: str) -> bytes:
    """Return bytes that sort as SQLite's NOCASE: only letters of ASCII are the same in upper and lower case."""
    return text.encode("utf-8", "surrogatepass").lower()


BOUND_CHARS = 32
"""Characters of a text that `block_bounds` has. Part of the file's format: never change it."""
_BOUNDED = ("question", "answer", "cost", "TTFT", "total")
"""Orders that `block_bounds` has."""
_BOUND_COLUMNS = tuple(f"{side}_{key}" for key in _BOUNDED for side in ("least", "most"))
BOUNDS_FROM = 6_000
"""Number of blocks (192,000 requests) from which comparing some blocks is faster than comparing all requests."""
_BLOCKS_AT_ONCE = 16
"""Blocks that are compared in one statement."""
_BOUND_AT_ONCE = 32
"""Blocks of an earlier file whose bounds one step computes."""
_TABLE = f"""CREATE TABLE IF NOT EXISTS block_bounds (
    block INTEGER PRIMARY KEY, {", ".join(_BOUND_COLUMNS)}
)"""
# Also run by earlier versions of the program, which delete or seal a block without knowing of its bounds.
_TRIGGER = """CREATE TRIGGER IF NOT EXISTS search_blocks_deleted AFTER DELETE ON search_blocks BEGIN
    DELETE FROM block_bounds WHERE block = old.block;
END"""


def _bound(key: str, side: str) -> str:
    """Return the SQL expression of a bound, over the requests of one block."""
    value = ORDERS[key]
    if key == "cost":
        return f"{side}(CASE WHEN json_valid(g.rates) THEN {value} END)"
    if key in ("question", "answer"):
        return f"substr({side}({value}), 1, {BOUND_CHARS})"
    return f"{side}({value})"


_BOUNDS = (
    f"INSERT OR REPLACE INTO block_bounds (block, {', '.join(_BOUND_COLUMNS)}) SELECT r.number >> {SHIFT}, "
    f"{', '.join(_bound(key, side) for key in _BOUNDED for side in ('min', 'max'))} "
    f"FROM runs AS r NOT INDEXED JOIN texts AS t ON t.number = r.number CROSS JOIN targets AS g ON g.id = r.target "
    f"WHERE r.number BETWEEN ? AND ? GROUP BY r.number >> {SHIFT}"
)


def put_bounds(connection: sqlite3.Connection, block: int) -> None:
    """Store the bounds of a block that is sealed. Call within a transaction."""
    connection.execute(_BOUNDS, (block << SHIFT, (block << SHIFT) + RUNS - 1))


def add_bounds(connection: sqlite3.Connection) -> Iterator[None]:
    """Create `block_bounds`, and compute the bounds of sealed blocks without them, some per step.

    Raises sqlite3.Error.
    """
    if not has_bounds(connection):
        with transaction(connection, durable=False):
            connection.execute(_TABLE)
            connection.execute(_TRIGGER)
    missing = connection.execute("SELECT block FROM search_blocks EXCEPT SELECT block FROM block_bounds").fetchall()
    for first in range(0, len(missing), _BOUND_AT_ONCE):
        with transaction(connection, durable=False):
            for (block,) in missing[first : first + _BOUND_AT_ONCE]:
                # It may have been deleted since.
                if connection.execute("SELECT 1 FROM search_blocks WHERE block = ?", (block,)).fetchone():
                    put_bounds(connection, block)
        yield


class FirstInOrder:
    """The first matches of a filter in its order: NEAR, or at least `wanted` if more take longer."""

    def __init__(self, connection: sqlite3.Connection, log_filter: LogFilter, order: Order, wanted: int) -> None:
        self._connection, self._order = connection, order
        self._wanted, self.count = wanted, NEAR
        self._bare = not log_filter.terms
        self._known: list[tuple[object, int]] = []
        self._unknown: list[int] = []

    @property
    def numbers(self) -> list[int]:
        """Return the numbers found so far, in order; requests without a value last."""
        return [*(number for _, number in self._known), *self._unknown][: self.count]

    def steps(self, conditions: Callable[[float, bool], Where]) -> Iterator[None]:
        """Compare some matches per step.

        `conditions` gets the step's deadline and whether it is the first, and may raise Unfinished.
        """
        until, begins = time.monotonic() + STEP_S, True
        while True:
            try:
                made = conditions(until, begins)
                break
            except Unfinished:
                yield
                until, begins = time.monotonic() + STEP_S, False
        key = expression(self._connection, self._order.key)
        if self._bare and self._order.key in _INDEXED:
            sql = made.select_ordered(self._order, key, f"LIMIT {NEAR}")
            self._unknown = [row[0] for row in self._connection.execute(sql)]
            return
        for among in self._parts(made):
            self._compare(made, key, among)
            if time.monotonic() > until:
                yield
                until = time.monotonic() + STEP_S

    def _parts(self, made: Where) -> Iterator[str]:
        """Yield conditions of parts of the log that together have the first matches."""
        newest = self._connection.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
        if not made.sources and self._order.key in _BOUNDED and has_bounds(self._connection):
            blocks = self._connection.execute("SELECT count(*) FROM block_bounds").fetchone()[0]
            if blocks >= BOUNDS_FROM:
                yield from self._parts_by_bounds(newest)
                return
        for window in windows(self._connection, made, newest + 1):
            yield _among(window)

    def _parts_by_bounds(self, newest: int) -> Iterator[str]:
        self.count = NEAR_BY_BOUNDS if self._wanted <= NEAR_BY_BOUNDS else NEAR
        column = f"{'most' if self._order.descending else 'least'}_{self._order.key}"
        direction = "DESC" if self._order.descending else "ASC"
        bounds = self._connection.execute(
            f"SELECT block, {column} FROM block_bounds ORDER BY {column} COLLATE NOCASE {direction} NULLS LAST, "
            "block DESC"
        ).fetchall()
        yield from _without_bounds(sorted(row[0] for row in bounds), newest)
        some: list[int] = []
        for block, bound in bounds:
            if (place := self._place_of(block, bound)) > 0:
                break
            if place == 0:
                some.append(block)
            if len(some) == _BLOCKS_AT_ONCE:
                yield _of_blocks(some)
                some = []
        if some:
            yield _of_blocks(some)

    def _place_of(self, block: int, bound: object) -> int:
        """Compare a block with the first requests found so far.

        Returns 0 if it may have one of them, -1 if it has none, and 1 if also all blocks with a later bound have none.
        """
        if bound is None:  # all blocks that are left have no value, newest first
            newest = (block << SHIFT) + RUNS - 1
            missing = self.count - len(self._known)
            return int(not missing or (len(self._unknown) >= missing and newest < self._unknown[missing - 1]))
        if len(self._known) < self.count:
            return 0
        last, number = self._known[-1]
        is_whole = not isinstance(bound, str) or len(bound) < BOUND_CHARS
        start = last[:BOUND_CHARS] if isinstance(last, str) else last
        first, least = _sort_key(bound), _sort_key(start)
        if first != least:
            return int((first > least) is not self._order.descending)
        return -1 if is_whole and (block << SHIFT) + RUNS - 1 < number else 0

    def _compare(self, made: Where, key: str, among: str) -> None:
        """Take the first matches among these requests."""
        direction, sign = ("DESC", ">=") if self._order.descending else ("ASC", "<=")
        values: tuple[Value, ...] = ()
        if len(self._known) == self.count:
            value, number = self._known[-1]
            among = f"{among} AND {key} {sign} ? AND NOT ({key} = ? AND r.number < ?)"
            values = (value, value, number)  # type: ignore[assignment]  # a value that SQLite returned
        tail = f"ORDER BY {key} {direction} NULLS LAST, r.number DESC LIMIT {self.count}"
        found = self._connection.execute(made.select(f"{key}, r.number", extra=among, tail=tail), made.bind(*values))
        rows = found.fetchall()
        unknown = chain(self._unknown, (number for value, number in rows if value is None))
        self._unknown = sorted(unknown, reverse=True)[: self.count]
        known = chain(self._known, (row for row in rows if row[0] is not None))
        self._known = sorted(known, key=self._place, reverse=self._order.descending)[: self.count]

    def _place(self, row: tuple[object, int]) -> tuple[tuple[int, object], int]:
        """Return a key for sorting: of equal values the newer request is first."""
        return _sort_key(row[0]), row[1] if self._order.descending else -row[1]


def _among(window: Window) -> str:
    if window.numbers is None:
        return f"r.number >= {window.low} AND r.number < {window.high}"
    return f"r.number IN ({', '.join(map(str, window.numbers))})"


def _of_blocks(blocks: Iterable[int]) -> str:
    numbers = (number for block in blocks for number in range(block << SHIFT, (block + 1) << SHIFT))
    return f"r.number IN ({', '.join(map(str, numbers))})"


def _without_bounds(blocks: list[int], newest: int) -> Iterator[str]:
    """Yield conditions of the requests that are not in these blocks, which are ascending; newest first."""
    above = newest + 1
    for block in (*reversed(blocks), -1):
        low = (block + 1) << SHIFT
        for high in range(above, low, -_ROWS_AT_ONCE):
            yield f"r.number >= {max(low, high - _ROWS_AT_ONCE)} AND r.number < {high}"
        above = min(above, block << SHIFT)


_ROWS_AT_ONCE = 4_096


def _sort_key(value: object) -> tuple[int, object]:
    # As SQLite: numbers before texts, and these before bytes, which only a damaged row has.
    return _RANKS.get(type(value), 2), _folded(value) if isinstance(value, str) else value


_RANKS: dict[type, int] = {int: 0, float: 0, str: 1}

"""Lists in the order of a column: its SQL expression, and the first requests of an order, found in steps."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import chain

from playground.requestlog.candidates import windows
from playground.requestlog.filter import LogFilter, Order
from playground.requestlog.filter_sql import Value, Where
from playground.requestlog.prompt_index import Unfinished
from playground.requestlog.records import PREVIEW_CHARS

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


class FirstInOrder:
    """The first NEAR matches of a filter in its order."""

    def __init__(self, connection: sqlite3.Connection, log_filter: LogFilter, order: Order) -> None:
        self._connection, self._order = connection, order
        self._bare = not log_filter.terms
        self._known: list[tuple[object, int]] = []
        self._unknown: list[int] = []

    @property
    def numbers(self) -> list[int]:
        """Return the numbers found so far, in order; requests without a value last."""
        return [*(number for _, number in self._known), *self._unknown][:NEAR]

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
        newest = self._connection.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
        for window in windows(self._connection, made, newest + 1):
            if window.numbers is None:
                self._compare(made, key, "r.number >= ? AND r.number < ?", (window.low, window.high))
            else:
                self._compare(made, key, f"r.number IN ({', '.join(map(str, window.numbers))})", ())
            if time.monotonic() > until:
                yield
                until = time.monotonic() + STEP_S

    def _compare(self, made: Where, key: str, among: str, values: tuple[Value, ...]) -> None:
        """Take the first matches among these requests, which are older than those before."""
        direction, sign = ("DESC", ">") if self._order.descending else ("ASC", "<")
        if len(self._known) == NEAR:
            among += f" AND {key} {sign} ?"
            values = (*values, self._known[-1][0])  # type: ignore[arg-type]  # a value that SQLite returned
        tail = f"ORDER BY {key} {direction} NULLS LAST, r.number DESC LIMIT {NEAR}"
        found = self._connection.execute(made.select(f"{key}, r.number", extra=among, tail=tail), made.bind(*values))
        rows = found.fetchall()
        self._unknown += [number for value, number in rows if value is None][: NEAR - len(self._unknown)]
        known = chain(self._known, (row for row in rows if row[0] is not None))
        # The sort is stable, so that of equal values the newer request is first.
        self._known = sorted(known, key=self._sort_key, reverse=self._order.descending)[:NEAR]

    @staticmethod
    def _sort_key(row: tuple[object, int]) -> tuple[int, object]:
        # As SQLite: numbers before texts, and these before bytes, which only a damaged row has.
        value = row[0]
        return _RANKS.get(type(value), 2), _folded(value) if isinstance(value, str) else value


_RANKS: dict[type, int] = {int: 0, float: 0, str: 1}

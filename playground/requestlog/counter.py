"""Counts and sums on a separate thread and connection: for a million rows they may take seconds, and rows for the
screen must not wait behind them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from playground.requestlog.filter import LogFilter
from playground.requestlog.reader import Reader
from playground.requestlog.records import Count, Totals
from playground.requestlog.worker import Worker

NO_TOTALS = Totals(0, None, None, None, 0, 0, 0)
A = TypeVar("A")


class RowCounter:
    """`connect` opens the connection, on the thread, at the first count."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], trouble: Callable[[sqlite3.Error], None]) -> None:
        self._connect, self._trouble = connect, trouble
        self._worker: Worker | None = None
        self._connection: sqlite3.Connection | None = None
        self._reader: Reader | None = None

    async def count(self, log_filter: LogFilter, up_to: int | None) -> Count:
        """Return the number of matches; 0 if stopped or if the log cannot be read."""
        return await self._ask(lambda reader: reader.count(log_filter, up_to), Count(0, True))

    async def totals(self, log_filter: LogFilter) -> Totals:
        """Return sums over all matches; empty sums if stopped or if the log cannot be read."""
        return await self._ask(lambda reader: reader.totals(log_filter), NO_TOTALS)

    def stop(self) -> None:
        """Interrupt the running count."""
        if self._connection is not None:
            self._connection.interrupt()

    async def _ask(self, question: Callable[[Reader], A], empty: A) -> A:
        def work() -> A:
            try:
                return question(self._opened())
            except sqlite3.Error as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    self._trouble(error)
                return empty

        if self._worker is None:
            self._worker = Worker("request-log-counter")
        return await self._worker.call(work)

    def _opened(self) -> Reader:
        if self._reader is None:
            self._connection = self._connect()
            self._reader = Reader(self._connection)
        return self._reader

    async def close(self) -> None:
        """Close the connection."""
        if self._worker is None:
            return
        self.stop()
        worker, self._worker = self._worker, None
        if self._connection is not None:
            await worker.call(self._connection.close)
        worker.stop()

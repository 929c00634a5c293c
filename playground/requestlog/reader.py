"""Reads the log: pages, counts, sums, one run, what was sent. On the reader's thread only."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable
from datetime import datetime

import msgspec

from playground.client.endpoint import Rates
from playground.prefix.forecast import Forecast
from playground.requestlog import rows
from playground.requestlog.bodies import Joiner
from playground.requestlog.filter import EVERYTHING, IdTerm, LogFilter
from playground.requestlog.records import PREVIEW_CHARS, Count, LogRow, RunRecord, SentRow, StoredRun, Totals
from playground.requestlog.where import where

COUNT_UP_TO = 10_000
"""Where a filter holds, counting ends here unless told otherwise."""

_ROW = f"""r.run_id, r.number, r.started_us, r.phase, r.status, r.finish_reason, r.request_id, r.body_id,
g.endpoint_id, g.endpoint_name, g.endpoint_kind, g.model, g.rates, r.attempts, r.prompt_tokens, r.cached_tokens,
r.completion_tokens, r.prompt_tokens_estimated, r.forecast_cached, r.ttft_s, r.duration_s,
substr(t.question, 1, {PREVIEW_CHARS}), substr(t.answer, 1, {PREVIEW_CHARS}), t.called, t.trouble, r.marked"""
_STARTED, _RATES, _MARKED = 2, 12, 25

_TOTALS = """count(*), sum(r.prompt_tokens), sum(r.cached_tokens), sum(r.completion_tokens),
count(r.prompt_tokens + r.cached_tokens),
coalesce(sum(CASE WHEN r.cached_tokens IS NOT NULL THEN r.prompt_tokens END), 0),
coalesce(sum(CASE WHEN r.prompt_tokens IS NOT NULL THEN r.cached_tokens END), 0)"""


class Reader:
    """All questions to the log. Keeps the row numbers of the filter asked last, for a table that jumps."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rates: dict[str, Rates] = {}
        self._filter: LogFilter | None = None
        self._numbers: array[int] = array("q")
        self._seen = (-1, -1)

    def page(self, log_filter: LogFilter, before: int | None, limit: int) -> list[LogRow]:
        """Newest first, older than row `before`."""
        made = where(log_filter)
        extra = f"{made.number} < ?" if before is not None else ""
        more = () if before is None else (before,)
        sql = made.select(_ROW, extra, f"ORDER BY {made.number} DESC LIMIT ?")
        return self._rows(self._connection.execute(sql, made.bind(*more, limit)))

    def rows_at(self, log_filter: LogFilter, first: int, limit: int) -> list[LogRow]:
        """Rows `first` to `first + limit`, 0 being the newest."""
        numbers = self._numbers_of(log_filter)
        stop = len(numbers) - max(0, first)
        wanted = numbers[max(0, stop - limit) : max(0, stop)]
        if not wanted:
            return []
        marks = ", ".join("?" * len(wanted))
        sql = where(EVERYTHING).select(_ROW, f"r.number IN ({marks})", "ORDER BY r.number DESC")
        return self._rows(self._connection.execute(sql, tuple(wanted)))

    def count(self, log_filter: LogFilter, up_to: int | None) -> Count:
        """How many match, counted up to `up_to`; None counts all."""
        if not log_filter.terms:
            return Count(int(self._connection.execute("SELECT count(*) FROM runs").fetchone()[0]), True)
        made = where(log_filter)
        # A negative limit is none.
        sql = f"SELECT count(*) FROM ({made.select('1', tail='LIMIT ?')})"
        n = int(self._connection.execute(sql, made.bind(-1 if up_to is None else up_to + 1)).fetchone()[0])
        if up_to is None or n <= up_to:
            return Count(n, True)
        return Count(up_to, False)

    def totals(self, log_filter: LogFilter) -> Totals:
        """Sums over what matches."""
        made = where(log_filter)
        return Totals(*self._connection.execute(made.select(_TOTALS), made.bind()).fetchone())

    def find(self, part: str) -> list[LogRow]:
        """Requests with `part` in one of their ids, newest first, up to 1,000."""
        return self.page(LogFilter((IdTerm(part),)), None, 1000) if part else []

    def get(self, run_id: str) -> StoredRun | None:
        """One run whole."""
        self._connection.execute("BEGIN")  # one moment for all its statements
        try:
            return self._stored(run_id)
        finally:
            self._connection.execute("COMMIT")

    def sent_since(self, endpoint_id: str, model: str, since: datetime) -> list[SentRow]:
        """What was answered or at least sent there, oldest first."""
        found = self._connection.execute(
            "SELECT r.run_id, r.request_id, r.started_us, t.body, r.prompt_tokens, r.cached_tokens "
            "FROM targets AS g CROSS JOIN runs AS r ON r.target = g.id JOIN texts AS t ON t.number = r.number "
            "WHERE g.endpoint_id = ? AND g.model = ? AND r.started_us >= ? ORDER BY r.number",
            (endpoint_id, model, rows.microseconds(since)),
        )
        joiner = Joiner(self._connection)
        return [
            SentRow(row[0], row[1], rows.moment_of(row[2]), joiner.join(row[3]), row[4], row[5])
            for row in found.fetchall()
        ]

    def _rows(self, found: Iterable[tuple[object, ...]]) -> list[LogRow]:
        return [self._row(list(values)) for values in found]

    def _row(self, values: list[object]) -> LogRow:
        values[_STARTED] = rows.moment_of(values[_STARTED])  # type: ignore[arg-type]  # NOT NULL INTEGER
        values[_RATES] = self._rates_of(str(values[_RATES]))
        values[_MARKED] = bool(values[_MARKED])
        return LogRow(*values)  # type: ignore[arg-type]  # the columns of _ROW are LogRow's fields, in order

    def _rates_of(self, text: str) -> Rates:
        if text not in self._rates:
            self._rates[text] = msgspec.json.decode(text, type=Rates)
        return self._rates[text]

    def _stored(self, run_id: str) -> StoredRun | None:
        row = self._connection.execute(
            "SELECT r.number, r.phase, r.marked, r.dropped_raw, r.started_us, g.endpoint_id, g.endpoint_name, "
            "g.endpoint_kind, g.base_url, g.model, g.rates, t.body, t.document, t.forecast "
            "FROM runs AS r JOIN texts AS t ON t.number = r.number JOIN targets AS g ON g.id = r.target "
            "WHERE r.run_id = ?",
            (run_id,),
        ).fetchone()
        if row is None:
            return None
        joiner = Joiner(self._connection)
        record = RunRecord(
            run_id=run_id,
            endpoint_id=row[5],
            endpoint_name=row[6],
            endpoint_kind=row[7],
            base_url=row[8],
            model=row[9],
            started_utc=rows.moment_of(row[4]),
            body=joiner.join(row[11]),
            document=joiner.join(row[12]).decode("utf-8", "surrogatepass"),
            forecast=msgspec.json.decode(row[13], type=Forecast) if row[13] else None,
            rates=self._rates_of(row[10]),
        )
        events = rows.read_events(self._connection, row[0])
        return StoredRun(record, row[0], row[1], bool(row[2]), events, bool(row[3]))

    def _numbers_of(self, log_filter: LogFilter) -> array[int]:
        """The numbers of what matches, rising. Read anew where it may be stale; without a filter only what is new."""
        data_version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        deletions = self._connection.execute("SELECT value FROM meta WHERE name = 'deletions'").fetchone()[0]
        same = self._filter is not None and self._filter.terms == log_filter.terms
        if same and self._seen == (data_version, deletions):
            return self._numbers
        grows = same and not log_filter.terms and self._seen[1] == deletions
        if not grows:
            self._numbers = array("q")
        self._numbers.extend(self._newer(log_filter, self._numbers[-1] if self._numbers else 0))
        self._filter, self._seen = log_filter, (data_version, deletions)
        return self._numbers

    def _newer(self, log_filter: LogFilter, last: int) -> Iterable[int]:
        if not log_filter.terms:
            sql, values = "SELECT number FROM runs WHERE number > ? ORDER BY number", (last,)
            return (row[0] for row in self._connection.execute(sql, values))
        made = where(log_filter)
        sql = made.select(made.number, tail=f"ORDER BY {made.number}")
        return (row[0] for row in self._connection.execute(sql, made.bind()))

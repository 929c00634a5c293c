"""Queries of the log: pages, counts, sums, single runs, sent bodies. For use on one thread."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice, takewhile
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from playground.client.events import ContentDelta, HeadersReceived
from playground.prompt.document import Json
from playground.requestlog import groups, ordered, rows
from playground.requestlog.blob_store import Joiner
from playground.requestlog.filter import EVERYTHING, Folding, LogFilter, Order, Term, TextTerm
from playground.requestlog.filter_sql import Lookup, Where, where
from playground.requestlog.groups import GroupLayout
from playground.requestlog.index import BlockTest, column_text, fold
from playground.requestlog.log_queries import IndexedIds, ListedIds
from playground.requestlog.ordered import NEAR, FirstInOrder, Window, windows
from playground.requestlog.prompt_index import MatchingElements, PromptTest, Unfinished, deletions_of
from playground.requestlog.records import PREVIEW_CHARS, Count, Found, LogRow, Totals
from playground.requestlog.stored_runs import DAMAGE, KINDS, StoredRuns, check_types, one_moment, tags_of
from playground.runs.record import SentRow

COUNT_UP_TO = 10_000
"""Default limit of a count with a filter."""

_ROW = f"""{rows.id_text("r.run_id")},
r.number, r.started_us, r.phase, r.status, r.finish_reason, r.request_id, r.body_id,
g.endpoint_id, g.endpoint_name, g.endpoint_kind, g.model, g.rates, r.attempts, r.prompt_tokens, r.cached_tokens,
r.completion_tokens, r.prompt_tokens_estimated, r.forecast_cached, r.ttft_s, r.duration_s,
substr(t.question, 1, {PREVIEW_CHARS}), substr(t.answer, 1, {PREVIEW_CHARS}), t.called, t.trouble, r.marked,
r.imported, t.comment, r.source, r.conversation,
(SELECT group_concat(tag, char(31)) FROM tags WHERE tags.number = r.number)"""
"""Columns of the first fields of LogRow, in their order."""
_ROW_KINDS = tuple(map(KINDS.__getitem__, "tiitITTTtttttiIIIFFFFttttiittTT"))
"""Types of the columns of _ROW: SQLite stores any type in any column."""
_ROW_FIELDS = LogRow.__struct_fields__[: len(_ROW_KINDS)]

_NO_NUMBER = 2**62
_MOST_STATUSES = 20_000
"""Retried requests whose statuses are kept."""

_TOTALS = """count(*), sum(r.prompt_tokens), sum(r.cached_tokens), sum(r.completion_tokens),
count(CASE WHEN r.cached_tokens <= r.prompt_tokens THEN 1 END),
coalesce(sum(CASE WHEN r.cached_tokens <= r.prompt_tokens THEN r.prompt_tokens END), 0),
coalesce(sum(CASE WHEN r.cached_tokens <= r.prompt_tokens THEN r.cached_tokens END), 0)"""


class _FirstRequests(Struct, frozen=True):
    """The first requests of a filter in an order, at most `count`, in one version of the log."""

    terms: tuple[Term, ...]
    order: Order
    version: tuple[int, int]
    numbers: list[int]
    count: int


class Reader:
    """All queries of the log. Caches the row numbers of the last filter, for random access by a table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.runs = StoredRuns(connection)
        connection.create_function("holds", -1, _holds, deterministic=True)
        connection.create_function("may_hold", 2, BlockTest(), deterministic=True)
        self._prompts, self._elements = PromptTest(connection), MatchingElements(connection)
        self._lookup = Lookup(self._elements, indexed_ids := IndexedIds(connection), ListedIds(connection, indexed_ids))
        connection.create_function("prompt_holds", 2, self._prompts)
        connection.create_function("attempted", 3, self._attempted)
        self._sums = groups.GroupSums(connection, self.runs.rates_of)
        self._statuses: dict[int, set[int]] = {}
        """Statuses of the attempts of requests that were sent more than once."""
        self._listed: tuple[object, ...] | None = None
        """Terms, order and folding of the filter whose numbers are in `_numbers`."""
        self._numbers: array[int] = array("q")
        self._seen = (-1, -1)
        self._first: _FirstRequests | None = None
        self._folded: tuple[Folding, tuple[int, int], GroupLayout] | None = None

    def _attempted(self, number: int, low: int, high: int) -> bool:
        """Implement SQL's attempted(): whether an attempt of a retried request had a status from `low` to `high`."""
        if number not in self._statuses:
            if len(self._statuses) >= _MOST_STATUSES:
                self._statuses.clear()
            try:
                events = rows.read_events(self._connection, number)
                # No attempt follows one whose text has begun.
                early = takewhile(lambda event: not isinstance(event, ContentDelta), events)
                found = {event.status for event in early if isinstance(event, HeadersReceived)}
            except DAMAGE:
                return False
            self._statuses[number] = found
        return any(low <= status <= high for status in self._statuses[number])

    def _where(self, log_filter: LogFilter) -> Where:
        self._refresh(whole=True)
        return where(log_filter, self._lookup)

    def _refresh(self, *, whole: bool, until: float = math.inf) -> None:
        """Prepare the text search for a query with a deadline. `whole`: it does not continue an earlier one."""
        self._prompts.refresh(trim=whole)
        if whole:
            self._elements.trim()
        self._elements.until = until

    def page(self, log_filter: LogFilter, before: int | None, limit: int) -> list[LogRow]:
        """Return rows older than row `before`, newest first."""
        rows: list[LogRow] = []
        while True:
            found = self.search(log_filter, before, limit - len(rows))
            rows += found.rows
            if found.below is None:
                return rows
            before = found.below

    def search(self, log_filter: LogFilter, before: int | None, limit: int, seconds: float = math.inf) -> Found:
        """Return rows older than row `before`, newest first: those that one step of some `seconds` finds."""
        until = time.monotonic() + seconds
        with one_moment(self._connection):
            if not log_filter.terms:
                return Found(self._window(Where(), Window(0, _NO_NUMBER if before is None else before), limit))
            newest = self._connection.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
            self._refresh(whole=before is None, until=until)
            below = newest + 1 if before is None else min(before, newest + 1)
            # The newest rows may fill the page before the prompts with a text are known.
            at_once = before is None and any(
                isinstance(term, TextTerm) and not self._elements.is_known(term.text) for term in log_filter.terms
            )
            try:
                made = where(log_filter, replace(self._lookup, elements=_unknown) if at_once else self._lookup)
            except Unfinished:
                return Found([], below)
            rows: list[LogRow] = []
            for window in windows(self._connection, made, below):
                rows += self._window(made, window, limit - len(rows))
                if len(rows) >= limit:
                    break
                if window.low > 0 and (at_once or time.monotonic() > until):
                    return Found(rows, window.low)
            return Found(rows)

    def _window(self, made: Where, window: Window, limit: int) -> list[LogRow]:
        """Return the matches in a window, newest first."""
        if window.numbers is not None:
            return self._among(made, window.numbers, limit) if window.numbers else []
        extra, tail = "r.number >= ? AND r.number < ?", "ORDER BY r.number DESC LIMIT ?"
        sql = made.select(_ROW, extra=extra, tail=tail)
        return self._rows(self._connection.execute(sql, made.bind(window.low, window.high, limit)))

    def rows_at(self, log_filter: LogFilter, first: int, limit: int) -> list[LogRow]:
        """Return rows `first` to `first + limit`; 0 is the newest."""
        first = max(0, first)
        if log_filter.folds is not None:
            return self._folded_rows(log_filter, log_filter.folds, first, limit)
        if log_filter.order is None and first + limit <= NEAR:
            return self.page(log_filter, None, first + limit)[first:]
        return self._rows_of_numbers(self._part_of_list(log_filter, first, limit))

    def _part_of_list(self, log_filter: LogFilter, first: int, limit: int) -> array[int]:
        """Return the numbers of rows `first` to `first + limit` of the list."""
        numbers = self._numbers_of(log_filter)
        stop = max(0, len(numbers) - first)
        return numbers[max(0, stop - limit) : stop][::-1]

    def _folded_rows(self, log_filter: LogFilter, folding: Folding, first: int, limit: int) -> list[LogRow]:
        """As `rows_at`, with a heading in place of, or before, the requests of a group."""
        layout = self._layout(folding)
        if first + limit <= NEAR:
            newest = self._connection.execute("SELECT number FROM runs ORDER BY number DESC")
            wanted = array("q", islice(layout.listed(number for (number,) in newest), first, first + limit))
        else:
            wanted = self._part_of_list(log_filter, first, limit)
        rows = self._by_number({abs(number) for number in wanted})
        listed = []
        for number in wanted:
            row, block = rows.get(abs(number)), layout.headings.get(number)
            if row is not None and block is not None:
                group = self._sums(block)
                row = None if group is None else groups.heading(row, group)
            if row is not None:
                listed.append(row)
        return listed

    def _layout(self, folding: Folding) -> GroupLayout:
        seen = self._version()
        if self._folded is None or self._folded[:2] != (folding, seen):
            self._folded = folding, seen, groups.layout(self._connection, folding.expanded)
        return self._folded[2]

    def first_in_order(
        self, log_filter: LogFilter, order: Order, first: int, limit: int
    ) -> Iterator[list[LogRow] | None]:
        """Yield None after each step, then rows `first` to `first + limit`, at most NEAR, of the matches in order."""
        seen, found = self._version(), self._first
        is_known = found is not None and (found.terms, found.order, found.version) == (log_filter.terms, order, seen)
        if found is None or not is_known or first + limit > found.count:
            scan = FirstInOrder(self._connection, log_filter, order, first + limit)
            for _ in scan.steps(partial(self._conditions, log_filter)):
                yield None
            found = self._first = _FirstRequests(log_filter.terms, order, seen, scan.numbers, scan.count)
        yield self._rows_of_numbers(found.numbers[first : first + limit])

    def _conditions(self, log_filter: LogFilter, until: float, begins: bool) -> Where:
        self._refresh(whole=begins, until=until)
        return where(log_filter, self._lookup)

    def _rows_of_numbers(self, wanted: Sequence[int]) -> list[LogRow]:
        rows = self._by_number(wanted)
        return [rows[number] for number in wanted if number in rows]

    def _by_number(self, numbers: Collection[int]) -> dict[int, LogRow]:
        found = self._among(self._where(EVERYTHING), numbers, len(numbers)) if numbers else []
        return {row.number: row for row in found}

    def _among(self, made: Where, numbers: Iterable[int], limit: int) -> list[LogRow]:
        sql = made.select(
            _ROW,
            # Numbers in the SQL text, because the number of bound values per statement is limited.
            extra=f"r.number IN ({', '.join(map(str, numbers))})",
            tail="ORDER BY r.number DESC LIMIT ?",
        )
        return self._rows(self._connection.execute(sql, made.bind(limit)))

    def count(self, log_filter: LogFilter, up_to: int | None = COUNT_UP_TO) -> Count:
        """Return the number of matches: exact up to `up_to`, or entirely if it is None or there is no filter."""
        if not log_filter.terms:
            requests = int(self._connection.execute("SELECT count(*) FROM runs").fetchone()[0])
            return Count(requests + (self._layout(log_filter.folds).more if log_filter.folds else 0), True)
        if up_to is None:
            return Count(len(self._numbers_of(replace(log_filter, order=None))), True)
        made = self._where(log_filter)
        sql = f"SELECT count(*) FROM ({made.select('1', tail='LIMIT ?', whole=True)})"
        n = int(self._connection.execute(sql, made.bind(up_to + 1, whole=True)).fetchone()[0])
        return Count(n, True) if n <= up_to else Count(up_to, False)

    def totals(self, log_filter: LogFilter) -> Totals:
        """Return sums and the hit rate over all matches. Takes some tenths of a second for a million rows."""
        made = self._where(log_filter)
        found = self._connection.execute(made.select(_TOTALS, whole=True), made.bind(whole=True))
        return Totals(*found.fetchone())

    def rows_of(self, run_ids: Sequence[str]) -> list[LogRow]:
        """Return the rows of these runs, newest first; unknown ids are left out. At most 30,000 ids."""
        sql = (
            f"SELECT {_ROW} FROM runs AS r JOIN texts AS t ON t.number = r.number JOIN targets AS g ON g.id = r.target "
            f"WHERE r.number IN ({', '.join(map(str, rows.numbers_of(self._connection, run_ids)))}) "
            "ORDER BY r.number DESC"
        )
        return self._rows(self._connection.execute(sql))

    def place_of(self, run_id: str, log_filter: LogFilter) -> int | None:
        """Return a request's position in the filter's list, 0 being the newest; None if it is not in it."""
        number = rows.number_of(self._connection, run_id)
        if number is None:
            return None
        numbers = self._numbers_of(log_filter)
        if log_filter.order is not None or log_filter.folds is not None:
            return len(numbers) - 1 - numbers.index(number) if number in numbers else None
        at = bisect_left(numbers, number)
        return len(numbers) - 1 - at if at < len(numbers) and numbers[at] == number else None

    def numbers(self, log_filter: LogFilter) -> array[int]:
        """Return the numbers of all matches, the last of the list first, 8 bytes each: ascending by default.

        They stay valid when other requests are added. Headings of groups have negative numbers, see `members`.
        """
        return array("q", self._numbers_of(log_filter))

    def members(self, numbers: Sequence[int]) -> list[int]:
        """Return the numbers of requests, ascending, with those of its group in place of each heading."""
        requests = {number for number in numbers if number > 0}
        for number in numbers:
            if number < 0:
                requests.update(groups.members(self._connection, -number))
        return sorted(requests)

    def request_ids(self, numbers: Sequence[int]) -> list[str]:
        """Return the request_ids of these numbers, ascending; requests without one are left out."""
        listed = ", ".join(map(str, numbers))
        sql = f"SELECT request_id FROM runs WHERE number IN ({listed}) AND request_id IS NOT NULL ORDER BY number"
        return [row[0] for row in self._connection.execute(sql)]

    def sent_since(
        self,
        endpoint_id: str,
        model: str,
        since: datetime,
        limit: int | None = None,
        base_url: str | None = None,
        *,
        accepted: bool = False,
    ) -> list[SentRow]:
        """Return the requests sent there, oldest first: at most the newest `limit`. `accepted`: only with status
        200 or a reported usage."""
        found = self._connection.execute(
            f"SELECT {rows.id_text('r.run_id')}, r.request_id, r.started_us, t.body, t.question, r.prompt_tokens, "
            "r.cached_tokens, r.completion_tokens, t.answer, t.called, r.source "
            "FROM targets AS g CROSS JOIN runs AS r ON r.target = g.id JOIN texts AS t ON t.number = r.number "
            "WHERE g.endpoint_id = ? AND g.model = ? AND r.started_us >= ? AND NOT r.imported "
            "AND (? IS NULL OR g.base_url = ?) "
            "AND (NOT ? OR r.status = 200 OR coalesce(r.prompt_tokens, r.cached_tokens) NOTNULL) "
            "ORDER BY r.number DESC LIMIT ?",
            (
                column_text(endpoint_id),
                column_text(model),
                rows.microseconds(since),
                base_url,
                base_url,
                accepted,
                -1 if limit is None else limit,
            ),
        )
        joiner = Joiner(self._connection)
        sent = []
        for run_id, request_id, started_us, body, question, prompt, cached, completion, answer, called, source in found:
            started, data = rows.moment_of(started_us), joiner.join_body(body, question)
            sent.append(
                SentRow(run_id, request_id, started, data, prompt, cached, completion, answer, bool(called), source)
            )
        return sent[::-1]

    def explanations(self, numbers: Sequence[int]) -> dict[int, Json]:
        """Return the stored cache explanations of these numbers; requests without one are left out.

        They may quote half of a surrogate pair, which msgspec refuses.
        """
        listed = ", ".join(map(str, numbers))
        sql = f"SELECT number, explanation FROM texts WHERE number IN ({listed}) AND explanation IS NOT NULL"
        return {number: json.loads(text) for number, text in self._connection.execute(sql)}

    def _rows(self, found: Iterable[tuple[object, ...]]) -> list[LogRow]:
        rows: list[LogRow] = []
        for values in found:
            try:
                rows.append(self._row(values))
            except DAMAGE:
                self.runs.damaged.add(str(values[0]))
        return rows

    def _row(self, values: tuple[object, ...]) -> LogRow:
        check_types(values, _ROW_KINDS)
        fields: dict[str, Any] = dict(zip(_ROW_FIELDS, values, strict=True))
        fields["started_utc"] = rows.moment_of(fields["started_utc"])
        fields["rates"] = self.runs.rates_of(fields["rates"])
        fields["marked"], fields["imported"] = bool(fields["marked"]), bool(fields["imported"])
        fields["tags"] = tags_of(fields["tags"])
        if fields["phase"] == "done":
            fields["warning"], fields["error_title"] = fields["error_title"], ""
        return LogRow(**fields)

    def _numbers_of(self, log_filter: LogFilter) -> array[int]:
        """Return the numbers of the matches, the last of the list first.

        Re-read if stale; in the default order without a filter only new ones are read.
        """
        seen, wanted = self._version(), (log_filter.terms, log_filter.order, log_filter.folds)
        is_same = wanted == self._listed
        if is_same and seen == self._seen:
            return self._numbers
        if log_filter.folds is not None:
            numbers = self._layout(log_filter.folds).array(self._numbers_of(EVERYTHING))
        elif log_filter.order is not None:
            made = self._where(log_filter)
            sql = made.select_ordered(log_filter.order, ordered.expression(self._connection, log_filter.order.key))
            numbers = _integers(self._connection.execute(sql, made.bind(whole=True)))[::-1]
        elif log_filter.terms:
            made = self._where(log_filter)
            sql = made.select("r.number", tail="ORDER BY r.number", whole=True)
            numbers = _integers(self._connection.execute(sql, made.bind(whole=True)))
        else:
            numbers = self._numbers if is_same and self._seen[1] == seen[1] else array("q")
            last = numbers[-1] if numbers else 0
            sql = "SELECT number FROM runs WHERE number > ? ORDER BY number"
            numbers.extend(_integers(self._connection.execute(sql, (last,))))
        # At the end: the query may be interrupted.
        self._numbers, self._listed, self._seen = numbers, wanted, seen
        return numbers

    def _version(self) -> tuple[int, int]:
        """Return what changes with each write of another connection, and with each deletion."""
        return self._connection.execute("PRAGMA data_version").fetchone()[0], deletions_of(self._connection)


def _integers(found: sqlite3.Cursor) -> array[int]:
    return array("q", (number for (number,) in found))


def _holds(part: str, *texts: str) -> bool:
    """Implement SQL's holds(): whether one of the texts has a folded part."""
    return any(part in (text.lower() if text.isascii() else fold(text)) for text in texts if text)


def _unknown(_part: str) -> list[int] | None:
    return None

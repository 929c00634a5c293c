"""Follows the recorded requests in the log while another process writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prompt.document import Json
from playground.prompt.json_text import loads
from playground.recorder.programs import Analysis, RecordedRequest, fresh_tokens
from playground.requestlog.filter import LogFilter, WordTerm, parse
from playground.requestlog.records import LogRow, StoredRun
from playground.runs.record import read_explanation
from playground.runs.state import ENDED
from playground.services import AppServices
from playground.ui.panes.log.columns import cause_cell
from playground.ui.recorder.page import MAX_BODIES
from playground.ui.recorder.table import RowCause

PAGE = 128
MAX_ROWS = 2_000
"""Newest rows that the mode lists; the log in Prompt mode has all of them (`source:recorder`)."""
MAX_BODY_BYTES = 24_000_000
"""Newest bodies that are compared."""
BATCH = 24
TRIES = 40
"""Reads after which a request without an explanation has none: it is stored after the end of the request."""


class RecordedRequests:
    """Rows of the log with `source:recorder`, newest first, with bodies and causes of the newest."""

    def __init__(self, workspace: AppServices) -> None:
        self._workspace = workspace
        self._filter: LogFilter = parse("source:recorder", datetime.now(UTC))
        self.rows: list[LogRow] = []
        self.causes: dict[str, RowCause] = {}
        self._requests: dict[str, RecordedRequest] = {}
        self._sizes: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._page: list[LogRow] = []

    def row(self, run_id: str) -> LogRow | None:
        return next((row for row in self.rows if row.run_id == run_id), None)

    def earlier_in_conversation(self, row: LogRow) -> LogRow | None:
        """Return the newest earlier request of the same conversation."""
        same = (one for one in self.rows if one.number < row.number and one.conversation == row.conversation)
        return next(same, None) if row.conversation else None

    async def matching(self, chosen: LogFilter) -> frozenset[int] | None:
        """Return the numbers of recorded requests that match a filter; None if it has no terms."""
        log = self._workspace.log
        if log is None or not chosen.terms:
            return None
        if not any(isinstance(term, WordTerm) and term.field == "source" for term in chosen.terms):
            chosen = replace(chosen, terms=(*chosen.terms, *self._filter.terms))
        return frozenset(await log.numbers(chosen))

    def requests(self) -> list[RecordedRequest]:
        """Return the requests with bodies, oldest first."""
        return [self._requests[row.run_id] for row in reversed(self.rows) if row.run_id in self._requests]

    async def read(self) -> bool:
        """Read what changed. Returns whether anything did."""
        log = self._workspace.log
        if log is None:
            return False
        page = await log.page(self._filter, None, PAGE)
        changed = page != self._page
        if changed:
            self._page = page
            await self._merge(page)
        return await self._read_bodies() or changed

    async def _merge(self, page: list[LogRow]) -> None:
        log = self._workspace.log
        assert log is not None
        unfinished = [row.number for row in self.rows if row.phase not in ENDED]
        floor = min([self.rows[0].number + 1 if self.rows else 0, *unfinished])
        found = list(page)
        while len(page) == PAGE and found[-1].number > floor and len(found) < MAX_ROWS:
            page = await log.page(self._filter, found[-1].number, PAGE)
            found += page
        oldest = found[-1].number if found else 0
        kept = [row for row in self.rows if row.number < oldest] if found else []
        self.rows = [*found, *kept][:MAX_ROWS]
        listed = {row.run_id for row in self.rows}
        self.causes = {run_id: cause for run_id, cause in self.causes.items() if run_id in listed}

    async def _read_bodies(self) -> bool:
        """Read bodies and explanations of a batch of ended requests. Returns whether there were any."""
        log = self._workspace.log
        assert log is not None
        newest = [row for row in self.rows[:MAX_BODIES] if row.phase in ENDED]
        wanted = [row for row in newest if row.run_id not in self._requests or row.run_id in self._tries][:BATCH]
        if not wanted:
            return False
        runs, _ = await log.readable(sorted(row.number for row in wanted))
        read = await asyncio.to_thread(_read_all, runs)
        for row in wanted:
            fields, self._sizes[row.run_id], cause = read.get(row.run_id, ({}, 0, None))
            self._requests[row.run_id] = RecordedRequest(row, fields)
            tries = self._tries.pop(row.run_id, 0) + 1
            if cause is None and row.phase == "done" and row.status == 200 and tries < TRIES:
                self._tries[row.run_id] = tries
            self.causes[row.run_id] = cause or NOT_STORED
        self._drop([row.run_id for row in newest])
        return True

    def _drop(self, newest: Sequence[str]) -> None:
        """Keep the newest bodies only: MAX_BODIES of at most MAX_BODY_BYTES together."""
        size = 0
        for run_id in newest:
            size += self._sizes.get(run_id, 0)
            if size > MAX_BODY_BYTES and run_id in self._requests:
                self._requests[run_id] = RecordedRequest(self._requests[run_id].row, {})
        for run_id in self._requests.keys() - set(newest):
            del self._requests[run_id], self._sizes[run_id]
            self._tries.pop(run_id, None)

    async def request(self, run_id: str) -> RecordedRequest | None:
        """Return a request with its body, read from the log if it is not in memory."""
        if run_id in self._requests and self._requests[run_id].body:
            return self._requests[run_id]
        row, log = self.row(run_id), self._workspace.log
        if row is None or log is None:
            return None
        runs, _ = await log.readable([row.number])
        read = await asyncio.to_thread(_read_all, runs)
        return RecordedRequest(row, read[run_id][0]) if run_id in read else None


NOT_STORED = RowCause("—", "No explanation is stored")


def _read_all(runs: Sequence[StoredRun]) -> dict[str, tuple[Mapping[str, Json], int, RowCause | None]]:
    """Return by run_id the fields of the body, its size and the cause, which is None if it is not stored yet."""
    found: dict[str, tuple[Mapping[str, Json], int, RowCause | None]] = {}
    for run in runs:
        try:
            body = loads(run.record.body)
        except ValueError:
            body = None
        fields = body if isinstance(body, dict) else {}
        cause = None if run.explanation is None else row_cause(read_explanation(run.explanation))
        found[run.record.run_id] = fields, len(run.record.body), cause
    return found


def leak_causes(analysis: Analysis, rows: Sequence[LogRow]) -> dict[str, RowCause]:
    """Return the first leak of each request that paid for one, for requests whose stored cause names no text.

    The forecast compares with requests that share a long prefix; with a leak in the first words there are none.
    """
    fresh = {row.run_id: fresh_tokens(row) for row in rows}
    found: dict[str, RowCause] = {}
    behind = sorted(analysis.leaks, key=lambda leak: leak.span.tokens_behind)
    for leak in behind:  # the first span of a prompt has the most tokens behind it: it is written last
        message = leak.place.partition("message")
        place = "".join(message[1:]) if message[1] else leak.place
        tokens = leak.span.tokens_behind
        reason = f"{leak.title} differs from the request before, {leak.place}; ≈ {tokens:,.0f} stable tokens behind it"
        cause = RowCause(f"{leak.title.lower()} in {place}", reason, "variable_edge")
        found.update((run_id, cause) for run_id in leak.run_ids if (fresh.get(run_id) or 0) >= tokens / 2)
    return found


def row_cause(found: MissExplanation | None) -> RowCause:
    """Return the stored cause for a row of the table: the text of the log's column *prefix*."""
    cell = cause_cell(found)
    return RowCause(cell.text, "" if found is None else cell.why, cell.tone)

"""Follows the recorded requests in the log while another process writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from playground.prompt.document import Json
from playground.prompt.json_text import loads
from playground.recorder.programs import RecordedRequest
from playground.requestlog.filter import LogFilter, WordTerm, parse
from playground.requestlog.records import LogRow, StoredRun
from playground.runs.record import read_explanation
from playground.runs.state import ENDED
from playground.services import AppServices
from playground.ui.panes.log.details import RowDetail
from playground.ui.recorder.page import MAX_BODIES

PAGE = 128
MAX_ROWS = 2_000
"""Newest rows that the mode lists; the log in Prompt mode has all of them (`source:recorder`)."""
MAX_BODY_BYTES = 24_000_000
"""Newest bodies that are compared."""
BATCH = 24


class RecordedRequests:
    """Rows of the log with `source:recorder`, newest first, with bodies of the newest, and stored explanations."""

    def __init__(self, workspace: AppServices) -> None:
        self._workspace = workspace
        self._filter: LogFilter = parse("source:recorder", datetime.now(UTC))
        self.rows: list[LogRow] = []
        self.details: dict[str, RowDetail] = {}
        self._requests: dict[str, RecordedRequest] = {}
        self._sizes: dict[str, int] = {}
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
        read = await self._read_bodies()
        return await self._read_explanations() or read or changed

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
        self.details = {run_id: detail for run_id, detail in self.details.items() if run_id in listed}

    async def _read_bodies(self) -> bool:
        """Read bodies of a batch of ended requests. Returns whether there were any."""
        log = self._workspace.log
        assert log is not None
        newest = [row for row in self.rows[:MAX_BODIES] if row.phase in ENDED]
        wanted = [row for row in newest if row.run_id not in self._requests][:BATCH]
        if not wanted:
            return False
        runs, _ = await log.readable(sorted(row.number for row in wanted))
        read = await asyncio.to_thread(_read_all, runs)
        for row in wanted:
            fields, self._sizes[row.run_id] = read.get(row.run_id, ({}, 0))
            self._requests[row.run_id] = RecordedRequest(row, fields)
        self._drop([row.run_id for row in newest])
        return True

    async def _read_explanations(self) -> bool:
        """Read explanations, which are stored after the end and may be corrected. Returns whether any is new."""
        log = self._workspace.log
        assert log is not None
        wanted = [
            row
            for place, row in enumerate(self.rows)
            if row.phase == "done"
            and (row.run_id not in self.details or (place < MAX_BODIES and not self.details[row.run_id].settled))
        ][: 2 * MAX_BODIES]
        if not wanted:
            return False
        found = await log.explanations([row.number for row in wanted])
        changed = False
        for row in wanted:
            stored = row.number in found
            detail = RowDetail(explained=stored, missed=read_explanation(found.get(row.number)))
            if detail != self.details.get(row.run_id):
                self.details[row.run_id] = detail
                changed = True
        return changed

    def _drop(self, newest: Sequence[str]) -> None:
        """Keep the newest bodies only: MAX_BODIES of at most MAX_BODY_BYTES together."""
        size = 0
        for run_id in newest:
            size += self._sizes.get(run_id, 0)
            if size > MAX_BODY_BYTES and run_id in self._requests:
                self._requests[run_id] = RecordedRequest(self._requests[run_id].row, {})
        for run_id in self._requests.keys() - set(newest):
            del self._requests[run_id], self._sizes[run_id]

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


def _read_all(runs: Sequence[StoredRun]) -> dict[str, tuple[Mapping[str, Json], int]]:
    """Return by run_id the fields of the body and its size."""
    found: dict[str, tuple[Mapping[str, Json], int]] = {}
    for run in runs:
        try:
            body = loads(run.record.body)
        except ValueError:
            body = None
        found[run.record.run_id] = body if isinstance(body, dict) else {}, len(run.record.body)
    return found

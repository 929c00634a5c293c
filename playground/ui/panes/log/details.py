"""Details of log rows that are read from the stored events, for visible rows only."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.requestlog.records import LogRow
from playground.runs.metrics import received_tokens
from playground.runs.record import read_explanation
from playground.runs.state import RunState
from playground.tasks import Start

if TYPE_CHECKING:
    from playground.prefix_cache.miss_explanation import MissExplanation
    from playground.requestlog.log import RequestLog

KEPT = 512
"""How many rows' details stay in memory."""
WAITING = 64
"""How many may wait to be read: more than a screen has rows, few enough for a list that is scrolled through."""

Clock = Literal["local", "utc", "relative"]
"""Format of timestamps."""


class AttemptLine(Struct, frozen=True):
    """One attempt of a request. `after_s`: since the request began; `wait_s`: between its end and the next one."""

    number: int
    started_utc: datetime
    after_s: float
    status: int | None
    request_id: str | None
    took_s: float | None
    wait_s: float | None
    error: str
    running: bool


class LiveRequests(Struct, frozen=True):
    """A request that this window is sending. `tokens`: estimate for the received text; `tail`: the end of that text."""

    state: RunState
    elapsed_s: float
    tokens: float
    tail: str


class RowDetail(Struct, frozen=True):
    """`earlier`: outcome of each attempt before the newest: an HTTP status, or "failed" if no headers were received.

    `output_estimated`: estimated tokens of the text and arguments received without a report; None if not needed.
    `explained`: whether an explanation of the cached tokens is stored, None: not read yet; `missed` is None if no
    cached token was missed.
    """

    earlier: tuple[str, ...] = ()
    output_estimated: float | None = None
    attempts: tuple[AttemptLine, ...] = ()
    live: LiveRequests | None = None
    unfolded: bool = False
    clock: Clock = "local"
    explained: bool | None = None
    missed: MissExplanation | None = None

    @property
    def settled(self) -> bool:
        """Whether the explanation is read, and no later report may correct it."""
        return bool(self.explained) and not (self.missed is not None and self.missed.correctable)


NOTHING = RowDetail()
"""Nothing more is known, or not yet."""
_Version = tuple[str, int, bool]
_OUTDATED: _Version = ("", 0, False)


class Details:
    """Load details one run at a time, the most recently viewed row first. Calls `came` with each run_id."""

    def __init__(self, start: Start, came: Callable[[str], None]) -> None:
        self._start, self._came = start, came
        self._source: RequestLog | None = None
        self._known: OrderedDict[str, tuple[_Version, RowDetail]] = OrderedDict()
        self._waiting: OrderedDict[str, LogRow] = OrderedDict()
        self._reading = False
        self._forgotten: set[str] = set()
        """What `forget_unexplained` was called with since the read in progress began: it may lack an explanation."""

    def set_source(self, source: RequestLog | None) -> None:
        """Ask another log from here on."""
        self._source = source
        self._known.clear()
        self._waiting.clear()

    def forget_unexplained(self, run_id: str) -> None:
        """Read one request again, whose explanation may be new or corrected; of all (""), each that may be."""
        self._forgotten.add(run_id)
        for known in [run_id] if run_id else list(self._known):
            if known in self._known and (run_id or not self._known[known][1].settled):
                self._known[known] = (_OUTDATED, self._known[known][1])

    def of(self, row: LogRow) -> RowDetail:
        """Return the cached details of a row and load missing ones. Until they load, the result may be outdated."""
        if not _says_more(row) and row.phase != "done":
            return NOTHING
        version, detail = self._known.get(row.run_id, (None, NOTHING))
        if version != _version(row):
            self._ask(row)
        return detail

    def _ask(self, row: LogRow) -> None:
        if self._source is None:
            return
        self._waiting[row.run_id] = row
        self._waiting.move_to_end(row.run_id)
        if len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)
        if not self._reading:
            self._reading = True
            self._start(self._read(), "read attempts from the request log")

    async def _read(self) -> None:
        try:
            while self._waiting and self._source is not None:
                plain = [row for row in self._waiting.values() if not _says_more(row)]
                for row in plain:
                    del self._waiting[row.run_id]
                if plain:
                    await self._read_explanations(self._source, plain)
                else:
                    _, row = self._waiting.popitem()
                    await self._read_one(self._source, row)
        finally:
            self._reading = False

    async def _read_explanations(self, source: RequestLog, rows: list[LogRow]) -> None:
        self._forgotten.clear()
        found = await source.explanations([row.number for row in rows])
        if source is self._source:
            for row in rows:
                missed = read_explanation(found.get(row.number))
                self._keep(row, RowDetail(explained=row.number in found, missed=missed))

    async def _read_one(self, source: RequestLog, row: LogRow) -> None:
        self._forgotten.clear()
        stored = await source.get(row.run_id)
        if source is not self._source:
            return
        # Rebuild the state of an unfinished run from its stored events.
        # In a worker: the events of a long stream are decoded while they are iterated.
        state = await asyncio.to_thread(stored.state) if stored is not None else None
        if source is not self._source:
            return
        detail = NOTHING if state is None else _detail(state, row)
        if stored is not None and stored.explanation is not None:
            detail = replace(detail, explained=True, missed=read_explanation(stored.explanation))
        self._keep(row, detail)

    def _keep(self, row: LogRow, detail: RowDetail) -> None:
        if row.run_id in self._forgotten or (not detail.settled and "" in self._forgotten):
            self._waiting.setdefault(row.run_id, row)
            return
        self._known[row.run_id] = (_version(row), detail)
        self._known.move_to_end(row.run_id)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        self._came(row.run_id)


def _detail(state: RunState, row: LogRow) -> RowDetail:
    return RowDetail(
        earlier=tuple(str(attempt.status or "failed") for attempt in state.attempts[:-1]),
        output_estimated=received_tokens(state) if row.is_output_estimated else None,
        attempts=tuple(_attempt_lines(state, row)),
        explained=False,
    )


def _attempt_lines(state: RunState, row: LogRow) -> Iterator[AttemptLine]:
    following = [*state.attempts[1:], None]
    for attempt, after in zip(state.attempts, following, strict=True):
        ended = attempt.ended_at if attempt.ended_at is not None else (state.ended_at if after is None else None)
        yield AttemptLine(
            attempt.number,
            row.started_utc + timedelta(seconds=attempt.started_at),
            attempt.started_at,
            attempt.status,
            attempt.request_id,
            None if ended is None else ended - attempt.started_at,
            after.started_at - ended if after is not None and ended is not None else None,
            attempt.error.title if attempt.error else "",
            ended is None and not state.ended,
        )


def _says_more(row: LogRow) -> bool:
    return row.attempts > 1 or row.is_output_estimated


def _version(row: LogRow) -> _Version:
    # The events of a run may be stored before its end is, with which the row has its answer.
    return row.phase, row.attempts, row.is_output_estimated

"""Replay of the log rows that match a filter, in a worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from playground.experiments.replay import CacheHistory, Logged, replay
from playground.requestlog.filter import LogFilter
from playground.requestlog.log import RequestLog
from playground.requestlog.records import LogRow
from playground.runs.cache_memory import sent_from_log
from playground.runs.record import SentRow

MOST = 2_000
"""Maximum number of requests that are replayed: the newest ones of the filter."""
PAGE = 500


async def replay_log(log: RequestLog, chosen: LogFilter, lifetime_s: float) -> CacheHistory:
    """Replay the requests that match a filter, at most the newest MOST. Works in a thread."""
    rows = await _rows(log, chosen)
    bodies: list[tuple[SentRow, tuple[str, str]]] = []
    for where in sorted({(row.endpoint_id, row.model) for row in rows}):
        mine = {row.run_id for row in rows if (row.endpoint_id, row.model) == where}
        since = min(row.started_utc for row in rows if row.run_id in mine)
        bodies += [(sent, where) for sent in await log.sent_since(*where, since, accepted=True) if sent.run_id in mine]
    return await asyncio.to_thread(_replay, bodies, lifetime_s)


async def _rows(log: RequestLog, chosen: LogFilter) -> list[LogRow]:
    rows: list[LogRow] = []
    before: int | None = None
    while len(rows) < MOST:
        page = await log.page(chosen, before, PAGE)
        rows += page
        if len(page) < PAGE:
            break
        before = page[-1].number
    return rows[:MOST]


def _replay(bodies: Sequence[tuple[SentRow, tuple[str, str]]], lifetime_s: float) -> CacheHistory:
    ordered = sorted(bodies, key=lambda pair: pair[0].started_utc)
    return replay((_logged(row, where) for row, where in ordered), lifetime_s)


def _logged(row: SentRow, where: tuple[str, str]) -> Logged:
    sent, usage = sent_from_log(row)
    return Logged(sent, where, usage)

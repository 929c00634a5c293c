"""Reads a part of the log for a replay: the rows that a filter finds, their bodies, and the work on a thread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from playground.experiments.replay import Logged, Replay, replay
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import view_of_fields
from playground.requestlog.filter import LogFilter
from playground.requestlog.log import RequestLog
from playground.requestlog.records import LogRow
from playground.runs.record import SentRow

MOST = 2_000
"""The newest requests of the filter that are replayed."""
PAGE = 500


async def replay_log(log: RequestLog, chosen: LogFilter, lifetime_s: float) -> Replay:
    """Replay what a filter finds, at most the newest MOST. The event loop only hands over."""
    rows = await _rows(log, chosen)
    bodies: list[tuple[SentRow, tuple[str, str]]] = []
    for where in sorted({(row.endpoint_id, row.model) for row in rows}):
        mine = {row.run_id for row in rows if (row.endpoint_id, row.model) == where}
        since = min(row.started_utc for row in rows if row.run_id in mine)
        bodies += [(sent, where) for sent in await log.sent_since(*where, since) if sent.run_id in mine]
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


def _replay(bodies: Sequence[tuple[SentRow, tuple[str, str]]], lifetime_s: float) -> Replay:
    ordered = sorted(bodies, key=lambda pair: pair[0].started_utc)
    return replay((_logged(row, where) for row, where in ordered), lifetime_s)


def _logged(row: SentRow, where: tuple[str, str]) -> Logged:
    try:
        fields = json.loads(row.body)
    except ValueError:
        fields = {}
    view = view_of_fields(fields if isinstance(fields, dict) else {})
    at = row.started_utc.timestamp()
    sent = Sent(row.run_id, row.request_id, at, view.text, view, row.prompt_tokens, row.cached_tokens)
    return Logged(sent, where)

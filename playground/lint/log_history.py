"""What the request log knows of a prompt, as the adviser wants it. Used by the window and by `check --log`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from playground.lint.history import PastRequest, PromptHistory
from playground.prefix_cache.index import Sent
from playground.prefix_cache.similarity import PromptFamilyMatcher
from playground.prefix_cache.view import view_of_document, view_of_fields
from playground.prompt.document import Document, Json
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.requestlog.records import PREVIEW_CHARS, LogRow
from playground.runs.record import SentRow

LIMIT = 400
"""Number of newest requests read from the log."""
WHOLE = 40
"""Of how many of them the whole answer is read: a row of the log carries only its beginning."""


async def past(log: RequestLog, document: Document, limit: int = LIMIT) -> PromptHistory:
    """The history of a prompt: requests that are versions of it, oldest first, and the tools that were ever called.

    Reads on the log's own thread; a prompt of 400 requests takes some tens of milliseconds.
    """
    rows = {row.run_id: row for row in await log.page(EVERYTHING, limit=limit)}
    bodies = await _bodies(log, list(rows.values()))
    # On a thread: reading 400 long bodies takes longer than a frame.
    found = await asyncio.to_thread(_versions, document, rows, bodies)
    called = {name for row in rows.values() for name in row.called.split(", ") if name}
    offered = sum(1 for row, _ in found if row.finish_reason is not None) if document.tools else 0
    return PromptHistory(tuple(await _with_answers(log, found)), frozenset(called), offered)


def _versions(
    document: Document, rows: Mapping[str, LogRow], bodies: Sequence[SentRow]
) -> list[tuple[LogRow, PastRequest]]:
    """The requests that are versions of the prompt, oldest first."""
    view, kinship = view_of_document(document).view, PromptFamilyMatcher()
    found: list[tuple[LogRow, PastRequest]] = []
    for sent in bodies:
        fields = _fields(sent.body)
        seen = view_of_fields(fields)
        candidate = Sent(sent.run_id, sent.request_id, sent.started_utc.timestamp(), seen.text, seen)
        if kinship.first(view, (candidate,)) is not None:
            row = rows[sent.run_id]
            found.append((row, _request(row, fields, seen.text)))
    return sorted(found, key=lambda pair: pair[0].number)


async def _bodies(log: RequestLog, rows: Sequence[LogRow]) -> list[SentRow]:
    found: list[SentRow] = []
    wanted = {row.run_id for row in rows}
    for endpoint_id, model in sorted({(row.endpoint_id, row.model) for row in rows}):
        since = min(r.started_utc for r in rows if (r.endpoint_id, r.model) == (endpoint_id, model))
        found += [sent for sent in await log.sent_since(endpoint_id, model, since) if sent.run_id in wanted]
    return found


def _fields(body: bytes) -> dict[str, Json]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _request(row: LogRow, fields: dict[str, Json], text: str) -> PastRequest:
    cap = fields.get("max_tokens")
    return PastRequest(
        at=row.started_utc.timestamp(),
        status=row.status,
        request_id=row.request_id,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        completion_tokens=row.completion_tokens,
        max_tokens=cap if isinstance(cap, int) and not isinstance(cap, bool) else None,
        finish_reason=row.finish_reason,
        question=row.question,
        answer=row.answer,
        text=text,
    )


async def _with_answers(log: RequestLog, found: Sequence[tuple[LogRow, PastRequest]]) -> list[PastRequest]:
    """The newest with their whole answers, and with attempts that brought no request_id counted."""
    made = []
    for at, (row, request) in enumerate(found):
        newest = at >= len(found) - WHOLE
        stored = await log.get(row.run_id) if newest else None
        if stored is None:
            # Cut in the middle, it would show an end that it has not.
            made.append(replace(request, answer="") if len(row.answer) >= PREVIEW_CHARS else request)
            continue
        state = stored.state()
        without = sum(1 for attempt in state.attempts[:-1] if attempt.status is not None and not attempt.request_id)
        connect_s = state.attempts[-1].connect_s if state.attempts else None
        whole = replace(request, answer=state.text, failed_attempts_without_id=without, connect_s=connect_s)
        made.append(whole)
    return made

"""Lint findings of a document: the rules run in a worker thread, with the facts of endpoint, settings and log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from playground.client.endpoint import Endpoint
from playground.client.retry import RetryPolicy
from playground.lint.engine import advise
from playground.lint.model import Finding
from playground.lint.prompt_facts import NO_HISTORY, LintContext, PastRequest, PromptHistory
from playground.prefix_cache.index import PromptFamilyMatcher, Sent
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import view_of_document, view_of_fields
from playground.prompt.document import Document, Json
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.requestlog.records import PREVIEW_CHARS, LogRow, StoredRun
from playground.runs.record import SentRow, sent_fields
from playground.runs.state import ENDED
from playground.storage.settings import Settings

LIMIT = 400
"""Number of newest requests read from the log."""
WHOLE = 40
"""Number of newest requests whose whole answer is read: a row of the log has only its beginning."""
WHOLE_AT_ONCE = 4
"""Number of these that are in memory at once: 40 streams of 2,000 events are 26 MB of small objects, and Python cannot
give back the memory between those that live on."""
MAX_TEXT_CHARS = 500_000
"""Prompt texts of the newest requests in memory; older ones have none."""


class PromptHistoryReader:
    """Reads the history of one prompt. Later calls read only the requests that are new in the log."""

    def __init__(self) -> None:
        self._known: dict[str, PastRequest | None] = {}
        """Ended requests by run_id; None: a request of another prompt."""
        self._whole: set[str] = set()

    async def read(self, log: RequestLog, document: Document) -> PromptHistory:
        """Return the requests that are versions of a prompt, oldest first, and the tools that were ever called."""
        rows = {row.run_id: row for row in await log.page(EVERYTHING, limit=LIMIT)}
        new = {run_id: row for run_id, row in rows.items() if run_id not in self._known}
        bodies = await _bodies(log, list(new.values()))
        # In a thread: parsing 400 long bodies takes longer than a frame.
        found = await asyncio.to_thread(_versions, document, new, bodies)
        known = {run_id: found.get(run_id) if run_id in new else self._known.get(run_id) for run_id in rows}
        ours = sorted((run_id for run_id in rows if known[run_id] is not None), key=lambda run_id: rows[run_id].number)
        unread = [run_id for run_id in ours[-WHOLE:] if run_id not in self._whole]
        known.update(await _with_answers(log, {run_id: rows[run_id].number for run_id in unread}, known))
        _drop_texts(known, ours)
        self._known = {run_id: request for run_id, request in known.items() if rows[run_id].phase in ENDED}
        self._whole = {*ours[-WHOLE:], *(run_id for run_id in self._whole if run_id in rows)} & self._known.keys()
        called = {name for row in rows.values() for name in row.called.split(", ") if name}
        offered = sum(1 for run_id in ours if rows[run_id].finish_reason is not None) if document.tools else 0
        requests = tuple(request for run_id in ours if (request := known[run_id]) is not None)
        return PromptHistory(requests, frozenset(called), offered)


async def past(log: RequestLog, document: Document) -> PromptHistory:
    """Return the history of a prompt from the newest requests of the log."""
    return await PromptHistoryReader().read(log, document)


def _versions(document: Document, rows: Mapping[str, LogRow], bodies: Sequence[SentRow]) -> dict[str, PastRequest]:
    """Return the requests that are versions of the prompt, by run_id."""
    view, family = view_of_document(document).view, PromptFamilyMatcher()
    found: dict[str, PastRequest] = {}
    for sent in bodies:
        fields = sent_fields(sent.body)
        seen = view_of_fields(fields)
        candidate = Sent(sent.run_id, sent.request_id, sent.started_utc.timestamp(), seen.text, seen)
        if family.first(view, (candidate,)) is not None:
            found[sent.run_id] = _request(rows[sent.run_id], fields, seen.text)
    return found


def _drop_texts(known: dict[str, PastRequest | None], oldest_first: Sequence[str]) -> None:
    """Remove the texts of the oldest requests, beyond MAX_TEXT_CHARS in total."""
    total = 0
    for run_id in reversed(oldest_first):
        request = known[run_id]
        if request is not None and request.text is not None:
            total += len(request.text)
            if total > MAX_TEXT_CHARS:
                known[run_id] = replace(request, text=None)


async def _bodies(log: RequestLog, rows: Sequence[LogRow]) -> list[SentRow]:
    found: list[SentRow] = []
    wanted = {row.run_id for row in rows}
    for endpoint_id, model in sorted({(row.endpoint_id, row.model) for row in rows}):
        since = min(r.started_utc for r in rows if (r.endpoint_id, r.model) == (endpoint_id, model))
        found += [sent for sent in await log.sent_since(endpoint_id, model, since) if sent.run_id in wanted]
    return found


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
        # A preview that was cut would show an end that the answer does not have.
        answer=row.answer if len(row.answer) < PREVIEW_CHARS else "",
        text=text,
    )


async def _with_answers(
    log: RequestLog, numbers: Mapping[str, int], known: Mapping[str, PastRequest | None]
) -> dict[str, PastRequest]:
    """Return requests (run_id: number) with whole answers, connection times and attempts without a request_id."""
    found: dict[str, PastRequest] = {}
    waiting = sorted(numbers.values())

    def add(stored: Sequence[StoredRun]) -> None:
        for run in stored:
            if (request := known.get(run.record.run_id)) is None:
                continue
            state = run.state()
            found[run.record.run_id] = replace(
                request,
                answer=state.text,
                failed_attempts_without_id=sum(
                    attempt.status is not None and not attempt.request_id for attempt in state.attempts[:-1]
                ),
                connect_s=state.attempts[-1].connect_s if state.attempts else None,
            )

    for first in range(0, len(waiting), WHOLE_AT_ONCE):
        await asyncio.to_thread(add, await log.stored(waiting[first : first + WHOLE_AT_ONCE]))
    return found


SETTING = "dismissed_advice"
SAID_ELSEWHERE = frozenset(("refused", "context-full"))
"""Rules that the check bar of the prompt already reports at every keystroke (prompt/limits.py)."""
_FOR_THIS_PROMPT = "\n"
"""Separates a finding's key from the prompt's name; it occurs in neither."""


class LintService:
    """Lints documents and stores dismissals. `log` returns the request log, or None before it is open."""

    def __init__(self, settings: Settings, log: Callable[[], RequestLog | None]) -> None:
        self._settings = settings
        self._log = log
        self._reader: tuple[Document, PromptHistoryReader] | None = None
        self._history: PromptHistory | None = None
        self._changes = 0
        """How often the log changed: a history read before the last change is not stored."""

    def forget(self) -> None:
        """Read the requests that are new in the log before the next check."""
        self._history = None
        self._changes += 1

    async def judge(
        self, document: Document, endpoint: Endpoint, counter: TokenEstimator, retries: RetryPolicy
    ) -> tuple[Finding, ...]:
        """Return the findings that were not dismissed, worst first; none for a prompt that is still empty."""
        if not any(message.content or message.tool_calls for message in document.messages):
            return ()
        setting = LintContext(
            rates=endpoint.rates,
            history=await self._past(document),
            retries=retries,
            lifetime_s=self._settings.number("cache_lifetime_s"),
            context_tokens=endpoint.context_tokens,
            electron=endpoint.kind != "other",
        )
        dismissed = self.dismissed(document) | SAID_ELSEWHERE
        return await asyncio.to_thread(advise, document, setting, counter, dismissed=dismissed)

    async def _past(self, document: Document) -> PromptHistory:
        """Return the prompt's history from the log, cached while its name and tools stay the same."""
        log = self._log()
        if log is None:
            return NO_HISTORY
        before, reader = self._reader or (None, PromptHistoryReader())
        if before is None or before.name != document.name or before.tools != document.tools:
            reader, self._history = PromptHistoryReader(), None
            self._reader = (document, reader)
        if self._history is not None:
            return self._history
        changes = self._changes
        history = await reader.read(log, document)
        if changes == self._changes and self._reader is not None and self._reader[1] is reader:
            self._history = history
        return history

    def dismissed(self, document: Document) -> frozenset[str]:
        """Keys of advice that is not to be given on this prompt."""
        chosen = self._settings.get(SETTING)
        keys = chosen if isinstance(chosen, dict) else {}
        mine = _FOR_THIS_PROMPT + document.name
        return frozenset(key.removesuffix(mine) for key in keys if _FOR_THIS_PROMPT not in key or key.endswith(mine))

    def dismiss(self, advice: Finding, document: Document | None) -> None:
        """Give this advice no more: on this prompt, or on any where `document` is None."""
        chosen = self._settings.get(SETTING)
        key = advice.rule if document is None else advice.key + _FOR_THIS_PROMPT + document.name
        self._settings.set(SETTING, {**(chosen if isinstance(chosen, dict) else {}), key: advice.title})

    def recall(self) -> None:
        """Give all advice again."""
        self._settings.set(SETTING, {})

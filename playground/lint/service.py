"""The rules about prompts, run: all on one prompt, and in a worker thread with the facts of endpoint, settings and
log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from playground import asset
from playground.client.endpoint import Endpoint
from playground.client.retry import RetryPolicy
from playground.lint import limits, message_texts, prefix_order, requests, tool_catalogue
from playground.lint.model import SEVERITIES, Evidence, Finding, Fix, LintRule
from playground.lint.prompt_facts import ALONE, NO_HISTORY, LintContext, PastRequest, PromptFacts, PromptHistory
from playground.prefix_cache.index import PromptFamilyMatcher, Sent
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import view_of_document, view_of_fields
from playground.prompt.document import Document, Json
from playground.prompt.files import load
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.requestlog.records import PREVIEW_CHARS, LogRow, StoredRun
from playground.runs.record import SentRow
from playground.runs.state import ENDED
from playground.storage.settings import Settings

_TEXTS: dict[str, Any] = json.loads(asset("lint/rules.json").read_text("utf-8"))
"""Texts of each rule, in the order of the guide, and example prompts."""
_JUDGES = {
    name: judge
    for module in (limits, message_texts, prefix_order, requests, tool_catalogue)
    for name, judge in module.JUDGES.items()
}
RULES = tuple(
    LintRule(name, row["title"], row["reason"], row["section"], row["sentence"], _JUDGES.get(name))
    for name, row in _TEXTS.items()
)
EXAMPLES = {name: load(json.dumps(row["example"])) for name, row in _TEXTS.items() if "example" in row}
"""Prompts by the name of the rule that finds them: for the guide, and to send on the simulator. Rules that need a log,
a plan or a batch have none."""


def rule_named(name: str) -> LintRule:
    """Return a rule by its name. Raises KeyError if the name is unknown."""
    return _BY_NAME[name]


_BY_NAME = {rule.name: rule for rule in RULES}

MIN_REPEATS = 3
"""Findings of one rule from which on they are one."""
NAMED = 6
"""Subjects that the text names."""


def grouped(document: Document, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings of one rule; three or more that differ only in their subject as one, where the first was."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in found:
        by_kind.setdefault(_kind(finding), []).append(finding)
    result: list[Finding] = []
    for kind, members in by_kind.items():
        result += [_one(document, kind, members)] if kind and len(members) >= MIN_REPEATS else members
    return result


def _kind(finding: Finding) -> str:
    """Return the title without the subject, as in “get_order: without description”; empty if it has no subject."""
    prefix = f"{finding.subject}: "
    return finding.title.removeprefix(prefix) if finding.subject and finding.title.startswith(prefix) else ""


def _one(document: Document, kind: str, members: Sequence[Finding]) -> Finding:
    names = [finding.subject for finding in members]
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    dollars = [finding.dollars for finding in members if finding.dollars is not None]
    return replace(
        members[0],
        severity=min((finding.severity for finding in members), key=SEVERITIES.index),
        title=f"{len(names)} tools: {kind}",
        detail=f"{shown}. {_shared_detail(members)}".strip(),
        evidence=_summed(members),
        places=tuple(place for finding in members for place in finding.places),
        fix=_fix(document, members),
        tokens=sum(finding.tokens for finding in members),
        dollars=sum(dollars) if len(dollars) == len(members) else None,
        subject=",".join(names),
    )


def _shared_detail(members: Sequence[Finding]) -> str:
    """Return the common detail; otherwise the part after the colon, which names no item."""
    details = {finding.detail.split(": ", 1)[-1] for finding in members}
    return details.pop() if len(details) == 1 else members[0].detail.split(": ", 1)[-1]


def _summed(members: Sequence[Finding]) -> tuple[Evidence, ...]:
    """Return each figure summed over all; unknown if it is unknown for one."""
    result = []
    for number, first in enumerate(members[0].evidence):
        values = [finding.evidence[number].value for finding in members if len(finding.evidence) > number]
        known = [value for value in values if value is not None]
        result.append(replace(first, value=sum(known) if len(known) == len(members) else None))
    return tuple(result)


def _fix(document: Document, members: Sequence[Finding]) -> Fix | None:
    """Return all fixes in one step, if each changes tools alone; None if one has no fix or changes more."""
    tools = list(document.tools)
    for finding in members:
        if finding.fix is None or replace(finding.fix.after, tools=document.tools) != document:
            return None
        if len(finding.fix.after.tools) != len(tools):
            return None
        for index, tool in enumerate(finding.fix.after.tools):
            if tool != document.tools[index]:
                tools[index] = tool
    first = members[0].fix
    return Fix(first.title, replace(document, tools=tuple(tools))) if first else None


def advise(
    document: Document,
    setting: LintContext = ALONE,
    counter: TokenEstimator | None = None,
    *,
    body: Mapping[str, Json] | None = None,
    dismissed: Collection[str] = (),
    rules: Sequence[LintRule] = RULES,
) -> tuple[Finding, ...]:
    """Return the findings of all rules, worst first; ties: the most expensive first.

    Args:
        counter: the endpoint's token estimator. In a thread it must not be used elsewhere at the same time.
        body: a request body that this program did not write. It is judged as its own client will send it.
        dismissed: names of rules, and keys of findings (`Finding.key`), that are left out.
    """
    facts = PromptFacts(document, setting, counter or TokenEstimator(), body)
    found: list[Finding] = []
    for rule in rules:
        if rule.judge is not None and rule.name not in dismissed:
            signed = (replace(finding, rule=rule.name) for finding in rule.judge(facts))
            judged = [finding for finding in signed if finding.key not in dismissed]
            found += grouped(document, judged)
    return tuple(sorted((finding for finding in found if finding.key not in dismissed), key=_rank))


def _rank(finding: Finding) -> tuple[int, float, float]:
    return SEVERITIES.index(finding.severity), -(finding.dollars or 0.0), -finding.tokens


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
        fields = _fields(sent.body)
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
            plan=endpoint.plan,
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

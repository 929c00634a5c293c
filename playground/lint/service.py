"""Lint findings of a document: the rules run in a worker thread, with the facts of endpoint, settings and log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from playground.client.endpoint import Endpoint
from playground.client.retry import RetryPolicy
from playground.lint.context import NO_HISTORY, LintContext, PromptHistory, Retries
from playground.lint.engine import advise
from playground.lint.log_history import PromptHistoryReader
from playground.lint.model import Finding
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document
from playground.storage.settings import Settings

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog

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
            retries=Retries.of(retries),
            lifetime_s=self._settings.number("cache_lifetime_s"),
            context_tokens=endpoint.context_tokens,
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

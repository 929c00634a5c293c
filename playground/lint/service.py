"""Lint findings of a document: the rules run in a worker thread, with the facts of endpoint, settings and log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from playground.client.endpoint import Endpoint
from playground.client.retry import RetryPolicy
from playground.lint.context import LintContext, Retries
from playground.lint.engine import advise
from playground.lint.history import NO_HISTORY, PromptHistory
from playground.lint.log_history import past
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
        self._known: tuple[Document | None, PromptHistory] = (None, NO_HISTORY)

    def forget(self) -> None:
        """Reload the history of the prompt after a change of the log."""
        self._known = (None, NO_HISTORY)

    async def judge(
        self, document: Document, endpoint: Endpoint, counter: TokenEstimator, retries: RetryPolicy
    ) -> tuple[Finding, ...]:
        """Return the findings that were not dismissed, worst first."""
        setting = LintContext(
            rates=endpoint.rates,
            plan=endpoint.plan,
            history=await self._history(document),
            retries=Retries.of(retries),
            lifetime_s=self._settings.number("cache_lifetime_s"),
            context_tokens=endpoint.context_tokens,
        )
        dismissed = self.dismissed(document) | SAID_ELSEWHERE
        return await asyncio.to_thread(advise, document, setting, counter, dismissed=dismissed)

    async def _history(self, document: Document) -> PromptHistory:
        """Return the prompt's history from the log, cached while its name and tools stay the same."""
        log = self._log()
        if log is None:
            return NO_HISTORY
        before, history = self._known
        if before is None or before.name != document.name or before.tools != document.tools:
            history = await past(log, document)
            self._known = (document, history)
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

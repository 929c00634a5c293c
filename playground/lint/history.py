"""What the log knows of a prompt, as values: who calls the adviser reads them, the rules only judge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PastRequest:
    """One earlier request of this prompt. None is *not known* everywhere; tokens are the server's own figures.

    `at` is unix seconds. `status` is that of the last response, None without one. `max_tokens` is what the
    request asked for. `answer` is the completion's text, `question` the last user message's. `text` is the prompt as
    the cache saw it (CacheView.text). `connect_s` is what opening a connection cost; 0 on a reused connection.
    """

    at: float = 0.0
    status: int | None = 200
    request_id: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    max_tokens: int | None = None
    finish_reason: str | None = None
    question: str = ""
    answer: str = ""
    text: str | None = None
    connect_s: float | None = None
    failed_attempts_without_id: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Cached / prompt tokens, 0 to 1; None if either is unreported."""
        if self.cached_tokens is None or not self.prompt_tokens:
            return None
        return self.cached_tokens / self.prompt_tokens


@dataclass(frozen=True, slots=True)
class PromptHistory:
    """What the log holds. `requests` are those of this prompt, oldest first (the last few hundred will do).

    `tools_called` are the names of all tools that were ever called, over `tools_offered_in` requests that offered
    this catalogue. Chains are runs of several requests that ended each other's tool calls; `chains_stopped` were
    ended by the limit.
    """

    requests: tuple[PastRequest, ...] = ()
    tools_called: frozenset[str] = frozenset()
    tools_offered_in: int = 0
    chains: int = 0
    chains_stopped: int = 0


NO_HISTORY = PromptHistory()

"""What the rules know besides the prompt: rates, plan, batch, retries, and earlier requests from the log.

Everything may be unknown; rules that need it report nothing then.
"""

from __future__ import annotations

from msgspec import Struct

from playground.client.endpoint import PLANS, PlanLimits, Rates
from playground.prompt.limits import CONTEXT_TOKENS
from playground.runs.run import RETRIED, RetryPolicy


class PastRequest(Struct, frozen=True):
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


class PromptHistory(Struct, frozen=True):
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


NO_RATES = Rates()


class Batch(Struct, frozen=True):
    """A batch or a parallel run before its start: `in_flight` at once, about `seconds_each` (None: unknown)."""

    requests: int
    in_flight: int
    seconds_each: float | None = None


class Retries(Struct, frozen=True):
    """A retry policy as set. `attempts` counts the first one; waits in seconds; `jitter` a share of the wait."""

    statuses: frozenset[int] = RETRIED
    attempts: int = 5
    first_s: float = 0.25
    longest_s: float = 8.0
    jitter: float = 0.2
    honours_retry_after: bool = True
    after_first_token: bool = False

    @classmethod
    def of(cls, policy: RetryPolicy) -> Retries:
        """Return the client's own policy."""
        return cls(RETRIED, policy.attempts, policy.first_s, policy.longest_s, policy.jitter)


class AgentLoopContext(Struct, frozen=True):
    """How tool chains are run: at most `limit` requests each; None is no limit."""

    limit: int | None


class LintContext(Struct, frozen=True):
    """Rates are dollars per million tokens, None is not priced. `fixture`: the user marked the prompt as one.

    `lifetime_s`: after how long a silence the cache is assumed to have forgotten (not published).
    """

    rates: Rates = NO_RATES
    plan: PlanLimits = PLANS["none"]
    history: PromptHistory = NO_HISTORY
    batch: Batch | None = None
    retries: Retries | None = None
    chain: AgentLoopContext | None = None
    fixture: bool = False
    lifetime_s: float = 300.0
    context_tokens: int | None = CONTEXT_TOKENS
    """Most tokens of input and output together; None: not known."""
    templates: frozenset[str] | None = None
    """Lines with placeholders that most user messages of a recorded program have; None: a single prompt."""


ALONE = LintContext()
"""Nothing is known but the prompt."""

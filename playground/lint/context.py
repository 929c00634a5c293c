"""What surrounds a prompt: rates, plan, batch, retries, chain. Everything may be unknown; then its rules are silent."""

from __future__ import annotations

from dataclasses import dataclass

from playground.client.endpoint import PLANS, PlanLimits, Rates
from playground.client.retry import RETRIED, RetryPolicy
from playground.lint.history import NO_HISTORY, PromptHistory
from playground.prompt.limits import CONTEXT_TOKENS

NO_RATES = Rates()


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch or a parallel run before its start: `in_flight` at once, about `seconds_each` (None: unknown)."""

    requests: int
    in_flight: int
    seconds_each: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
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
        """The client's own policy."""
        return cls(RETRIED, policy.attempts, policy.first_s, policy.longest_s, policy.jitter)


@dataclass(frozen=True, slots=True)
class AgentLoopContext:
    """How tool chains are run: at most `limit` requests each; None is no limit."""

    limit: int | None


@dataclass(frozen=True, slots=True)
class LintContext:
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


ALONE = LintContext()
"""Nothing is known but the prompt."""

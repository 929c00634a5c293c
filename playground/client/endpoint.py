"""Endpoints: base URL, model, limits and rates. Keys are in the credential store only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from playground.dataclass import dataclass

if TYPE_CHECKING:
    from playground.client.events import Usage

ELECTRON_BASE_URL = "https://api.smallest.ai/waves/v1"
SIMULATOR_ID = "simulator"
ELECTRON_ID = "electron"


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per million tokens; None is not priced (displayed as such, never as 0)."""

    fresh: float | None = None
    cached: float | None = None
    output: float | None = None
    source: str = ""


PUBLISHED_RATES = Rates(0.40, 0.10, None, "the vendor's published API schema")
"""electron-api.md, Prefix caching: input rates from the published schema; no output rate is published."""


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """An account's limits; None means no known limit."""

    name: str
    requests_per_minute: int | None
    in_flight: int | None


PLANS: dict[str, PlanLimits] = {
    "standard": PlanLimits("Standard", 10, 3),
    "enterprise": PlanLimits("Enterprise", 200, 20),
    "none": PlanLimits("No limits", None, None),
}
"""electron-api.md, Plan limits."""


ContextSource: TypeAlias = Literal["", "documented", "set", "models", "learned"]
CONTEXT_SOURCES: dict[ContextSource, str] = {
    "documented": "documented by the vendor",
    "set": "set by you",
    "models": "reported by GET /models",
    "learned": "learned from a refusal",
}
"""Sources of a context length, as text."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One OpenAI-compatible server. `id` is stable and names its key in the credential store."""

    id: str
    name: str
    base_url: str
    model: str = "electron"
    kind: Literal["simulator", "electron", "other"] = "other"
    needs_key: bool = True
    plan: PlanLimits = PLANS["none"]
    rates: Rates = Rates()
    context_tokens: int | None = None
    """Most tokens of input and output together; None: not known, and not checked."""
    context_source: ContextSource = ""
    """Where `context_tokens` is from; empty in files of older versions."""

    @property
    def completions_url(self) -> str:
        """Return the URL that receives POST requests."""
        return self.base_url.rstrip("/") + "/chat/completions"


PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars; None if the rate is not set or the tokens were not reported.

    `saved` is the difference to the cost of the cached tokens at the rate of fresh ones.
    """

    fresh: float | None = None
    cached: float | None = None
    output: float | None = None
    saved: float | None = None

    @property
    def input(self) -> float | None:
        """Return the cost of fresh and cached input."""
        return None if self.fresh is None or self.cached is None else self.fresh + self.cached

    @property
    def total(self) -> float | None:
        """Return the cost of input and output."""
        return None if self.input is None or self.output is None else self.input + self.output


def cost(usage: Usage | None, rates: Rates) -> Cost:
    """Return the cost of one request."""
    if usage is None:
        return Cost()
    saved = None
    if usage.cached_tokens is not None and rates.fresh is not None and rates.cached is not None:
        saved = usage.cached_tokens * (rates.fresh - rates.cached) / PER
    return Cost(
        fresh=_price(usage.fresh_tokens, rates.fresh),
        cached=_price(usage.cached_tokens, rates.cached),
        output=_price(usage.completion_tokens, rates.output),
        saved=saved,
    )


def _price(tokens: int | None, rate: float | None) -> float | None:
    return None if tokens is None or rate is None else tokens * rate / PER

"""What a request cost, by the rates that the user set. What is not priced or not reported has no cost, never 0."""

from __future__ import annotations

from dataclasses import dataclass

from playground.client.endpoint import Rates
from playground.client.events import Usage

PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars; None where the rate is not set or the tokens were not reported.

    `saved` is what the cached tokens would have cost more as fresh ones.
    """

    fresh: float | None = None
    cached: float | None = None
    output: float | None = None
    saved: float | None = None

    @property
    def input(self) -> float | None:
        """Fresh and cached together."""
        return None if self.fresh is None or self.cached is None else self.fresh + self.cached

    @property
    def total(self) -> float | None:
        """Input and output together."""
        return None if self.input is None or self.output is None else self.input + self.output


def cost(usage: Usage | None, rates: Rates) -> Cost:
    """The cost of one request."""
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

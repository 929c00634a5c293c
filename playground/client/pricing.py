"""Cost of a request at the user's rates. Without a rate or reported tokens it is unknown, never 0."""

from __future__ import annotations

from dataclasses import dataclass

from playground.client.endpoint import Rates
from playground.client.events import Usage

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

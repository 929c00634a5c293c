"""Ways to mend a prompt, and what each would do to its forecast and its price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playground.prefix_cache.mend import proposals, sorted_tools, stable_length
from playground.prompt.document import Document

if TYPE_CHECKING:
    from playground.client.endpoint import Rates
    from playground.lint.model import Finding
    from playground.prefix_cache.forecaster import PromptForecast as Outlook
    from playground.prefix_cache.token_estimator import TokenEstimator

PREFIX_RULE = "prefix-order"
"""The adviser's rule that the prefix workbench's proposals answer."""
REQUESTS = 1_000


@dataclass(frozen=True, slots=True)
class Option:
    """One way to mend: `after` is the whole document as it would be."""

    title: str
    why: str
    after: Document


@dataclass(frozen=True, slots=True)
class Effect:
    """≈ tokens: the part that every request of the prompt shares, what the cache is forecast to serve next, the whole;
    `dollars` is what 1,000 requests cost on input with that part cached (None: a rate is not set)."""

    stable: float
    forecast: float
    prompt: float
    dollars: float | None


def options(document: Document, advice: tuple[Finding, ...]) -> tuple[Option, ...]:
    """Return the distinct rewrites proposed by this finding and, for prefix findings, by the prefix workbench."""
    found: list[Option] = []
    for option in _all(document, advice):
        if option.after != document and all(option.after != other.after for other in found):
            found.append(option)
    return tuple(found)


def _all(document: Document, advice: tuple[Finding, ...]) -> Iterator[Option]:
    if not advice or any(one.rule == PREFIX_RULE for one in advice):
        yield from (Option(mend.title, mend.why, mend.after) for mend in proposals(document))
        if (by_name := sorted_tools(document)) is not None:
            yield Option(by_name.title, by_name.why, by_name.after)
    for one in advice:
        if one.fix is not None:
            yield Option(one.fix.title, one.detail, one.fix.after)


def effect(outlook: Outlook, counter: TokenEstimator, rates: Rates) -> Effect:
    """Return the cost of a forecast. Rates are dollars per million tokens."""
    document, text, prompt = outlook.view.document, outlook.view.view.text, outlook.zones.total_tokens
    counted = counter.estimate(text)
    share = counter.estimate(text[: stable_length(document)]) / counted if counted else 0.0
    stable, price = prompt * share, None
    if rates.fresh is not None and rates.cached is not None:
        price = (stable * rates.cached + (prompt - stable) * rates.fresh) * REQUESTS / 1_000_000
    return Effect(stable, outlook.forecast.cached_tokens, prompt, price)

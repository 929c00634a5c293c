"""The adviser's one question: what does the guide have to say of this prompt?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from playground.lint.context import ALONE, LintContext
from playground.lint.grouping import grouped
from playground.lint.model import SEVERITIES, Finding, Rule
from playground.lint.prompt_facts import PromptFacts, TokenCounter
from playground.lint.rules.registry import RULES
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document, Json

Estimate = TokenCounter | Callable[[str], float]


def advise(
    document: Document,
    setting: LintContext = ALONE,
    counter: Estimate | None = None,
    *,
    body: Mapping[str, Json] | None = None,
    dismissed: Collection[str] = (),
    rules: Sequence[Rule] = RULES,
) -> tuple[Finding, ...]:
    """Everything that the rules have to say: worst first, then what costs most.

    `counter` is the endpoint's token estimator or a function from a text to its ≈ tokens. `body` is a request body that
    this program did not write: what its own client will send is judged, not what this one would make of it.
    `dismissed` holds rule names (for good) and `Finding.key`s. Safe on a thread with a `counter` of its own.
    """
    facts = PromptFacts(document, setting, _counter(counter), body)
    found: list[Finding] = []
    for rule in rules:
        if rule.name not in dismissed:
            judged = [finding for finding in rule.judge(facts) if finding.key not in dismissed]
            found += grouped(document, judged)
    return tuple(sorted((finding for finding in found if finding.key not in dismissed), key=_rank))


def _rank(finding: Finding) -> tuple[int, float, float]:
    return SEVERITIES.index(finding.severity), -(finding.dollars or 0.0), -finding.tokens


def _counter(given: Estimate | None) -> TokenCounter:
    if given is None:
        return TokenEstimator()
    return _Doubtful(given) if callable(given) else given


DOUBT = 0.25
"""Assumed relative error of an estimate by a plain function: covers English for common vocabularies."""


@dataclass(frozen=True, slots=True)
class _Doubtful:
    """A plain function as a counter."""

    function: Callable[[str], float]

    def estimate(self, text: str) -> float:
        return self.function(text)

    def interval(self, text: str) -> tuple[float, float]:
        tokens = self.function(text)
        return tokens * (1 - DOUBT), tokens * (1 + DOUBT)

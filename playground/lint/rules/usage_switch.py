"""`stream_options.include_usage` whenever the answer is streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    if not facts.streams or facts.asks_usage:
        return
    yield Finding(
        "warning",
        "The streamed response will not report usage",
        "stream_options.include_usage is off: prompt tokens, cached tokens, completion tokens and the cost of this "
        "request will be unknown, and the estimates learn nothing from it.",
        evidence=(Evidence("prompt tokens not reported", facts.prompt_tokens),),
        places=(FindingPlace(("stream_options", "include_usage")),),
        fix=Fix("Ask for usage", replace(facts.document, stream=True, include_usage=True)),
        tokens=facts.prompt_tokens,
    )


RULE = LintRule(
    "usage-off",
    "Ask for usage when streaming",
    "Usage comes in one last chunk, only if requested. Without it the cached tokens are unknown.",
    GuideSource("Request fields", "With stream and include_usage one last chunk before [DONE] carries the usage."),
    _speak,
)

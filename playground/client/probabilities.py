"""Token probabilities out of a choice's `logprobs`. Tolerant: what is not as OpenAI documents it is left out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from playground.client.events import Alternative, TokenProbability

MOST_ALTERNATIVES = 20
"""top_logprobs goes to 20 (electron-api.md, Parameters)."""


def token_probabilities(logprobs: object) -> tuple[TokenProbability, ...]:
    """The tokens of `logprobs.content`; none where it is of another shape (such as the old completions')."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return tuple(_tokens(content)) if isinstance(content, list) else ()


def _tokens(content: list[object]) -> Iterator[TokenProbability]:
    for entry in content:
        if isinstance(entry, dict) and isinstance(token := entry.get("token"), str):
            yield TokenProbability(token, _logprob(entry.get("logprob")), _alternatives(entry.get("top_logprobs")))


def _alternatives(entries: object) -> tuple[Alternative, ...]:
    found = entries[:MOST_ALTERNATIVES] if isinstance(entries, list) else ()
    return tuple(
        Alternative(token, _logprob(entry.get("logprob")))
        for entry in found
        if isinstance(entry, dict) and isinstance(token := entry.get("token"), str)
    )


def _logprob(value: object) -> float | None:
    """None where there is no number. Rounding puts a certain token a little above 0 on some servers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return max(min(float(value), 0.0), -9999.0)

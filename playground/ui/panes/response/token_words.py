"""Tokens and their probabilities as text: blanks can be seen, and no percentage is rounded to certainty."""

from __future__ import annotations

import math

from playground.client.events import TokenProbability

UNKNOWN = "—"
LONGEST = 80
_VISIBLE = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥", "\u00a0": "⍽"}


def visible(token: str) -> str:
    """The token so that every character of it can be seen; an empty one (the end of the answer) is ∅."""
    shown = "".join(
        _VISIBLE.get(char, char if char.isprintable() else f"\\u{ord(char):04x}") for char in token[:LONGEST]
    )
    return (shown or "∅") + ("…" if len(token) > LONGEST else "")


def probability(logprob: float | None) -> float | None:
    """Return the probability, 0 to 1; None if unknown."""
    return None if logprob is None else math.exp(logprob)


def percent_text(logprob: float | None) -> str:
    """Format a probability as `87.3 %`. Only exactly 1 gives 100 %, only exactly 0 gives 0 %."""
    share = probability(logprob)
    if share is None:
        return UNKNOWN
    if share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"


def others(token: TokenProbability) -> str:
    """The alternatives, the most probable first, without the token itself."""
    found = [other for other in token.alternatives if other.token != token.token]
    found.sort(key=lambda other: -math.inf if other.logprob is None else other.logprob, reverse=True)
    return "   ".join(f"{visible(other.token)} {percent_text(other.logprob)}" for other in found)


def sentence(token: TokenProbability, index: int) -> str:
    """A token in one line; `index` from 0."""
    rest = others(token)
    return f"token {index + 1:,}: {visible(token.token)} {percent_text(token.logprob)}" + (
        f" · instead: {rest}" if rest else " · no alternatives were sent"
    )


def summary(tokens: list[TokenProbability], came: int) -> str:
    """How many, and how sure the model was on the whole: the geometric mean, which is 1 ÷ perplexity."""
    count = f"{came:,} {'token' if came == 1 else 'tokens'}"
    if came > len(tokens):
        count = f"the first {len(tokens):,} of {count}"
    known = [token.logprob for token in tokens if token.logprob is not None]
    if not known:
        return f"{count} · no probability was sent with them"
    return f"{count} · {percent_text(sum(known) / len(known))} a token (geometric mean)"

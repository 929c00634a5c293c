"""Stable content first, variable content last."""

from __future__ import annotations

from collections.abc import Iterator

from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule, Severity
from playground.lint.prompt_facts import PromptFacts
from playground.lint.reorder import ReorderSpot, spots
from playground.prefix_cache.mend import proposals
from playground.prompt.document import Document
from playground.prompt.variables import PATTERN

SOME, MANY, MOST = 48, 128, 1_024
"""≈ tokens of stable text behind the first change: a hint, a warning, serious. Half of a prompt is serious from 512."""
EACH_REQUEST = ("moment", "id")
"""Values that differ in every request, so that no request is served past them."""
MARKED = 20
"""Places that are marked at most."""
SEEN = 3
"""Requests whose reports outweigh what the text looks like."""


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    first = next(spots(facts.document), None)
    if first is None:
        return
    lost = _lost(facts, facts.document, first)
    if lost < SOME or _served_all_the_same(facts, first, lost):
        return
    reach = facts.missed_dollars(lost)
    yield Finding(
        _severity(first, lost, facts.prompt_tokens),
        "Stable text comes after text that changes",
        f"{_what(first)} ends the prefix that requests share. The identical text after it can never come from the "
        "cache. Move the variable text to the end.",
        evidence=(
            Evidence("stable text after it", lost),
            Evidence("prompt", facts.prompt_tokens),
            Evidence("lost per 1,000 requests", reach, "dollars"),
        ),
        places=_places(facts.document),
        fix=_fix(facts),
        tokens=lost,
        dollars=reach,
    )


def _places(document: Document) -> tuple[FindingPlace, ...]:
    """The first change, and the values behind it that were typed in: each would end the prefix once it is the first."""
    first, *others = spots(document)
    typed_in = [spot for spot in others if spot.kind != "variable"]
    found = (first, *typed_in[: MARKED - 1])
    return tuple(FindingPlace(("messages", spot.message, "content"), spot.start, spot.end) for spot in found)


def _severity(first: ReorderSpot, lost: float, prompt: float) -> Severity:
    if first.kind == "date":
        # It changes once a day; the cache forgets sooner than that.
        return "hint"
    most = lost >= MOST or lost >= max(prompt / 2, 4 * MANY)
    if most or (lost >= MANY and first.kind in EACH_REQUEST):
        return "serious"
    return "warning" if lost >= MANY else "hint"


def _what(first: ReorderSpot) -> str:
    names = {"moment": "The time", "id": "The id", "date": "The date", "person": "The value"}
    if first.kind == "variable":
        return f"The variable {first.name}"
    return f"{names[first.kind]} {first.name!r}"


def _lost(facts: PromptFacts, document: Document, first: ReorderSpot) -> float:
    """≈ tokens of text that is the same every time, behind the first change: its message's rest and system text."""
    found = facts.tokens(_still((document.messages[first.message].content or "")[first.end :]))
    later = document.messages[first.message + 1 :]
    return found + sum(facts.tokens(_still(m.content)) for m in later if m.role == "system" and m.content)


def _still(text: str) -> str:
    return PATTERN.sub("", text)


def _served_all_the_same(facts: PromptFacts, first: ReorderSpot, lost: float) -> bool:
    """Whether the last requests were served past the change: then it does not change in practice."""
    known = [r for r in facts.history.requests if r.cached_tokens is not None][-SEEN:]
    before = sum(facts.tool_tokens) + sum(facts.message_tokens[: first.message])
    before += facts.tokens((facts.document.messages[first.message].content or "")[: first.start])
    return len(known) == SEEN and all((r.cached_tokens or 0) >= before + lost / 2 for r in known)


def _fix(facts: PromptFacts) -> Fix | None:
    """Return the most cautious rewrite that leaves little stable text behind the first change."""
    for rewrite in proposals(facts.document):
        spot = next(spots(rewrite.after), None)
        if rewrite.moved and (spot is None or _lost(facts, rewrite.after, spot) < SOME):
            return Fix("Move what changes behind what does not", rewrite.after)
    return None


RULE = LintRule(
    "prefix-order",
    "Stable content first, variable content last",
    "The cache matches from the first token to the first difference. Text after a name, a date or an id is billed "
    "as fresh input each time.",
    GuideSource(
        "Prefix caching", "System prompt, tool catalogue and retrieved context, history, and this turn's question last."
    ),
    _speak,
)

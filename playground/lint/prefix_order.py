"""Stable content first, variable content last; and a hit rate below what the stable prefix allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from playground.lint.model import (
    Evidence,
    Finding,
    FindingPlace,
    Fix,
    Judge,
    ReorderSpot,
    Severity,
    spots,
)
from playground.lint.prompt_facts import PastRequest, PromptFacts
from playground.prefix_cache.rewrites import proposals
from playground.prefix_cache.text_compare import common_prefix
from playground.prompt.document import PATTERN, Document

SIDE = 3
"""Requests needed on either side of the fall."""
HIGH, FALL, LASTS = 0.4, 0.5, 0.75
"""The rate was at least 40 % and is now at most half of that, without a recovery since."""
SMALL = 256
"""Shorter prompts (in tokens) may be below the minimum cached length."""


def _report_low_rate(facts: PromptFacts) -> Iterator[Finding]:
    usable = _comparable(facts.history.requests, facts.setting.lifetime_s)
    at = _fall(usable)
    if at is None:
        return
    before, after = _rate(usable[:at]), _rate(usable[at:])
    lost = (before - after) * sum(r.prompt_tokens or 0 for r in usable[at:]) / len(usable[at:])
    first = usable[at]
    when = datetime.fromtimestamp(first.at, UTC)
    yield Finding(
        "warning",
        "The cache hit rate of this prompt fell",
        f"Since {when:%Y-%m-%d %H:%M:%S} UTC{_request(first)} {after:.0%} of the prompt tokens come from the cache, "
        f"{before:.0%} before. {_edit(usable[at - 1], first)}",
        evidence=(
            Evidence("hit rate before", before, "share", "reported"),
            Evidence("hit rate since", after, "share", "reported"),
            Evidence("requests since", len(usable) - at, "count", "counted"),
            Evidence("tokens no longer cached per request", lost),
            Evidence("cost per 1,000 requests", facts.missed_dollars(lost), "dollars"),
        ),
        places=(FindingPlace(()),),
        tokens=lost,
        dollars=facts.missed_dollars(lost),
    )


def _comparable(requests: Sequence[PastRequest], lifetime_s: float) -> list[PastRequest]:
    """Return requests whose hit rate depends on the prompt: reported, long enough, and sent soon after another."""
    return [
        request
        for earlier, request in pairwise(requests)
        if request.hit_rate is not None
        and (request.prompt_tokens or 0) >= SMALL
        and request.at - earlier.at <= lifetime_s
    ]


def _fall(usable: Sequence[PastRequest]) -> int | None:
    """Return the first request of the newest period with a lower rate; None without a lasting drop."""
    best: tuple[float, int] | None = None
    for at in range(SIDE, len(usable) - SIDE + 1):
        before, after = _rate(usable[:at]), _rate(usable[at:])
        drop = before - after
        lasts = max(r.hit_rate or 0.0 for r in usable[at:]) <= before * LASTS
        if before >= HIGH and after <= before * FALL and lasts and (best is None or drop > best[0]):
            best = drop, at
    return best[1] if best else None


def _rate(requests: Sequence[PastRequest]) -> float:
    """Weighted by tokens."""
    return sum(r.cached_tokens or 0 for r in requests) / sum(r.prompt_tokens or 0 for r in requests)


def _request(request: PastRequest) -> str:
    return f" (request_id {request.request_id})" if request.request_id else ""


def _edit(earlier: PastRequest, now: PastRequest) -> str:
    if earlier.text is None or now.text is None:
        return "The edit that caused it is unknown, because the texts are not available."
    shared = common_prefix(earlier.text, now.text)
    if shared >= min(len(earlier.text), len(now.text)):
        return "The prompts before and after agree up to the length of the shorter one, so no edit caused it."
    share = shared / max(len(now.text), 1)
    was, is_now = (_near(text, shared) for text in (earlier.text, now.text))
    return (
        f"The first such request differs from the one before it {share:.0%} into the prompt: {was!r} became {is_now!r}."
    )


def _near(text: str, at: int) -> str:
    return text[at : at + 24].replace("\x1e", " ")


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
        f"{_what(first)} ends the prefix that requests share. When it changes, the identical text after it "
        f"cannot come from the cache. {_ONCE_A_DAY if first.kind == 'date' else ''}Move the variable text to the end.",
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


_ONCE_A_DAY = "A date changes once a day, so only the first request of each day pays for it: this is a hint. "


def _places(document: Document) -> tuple[FindingPlace, ...]:
    """Return the first change, and the typed values behind it that would end the prefix once they come first."""
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


JUDGES: dict[str, Judge] = {
    "prefix-order": _speak,
    "hit-rate-falls": _report_low_rate,
}

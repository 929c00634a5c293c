"""Watch cached_tokens: a hit rate that fell, when, and with which edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from playground.lint.history import PastRequest
from playground.lint.model import Evidence, Finding, FindingPlace, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.prefix_cache.text_compare import common_prefix

SIDE = 3
"""Requests needed on either side of the fall."""
HIGH, FALL, LASTS = 0.4, 0.5, 0.75
"""The rate was at least 40 % and is now at most half of that, without a recovery since."""
SMALL = 256
"""Shorter prompts (in tokens) may be below the minimum cached length."""


def _speak(facts: PromptFacts) -> Iterator[Finding]:
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


RULE = LintRule(
    "hit-rate-falls",
    "Watch cached tokens",
    "An edit at the top of a prompt shows only in cached_tokens and on the bill.",
    GuideSource(
        "Prefix caching", "One changed character ends the match, and nothing after it is served from the cache."
    ),
    _speak,
)

"""Retry 502 and 503, back off on 429, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from playground.advice.facts import Facts
from playground.advice.model import Advice, Evidence, Guideline, Place, Severity, Source
from playground.advice.setting import Retries
from playground.client.retry import RETRIED

GUIDE = Retries()
"""What the guide says: 250 ms doubled up to 8 s, about five attempts."""
NEVER = frozenset((400, 401, 403, 404, 422))


def _speak(facts: Facts) -> Iterator[Advice]:
    policy = facts.setting.retries
    if policy is None:
        return
    for severity, subject, words in _differences(policy):
        yield Advice(
            severity,
            "The retry policy differs from the guide",
            words,
            evidence=(
                Evidence("attempts", policy.attempts, "count", "counted"),
                Evidence("first wait", policy.first_s, "seconds", "counted"),
                Evidence("longest wait", policy.longest_s, "seconds", "counted"),
            ),
            places=(Place(()),),
            subject=subject,
        )


def _differences(policy: Retries) -> Iterator[tuple[Severity, str, str]]:
    if policy.after_first_token:
        yield (
            "serious",
            "after-first-token",
            "It sends again what has begun to deliver: the text was seen and is paid for.",
        )
    if never := sorted(policy.statuses & NEVER):
        yield "serious", "refused", f"It retries {_list(never)}: the same request will be refused again."
    if other := sorted(policy.statuses - RETRIED - NEVER):
        yield "warning", "other-statuses", f"It retries {_list(other)}, which the vendor does not list as passing."
    if policy.attempts > 1:
        yield from _waits(policy)
    if missing := sorted(RETRIED - policy.statuses):
        yield "hint", "missing-statuses", f"It gives up on {_list(missing)}, which pass."


def _waits(policy: Retries) -> Iterator[tuple[Severity, str, str]]:
    if not policy.honours_retry_after:
        yield "warning", "retry-after", "It does not wait as long as Retry-After asks."
    if policy.attempts > GUIDE.attempts + 1:
        yield "hint", "attempts", f"It makes {policy.attempts} attempts; the guide says about {GUIDE.attempts}."
    if policy.first_s < GUIDE.first_s * 0.8:
        yield (
            "warning",
            "first-wait",
            f"It waits {policy.first_s:g} s at first; the guide starts at {GUIDE.first_s:g} s.",
        )
    if policy.longest_s > GUIDE.longest_s * 1.25:
        yield (
            "hint",
            "longest-wait",
            f"It waits up to {policy.longest_s:g} s; the guide stops at {GUIDE.longest_s:g} s.",
        )
    if not policy.jitter:
        yield "hint", "jitter", "Its waits have no jitter: clients that failed together come back together."


def _list(statuses: list[int]) -> str:
    return ", ".join(str(status) for status in statuses)


RULE = Guideline(
    "retry-policy",
    "Retry what passes, and only that",
    "502 and 503 pass, 429 passes after a wait; anything else is answered the same way again, and each try counts "
    "against the plan.",
    Source("Errors", "Back off from 250 ms, doubling to 8 s, about five attempts; never after the first token."),
    _speak,
)

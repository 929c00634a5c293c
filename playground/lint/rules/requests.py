"""Advice to keep one connection alive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from playground.client.endpoint import PlanLimits
from playground.lint.context import Batch, Retries
from playground.lint.model import Evidence, Finding, FindingPlace, GuideSource, LintRule, Severity
from playground.lint.prompt_facts import PromptFacts
from playground.runs.run import RETRIED


def _request_ids_speak(facts: PromptFacts) -> Iterator[Finding]:
    answered = [request for request in facts.history.requests if request.status is not None]
    without = sum(1 for request in answered if not request.request_id)
    attempts = sum(request.failed_attempts_without_id for request in facts.history.requests)
    if not without and not attempts:
        return
    yield Finding(
        "warning",
        "Responses came without a request_id",
        "Every response of Electron has an X-Request-Id, and support can search by nothing else. Check for a proxy "
        "that drops headers, or for another server at this address.",
        evidence=(
            Evidence("responses without one", without, "count", "counted"),
            Evidence("of", len(answered), "count", "counted"),
            Evidence("failed attempts without one", attempts, "count", "counted"),
        ),
        places=(FindingPlace(()),),
    )


REQUEST_IDS = LintRule(
    "no-request-id",
    "Keep every request_id",
    "It arrives with the headers, before the first token, so even a broken stream can be reported.",
    GuideSource("Response", "X-Request-Id is on every response, streamed or not, success or failure."),
    _request_ids_speak,
)


GUIDE = Retries()
"""What the guide says: 250 ms doubled up to 8 s, about five attempts."""
NEVER = frozenset((400, 401, 403, 404, 422))


def _retries_speak(facts: PromptFacts) -> Iterator[Finding]:
    policy = facts.setting.retries
    if policy is None:
        return
    for severity, subject, words in _differences(policy):
        yield Finding(
            severity,
            "The retry policy differs from the guide",
            words,
            evidence=(
                Evidence("attempts", policy.attempts, "count", "counted"),
                Evidence("first wait", policy.first_s, "seconds", "counted"),
                Evidence("longest wait", policy.longest_s, "seconds", "counted"),
            ),
            places=(FindingPlace(()),),
            subject=subject,
        )


def _differences(policy: Retries) -> Iterator[tuple[Severity, str, str]]:
    if policy.after_first_token:
        yield (
            "serious",
            "after-first-token",
            "It retries after the first token, although the received text was displayed and is billed.",
        )
    if never := sorted(policy.statuses & NEVER):
        yield "serious", "refused", f"It retries {_list(never)}, although the same request will be refused again."
    if other := sorted(policy.statuses - RETRIED - NEVER):
        yield "warning", "other-statuses", f"It retries {_list(other)}, which the vendor does not list as temporary."
    if policy.attempts > 1:
        yield from _waits(policy)
    if missing := sorted(RETRIED - policy.statuses):
        yield "hint", "missing-statuses", f"It does not retry {_list(missing)}, which are temporary."


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
        yield "hint", "jitter", "Its waits have no jitter, so clients that failed together retry together."


def _list(statuses: list[int]) -> str:
    return ", ".join(str(status) for status in statuses)


RETRIES = LintRule(
    "retry-policy",
    "Retry temporary errors only",
    "502 and 503 are temporary, 429 ends after a wait. Other errors repeat, and each attempt counts against the plan.",
    GuideSource("Errors", "Back off from 250 ms, doubling to 8 s, about five attempts; never after the first token."),
    _retries_speak,
)


def _concurrency_speak(facts: PromptFacts) -> Iterator[Finding]:
    batch, plan = facts.setting.batch, facts.setting.plan
    if batch is None or batch.requests < 1:
        return
    over_flight = plan.in_flight is not None and min(batch.in_flight, batch.requests) > plan.in_flight
    over_minute = plan.requests_per_minute is not None and _most_a_minute(batch) > plan.requests_per_minute
    if not over_flight and not over_minute:
        return
    yield Finding(
        "warning",
        "The batch goes beyond the plan's limits",
        f"{plan.name} allows {_limit(plan.in_flight)} in flight and {_limit(plan.requests_per_minute)} a minute; what "
        "exceeds that gets 429. The account's other programs count too. Run the batch within the limits.",
        evidence=(
            Evidence("in flight as set", batch.in_flight, "count", "counted"),
            Evidence("requests", batch.requests, "count", "counted"),
            Evidence("time to finish within the limits", _time(batch, plan), "seconds"),
        ),
        places=(FindingPlace(()),),
    )


def _most_a_minute(batch: Batch) -> int:
    """Return how many requests may start in a minute at most; those in flight if their duration is unknown."""
    slots = min(batch.in_flight, batch.requests)
    if not batch.seconds_each:
        return slots
    return int(min(batch.requests, slots * max(60 / batch.seconds_each, 1)))


def _time(batch: Batch, plan: PlanLimits) -> float | None:
    if batch.seconds_each is None:
        return None
    slots = min(batch.in_flight, plan.in_flight or batch.in_flight)
    return plan_batch(batch.requests, max(slots, 1), plan.requests_per_minute, batch.seconds_each)


def _limit(value: int | None) -> str:
    return "any number" if value is None else f"{value:,}"


CONCURRENCY = LintRule(
    "over-plan",
    "Stay within the plan's limits",
    "All programs of an account share its limits; a request above either gets 429.",
    GuideSource("Plan limits", "Standard has 10 requests per minute and 3 in flight, Enterprise 200 and 20."),
    _concurrency_speak,
)


WINDOW_S = 60.0


def plan_batch(n: int, in_flight: int | None, per_minute: int | None, seconds_each: float) -> float:
    """Seconds until `n` requests have finished, each taking `seconds_each`.

    At most `in_flight` run at once and at most `per_minute` start in any 60 seconds; None is no limit. Assumes
    no other traffic of the account and no retries, so the result is a lower bound. Raises ValueError for a limit
    below 1 or a negative figure.
    """
    if n < 0 or seconds_each < 0 or min(in_flight or 1, per_minute or 1) < 1 or 0 in (in_flight, per_minute):
        raise ValueError("a batch has 0 or more requests of 0 or more seconds, and a limit is at least 1")
    starts: list[float] = []
    for number in range(n):
        after_slot = starts[number - in_flight] + seconds_each if in_flight and number >= in_flight else 0.0
        after_minute = starts[number - per_minute] + WINDOW_S if per_minute and number >= per_minute else 0.0
        starts.append(max(after_slot, after_minute))
    return starts[-1] + seconds_each if starts else 0.0


IDLE_S = 30.0
"""A connection that was idle longer may have been closed by anyone (assumed)."""
SOME, MANY = 3, 0.3


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    requests = facts.history.requests
    known = [r.connect_s for r in requests if r.connect_s is not None]
    pairs = pairwise(requests)
    again = [r.connect_s for earlier, r in pairs if r.connect_s and 0 <= r.at - earlier.at <= IDLE_S]
    if len(again) < SOME:
        return
    mean = sum(again) / len(again)
    yield Finding(
        "warning" if len(again) >= MANY * len(known) else "hint",
        "Connections are not reused",
        f"{len(again):,} requests opened a connection of their own although another had been made within "
        f"{IDLE_S:g} s. Reuse one keep-alive connection; a proxy that closes connections causes this too.",
        evidence=(
            Evidence("unnecessary connections", len(again), "count", "counted"),
            Evidence("of requests", len(known), "count", "counted"),
            Evidence("mean time to connect", mean, "seconds", "counted"),
        ),
        places=(FindingPlace(()),),
    )


CONNECTIONS = LintRule(
    "cold-connections",
    "Keep one connection alive",
    "A new connection costs a handshake before the first byte, which delays speech.",
    GuideSource("Endpoint", "One keep-alive connection reused; a cold handshake is otherwise paid by each request."),
    _speak,
)

"""Stay within the plan's concurrency."""

from __future__ import annotations

from collections.abc import Iterator

from playground.advice.facts import Facts
from playground.advice.model import Advice, Evidence, Guideline, Place, Source
from playground.advice.planning import plan_batch
from playground.advice.setting import Batch
from playground.client.endpoint import PlanLimits


def _speak(facts: Facts) -> Iterator[Advice]:
    batch, plan = facts.setting.batch, facts.setting.plan
    if batch is None or batch.requests < 1:
        return
    over_flight = plan.in_flight is not None and min(batch.in_flight, batch.requests) > plan.in_flight
    over_minute = plan.requests_per_minute is not None and _most_a_minute(batch) > plan.requests_per_minute
    if not over_flight and not over_minute:
        return
    yield Advice(
        "warning",
        "The batch goes beyond the plan's limits",
        f"{plan.name} allows {_limit(plan.in_flight)} in flight and {_limit(plan.requests_per_minute)} a minute; what "
        "goes beyond is answered with 429. The account's other programs count too. Run it within the limits.",
        evidence=(
            Evidence("in flight as set", batch.in_flight, "count", "counted"),
            Evidence("requests", batch.requests, "count", "counted"),
            Evidence("time to finish within the limits", _time(batch, plan), "seconds"),
        ),
        places=(Place(()),),
    )


def _most_a_minute(batch: Batch) -> int:
    """The most requests that may start in a minute as set; where their time is unknown, those that start at once."""
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


RULE = Guideline(
    "over-plan",
    "Stay within the plan's limits",
    "The limits belong to the account, and all its programs share them; beyond either the answer is 429.",
    Source("Plan limits", "Standard has 10 requests a minute and 3 in flight, Enterprise 200 and 20."),
    _speak,
)

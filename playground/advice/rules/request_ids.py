"""Carry the request_id."""

from __future__ import annotations

from collections.abc import Iterator

from playground.advice.facts import Facts
from playground.advice.model import Advice, Evidence, Guideline, Place, Source


def _speak(facts: Facts) -> Iterator[Advice]:
    answered = [request for request in facts.history.requests if request.status is not None]
    without = sum(1 for request in answered if not request.request_id)
    attempts = sum(request.failed_attempts_without_id for request in facts.history.requests)
    if not without and not attempts:
        return
    yield Advice(
        "warning",
        "Responses came without a request_id",
        "X-Request-Id stands on every response of Electron, and is all that support can search by. Look at what "
        "stands between: a proxy that drops headers, or another server.",
        evidence=(
            Evidence("responses without one", without, "count", "counted"),
            Evidence("of", len(answered), "count", "counted"),
            Evidence("failed attempts without one", attempts, "count", "counted"),
        ),
        places=(Place(()),),
    )


RULE = Guideline(
    "no-request-id",
    "Keep every request_id",
    "It comes with the headers, before the first token: even a stream that dies can be reported.",
    Source("Response", "X-Request-Id is on every response, streamed or not, success or failure."),
    _speak,
)

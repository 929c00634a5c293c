"""One connection, kept alive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from playground.advice.facts import Facts
from playground.advice.model import Advice, Evidence, Guideline, Place, Source

IDLE_S = 30.0
"""A connection that was idle longer may have been closed by anyone (assumed)."""
SOME, MANY = 3, 0.3


def _speak(facts: Facts) -> Iterator[Advice]:
    requests = facts.history.requests
    known = [r.connect_s for r in requests if r.connect_s is not None]
    pairs = pairwise(requests)
    again = [r.connect_s for earlier, r in pairs if r.connect_s and 0 <= r.at - earlier.at <= IDLE_S]
    if len(again) < SOME:
        return
    mean = sum(again) / len(again)
    yield Advice(
        "warning" if len(again) >= MANY * len(known) else "hint",
        "Connections are opened again and again",
        f"{len(again):,} requests opened a connection of their own although another had been made within "
        f"{IDLE_S:g} s. Reuse one keep-alive connection; a proxy that closes them shows here too.",
        evidence=(
            Evidence("opened without need", len(again), "count", "counted"),
            Evidence("of requests", len(known), "count", "counted"),
            Evidence("time each took", mean, "seconds", "counted"),
        ),
        places=(Place(()),),
    )


RULE = Guideline(
    "cold-connections",
    "Keep one connection alive",
    "A new connection is a handshake before the first byte, and a caller hears it as silence.",
    Source("Endpoint", "One keep-alive connection reused; a cold handshake is otherwise paid by each request."),
    _speak,
)

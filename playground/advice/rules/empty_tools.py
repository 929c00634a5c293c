"""No empty `tools` list."""

from __future__ import annotations

from collections.abc import Iterator

from playground.advice.facts import Facts
from playground.advice.model import Advice, Fix, Guideline, Place, Source


def _speak(facts: Facts) -> Iterator[Advice]:
    """Only a body that somebody else wrote can have one: this program leaves an empty list out."""
    if facts.body is None or facts.body.get("tools", None) != []:
        return
    yield Advice(
        "serious",
        "An empty tools list",
        "The body has tools: []. The server takes 1 to 64 tools; where there are none the field is left out.",
        places=(Place(("tools",)),),
        fix=Fix("Leave tools out", facts.document),
    )


RULE = Guideline(
    "empty-tools",
    "Leave tools out where there are none",
    "An empty list is not the same as no list: it can be refused, and it changes what the cache compares.",
    Source("Request fields", "Up to 64 tools; the field is omitted when there are none, an empty list is a mistake."),
    _speak,
)

"""The places of a prompt that change from request to request: variables, and typed values that vary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from playground.prefix_cache.volatile_scan import VolatileKind, spans
from playground.prompt.document import Document, Message
from playground.prompt.variables import places

Kind = Literal["variable", "moment", "id", "date", "person"]
_KINDS: dict[VolatileKind, Kind] = {
    "date": "date",
    "time": "moment",
    "timestamp": "moment",
    "person": "person",
    "contact": "person",
}


@dataclass(frozen=True, slots=True)
class ReorderSpot:
    """Code points [start, end) in a message's template. `name` is the variable's, or the text itself."""

    message: int
    start: int
    end: int
    name: str
    kind: Kind


def spots(document: Document) -> Iterator[ReorderSpot]:
    """All of them, in the order that the cache sees. Typed-in values only in system messages."""
    for index, message in enumerate(document.messages):
        yield from sorted(_of(index, message), key=lambda spot: spot.start)


def _of(index: int, message: Message) -> Iterator[ReorderSpot]:
    text = message.content or ""
    for place in places(text):
        yield ReorderSpot(index, place.start, place.end, place.name, "variable")
    if message.role == "system":
        yield from _literals(index, text)


def _literals(index: int, text: str) -> Iterator[ReorderSpot]:
    for kind, start, end, sure in spans(text):
        # Unfilled placeholders have a rule of their own.
        if sure and kind != "placeholder":
            yield ReorderSpot(index, start, end, text[start:end], _KINDS.get(kind, "id"))

"""What changes from request to request in a prompt: its variables, and values typed in whose words say so.

Fewer kinds than `prefix.volatile` finds: here a false alarm fails a build, and all rules together have 50 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from playground.prefix.volatile_scan import VolatileKind, spans
from playground.prompt.document import Document, Message
from playground.prompt.variables import places

Kind = Literal["variable", "moment", "id", "date"]
_KINDS: dict[VolatileKind, Kind] = {"date": "date", "time": "moment", "timestamp": "moment"}


@dataclass(frozen=True, slots=True)
class Spot:
    """Code points [start, end) in a message's template. `name` is the variable's, or the text itself."""

    message: int
    start: int
    end: int
    name: str
    kind: Kind


def spots(document: Document) -> Iterator[Spot]:
    """All of them, in the order that the cache sees. Typed-in values only in system messages."""
    for index, message in enumerate(document.messages):
        yield from sorted(_of(index, message), key=lambda spot: spot.start)


def _of(index: int, message: Message) -> Iterator[Spot]:
    text = message.content or ""
    for place in places(text):
        yield Spot(index, place.start, place.end, place.name, "variable")
    if message.role == "system":
        yield from _literals(index, text)


def _literals(index: int, text: str) -> Iterator[Spot]:
    for kind, start, end, sure in spans(text):
        if sure:
            yield Spot(index, start, end, text[start:end], _KINDS.get(kind, "id"))

"""Moves what changes behind what does not: whole paragraphs where that is enough, else lines, else sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from playground.lint.sentences import sentences
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
        # Unfilled placeholders have a rule of their own.
        if sure and kind != "placeholder":
            yield Spot(index, start, end, text[start:end], _KINDS.get(kind, "id"))


_BLANK = re.compile(r"\n[ \t]*\n\s*")
Cut = Callable[[str], list[tuple[int, int]]]


def reordered(document: Document) -> Iterator[Document]:
    """The document reordered, gently first. Messages that are not led by system text are mended in themselves."""
    led = 0
    while led < len(document.messages) and document.messages[led].role == "system":
        led += 1
    first = next(spots(document), None)
    if first is None:
        return
    indexes = range(first.message, led) if first.message < led else range(first.message, first.message + 1)
    for cut in (_paragraphs, _lines, sentences):
        yield _moved(document, indexes, cut)


def _moved(document: Document, indexes: range, cut: Cut) -> Document:
    found = list(spots(document))
    messages: list[Message] = list(document.messages)
    changing: list[str] = []
    for index in indexes:
        mine = [spot for spot in found if spot.message == index]
        text = messages[index].content or ""
        kept, moved = _parted(text, cut(text), [(spot.start, spot.end) for spot in mine])
        messages[index] = replace(messages[index], content=kept)
        changing += moved
    last = messages[indexes[-1]]
    parts = [(last.content or "").rstrip(), *changing]
    messages[indexes[-1]] = replace(last, content="\n\n".join(part for part in parts if part))
    kept_messages = (m for i, m in enumerate(messages) if i not in indexes or m.content or m.tool_calls)
    return replace(document, messages=tuple(kept_messages))


def _parted(text: str, pieces: list[tuple[int, int]], taken: list[tuple[int, int]]) -> tuple[str, list[str]]:
    """The text without the pieces that hold a place taken, and those pieces."""
    moved = [(a, b) for a, b in pieces if any(a < end and start < b for start, end in taken)]
    kept, last = "", 0
    for start, end in moved:
        # The white space after a piece goes with it, but for the one piece that ends the text.
        kept += text[last:start]
        last = end + len(text[end:]) - len(text[end:].lstrip())
    return (kept + text[last:]).rstrip() if moved else text, [text[a:b] for a, b in moved]


def _paragraphs(text: str) -> list[tuple[int, int]]:
    return _between(text, [match.span() for match in _BLANK.finditer(text)])


def _lines(text: str) -> list[tuple[int, int]]:
    return _between(text, [(at, at + 1) for at, letter in enumerate(text) if letter == "\n"])


def _between(text: str, gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    starts = [0, *(end for _, end in gaps)]
    ends = [*(start for start, _ in gaps), len(text)]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if text[start:end].strip()]

"""A better order for a prompt: what varies goes below what stays, as one step that is shown before it is made.

Nothing is reworded: sentences and lines are moved whole, white space at line ends is trimmed, tools are sorted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from playground.prefix.sentences import unit_around
from playground.prefix.view import view_of_document
from playground.prefix.volatile import find_volatile
from playground.prefix.volatile_scan import spans
from playground.prompt.document import Document, Message
from playground.prompt.variables import places

_TRAILING = re.compile(r"[ \t\u00a0\u200b\ufeff]+(?=\n|$)")
_UNSEEN = re.compile("[\u200b\u2060\ufeff]")


@dataclass(frozen=True, slots=True)
class Mend:
    """One proposal. `after` is the whole document as it would be; `moved` are the pieces that change their place."""

    title: str
    why: str
    after: Document
    moved: tuple[str, ...] = ()


def proposals(document: Document) -> tuple[Mend, ...]:
    """What would lengthen the part that every request of this prompt shares; the most cautious first.

    Empty where nothing in the stable part varies. Each lengthens the stable part, and is not proposed again after.
    """
    before = stable_length(document)
    found = []
    for mend in (*_moves(document), *_trims(document)):
        trimmed = not mend.moved
        if mend.after != document and (trimmed or stable_length(mend.after) > before):
            found.append(mend)
    return tuple(found)


def sorted_tools(document: Document) -> Mend | None:
    """The tools by name, for a catalogue whose order differed from an earlier request's; None where it is sorted."""
    tools = tuple(sorted(document.tools, key=lambda tool: tool.name))
    if tools == document.tools:
        return None
    why = "A catalogue in another order is another prefix: by name, it is the same whoever puts it together."
    return Mend("Sort the tools by name", why, replace(document, tools=tools))


def stable_length(document: Document) -> int:
    """Code points of the cache's view before the first variable or volatile value (sure ones only)."""
    view = view_of_document(document)
    ends = [volatile.place for volatile in find_volatile(view) if volatile.sure]
    if view.first_variable is not None:
        ends.append(view.first_variable)
    return min(ends, default=len(view.view.text))


def _moves(document: Document) -> Iterator[Mend]:
    units = _varying(document)
    pieces = tuple(piece.strip() for index, cuts in units.items() for piece in _pieces(document, index, cuts))
    kept = _kept(document, units)
    if not pieces or not kept:
        return
    tail = document.messages[len(units) :]
    below = replace(kept[-1], content=_below(kept[-1].content or "", pieces))
    name = "message" if kept[-1].role == "user" else "system message"
    end = replace(document, messages=(*kept[:-1], below, *tail))
    yield Mend(
        f"Move to the end of the {name}",
        "What varies no longer cuts the text behind it off from the cache.",
        end,
        pieces,
    )
    if kept[-1].role == "user":
        return
    own = replace(document, messages=(*kept, Message("system", "\n".join(pieces)), *tail))
    yield Mend("Split into a message of its own", "The stable text stays the same in every request.", own, pieces)
    asked = [at for at, message in enumerate(tail) if message.role == "user"]
    if asked:
        question = tail[asked[-1]]
        text = "\n".join((*pieces, question.content or ""))
        changed = (*kept, *tail[: asked[-1]], replace(question, content=text), *tail[asked[-1] + 1 :])
        why = "History stays in the prefix too: only this turn is fresh."
        yield Mend("Move in front of the question", why, replace(document, messages=changed), pieces)


def _leading(document: Document) -> int:
    """How many messages are looked at: the system messages at the start, or the only message there is."""
    if len(document.messages) == 1:
        return 1
    roles = [message.role for message in document.messages]
    return next((at for at, role in enumerate(roles) if role != "system"), len(roles))


def _varying(document: Document) -> dict[int, list[tuple[int, int]]]:
    """What is to be moved from each of the leading messages: code points [start, end), in order."""
    units = {}
    for index, message in enumerate(document.messages[: _leading(document)]):
        content = message.content or ""
        found = [(place.start, place.end) for place in places(content)]
        found += [(start, end) for _, start, end, sure in spans(content) if sure]
        units[index] = _merged([unit_around(content, start, end) for start, end in sorted(found)])
    return units


def _pieces(document: Document, index: int, cuts: list[tuple[int, int]]) -> Iterator[str]:
    content = document.messages[index].content or ""
    return (content[start:end] for start, end in cuts)


def _kept(document: Document, units: dict[int, list[tuple[int, int]]]) -> list[Message]:
    """The leading messages without their pieces; one that had nothing else is gone."""
    kept = []
    for index, cuts in units.items():
        message = document.messages[index]
        rest = _without(message.content or "", cuts)
        if not cuts:
            kept.append(message)
        elif rest.strip():
            kept.append(replace(message, content=rest.rstrip("\n")))
    return kept


def _merged(units: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in units:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(content: str, units: list[tuple[int, int]]) -> str:
    kept, last = [], 0
    for start, end in units:
        kept.append(content[last:start])
        last = end
    return "".join((*kept, content[last:]))


def _below(rest: str, pieces: tuple[str, ...]) -> str:
    return "\n".join((rest.rstrip("\n"), *pieces))


def _trims(document: Document) -> Iterator[Mend]:
    messages = tuple(_trimmed(message) for message in document.messages)
    if messages != document.messages:
        why = "White space that nobody sees is part of the prefix: one tool that trims it, and the cache misses."
        yield Mend("Trim what nobody sees", why, replace(document, messages=messages))


def _trimmed(message: Message) -> Message:
    if message.role != "system" or not message.content:
        return message
    return replace(message, content=_UNSEEN.sub("", _TRAILING.sub("", message.content)))

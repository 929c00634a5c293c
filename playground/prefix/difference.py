"""The first difference of two requests, in the terms of a prompt: a text edited, a message put in, moved or taken out,
the tools changed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from playground.prefix.common import common_prefix, common_suffix
from playground.prefix.view import CacheView, Part, PartKind
from playground.prefix.visible import code_points, quoted, same_to_the_eye, snippet

Shape = Literal["text", "structure", "order", "tools"]
CONTEXT = 12
"""Code points of the word around a difference that are shown on each side at most."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where and how `now` leaves `earlier`: at code point `shared` of both views, in `part` of `now` at `offset`.

    `before` and `after` are the characters that differ, raw; `around` the same with the word they stand in. `words`
    says it. For a structure (messages, tools) both are empty.
    """

    shape: Shape
    shared: int
    part: Part
    offset: int
    words: str
    before: str = ""
    after: str = ""
    around: tuple[str, str] = ("", "")


def difference(now: CacheView, earlier: CacheView) -> Difference | None:
    """The first difference; None where one's text begins with the whole of the other's."""
    shared = common_prefix(now.text, earlier.text)
    here, there = now.locate(shared), earlier.locate(shared)
    if here is None or there is None or shared >= min(len(now.text), len(earlier.text)):
        return None
    (part, offset), (other, _) = here, there
    if "tool" in (part.kind, other.kind):
        return Difference("tools", shared, part, offset, _tool_words(now, earlier))
    moved = _message_words(now, earlier, min(part.index, other.index))
    if moved is not None:
        return Difference(moved[0], shared, part, offset, moved[1])
    if part.kind != other.kind:
        return Difference("structure", shared, part, offset, f"the earlier request had {_kind_words(other.kind)} here")
    return _text_difference(
        now.text[part.start : part.end - 1], earlier.text[other.start : other.end - 1], part, shared
    )


def _text_difference(now: str, earlier: str, part: Part, shared: int) -> Difference:
    offset = shared - part.start
    same = common_suffix(now, earlier, min(len(now), len(earlier)) - offset)
    before, after = earlier[offset : len(earlier) - same], now[offset : len(now) - same]
    left = _word_before(now[:offset])
    rest = now[len(now) - same :]
    right = _word_after(rest)
    around = (left + before + right, left + after + right)
    return Difference("text", shared, part, offset, _text_words(before, after, around, rest), before, after, around)


def _word_before(text: str) -> str:
    tail = text[-CONTEXT:]
    return "" if tail[-1:].isspace() else (tail.split() or [""])[-1]


def _word_after(text: str) -> str:
    head = text[:CONTEXT]
    return "" if head[:1].isspace() else (head.split() or [""])[0]


def _text_words(before: str, after: str, around: tuple[str, str], rest: str) -> str:
    if not before:
        where = f" was put in front of {quoted(rest, 24)}" if rest else " was added at the end"
        return quoted(after) + where + _only(before, after)
    if not after:
        where = f" in front of {quoted(rest, 24)}" if rest else " at the end"
        return f"{quoted(before)} was taken out{where}" + _only(before, after)
    return f"{quoted(around[0])} became {quoted(around[1])}" + _only(before, after)


def _only(before: str, after: str) -> str:
    """What makes a difference easy to overlook."""
    if not (before + after).strip():
        return " (only white space)"
    if before.casefold() == after.casefold():
        return " (only upper and lower case)"
    if same_to_the_eye(before, after):
        points = " became ".join(filter(None, (code_points(before), code_points(after))))
        return f" (the same to the eye: {points})"
    return ""


def _kind_words(kind: PartKind) -> str:
    names = {
        "role": "the next message",
        "content": "text",
        "tool_calls": "tool calls",
        "tool_call_id": "a tool call's id",
        "extra": "other fields",
    }
    return names.get(kind, kind)


def _message_words(now: CacheView, earlier: CacheView, index: int) -> tuple[Shape, str] | None:
    """Messages that were moved, put in or taken out at `index`; None where message `index` itself was edited."""
    mine, theirs = _texts(now, tools=False), _texts(earlier, tools=False)
    if Counter(mine) == Counter(theirs):
        return "order", "the messages stand in another order"
    here, there = mine[index:], theirs[index:]
    if there and there[0] in here:
        return "structure", f"{_messages(here.index(there[0]))} put in"
    if here and here[0] in there:
        return "structure", f"{_messages(there.index(here[0]))} taken out"
    return None


def _messages(count: int) -> str:
    return "a message was" if count == 1 else f"{count} messages were"


def _texts(view: CacheView, *, tools: bool) -> list[str]:
    """The text of each tool, or of each message."""
    texts: dict[int, str] = {}
    for part in view.parts:
        if (part.kind == "tool") == tools:
            texts[part.index] = texts.get(part.index, "") + view.text[part.start : part.end]
    return list(texts.values())


def _tool_words(now: CacheView, earlier: CacheView) -> str:
    mine, theirs = _texts(now, tools=True), _texts(earlier, tools=True)
    if Counter(mine) == Counter(theirs):
        return "the tools stand in another order"
    if not mine or not theirs:
        return "tools were added" if mine else "the tools were taken out"
    names = [[_tool_name(text) for text in texts] for texts in (mine, theirs)]
    come = [name for name in names[0] if name not in names[1]]
    gone = [name for name in names[1] if name not in names[0]]
    changed = [name for name, text in zip(names[0], mine, strict=True) if name in names[1] and text not in theirs]
    said = ((come, "added"), (gone, "taken out"), (changed, "changed"))
    words = (f"{', '.join(found)} {'was' if len(found) == 1 else 'were'} {word}" for found, word in said if found)
    return "; ".join(words) or "the tools changed"


def _tool_name(text: str) -> str:
    """A tool's name, or the beginning of its text where it has none."""
    try:
        value = json.loads(text.removesuffix("\x1e"))
        return str(value["function"]["name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return snippet(text, 24)

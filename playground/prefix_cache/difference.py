"""The first difference of two requests, in the terms of a prompt: a text edited, a value that varies, a message put
in, moved or taken out, the tools changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from playground.prefix_cache.causes import Cause
from playground.prefix_cache.structure import messages_moved, tool_words
from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.value_kinds import ValueChange, ValueKind, value_change
from playground.prefix_cache.view import CacheView, PartKind, ViewPart
from playground.prefix_cache.visible import code_points, quoted, same_to_the_eye, without_unseen

Shape = Literal["text", "structure", "order", "tools"]
CONTEXT = 12
"""Maximum code points of the word around a difference shown on each side."""
NEAR = 16
"""Code points after a difference in spelling only that must agree, whatever else differs further on."""


_CAUSES: dict[ValueKind, Cause] = {
    "date": "date",
    "time": "time",
    "number": "number",
    "counter": "number",
    "uuid": "uuid",
    "identifier": "uuid",
    "contact": "name",
    "name": "name",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where and how `now` leaves `earlier`: at code point `shared` of both views, in `part` of `now` at `offset`.

    `before` and `after` are the characters that differ, raw; `around` the same with the word or the value they are
    in. `words` describes it, `cause` names it. For a structure (messages, tools) both texts are empty. `tool` is the
    index of the first tool that differs.
    """

    shape: Shape
    cause: Cause
    shared: int
    part: ViewPart
    offset: int
    words: str
    before: str = ""
    after: str = ""
    around: tuple[str, str] = ("", "")
    tool: int | None = None


def difference(now: CacheView, earlier: CacheView) -> Difference | None:
    """The first difference; None if one's text begins with the whole of the other's."""
    shared = common_prefix(now.text, earlier.text)
    here, there = now.locate(shared), earlier.locate(shared)
    if here is None or there is None or shared >= min(len(now.text), len(earlier.text)):
        return None
    (part, offset), (other, _) = here, there
    if "tool" in (part.kind, other.kind):
        tool = part.index if part.kind == "tool" else other.index
        return Difference("tools", "tools", shared, part, offset, tool_words(now, earlier), tool=tool)
    moved = messages_moved(now, earlier, min(part.index, other.index))
    if moved is not None:
        shape: Shape = "order" if moved.move == "order" else "structure"
        return Difference(shape, moved.move, shared, part, offset, moved.words)
    if part.kind != other.kind:
        words = f"the earlier request had {_kind_words(other.kind)} here"
        return Difference("structure", "edited", shared, part, offset, words)
    mine, theirs = now.text[part.start : part.end - 1], earlier.text[other.start : other.end - 1]
    return _text_difference(mine, theirs, part, shared)


def _text_difference(now: str, earlier: str, part: ViewPart, shared: int) -> Difference:
    offset = shared - part.start
    same = common_suffix(now, earlier, min(len(now), len(earlier)) - offset)
    before, after = earlier[offset : len(earlier) - same], now[offset : len(now) - same]
    rest = now[len(now) - same :]
    left, right = _word_before(now[:offset]), _word_after(rest)
    around = (left + before + right, left + after + right)
    cause: Cause = "spacing" if _spelling_only(now, earlier, offset, before, after) else "edited"
    value = value_change(now, earlier, offset) if cause == "edited" and part.kind != "role" else None
    kind = _cause_of(value) if value is not None else None
    if value is None or kind is None:
        words = _text_words(before, after, around, rest)
        return Difference("text", cause, shared, part, offset, words, before, after, around)
    if value.before and value.after:
        around = (value.before, value.after)
    return Difference(
        "text", kind, shared, part, offset, _text_words(before, after, around, rest), before, after, around
    )


def _cause_of(value: ValueChange) -> Cause | None:
    """Return the cause that a changed value is; None for plain text. An identifier of digits is a number."""
    if value.kind == "identifier" and not any(character.isalpha() for character in value.before + value.after):
        return "number"
    return _CAUSES.get(value.kind)


def _word_before(text: str) -> str:
    tail = text[-CONTEXT:]
    return "" if tail[-1:].isspace() else (tail.split() or [""])[-1]


def _word_after(text: str) -> str:
    head = text[:CONTEXT]
    return "" if head[:1].isspace() else (head.split() or [""])[0]


def _text_words(before: str, after: str, around: tuple[str, str], rest: str) -> str:
    if not before:
        where = f" was inserted before {quoted(rest, 24)}" if rest else " was added at the end"
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


def _spelling_only(now: str, earlier: str, offset: int, before: str, after: str) -> bool:
    """Whether the first difference is one of white space, case, or what cannot be seen, and the text goes on."""
    if _only(before, after):
        return True
    # Back over what may belong to the difference: a space that both have, a letter that takes an accent.
    start = max(offset - 2, 0)
    mine, theirs = (_plain(text[start : offset + 3 * NEAR]) for text in (now, earlier))
    ends = mine == theirs and len(now) - offset < NEAR and len(earlier) - offset < NEAR
    return ends or (common_prefix(mine, theirs) >= NEAR)


def _plain(text: str) -> str:
    return "".join(character for character in without_unseen(text).casefold() if not character.isspace())


def _kind_words(kind: PartKind) -> str:
    names = {
        "role": "the next message",
        "content": "text",
        "tool_calls": "tool calls",
        "tool_call_id": "a tool call's id",
        "extra": "other fields",
    }
    return names.get(kind, kind)

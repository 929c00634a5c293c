"""The first difference of two requests, in the terms of a prompt: a text edited, a value that varies, a message put
in, moved or taken out, the tools changed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal, get_args
from unicodedata import normalize

from msgspec import Struct

from playground.prefix_cache.message_content import joined
from playground.prefix_cache.text_compare import (
    HEAD,
    code_points,
    common_prefix,
    common_suffix,
    in_another_form,
    quoted,
    same_to_the_eye,
    snippet,
    without_unseen,
)
from playground.prefix_cache.value_kinds import ValueChange, ValueKind, value_change
from playground.prefix_cache.view import (
    BASE,
    CLEARED,
    CLEARED_TEXT,
    END,
    MESSAGE_PARTS,
    MOVING_ORDERS,
    TURN_MARK,
    TURNS,
    CacheView,
    Order,
    PartKind,
    ViewPart,
    view_of_parts,
)
from playground.prompt.document import Json

TextCause = Literal[
    "edited", "spacing", "date", "time", "number", "uuid", "name", "variable", "order", "removed", "added", "tools"
]
Cause = Literal[TextCause, "parameters", "first", "idle", "minimum", "server", "unreported", "implausible", "unknown"]
TITLES: dict[Cause, str] = {
    "edited": "Edit",
    "spacing": "White space or case",
    "date": "Date",
    "time": "Time",
    "number": "Number",
    "uuid": "Identifier",
    "name": "Name",
    "variable": "Value",
    "order": "Messages reordered",
    "removed": "Messages removed",
    "added": "Messages inserted",
    "tools": "Tools changed",
    "parameters": "Parameters changed",
    "first": "New prompt: nothing cached",
    "idle": "Idle for too long",
    "minimum": "Below what this server caches",
    "server": "The server, not the text",
    "unreported": "Cached not reported",
    "implausible": "The report cannot be right",
    "unknown": "Cause not known",
}

IN_THE_PROMPT: frozenset[Cause] = frozenset((*get_args(TextCause), "parameters"))
"""Causes that the author of the prompt can fix."""
# Servers may put the wanted output format or tool choice into the prompt, and may keep caches apart by model, user or
# salt. Which do is not published, so every field may matter that is not known to bear on the answer only.
COMPARED_ELSEWHERE = frozenset(("messages", "tools", "stream", "stream_options"))
HARMLESS = COMPARED_ELSEWHERE.union(
    (
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "metadata",
        "store",
    )
)
"""What is compared elsewhere, and what only bears on how the answer is drawn and sent."""

Parameters = tuple[tuple[str, str], ...]
"""Name and value, as compact JSON, of each field that may matter; sorted by name."""


def that_may_matter(fields: Mapping[str, Json]) -> Parameters:
    """Return the parameters among a request's fields. A null field counts as absent."""
    return parameters_of({name: value for name, value in fields.items() if name not in HARMLESS})


def parameters_of(fields: Mapping[str, Json]) -> Parameters:
    """Return names and values of fields. A null field counts as absent."""
    chosen = ((name, value) for name, value in fields.items() if value is not None)
    return tuple(sorted((str(name), _compact(value)) for name, value in chosen))


def differing(now: Parameters, earlier: Parameters) -> list[str]:
    """Return the names of the parameters that differ, sorted."""
    mine, theirs = dict(now), dict(earlier)
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def changed(now: Parameters, earlier: Parameters, shared: Set[str] = frozenset()) -> tuple[str, ...]:
    """One clause for each parameter that differs: "tool_choice: "auto" became "none"".

    `shared`: parameters that do not keep prompts apart, as reports have shown.
    """
    mine, theirs = dict(now), dict(earlier)
    names = (name for name in differing(now, earlier) if name not in shared)
    return tuple(_clause(name, theirs.get(name), mine.get(name)) for name in names)


def _clause(name: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"{name} was added ({snippet(after or '')})"
    return f"{name} was left out" if after is None else f"{name}: {snippet(before)} became {snippet(after)}"


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


Move = Literal["order", "removed", "added", "edited"]
_LINES = re.compile(r"\n|(?<=[.!?])\s+")
SAME = 0.5
"""Of the shorter of two messages: what both have in common at least, for one to be an edit of the other."""


def messages_moved(now: CacheView, earlier: CacheView, index: int) -> tuple[Move, str] | None:
    """Return what happened to the messages from `index` on, and the words for it; None if that message itself was
    edited."""
    mine, theirs = _texts(now, tools=False), _texts(earlier, tools=False)
    if Counter(mine) == Counter(theirs):
        return "order", "the messages are in another order"
    here, there = mine[index:], theirs[index:]
    come, gone = _first_change(here, there)
    if (come and _left(come, there, here)) or (gone and _left(gone, here, there)):
        return "order", "the messages are in another order"
    if not gone:
        return ("added", f"{_messages(len(come))} put in") if come else None
    if not come:
        return "removed", f"{_messages(len(gone))} taken out"
    if len(come) == len(gone) or edited(come[0], gone[0]):
        return None
    if len(there) == len(gone) == 1 and edited(come[-1], gone[0]):
        return "added", f"{_messages(len(come) - 1)} put in before the last one"
    if len(here) == len(come) and len(there) == len(gone):
        return "edited", "another conversation begins here"  # nothing after the prefix is shared
    if len(come) < len(gone):
        return "removed", f"{_messages(len(gone))} taken out, {_messages(len(come))} put in their place"
    return None


def _first_change(mine: Sequence[str], theirs: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the messages that were added and removed at the first place where both lists differ."""
    matcher = SequenceMatcher(None, theirs, mine, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            return mine[k:m], theirs[i:j]
    return (), ()


def _left(moved: Sequence[str], here: Sequence[str], there: Sequence[str]) -> bool:
    """Return whether all of `moved`, at this position in `there`, occur elsewhere in `here`."""
    have, need = Counter(here), Counter(there)
    return all(have[text] >= need[text] for text in moved)


def edited(one: str, other: str) -> bool:
    """Return whether one message is an edit of the other: by its ends, or by lines if several places differ."""
    shorter = min(len(one), len(other))
    start = common_prefix(one, other)
    if start + common_suffix(one, other, shorter - start) >= SAME * shorter:
        return True
    shared = Counter(_LINES.split(one)) & Counter(_LINES.split(other))
    if sum(len(line) * times for line, times in shared.items()) >= SAME * shorter:
        return True
    return same_to_the_eye(one, other) or in_another_form(one, other)


def _messages(count: int) -> str:
    return "a message was" if count == 1 else f"{count} messages were"


def _texts(view: CacheView, *, tools: bool) -> list[str]:
    """Return the text of each tool, or of each message."""
    texts: dict[int, str] = {}
    for part in view.parts:
        if (part.kind == "tool") == tools:
            texts[part.index] = texts.get(part.index, "") + view.text[part.start : part.end]
    return list(texts.values())


def tool_words(now: CacheView, earlier: CacheView) -> str:
    """Return how the tools changed, by name."""
    mine, theirs = _texts(now, tools=True), _texts(earlier, tools=True)
    if Counter(mine) == Counter(theirs):
        return "the tools are in another order"
    if not mine or not theirs:
        return "tools were added" if mine else "the tools were removed"
    before, after = ({_tool_name(text): text for text in texts} for texts in (theirs, mine))
    come = [name for name in after if name not in before]
    gone = [name for name in before if name not in after]
    changed = [name for name, text in after.items() if before.get(name, text) != text]
    reordered = [name for name in changed if _same_value(before[name], after[name])]
    changed = [name for name in changed if name not in reordered]
    said = (
        (come, "added"),
        (gone, "taken out"),
        (changed, "changed"),
        (reordered, "written another way, meaning the same"),
    )
    words = (f"{', '.join(found)} {'was' if len(found) == 1 else 'were'} {word}" for found, word in said if found)
    return "; ".join(words) or "the tools changed"


def _tool_name(text: str) -> str:
    """Return a tool's name, or the beginning of its text if it has none."""
    try:
        value = json.loads(text.removesuffix(END))
        return str(value["function"]["name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return snippet(text, 24)


def _same_value(one: str, other: str) -> bool:
    """Whether two JSON texts differ only in the order of their keys or in white space."""
    try:
        return bool(json.loads(one.removesuffix(END)) == json.loads(other.removesuffix(END)))
    except (ValueError, RecursionError):
        return False


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


class Difference(Struct, frozen=True):
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


def unrelated(now: CacheView, earlier: CacheView) -> bool:
    """Return whether two prompts have no text or tool in common, and neither first message is an edit of the other."""
    (mine, one), (theirs, other) = map(_whole_texts, (now, earlier))
    return mine.isdisjoint(theirs) and not edited(one, other)


def _whole_texts(view: CacheView) -> tuple[set[str], str]:
    """Return the texts of all tools and contents, and the first content."""
    texts = [(part.kind, view.text_of(part)) for part in view.parts if part.kind in ("tool", "content")]
    return {text for _, text in texts}, next((text for kind, text in texts if kind == "content"), "")


def moved_by_template(now: CacheView, earlier: CacheView, order: Order) -> bool:
    """Return whether the first difference is tools or system text in one arranged prompt and another part in the
    other, or that a message of the assistant is in the last turn of one of them only.

    Both prompts have such parts, and only orders that put them at the last user message move them.
    """
    order = BASE.get(order, order)
    if order not in (*CLEARED, *TURNS, *MOVING_ORDERS):
        return False
    shared = common_prefix(now.text, earlier.text)
    here, there = now.locate(shared), earlier.locate(shared)
    if order in TURNS:
        return TURN_MARK in (now.text[shared : shared + 1], earlier.text[shared : shared + 1])
    if here is None or there is None or shared >= min(len(now.text), len(earlier.text)):
        return False
    (part, _), (other, _) = here, there
    if order in CLEARED:
        same = (part.kind, part.index) == (other.kind, other.index)
        return same and CLEARED_TEXT in (now.text_of(part), earlier.text_of(other))
    mine, theirs = _moving(now, order), _moving(earlier, order)
    return bool(mine and theirs) and (part in mine) != (other in theirs)


def _moving(view: CacheView, order: Order) -> set[ViewPart]:
    """Return the tools and, in an order that leaves out their roles, the system messages."""
    roles, system = view.roles, order == "system_last"
    return {part for part in view.parts if part.kind == "tool" or (system and part.index not in roles)}


def rewritten(earlier: CacheView, now: CacheView) -> CacheView | None:
    """Return a canonical earlier prompt, written as `now` writes what means the same; None if nothing differs so.

    Some templates sort the keys of tools, rewrite arguments, cut white space at the ends of messages, and leave
    out ids and other fields. For them such parts are the same text.
    """
    if _continues(now, earlier):
        return None
    mine = {(part.kind, part.index): now.text[part.start : part.end] for part in now.parts}
    parts: list[tuple[PartKind, int, str]] = []
    for (is_tool, index), group in groupby(earlier.parts, key=lambda part: (part.kind == "tool", part.index)):
        theirs = {part.kind: earlier.text[part.start : part.end] for part in group}
        kinds: tuple[PartKind, ...] = ("tool",) if is_tool else MESSAGE_PARTS
        for kind in kinds:
            text, other = theirs.get(kind, ""), mine.get((kind, index), "")
            if kind in ("reasoning", "extra") or (text and other and _means_same(kind, text, other)):
                text = other
            if text:
                parts.append((kind, index, text))
    view = view_of_parts(parts)
    return None if view.text == earlier.text else view


def _continues(now: CacheView, earlier: CacheView) -> bool:
    """Return whether a prompt begins with the whole messages of the earlier one."""
    count = len(earlier.parts)
    if not count or not now.text.startswith(earlier.text) or now.parts[:count] != earlier.parts:
        return False
    return len(now.parts) == count or now.parts[count].index != earlier.parts[-1].index


def _means_same(kind: PartKind, one: str, other: str) -> bool:
    """Return whether a template may render both texts of a part alike."""
    if one == other or kind in ("role", "tool_call_id"):
        return one == other or kind == "tool_call_id"
    one, other = one.removesuffix(END), other.removesuffix(END)
    if kind == "content":
        one, other = joined(one), joined(other)
        return one.strip() == other.strip() or normalize("NFC", one) == normalize("NFC", other)
    try:
        mine, theirs = json.loads(one), json.loads(other)
    except (ValueError, RecursionError):
        return False
    return bool(mine == theirs) if kind == "tool" else _calls(mine) == _calls(theirs)


def _calls(calls: Json) -> list[object]:
    """Return names and arguments of tool calls; ids are rarely rendered."""
    found: list[object] = []
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            found.append(call)
            continue
        arguments = function.get("arguments")
        try:
            found.append((function.get("name"), json.loads(arguments) if isinstance(arguments, str) else arguments))
        except (ValueError, RecursionError):
            found.append((function.get("name"), arguments))
    return found


def difference(now: CacheView, earlier: CacheView) -> Difference | None:
    """Return the first difference; None if one text begins with the whole of the other."""
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
        shape: Shape = "order" if moved[0] == "order" else "structure"
        return Difference(shape, moved[0], shared, part, offset, moved[1])
    if part.kind != other.kind:
        words = f"the earlier request had {_kind_words(other.kind)} here"
        return Difference("structure", "edited", shared, part, offset, words)
    return _text_difference(now.text_of(part), earlier.text_of(other), part, shared)


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
    """Return a note about a difference that is easy to overlook."""
    if not (before + after).strip():
        return " (only white space)"
    if _same_head(before, after) and before.casefold() == after.casefold():
        return " (only upper and lower case)"
    if same_to_the_eye(before, after):
        points = " became ".join(filter(None, (code_points(before), code_points(after))))
        return f" (the same to the eye: {points})"
    return ""


def _same_head(before: str, after: str) -> bool:
    """Return whether the texts may be equal apart from case: most long texts differ in their first characters."""
    left, right = before[:HEAD].casefold(), after[:HEAD].casefold()
    return left.startswith(right) or right.startswith(left)


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
        "reasoning": "reasoning",
    }
    return names.get(kind, kind)

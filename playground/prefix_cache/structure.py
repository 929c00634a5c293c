"""What became of the messages and the tools of a prompt, as wholes: put in, taken out, moved, changed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.view import CacheView
from playground.prefix_cache.visible import snippet

Move = Literal["order", "removed", "added"]
_LINES = re.compile(r"\n|(?<=[.!?])\s+")
SAME = 0.5
"""Of the shorter of two messages: what both have in common at least, for one to be an edit of the other."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What happened to whole messages, and the words for it."""

    move: Move
    words: str


def messages_moved(now: CacheView, earlier: CacheView, index: int) -> Moved | None:
    """What became of the messages from `index` on; None if that message itself was edited."""
    mine, theirs = _texts(now, tools=False), _texts(earlier, tools=False)
    if Counter(mine) == Counter(theirs):
        return Moved("order", "the messages are in another order")
    here, there = mine[index:], theirs[index:]
    come, gone = _first_change(here, there)
    if (come and _left(come, there, here)) or (gone and _left(gone, here, there)):
        return Moved("order", "the messages are in another order")
    if not gone:
        return Moved("added", f"{_messages(len(come))} put in") if come else None
    if not come:
        return Moved("removed", f"{_messages(len(gone))} taken out")
    if len(come) == len(gone) or _edited(come[0], gone[0]):
        return None
    if len(come) < len(gone):
        return Moved("removed", f"{_messages(len(gone))} taken out, {_messages(len(come))} put in their place")
    return None


def _first_change(mine: Sequence[str], theirs: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The messages that came and those that went at the first place where both lists differ."""
    matcher = SequenceMatcher(None, theirs, mine, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            return mine[k:m], theirs[i:j]
    return (), ()


def _left(moved: Sequence[str], here: Sequence[str], there: Sequence[str]) -> bool:
    """Return whether all of `moved`, at this position in `there`, occur elsewhere in `here`."""
    have, need = Counter(here), Counter(there)
    return all(have[text] >= need[text] for text in moved)


def _edited(one: str, other: str) -> bool:
    """Return whether one message is an edit of the other: by its ends, or by lines if several places differ."""
    shorter = min(len(one), len(other))
    start = common_prefix(one, other)
    if start + common_suffix(one, other, shorter - start) >= SAME * shorter:
        return True
    shared = Counter(_LINES.split(one)) & Counter(_LINES.split(other))
    return sum(len(line) * times for line, times in shared.items()) >= SAME * shorter


def _messages(count: int) -> str:
    return "a message was" if count == 1 else f"{count} messages were"


def _texts(view: CacheView, *, tools: bool) -> list[str]:
    """The text of each tool, or of each message."""
    texts: dict[int, str] = {}
    for part in view.parts:
        if (part.kind == "tool") == tools:
            texts[part.index] = texts.get(part.index, "") + view.text[part.start : part.end]
    return list(texts.values())


def tool_words(now: CacheView, earlier: CacheView) -> str:
    """What became of the tools, by name."""
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
    """A tool's name, or the beginning of its text if it has none."""
    try:
        value = json.loads(text.removesuffix("\x1e"))
        return str(value["function"]["name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return snippet(text, 24)


def _same_value(one: str, other: str) -> bool:
    """Whether two JSON texts differ only in the order of their keys or in white space."""
    try:
        return bool(json.loads(one.removesuffix("\x1e")) == json.loads(other.removesuffix("\x1e")))
    except (ValueError, RecursionError):
        return False

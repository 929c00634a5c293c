"""How a request writes the history of the request that it continues in another way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.alignment import varying_ranges
from playground.prefix_cache.conversations import MessageSpan, is_edit
from playground.prefix_cache.moved_text import reordered_objects
from playground.prefix_cache.text_compare import once
from playground.prefix_cache.view import CacheView, PartKind, ViewPart
from playground.prompt.document import Json

_ORDER: tuple[PartKind, ...] = ("role", "tool_call_id", "reasoning", "content", "tool_calls", "extra")
"""Parts of a message in the order of a view."""
NAMED = 12
"""Code points in front of a difference of tool calls that are quoted with it."""
MAX_COMPARED = 200_000
"""Code points of a message up to which its differences are searched; a longer one differs as a whole."""

MAX_PAIRS = 20_000
"""Pairs of equal messages of two histories up to which any pair may be aligned: the time grows with pairs × changes."""

_MOVED, _LONG_MOVED = 0.75, 120
"""Share of the older messages that are sent again, and code points of those at other places, from which on it is one
finding that their order changed."""

ChangeKind = Literal["edited", "arguments", "call_ids", "inserted", "removed", "truncated", "reordered"]
"""What happened to a text: "arguments": tool calls in another spelling; "call_ids": only their ids differ."""


class HistoryChange(Struct, frozen=True):
    """A place where a request leaves the history of the request that it continues.

    `start`, `end`: code points in the view of the later request; `part` is the part there, `offset` the beginning
    in it. `before`, `after`: the texts that differ; `whole`: they are whole messages. `runs`: code points [from, to)
    behind it, up to the next change, that both requests have.
    """

    kind: ChangeKind
    part: ViewPart
    role: str
    start: int
    end: int
    before: str
    after: str
    runs: tuple[tuple[int, int], ...] = ()
    whole: bool = False

    @property
    def offset(self) -> int:
        """Return the first code point inside the part."""
        return self.start - self.part.start


Messages = Sequence[MessageSpan]


def history_changes(
    earlier: CacheView, now: CacheView, messages: tuple[Messages, Messages], lead: int
) -> tuple[int, list[HistoryChange]]:
    """Return where `now` leaves the messages of `earlier` behind the first `lead` ones, although text that both have
    follows.

    An edit of the last user message, new turns and text that every request repeats at its end are no changes.
    `messages` are those of both views. The first result is the code point of `now` up to which both have the same
    messages behind the first `lead` ones.
    """
    theirs, mine = ([one for one in row if one.index >= lead] for row in messages)
    old, new = ([view.text[m.start : m.end] for m in row] for view, row in ((earlier, theirs), (now, mine)))
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    shared = mine[same - 1].end if same else mine[0].start if mine else len(now.text)
    if same == len(old) or same == len(new):
        return shared, []
    walk = _Walk(earlier, now, theirs, mine)
    theirs_left, mine_left = theirs[same:], mine[same:]
    opcodes = _opcodes(old[same:], new[same:])
    if (moved := _reordered(theirs_left, mine_left, (old[same:], new[same:]), opcodes)) is not None:
        return shared, [moved]
    for tag, i, j, k, m in opcodes:
        if tag != "equal":
            walk.differ(theirs_left[i:j], mine_left[k:m], first=not i and not same)
        elif not (j == len(theirs_left) and m == len(mine_left) and walk.repeats_end):
            for one in mine_left[k:m]:
                walk.run(one.start, one.end)
    return shared, walk.changes()


def _reordered(
    theirs: Messages,
    mine: Messages,
    texts: tuple[Sequence[str], Sequence[str]],
    opcodes: Sequence[tuple[str, int, int, int, int]],
) -> HistoryChange | None:
    """Return one change if most messages are the same ones in another order, such as shuffled examples."""
    old, new = texts
    if (count := _permuted(old, new)) > 0:
        return _moved_messages(mine, range(count), texts)
    left = Counter(old)
    again: list[int] = []
    for at, text in enumerate(new):
        if left[text] > 0:
            left[text] -= 1
            again.append(at)
    common = sum(len(new[at]) for at in again)
    in_place = sum(len(new[at]) for tag, _, _, k, m in opcodes if tag == "equal" for at in range(k, m))
    # The last question is another one.
    rest = sum(map(len, old)) - (len(old[-1]) if theirs[-1].role == "user" and left[old[-1]] > 0 else 0)
    if common - in_place < _LONG_MOVED or common < _MOVED * rest or common - in_place < (1 - _MOVED) * common:
        return None
    return _moved_messages(mine, again, texts)


def _permuted(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many messages a request has again if the first ones have another order, and the others are the same
    or all new; else 0."""
    left: Counter[str] = Counter()
    same = 0
    for count, (theirs, mine) in enumerate(zip(old, new, strict=False), 1):
        for text, change in ((theirs, 1), (mine, -1)):
            left[text] += change
            if not left[text]:
                del left[text]
        same = same if left else count
    is_long = sum(map(len, new[:same])) >= _LONG_MOVED
    return same if is_long and set(old[same:]).isdisjoint(new[same:]) else 0


def _moved_messages(mine: Messages, again: Iterable[int], texts: tuple[Sequence[str], Sequence[str]]) -> HistoryChange:
    """Return the change of the order of messages. `again`: those that the earlier request has, too."""
    runs = tuple((mine[at].start, mine[at].end) for at in again)
    part = next((one for one in mine[0].parts if one.kind == "content"), mine[0].parts[0])
    before, after = (row[0] for row in texts)
    return HistoryChange("reordered", part, mine[0].role, part.start, part.start, before, after, runs, whole=True)


def answer_of(earlier: CacheView, now: CacheView, messages: tuple[Messages, Messages]) -> MessageSpan | None:
    """Return the answer to a request as a later one, which continues it, sends it back; None if it does not."""
    theirs, mine = messages
    if not theirs or len(mine) < 2:
        return None
    last = earlier.text[theirs[-1].start : theirs[-1].end]
    places = [at for at, one in enumerate(mine[:-1]) if now.text[one.start : one.end] == last]
    # The same message may be in a history several times: it is the one that has moved least.
    at = min(places, key=lambda place: abs(place + 1 - len(theirs)), default=None)
    return None if at is None or mine[at + 1].role != "assistant" else mine[at + 1]


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    """Return what is equal and what differs, as `SequenceMatcher` does; fast also if many messages are equal."""
    counts = Counter(new)
    if sum(counts[text] for text in old) <= MAX_PAIRS:
        return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    before, now = once(old), once(new)
    votes = Counter(now[text] - before[text] for text in before.keys() & now.keys())
    shifts = (0, len(new) - len(old), *(shift for shift, _ in votes.most_common(1)))
    rows = [list(_equal_places(old, new, shift)) for shift in shifts]
    best = max(rows, key=len)
    # Repeated messages are equal at many distances: messages have moved only if that explains clearly more.
    chosen = rows[0] if 10 * len(rows[0]) >= 9 * len(best) else best
    found: list[tuple[str, int, int, int, int]] = []
    i = k = 0
    for at, other in (*chosen, (len(old), len(new))):
        if at > i or other > k:
            found.append(("replace", i, at, k, other))
        if at < len(old) and other < len(new):
            first = found.pop() if found and found[-1][0] == "equal" else ("equal", at, at, other, other)
            found.append(("equal", first[1], at + 1, first[3], other + 1))
        i, k = at + 1, other + 1
    return found


def _equal_places(old: Sequence[str], new: Sequence[str], shift: int) -> Iterator[tuple[int, int]]:
    """Yield the places of equal messages of which the later one is `shift` places behind the earlier one."""
    for at in range(max(-shift, 0), min(len(old), len(new) - shift)):
        if old[at] == new[at + shift]:
            yield at, at + shift


class _Walk:
    """Collects the changes in the order of the later prompt."""

    def __init__(self, earlier: CacheView, now: CacheView, theirs: list[MessageSpan], mine: list[MessageSpan]) -> None:
        self._earlier, self._now, self._theirs, self._mine = earlier, now, theirs, mine
        self._found: list[tuple[HistoryChange, list[tuple[int, int]]]] = []
        self.repeats_end = False
        """Whether the newest change puts a new turn in front: equal messages behind it are a repeated end."""

    def run(self, start: int, end: int) -> None:
        """Take text that both have, behind the newest change."""
        if self._found and end > start:
            self._found[-1][1].append((start, end))

    def changes(self) -> list[HistoryChange]:
        """Return the changes with the text behind each."""
        return [replace(one, runs=tuple(runs)) for one, runs in self._found]

    def differ(self, theirs: Sequence[MessageSpan], mine: Sequence[MessageSpan], *, first: bool) -> None:
        """Take messages that were replaced, inserted or removed at one place."""
        self.repeats_end = any(one.role == "assistant" for one in mine)
        at = done = 0
        for number, message in enumerate(mine):
            other = next((k for k in range(at, len(theirs)) if self._same(theirs[k], message)), None)
            if other is None:
                continue
            self._whole(theirs[at:other], mine[done:number], message, first=first and not at)
            self._edited(theirs[other], message)
            at, done = other + 1, number + 1
        following = mine[-1].index + 1 - self._mine[0].index if mine else None
        if following is None:
            behind = next((one for one in self._mine if self._is_next(one, theirs)), None)
        else:
            behind = self._mine[following] if following < len(self._mine) else None
        if behind is not None and (theirs[at:] or mine[done:]):
            self._whole(theirs[at:], mine[done:], behind, first=first and not at)

    def _is_next(self, message: MessageSpan, gone: Sequence[MessageSpan]) -> bool:
        """Whether a message is the one that followed messages that are gone."""
        number = gone[-1].index - self._theirs[0].index + 1
        if number >= len(self._theirs):
            return False
        other = self._theirs[number]
        text = self._earlier.text[other.start : other.end]
        return self._now.text[message.start : message.end] == text

    def _same(self, theirs: MessageSpan, mine: MessageSpan) -> bool:
        if theirs.role != mine.role:
            return False
        one, other = self._earlier.text[theirs.start : theirs.end], self._now.text[mine.start : mine.end]
        if _calls(one) and _calls(other):
            return True
        return is_edit(self._content(self._earlier, theirs), self._content(self._now, mine))

    @staticmethod
    def _content(view: CacheView, message: MessageSpan) -> str:
        """Return the text of a message without role and ids."""
        return "".join(
            view.text[part.start : part.end] for part in message.parts if part.kind not in ("role", "tool_call_id")
        )

    def _whole(
        self, theirs: Sequence[MessageSpan], mine: Sequence[MessageSpan], behind: MessageSpan, *, first: bool
    ) -> None:
        """Take whole messages that were inserted or removed in front of `behind`."""
        if not theirs and not mine:
            return
        kind: ChangeKind = "inserted"
        if theirs:
            conversation = any(one.role not in ("system", "developer") for one in theirs)
            kind = "truncated" if first and conversation and len(theirs) > len(mine) else "removed"
            if mine and kind == "removed":
                kind = "edited"
        place = mine[0] if mine else behind
        part = next((one for one in place.parts if one.kind == "content"), place.parts[0])
        end = mine[-1].end if mine else part.start
        before, after = (
            "\n".join(view.text_of(part) for one in row for part in one.parts if part.kind != "role")
            for view, row in ((self._earlier, theirs), (self._now, mine))
        )
        self._found.append((HistoryChange(kind, part, place.role, part.start, end, before, after, whole=True), []))

    def _edited(self, theirs: MessageSpan, mine: MessageSpan) -> None:
        """Take one message that was written in another way, part by part."""
        if mine is self._mine[-1] and (mine.role == "user" or theirs is self._theirs[-1]):
            return
        old, new = ({part.kind: part for part in one.parts} for one in (theirs, mine))
        at = mine.start
        for kind in dict.fromkeys((*_ORDER, *old, *new)):
            other = old.get(kind)
            if kind not in new and other is None:
                continue
            part = new.get(kind, ViewPart(kind, mine.index, at, at))
            after = self._now.text[part.start : max(part.end - 1, part.start)]
            before = "" if other is None else self._earlier.text_of(other)
            if other is not None and before == after:
                self.run(part.start, part.end)
            else:
                self._part(part, mine.role, before, after)
            at = part.end

    def _part(self, part: ViewPart, role: str, before: str, after: str) -> None:
        last = part.start
        kind = _change_kind(part.kind, before, after)
        for start, end, old, new in _ranges(part.kind, before, after):
            self.run(last, part.start + start)
            place = part.start + start
            self._found.append((HistoryChange(kind, part, role, place, part.start + end, old, new), []))
            last = part.start + end
        self.run(last, part.end)


def _calls(text: str) -> bool:
    """Whether the text of a message has tool calls."""
    return '"arguments":' in text


def _ranges(kind: PartKind, before: str, after: str) -> Iterator[tuple[int, int, str, str]]:
    """Yield code points [from, to) of `after` that differ, with both texts."""
    if not before or not after or max(len(before), len(after)) > MAX_COMPARED or kind == "tool_call_id":
        yield 0, len(after), before, after
        return
    same_order, objects = reordered_objects([after, before]) if kind != "tool_calls" else ([], [])
    if objects:
        rows = [(one.start, one.end, one.wholes[1], one.wholes[0]) for one in objects]
        rows += [(one.start, one.end, one.values[-1], one.values[0]) for one in varying_ranges(same_order)]
        yield from sorted(rows)
        return
    found = varying_ranges([after, before])
    if kind == "tool_calls" and found:
        # What is between two differences in the spelling of JSON is no text of its own.
        start, end = found[0].start, found[-1].end
        first, behind = max(start - NAMED, 0), len(after) - end
        yield start, end, before[first : len(before) - behind], after[first:end]
        return
    for one in found:
        yield one.start, one.end, one.values[-1], one.values[0]


def _change_kind(kind: PartKind, before: str, after: str) -> ChangeKind:
    """Return how a part differs: of tool calls, as JSON, only the spelling, only the ids, or more."""
    if kind == "tool_call_id":
        return "call_ids"
    if kind != "tool_calls":
        return "edited"
    try:
        old, new = json.loads(before), json.loads(after)
        if _functions(old, spelled=True) == _functions(new, spelled=True):
            return "call_ids"
        return "arguments" if _functions(old, spelled=False) == _functions(new, spelled=False) else "edited"
    except (ValueError, TypeError, AttributeError, RecursionError):
        return "edited"


def _functions(calls: Sequence[Mapping[str, Json]], *, spelled: bool) -> list[Json]:
    found: list[Json] = []
    for call in calls:
        function = call.get("function")
        fields = dict(function) if isinstance(function, dict) else {}
        arguments = fields.get("arguments")
        if not spelled and isinstance(arguments, str):
            fields["arguments"] = json.loads(arguments)
        found.append(fields)
    return found

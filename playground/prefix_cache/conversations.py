"""Which earlier request a request continues or edits, and how it writes the history of that request in another way."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.alignment import varying_ranges
from playground.prefix_cache.difference import edited
from playground.prefix_cache.json_order import reordered_objects
from playground.prefix_cache.message_content import is_text_part, part_at
from playground.prefix_cache.moved_text import moved_share
from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.view import END, CacheView, PartKind, ViewPart, bare_text
from playground.prompt.document import Json

USER, BARE = 2.0, 0.5
"""Weight of a user message; share of the weight of a message that is equal without its ids."""
ABSENT = 0.25
"""Share of the weight of the earlier request's other messages that is taken from its score."""
NEWEST = 32
"""Newest requests with a message that are candidates."""
NEAR = 24
"""Newest requests whose messages are compared one by one, if too few are equal."""
ENOUGH = 240
"""Code points of such messages from which on they tell one conversation from another with the same phrases."""
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


class MessageSpan(Struct, frozen=True):
    """One message of a prompt. `start`, `end`: code points in its view."""

    index: int
    role: str
    start: int
    end: int
    parts: tuple[ViewPart, ...]


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


def messages_of(view: CacheView) -> list[MessageSpan]:
    """Return the messages of a canonical view."""
    rows: dict[int, list[ViewPart]] = {}
    for part in view.parts:
        if part.kind != "tool":
            rows.setdefault(part.index, []).append(part)
    return [
        MessageSpan(index, _role(view, parts), parts[0].start, parts[-1].end, tuple(parts))
        for index, parts in rows.items()
    ]


def _role(view: CacheView, parts: Sequence[ViewPart]) -> str:
    first = parts[0]
    return view.text[first.start : first.end - 1] if first.kind == "role" else ""


class HistoryText(Struct, frozen=True):
    """A message in the forms that are compared with other messages. `bare`: without ids, arguments in one spelling."""

    role: str
    text: str
    bare: str
    weight: float
    """How much an equal message says about the conversation: tools return the same in many of them."""


def history_texts(view: CacheView, messages: Sequence[MessageSpan], first: int) -> list[HistoryText]:
    """Return the messages of a view from number `first` on."""
    found = []
    for one in messages:
        if one.index >= first:
            text = view.text[one.start : one.end]
            called = any(part.kind in ("tool_calls", "tool_call_id") for part in one.parts)
            bare = "".join(_bare(view, part) for part in one.parts) if called else text
            found.append(HistoryText(one.role, text, bare, USER if one.role == "user" else 1.0))
    return found


def _bare(view: CacheView, part: ViewPart) -> str:
    if part.kind in ("tool_call_id", "extra", "reasoning"):
        return ""
    return bare_text(part.kind, view.text[part.start : part.end - 1]) + END


class PredecessorFinder:
    """Finds the earlier request whose history a request shares most. Takes the requests of one program, oldest first.

    Messages count, not their position: a history that was cut, edited or put behind other text is found.
    """

    def __init__(self) -> None:
        self._having: dict[str, deque[int]] = {}
        self._histories: dict[int, tuple[HistoryText, ...]] = {}
        self._weights: dict[int, float] = {}
        self._newest: deque[int] = deque(maxlen=NEAR)
        self._whole: dict[int, int] = {}

    def find(self, history: Sequence[HistoryText]) -> int | None:
        """Return the number of the earlier request; None for the first request of a conversation."""
        # Sent again, or one turn more: whatever other conversations have, such as the same questions in another order.
        again = self._whole.get(_digest(history)) if len(history) > 1 else None
        if again is not None or (again := self._whole.get(_digest(_without_newest_turn(history)))) is not None:
            return again
        whole, bare = self._shared(history)
        # Many conversations have the same questions: only requests that are newer than the newest one that is
        # all in this history can be this conversation with other ids.
        contained = (number for number, weight in whole.items() if weight >= self._weights[number])
        newest = max(contained, default=-1)
        best, most = None, 0.0
        shared: dict[int, float] = {}
        for number in whole.keys() | bare.keys():
            if len(history) == 1 and self._histories[number][0] != history[0]:
                continue  # another conversation has this question later
            if _begins_anew(self._histories[number], history):
                continue
            weight = whole.get(number, 0.0) + (bare.get(number, 0.0) if number > newest else 0.0)
            shared[number] = weight
            score = weight - ABSENT * max(self._weights[number] - weight, 0.0)
            if score > 0 and (score, number) > (most, -1 if best is None else best):
                best, most = number, score
        mine = sum(one.weight for one in history)
        if best is not None:
            # A short window of the history may have nothing but the newest message of the request before.
            goes_on = any(one.text == self._histories[best][-1].text for one in history[:-1])
            if goes_on or 2 * shared[best] >= min(self._weights[best], mine):
                return self._rewritten(history, best, bare)
        return self._alike(history) if len(history) > 1 else None

    def _rewritten(self, history: Sequence[HistoryText], best: int, bare: Iterable[int]) -> int:
        """Return a longer and newer request of the conversation of `best` that only writes tool calls in another way.

        Its tool results have the same ids, so it is no other conversation with the same questions.
        """
        texts, bares = {one.text for one in history}, {one.bare for one in history}
        for number in bare:
            theirs = self._histories[number]
            if (
                number > best
                and len(theirs) > len(self._histories[best])
                and any(one.role == "tool" and one.text in texts for one in theirs)
                and all(one.text in texts or (one.role == "assistant" and one.bare in bares) for one in theirs)
            ):
                best = number
        return best

    def _shared(self, history: Sequence[HistoryText]) -> tuple[dict[int, float], dict[int, float]]:
        """Return the weight of the messages that earlier requests have too: equal ones, and those equal without ids."""
        whole: dict[int, float] = {}
        bare: dict[int, float] = {}
        for one in dict.fromkeys(history):
            same = set(self._having.get(one.text, ()))
            for number in same:
                whole[number] = whole.get(number, 0.0) + one.weight
            for number in set(self._having.get(one.bare, ())) - same if one.bare != one.text else ():
                bare[number] = bare.get(number, 0.0) + one.weight * BARE
        return whole, bare

    def add(self, number: int, history: Sequence[HistoryText]) -> None:
        """Take a request in."""
        self._histories[number] = tuple(history)
        self._weights[number] = sum(one.weight for one in dict.fromkeys(history))
        self._newest.append(number)
        if history:
            self._whole[_digest(history)] = number
        for text in {text for one in history for text in (one.text, one.bare)}:
            self._having.setdefault(text, deque(maxlen=NEWEST)).append(number)

    def _alike(self, history: Sequence[HistoryText]) -> int | None:
        """Return one of the newest requests whose messages are edits of these, one by one; None if there is none."""
        best, most = None, float(ENOUGH)
        for number in self._newest:
            theirs = self._histories[number]
            if not theirs or len(theirs) >= len(history) or not _is_edit(theirs[0], history[0]):
                continue
            pairs = list(zip(theirs, history, strict=False))
            alike = sum(mine.weight for other, mine in pairs if _is_edit(other, mine))
            common = sum(_common(*reordered_objects([other.bare, mine.bare])[0]) for other, mine in pairs)
            score = 2 * common - sum(len(other.bare) for other in theirs)
            if 2 * alike >= sum(mine.weight for _, mine in pairs) and score >= most:
                best, most = number, score
        return best


def _without_newest_turn(history: Sequence[HistoryText]) -> Sequence[HistoryText]:
    """Return the history up to the newest answer; nothing if there is none."""
    end = len(history)
    while end and history[end - 1].role != "assistant":
        end -= 1
    while end and history[end - 1].role == "assistant":
        end -= 1
    return history[:end]


def _digest(history: Sequence[HistoryText]) -> int:
    return hash(tuple([one.text for one in history]))


def _begins_anew(theirs: Sequence[HistoryText], history: Sequence[HistoryText]) -> bool:
    """Whether a shorter history begins with another question: a new conversation, whose tools may answer the same."""
    first = next((one for one in history if one.role == "user"), None)
    return len(history) < len(theirs) and first is not None and first not in theirs


def _is_edit(theirs: HistoryText, mine: HistoryText) -> bool:
    return theirs.role == mine.role and _edited(theirs.bare, mine.bare)


def _edited(one: str, other: str) -> bool:
    """Whether a text is an edit of another one, or has blocks or members of a JSON object in another order."""
    if edited(one, other) or ("{" in one and "{" in other and bool(reordered_objects([one, other])[1])):
        return True
    return moved_share(one, other) > 0


def _common(one: str, other: str) -> float:
    """Return the code points that two texts begin and end with, or have in another order."""
    shorter = min(len(one), len(other))
    start = common_prefix(one, other)
    ends = start + common_suffix(one, other, shorter - start)
    return ends if 2 * ends >= shorter else max(ends, moved_share(one, other) * len(one))


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
    runs = tuple((mine[at].start, mine[at].end) for at in again)
    part = next((one for one in mine[0].parts if one.kind == "content"), mine[0].parts[0])
    before, after = old[0], new[0]
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
    before, now = _unique(old), _unique(new)
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


def _unique(texts: Sequence[str]) -> dict[str, int]:
    """Return the places of the texts that occur once."""
    counts = Counter(texts)
    return {text: at for at, text in enumerate(texts) if counts[text] == 1}


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
        return _edited(self._content(self._earlier, theirs), self._content(self._now, mine))

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
            "\n".join(view.text[part.start : part.end - 1] for one in row for part in one.parts if part.kind != "role")
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
            before = "" if other is None else self._earlier.text[other.start : other.end - 1]
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


def field_place(body: Mapping[str, Json], part: ViewPart, offset: int) -> tuple[tuple[str | int, ...], int]:
    """Return the field of a body that code point `offset` of a view's part is in, and the code point in it.

    Of a value that is no text, the place in the innermost text that the code point is in.
    """
    messages = body.get("messages")
    message = messages[part.index] if isinstance(messages, list) and part.index < len(messages) else None
    fields: Mapping[str, Json] = message if isinstance(message, dict) else {}
    name = part.kind
    if name in ("role", "extra", "reasoning") or name not in fields:
        return ("messages", part.index), 0
    path: tuple[str | int, ...] = ("messages", part.index, name)
    value = fields[name]
    if isinstance(value, str):
        return path, offset
    if name == "content" and isinstance(value, list) and (place := part_at(value, offset)) is not None:
        index, offset = place
        part_fields = value[index]
        if isinstance(part_fields, dict) and is_text_part(part_fields):
            return (*path, index, "text"), offset
        return _inside(part_fields, (*path, index), offset)
    return _inside(value, path, offset)


def _inside(value: Json, path: tuple[str | int, ...], offset: int) -> tuple[tuple[str | int, ...], int]:
    """Return the text at a code point of a value's compact JSON."""
    while True:
        if isinstance(value, str):
            return path, _decoded(value, offset - 1)
        pairs: list[tuple[str | int, int, Json]]
        if isinstance(value, dict):
            pairs = [(key, len(_compact(key)) + 1, one) for key, one in value.items()]
        elif isinstance(value, list):
            pairs = [(index, 0, one) for index, one in enumerate(value)]
        else:
            return path, 0
        found = _at(pairs, offset)
        if found is None:
            return path, 0
        step, value, offset = found
        path = (*path, step)


def _at(pairs: Sequence[tuple[str | int, int, Json]], offset: int) -> tuple[str | int, Json, int] | None:
    """Return the member at a code point of an object or list: its key, its value and the code point in that."""
    at = 1
    for key, head, value in pairs:
        size = head + len(_compact(value))
        if offset <= at + size:
            return key, value, max(offset - at - head, 0)
        at += size + 1
    return None


def _decoded(text: str, offset: int) -> int:
    """Return the code point of a text for a code point of its JSON, without the quotation mark."""
    at = 0
    for number, character in enumerate(text):
        if at >= offset:
            return number
        at += len(_compact(character)) - 2
    return len(text)


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

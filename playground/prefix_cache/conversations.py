"""Which earlier request a request continues or edits."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from playground.prefix_cache.difference import edited
from playground.prefix_cache.moved_text import moved_share, reordered_objects
from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.view import END, CacheView, ViewPart, bare_text, with_parsed_arguments

USER, BARE = 2.0, 0.5
"""Weight of a user message; share of the weight of a message that is equal without its ids."""
ABSENT = 0.25
"""Share of the weight of the earlier request's other messages that its score loses."""
NEWEST = 32
"""Newest requests with a message that are candidates."""
NEAR = 24
"""Newest requests whose messages are compared one by one, if too few are equal."""
ENOUGH = 240
"""Code points of such messages from which on they tell one conversation from another with the same phrases."""


class MessageSpan(Struct, frozen=True):
    """One message of a prompt. `start`, `end`: code points in its view."""

    index: int
    role: str
    start: int
    end: int
    parts: tuple[ViewPart, ...]


def messages_of(view: CacheView) -> list[MessageSpan]:
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
    return view.text_of(first) if first.kind == "role" else ""


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
    text = view.text_of(part)
    return bare_text(part.kind, _with_sorted_keys(text) if part.kind == "tool_calls" else text) + END


def _with_sorted_keys(calls: str) -> str:
    """Return tool calls with the keys of their arguments in alphabetical order: clients write them in several."""
    try:
        return json.dumps(with_parsed_arguments(json.loads(calls), sort_keys=True), ensure_ascii=False)
    except (ValueError, RecursionError):
        return calls


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
    return theirs.role == mine.role and is_edit(theirs.bare, mine.bare)


def is_edit(one: str, other: str) -> bool:
    """Whether a text is an edit of another one, or has paragraphs or members of a JSON object in another order."""
    if edited(one, other) or ("{" in one and "{" in other and bool(reordered_objects([one, other])[1])):
        return True
    return moved_share(one, other) > 0


def _common(one: str, other: str) -> float:
    """Return the code points that two texts begin and end with, or have in another order."""
    shorter = min(len(one), len(other))
    start = common_prefix(one, other)
    ends = start + common_suffix(one, other, shorter - start)
    return ends if 2 * ends >= shorter else max(ends, moved_share(one, other) * len(one))

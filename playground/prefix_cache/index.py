"""Recent requests, indexed by longest shared prefix in a tree that stores shared text once, and by similarity."""

from __future__ import annotations

import re
import sys
from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count, islice
from math import inf
from threading import Lock
from typing import get_args

from msgspec import Struct

from playground.prefix_cache.match_tree import TextNode, TextTree
from playground.prefix_cache.text_compare import common_prefix, common_suffix, in_another_form
from playground.prefix_cache.view import CacheView, PartKind, ViewPart
from playground.prompt.document import Json

_KINDS: tuple[PartKind, ...] = get_args(PartKind)
_NONE = array("I")
MAX_PARTS = 10_000
"""Number of parts that several prompts share."""
MAX_BYTES = 32_000_000
"""Of text, in memory; what several share counts once."""
MAX_ENTRIES = 100_000
MADE = 32
"""Number of requests whose joined text is cached."""


class Entry(Struct, eq=False):
    """One request, without its text."""

    run_id: str
    request_id: str | None
    at: float
    prompt_tokens: int | None
    cached_tokens: int | None
    shared_chars: int
    fields: Mapping[str, Json] | None
    tag: str = ""
    node: EntryNode | None = None
    parts: tuple[ViewPart, ...] | None = None
    """Own parts, if the first sender of the text divided it differently."""


class EntryNode(TextNode):
    """`marks` are the parts that end in this node's text: an end, then kind and index in one, by turns."""

    __slots__ = ("counted", "entries", "marks", "newest")

    def __init__(self, label: str, depth: int, parent: EntryNode | None) -> None:
        super().__init__(label, depth, parent)
        self.marks = _NONE
        self.entries: tuple[Entry, ...] = ()
        self.newest: Entry | None = None
        self.counted: Entry | None = None

    def divide(self, upper: EntryNode) -> None:
        upper.newest, upper.counted = self.newest, self.counted
        upper.marks, self.marks = _between(self.marks, 0, upper.depth), _between(self.marks, upper.depth, self.depth)

    def refresh(self) -> None:
        below = [child.newest for child in self.children.values()]
        counted = [child.counted for child in self.children.values()]
        self.newest = _newest((*self.entries, *(entry for entry in below if entry)))
        mine = (entry for entry in self.entries if entry.prompt_tokens)
        self.counted = _newest((*mine, *(entry for entry in counted if entry)))


def _newest(entries: tuple[Entry, ...]) -> Entry | None:
    return max(entries, key=lambda entry: entry.at, default=None)


class PrefixTree(TextTree[EntryNode]):
    """`size` is in bytes."""

    def __init__(self) -> None:
        super().__init__(EntryNode, sys.getsizeof)
        self._known: dict[tuple[int, int, int], ViewPart] = {}

    def add(self, entry: Entry, view: CacheView) -> None:
        """Take an entry in, with its text."""
        marks = _packed(view.parts)
        node = self._insert(self._root, view.text)
        if node.newest is None and node.parent is not None:
            node.marks = _between(marks, node.parent.depth, node.depth)
        node.entries = (*node.entries, entry)
        entry.node = node
        above: EntryNode | None = node
        while above is not None:
            if above.newest is None or entry.at >= above.newest.at:
                above.newest = entry
            if entry.prompt_tokens and (above.counted is None or entry.at >= above.counted.at):
                above.counted = entry
            above = above.parent
        if self._marks(node) != marks or self._parts(marks) != view.parts:
            entry.parts = view.parts

    @staticmethod
    def count(entry: Entry, prompt_tokens: int | None, cached_tokens: int | None) -> None:
        """Store what the server counted of an entry."""
        entry.prompt_tokens, entry.cached_tokens = prompt_tokens, cached_tokens
        node = entry.node
        while node is not None:
            if prompt_tokens and (node.counted is None or entry.at >= node.counted.at):
                node.counted = entry
            elif not prompt_tokens and node.counted is entry:
                node.refresh()
            node = node.parent

    def drop(self, entry: Entry) -> None:
        node = entry.node
        if node is None:
            return
        node.entries = tuple(other for other in node.entries if other is not entry)
        entry.node = None
        self._prune(node)
        above: EntryNode | None = node
        while above is not None:
            if entry in (above.newest, above.counted):
                above.refresh()
            above = above.parent

    def _prune(self, node: EntryNode) -> None:
        above = node.parent
        if above is None or node.entries:
            return
        if not node.children:
            self._cut_off(node, above)
            self._join(above)
        else:
            self._join(node)

    def _join(self, node: EntryNode) -> None:
        """Make one of a node and its only child, if nothing ends between them."""
        above, children = node.parent, list(node.children.values())
        if above is None or node.entries or len(children) != 1:
            return
        child = children[0]
        before = sys.getsizeof(node.label) + sys.getsizeof(child.label)
        child.label, child.marks = node.label + child.label, node.marks + child.marks
        self._hang(above, child)
        self.size += sys.getsizeof(child.label) - before

    def best(self, text: str, limit: int) -> list[tuple[Entry, int]]:
        """At most `limit` entries with their shared lengths, the longest first, of equals the newest first."""
        found: list[tuple[Entry, int]] = []
        done: EntryNode | None = None
        for node, length in reversed(self.path(text)):
            found += ((entry, length) for entry in islice(_by_age(node, done), limit - len(found)))
            if len(found) >= limit:
                break
            done = node
        return found

    def view(self, entry: Entry) -> CacheView:
        labels = []
        node = entry.node
        marks = self._marks(node) if node is not None and entry.parts is None else _NONE
        while node is not None:
            labels.append(node.label)
            node = node.parent
        return CacheView("".join(reversed(labels)), self._parts(marks) if entry.parts is None else entry.parts)

    def _parts(self, marks: array[int]) -> tuple[ViewPart, ...]:
        # Prompts that begin alike have the same parts: kept once, they do not slow the collector down.
        if len(self._known) > MAX_PARTS:
            self._known.clear()
        ends = marks[::2]
        known, found = self._known, []
        for start, end, what in zip((0, *ends[:-1]), ends, marks[1::2], strict=False):
            part = known.get((start, end, what))
            if part is None:
                index, kind = divmod(what, len(_KINDS))
                part = known[start, end, what] = ViewPart(_KINDS[kind], index, start, end)
            found.append(part)
        return tuple(found)

    @staticmethod
    def _marks(node: EntryNode | None) -> array[int]:
        pieces = []
        while node is not None:
            pieces.append(node.marks)
            node = node.parent
        marks = array("I")
        for piece in reversed(pieces):
            marks.extend(piece)
        return marks


def _by_age(node: EntryNode, leave_out: EntryNode | None) -> Iterator[Entry]:
    """Yield the entries below a node, the newest first; without those below `leave_out`."""
    order = count()
    waiting: list[tuple[float, int, EntryNode | Entry]] = [(0.0, next(order), node)]
    while waiting:
        item = heappop(waiting)[2]
        if isinstance(item, Entry):
            yield item
            continue
        for entry in item.entries:
            heappush(waiting, (-entry.at, next(order), entry))
        for child in item.children.values():
            if child is not leave_out and child.newest is not None:
                heappush(waiting, (-child.newest.at, next(order), child))


def _packed(parts: tuple[ViewPart, ...]) -> array[int]:
    packed = array("I")
    for part in parts:
        packed.extend((part.end, part.index * len(_KINDS) + _KINDS.index(part.kind)))
    return packed


def _between(marks: array[int], start: int, end: int) -> array[int]:
    """Return the marks of the parts that end after `start`, and at `end` or before."""
    chosen = array("I")
    for at in range(0, len(marks), 2):
        if start < marks[at] <= end:
            chosen.extend(marks[at : at + 2])
    return chosen if chosen else _NONE


class Sent(Struct, frozen=True):
    """A request that was sent. `at` is unix seconds; tokens are as reported, None if they were not.

    `shared_chars` is how many code points it shared with the best request before it: where `cached_tokens` ended.
    `fields` is its body without messages and tools; None if unknown. `tag` names the purpose of a request that the
    program sent on its own (experiment, example, voice demo).
    """

    run_id: str
    request_id: str | None
    at: float
    text: str
    view: CacheView
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    shared_chars: int = 0
    fields: Mapping[str, Json] | None = None
    tag: str = ""

    @property
    def shown_id(self) -> str:
        """What the user recognises it by."""
        return self.request_id or self.run_id


class Match(Struct, frozen=True):
    """A request that shares `length` code points of the cache's view with the current prompt."""

    sent: Sent
    length: int


class PrefixIndex:
    """The requests sent to one endpoint and model; the oldest go when there are too many.

    A prefix that is used again is warm again without more ado: the request that used it is in the index too.
    """

    def __init__(self) -> None:
        self._tree = PrefixTree()
        self._by_run: dict[str, Entry] = {}
        self._by_age: list[tuple[float, str]] = []
        self._made: OrderedDict[str, Sent] = OrderedDict()

    def add(self, sent: Sent) -> None:
        """Take a request in; one of the same run_id is replaced."""
        self._drop(sent.run_id)
        # Most requests have the fields of the one before: they share one mapping.
        newest = self._by_run[self._by_age[-1][1]] if self._by_age else None
        fields = newest.fields if newest is not None and newest.fields == sent.fields else sent.fields
        entry = Entry(
            sent.run_id,
            sent.request_id,
            sent.at,
            sent.prompt_tokens,
            sent.cached_tokens,
            sent.shared_chars,
            fields,
            sent.tag,
        )
        self._tree.add(entry, sent.view if sent.view.text == sent.text else CacheView(sent.text, ()))
        self._by_run[sent.run_id] = entry
        insort(self._by_age, (sent.at, sent.run_id))
        while len(self._by_age) > 1 and (self._tree.size > MAX_BYTES or len(self._by_age) > MAX_ENTRIES):
            self._drop(self._by_age[0][1])

    def count(self, run_id: str, prompt_tokens: int | None, cached_tokens: int | None) -> None:
        """Store the report for a request."""
        entry = self._by_run.get(run_id)
        if entry is not None:
            self._made.pop(run_id, None)
            self._tree.count(entry, prompt_tokens, cached_tokens)

    def _drop(self, run_id: str) -> None:
        entry = self._by_run.pop(run_id, None)
        if entry is None:
            return
        self._made.pop(run_id, None)
        del self._by_age[bisect_left(self._by_age, (entry.at, run_id))]
        self._tree.drop(entry)

    def __len__(self) -> int:
        return len(self._by_run)

    def get(self, run_id: str) -> Sent | None:
        entry = self._by_run.get(run_id)
        return self._sent(entry) if entry else None

    def newest_first(self, limit: int) -> list[Sent]:
        """Return the requests sent last, at most `limit` of them."""
        return [self._sent(self._by_run[run_id]) for _, run_id in self._by_age[: -limit - 1 : -1]]

    def match(self, text: str, since: float, before: float = inf) -> Match | None:
        """Return the request sent from `since` to `before` (Unix seconds) with the longest shared prefix; the
        newest of equals."""
        for node, length in reversed(self._tree.path(text)):
            entry = node.newest
            if entry is not None and entry.at > before:
                entry = next((one for one in _by_age(node, None) if one.at <= before), None)
            if entry is not None and entry.at >= since:
                return Match(self._sent(entry), length)
        return None

    def shared(self, text: str, since: float) -> int:
        """Return the code points that a text shares with a request sent from `since` (Unix seconds) on."""
        nodes = reversed(self._tree.path(text))
        return next((length for node, length in nodes if node.newest is not None and node.newest.at >= since), 0)

    def counted(self, text: str) -> Match | None:
        """Return the request with the longest shared prefix of those whose tokens the server has counted."""
        for node, length in reversed(self._tree.path(text)):
            if node.counted is not None:
                return Match(self._sent(node.counted), length)
        return None

    def best(self, text: str, limit: int) -> list[Match]:
        """At most `limit` requests, the longest shared prefix first, of equals the newest first."""
        return [Match(self._sent(entry), length) for entry, length in self._tree.best(text, limit)]

    def reports(self, run_id: str, text: str, limit: int) -> list[tuple[float, int | None, int]]:
        """When requests that share most with a text, without its own one, were sent, their cached tokens and the shared
        code points; the oldest first."""
        found = (
            (one.at, one.cached_tokens, length) for one, length in self._tree.best(text, limit) if one.run_id != run_id
        )
        return sorted(found, key=lambda each: each[0])

    def _sent(self, entry: Entry) -> Sent:
        made = self._made.get(entry.run_id)
        if made is not None:
            self._made.move_to_end(entry.run_id)
            return made
        view = self._tree.view(entry)
        made = Sent(
            entry.run_id,
            entry.request_id,
            entry.at,
            view.text,
            view,
            entry.prompt_tokens,
            entry.cached_tokens,
            entry.shared_chars,
            entry.fields,
            entry.tag,
        )
        self._made[entry.run_id] = made
        if len(self._made) > MADE:
            self._made.popitem(last=False)
        return made


SHARE = 0.5
"""Share of the shorter text that versions of one prompt have in common at least."""
REMEMBERED = 64


class PromptFamilyMatcher:
    """Finds versions of one prompt. Caches lines of prompts and of earlier requests; one per endpoint and model.

    A prompt that differs little from the one before costs its changed lines.
    """

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, int]] = {}
        self._mine = _Lines("")
        self._lock = Lock()

    def first(self, view: CacheView, candidates: Iterable[Sent | None]) -> Sent | None:
        """Return the first candidate that is a version of this prompt, None if there is none."""
        for sent in candidates:
            if sent is None:
                continue
            if _ends_alike(view.text, sent.text) or self._same_pieces(view.text, sent):
                return sent
            if in_another_form(view.text, sent.text):
                return sent
        return None

    def _same_pieces(self, text: str, sent: Sent) -> bool:
        with self._lock:
            self._mine.change_to(text)
            return self._mine.shared_with(sent.text, self._parts_of(sent)) >= SHARE * min(len(text), len(sent.text))

    def _parts_of(self, sent: Sent) -> dict[str, int]:
        theirs = self._parts.get(sent.text)
        if theirs is None:
            if len(self._parts) >= REMEMBERED:
                del self._parts[next(iter(self._parts))]
            theirs = self._parts[sent.text] = {}
            _count(theirs, sent.text, 1)
        return theirs


class _Lines:
    """The pieces of a text (`_pieces`) with their code points in all, and how many it shares with others."""

    def __init__(self, text: str) -> None:
        self.text = ""
        self._sizes: dict[str, int] = {}
        self._shared: dict[str, tuple[dict[str, int], int]] = {}
        self.change_to(text)

    def change_to(self, text: str) -> None:
        """Replace the text; lines that stay at its beginning and end are not counted again."""
        before = self.text
        if text == before:
            return
        start = common_prefix(before, text)
        start = max(before.rfind(end, 0, start) for end in _LINE_ENDS) + 1
        behind = common_suffix(before, text, min(len(before), len(text)) - start)
        ends = [place for end in _LINE_ENDS if (place := text.find(end, len(text) - behind)) >= 0] if behind else []
        behind = len(text) - min(ends) - 1 if ends else 0
        old, new = before[start : len(before) - behind], text[start : len(text) - behind]
        touched = {*_pieces(old), *_pieces(new)}
        sizes = self._sizes
        earlier = {piece: sizes.get(piece, 0) for piece in touched}
        _count(sizes, old, -1)
        _count(sizes, new, 1)
        self.text = text
        for other, (theirs, shared) in self._shared.items():
            common = touched & theirs.keys()
            more = sum(min(sizes.get(each, 0), theirs[each]) - min(earlier[each], theirs[each]) for each in common)
            self._shared[other] = theirs, shared + more

    def shared_with(self, other: str, theirs: dict[str, int]) -> int:
        """Return the code points of lines that are also in the text `other`, whose lines are `theirs`."""
        known = self._shared.get(other)
        if known is None or known[0] is not theirs:
            shared = sum(min(size, theirs[piece]) for piece, size in self._sizes.items() if piece in theirs)
            if len(self._shared) >= _MOST_COMPARED:
                del self._shared[next(iter(self._shared))]
            known = self._shared[other] = theirs, shared
        return known[1]


_LINE_ENDS = "\n\x1e"
"""Characters behind which a line begins in every text; others (a carriage return) are only considered in lines."""
_MOST_COMPARED = 16


_LONG_LINE = 160
"""Code points from which the clauses of a line are compared: many prompts are written in one line."""
_CLAUSE = re.compile(r"[^.!?;:。！？；：।؟؛]*[.!?;:。！？；：।؟؛]*")


def _pieces(text: str) -> Iterator[str]:
    """Yield the lines of a text, long ones in clauses. Each line is divided by itself."""
    for line in text.splitlines():
        if len(line) < _LONG_LINE:
            yield line
        else:
            yield from filter(None, _CLAUSE.findall(line))


def _count(sizes: dict[str, int], text: str, sign: int) -> None:
    """Add the pieces of a text to `sizes`, or take them away. Pieces of no more code points are removed."""
    for piece in _pieces(text):
        size = sizes.get(piece, 0) + sign * (len(piece) + 1)
        if size:
            sizes[piece] = size
        else:
            del sizes[piece]


def _ends_alike(text: str, other: str) -> bool:
    shorter = min(len(text), len(other))
    if not shorter:
        return False
    start = common_prefix(text, other)
    if start >= SHARE * shorter:
        return True
    return start + common_suffix(text, other, shorter - start) >= SHARE * shorter

"""A radix tree of texts: each node holds the text between two branch points; shared prefixes are stored once.

A node knows the newest entry below it, and the newest that the server has counted: the longest shared prefix is found
by one walk along the text, however many texts there are.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from itertools import count, islice
from typing import get_args

from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import CacheView, PartKind, ViewPart
from playground.prompt.document import Json

_KINDS: tuple[PartKind, ...] = get_args(PartKind)
_NONE = array("I")
MAX_PARTS = 10_000
"""Number of parts that several prompts share."""


class Entry:
    """One request, without its text."""

    __slots__ = (
        "at",
        "cached_tokens",
        "fields",
        "node",
        "parts",
        "prompt_tokens",
        "request_id",
        "run_id",
        "shared_chars",
        "tag",
    )

    def __init__(
        self,
        run_id: str,
        request_id: str | None,
        at: float,
        prompt_tokens: int | None,
        cached_tokens: int | None,
        shared_chars: int,
        fields: Mapping[str, Json] | None,
        tag: str = "",
    ) -> None:
        self.run_id, self.request_id, self.at = run_id, request_id, at
        self.prompt_tokens, self.cached_tokens = prompt_tokens, cached_tokens
        self.shared_chars, self.fields, self.tag = shared_chars, fields, tag
        self.node: TextNode | None = None
        self.parts: tuple[ViewPart, ...] | None = None
        """Own parts, if the first sender of the text divided it differently."""


class TextNode:
    """The text between two branches: `label`, which ends `depth` code points from the beginning.

    `marks` are the parts that end in it: an end, then kind and index in one, by turns.
    """

    __slots__ = ("children", "counted", "depth", "entries", "label", "marks", "newest", "parent")

    def __init__(self, label: str, depth: int, parent: TextNode | None, marks: array[int] = _NONE) -> None:
        self.label, self.depth, self.parent, self.marks = label, depth, parent, marks
        self.children: dict[str, TextNode] | None = None
        self.entries: tuple[Entry, ...] = ()
        self.newest: Entry | None = None
        self.counted: Entry | None = None

    def refresh(self) -> None:
        """Find the newest entries again."""
        below = [child.newest for child in (self.children or {}).values()]
        counted = [child.counted for child in (self.children or {}).values()]
        self.newest = _newest((*self.entries, *(entry for entry in below if entry)))
        mine = (entry for entry in self.entries if entry.prompt_tokens)
        self.counted = _newest((*mine, *(entry for entry in counted if entry)))


def _newest(entries: tuple[Entry, ...]) -> Entry | None:
    return max(entries, key=lambda entry: entry.at, default=None)


class PrefixTree:
    """`size` is the bytes of all labels."""

    def __init__(self) -> None:
        self._root = TextNode("", 0, None)
        self._known: dict[tuple[int, int, int], ViewPart] = {}
        self.size = 0

    def add(self, entry: Entry, view: CacheView) -> None:
        """Take an entry in, with its text."""
        marks = _packed(view.parts)
        node = self._place(view.text, marks)
        node.entries = (*node.entries, entry)
        entry.node = node
        above: TextNode | None = node
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

    def _place(self, text: str, marks: array[int]) -> TextNode:
        node = self._root
        while node.depth < len(text):
            child = (node.children or {}).get(text[node.depth])
            if child is None:
                return self._leaf(node, text, marks)
            if not text.startswith(child.label, node.depth):
                common = common_prefix(child.label, text[node.depth : child.depth])
                child = self._split(child, node.depth + common)
            node = child
        return node

    def _leaf(self, above: TextNode, text: str, marks: array[int]) -> TextNode:
        leaf = TextNode(text[above.depth :], len(text), above, _between(marks, above.depth, len(text)))
        self._hang(above, leaf)
        self.size += sys.getsizeof(leaf.label)
        return leaf

    @staticmethod
    def _hang(above: TextNode, node: TextNode) -> None:
        if above.children is None:
            above.children = {}
        above.children[node.label[0]] = node
        node.parent = above

    def _split(self, node: TextNode, depth: int) -> TextNode:
        above, label = node.parent, node.label
        if above is None:
            return node
        cut = depth - above.depth
        upper = TextNode(label[:cut], depth, None, _between(node.marks, above.depth, depth))
        upper.newest, upper.counted = node.newest, node.counted
        self._hang(above, upper)
        node.label, node.marks = label[cut:], _between(node.marks, depth, node.depth)
        self._hang(upper, node)
        self.size += sys.getsizeof(upper.label) + sys.getsizeof(node.label) - sys.getsizeof(label)
        return upper

    def drop(self, entry: Entry) -> None:
        """Take an entry out, and what text nothing else needs."""
        node = entry.node
        if node is None:
            return
        node.entries = tuple(other for other in node.entries if other is not entry)
        entry.node = None
        self._prune(node)
        above: TextNode | None = node
        while above is not None:
            if entry in (above.newest, above.counted):
                above.refresh()
            above = above.parent

    def _prune(self, node: TextNode) -> None:
        above = node.parent
        if above is None or node.entries:
            return
        if not node.children:
            del (above.children or {})[node.label[0]]
            self.size -= sys.getsizeof(node.label)
            self._join(above)
        else:
            self._join(node)

    def _join(self, node: TextNode) -> None:
        """Make one of a node and its only child, if nothing ends between them."""
        above, children = node.parent, list((node.children or {}).values())
        if above is None or node.entries or len(children) != 1:
            return
        child = children[0]
        before = sys.getsizeof(node.label) + sys.getsizeof(child.label)
        child.label, child.marks = node.label + child.label, node.marks + child.marks
        self._hang(above, child)
        self.size += sys.getsizeof(child.label) - before

    def path(self, text: str) -> list[tuple[TextNode, int]]:
        """Yield the nodes along a text, from the root on, each with how many code points all below it share with it."""
        node, found = self._root, [(self._root, 0)]
        end = len(text)
        while node.depth < end and node.children:
            child = node.children.get(text[node.depth])
            if child is None:
                break
            if not text.startswith(child.label, node.depth):
                common = common_prefix(child.label, text[node.depth : child.depth])
                found.append((child, node.depth + common))
                break
            found.append((child, child.depth))
            node = child
        return found

    def best(self, text: str, limit: int) -> list[tuple[Entry, int]]:
        """At most `limit` entries with their shared lengths, the longest first, of equals the newest first."""
        found: list[tuple[Entry, int]] = []
        done: TextNode | None = None
        for node, length in reversed(self.path(text)):
            found += ((entry, length) for entry in islice(_by_age(node, done), limit - len(found)))
            if len(found) >= limit:
                break
            done = node
        return found

    def view(self, entry: Entry) -> CacheView:
        """Return an entry's text and parts."""
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
    def _marks(node: TextNode | None) -> array[int]:
        pieces = []
        while node is not None:
            pieces.append(node.marks)
            node = node.parent
        marks = array("I")
        for piece in reversed(pieces):
            marks.extend(piece)
        return marks


def _by_age(node: TextNode, leave_out: TextNode | None) -> Iterator[Entry]:
    """Yield the entries below a node, the newest first; without those below `leave_out`."""
    order = count()
    waiting: list[tuple[float, int, TextNode | Entry]] = [(0.0, next(order), node)]
    while waiting:
        item = heappop(waiting)[2]
        if isinstance(item, Entry):
            yield item
            continue
        for entry in item.entries:
            heappush(waiting, (-entry.at, next(order), entry))
        for child in (item.children or {}).values():
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

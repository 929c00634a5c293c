"""Radix trees of prompts: text that several share is stored once. `TextTree` for any use of a node; `MatchTree` for the
token sequences that a server may have cached, as text in one order, prompts with their answers.

In a `MatchTree`, requests are added in the order in which they were sent. A walk along a prompt finds, for each depth,
the newest request that shares it: when that part was last used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Generic, Self, TypeVar

from msgspec import Struct

from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import AnswerCuts, Reuse

MAX_CODE_POINTS = 16_000_000
MAX_SEQUENCES = 5_000
FIXED = (30, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1200, 1800, 2700, 3600)
"""Seconds: lifetimes from when a text was stored, which no use renews."""
_NO_CHILDREN: dict[str, Any] = {}
"""Shared by all leaves, never changed: half of all nodes are leaves."""


class TextNode:
    """The text between two places where texts part: `label`, which ends `depth` code points from the start."""

    __slots__ = ("children", "depth", "label", "parent")

    def __init__(self, label: str, depth: int, parent: Self | None) -> None:
        self.label, self.depth, self.parent = label, depth, parent
        self.children: dict[str, Self] = _NO_CHILDREN

    def divide(self, upper: Self) -> None:
        """Give `upper`, which takes over the first part of this node's text, what belongs to it."""
        raise NotImplementedError


_Node = TypeVar("_Node", bound=TextNode)


class TextTree(Generic[_Node]):
    """`size` is the size of all labels, as `size_of` measures one."""

    def __init__(self, new: Callable[[str, int, _Node | None], _Node], size_of: Callable[[str], int]) -> None:
        self._new, self._size_of = new, size_of
        self._root = new("", 0, None)
        self.size = 0

    def _insert(self, node: _Node, text: str) -> _Node:
        """Add `text` below a node. Returns the node at its end."""
        base = node.depth
        end = base + len(text)
        while node.depth < end:
            start = node.depth - base
            child = node.children.get(text[start])
            if child is None:
                child = self._new(text[start:], end, node)
                self._hang(node, child)
                self.size += self._size_of(child.label)
            elif not text.startswith(child.label, start):
                rest = text[start : child.depth - base]
                child = self._split(child, node, common_prefix(child.label, rest))
            node = child
        return node

    @staticmethod
    def _hang(above: _Node, node: _Node) -> None:
        if not above.children:
            above.children = {}
        above.children[node.label[0]] = node
        node.parent = above

    def _split(self, node: _Node, above: _Node, cut: int) -> _Node:
        label = node.label
        upper = self._new(label[:cut], above.depth + cut, above)
        node.label = label[cut:]
        self.size += self._size_of(upper.label) + self._size_of(node.label) - self._size_of(label)
        node.divide(upper)
        self._hang(above, upper)
        self._hang(upper, node)
        return upper

    def _cut_off(self, node: _Node, above: _Node) -> None:
        del above.children[node.label[0]]
        self.size -= self._size_of(node.label)

    def path(self, text: str) -> list[tuple[_Node, int]]:
        """Return the nodes along a text from the root, each with how many code points its texts share with it."""
        node, found = self._root, [(self._root, 0)]
        end = len(text)
        while node.depth < end and node.children:
            child = node.children.get(text[node.depth])
            if child is None:
                break
            if not text.startswith(child.label, node.depth):
                found.append((child, node.depth + common_prefix(child.label, text[node.depth : child.depth])))
                break
            found.append((child, child.depth))
            node = child
        return found


class MatchNode(TextNode):
    """`newest` is the last request that reaches the end of this node (`newest_prompt`: with its prompt, without the
    answer; `counted`: with a prompt whose tokens are counted); `count` and `prompt_count` how many do. `stored`: when a
    server with each lifetime of `FIXED` stored this text, and had forgotten what it had of it before. `exact` is the
    token count at `depth` if a server counted it. `served` holds cached tokens that were reported for a match that
    ended at a depth inside this node.
    """

    __slots__ = (
        "count",
        "counted",
        "exact",
        "exact_prompt",
        "newest",
        "newest_prompt",
        "prompt_count",
        "served",
        "stored",
    )

    def __init__(self, label: str, depth: int, parent: MatchNode | None) -> None:
        super().__init__(label, depth, parent)
        self.newest = self.newest_prompt = self.counted = -1
        self.count = self.prompt_count = 0
        self.stored: Sequence[float] = ()
        self.exact: float | None = None
        self.exact_prompt: float | None = None
        self.served: dict[int, tuple[int, int]] | None = None

    def divide(self, upper: MatchNode) -> None:
        upper.newest, upper.count = self.newest, self.count
        upper.newest_prompt, upper.prompt_count = self.newest_prompt, self.prompt_count
        upper.counted, upper.stored = self.counted, self.stored
        if self.served:
            upper.served = {at: value for at, value in self.served.items() if at <= upper.depth} or None
            self.served = {at: value for at, value in self.served.items() if at > upper.depth} or None


class MatchStep(Struct, frozen=True):
    """Up to code point `depth` the text was last used by request `newest`; `count` requests share as much. `stored`:
    see `MatchNode`."""

    depth: int
    newest: int
    count: int
    stored: Sequence[float] = ()


def counted_ends(path: Iterable[tuple[MatchNode, int]]) -> list[tuple[int, float]]:
    """Return the depths of a path at which requests end whose tokens are counted, with the tokens."""
    whole = (node for node, shared in path if shared == node.depth)
    counts = ((node.depth, node.exact if node.exact is not None else node.exact_prompt) for node in whole)
    return [(depth, tokens) for depth, tokens in counts if tokens is not None]


def longest_prompt(path: Iterable[tuple[MatchNode, int]]) -> float:
    """Return the tokens of the longest prompt that ends on a path, without its answer."""
    return max((node.exact_prompt or 0.0 for node, shared in path if shared == node.depth), default=0.0)


def most_served(path: Iterable[tuple[MatchNode, int]]) -> int:
    """Return the most cached tokens that were reported for a match that ended on a path."""
    marks = ((at, served, shared) for node, shared in path for at, (served, _) in (node.served or {}).items())
    return max((served for at, served, shared in marks if at <= shared), default=0)


class MatchTree(TextTree[MatchNode]):
    """The sequences of one endpoint, model and order. `cuts`: of the answers with tool calls, by request number, in
    code points behind the `lead` that all answers begin with."""

    def __init__(self, cuts: Mapping[int, AnswerCuts] | None = None, lead: int = 0) -> None:
        super().__init__(MatchNode, len)
        self._lead = lead
        self._cuts = {} if cuts is None else cuts
        self._ends: dict[int, tuple[MatchNode, MatchNode]] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, number: int, prompt: str, answer: str = "", at: float = 0.0) -> None:
        """Add a request that was sent `at`; numbers rise. The oldest are removed if the tree becomes too large."""
        node: MatchNode | None = (end := self._insert(self._root, prompt))
        _store(end, None, at)
        while node is not None:
            node.newest = node.newest_prompt = number
            node.count += 1
            node.prompt_count += 1
            node = node.parent
        self._ends[number] = (end, end)
        if answer:
            self.extend(number, answer, at)
        while len(self._ends) > MAX_SEQUENCES or (self.size > MAX_CODE_POINTS and len(self._ends) > 1):
            self._remove(next(iter(self._ends)))

    def extend(self, number: int, answer: str, at: float = 0.0) -> None:
        """Add the answer to a request's sequence. Several trees share the memory of the answer."""
        ends = self._ends.get(number)
        if ends is None or not answer or ends[0] is not ends[1]:
            return
        node = end = self._insert(ends[0], answer)
        _store(end, ends[0], at)
        self._ends[number] = (ends[0], end)
        while node is not ends[0]:
            node.newest = number
            node.count += 1
            assert node.parent is not None
            node = node.parent

    def ends(self, number: int) -> tuple[MatchNode, MatchNode] | None:
        """Return the nodes at which a request's prompt and its whole sequence end."""
        return self._ends.get(number)

    def served_beyond(self, number: int, depth: int) -> tuple[int, int, int] | None:
        """Return the first depth behind another one of a request at which a report ended, see `MatchNode.served`."""
        ends = self._ends.get(number)
        found = None
        node: MatchNode | None = None if ends is None else ends[1]
        while node is not None and node.depth > depth:
            inside = [at for at in node.served or () if at > depth]
            if inside:
                at = min(inside)
                found = at, *(node.served or {})[at]
            node = node.parent
        return found

    def length(self, number: int) -> int:
        """Return the code points of a request's whole sequence; 0 if it was removed."""
        ends = self._ends.get(number)
        return 0 if ends is None else ends[1].depth

    def _remove(self, number: int) -> None:
        end, full = self._ends.pop(number)
        node: MatchNode | None = full
        in_prompt = False
        while node is not None:
            in_prompt = in_prompt or node is end
            above = node.parent
            node.count -= 1
            node.prompt_count -= in_prompt
            if not node.count and above is not None:
                self._cut_off(node, above)
            node = above

    def steps(self, path: list[tuple[MatchNode, int]], reuse: Reuse) -> list[MatchStep]:
        """Return what a path shares with earlier requests, the shortest prefix first, and with as much of their answers
        as `reuse` says."""
        found: list[MatchStep] = []
        for node, depth in path[1:]:
            newest, count, stored = node.newest, node.count, node.stored
            limit = self._limit(newest, reuse) if self._cuts or reuse == "none" else None
            if limit is not None and depth > limit:
                newest, count = node.newest_prompt, node.prompt_count
                if newest < 0:
                    if limit > (found[-1].depth if found else 0):
                        found.append(MatchStep(limit, node.newest, node.count, stored))
                    break
            found.append(MatchStep(depth, newest, count, stored))
        return found

    def _limit(self, number: int, reuse: Reuse) -> int | None:
        """Return how many code points of a request's sequence are found again; None: all."""
        if reuse == "all":
            return None
        if reuse == "none":
            return -1
        cuts, ends = self._cuts.get(number), self._ends.get(number)
        if cuts is None or ends is None:
            return None
        cut = int(getattr(cuts, reuse))
        return ends[0].depth + (self._lead + cut if cut else 0)

    def reused(self, shared: int, number: int, reuse: Reuse) -> int:
        """Return how much of what a path shares with one request is found again. `shared`: see `TreePath.shared`."""
        ends = self._ends.get(number)
        if ends is None:
            return 0
        cut = ends[0].depth if reuse == "none" else self._limit(number, reuse)
        return shared if cut is None else min(shared, cut)


def _store(node: MatchNode | None, upto: MatchNode | None, at: float) -> None:
    """Note when the texts of a node and of those above it, up to `upto`, were stored: `at`, if they were forgotten."""
    # By the id of the old times, which most nodes share. Both are in memory here: the id of a deleted object
    # may be given to another.
    made: dict[int, tuple[Sequence[float], Sequence[float]]] = {}
    while node is not upto and node is not None:
        before = node.stored
        if id(before) not in made:
            pairs = zip(before or (-inf,) * len(FIXED), FIXED, strict=True)
            made[id(before)] = before, tuple(then if at - then <= seconds else at for then, seconds in pairs)
        node.stored = made[id(before)][1]
        node = node.parent


class TreePath:
    """The path of a prompt in the tree of one order, with the prefixes that it shares with single requests."""

    def __init__(self, tree: MatchTree, text: str) -> None:
        self.tree, self.length = tree, len(text)
        self.nodes = tree.path(text)
        self._depths = {id(node): depth for node, depth in self.nodes}
        self._shared: dict[int, int] = {}

    def shared(self, number: int) -> int:
        """Return the code points that the prompt shares with a request and its answer."""
        found = self._shared.get(number)
        if found is None:
            ends = self.tree.ends(number)
            node: MatchNode | None = None if ends is None else ends[1]
            while node is not None and id(node) not in self._depths:
                node = node.parent
            found = self._shared[number] = self._depths[id(node)] if node is not None else 0
        return found

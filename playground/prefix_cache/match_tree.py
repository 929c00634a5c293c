"""A radix tree of the token sequences that a server may have cached, as text in one order, prompts with their
answers.

Requests are added in the order in which they were sent. A walk along a prompt finds, for each depth, the newest
request that shares it: when that part was last used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import AnswerCuts, Reuse

MAX_CODE_POINTS = 16_000_000
MAX_SEQUENCES = 5_000


class MatchNode:
    """The text between two places where sequences part; it ends `depth` code points from the start.

    `newest` is the last request that reaches the end of this node (`newest_prompt`: with its prompt, without the
    answer); `count` and `prompt_count` how many do. `exact` is the token count at `depth` if a server counted it.
    `served` holds cached tokens that were reported for a match that ended at a depth inside this node.
    """

    __slots__ = (
        "children",
        "count",
        "depth",
        "exact",
        "exact_prompt",
        "label",
        "newest",
        "newest_prompt",
        "parent",
        "prompt_count",
        "served",
    )

    def __init__(self, label: str, depth: int, parent: MatchNode | None) -> None:
        self.label, self.depth, self.parent = label, depth, parent
        self.children: dict[str, MatchNode] = _NO_CHILDREN
        self.newest = self.newest_prompt = -1
        self.count = self.prompt_count = 0
        self.exact: float | None = None
        self.exact_prompt: float | None = None
        self.served: dict[int, tuple[int, int]] | None = None


_NO_CHILDREN: dict[str, MatchNode] = {}
"""Shared by all leaves, never changed: half of all nodes are leaves."""


class MatchStep(Struct, frozen=True):
    """Up to code point `depth` the text was last used by request `newest`; `count` requests share as much."""

    depth: int
    newest: int
    count: int


def counted_ends(path: Iterable[tuple[MatchNode, int]]) -> list[tuple[int, float]]:
    """Return the depths of a path at which requests end whose tokens are counted, with the tokens."""
    whole = (node for node, shared in path if shared == node.depth)
    counts = ((node.depth, node.exact if node.exact is not None else node.exact_prompt) for node in whole)
    return [(depth, tokens) for depth, tokens in counts if tokens is not None]


def most_served(path: Iterable[tuple[MatchNode, int]]) -> int:
    """Return the most cached tokens that were reported for a match that ended on a path."""
    marks = ((at, served, shared) for node, shared in path for at, (served, _) in (node.served or {}).items())
    return max((served for at, served, shared in marks if at <= shared), default=0)


class MatchTree:
    """The sequences of one endpoint, model and order. `cuts`: of the answers with tool calls, by request number, in
    code points behind the `lead` that all answers begin with."""

    def __init__(self, cuts: Mapping[int, AnswerCuts] | None = None, lead: int = 0) -> None:
        self._lead = lead
        self._cuts = {} if cuts is None else cuts
        self._root = MatchNode("", 0, None)
        self._ends: dict[int, tuple[MatchNode, MatchNode]] = {}
        self.code_points = 0

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, number: int, prompt: str, answer: str = "") -> None:
        """Add a request; numbers rise. The oldest are removed if the tree becomes too large."""
        end = self._insert(self._root, prompt, number, prompt=True)
        self._ends[number] = (end, end)
        if answer:
            self.extend(number, answer)
        while len(self._ends) > MAX_SEQUENCES or (self.code_points > MAX_CODE_POINTS and len(self._ends) > 1):
            self._remove(next(iter(self._ends)))

    def extend(self, number: int, answer: str) -> None:
        """Add the answer to a request's sequence. Several trees share the memory of the answer."""
        ends = self._ends.get(number)
        if ends is None or not answer or ends[0] is not ends[1]:
            return
        self._ends[number] = (ends[0], self._insert(ends[0], answer, number, prompt=False))

    def ends(self, number: int) -> tuple[MatchNode, MatchNode] | None:
        """Return the nodes at which a request's prompt and its whole sequence end."""
        return self._ends.get(number)

    def length(self, number: int) -> int:
        """Return the code points of a request's whole sequence; 0 if it was removed."""
        ends = self._ends.get(number)
        return 0 if ends is None else ends[1].depth

    def _insert(self, node: MatchNode, text: str, number: int, *, prompt: bool) -> MatchNode:
        """Add `text` below a node. Returns the node at its end."""
        base = node.depth
        end = base + len(text)
        if prompt:
            self._touch(node, number, prompt=True)
        while node.depth < end:
            start = node.depth - base
            child = node.children.get(text[start])
            if child is None:
                child = MatchNode(text[start:], end, node)
                self._hang(node, child)
                self.code_points += len(child.label)
            elif not text.startswith(child.label, start):
                rest = text[start : child.depth - base]
                child = self._split(child, node.depth + common_prefix(child.label, rest))
            node = child
            self._touch(node, number, prompt=prompt)
        return node

    @staticmethod
    def _hang(above: MatchNode, node: MatchNode) -> None:
        if not above.children:
            above.children = {}
        above.children[node.label[0]] = node

    @staticmethod
    def _touch(node: MatchNode, number: int, *, prompt: bool) -> None:
        node.newest = number
        node.count += 1
        if prompt:
            node.newest_prompt = number
            node.prompt_count += 1

    @staticmethod
    def _split(node: MatchNode, depth: int) -> MatchNode:
        above = node.parent
        assert above is not None
        cut = depth - above.depth
        upper = MatchNode(node.label[:cut], depth, above)
        upper.newest, upper.count = node.newest, node.count
        upper.newest_prompt, upper.prompt_count = node.newest_prompt, node.prompt_count
        MatchTree._hang(above, upper)
        node.label, node.parent = node.label[cut:], upper
        MatchTree._hang(upper, node)
        if node.served:
            upper.served = {at: value for at, value in node.served.items() if at <= depth} or None
            node.served = {at: value for at, value in node.served.items() if at > depth} or None
        return upper

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
                del above.children[node.label[0]]
                self.code_points -= len(node.label)
            node = above

    def path(self, text: str) -> list[tuple[MatchNode, int]]:
        """Return the nodes along a text from the root, each with how many code points its sequences share with it."""
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

    def steps(self, path: list[tuple[MatchNode, int]], reuse: Reuse) -> list[MatchStep]:
        """Return what a path shares with earlier requests, the shortest prefix first, and with as much of their answers
        as `reuse` says."""
        found: list[MatchStep] = []
        for node, depth in path[1:]:
            newest, count = node.newest, node.count
            limit = self._limit(newest, reuse) if self._cuts or reuse == "none" else None
            if limit is not None and depth > limit:
                newest, count = node.newest_prompt, node.prompt_count
                if newest < 0:
                    if limit > (found[-1].depth if found else 0):
                        found.append(MatchStep(limit, node.newest, node.count))
                    break
            found.append(MatchStep(depth, newest, count))
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
        """Return how much of what a path shares with one request is found again. `shared`: see there."""
        ends = self._ends.get(number)
        if ends is None:
            return 0
        cut = ends[0].depth if reuse == "none" else self._limit(number, reuse)
        return shared if cut is None else min(shared, cut)


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

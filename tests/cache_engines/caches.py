"""Prefix caches as inference servers implement them: hashed blocks, a radix tree, and slots.

Each cache serves one request at a time. `serve(prompt, computed, now)` returns the number of prompt tokens that were
already present, then stores `computed`: the tokens whose keys and values the server has calculated for the request.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

Tokens = Sequence[int]


class PrefixCache(Protocol):
    """One cache of one server process."""

    def serve(self, prompt: Tokens, computed: Tokens, now: float) -> int:
        """Return how many leading tokens of `prompt` were cached, and store `computed`."""
        ...

    def clear(self) -> None:
        """Forget everything, as a restart of the server does."""
        ...


class PoolTooSmallError(Exception):
    """Raised if one request needs more blocks than the pool has; a server refuses such a request."""


@dataclass
class _Block:
    key: int | None = None
    used: float = 0.0
    stored: float = 0.0


class BlockCache:
    """Whole blocks identified by a chain of hashes, as in vLLM.

    `pool` is the number of blocks, None for no limit. A request takes the least recently used free block first; blocks
    of one request are released from its end, so that its tail is lost before its head. `minimum` is the smallest hit
    that is served, and the smallest prompt that is stored. `lifetime_s` counts from the last use of a block. With
    `recompute_last` the last prompt token is never served. A block is found `stored_after_s` after it was computed.
    """

    def __init__(
        self,
        block: int,
        *,
        pool: int | None = None,
        minimum: int = 0,
        lifetime_s: float | None = None,
        recompute_last: bool = True,
        stored_after_s: float = 0.0,
    ) -> None:
        self._size = block
        self._pool = pool
        self._minimum = minimum
        self._lifetime = lifetime_s
        self._last = 1 if recompute_last else 0
        self._stored_after = stored_after_s
        self.clear()

    def clear(self) -> None:
        self._blocks: list[_Block] = []
        self._free: OrderedDict[int, None] = OrderedDict()
        self._by_key: dict[int, set[int]] = {}

    def serve(self, prompt: Tokens, computed: Tokens, now: float) -> int:
        usable = (len(prompt) - self._last) // self._size
        hits = self._find(self._keys(prompt[: usable * self._size]), now)
        served = len(hits) * self._size
        if served < self._minimum:
            hits, served = [], 0
        if len(prompt) >= self._minimum:
            self._store(hits, computed, now)
        return served

    def _keys(self, tokens: Tokens) -> list[int]:
        keys = []
        parent = 0
        for start in range(0, len(tokens) - self._size + 1, self._size):
            parent = hash((parent, tuple(tokens[start : start + self._size])))
            keys.append(parent)
        return keys

    def _find(self, keys: list[int], now: float) -> list[int]:
        found = []
        for key in keys:
            same = [index for index in self._by_key.get(key, ()) if self._alive(index, now)]
            if not same:
                break
            found.append(max(same, key=lambda index: self._blocks[index].used))
        return found

    def _alive(self, index: int, now: float) -> bool:
        block = self._blocks[index]
        return block.stored <= now and (self._lifetime is None or now - block.used <= self._lifetime)

    def _store(self, hits: list[int], computed: Tokens, now: float) -> None:
        for index in hits:
            self._free.pop(index, None)
        keys: list[int | None] = list(self._keys(computed))
        if len(computed) % self._size:
            keys.append(None)
        owned = list(hits)
        for key in keys[len(hits) :]:
            owned.append(self._allocate(key))
            self._blocks[owned[-1]].stored = now + self._stored_after
        for index in owned:
            self._blocks[index].used = now
        for index in reversed(owned):
            self._free[index] = None

    def _allocate(self, key: int | None) -> int:
        if self._pool is None or len(self._blocks) < self._pool:
            index = len(self._blocks)
            self._blocks.append(_Block())
        elif self._free:
            index, _ = self._free.popitem(last=False)
        else:
            raise PoolTooSmallError
        block = self._blocks[index]
        if block.key is not None:
            self._by_key[block.key].discard(index)
            if not self._by_key[block.key]:
                del self._by_key[block.key]
        block.key = key
        if key is not None:
            self._by_key.setdefault(key, set()).add(index)
        return index


@dataclass
class _Node:
    edge: tuple[int, ...] = ()
    used: float = 0.0
    parent: _Node | None = None
    children: dict[int, _Node] = field(default_factory=dict)


def common_length(one: Tokens, two: Tokens) -> int:
    """Return the length of the longest common prefix."""
    limit = min(len(one), len(two))
    for index in range(limit):
        if one[index] != two[index]:
            return index
    return limit


class RadixCache:
    """A token-level radix tree, as in SGLang. The least recently used leaf is removed above `capacity` tokens."""

    def __init__(self, *, capacity: int | None = None, lifetime_s: float | None = None) -> None:
        self._capacity = capacity
        self._lifetime = lifetime_s
        self.clear()

    def clear(self) -> None:
        self._root = _Node()
        self._tokens = 0

    def serve(self, prompt: Tokens, computed: Tokens, now: float) -> int:
        self._expire(now)
        served = self._match(tuple(prompt[:-1]), now)
        self._insert(tuple(computed), now)
        self._evict()
        return served

    def _match(self, tokens: tuple[int, ...], now: float) -> int:
        node, matched = self._root, 0
        while matched < len(tokens) and (child := node.children.get(tokens[matched])) is not None:
            same = common_length(child.edge, tokens[matched:])
            matched += same
            if same < len(child.edge):
                self._split(child, same).used = now
                break
            child.used = now
            node = child
        return matched

    def _split(self, node: _Node, at: int) -> _Node:
        parent = node.parent
        assert parent is not None
        upper = _Node(node.edge[:at], node.used, parent, {node.edge[at]: node})
        parent.children[node.edge[0]] = upper
        node.edge, node.parent = node.edge[at:], upper
        return upper

    def _insert(self, tokens: tuple[int, ...], now: float) -> None:
        node, at = self._root, 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                node.children[tokens[at]] = _Node(tokens[at:], now, node)
                self._tokens += len(tokens) - at
                return
            same = common_length(child.edge, tokens[at:])
            if same < len(child.edge):
                child = self._split(child, same)
            child.used = now
            node, at = child, at + same

    def _leaves(self) -> list[_Node]:
        leaves, queue = [], list(self._root.children.values())
        while queue:
            node = queue.pop()
            queue.extend(node.children.values())
            if not node.children:
                leaves.append(node)
        return leaves

    def _remove(self, leaf: _Node) -> None:
        assert leaf.parent is not None
        del leaf.parent.children[leaf.edge[0]]
        self._tokens -= len(leaf.edge)

    def _evict(self) -> None:
        while self._capacity is not None and self._tokens > self._capacity:
            self._remove(min(self._leaves(), key=lambda node: node.used))

    def _expire(self, now: float) -> None:
        if self._lifetime is None:
            return
        while old := [leaf for leaf in self._leaves() if now - leaf.used > self._lifetime]:
            for leaf in old:
                self._remove(leaf)


class SlotCache:
    """A few slots, each with the tokens of the last request it served, as in llama.cpp.

    A request takes the slot that shares the largest part of its prompt, if that part is at least `similarity`; else
    the slot that was used least recently.
    """

    def __init__(self, slots: int = 1, *, similarity: float = 0.1) -> None:
        self._count = slots
        self._similarity = similarity
        self.clear()

    def clear(self) -> None:
        self._slots: list[tuple[tuple[int, ...], float]] = [((), float("-inf"))] * self._count

    def serve(self, prompt: Tokens, computed: Tokens, now: float) -> int:
        shared = [common_length(tokens, prompt) for tokens, _ in self._slots]
        chosen = max(range(self._count), key=lambda index: shared[index])
        if self._count > 1 and shared[chosen] < self._similarity * len(prompt):
            chosen = min(range(self._count), key=lambda index: self._slots[index][1])
        served = min(shared[chosen], len(prompt) - 1)
        self._slots[chosen] = (tuple(computed), now)
        return served


def stable_hash(tokens: Tokens) -> int:
    """Return a hash of tokens that is the same in every process."""
    return zlib.crc32(b"".join(token.to_bytes(4, "big") for token in tokens))

"""The simulated engine: tokenizer, chat template and prefix cache (blocks or slots, lifetime, capacity, replicas)."""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_PIECES = re.compile(
    r" ?[A-Za-z]{1,6}"  # Latin words, in pieces of at most six letters
    r"|\d{1,3}"
    r"|[\u0900-\u0dff\u0e00-\u0eff]{1,2}"  # Indic and Thai scripts
    r"| ?[\u0370-\u05ff\u0600-\u06ff]{1,3}"  # Greek, Cyrillic, Hebrew, Arabic
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff]"  # East Asian scripts
    r"|\s+|.",
    re.DOTALL,
)
MESSAGE_START, MESSAGE_END = "<|start|>", "<|end|>"
ToolsPosition = Literal["first", "system", "first-user", "last-user"]


@dataclass(frozen=True)
class Template:
    """A chat template.

    `tools`: position of the tools: before all messages, after the system text, or before the first or the last user
    message. `head_tokens`: constant tokens at the beginning. `message_tokens`: constant tokens of each message, in
    addition to its start, role and end.
    """

    tools: ToolsPosition = "first"
    head_tokens: int = 0
    message_tokens: int = 0

    def prompt(self, fields: Mapping[str, Any]) -> list[str]:
        """Return the whole prompt as tokens, up to the beginning of the answer."""
        tokens = [f"<|head {number}|>" for number in range(self.head_tokens)]
        tools = list(_tools(fields.get("tools") or ()))
        messages = fields["messages"]
        at = self._tools_index([str(message["role"]) for message in messages])
        if at is None:
            tokens += tools
        for index, message in enumerate(messages):
            if index == at and self.tools != "system":
                tokens += tools
            inside = tools if index == at and self.tools == "system" else ()
            tokens += self._message(message, inside)
        return [*tokens, *self._start("assistant")]

    def answer(self, message: Mapping[str, Any]) -> list[str]:
        """Return the tokens of an answer as they appear in the next request, without its role and end."""
        return list(_content(message))

    def _tools_index(self, roles: Sequence[str]) -> int | None:
        role = "system" if self.tools == "system" else "user"
        found = [index for index, name in enumerate(roles) if name == role]
        if self.tools == "first" or not found:
            return None
        return found[-1] if self.tools == "last-user" else found[0]

    def _message(self, message: Mapping[str, Any], inside: Sequence[str]) -> list[str]:
        return [*self._start(str(message["role"])), *_content(message), *inside, MESSAGE_END]

    def _start(self, role: str) -> list[str]:
        return [MESSAGE_START, role, *(f"<|extra {number}|>" for number in range(self.message_tokens))]


def pieces(text: str) -> list[str]:
    """Return the text cut into tokens; joined they are the text again."""
    return _PIECES.findall(text)


def _tools(tools: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for tool in tools:
        yield from (MESSAGE_START, "tool", *pieces(_compact(tool)), MESSAGE_END)


def _content(message: Mapping[str, Any]) -> Iterator[str]:
    for name, value in message.items():
        if name == "role" or value is None:
            continue
        if name != "content":
            yield f"<|{name}|>"
        yield from pieces(value if isinstance(value, str) else _compact(value))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


MAX_BLOCKS = 200_000
ROUTED_TOKENS = 256
"""Length of a prompt's beginning, in tokens, that determines its replica with prefix routing."""
Routing = Literal["random", "prefix", "round-robin"]


@dataclass(frozen=True)
class CacheOptions:
    """Cache parameters of an engine.

    `block_size`: tokens of the smallest unit that is served. `minimum`: prefixes shorter than this are not served.
    `capacity`: in tokens, least recently used blocks are evicted; None: 200,000 blocks. `slots`: if above 0, only the
    last prompts of that many slots are cached, whole and without blocks. `answers`: generated answers are cached too.
    """

    block_size: int = 16
    lifetime_s: float = 300.0
    minimum: int = 0
    capacity: int | None = None
    slots: int = 0
    answers: bool = True
    replicas: int = 1
    routing: Routing = "random"


Clock = Callable[[], float]


class PrefixCache:
    """A cache of whole blocks. The key of a block is the hash of its tokens and of all tokens before it."""

    def __init__(self, options: CacheOptions, clock: Clock = time.monotonic) -> None:
        self._options, self._clock = options, clock
        capacity = options.capacity
        self._max_blocks = MAX_BLOCKS if capacity is None else min(capacity // options.block_size, MAX_BLOCKS)
        self._used_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_at)

    def serve(self, tokens: Sequence[str]) -> int:
        """Return how many of these tokens are cached, and add them. At least one token is always computed."""
        now = self._clock()
        served = 0
        for end, block in self._blocks(tokens):
            if end >= len(tokens) or not self._is_fresh(block, now):
                break
            served = end
        self.add(tokens)
        return served if served >= self._options.minimum else 0

    def add(self, tokens: Sequence[str]) -> None:
        """Add tokens that were computed, also while generating an answer."""
        now = self._clock()
        for _, block in self._blocks(tokens):
            self._used_at[block] = now
            self._used_at.move_to_end(block)
        while len(self._used_at) > self._max_blocks:
            self._used_at.popitem(last=False)

    def _is_fresh(self, block: bytes, now: float) -> bool:
        used_at = self._used_at.get(block)
        return used_at is not None and now - used_at <= self._options.lifetime_s

    def _blocks(self, tokens: Sequence[str]) -> Iterator[tuple[int, bytes]]:
        before, size = b"", self._options.block_size
        for start in range(0, len(tokens) - size + 1, size):
            text = "\0".join(tokens[start : start + size]).encode("utf-8", "surrogatepass")
            before = hashlib.blake2b(before + text, digest_size=16).digest()
            yield start + size, before


class SlotCache:
    """The last prompt of each slot.

    A request takes the slot with the longest shared prefix, otherwise the oldest slot.
    """

    def __init__(self, options: CacheOptions, clock: Clock = time.monotonic) -> None:
        self._options, self._clock = options, clock
        self._slots: list[tuple[list[str], float]] = []

    def __len__(self) -> int:
        return len(self._slots)

    def serve(self, tokens: Sequence[str]) -> int:
        """Return how many of these tokens are cached, and keep them in a slot. At least one is always computed."""
        now = self._clock()
        shared = [self._shared(tokens, slot, used) for slot, used in self._slots]
        best = max(range(len(shared)), key=lambda index: shared[index], default=None)
        served = 0 if best is None else shared[best]
        if best is not None and (served or len(self._slots) >= self._options.slots):
            self._slots.pop(best if served else 0)
        self._slots.append((list(tokens), now))
        served = min(served, len(tokens) - 1)
        return served if served >= self._options.minimum else 0

    def add(self, tokens: Sequence[str]) -> None:
        """Replace the most recently served prompt by these tokens, which continue it."""
        if self._slots:
            self._slots[-1] = (list(tokens), self._clock())

    def _shared(self, tokens: Sequence[str], slot: Sequence[str], used: float) -> int:
        if self._clock() - used > self._options.lifetime_s:
            return 0
        pairs = enumerate(zip(tokens, slot, strict=False))
        return next((at for at, (left, right) in pairs if left != right), min(len(tokens), len(slot)))


Cache = PrefixCache | SlotCache


class Replicas:
    """Several caches; each request is routed to one of them."""

    def __init__(self, options: CacheOptions, clock: Clock) -> None:
        kind = SlotCache if options.slots else PrefixCache
        self._caches: list[Cache] = [kind(options, clock) for _ in range(options.replicas)]
        self._routing, self._chance, self._next = options.routing, random.Random(1), 0

    def __len__(self) -> int:
        return sum(len(cache) for cache in self._caches)

    def route(self, tokens: Sequence[str]) -> Cache:
        """Return the cache that serves this prompt."""
        if len(self._caches) == 1:
            return self._caches[0]
        if self._routing == "prefix":
            head = "\0".join(tokens[:ROUTED_TOKENS]).encode("utf-8", "surrogatepass")
            number = int.from_bytes(hashlib.blake2b(head, digest_size=8).digest(), "big")
            return self._caches[number % len(self._caches)]
        if self._routing == "round-robin":
            self._next += 1
            return self._caches[self._next % len(self._caches)]
        return self._chance.choice(self._caches)

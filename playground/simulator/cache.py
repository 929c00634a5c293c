"""The prefix cache: whole blocks of tokens, from the first token on, forgotten after an idle time."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

MAX_BLOCKS = 200_000


class PrefixCache:
    """A block is found by the hash of itself and of all before it, so nothing after a changed token can match."""

    def __init__(self, block_size: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._block_size, self._ttl_s, self._clock = block_size, ttl_s, clock
        self._used_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_at)

    def serve(self, tokens: Sequence[str]) -> int:
        """How many of these tokens come from the cache; from now on all whole blocks of them are in it.

        At least one token is always computed: the answer starts from it.
        """
        now = self._clock()
        served, matching = 0, True
        for end, block in self._blocks(tokens):
            matching = matching and end < len(tokens) and self._fresh(block, now)
            if matching:
                served = end
            self._used_at[block] = now
            self._used_at.move_to_end(block)
        while len(self._used_at) > MAX_BLOCKS:
            self._used_at.popitem(last=False)
        return served

    def _fresh(self, block: bytes, now: float) -> bool:
        used_at = self._used_at.get(block)
        return used_at is not None and now - used_at <= self._ttl_s

    def _blocks(self, tokens: Sequence[str]) -> Iterator[tuple[int, bytes]]:
        before = b""
        for start in range(0, len(tokens) - self._block_size + 1, self._block_size):
            end = start + self._block_size
            text = "\0".join(tokens[start:end]).encode("utf-8", "surrogatepass")
            before = hashlib.blake2b(before + text, digest_size=16).digest()
            yield end, before

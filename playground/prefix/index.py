"""What was sent lately, findable by longest shared prefix: one sorted list, a bisection, the nearest on both sides."""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from playground.prefix.common import common_prefix
from playground.prefix.view import CacheView, Part

MAX_BYTES = 64_000_000
"""Of text, in memory."""
MAX_ENTRIES = 2_000
MAX_PARTS = 100_000
EQUALS = 8
"""How many that share just as much are looked at on each side, for the newest."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent. `at` is unix seconds; tokens are as reported, None where they were not."""

    run_id: str
    request_id: str | None
    at: float
    text: str
    view: CacheView
    prompt_tokens: int | None = None
    cached_tokens: int | None = None

    @property
    def short_id(self) -> str:
        """What a person recognises it by."""
        return (self.request_id or self.run_id)[:8]


@dataclass(frozen=True, slots=True)
class Match:
    """A request that shares `length` code points of the cache's view with the prompt in hand."""

    sent: Sent
    length: int


class PrefixIndex:
    """The requests sent to one endpoint and model; the oldest go when there are too many.

    A prefix that is used again is warm again without more ado: the request that used it is in the index too.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._by_text: dict[str, dict[str, Sent]] = {}
        self._by_run: dict[str, Sent] = {}
        self._by_age: list[tuple[float, str]] = []
        self._parts: dict[Part, Part] = {}
        self._bytes = 0

    def add(self, sent: Sent) -> None:
        """Take a request in; one of the same run_id is replaced."""
        self._drop(sent.run_id)
        sent = replace(sent, view=self._shared_parts(sent.view))
        if sent.text not in self._by_text:
            insort(self._texts, sent.text)
            self._bytes += sys.getsizeof(sent.text)
        self._by_text.setdefault(sent.text, {})[sent.run_id] = sent
        self._by_run[sent.run_id] = sent
        insort(self._by_age, (sent.at, sent.run_id))
        while len(self._by_age) > 1 and (self._bytes > MAX_BYTES or len(self._by_age) > MAX_ENTRIES):
            self._drop(self._by_age[0][1])

    def _shared_parts(self, view: CacheView) -> CacheView:
        # Prompts that begin alike have the same parts: kept once, they do not slow the collector down.
        if len(self._parts) > MAX_PARTS:
            self._parts.clear()
        return CacheView(view.text, tuple(self._parts.setdefault(part, part) for part in view.parts))

    def _drop(self, run_id: str) -> None:
        sent = self._by_run.pop(run_id, None)
        if sent is None:
            return
        del self._by_age[bisect_left(self._by_age, (sent.at, run_id))]
        same = self._by_text[sent.text]
        del same[run_id]
        if not same:
            del self._by_text[sent.text]
            del self._texts[bisect_left(self._texts, sent.text)]
            self._bytes -= sys.getsizeof(sent.text)

    def __len__(self) -> int:
        return len(self._by_run)

    def get(self, run_id: str) -> Sent | None:
        """The request of that run."""
        return self._by_run.get(run_id)

    def newest_first(self, limit: int) -> list[Sent]:
        """The requests sent last, at most `limit` of them."""
        return [self._by_run[run_id] for _, run_id in self._by_age[: -limit - 1 : -1]]

    def match(self, text: str, since: float) -> Match | None:
        """The request sent at or after `since` (unix seconds) with the longest shared prefix; the newest of equals."""
        return self.nearest(text, lambda sent: sent.at >= since)

    def nearest(self, text: str, accept: Callable[[Sent], bool]) -> Match | None:
        """The accepted request with the longest shared prefix; the newest of equals."""
        at = bisect_left(self._texts, text)
        sides = (range(at, len(self._texts)), range(at - 1, -1, -1))
        # Away from the text's own place the shared prefix only gets shorter: the first on each side has the longest.
        rows = [list(islice(self._accepted(side, accept), EQUALS)) for side in sides]
        lengths = [common_prefix(row[0].text, text) if row else -1 for row in rows]
        longest = max(lengths)
        if longest < 0:
            return None
        head = text[:longest]
        equals = [
            sent
            for row, length in zip(rows, lengths, strict=True)
            if length == longest
            for sent in takewhile(lambda sent: sent.text.startswith(head), row)
        ]
        return Match(max(equals, key=lambda sent: sent.at), longest)

    def _accepted(self, places: range, accept: Callable[[Sent], bool]) -> Iterator[Sent]:
        for place in places:
            same = [sent for sent in self._by_text[self._texts[place]].values() if accept(sent)]
            if same:
                yield max(same, key=lambda sent: sent.at)

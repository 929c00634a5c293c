"""What was sent lately, findable by longest shared prefix: one sorted list, a bisection, two neighbours."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass

from playground.prefix.common import common_prefix
from playground.prefix.view import CacheView

MAX_CHARS = 64_000_000
MAX_ENTRIES = 2_000
NEIGHBOURS = 8
"""How far to look to each side for a newer request that shares just as much."""


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
    """The requests sent to one endpoint and model, newest text wins."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._by_text: dict[str, Sent] = {}
        self._by_age: OrderedDict[str, Sent] = OrderedDict()
        self._chars = 0

    def add(self, sent: Sent) -> None:
        """Take a request in; one of the same run_id is replaced."""
        self._drop(sent.run_id)
        if sent.text not in self._by_text:
            insort(self._texts, sent.text)
            self._chars += len(sent.text)
        self._by_text[sent.text] = sent
        self._by_age[sent.run_id] = sent
        while self._chars > MAX_CHARS or len(self._by_age) > MAX_ENTRIES:
            self._drop(next(iter(self._by_age)))

    def _drop(self, run_id: str) -> None:
        sent = self._by_age.pop(run_id, None)
        if sent is not None and self._by_text.get(sent.text) is sent:
            del self._by_text[sent.text]
            del self._texts[bisect_left(self._texts, sent.text)]
            self._chars -= len(sent.text)

    def get(self, run_id: str) -> Sent | None:
        """The request of that run."""
        return self._by_age.get(run_id)

    def newest(self) -> Sent | None:
        """The request sent last."""
        return next(reversed(self._by_age.values()), None)

    def match(self, text: str, since: float) -> Match | None:
        """The request sent at or after `since` (unix seconds) with the longest shared prefix; the newest of equals."""
        at = bisect_left(self._texts, text)
        nearby = self._texts[max(at - NEIGHBOURS, 0) : at + NEIGHBOURS]
        fresh = [sent for sent in (self._by_text[other] for other in nearby) if sent.at >= since]
        if len(fresh) < len(nearby):
            # Old ones stand between: the nearest fresh ones may be further away.
            fresh = [sent for sent in self._by_text.values() if sent.at >= since]
        matches = [Match(sent, common_prefix(sent.text, text)) for sent in fresh]
        return max(matches, key=lambda match: (match.length, match.sent.at), default=None)

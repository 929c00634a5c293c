"""What was sent lately, findable by longest shared prefix; in a tree, so that what many share stands once."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from playground.prefix_cache.tree import Entry, PrefixTree
from playground.prefix_cache.view import CacheView
from playground.prompt.document import Json

MAX_BYTES = 64_000_000
"""Of text, in memory; what several share counts once."""
MAX_ENTRIES = 100_000
MADE = 64
"""Requests whose text is kept put together."""


@dataclass(frozen=True, slots=True)
class Sent:
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
    def short_id(self) -> str:
        """What the user recognises it by."""
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
        self._tree = PrefixTree()
        self._by_run: dict[str, Entry] = {}
        self._by_age: list[tuple[float, str]] = []
        self._made: OrderedDict[str, Sent] = OrderedDict()

    def add(self, sent: Sent) -> None:
        """Take a request in; one of the same run_id is replaced."""
        self._drop(sent.run_id)
        entry = Entry(
            sent.run_id,
            sent.request_id,
            sent.at,
            sent.prompt_tokens,
            sent.cached_tokens,
            sent.shared_chars,
            sent.fields,
            sent.tag,
        )
        self._tree.add(entry, sent.view if sent.view.text == sent.text else CacheView(sent.text, ()))
        self._by_run[sent.run_id] = entry
        insort(self._by_age, (sent.at, sent.run_id))
        while len(self._by_age) > 1 and (self._tree.size > MAX_BYTES or len(self._by_age) > MAX_ENTRIES):
            self._drop(self._by_age[0][1])

    def _drop(self, run_id: str) -> None:
        entry = self._by_run.pop(run_id, None)
        if entry is None:
            return
        self._made.pop(run_id, None)
        del self._by_age[bisect_left(self._by_age, (entry.at, run_id))]
        self._tree.drop(entry)

    def __len__(self) -> int:
        return len(self._by_run)

    @property
    def text_bytes(self) -> int:
        """Of text in memory, what is shared counted once."""
        return self._tree.size

    def get(self, run_id: str) -> Sent | None:
        """The request of that run."""
        entry = self._by_run.get(run_id)
        return self._sent(entry) if entry else None

    def newest_first(self, limit: int) -> list[Sent]:
        """The requests sent last, at most `limit` of them."""
        return [self._sent(self._by_run[run_id]) for _, run_id in self._by_age[: -limit - 1 : -1]]

    def match(self, text: str, since: float) -> Match | None:
        """The request sent at or after `since` (unix seconds) with the longest shared prefix; the newest of equals."""
        for node, length in reversed(self._tree.path(text)):
            if node.newest is not None and node.newest.at >= since:
                return Match(self._sent(node.newest), length)
        return None

    def counted(self, text: str) -> Match | None:
        """The request with the longest shared prefix of those whose tokens the server has counted."""
        for node, length in reversed(self._tree.path(text)):
            if node.counted is not None:
                return Match(self._sent(node.counted), length)
        return None

    def best(self, text: str, limit: int) -> list[Match]:
        """At most `limit` requests, the longest shared prefix first, of equals the newest first."""
        return [Match(self._sent(entry), length) for entry, length in self._tree.best(text, limit)]

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

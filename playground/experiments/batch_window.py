"""How many prefixes of a batch may be in use at once, so that the server's cache does not evict one that is needed."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import field

from playground.dataclass import dataclass
from playground.experiments.batch_plan import GROUP_SHARE, PlannedRow
from playground.runs.state import RunState

LEADER_SHARE = 0.1
"""A row leads others if they share at least this part of their prompts with it, beyond the part it shares itself."""
PROBE_SHARE = 0.01
"""Most of the cached rows so far that a test of a larger limit may cost."""
HOPELESS_ROWS = 20
"""If so many rows found nothing of their prefix in the cache, and none found it, order saves nothing."""
HIT_SHARE = 0.5
"""Least part of the expected cached tokens that counts as found."""
PATIENCE = 3.0
"""A leader blocks further prefixes for at most this multiple of the median time to first token."""
LEAST_PATIENCE_S = 1.0
TIMES = 31
ROOM_OF_PREFIX = 2
"""Room in the cache per open prefix, in prompts: the other ones are for what differs, and for completions."""


def leads(plan: Sequence[PlannedRow]) -> frozenset[int]:
    """Return the positions of the rows whose prefix others need from the cache."""
    return frozenset(
        item.after
        for item in plan
        if item.after is not None and item.shared_chars - plan[item.after].shared_chars >= LEADER_SHARE * item.chars
    )


def opens_prefix(item: PlannedRow) -> bool:
    """Return whether most of a row's prompt is not shared with the rows before it."""
    return item.shared_chars < GROUP_SHARE * item.chars


def prefixes_held(capacity_tokens: float, prompt_tokens: float) -> int:
    """Return the number of prefixes that may be open in a cache that holds at least `capacity_tokens`, 1 or more.

    `prompt_tokens`: of the longest prompt.
    """
    return max(int(min(capacity_tokens / (ROOM_OF_PREFIX * max(prompt_tokens, 1.0)), 1e6)), 1)


@dataclass(slots=True)
class PrefixWindow:
    """Limit of the prefixes that are open at once: their leader is in flight, and other rows wait for it.

    The limit begins at 1: the rows of a prefix are sent before the next prefix is opened, which no cache is too small
    for. It doubles if workers waited because of it, every row since the last change found its prefix in the cache, and
    the rows that a larger limit could cost are at most PROBE_SHARE of those found so far. If a row misses its prefix
    at a limit above 1, the limit returns to the one before and stays below the failed one.

    Args:
        concurrency: the number of requests at once; the limit is never higher.
        limit: the first limit, if the cache is known to hold more than one prefix.
    """

    concurrency: int
    limit: int = 1
    found: int = 0
    """Rows that found their prefix in the cache."""
    missed: int = 0
    _ceiling: int | None = None
    _waited: bool = False
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=TIMES))

    def wait(self) -> None:
        """Note that a worker waits because of the limit."""
        self._waited = True

    @property
    def patience_s(self) -> float | None:
        """Return the seconds for which a leader blocks further prefixes; None before the first known time."""
        return max(PATIENCE * statistics.median(self._times), LEAST_PATIENCE_S) if self._times else None

    def learn(self, item: PlannedRow, state: RunState, open_prefixes: int) -> None:
        """Adjust the limit to the report of an answered row. `open_prefixes`: most at once since the row before it."""
        if state.ttft_s is not None:
            self._times.append(state.ttft_s)
        usage = state.usage
        if opens_prefix(item) or usage is None or usage.cached_tokens is None or not usage.prompt_tokens:
            return
        expected = usage.prompt_tokens * item.shared_chars / max(item.chars, 1)
        if usage.cached_tokens >= HIT_SHARE * expected:
            self.found += 1
            self._raise(open_prefixes)
            return
        self.missed += 1
        if not self.found and self.missed >= HOPELESS_ROWS:
            self.limit = self.concurrency
        elif self.found and self.limit > 1 and open_prefixes > 1:
            self._ceiling = min(self.limit, open_prefixes) - 1
            self.limit, self._waited = max(min(self.limit // 2, self._ceiling), 1), False

    def _raise(self, open_prefixes: int) -> None:
        wanted = min(self.limit * 2, self._ceiling or self.concurrency, self.concurrency)
        at_risk = wanted * self.concurrency
        if wanted > self.limit and self._waited and at_risk <= PROBE_SHARE * self.found and open_prefixes >= self.limit:
            self.limit, self._waited = wanted, False

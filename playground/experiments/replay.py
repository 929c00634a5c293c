"""Replay of logged requests: cached tokens, causes of broken prefixes, and savings that stable prefixes would give.

Requests are explained in the order in which they were sent, by the same cache model as live ones. Pure: it runs on a
thread. Tokens are the server's reports; shares of them are estimates (≈).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from msgspec import Struct

from playground.prefix_cache.difference import IN_THE_PROMPT, TITLES, Cause
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.requestlog.filter import LogFilter
from playground.requestlog.log import RequestLog
from playground.runs.cache_memory import sent_from_log
from playground.runs.metrics import counted, percent
from playground.runs.record import SentRow

BINS = 24
"""Number of bins of a chart."""


class Logged(Struct, frozen=True):
    """One accepted request of the log with its report. `where` is its endpoint's id and model."""

    sent: Sent
    usage: CacheUsage
    where: tuple[str, str]


class Bin(Struct, frozen=True):
    """A period that ends at `end` (unix seconds), and its reported tokens."""

    end: float
    cached: int
    fresh: int


class Breaker(Struct):
    """A cause of broken prefixes: `title` names it, `place` its position.

    `lost`: ≈ tokens that were sent fresh though an earlier version of the prompt had them, too. `runs`: run_ids, oldest
    first.
    """

    cause: Cause
    title: str
    place: str
    lost: float = 0.0
    runs: list[str] = []


class CacheHistory(Struct, frozen=True):
    """`prompt` and `cached` are sums over the `compared` requests that reported cached tokens; `unreported` did not.
    `sign` is "≈ " if prompt tokens that were not reported are estimated.

    `stable_cached` is the ≈ part of `prompt` that the cache would have served if every prompt began with the text in
    common with its earlier version.
    """

    compared: int
    unreported: int
    prompt: int
    cached: int
    stable_cached: float
    bins: tuple[Bin, ...]
    breakers: tuple[Breaker, ...]
    sign: str = ""

    @property
    def sentences(self) -> tuple[str, ...]:
        if not self.compared:
            return ("None of these requests reported cached tokens: nothing is known of the cache.",)
        sentences = [
            f"{counted(self.compared, 'request')}: {self.cached:,} of {self.sign}{self.prompt:,} tokens came from the "
            f"cache ({percent(self.cached / self.prompt if self.prompt else 0.0)}, weighted by tokens)."
        ]
        if self.unreported:
            sentences.append(f"{self.unreported:,} more reported no usable count, and are left out.")
        more = self.stable_cached - self.cached
        if more >= 1 and self.prompt:
            share = percent(self.stable_cached / self.prompt)
            sentences.append(f"With what varies put last, ≈ {self.stable_cached:,.0f} ({share}): ≈ {more:,.0f} more.")
        return tuple(sentences)


def replay(requests: Iterable[Logged], lifetime_s: float) -> CacheHistory:
    """Replay requests, oldest first. `lifetime_s`: how long an unused prefix is assumed to stay cached."""
    now = [0.0]
    forecaster = CacheForecaster(lifetime_s, lambda: now[0])
    known: list[_Reported] = []
    unreported, stable, sign = 0, 0.0, ""
    breakers: dict[tuple[Cause, str], Breaker] = {}
    for one in requests:
        sent, usage = one.sent, one.usage
        now[0] = sent.at
        forecaster.record(*one.where, sent)
        cache = forecaster.model(*one.where)
        prediction = cache.pending(sent.run_id)
        compared = prediction.compared if prediction is not None else None
        settled = forecaster.settle(*one.where, sent.run_id, usage)
        total = usage.prompt_tokens if prediction is None else prediction.counted(usage)
        if total is None or usage.cached_tokens is None:
            unreported += 1
            continue
        sign = sign if usage.prompt_tokens is not None else "≈ "
        reported = _Reported(sent, total, usage.cached_tokens)
        known.append(reported)
        why = settled.explanation if settled is not None else None
        lost = _lost(reported, compared, why)
        stable += reported.cached + lost
        if why is not None and lost:
            place = _place(why)
            breaker = breakers.setdefault((why.cause, place), Breaker(why.cause, TITLES[why.cause], place))
            breaker.lost += lost
            breaker.runs.append(sent.run_id)
    return CacheHistory(
        compared=len(known),
        unreported=unreported,
        prompt=sum(one.prompt for one in known),
        cached=sum(one.cached for one in known),
        stable_cached=stable,
        bins=_bins(known),
        breakers=tuple(sorted(breakers.values(), key=lambda one: -one.lost)),
        sign=sign,
    )


class _Reported(Struct, frozen=True):
    """A request with its prompt tokens, and those of them that the server reported as cached."""

    sent: Sent
    prompt: int
    cached: int


def _lost(reported: _Reported, earlier: Sent | None, why: MissExplanation | None) -> float:
    """Return the ≈ tokens that a request lost by a change in the prompt; 0 if the prompt is not the cause."""
    if earlier is None or why is None or why.cause not in IN_THE_PROMPT:
        return 0.0
    lost = reported.prompt * _common_share(reported.sent.text, earlier.text) - reported.cached
    return lost if lost >= 1 else 0.0


def _place(why: MissExplanation) -> str:
    if why.message is not None:
        return f"message {why.message + 1}"
    return f"tool {why.tool + 1}" if why.tool is not None else "the request"


def _common_share(now: str, earlier: str) -> float:
    """Return the share of a text that is in lines of the earlier text, regardless of their position."""
    theirs = set(earlier.splitlines())
    common = sum(len(line) + 1 for line in now.splitlines() if line in theirs)
    return min(common / (len(now) + 1), 1.0)


def _bins(known: Sequence[_Reported]) -> tuple[Bin, ...]:
    """Return bins of equal duration from the first request to the last."""
    if not known:
        return ()
    first, last = known[0].sent.at, known[-1].sent.at
    width = max((last - first) / BINS, 1e-9)
    sums = [[0, 0] for _ in range(BINS)]
    for one in known:
        place = min(int((one.sent.at - first) / width), BINS - 1)
        sums[place][0] += one.cached
        sums[place][1] += max(one.prompt - one.cached, 0)
    return tuple(Bin(first + width * (n + 1), cached, fresh) for n, (cached, fresh) in enumerate(sums))


MOST = 2_000
"""Maximum number of requests that are replayed: the newest ones of the filter."""


async def replay_log(log: RequestLog, chosen: LogFilter, lifetime_s: float) -> CacheHistory:
    """Replay the requests that match a filter, at most the newest MOST. Works in a thread."""
    rows = await log.page(chosen, None, MOST)
    bodies: list[tuple[SentRow, tuple[str, str]]] = []
    for where in sorted({(row.endpoint_id, row.model) for row in rows}):
        mine = {row.run_id for row in rows if (row.endpoint_id, row.model) == where}
        since = min(row.started_utc for row in rows if row.run_id in mine)
        bodies += [(sent, where) for sent in await log.sent_since(*where, since, accepted=True) if sent.run_id in mine]

    def work() -> CacheHistory:
        ordered = sorted(bodies, key=lambda pair: pair[0].started_utc)
        return replay((Logged(*sent_from_log(row), where) for row, where in ordered), lifetime_s)

    return await asyncio.to_thread(work)

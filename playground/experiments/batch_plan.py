"""The plan of a batch: the prompt of each row, the order that keeps prefixes warm, and its forecast."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.client.endpoint import Endpoint, PlanLimits, Rates
from playground.experiments.batch_rows import BatchRow, document_of
from playground.prefix_cache.text_compare import common_prefix
from playground.prompt.document import Document, places
from playground.runs.metrics import dollars
from playground.runs.service import RequestService

Order = Literal["warm", "file"]
Parts = tuple[str, ...]

MINUTE_S = 60.0
REQUEST_S = 2.0
"""Assumed duration of a request."""
STEP_CHARS = 64
"""Characters in about one cache block of 16 tokens."""
GROUP_SHARE = 0.5
"""Least share of a prompt that it has in common with the row before it in its group."""


class PlannedRow(Struct, frozen=True):
    """A row with its prompt. `parts` make up the prompt in the order in which the cache reads it.

    Fixed parts are the same objects in every row, so that a plan needs memory for the values only.
    """

    row: BatchRow
    document: Document
    parts: Parts
    after: int | None = None
    """Position in the plan of the row whose prefix this one shares most; it must be in the cache first."""
    shared_chars: int = 0
    """Characters that it shares with the row before it."""

    @property
    def chars(self) -> int:
        return sum(map(len, self.parts))


def _template(document: Document) -> tuple[list[str], list[str]]:
    """Return the fixed parts of a prompt and the names of the variables after each but the last of them."""
    fixed, found = ["\x02".join(tool.json_text for tool in document.tools)], []
    for message in document.messages:
        text, last = message.content or "", 0
        fixed[-1] += f"\x00{message.role}\x01"
        for place in places(text):
            fixed[-1] += text[last : place.start]
            fixed.append("")
            found.append(place.name)
            last = place.end
        fixed[-1] += text[last:]
    return fixed, found


def _parts(fixed: Sequence[str], variables: Sequence[str], values: Mapping[str, str]) -> Parts:
    parts = [fixed[0]]
    for text, name in zip(fixed[1:], variables, strict=True):
        parts += (values.get(name, f"{{{{{name}}}}}"), text)
    return tuple(parts)


def plan_rows(
    document: Document, rows: Sequence[BatchRow], columns: Mapping[str, str], order: Order
) -> tuple[PlannedRow, ...]:
    """Return the rows in the order of sending.

    `warm` sorts by prompt, so that rows that share a prefix follow each other; each waits for the first row that
    shares as much of it as any earlier row does. `file` keeps the file's order without waiting.
    """
    fixed, variables = _template(document)
    known: dict[str, str] = {}
    planned = []
    for row in rows:
        # Equal values become one object: comparing prompts is fast then, and so is counting their tokens.
        values = {name: known.setdefault(value, value) for name, value in row.values.items()}
        made = document_of(document, BatchRow(row.number, values), columns)
        planned.append(PlannedRow(row, made, _parts(fixed, variables, made.variables)))
    if order == "file":
        return tuple(planned)
    planned.sort(key=lambda item: (item.parts, item.row.number))
    return tuple(_with_leaders(planned))


def without(planned: Sequence[PlannedRow], numbers: frozenset[int] | set[int], order: Order) -> tuple[PlannedRow, ...]:
    """Return the plan of the rows that are left if those with the given numbers are finished."""
    left = [replace(item, after=None, shared_chars=0) for item in planned if item.row.number not in numbers]
    return tuple(left if order == "file" else _with_leaders(left))


def groups(planned: Sequence[PlannedRow]) -> list[int]:
    """Return the group of each row, from 0 on; rows of a group share most of their prompt and follow each other."""
    found: list[int] = []
    for position, item in enumerate(planned):
        new = position == 0 or item.shared_chars < GROUP_SHARE * item.chars
        found.append((found[-1] if found else -1) + new)
    return found


def _with_leaders(planned: Sequence[PlannedRow]) -> Iterable[PlannedRow]:
    """Give each row the earliest row that shares its longest shared prefix.

    In sorted order the longest prefix shared with any earlier row is the one shared with the row before. `open_leaders`
    has pairs of shared length and position, with rising lengths: from that position on, every row shares at least
    that length. Lengths are compared in steps of `STEP_CHARS`: waiting for a few more shared characters saves no block.
    """
    open_leaders: list[tuple[int, int]] = []
    for position, item in enumerate(planned):
        if position == 0:
            yield item
            continue
        shared = shared_length(planned[position - 1].parts, item.parts)
        leader, steps = position - 1, shared // STEP_CHARS
        while open_leaders and open_leaders[-1][0] >= steps:
            leader = open_leaders.pop()[1]
        open_leaders.append((steps, leader))
        yield replace(item, after=leader, shared_chars=shared)


def shared_length(first: Parts, second: Parts) -> int:
    """Return the number of leading characters that two prompts share, not beyond the first part that differs."""
    shared = 0
    for one, other in zip(first, second, strict=False):
        if one is not other and one != other:
            return shared + common_prefix(one, other)
        shared += len(one)
    return shared


class RowForecast(Struct, frozen=True):
    """Estimates (≈) for one row of a plan: tokens, and the seconds from the start of the batch to its own."""

    prompt_tokens: float
    cached_tokens: float
    start_s: float


class BatchForecast(Struct, frozen=True):
    """Estimates (≈) for a batch. Money is None if the rate is unknown."""

    requests: int
    prompt_tokens: float
    cached_tokens: float
    seconds: float
    input_cost: float | None
    rows: tuple[RowForecast, ...] = ()

    @property
    def cached_share(self) -> float:
        """Cached tokens as a share of prompt tokens, 0 to 1."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


class ServerCache(Struct, frozen=True):
    """What is known of a server's cache. The functions may be called in a worker.

    lifetime_s: seconds after which an unused prefix is no longer cached.
    count: returns the tokens (≈) of a text.
    served: returns how many tokens are served if the cache has so many of a prompt's prefix.
    warm: returns the share (0 to 1) of a prompt that is cached before the batch.
    """

    count: Callable[[str], float]
    lifetime_s: float = 300.0
    served: Callable[[float], float] = lambda shared: shared
    warm: Callable[[Document], float] = lambda _document: 0.0

    @classmethod
    def of(cls, service: RequestService, endpoint: Endpoint, document: Document) -> ServerCache:
        """Return what reports have taught of an endpoint, for rows of a document.

        Tokens are in proportion to the forecast of the document itself, so that both are one figure.
        """
        cache, where, began = service.forecaster, (endpoint.id, endpoint.model), service.cache_began(endpoint)
        fields = {"model": endpoint.model, **document.parameters}
        estimate = cache.counter(*where).estimate
        counted = sum(map(estimate, _parts(*_template(document), document.variables)))
        scale = service.forecast(document, endpoint).forecast.prompt_tokens / counted if counted else 1.0
        return cls(
            lambda text: scale * estimate(text),
            cache.lifetime(*where),
            lambda shared: cache.served(shared, *where, fields),
            lambda sent: cache.shared(sent, *where, began),
        )


def forecast_batch(
    planned: Sequence[PlannedRow],
    cache: ServerCache,
    *,
    plan: PlanLimits,
    rates: Rates,
    concurrency: int,
    warm: Mapping[int, float] | None = None,
) -> BatchForecast:
    """Simulate the batch on a prefix cache without a size limit, with requests of REQUEST_S.

    `warm`: by row number the share of the prompt that is in the cache before the batch; None: nothing is.
    """
    at_once = min(concurrency, plan.in_flight or concurrency)
    starts, ends = _schedule([item.after for item in planned], at_once, plan.requests_per_minute, REQUEST_S)
    cached_chars = _cached_chars(planned, starts, ends, cache.lifetime_s)
    tokens = lru_cache(None)(cache.count)

    def row(item: PlannedRow, chars: int, start: float) -> RowForecast:
        whole, shared = sum(map(tokens, item.parts)), _prefix_tokens(item.parts, chars, tokens)
        if warm:
            shared = max(shared, warm[item.row.number] * whole)
        return RowForecast(whole, cache.served(max(min(shared, whole - 1), 0.0)), start)

    rows = tuple(map(row, planned, cached_chars, starts))
    total, cached = sum(row.prompt_tokens for row in rows), sum(row.cached_tokens for row in rows)
    cost = rates.input_cost(total - cached, cached)
    return BatchForecast(len(planned), total, cached, max(ends, default=0.0), cost, rows)


class BatchPlan(Struct, frozen=True):
    """Rows in the order of sending with the forecast of that order and of the data's own."""

    rows: tuple[PlannedRow, ...]
    columns: Mapping[str, str]
    order: Order
    forecast: BatchForecast
    file_order: BatchForecast

    @property
    def saved_cost(self) -> float | None:
        """Return the dollars (≈) that this order saves against the data's order; None if a rate is unknown."""
        chosen, other = self.forecast.input_cost, self.file_order.input_cost
        return None if chosen is None or other is None else other - chosen


SAME_DOLLARS = 1e-9
"""A smaller difference of two costs is the rounding of sums."""


def against_file_order(saved: float) -> str:
    """Compare a cost with that of the data's order; `saved`: the dollars (≈) that it is less."""
    if abs(saved) <= SAME_DOLLARS:
        return "as much as in file order"
    return f"≈ {dollars(abs(saved))} {'less' if saved > 0 else 'more'} than in file order"


def make_plan(
    document: Document,
    rows: Sequence[BatchRow],
    columns: Mapping[str, str],
    order: Order,
    cache: ServerCache,
    endpoint: Endpoint,
    *,
    concurrency: int,
) -> BatchPlan:
    """Plan a batch and forecast it in both orders. `columns` has the column of each variable."""
    planned = plan_rows(document, rows, columns, order)
    warm = {item.row.number: cache.warm(item.document) for item in planned}

    def forecast(planned: Sequence[PlannedRow]) -> BatchForecast:
        limits, rates = endpoint.plan, endpoint.rates
        return forecast_batch(planned, cache, plan=limits, rates=rates, concurrency=concurrency, warm=warm)

    in_file_order = planned if order == "file" else plan_rows(document, rows, columns, "file")
    chosen = forecast(planned)
    return BatchPlan(planned, columns, order, chosen, chosen if order == "file" else forecast(in_file_order))


def _prefix_tokens(parts: Parts, chars: int, tokens: Callable[[str], float]) -> float:
    """Return the estimated tokens of the first `chars` characters."""
    found = 0.0
    for part in parts:
        if chars < len(part):
            return found + (tokens(part) * chars / len(part) if chars else 0.0)
        found, chars = found + tokens(part), chars - len(part)
    return found


def _schedule(
    after: Sequence[int | None], at_once: int | None, per_minute: int | None, seconds_each: float
) -> tuple[list[float], list[float]]:
    """Return start and end of each request: within the limits, each after the end of the one at position `after`."""
    starts: list[float] = []
    ends: list[float] = []
    running: list[float] = []
    for leader in after:
        start = 0.0 if leader is None else ends[leader]
        if at_once and len(running) >= at_once:
            start = max(start, heappop(running))
        if per_minute and len(starts) >= per_minute:
            start = max(start, starts[-per_minute] + MINUTE_S)
        starts.append(start)
        ends.append(start + seconds_each)
        heappush(running, ends[-1])
    return starts, ends


def _cached_chars(
    planned: Sequence[PlannedRow], starts: Sequence[float], ends: Sequence[float], lifetime_s: float
) -> list[int]:
    """Return for each row the characters of the longest prefix of a row that ended before it started, and in time.

    A row's own read renews the prefix that it shares, so every ended row counts with its own end. Texts are compared in
    sorted order, in which the best partner is a neighbour among the rows that are in the cache at that moment.
    """
    order = sorted(range(len(planned)), key=lambda position: starts[position])
    by_end = sorted(range(len(planned)), key=lambda position: ends[position])
    cached: list[tuple[Parts, int]] = []
    found = [0] * len(planned)
    joined = left = 0
    for position in order:
        while joined < len(by_end) and ends[by_end[joined]] <= starts[position]:
            insort(cached, (planned[by_end[joined]].parts, by_end[joined]))
            joined += 1
        while left < joined and ends[by_end[left]] + lifetime_s < starts[position]:
            gone = (planned[by_end[left]].parts, by_end[left])
            del cached[bisect_left(cached, gone)]
            left += 1
        at = bisect_left(cached, (planned[position].parts, -1))
        found[position] = max(
            (
                shared_length(cached[near][0], planned[position].parts)
                for near in (at - 1, at)
                if 0 <= near < len(cached)
            ),
            default=0,
        )
    return found


def shard(planned: Sequence[PlannedRow], number: int, of: int) -> tuple[BatchRow, ...]:
    """Return the rows of shard `number` (from 1) of `of`, in the order of the data.

    Shards are consecutive parts of the warm order, whatever the order of sending, so that rows with a common prefix are
    in one shard and every machine computes the same shards from the same prompt and data.
    """
    size, rest = divmod(len(planned), of)
    first = (number - 1) * size + min(number - 1, rest)
    chosen = planned[first : first + size + (1 if number <= rest else 0)]
    return tuple(sorted((item.row for item in chosen), key=lambda row: row.number))


def plan_of_shard(plan: PlanLimits, of: int) -> PlanLimits:
    """Return the part of the account's limits that one of `of` machines may use."""

    def part(limit: int | None) -> int | None:
        return None if limit is None else max(limit // of, 1)

    return PlanLimits(f"{plan.name} / {of}", part(plan.requests_per_minute), part(plan.in_flight))


def plan_batch(n: int, in_flight: int | None, per_minute: int | None, seconds_each: float) -> float:
    """Seconds until `n` requests have finished, each taking `seconds_each`.

    At most `in_flight` run at once and at most `per_minute` start in any 60 seconds; None is no limit. Assumes
    no other traffic of the account and no retries, so the result is a lower bound. Raises ValueError for a limit
    below 1 or a negative figure.
    """
    if n < 0 or seconds_each < 0 or min(in_flight or 1, per_minute or 1) < 1 or 0 in (in_flight, per_minute):
        raise ValueError("a batch has 0 or more requests of 0 or more seconds, and a limit is at least 1")
    return max(_schedule([None] * n, in_flight, per_minute, seconds_each)[1], default=0.0)

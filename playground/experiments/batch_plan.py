"""The plan of a batch: rows of a data file, the prompt of each, the order that keeps prefixes warm, and its forecast.

Pure: does not send requests.
"""

from __future__ import annotations

import csv
import io
import json
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Literal

from playground.client.endpoint import PlanLimits, Rates
from playground.client.pricing import PER
from playground.prompt.document import Document
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.variables import names, render

Order = Literal["warm", "file"]

MAX_DATA_BYTES = 268_435_456
MAX_ROWS = 1_000_000
MINUTE_S = 60.0
STEP_CHARS = 64
"""Characters in about one cache block of 16 tokens."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row of the data file. `number` counts from 0 in the file, whatever the order of sending."""

    number: int
    values: Mapping[str, str]


def read_rows(data: bytes, name: str) -> tuple[BatchRow, ...]:
    """Read rows from CSV with a header line, JSON lines, or a JSON array of objects.

    `name` is the file's name: `.csv` and `.tsv` are tables, everything else is JSON. Values that are not text become
    JSON text. Raises InputError with the line of the first bad row.
    """
    if len(data) > MAX_DATA_BYTES:
        raise InputError(FieldError(("data",), f"{name} has {len(data):,} bytes; the limit is {MAX_DATA_BYTES:,}."))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            FieldError(("data",), f"{name} is not UTF-8 text (byte {error.start:,}).", "Save it as UTF-8.")
        ) from None
    lower = name.lower()
    found = list(
        _table(text, "\t" if lower.endswith(".tsv") else ",") if lower.endswith((".csv", ".tsv")) else _json(text)
    )
    if not found:
        raise InputError(FieldError(("data",), f"{name} has no rows."))
    if len(found) > MAX_ROWS:
        raise InputError(FieldError(("data",), f"{name} has {len(found):,} rows; the limit is {MAX_ROWS:,}."))
    return tuple(BatchRow(number, values) for number, values in enumerate(found))


def _table(text: str, delimiter: str) -> Iterable[dict[str, str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(lines, [])
        if len(set(header)) < len(header):
            raise InputError(FieldError(("data", 1), "two columns have the same name."))
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(header):
                detail = f"has {len(cells)} cells, the header has {len(header)}."
                raise InputError(FieldError(("data", lines.line_num), detail))
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(FieldError(("data", lines.line_num), f"is not valid CSV: {error}.")) from None


def _json(text: str) -> Iterable[dict[str, str]]:
    if text.lstrip().startswith("["):
        values = _parsed(text, 1)
        assert isinstance(values, list)
        for index, value in enumerate(values):
            yield _values(value, index + 1)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield _values(_parsed(line, number), number)


def _parsed(text: str, line: int) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(FieldError(("data", line), f"is not JSON: {error}.")) from None
    except RecursionError:
        raise InputError(FieldError(("data", line), "is nested too deeply.")) from None


def _values(value: object, line: int) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InputError(FieldError(("data", line), "is not a JSON object.", "Write one object per line."))
    return {
        str(name): item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        for name, item in value.items()
    }


def map_columns(document: Document, rows: Sequence[BatchRow], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each variable: from `mapping` (variable to column), else the column of the same name.

    A variable with a value in the prompt needs no column. Raises InputError for a column that does not exist, and for a
    variable with neither a column nor a value.
    """
    columns = set(rows[0].values)
    variables = names(document.messages)
    unknown = [name for name in mapping if name not in variables]
    missing = [column for column in mapping.values() if column not in columns]
    if unknown or missing:
        what = f"the prompt has no variable {unknown[0]}" if unknown else f"the data has no column {missing[0]}"
        raise InputError(FieldError(("map",), f"{what}.", f"Columns: {', '.join(sorted(columns))}."))
    chosen = {name: mapping.get(name, name) for name in variables if mapping.get(name, name) in columns}
    open_names = [name for name in variables if name not in chosen and not document.variables.get(name)]
    if open_names:
        raise InputError(
            FieldError(
                ("variables", open_names[0]),
                "has no column in the data and no value in the prompt.",
                f"Columns: {', '.join(sorted(columns))}. Map one with --map {open_names[0]}=COLUMN.",
            )
        )
    return chosen


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row with its prompt. `text` is the prompt in the order in which the cache reads it."""

    row: BatchRow
    document: Document
    text: str
    after: int | None = None
    """Position in the plan of the row whose prefix this one shares most; it must have been answered first."""
    shared_chars: int = 0
    """Characters that it shares with that row."""


def document_of(document: Document, row: BatchRow, columns: Mapping[str, str]) -> Document:
    """Return the prompt with the row's values."""
    values = {name: row.values.get(column, "") for name, column in columns.items()}
    return replace(document, variables={**document.variables, **values})


def _prompt_text(document: Document) -> str:
    parts = [tool.json_text for tool in document.tools]
    parts += [
        f"\x00{message.role}\x01{render(message.content or '', document.variables).text}"
        for message in document.messages
    ]
    return "\x02".join(parts)


def plan_rows(
    document: Document, rows: Sequence[BatchRow], columns: Mapping[str, str], order: Order
) -> tuple[PlannedRow, ...]:
    """Return the rows in the order of sending.

    `warm` sorts by prompt text, so that rows that share a prefix follow each other; each waits for the first row that
    shares as much of it as any earlier row does. `file` keeps the file's order without waiting.
    """
    planned = [
        PlannedRow(row, made, _prompt_text(made))
        for row, made in ((row, document_of(document, row, columns)) for row in rows)
    ]
    if order == "file":
        return tuple(planned)
    planned.sort(key=lambda item: (item.text, item.row.number))
    return tuple(_with_leaders(planned))


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
        shared = common_length(planned[position - 1].text, item.text)
        leader, steps = position - 1, shared // STEP_CHARS
        while open_leaders and open_leaders[-1][0] >= steps:
            leader = open_leaders.pop()[1]
        open_leaders.append((steps, leader))
        yield replace(item, after=leader, shared_chars=shared)


def common_length(first: str, second: str) -> int:
    """Return the number of leading characters that two texts share."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True, slots=True)
class BatchForecast:
    """Estimates (≈) for a batch. Money is None if the rate is unknown."""

    requests: int
    prompt_tokens: float
    cached_tokens: float
    seconds: float
    input_cost: float | None

    @property
    def cached_share(self) -> float:
        """Cached tokens as a share of prompt tokens, 0 to 1."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


def forecast_batch(
    planned: Sequence[PlannedRow],
    count: Callable[[str], float],
    *,
    plan: PlanLimits,
    rates: Rates,
    concurrency: int,
    seconds_each: float = 2.0,
    lifetime_s: float = 300.0,
) -> BatchForecast:
    """Simulate the batch on an empty prefix cache without a size limit.

    Args:
        count: estimated tokens of a text.
        seconds_each: assumed duration of a request.
        lifetime_s: a prefix that is not read for this long is forgotten.
    """
    starts, ends = _schedule(planned, plan, concurrency, seconds_each)
    cached_chars = _cached_chars(planned, starts, ends, lifetime_s)
    tokens = [count(item.text) for item in planned]
    cached = sum(
        size * chars / len(item.text)
        for size, chars, item in zip(tokens, cached_chars, planned, strict=True)
        if item.text
    )
    total = sum(tokens)
    cost = None
    if rates.fresh is not None and rates.cached is not None:
        cost = ((total - cached) * rates.fresh + cached * rates.cached) / PER
    return BatchForecast(len(planned), total, cached, max(ends, default=0.0), cost)


def _schedule(
    planned: Sequence[PlannedRow], plan: PlanLimits, concurrency: int, seconds_each: float
) -> tuple[list[float], list[float]]:
    """Return start and end of each row: within the plan, at most `concurrency` at once, each after its leader."""
    at_once = min(concurrency, plan.in_flight or concurrency)
    starts, ends = [0.0] * len(planned), [0.0] * len(planned)
    running: list[float] = []
    started: list[float] = []
    for position, item in enumerate(planned):
        start = 0.0 if item.after is None else ends[item.after]
        if len(running) >= at_once:
            start = max(start, heappop(running))
        if plan.requests_per_minute and len(started) >= plan.requests_per_minute:
            start = max(start, started[-plan.requests_per_minute] + MINUTE_S)
        starts[position], ends[position] = start, start + seconds_each
        started.append(start)
        heappush(running, ends[position])
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
    cached: list[tuple[str, int]] = []
    found = [0] * len(planned)
    joined = left = 0
    for position in order:
        while joined < len(by_end) and ends[by_end[joined]] <= starts[position]:
            insort(cached, (planned[by_end[joined]].text, by_end[joined]))
            joined += 1
        while left < joined and ends[by_end[left]] + lifetime_s < starts[position]:
            gone = (planned[by_end[left]].text, by_end[left])
            del cached[bisect_left(cached, gone)]
            left += 1
        at = bisect_left(cached, (planned[position].text, -1))
        found[position] = max(
            (
                common_length(cached[near][0], planned[position].text)
                for near in (at - 1, at)
                if 0 <= near < len(cached)
            ),
            default=0,
        )
    return found


def shard(rows: Sequence[BatchRow], number: int, of: int) -> tuple[BatchRow, ...]:
    """Return shard `number` (from 1) of `of`: consecutive rows, so that a shard's results merge by row number."""
    size, rest = divmod(len(rows), of)
    first = (number - 1) * size + min(number - 1, rest)
    return tuple(rows[first : first + size + (1 if number <= rest else 0)])

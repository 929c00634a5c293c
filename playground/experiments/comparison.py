"""Comparison of prompt variants: order of sending, prefix against the first variant, differences, report."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from playground.client.endpoint import Endpoint, PlanLimits, Rates, cost
from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.forecaster import PromptForecast
from playground.prefix_cache.stable_end import stable_end, tokens_by_message
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.diff import DiffRow, Sign, changes, opcodes
from playground.prompt.document import Document, Json
from playground.prompt.json_text import loads
from playground.runs.metrics import UNKNOWN, Figure, counted, dollars, has_input, output_figure, percent, seconds, speed
from playground.runs.state import Phase, RunState

LETTERS = "ABCD"
"""Names of the columns; their number is the maximum."""
MOST_RUNS = 20
TAG = "comparison"
"""Purpose of the requests in the cache model, and prefix of their tag in the request log."""
WARM_UP_TAG = "warm-up"

Order = Literal["together", "forward", "backward"]
"""together: all columns at once, within the plan · forward: A, then B, … · backward: the last column first."""
CacheStart = Literal["as_is", "cold", "warm"]
"""as_is: whatever the cache has · cold: a random first line in every request · warm: each column is sent once before,
and that request is not counted."""


class Variant(Struct, frozen=True):
    """One column: a prompt and its endpoint. `document.name` is the column's name."""

    document: Document
    endpoint: Endpoint


class Step(Struct, frozen=True):
    """One request of a comparison. A warm-up is not counted."""

    column: int
    warm_up: bool = False


def plan(columns: int, runs: int, order: Order, start: CacheStart) -> tuple[tuple[Step, ...], ...]:
    """Return the requests in groups: a group is sent at once, when all requests of the one before have ended."""
    indexes = _in_order(columns, order)
    rounds = [[Step(column, warm_up=True) for column in indexes]] if start == "warm" else []
    rounds += [[Step(column) for column in indexes] for _ in range(runs)]
    if order == "together":
        return tuple(map(tuple, rounds))
    return tuple((step,) for steps in rounds for step in steps)


def _in_order(columns: int, order: Order) -> range:
    """Return the indexes of the columns in the order of sending."""
    return range(columns)[:: -1 if order == "backward" else 1]


async def run_plan(groups: Sequence[Sequence[Step]], send: Callable[[Step], Coroutine[object, object, None]]) -> None:
    """Send the groups one after another. Cancelling stops the requests in flight."""
    for steps in groups:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(send(step))


_MARKER = re.compile(r"\A\[comparison [0-9a-f]{12}\]\n")


def cold_document(document: Document, marker: str) -> Document:
    """Return the prompt with a first line that no cache knows. `marker` is 12 hexadecimal digits."""
    first = document.messages[0]
    text = f"[comparison {marker}]\n{first.content or ''}"
    return document.with_message(0, replace(first, content=text))


def without_marker(document: Document) -> Document:
    if not document.messages or document.messages[0].content is None:
        return document
    first = document.messages[0]
    return document.with_message(0, replace(first, content=_MARKER.sub("", first.content or "")))


def log_tags(comparison: str, step: Step) -> list[str]:
    """Return the tags under which a request of a comparison is found in the request log."""
    tags = [f"{TAG}:{comparison}", f"column:{LETTERS[step.column]}"]
    return [*tags, WARM_UP_TAG] if step.warm_up else tags


def read_tags(tags: Sequence[str]) -> tuple[str, int] | None:
    """Return the comparison's id and the column of a counted request; None for any other request."""
    values = dict(tag.partition(":")[::2] for tag in tags)
    letter = values.get("column", "").upper()
    if TAG not in values or letter not in tuple(LETTERS) or WARM_UP_TAG in values:
        return None
    return values[TAG], LETTERS.index(letter)


class Prefix(Struct, frozen=True):
    """A variant's prefix beside that of the first variant (A). Token counts are estimates (≈).

    `shared` is the part of `stable` that A's stable prefix begins with too, `place` where the two differ; `same`: the
    variant can be served from A's cache entry up to its own boundary. `other_cache` is why the two share no cache
    ("endpoint", "model", or empty). `warm_cached` is what the cache serves of a request with new values.
    """

    total: float
    stable: float
    shared: float
    warm_cached: float
    place: str = ""
    same: bool = True
    other_cache: Literal["", "endpoint", "model"] = ""
    rates: Rates = Rates()

    @property
    def fresh_once(self) -> float:
        """Return the tokens that A's cache does not serve: they are fresh in the first request."""
        return self.stable if self.other_cache else max(self.stable - self.shared, 0.0)

    @property
    def cost_once(self) -> float | None:
        """Return the dollars by which the first request costs more than a warm one; None without rates."""
        return self.rates.saved(self.fresh_once)

    @property
    def cost_per_1000(self) -> float | None:
        """Return the input cost in dollars of 1,000 requests with new values while the prefix is warm."""
        once = self.rates.input_cost(self.total - self.warm_cached, self.warm_cached)
        return None if once is None else 1000 * once


class Looked(Struct, frozen=True):
    """A variant with its forecast; `block` is the cache's block in tokens, `reported` the prompt tokens if known."""

    variant: Variant
    forecast: PromptForecast
    estimator: TokenEstimator
    block: int
    reported: int | None = None


def prefixes(columns: Sequence[Looked]) -> tuple[Prefix, ...]:
    """Return each column's prefix beside that of the first one. Takes some milliseconds for a long prompt."""
    return tuple(_prefix(column, columns[0]) for column in columns)


def _prefix(column: Looked, first: Looked) -> Prefix:
    text, other = column.forecast.view.view.text, first.forecast.view.view.text
    end, other_end = _stable_end(column), _stable_end(first)
    shared = common_prefix(text[:end], other[:other_end])
    whole = column.estimator.estimate(text) or 1.0
    # As in the editor: the count that a server reported for this prompt before, if there is one.
    expected = column.forecast.forecast.prompt_tokens or column.forecast.zones.total_tokens
    total = float(column.reported) if column.reported is not None else expected
    scale = total / whole
    stable = total if end == len(text) else _stable_tokens(column, total)
    common = stable if shared == end else min(column.estimator.estimate(text[:shared]) * scale, stable)
    here, there = column.variant.endpoint, first.variant.endpoint
    return Prefix(
        total=total,
        stable=stable,
        shared=common,
        warm_cached=stable // column.block * column.block,
        place="" if shared == end else _place(column, shared),
        same=shared == end,
        other_cache="endpoint" if here.id != there.id else "model" if here.model != there.model else "",
        rates=here.rates,
    )


def expected_cached(columns: Sequence[Looked], order: Order, start: CacheStart) -> tuple[float, ...]:
    """Return the tokens (≈) that the cache serves of each column's first counted request.

    Columns that are sent together do not warm each other; of those sent one after another, the ones before do.
    """
    if start == "cold":
        return (0.0,) * len(columns)
    whole = [_prefix_tokens(column, len(column.forecast.view.view.text)) for column in columns]
    if start == "warm":
        return tuple(whole)
    found = [column.forecast.forecast.cached_tokens for column in columns]
    if order == "together":
        return tuple(found)
    sequence = _in_order(len(columns), order)
    for place, at in enumerate(sequence):
        for before in sequence[:place]:
            if _cache_of(columns[before]) == _cache_of(columns[at]):
                texts = (columns[one].forecast.view.view.text for one in (before, at))
                found[at] = max(found[at], _prefix_tokens(columns[at], common_prefix(*texts)))
    return tuple(found)


def _cache_of(column: Looked) -> tuple[str, str]:
    return column.variant.endpoint.id, column.variant.endpoint.model


def _prefix_tokens(column: Looked, end: int) -> float:
    """Return the whole blocks of tokens (≈) in a prompt's first `end` code points; at least one token is computed."""
    text = column.forecast.view.view.text
    total = column.forecast.zones.total_tokens
    tokens = column.estimator.estimate(text[:end]) * total / (column.estimator.estimate(text) or 1.0)
    return min(tokens, total - 1) // column.block * column.block


def _stable_end(column: Looked) -> int:
    view = column.forecast.view
    return len(view.view.text) if view.first_variable is None else view.first_variable


def _stable_tokens(column: Looked, total: float) -> float:
    document = column.forecast.view.document
    end = stable_end(document, tokens_by_message(column.forecast, round(total)))
    return total if end is None else float(end.tokens)


def _place(column: Looked, offset: int) -> str:
    view = column.forecast.view
    located = view.to_template(offset)
    if located is None:
        return "the beginning"
    part, inside = located
    if part.kind == "tool":
        return f"tool {view.document.tools[part.index].name or part.index + 1}"
    roles = [message.role for message in view.document.messages]
    role = roles[part.index]
    name = role if roles.count(role) == 1 else f"message {part.index + 1} ({role})"
    if part.kind != "content":
        return name
    template = view.document.messages[part.index].content or ""
    return f"{name}, line {template.count(chr(10), 0, inside) + 1}"


class RunFigures(Struct, frozen=True):
    """One counted request, live or from the log. `forecast_cached` and `forecast_prompt` are estimates (≈)."""

    run_id: str
    phase: Phase
    request_id: str | None = None
    status: int | None = None
    finish_reason: str | None = None
    text: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    ttft_s: float | None = None
    total_s: float | None = None
    waited_s: float | None = None
    """Part of `total_s` before the newest attempt was sent: for a slot of the plan, or for retries."""
    tokens_per_s: float | None = None
    input_cost: float | None = None
    error: str = ""
    error_detail: str = ""
    forecast_cached: float | None = None
    forecast_prompt: float | None = None
    received: float | None = None
    """Estimate (≈) of the output tokens that arrived before an early end."""

    @property
    def output(self) -> Figure:
        """Return the output tokens: reported, else estimated from what arrived before an early end."""
        if self.completion_tokens is None and self.received is not None:
            return Figure.estimated(self.received)
        return Figure.reported(self.completion_tokens)

    @property
    def input(self) -> Figure:
        """Return the prompt tokens: reported, else the forecast's estimate."""
        if self.prompt_tokens is None and self.forecast_prompt is not None:
            return Figure.estimated(self.forecast_prompt)
        return Figure.reported(self.prompt_tokens)


def figures(run_id: str, state: RunState, rates: Rates, forecast: Forecast | None, answer: str) -> RunFigures:
    """Return the figures of a request. `answer`: its text with tool calls."""
    usage, output = state.usage, output_figure(state, "")
    # A request that was refused and waits to be sent again will be read.
    is_read = not state.ended or has_input(state.phase, state.status, len(state.attempts))
    return RunFigures(
        run_id=run_id,
        phase=state.phase,
        request_id=state.request_id,
        status=state.status,
        finish_reason=state.finish_reason,
        text=answer,
        prompt_tokens=usage.prompt_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        ttft_s=state.ttft_s,
        total_s=state.ended_at if state.ended else None,
        waited_s=state.attempts[-1].started_at if state.ended and state.attempts and state.times_known else None,
        tokens_per_s=state.tokens_per_s,
        input_cost=cost(usage, rates).input,
        error=state.error.title if state.error else "",
        error_detail=" ".join(filter(None, (state.error.detail, state.error.advice))) if state.error else "",
        forecast_cached=forecast.cached_tokens if forecast and is_read else None,
        forecast_prompt=forecast.prompt_tokens if forecast and is_read else None,
        received=output.value if output.state == "estimated" else None,
    )


class RunSpread(Struct, frozen=True):
    """Distribution of a figure over the runs that have it."""

    n: int
    median: float
    low: float
    high: float


def spread(values: Sequence[float | None]) -> RunSpread | None:
    """Return the distribution of the known values; None if none is known."""
    known = [value for value in values if value is not None]
    return RunSpread(len(known), statistics.median(known), min(known), max(known)) if known else None


MOST_WORDS = 20_000
"""Words and spaces of either text up to which words are compared; longer texts are compared by lines."""
EXACT_WORDS = 2_000
"""Words up to which difflib compares two texts; more are compared in less than quadratic time."""
MOST_JSON_CHARS = 1_000_000
_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


Piece: TypeAlias = DiffRow
"""A stretch of a difference of answers: in both texts, only in the earlier one, or only in the later one."""


def _pieces(*parts: tuple[Sign, str]) -> tuple[Piece, ...]:
    return tuple(Piece(sign, text) for sign, text in parts if text)


def text_changes(before: str, after: str) -> tuple[Piece, ...]:
    """Return the difference of two answers: JSON by structure, other text by words.

    Two JSON values are written with sorted members and compared by lines, so that order and spacing do not count.
    Takes up to a second for long texts: call it in a worker.
    """
    one, two = _json_text(before), _json_text(after)
    if one is not None and two is not None:
        return _changes(_LINE.findall(one), _LINE.findall(two))
    old, new = _WORD.findall(before), _WORD.findall(after)
    if max(len(old), len(new)) > MOST_WORDS:
        old, new = _LINE.findall(before), _LINE.findall(after)
        if max(len(old), len(new)) > MOST_WORDS:
            shared = common_prefix(before, after)
            return _pieces(("same", before[:shared]), ("gone", before[shared:]), ("come", after[shared:]))
    return _changes(old, new)


def _changes(old: list[str], new: list[str]) -> tuple[Piece, ...]:
    found: list[Piece] = []
    gone, come = "", ""
    exact = max(len(old), len(new)) <= EXACT_WORDS
    blocks = list(SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if exact else opcodes(old, new))
    for at, (tag, a, b, c, d) in enumerate(blocks):
        one, two = "".join(old[a:b]), "".join(new[c:d])
        inside = 0 < at < len(blocks) - 1
        if tag != "equal" or (inside and two.isspace()):
            # A space between two changed words is part of the change: phrases stay together.
            gone, come = gone + one, come + two
            continue
        found += _pieces(("gone", gone), ("come", come), ("same", two))
        gone, come = "", ""
    return (*found, *_pieces(("gone", gone), ("come", come)))


def _json_text(text: str) -> str | None:
    """Return a JSON object or array in one canonical form; None for any other text."""
    if not text.lstrip().startswith(("{", "[")) or len(text) > MOST_JSON_CHARS:
        return None
    try:
        value = loads(text)
    except ValueError:
        return None
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


WAITED_S = 0.5
"""Time before a request was sent from which it is stated, in seconds."""

ORDERS: dict[Order, str] = {
    "together": "All together",
    "forward": "One after another, A first",
    "backward": "One after another, A last",
}
CACHE_STARTS: dict[CacheStart, str] = {
    "as_is": "Cache unchanged",
    "cold": "All cold: a random first line in every request",
    "warm": "All warm: each column is sent once before, not counted",
}


class ComparedColumn(Struct, frozen=True):
    """One column with its counted requests, oldest first, and its answer's difference from A's."""

    variant: Variant
    runs: tuple[RunFigures, ...] = ()
    prefix: Prefix | None = None
    changes: tuple[Piece, ...] | None = None
    expected: float | None = None
    """Forecast of the cached tokens of the next request in the chosen order; None: not estimated."""

    @property
    def name(self) -> str:
        return self.variant.document.name or "Untitled"

    @property
    def last(self) -> RunFigures | None:
        return self.runs[-1] if self.runs else None


class ComparisonReport(Struct, frozen=True):
    """A comparison. `columns` are A, B, …; `started` is aware, None before the first request."""

    id: str
    columns: tuple[ComparedColumn, ...]
    order: Order = "together"
    start: CacheStart = "as_is"
    started: datetime | None = None


def variant_changes(variant: Variant, first: Variant) -> tuple[DiffRow, ...]:
    """Return what differs from the first column: endpoint, model, prompt, tools and parameters."""
    rows: list[DiffRow] = []
    for name, old, new in (
        ("endpoint", first.endpoint.name, variant.endpoint.name),
        ("model", first.endpoint.model, variant.endpoint.model),
    ):
        if old != new:
            rows += [DiffRow("head", name), DiffRow("gone", old), DiffRow("come", new)]
    return (*rows, *changes(first.document, variant.document))


def kind_of(variant: Variant, first: Variant) -> str:
    """Return in two or three words how a column differs from the first one."""
    if variant is first:
        return "baseline"
    before, after = first.document, variant.document
    kinds = [
        name
        for name, differs in (
            ("prompt edited", before.messages != after.messages),
            ("tools edited", before.tools != after.tools),
            ("parameter changed", dict(before.parameters) != dict(after.parameters)),
            ("other endpoint", first.endpoint.id != variant.endpoint.id),
            ("other model", first.endpoint.model != variant.endpoint.model),
        )
        if differs
    ]
    return " · ".join(kinds) or "same as A"


def prefix_text(index: int, prefix: Prefix) -> str:
    stable, rest = f"≈ {prefix.stable:,.0f}", f"≈ {prefix.total - prefix.stable:,.0f}"
    if index == 0:
        return f"baseline: {stable} stable + {rest} variable"
    if prefix.other_cache:
        return f"a cache of its own (another {prefix.other_cache}): {stable} stable + {rest} variable"
    if prefix.same:
        return "same prefix as A: cached once A was answered"
    return f"leaves A's prefix at token ≈ {prefix.shared:,.0f}: {prefix.place}"


def cost_texts(prefixes: Sequence[Prefix]) -> Iterator[str]:
    """Return a sentence for each column that leaves A's prefix: tokens and cost of the change, and per 1,000."""
    for index, prefix in enumerate(prefixes[1:], 1):
        if prefix.same and not prefix.other_cache:
            continue
        letter = LETTERS[index]
        yield (
            f"Changing from A to {letter} costs ≈ {prefix.fresh_once:,.0f} fresh tokens once "
            f"({_about(prefix.cost_once)}); after that {letter} is warm too while its prefix stays the same: "
            f"{_about(prefix.cost_per_1000)} per 1,000 requests (A: {_about(prefixes[0].cost_per_1000)})."
        )


_LEAST_DOLLARS = 0.00001
"""Least estimated cost that is given as a figure."""


def _about(value: float | None) -> str:
    if value is not None and 0 < value < _LEAST_DOLLARS:
        return f"< ${_LEAST_DOLLARS:.5f}"
    return UNKNOWN if value is None else f"≈ {dollars(value)}"


def summary(report: ComparisonReport) -> list[tuple[str, list[str]]]:
    """Return the table of the summary: a label and one cell per column. Unreported figures are —."""
    columns = report.columns

    def spreads(
        label: str, figure: Callable[[RunFigures], float | None], text: Callable[[float | None], str]
    ) -> tuple[str, list[str]]:
        return label, [_spread_of(column, figure, text) for column in columns]

    rows = [
        ("Served from cache", [_served(column) for column in columns]),
        ("Forecast of cached tokens", [_forecast(column) for column in columns]),
        ("Time to first token", [_ttft(column, columns[0]) for column in columns]),
        spreads("Total", lambda run: run.total_s, seconds),
        spreads("Output speed", lambda run: run.tokens_per_s, speed),
        spreads("Output tokens", lambda run: run.completion_tokens, _count),
        ("Input cost · per 1,000 when warm", [_costs(column) for column in columns]),
    ]
    if any((run.waited_s or 0.0) >= WAITED_S for column in columns for run in column.runs):
        rows.insert(4, spreads("Waiting to be sent, in the total", lambda run: run.waited_s, seconds))
    if any(run.phase == "failed" for column in columns for run in column.runs):
        rows.append(("Status", [_status(column) for column in columns]))
    if any(len(column.runs) > 1 for column in columns):
        rows.append(("Answers", [_answers(column) for column in columns]))
    return rows


def _served(column: ComparedColumn) -> str:
    """Return the share served from the cache, weighted by tokens; a forced cold or warm start is checked here."""
    known = [
        (run.cached_tokens, run.prompt_tokens)
        for run in column.runs
        if run.cached_tokens is not None and run.prompt_tokens
    ]
    if not known:
        return UNKNOWN
    cached, prompt = sum(c for c, _ in known), sum(p for _, p in known)
    many = f" in {len(known)} runs" if len(known) > 1 else ""
    return f"{cached:,} of {prompt:,}{many} · {percent(cached / prompt)}"


def _status(column: ComparedColumn) -> str:
    """Return the newest HTTP status, and the number of failed runs if there are several runs."""
    if column.last is None:
        return UNKNOWN
    failed = sum(run.phase == "failed" for run in column.runs)
    status = UNKNOWN if column.last.status is None else str(column.last.status)
    return status + (f", {failed} of {len(column.runs)} failed" if failed and len(column.runs) > 1 else "")


def _forecast(column: ComparedColumn) -> str:
    cached = column.expected if column.last is None else column.last.forecast_cached
    return UNKNOWN if cached is None else f"≈ {cached:,.0f}"


def _ttft(column: ComparedColumn, first: ComparedColumn) -> str:
    text = _spread_of(column, lambda run: run.ttft_s, seconds)
    mine, base = spread([run.ttft_s for run in column.runs]), spread([run.ttft_s for run in first.runs])
    if column is first or mine is None or base is None:
        return text
    difference = _as_shown(mine.median) - _as_shown(base.median)
    if abs(difference) < 0.0005:
        return f"{text} (± 0 ms)"
    return f"{text} ({'+' if difference >= 0 else '−'}{seconds(abs(difference))})"


def _as_shown(value: float) -> float:
    """Return a duration as `seconds` rounds it, so that the difference agrees with the two that are displayed."""
    return round(value * 1000) / 1000 if value < 0.9995 else round(value, 1)


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _spread_of(
    column: ComparedColumn, figure: Callable[[RunFigures], float | None], text: Callable[[float | None], str]
) -> str:
    """Return the figure of one run, or median, minimum and maximum of several."""
    found = spread([figure(run) for run in column.runs])
    if found is None:
        return UNKNOWN
    if found.n == 1:
        return text(found.median)
    return f"{text(found.median)} ({text(found.low)} to {text(found.high)}, n {found.n})"


def _costs(column: ComparedColumn) -> str:
    now = _spread_of(column, lambda run: run.input_cost, dollars)
    return f"{now} · {_about(column.prefix.cost_per_1000 if column.prefix else None)}"


def _answers(column: ComparedColumn) -> str:
    texts = [run.text for run in column.runs if run.phase == "done"]
    if not texts:
        return UNKNOWN
    return f"{len(set(texts))} different of {len(texts)}"


def order_text(order: Order, start: CacheStart, columns: int) -> str:
    """Return what the order of sending means for the forecasts; empty for a single column."""
    if columns < 2:
        return ""
    if start == "cold":
        return "All cold: the cache serves nothing of any column."
    if start == "warm":
        return "All warm first: the cache has the whole prompt of every column."
    if order == "together":
        return "Sent together: columns do not warm each other, so each forecast is for the present cache."
    letters = LETTERS[:columns] if order == "forward" else LETTERS[:columns][::-1]
    return f"Sent one after another ({', '.join(letters)}): each column is served from what those before it share."


def start_warnings(report: ComparisonReport) -> Iterator[str]:
    """Return a sentence for each column whose reported figures contradict the chosen start of the cache."""
    for letter, column in zip(LETTERS, report.columns, strict=False):
        cached = [run.cached_tokens for run in column.runs if run.cached_tokens is not None]
        if report.start == "cold" and any(cached):
            yield f"{letter} was not cold: the server reports {max(cached):,} cached tokens."
        if report.start == "warm" and 0 in cached:
            yield f"{letter} was not warm: the server reports 0 cached tokens."


def plan_text(requests: int, columns: Sequence[Variant]) -> str:
    """Return how many requests are sent and the limits that apply to them."""
    plans: dict[str, PlanLimits] = {variant.endpoint.id: variant.endpoint.plan for variant in columns}
    limits = [
        f"{plan.name}: {plan.requests_per_minute} per minute, {plan.in_flight} in flight"
        for plan in plans.values()
        if plan.requests_per_minute is not None
    ]
    count = counted(requests, "request")
    return f"{count} within {'; '.join(dict.fromkeys(limits))}" if limits else count


def parameters_text(parameters: dict[str, Json]) -> str:
    """Return the parameters that are sent: `temperature 1 · max_tokens 300`."""
    return " · ".join(f"{name} {value}" for name, value in parameters.items()) or "no parameters are set"

"""Report of a comparison as texts: the same lines for the window, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from playground.client.endpoint import PlanLimits
from playground.experiments.comparison import (
    LETTERS,
    CacheStart,
    Order,
    Piece,
    Prefix,
    RunFigures,
    Variant,
    spread,
)
from playground.prompt.diff import DiffRow, changes
from playground.prompt.document import Json
from playground.runs.metrics import UNKNOWN, counted, dollars, percent, seconds, speed

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
        """Return the column's name."""
        return self.variant.document.name or "Untitled"

    @property
    def last(self) -> RunFigures | None:
        """Return the newest request."""
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
    """Return the label of a column's prefix bar."""
    stable, rest = f"≈ {prefix.stable:,.0f}", f"≈ {prefix.total - prefix.stable:,.0f}"
    if index == 0:
        return f"baseline: {stable} stable + {rest} variable"
    if prefix.other_cache:
        return f"a cache of its own (another {prefix.other_cache}): {stable} stable + {rest} variable"
    if prefix.same:
        return "same prefix as A: shares its cache entry"
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


def _about(value: float | None) -> str:
    return UNKNOWN if value is None else f"≈ {dollars(value)}"


def summary(report: ComparisonReport) -> list[tuple[str, list[str]]]:
    """Return the table of the summary: a label and one cell per column. Unreported figures are —."""
    columns = report.columns
    rows = [
        ("Served from cache", [_served(column) for column in columns]),
        ("Forecast of cached tokens", [_forecast(column) for column in columns]),
        ("Time to first token", [_ttft(column, columns[0]) for column in columns]),
        ("Total", [_spread_of(column, lambda run: run.total_s, seconds) for column in columns]),
        *(
            [
                (
                    "Waiting to be sent, in the total",
                    [_spread_of(column, lambda run: run.waited_s, seconds) for column in columns],
                )
            ]
            if any((run.waited_s or 0.0) >= WAITED_S for column in columns for run in column.runs)
            else []
        ),
        ("Output speed", [_spread_of(column, lambda run: run.tokens_per_s, speed) for column in columns]),
        ("Output tokens", [_spread_of(column, lambda run: run.completion_tokens, _count) for column in columns]),
        ("Input cost · per 1,000 when warm", [_costs(column) for column in columns]),
    ]
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
    difference = mine.median - base.median
    if abs(difference) < 0.0005:
        return f"{text} (± 0 ms)"
    return f"{text} ({'+' if difference >= 0 else '−'}{seconds(abs(difference))})"


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

"""A batch that is ready to be sent: its plan, checks and lines, and the sentences that describe it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from playground.client.endpoint import PER, Endpoint
from playground.dataclass import dataclass
from playground.experiments.batch_checks import AnswerCheck, parse_check
from playground.experiments.batch_lines import BatchLines
from playground.experiments.batch_plan import BatchPlan, Order, make_plan
from playground.experiments.batch_results import BatchTotals
from playground.experiments.batch_rows import BatchRow, map_columns
from playground.experiments.batch_store import BatchSpec
from playground.prompt.document import Document
from playground.runs.metrics import dollars, percent

SAME_DOLLARS = 1e-9
"""A smaller difference of two costs is the rounding of sums."""
WARM_SHARE = 0.05
"""More cached tokens than any forecast by this share of the prompt: the cache was not empty before the batch."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """All settings of a batch, chosen by the user. `mapping` has the column of each variable."""

    document: Document
    rows: tuple[BatchRow, ...]
    source: str
    endpoint: Endpoint
    mapping: Mapping[str, str]
    checks: Sequence[str]
    order: Order
    concurrency: int


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Settings with their plan. `lines` hold the state of the rows while the batch runs."""

    settings: BatchSettings
    plan: BatchPlan
    checks: tuple[AnswerCheck, ...]
    lines: BatchLines

    def spec(self) -> BatchSpec:
        """Return the stored form of the batch, started now."""
        settings = self.settings
        return BatchSpec(
            document=settings.document,
            rows=settings.rows,
            columns=self.plan.columns,
            checks=tuple(check.name for check in self.checks),
            order=self.plan.order,
            source=settings.source,
            endpoint_id=settings.endpoint.id,
            concurrency=settings.concurrency,
            started_utc=datetime.now(UTC),
        )

    def order_text(self, totals: BatchTotals | None, *, running: bool) -> str:
        """Return what the order saves: the forecast before and during the batch, and the measured share after it."""
        plan, rates = self.plan, self.settings.endpoint.rates
        other = percent(plan.file_order.cached_share)
        if not running and totals is not None and totals.cached_share is not None:
            text = f"Measured: {percent(totals.cached_share)} of the prompt tokens were cached"
            if totals.cached_share > max(plan.forecast.cached_share, plan.file_order.cached_share) + WARM_SHARE:
                # The forecasts begin with an empty cache: what the order saved is not known.
                return f"{text}, more than forecast: the cache was warm before. Exports keep the order of the data."
            if plan.order == "file":
                return f"{text} in file order. Exports keep the order of the data."
            text += f" (file order: ≈ {other})"
            if rates.fresh is not None and rates.cached is not None:
                more = totals.cached_tokens - plan.file_order.cached_share * totals.prompt_tokens
                cost = more * (rates.fresh - rates.cached) / PER
                text += f", ≈ {dollars(abs(cost))} {'less' if cost >= 0 else 'more'} than in file order"
        elif plan.order == "file":
            text = f"File order: ≈ {other} of the prompt tokens cached"
        else:
            text = f"Prefixes warm first: ≈ {percent(plan.forecast.cached_share)} of the prompt tokens cached"
            text += f" (file order: ≈ {other})"
            if plan.saved_cost is not None and plan.saved_cost > SAME_DOLLARS:
                text += f", saves ≈ {dollars(plan.saved_cost)} against file order"
        return f"{text}. Exports keep the order of the data."


def prepare(settings: BatchSettings, count: Callable[[str], float], lifetime_s: float) -> PreparedBatch:
    """Plan a batch. Takes seconds for many rows: call it in a worker. Raises InputError."""
    checks = tuple(map(parse_check, settings.checks))
    columns = map_columns(settings.document, settings.rows, settings.mapping)
    plan = make_plan(
        settings.document,
        settings.rows,
        columns,
        settings.order,
        count,
        settings.endpoint,
        concurrency=settings.concurrency,
        lifetime_s=lifetime_s,
    )
    return PreparedBatch(settings, plan, checks, BatchLines(plan.rows, plan.forecast.rows))


def prepare_saved(
    spec: BatchSpec, endpoint: Endpoint, count: Callable[[str], float], lifetime_s: float
) -> PreparedBatch:
    """Plan a stored batch again, with its own prompt, rows and settings. Raises InputError."""
    settings = BatchSettings(
        spec.document, spec.rows, spec.source, endpoint, spec.columns, spec.checks, spec.order, spec.concurrency
    )
    return prepare(settings, count, lifetime_s)

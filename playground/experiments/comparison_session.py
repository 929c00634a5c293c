"""A comparison from its columns to its results: sends them, compares the answers, and reads a logged comparison."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from playground.client.endpoint import Endpoint
from playground.experiments.comparison import (
    LETTERS,
    MOST_RUNS,
    TAG,
    CacheStart,
    ComparedColumn,
    ComparisonReport,
    Looked,
    Order,
    Piece,
    Prefix,
    RunFigures,
    Step,
    Variant,
    cold_document,
    expected_cached,
    figures,
    log_tags,
    plan,
    prefixes,
    read_tags,
    run_plan,
    text_changes,
    without_marker,
)
from playground.experiments.repeats import answer_text
from playground.prompt.document import Document, names
from playground.prompt.field_errors import InputError
from playground.prompt.files import load
from playground.requestlog.filter import parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import StoredRun
from playground.runs.service import PendingRequest, RequestService
from playground.simulator.process import SimulatorError
from playground.tasks import Subscribers


class ColumnSlot(Struct, eq=False):
    """State of one column. `sent` is the document of the newest request, with its values.

    `expected` are the tokens (≈) that the cache serves of the next request in the chosen order; None: not estimated.
    """

    variant: Variant
    runs: list[RunFigures] = field(default_factory=list)
    pending: PendingRequest | None = None
    warm_up: bool = False
    note: str = ""
    stopped: bool = False
    sent: Document | None = None
    prefix: Prefix | None = None
    expected: float | None = None
    changes: tuple[Piece, ...] | None = None

    @property
    def running(self) -> bool:
        return self.pending is not None and not self.pending.run.state.ended

    @property
    def live(self) -> RunFigures | None:
        """Return the figures of the request in flight without its text; None if there is no such request."""
        return figures_of(self.pending, text=False) if self.pending is not None and self.running else None

    @property
    def newest(self) -> RunFigures | None:
        """Return the newest counted request that has ended, also while its end is still being logged."""
        pending, last = self.pending, self.runs[-1] if self.runs else None
        if pending is None or not pending.run.state.ended or self.warm_up:
            return last
        return last if last is not None and last.run_id == pending.run.id else figures_of(pending)

    @property
    def forecast(self) -> float | None:
        """Return the cached tokens (≈) forecast for the request in flight, else for the next one."""
        return self.pending.forecast.cached_tokens if self.pending is not None and self.running else self.expected

    def clear(self) -> None:
        self.runs, self.pending, self.sent, self.changes = [], None, None, None
        self.note, self.stopped, self.warm_up = "", False, False


class LoggedComparison(Struct, frozen=True):
    """Columns of logged requests. `id` is empty if they were not sent by one comparison."""

    id: str
    slots: list[ColumnSlot]
    started: datetime


class ComparisonSession:
    """Columns A, B, … with the values that they share. One comparison is sent at a time."""

    def __init__(self, service: RequestService, log: Callable[[], RequestLog | None]) -> None:
        """`log` returns the request log; None before it was opened."""
        self._service, self._log = service, log
        self.slots: list[ColumnSlot] = []
        self.values: dict[str, str | None] = {}
        self.id = ""
        self.started: datetime | None = None
        self.on_event: Subscribers[[ColumnSlot]] = Subscribers()
        """The column of each event of a request."""
        self.on_request: Subscribers[[ColumnSlot, str]] = Subscribers()
        """Column and run_id of a request that was sent, and of one that has ended."""

    # Columns

    def known_values(self) -> dict[str, str]:
        return {name: value for name, value in self.values.items() if value is not None}

    def collect_values(self) -> None:
        """Set the shared values to the variables of the columns; values that are known stay."""
        documents = [slot.variant.document for slot in self.slots]
        known = {name: value for document in reversed(documents) for name, value in document.variables.items()}
        used = dict.fromkeys(name for document in documents for name in names(document.messages))
        self.values = {name: self.values.get(name, known.get(name)) for name in used}

    def document_of(self, slot: ColumnSlot) -> Document:
        """Return the prompt that is sent for a column, with the shared values."""
        document = slot.variant.document
        return replace(document, variables={**document.variables, **self.known_values()})

    def named(self, variant: Variant) -> Variant:
        taken = {slot.variant.document.name for slot in self.slots}
        name = variant.document.name or "Prompt"
        if name in taken:
            name = next(f"{name} {n}" for n in range(2, len(taken) + 3) if f"{name} {n}" not in taken)
        return replace(variant, document=replace(variant.document, name=name))

    async def estimate(self, order: Order, start: CacheStart) -> bool:
        """Estimate prefixes and cached tokens of all columns. Returns False if the columns changed meanwhile."""
        forecaster, looked = self._service.forecaster, []
        for slot in (slots := list(self.slots)):
            document, endpoint = self.document_of(slot), slot.variant.endpoint
            reported = slot.runs[-1].prompt_tokens if slot.runs and slot.sent == document else None
            looked.append(
                Looked(
                    replace(slot.variant, document=document),
                    self._service.forecast(document, endpoint),
                    forecaster.counter(endpoint.id, endpoint.model),
                    max(forecaster.model(endpoint.id, endpoint.model).learned.units.step, 1),
                    reported,
                )
            )
            await asyncio.sleep(0)
        found = await asyncio.to_thread(lambda: (prefixes(looked), expected_cached(looked, order, start)))
        if slots != self.slots:
            return False
        for slot, prefix, expected in zip(slots, *found, strict=True):
            slot.prefix, slot.expected = prefix, expected
        return True

    # Sending

    def begin(self) -> None:
        """Remove the results of the columns; their requests stay in the log."""
        for slot in self.slots:
            slot.clear()
        self.id, self.started = secrets.token_hex(6), datetime.now(UTC)

    async def send(self, runs: int, order: Order, start: CacheStart) -> None:
        groups = plan(len(self.slots), runs, order, start)
        await run_plan(groups, partial(self._send, cold=start == "cold"))

    async def _send(self, step: Step, *, cold: bool) -> None:
        slot = self.slots[step.column]
        if slot.stopped:
            return
        document = self.document_of(slot)
        slot.sent = document
        sent: PendingRequest | None = None

        def dispatched(pending: PendingRequest) -> None:
            nonlocal sent
            sent = pending
            self._dispatched(slot, step, pending)

        try:
            if cold and document.messages:
                document = cold_document(document, secrets.token_hex(6))
            tags = log_tags(self.id, step)
            await self._service.send(document, slot.variant.endpoint, dispatched, tag=TAG, tags=tags)
        except (InputError, SimulatorError) as error:
            problem = error.problems[0] if isinstance(error, InputError) else error
            slot.note, slot.stopped = f"Not sent: {problem}", True
            self.on_event(slot)
            return
        finally:
            # Cancelled or not: a request that was sent keeps its figures.
            if sent is not None:
                self._ended(slot, step, sent)

    def _dispatched(self, slot: ColumnSlot, step: Step, pending: PendingRequest) -> None:
        slot.pending, slot.warm_up = pending, step.warm_up
        slot.note = "Warm-up, not counted" if step.warm_up else ""
        pending.run.subscribe(lambda _run, _event: self.on_event(slot))
        if slot.stopped:
            pending.run.stop()
        self.on_request(slot, pending.run.id)

    def _ended(self, slot: ColumnSlot, step: Step, pending: PendingRequest) -> None:
        if not pending.run.state.ended:
            return
        known = {run.run_id for run in slot.runs}
        if not step.warm_up and pending.run.id not in known:
            slot.runs.append(figures_of(pending))
        if pending.run.state.phase in ("failed", "stopped"):
            slot.stopped = True  # the further runs of this column are not sent
        self.on_request(slot, pending.run.id)

    def stop(self) -> bool:
        """Stop all columns; received text stays. Returns False if no request has been sent yet."""
        sent = any(slot.running for slot in self.slots)
        for slot in self.slots:
            self.stop_slot(slot)
        return sent

    def stop_slot(self, slot: ColumnSlot) -> None:
        slot.stopped = True
        if slot.pending is not None and slot.running:
            slot.pending.run.stop()

    # Results

    async def compare_answers(self) -> bool:
        """Compare each column's newest answer with A's. Returns False if the columns changed meanwhile."""
        slots = list(self.slots)
        first = slots[0].runs[-1].text if slots[0].runs else None
        for slot in slots[1:]:
            text = slot.runs[-1].text if slot.runs else None
            if first is not None and text and not slot.running:
                slot.changes = await asyncio.to_thread(text_changes, first, text)
        return slots == self.slots

    def report(self, order: Order, start: CacheStart) -> ComparisonReport:
        columns = tuple(
            ComparedColumn(
                replace(slot.variant, document=slot.sent or self.document_of(slot)),
                tuple(slot.runs),
                slot.prefix,
                slot.changes,
                slot.forecast,
            )
            for slot in self.slots
        )
        return ComparisonReport(self.id, columns, order, start, self.started)

    @property
    def outdated(self) -> bool:
        """Return whether prompts or values were changed since they were sent."""
        return any(slot.sent is not None and slot.sent != self.document_of(slot) for slot in self.slots)

    # Log

    async def read_logged(self, run_ids: Sequence[str], endpoints: Iterable[Endpoint]) -> LoggedComparison | None:
        """Return a comparison of logged requests; None if they are no longer in the log.

        One request of a comparison gives the whole comparison, other requests one column for each.
        """
        log = self._log()
        if log is None:
            return None
        found = [await log.get(run_id) for run_id in run_ids[: len(LETTERS)]]
        runs = [stored for stored in found if stored is not None]
        tagged = read_tags(runs[0].tags) if len(runs) == 1 else None
        if tagged is not None:
            numbers = await log.numbers(parse(f"tag:{TAG}:{tagged[0]}", datetime.now(UTC)))
            runs = await log.stored(list(numbers[-len(LETTERS) * (MOST_RUNS + 1) :]))
        known = {endpoint.id: endpoint for endpoint in endpoints}
        slots = await asyncio.to_thread(_slots_of, runs, tagged[0] if tagged else None, known)
        if not slots:
            return None
        return LoggedComparison(tagged[0] if tagged else "", slots, min(one.record.started_utc for one in runs))

    async def read_variant(self, run_id: str, endpoints: Iterable[Endpoint]) -> Variant | None:
        """Return the prompt of a logged request with its endpoint; None if it is no longer in the log."""
        log = self._log()
        stored = await log.get(run_id) if log is not None else None
        if stored is None:
            return None
        return await asyncio.to_thread(_variant_of, stored, {endpoint.id: endpoint for endpoint in endpoints})


def figures_of(pending: PendingRequest, *, text: bool = True) -> RunFigures:
    """Return the figures of a request of this session, also while it is in flight."""
    run = pending.run
    return figures(run.id, run.state, run.endpoint.rates, pending.forecast, answer_text(run.state) if text else "")


def _stored_figures(stored: StoredRun) -> RunFigures:
    record, state = stored.record, stored.state()
    return figures(record.run_id, state, record.rates, record.forecast, answer_text(state))


def _slots_of(runs: Sequence[StoredRun], comparison: str | None, known: dict[str, Endpoint]) -> list[ColumnSlot]:
    """Return the columns of logged requests. `comparison`: None gives one column for each request."""
    columns: dict[int, list[StoredRun]] = {}
    for at, stored in enumerate(sorted(runs, key=lambda one: one.number)):
        tags = read_tags(stored.tags)
        if comparison is None:
            columns[at] = [stored]
        elif tags is not None and tags[0] == comparison:
            columns.setdefault(tags[1], []).append(stored)
    slots = []
    for _, stored_runs in sorted(columns.items()):
        slot = ColumnSlot(_variant_of(stored_runs[-1], known))
        slot.runs = [_stored_figures(one) for one in stored_runs]
        slot.sent = slot.variant.document
        slots.append(slot)
    return slots


def _variant_of(stored: StoredRun, known: dict[str, Endpoint]) -> Variant:
    record = stored.record
    endpoint = known.get(record.endpoint_id) or Endpoint(
        record.endpoint_id, record.endpoint_name, record.base_url, kind=record.endpoint_kind, rates=record.rates
    )
    document = without_marker(load(record.document))
    return Variant(replace(document, name=document.name or "Logged request"), replace(endpoint, model=record.model))

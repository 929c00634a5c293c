"""Repeat: send the prompt N times, after a preview of time and cost, and compare the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from msgspec import Struct
from PySide6.QtWidgets import (
    QLabel,
    QWidget,
)

from playground.client.endpoint import PlanLimits, Rates, price
from playground.experiments.batch_plan import plan_batch
from playground.experiments.lab import MOST, Drift, drift, repeat
from playground.prefix_cache.text_compare import snippet
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted, dollars, seconds
from playground.runs.record import group_tag
from playground.runs.state import RunState
from playground.services import AppServices
from playground.simulator.process import SimulatorError
from playground.ui.theme import GRID
from playground.ui.widgets.form import progress_bar, spin_box
from playground.ui.widgets.labels import copy_text, push_button
from playground.ui.widgets.layouts import STRETCH, column_of, row_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import TaskDialog, button_box, resize_dialog

_COLUMNS = ("times", "differs at", "answer", "request_ids")
_PREVIEW = 120


class Ahead(Struct, frozen=True):
    """What is known before: limits, rates, ≈ tokens of the prompt, and what one request took (None: unknown)."""

    plan: PlanLimits
    rates: Rates
    prompt_tokens: float
    max_tokens: int | None
    seconds_each: float | None


def ahead_of(workspace: AppServices, document: Document, last: RunState | None) -> Ahead:
    """Return the figures known before a document is sent several times; `last` is the newest request's state."""
    endpoint, limit = workspace.endpoint, document.parameters.get("max_tokens")
    return Ahead(
        endpoint.plan,
        endpoint.rates,
        workspace.forecast(document).zones.total_tokens,
        limit if isinstance(limit, int) else None,
        last.ended_at if last and last.phase == "done" else None,
    )


class RepeatDialog(TaskDialog):
    """`send` sends the prompt once, with the tag of this series in the log, and returns its state."""

    def __init__(
        self,
        ahead: Ahead,
        send: Callable[[str], Coroutine[Any, Any, RunState]],
        start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Repeat")
        self._ahead, self._send, self._start = ahead, send, start
        self._task: asyncio.Task[None] | None = None
        self._states: list[RunState] = []
        self._drift: Drift | None = None
        self.times, self.at_once = spin_box(2, MOST, 10, "Runs"), spin_box(1, 20, 1, "In parallel")
        if ahead.plan.in_flight:
            self.at_once.setMaximum(ahead.plan.in_flight)
        self.cost = words("")
        self.progress = progress_bar("Requests that have ended")
        self.progress.hide()
        self.found = words("", "strong")
        self.table = plain_table("Different answers", _COLUMNS, 2, {0: 60, 1: 150})
        self.go = push_button("Start", "primary", self._toggle)
        self.copy = push_button("Copy request_ids", clicked=self._copy)
        self.copy.setEnabled(False)
        self._lay_out()
        for box in (self.times, self.at_once):
            box.valueChanged.connect(self._show_cost)
        self._show_cost()

    def _lay_out(self) -> None:
        row = row_of(QLabel("Runs"), self.times, QLabel("In parallel"), self.at_once, STRETCH)
        close = button_box(self.close, self.go, self.copy)
        column_of(
            words("A seed is best effort: how far do the answers to one request drift apart?"),
            row,
            self.cost,
            self.progress,
            self.found,
            (self.table, 1),
            close,
            on=self,
            margins=GRID * 2,
        )
        resize_dialog(self, 720, 480)

    @property
    def running(self) -> bool:
        return self._task is not None

    def _show_cost(self) -> None:
        self.cost.setText(what_it_takes(self._ahead, self.times.value(), self.at_once.value()))

    def _toggle(self) -> None:
        if self._task is not None:
            self._task.cancel()
            return
        self._states = []
        self.progress.setRange(0, self.times.value())
        self.progress.setValue(0)
        self.progress.show()
        self.found.setText("")
        self.table.setRowCount(0)
        self._task = self._start(self._run(), "repeat the prompt")
        self._show_busy()

    async def _run(self) -> None:
        try:
            await repeat(
                partial(self._send, group_tag("repeat")), self.times.value(), self.at_once.value(), self._one_ended
            )
        except* (InputError, SimulatorError) as errors:
            self.found.setText(f"Not sent: {errors.exceptions[0]}")
        finally:
            self._task = None
            self._show_busy()

    def _one_ended(self, state: RunState) -> None:
        self._states.append(state)
        self.progress.setValue(len(self._states))
        self._show(drift(self._states))

    def _show_busy(self) -> None:
        self.go.setText("Stop" if self.running else "Start")
        for box in (self.times, self.at_once):
            box.setEnabled(not self.running)

    def _show(self, found: Drift) -> None:
        self._drift = found
        self.found.setText(found.sentence)
        self.copy.setEnabled(bool(found.answers))
        fill_table(self.table, [_cells(found, row) for row in range(len(found.answers))])

    def _copy(self) -> None:
        if self._drift is not None:
            lines = [
                f"{number}\t{request_id or '—'}"
                for number, answer in enumerate(self._drift.answers, 1)
                for request_id in answer.request_ids
            ]
            copy_text("\n".join(("answer\trequest_id", *lines)))

    def work(self) -> tuple[asyncio.Task[None] | None, ...]:
        return (self._task,)


def what_it_takes(ahead: Ahead, times: int, at_once: int) -> str:
    """Return requests, time and money, displayed before anything is sent."""
    limits = ahead.plan.in_flight, ahead.plan.requests_per_minute
    side_by_side = min(at_once, limits[0] or at_once)
    if ahead.seconds_each is None:
        least = plan_batch(times, side_by_side, limits[1], 0.0)
        time = f"in at least {seconds(least)}" if least else "in a time that is not known (nothing was sent yet)"
    else:
        time = f"in ≈ {seconds(plan_batch(times, side_by_side, limits[1], ahead.seconds_each))}"
    within = f" within {ahead.plan.name}'s limits" if any(limits) else ""
    return f"{counted(times, 'request')} {time}{within}. {_money(ahead, times)} Each is in the request log."


def _money(ahead: Ahead, times: int) -> str:
    most, output = price(ahead.prompt_tokens, ahead.rates.fresh), price(ahead.max_tokens, ahead.rates.output)
    if most is None:
        return "Cost unknown: no rate is set for fresh input."
    if output is None:
        lacks = "output is not priced" if ahead.rates.output is None else "the output's length is not limited"
        return f"Input at most ≈ {dollars(most * times)}; {lacks}."
    return f"At most ≈ {dollars((most + output) * times)}."


def _cells(found: Drift, row: int) -> tuple[str, ...]:
    answer = found.answers[row]
    ids = ", ".join(request_id or "—" for request_id in answer.request_ids)
    return f"{answer.count}", _place(answer.text, found.differs_at(row)), _line(answer.text), ids


def _place(text: str, at: int | None) -> str:
    return "" if at is None else f"{at:,} “{snippet(text[at:], 12)}”"


def _line(text: str) -> str:
    return " ".join(text[: _PREVIEW * 2].split())[:_PREVIEW]

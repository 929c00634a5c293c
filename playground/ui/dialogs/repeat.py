"""Repeat: send the prompt N times, after a preview of time and cost, and compare the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from statistics import median
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtWidgets import QLabel, QWidget

from playground.client.endpoint import PlanLimits, Rates, price
from playground.experiments.batch_plan import plan_batch
from playground.experiments.repeats import MOST, Drift, drift, repeat
from playground.prefix_cache.text_compare import snippet
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted, dollars, seconds
from playground.runs.record import GroupKind, group_tag
from playground.runs.state import RunState
from playground.services import AppServices
from playground.simulator.process import SimulatorError
from playground.tasks import Start
from playground.ui.widgets.form import progress_bar, spin_box
from playground.ui.widgets.labels import copy_text, push_button, show_or_hide
from playground.ui.widgets.layouts import STRETCH, repeating_timer, row_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import TaskDialog, button_box, fill_dialog

_COLUMNS = ("times", "differs at", "answer", "request_ids")
_PREVIEW = 120
SendOnce = Callable[[str], Coroutine[Any, Any, RunState]]


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
        seconds_of([last] if last else []),
    )


def seconds_of(states: Sequence[RunState]) -> float | None:
    """Return the median time of answered requests, without their wait to be sent; None: unknown."""
    times = [
        state.ended_at - state.attempts[0].started_at
        for state in states
        if state.phase == "done" and state.ended_at is not None and state.attempts
    ]
    return median(times) if times else None


SECOND_MS = 500


class SendsInSeries:
    """Mixin of a widget that sends the prompt several times, after a preview of time and cost.

    Subclasses have `show_states`, and display the widgets that `build_series` makes.
    """

    said: QLabel
    """Shows the result, or why nothing was sent."""
    tag: GroupKind
    """Under which the log lists the requests of a series as one group."""

    def build_series(
        self, start: Start, task: str, ahead: Callable[[], Ahead], send: SendOnce, at_once: str, tone: str = ""
    ) -> None:
        """Make the widgets.

        `task`: the name of the task; `ahead`: what is known before; `at_once`: name of the field for requests in
        parallel. `send` sends the prompt once, tagged with the group of this series, and returns its state.
        """
        self._start, self._task_name, self.ahead, self._send = start, task, ahead, send
        self.task: asyncio.Task[None] | None = None
        """Sends the requests."""
        self.states: list[RunState] = []
        self.times, self.at_once = spin_box(2, MOST, 10, "Runs"), spin_box(1, 20, 1, at_once)
        self.cost = words("", tone)
        self.progress = progress_bar("Requests that have ended")
        self.progress.hide()
        self.go = push_button("Start", "primary", self.start_or_stop)
        for box in (self.times, self.at_once):
            box.valueChanged.connect(self.show_cost)

    def show_states(self) -> None:
        """Show the result of `states`, which has one more, or none when the series begins."""
        raise NotImplementedError

    def fields(self) -> Sequence[QWidget]:
        """Return the fields that are disabled while requests are sent."""
        return self.times, self.at_once

    @property
    def running(self) -> bool:
        return self.task is not None

    def show_cost(self) -> None:
        ahead = self.ahead()
        if (measured := seconds_of(self.states)) is not None:
            ahead = replace(ahead, seconds_each=measured)
        self.at_once.setMaximum(ahead.plan.in_flight or 20)
        self.cost.setText(what_it_takes(ahead, self.times.value(), self.at_once.value()))

    def start_or_stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            return
        self.states = []
        self.progress.setRange(0, self.times.value())
        self.progress.setValue(0)
        self.progress.show()
        self.show_states()
        self.task = self._start(self._run(), self._task_name)
        self._show_running()

    async def _run(self) -> None:
        send = partial(self._send, group_tag(self.tag))
        try:
            await repeat(send, self.times.value(), self.at_once.value(), self._one_ended)
        except* (InputError, SimulatorError) as errors:
            self.said.setText(f"Not sent: {errors.exceptions[0]}")
        finally:
            self.task = None
            self.show_cost()
            self._show_running()

    def _one_ended(self, state: RunState) -> None:
        self.states.append(state)
        self.progress.setValue(len(self.states))
        self.show_states()

    def _show_running(self) -> None:
        self.go.setText("Stop" if self.running else "Start")
        for field in self.fields():
            field.setEnabled(not self.running)


class RepeatDialog(SendsInSeries, TaskDialog):
    """`send` sends the prompt once, with the tag of this series in the log, and returns its state."""

    tag = "repeat"

    def __init__(
        self,
        ahead: Ahead,
        send: SendOnce,
        queued: Callable[[], str],
        start: Start,
        parent: QWidget,
    ) -> None:
        """`queued`: why and how long a request waits for its place within the plan's limits; "" if none waits."""
        super().__init__(parent)
        self.setWindowTitle("Repeat")
        self._drift: Drift | None = None
        self._queued, self.waits = queued, words("", "muted")
        self.waits.hide()
        self._second = repeating_timer(self, SECOND_MS, self._show_wait)
        self.build_series(start, "repeat the prompt", lambda: ahead, send, "In parallel")
        self.found = self.said = words("", "strong")
        self.table = plain_table("Different answers", _COLUMNS, 2, {0: 76, 1: 110})
        self.copy = push_button("Copy request_ids", clicked=self._copy)
        self.copy.setEnabled(False)
        self._lay_out()
        self.show_cost()

    def _show_running(self) -> None:
        super()._show_running()
        self._second.start() if self.running else self._second.stop()
        self._show_wait()

    def _show_wait(self) -> None:
        text = self._queued() if self.running else ""
        show_or_hide(self.waits, text)

    def _lay_out(self) -> None:
        row = row_of(QLabel("Runs"), self.times, QLabel("In parallel"), self.at_once, STRETCH)
        close = button_box(self.close, self.go, self.copy)
        fill_dialog(
            self,
            (720, 480),
            words("A seed is best effort: how far do the answers to one request drift apart?"),
            row,
            self.cost,
            self.progress,
            self.waits,
            self.found,
            (self.table, 1),
            close,
        )

    def show_states(self) -> None:
        if not self.states:
            self.found.setText("")
            self.table.setRowCount(0)
            return
        found = self._drift = drift(self.states)
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
        return (self.task,)


def what_it_takes(ahead: Ahead, times: int, at_once: int) -> str:
    """Return requests, time and money, displayed before anything is sent."""
    limits = ahead.plan.in_flight, ahead.plan.requests_per_minute
    side_by_side = min(at_once, limits[0] or at_once)
    if ahead.seconds_each is None:
        least = plan_batch(times, side_by_side, limits[1], 0.0)
        time = f"in at least {seconds(least)}" if least else "in a time that is not known (none was answered here yet)"
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

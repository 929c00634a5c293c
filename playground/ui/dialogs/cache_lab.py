"""The cache lab: select an experiment, preview its cost, run, stop or resume it, and save its results."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QLabel, QWidget

from playground.client.endpoint import Endpoint, Rates, price
from playground.experiments.batch_plan import plan_batch
from playground.experiments.lab import (
    PLANS,
    TITLES,
    Experiment,
    Lab,
    LabPlan,
    LabProgress,
    Reading,
    csv_rows,
    findings,
    from_json,
    sentences,
    to_json,
)
from playground.experiments.replay import Breaker, CacheHistory
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted, dollars, seconds, whole_seconds
from playground.runs.state import RunState
from playground.simulator.process import SimulatorError
from playground.storage.json_file import JsonFile
from playground.tasks import Start
from playground.ui.dialogs.repeat import SECOND_MS
from playground.ui.widgets.figure_row import Chart, Series
from playground.ui.widgets.form import combo_box, line_edit, progress_bar
from playground.ui.widgets.labels import push_button, show_or_hide
from playground.ui.widgets.layouts import STRETCH, FittedScroll, column_of, repeating_timer, row_of
from playground.ui.widgets.notice import words, write_errors
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import ANY_FILE, TaskDialog, ask_save, button_box, fill_dialog

_COLUMNS = ("cause", "times", "≈ tokens lost", "cost")


class ReplayDialog(QDialog):
    """`look` replays what a filter finds; raises InputError for one that cannot be read."""

    open_requested = Signal(str)
    """A run_id: show that request."""

    def __init__(
        self,
        look: Callable[[str], Awaitable[CacheHistory]],
        start: Start,
        rates: Rates,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Cache history")
        self._look, self._start, self._rates = look, start, rates
        self.found: CacheHistory | None = None
        hint = "all requests, or a filter as in the log: since:1d endpoint:Electron"
        self.line = line_edit("Requests to replay, by filter", hint)
        self.line.returnPressed.connect(self.run)
        self.go = push_button("Replay", "primary", self.run)
        self.said = words("")
        self.chart = Chart("Cached against fresh tokens over time", start)
        self.chart.notice.connect(self.said.setText)
        name = "What ended prefixes, the costliest first"
        self.table = plain_table(name, _COLUMNS, 0, {1: 76, 2: 108, 3: 116})
        self.table.cellActivated.connect(self._open)
        self._lay_out()

    def _lay_out(self) -> None:
        row = row_of((self.line, 1), self.go)
        close = button_box(self.close)
        fill_dialog(
            self,
            (820, 600),
            row,
            self.said,
            (self.chart, 2),
            (self.table, 1),
            words("Enter on a row shows the newest request that it ended.", "muted"),
            close,
        )

    def run(self) -> None:
        self.go.setEnabled(False)
        self._start(self._run(self.line.text()), "replay")

    async def _run(self, chosen: str) -> None:
        try:
            found = await self._look(chosen)
        except InputError as bad:
            self.said.setText(str(bad.problems[0]))
        else:
            self.found = found
            self._show(found)
        finally:
            self.go.setEnabled(True)

    def _show(self, found: CacheHistory) -> None:
        self.said.setText("\n".join(found.sentences))
        first = found.bins[0].end if found.bins else 0.0
        unit, name = _unit(found.bins[-1].end - first if found.bins else 0.0)
        places = [((one.end - first) / unit, one) for one in found.bins]
        busy = [(x, one) for x, one in places if one.cached or one.fresh]
        cached = Series("cached", tuple((x, float(one.cached)) for x, one in busy), "warm_edge")
        fresh = Series("fresh", tuple((x, float(one.fresh)) for x, one in busy), "variable_edge", hollow=True)
        self.chart.show_series([cached, fresh], name, "tokens")
        fill_table(self.table, [_cells(one, self._rates) for one in found.breakers])

    def _open(self, row: int, _column: int) -> None:
        if self.found is not None and row < len(self.found.breakers):
            self.open_requested.emit(self.found.breakers[row].runs[-1])


def _cells(one: Breaker, rates: Rates) -> tuple[str, ...]:
    less = rates.saved(one.lost)
    cost = "not priced" if less is None else f"≈ {dollars(less)}"
    return " · ".join(filter(None, (one.title, one.place))), f"{len(one.runs):,}", f"{one.lost:,.0f}", cost


def _unit(span_s: float) -> tuple[float, str]:
    """Seconds of the axis's unit, and its name."""
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if span_s >= 2 * unit:
            return unit, f"{name} since the first"
    return 1.0, "seconds since the first"


EXPERIMENTS: tuple[Experiment, ...] = ("blocks", "lifetime", "repeats", "first_token")
GUESS_S = 0.5
"""Assumed seconds per request before any measurement."""


class CacheLabServices(Struct, frozen=True):
    """What the lab works on: the endpoint, a way to send to it, and the file that keeps its progress."""

    endpoint: Endpoint
    send: Callable[[Document], Awaitable[RunState]]
    queued: Callable[[], str]
    """Why and how long a request waits for its place within the plan's limits; "" if none waits."""
    file: Path
    start: Start
    lock: asyncio.Lock
    """Held while the file is read or written: a closed dialog may still save its progress."""


class CacheLabDialog(TaskDialog):
    """One experiment at a time. Every request is in the log, and waits for its place within the plan."""

    lifetime_found = Signal(float)
    """Seconds: the user wants it to be what forecasts assume."""

    def __init__(self, services: CacheLabServices, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Cache lab")
        self._services = services
        self._task: asyncio.Task[None] | None = None
        self._kept = JsonFile(services.file, "The cache lab's file")
        self.progress: LabProgress | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.choice = combo_box("Experiment", [TITLES[experiment] for experiment in EXPERIMENTS])
        self.cost, self.said, self.waits = words(""), words("", "strong"), words("", "muted")
        self._lab: Lab | None = None
        self._second = repeating_timer(self, SECOND_MS, self._show_wait)
        self.waits.hide()
        self.bar = progress_bar("Requests sent")
        self.chart = Chart("What was measured", services.start)
        self.chart.notice.connect(lambda sentence: self.said.setText(sentence))
        self.choice.activated.connect(self._choose)
        self.go = push_button("Start", "primary", self._toggle)
        self.again = push_button("Start over", clicked=self._choose)
        self.use = push_button("Use this lifetime in forecasts", clicked=self._use)
        self.save = push_button("Save as CSV…", clicked=self._save)
        self._lay_out()
        self._plan: LabPlan = PLANS["blocks"]()
        self.choice.setCurrentIndex(EXPERIMENTS.index(self._plan.experiment))
        self._show()
        self._reading = services.start(self._read_kept(), "read the cache lab's file")

    async def _read_kept(self) -> None:
        """Show the experiment of the file, unless the user has chosen another one meanwhile."""
        plan = self._plan
        async with self._services.lock:
            progress = await asyncio.to_thread(self._kept.read, from_json)
        if progress is None or progress.endpoint_id != self._services.endpoint.id:
            return
        if self._plan is plan and self.progress is None:
            self._plan, self.progress = progress.plan, progress
            self.choice.setCurrentIndex(EXPERIMENTS.index(progress.plan.experiment))
            self._show()

    def _lay_out(self) -> None:
        row = row_of(QLabel("Experiment"), (self.choice, 1))
        buttons = button_box(self.close, self.go, self.again, self.use, self.save)
        self.chart.setMaximumHeight(360)
        above = QWidget()
        column_of(
            words(
                f"Block size, minimum and lifetime of {self._services.endpoint.name}'s cache are not published. "
                "These experiments find out what its reports show, with prompts of their own."
            ),
            row,
            self.cost,
            self.bar,
            self.waits,
            self.said,
            on=above,
            margins=0,
        )
        fill_dialog(self, (760, 520), FittedScroll(above), (self.chart, 100), STRETCH, buttons)

    @property
    def running(self) -> bool:
        return self._task is not None

    def use_plan(self, plan: LabPlan) -> None:
        self._plan, self.progress = plan, None
        self.choice.setCurrentIndex(EXPERIMENTS.index(plan.experiment))
        self._show()

    def _choose(self, _index: int = 0) -> None:
        self.use_plan(PLANS[EXPERIMENTS[self.choice.currentIndex()]]())

    def _toggle(self) -> None:
        if self._task is not None:
            self._task.cancel()
            return
        begin = self.progress if self.progress and not self.progress.done else None
        if begin is None and self.progress is not None:
            self._plan = PLANS[self._plan.experiment]()
        self.progress = begin or LabProgress(self._plan, self._services.endpoint.id)
        self._task = self._services.start(self._run(self.progress), "cache lab")
        self._show()

    async def _run(self, progress: LabProgress) -> None:
        try:
            self._lab = Lab(progress, self._services.send, self._read)
            self._second.start()
            ended = await self._lab.run()
            if not ended.done:
                self.said.setText("The last request failed. Resume retries this step.")
        except (InputError, SimulatorError) as error:
            self.said.setText(f"Not sent: {error}")
        finally:
            self._task = self._lab = None
            self._second.stop()
            self._show_wait()
            self._show_buttons()

    def _show_wait(self) -> None:
        """Count down to the next request while the experiment leaves the cache alone, or the plan's limit holds it."""
        left = self._lab.left_s if self._lab is not None else None
        queued = self._services.queued() if self._lab is not None else ""
        text = queued if left is None else f"The next request is sent in {whole_seconds(left)}."
        show_or_hide(self.waits, text)

    def _read(self, progress: LabProgress) -> None:
        self.progress = progress
        self._keeping = self._services.start(self._keep(progress), "save the cache lab's progress")
        self._show()

    async def _keep(self, progress: LabProgress) -> None:
        """Write the newest progress. An error prevents resuming, not the experiment."""
        async with self._services.lock:
            if progress is not self.progress:
                return
            try:
                await asyncio.to_thread(lambda: self._kept.write(to_json(progress)))
            except OSError as error:
                self.setWindowTitle(f"Cache lab (its progress cannot be saved: {error.strerror or error})")

    def _show(self) -> None:
        tokens = self.progress.tokens if self.progress else self._plan.tokens
        self.cost.setText(cost_words(self._plan, tokens, self._services.endpoint))
        taken = len(self.progress.readings) if self.progress else 0
        self.bar.setRange(0, len(self._plan.steps))
        self.bar.setValue(taken)
        self.said.setText("\n".join(sentences(self.progress)) if self.progress else "")
        self.chart.show_series(*chart_of(self.progress))
        self._show_buttons()

    def _show_buttons(self) -> None:
        begun = self.progress is not None and bool(self.progress.readings)
        left = self.progress is not None and not self.progress.done
        self.go.setText("Stop" if self.running else "Resume" if begun and left else "Start")
        self.choice.setEnabled(not self.running)
        self.again.setVisible(begun and left and not self.running)
        self.save.setEnabled(begun)
        found = findings(self.progress).lifetime_s if self.progress else None
        self.use.setVisible(found is not None)

    def _use(self) -> None:
        found = findings(self.progress).lifetime_s if self.progress else None
        if found is not None:
            self.lifetime_found.emit(found)

    def _save(self) -> None:
        ask_save(self, "Save the readings", {ANY_FILE: "csv"}, lambda path: self._save_to(str(path)))

    def _save_to(self, path: str) -> None:
        self._keeping = self._services.start(self.save_to(path), "save the readings")

    async def save_to(self, path: str) -> None:
        progress = self.progress
        if progress is None:
            return

        def write() -> None:
            with Path(path).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(csv_rows(progress))

        with write_errors(path, self.said.setText):
            await asyncio.to_thread(write)

    def work(self) -> tuple[asyncio.Task[None] | None, ...]:
        """Return the running experiment; it can be resumed later."""
        return self._task, self._reading, self._keeping

    def stop_work(self) -> None:
        """Stop the experiment; its progress is still saved."""
        for task in (self._task, self._reading):
            if task is not None:
                task.cancel()


def cost_words(plan: LabPlan, tokens: float, endpoint: Endpoint) -> str:
    """Return requests, ≈ tokens, money and time, displayed before anything is sent."""
    limits = endpoint.plan
    busy = plan_batch(len(plan.steps), 1, limits.requests_per_minute, GUESS_S)
    time = seconds(max(busy, plan.idle_s))
    cost = price(tokens, endpoint.rates.fresh)
    money = "cost unknown: no rate is set" if cost is None else f"≈ {dollars(cost)} of input if nothing is cached"
    within = f" within {limits.name}'s limits" if limits.requests_per_minute else ""
    return f"{counted(len(plan.steps), 'request')}, ≈ {tokens:,.0f} tokens, {money}, about {time}{within}."


def chart_of(progress: LabProgress | None) -> tuple[list[Series], str, str]:
    """Return the series of an experiment's chart, and the names of its axes."""
    if progress is None:
        return [], "", ""
    again = [reading for reading in progress.again if reading.cached_tokens is not None]
    if progress.plan.experiment == "blocks":
        points = tuple((float(r.prompt_tokens or 0), float(r.cached_tokens or 0)) for r in again)
        return [Series("sent again", points, "warm_edge")], "prompt tokens", "cached tokens"
    if progress.plan.experiment == "lifetime":
        hit = tuple((r.gap_s or 0.0, float(r.cached_tokens or 0)) for r in again)
        return [Series("sent again", hit, "warm_edge")], "seconds since it was sent before", "cached tokens"
    if progress.plan.experiment == "repeats":
        sent = enumerate(progress.readings, 1)
        points = tuple((float(n), float(r.cached_tokens)) for n, r in sent if r.cached_tokens is not None)
        return [Series("request", points, "warm_edge", joined=True)], "request number", "cached tokens"
    cold = tuple((float(n), (r.ttft_s or 0) * 1000) for n, r in enumerate(_first(progress), 1))
    warm = tuple((float(n), (r.ttft_s or 0) * 1000) for n, r in enumerate(again, 1) if r.ttft_s is not None)
    both = [Series("cold", cold, "variable_edge", hollow=True), Series("warm", warm, "warm_edge")]
    return both, "prompt number", "time to first token, ms"


def _first(progress: LabProgress) -> list[Reading]:
    return [reading for reading in progress.readings if reading.gap_s is None and reading.ttft_s is not None]

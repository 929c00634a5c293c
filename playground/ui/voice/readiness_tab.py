"""Voice readiness tab: repeats the prompt, logs each run, and shows the distributions of the times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any

from msgspec import Struct
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from playground.experiments.lab import MOST, repeat
from playground.prompt.field_errors import InputError
from playground.runs.metrics import percent
from playground.runs.record import group_tag
from playground.runs.state import RunState, TurnTimes
from playground.simulator.process import SimulatorError
from playground.storage.settings import Settings
from playground.ui.dialogs.repeat import Ahead, what_it_takes
from playground.ui.theme import GRID, current_theme, ui_font
from playground.ui.voice.canvas import Scale
from playground.ui.voice.picture import milliseconds
from playground.ui.widgets.form import progress_bar, spin_box
from playground.ui.widgets.labels import copy_text
from playground.ui.widgets.layouts import FlowLayout, PageScroll, column_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.voice.speech import SpeechSettings
from playground.voice.timeline import Cache, Distribution, Group, Readiness, readiness

GUTTER, ROW_PX, HEAD_PX, AXIS_PX = 76, 30, 20, 20
FEWEST_FOR_A_BOX = 8
"""Minimum number of values for which quartiles are drawn; with fewer, the dots show the same."""
_DOT = 3.5


class ReadinessRow(Struct, frozen=True):
    cache: Cache
    values: Distribution


class Spread(QWidget):
    """Rows of dots over one axis of milliseconds from 0. Hollow: cold. Filled: warm. Cross: not reported."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._rows: tuple[ReadinessRow, ...] = ()
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.show_rows(())

    def show_rows(self, rows: Sequence[ReadinessRow]) -> None:
        """Draw these groups; omits groups without turns."""
        self._rows = tuple(row for row in rows if row.values.values)
        lines = [f"{row.cache}: {len(row.values.values)}, {_summary(row.values)}" for row in self._rows]
        self.setAccessibleDescription("; ".join(lines) or "nothing measured")
        self.setToolTip(f"{self._name}\n" + "\n".join(lines) if lines else "")
        self.setFixedHeight(self.sizeHint().height())
        self.update()

    def sizeHint(self) -> QSize:
        """Return the height of the current groups, at least that of two."""
        return QSize(420, HEAD_PX + ROW_PX * max(len(self._rows), 2) + AXIS_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), current_theme().surface)
        painter.setFont(ui_font(12, bold=True))
        painter.setPen(current_theme().text)
        side = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(GRID, 0, self.width() - GRID, HEAD_PX), side, self._name)
        painter.setFont(ui_font(11, tabular=True))
        if not self._rows:
            painter.setPen(current_theme().muted)
            painter.drawText(self.rect().adjusted(0, HEAD_PX, 0, 0), Qt.AlignmentFlag.AlignCenter, "nothing measured")
            return
        most = max(row.values.values[-1] for row in self._rows)
        scale = Scale(0.0, max(most, 0.001) * 1.05, GUTTER, max(self.width() - GUTTER - GRID * 3, 1))
        self._paint_axis(painter, scale)
        for number, row in enumerate(self._rows):
            self._paint_row(painter, scale, HEAD_PX + number * ROW_PX, row)

    def _paint_axis(self, painter: QPainter, scale: Scale) -> None:
        bottom = HEAD_PX + ROW_PX * len(self._rows)
        for at in scale.ticks():
            x = scale.x(at)
            painter.setPen(QPen(current_theme().line, 1))
            painter.drawLine(QPointF(x, HEAD_PX), QPointF(x, bottom))
            painter.setPen(current_theme().muted)
            painter.drawText(QRectF(x - 44, bottom + 2, 88, 16), Qt.AlignmentFlag.AlignCenter, _tick(at))

    def _paint_row(self, painter: QPainter, scale: Scale, top: float, row: ReadinessRow) -> None:
        painter.setPen(current_theme().text)
        side = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        values = row.values.values
        name = {"cold": "cold", "warm": "warm", "unknown": "not reported"}[row.cache]
        painter.drawText(QRectF(GRID, top, GUTTER - GRID, ROW_PX), side, f"{name} {len(values)}")
        color = self._color(row.cache)
        if len(values) >= FEWEST_FOR_A_BOX:
            left, right = scale.x(values[len(values) // 4]), scale.x(values[(3 * len(values)) // 4])
            fill = QColor(color)
            fill.setAlpha(40)
            painter.fillRect(QRectF(left, top + 5, max(right - left, 1), ROW_PX - 10), fill)
        median = row.values.median
        if median is not None and len(values) > 1:
            painter.setPen(QPen(current_theme().text, 2))
            x = scale.x(median)
            painter.drawLine(QPointF(x, top + 4), QPointF(x, top + ROW_PX - 4))
        for number, value in enumerate(values):
            place = QPointF(scale.x(value), top + ROW_PX / 2 + (number % 3 - 1) * 5)
            self._paint_dot(painter, place, row.cache, color)

    def _paint_dot(self, painter: QPainter, place: QPointF, cache: Cache, color: QColor) -> None:
        painter.setPen(QPen(color, 1.5))
        if cache == "unknown":
            for tilt in (-1, 1):
                painter.drawLine(place + QPointF(-3, -3 * tilt), place + QPointF(3, 3 * tilt))
            return
        painter.setBrush(current_theme().surface if cache == "cold" else color)
        painter.drawEllipse(place, _DOT, _DOT)

    def _color(self, cache: Cache) -> QColor:
        if cache == "warm":
            return current_theme().warm_edge
        return current_theme().stable_edge if cache == "cold" else current_theme().muted


def _tick(at: float) -> str:
    return f"{at:g} s" if at >= 10 else milliseconds(at)


def _summary(values: Distribution) -> str:
    return (
        f"from {milliseconds(values.values[0])} to {milliseconds(values.highest)}, median {milliseconds(values.median)}"
    )


METRICS: tuple[tuple[str, Callable[[Group], Distribution]], ...] = (
    ("Time to first token", lambda group: group.ttft),
    ("First speakable clause", lambda group: group.first_clause),
    ("Longest gap between pieces", lambda group: group.longest_gap),
    ("Playback stalls (buffer underrun) ≈", lambda group: group.starved),
)
COLUMNS = ("what", "cache", "turns", "lowest", "median", "p90", "worst", "none")
FEW = 20
"""Below this number of turns, the 90th percentile is one of the few slowest turns."""


class ReadinessServices(Struct, frozen=True):
    """Functions that the tab needs.

    `ahead`: return requests, time and cost in advance. `send`: send the prompt once and return its times (True: with a
    unique prefix that no cache holds), with the group's tag in the log. `start`: start a task.
    """

    ahead: Callable[[], Ahead]
    send: Callable[[bool, str], Coroutine[Any, Any, tuple[TurnTimes, RunState]]]
    start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class ReadinessTab(QWidget):
    """Runs one experiment at a time. Evaluates the results again if the speech settings or the limit change."""

    def __init__(self, settings: Settings, services: ReadinessServices) -> None:
        super().__init__()
        self._settings, self._services = settings, services
        self._speech = SpeechSettings()
        self.task: asyncio.Task[None] | None = None
        """The running measurement, if any."""
        self._turns: list[TurnTimes] = []
        self._found: Readiness | None = None
        self.times, self.at_once = spin_box(2, MOST, 10, "Runs"), spin_box(1, 20, 1, "Runs in parallel")
        self.limit = spin_box(1, 600, int(settings.number("voice_limit_s")), "Time limit per turn, seconds")
        self.limit.setSuffix(" s")
        self.cold = QCheckBox("Alternate cold and warm")
        self.cold.setToolTip("Its own words before the first message (and in the first tool): no cache can know it")
        self.cost, self.said, self.small = words("", "muted"), words("", "strong"), words("", "variable")
        self.progress = progress_bar("Requests that have ended")
        self.progress.hide()
        self.go, self.copy = QPushButton("Start"), QPushButton("Copy the table")
        self.go.setProperty("look", "primary")
        self.spreads = [Spread(name) for name, _ in METRICS]
        self.table = plain_table("Voice readiness", COLUMNS, 0, {1: 100, **dict.fromkeys(range(2, 8), 92)})
        self._lay_out()
        self.go.clicked.connect(self._toggle)
        self.copy.clicked.connect(self._copy)
        self.limit.valueChanged.connect(self._other_limit)
        for box in (self.times, self.at_once):
            box.valueChanged.connect(self.show_cost)
        self._show()

    def _lay_out(self) -> None:
        row = FlowLayout()
        for label, box in (("Runs", self.times), ("In parallel", self.at_once), ("Time limit per turn", self.limit)):
            row.add_labelled(label, box)
        row.add_all((self.cold, self.copy, self.go))
        inner = QWidget()
        grid = QGridLayout(inner)
        grid.setContentsMargins(0, 0, 0, 0)
        for number, spread in enumerate(self.spreads):
            grid.addWidget(spread, number // 2, number % 2)
        grid.setRowStretch(2, 1)
        scroll = PageScroll()
        scroll.setWidget(inner)
        column_of(
            row,
            self.cost,
            self.progress,
            self.said,
            self.small,
            (scroll, 3),
            (self.table, 2),
            on=self,
            margins=(0, GRID, 0, 0),
            spacing=GRID // 2,
        )

    @property
    def running(self) -> bool:
        return self.task is not None

    def judge(self, speech: SpeechSettings) -> None:
        self._speech = speech
        self.show_cost()
        self._show()

    def stop(self) -> None:
        """Stop the measurement and keep the results so far."""
        if self.task is not None:
            self.task.cancel()

    def show_cost(self) -> None:
        ahead = self._services.ahead()
        self.at_once.setMaximum(ahead.plan.in_flight or 20)
        self.cost.setText(what_it_takes(ahead, self.times.value(), self.at_once.value()))

    def _toggle(self) -> None:
        if self.task is not None:
            self.stop()
            return
        self._turns = []
        self.progress.setRange(0, self.times.value())
        self.progress.setValue(0)
        self.progress.show()
        self.task = self._services.start(self._run(), "voice readiness")
        self._show_busy()
        self._show()

    async def _run(self) -> None:
        numbers, cold, group = count(), self.cold.isChecked(), group_tag("readiness")

        async def send() -> RunState:
            turn, state = await self._services.send(cold and next(numbers) % 2 == 0, group)
            self._turns.append(turn)
            return state

        try:
            await repeat(send, self.times.value(), self.at_once.value(), self._one_ended)
        except* (InputError, SimulatorError) as errors:
            self.said.setText(f"Not sent: {errors.exceptions[0]}")
        finally:
            self.task = None
            self._show_busy()

    def _one_ended(self, _state: RunState) -> None:
        self.progress.setValue(len(self._turns))
        self._show()

    def _show_busy(self) -> None:
        self.go.setText("Stop" if self.running else "Start")
        for box in (self.times, self.at_once, self.cold):
            box.setEnabled(not self.running)

    def _other_limit(self, limit_s: int) -> None:
        self._settings.set("voice_limit_s", limit_s)
        self._show()

    def _show(self) -> None:
        found = self._found = readiness(self._turns, self._speech, float(self.limit.value()))
        self.said.setText(verdict(found))
        self.small.setText(smallness(found))
        self.small.setVisible(bool(self.small.text()))
        for spread, (_, metric) in zip(self.spreads, METRICS, strict=True):
            spread.show_rows(
                (
                    ReadinessRow("cold", metric(found.cold)),
                    ReadinessRow("warm", metric(found.warm)),
                    ReadinessRow("unknown", metric(found.unknown)),
                )
            )
        fill_table(self.table, rows(found))
        self.copy.setEnabled(found.all.turns > 0)

    def _copy(self) -> None:
        if self._found is not None:
            head = [verdict(self._found), smallness(self._found), "\t".join(COLUMNS)]
            copy_text("\n".join([*filter(None, head), *("\t".join(row) for row in rows(self._found))]))


def verdict(found: Readiness) -> str:
    """Return the share of turns that ended in time, and the share with pauses in speech."""
    if not found.all.turns:
        return "Nothing measured yet. Each request is logged."
    within, starving = found.all.within, found.all.starving
    stopped = f"  ·  {found.stopped} stopped, left out" if found.stopped else ""
    return (
        f"Within {found.limit_s:g} s: {within.count} of {within.of} ({percent(within.value)})  ·  "
        f"speech would starve in ≈ {starving.count} of {starving.of}{stopped}"
    )


def smallness(found: Readiness) -> str:
    """Return a warning about a small number of turns; empty if there are enough."""
    turns = found.all.turns
    if not 0 < turns < FEW:
        return ""
    one = "turn is" if turns == 1 else "turns are"
    return f"{turns} {one} few: p90 is one of the worst few, and shares move by {percent(1 / turns)} a turn."


def rows(found: Readiness) -> list[tuple[str, ...]]:
    """Return table rows: each metric for all, cold and warm turns, and those whose cache was not reported."""
    groups = [("all", found.all), ("cold", found.cold), ("warm", found.warm), ("not reported", found.unknown)]
    used = [(name, group) for name, group in groups if group.turns]
    return [
        (label, name, f"{group.turns}", *_figures(metric(group)), f"{metric(group).missing or ''}")
        for label, metric in METRICS
        for name, group in used
    ]


def _figures(values: Distribution) -> tuple[str, ...]:
    lowest = values.values[0] if values.values else None
    return tuple(milliseconds(value) for value in (lowest, values.median, values.p90, values.highest))

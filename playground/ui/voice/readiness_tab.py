"""Voice readiness tab: repeats the prompt, logs each run, and shows the distributions of the times."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec import Struct
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QCheckBox, QGridLayout, QSizePolicy, QWidget

from playground.runs.metrics import percent
from playground.runs.state import RunState, TurnTimes
from playground.storage.settings import Settings
from playground.tasks import Start
from playground.ui.dialogs.repeat import Ahead, SendsInSeries
from playground.ui.theme import GRID, current_theme, ui_font
from playground.ui.voice.canvas import Scale
from playground.ui.voice.picture import milliseconds
from playground.ui.widgets.form import spin_box
from playground.ui.widgets.labels import copy_text, push_button, show_or_hide
from playground.ui.widgets.layouts import FlowLayout, PageScroll, column_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.voice.speech import SpeechSettings
from playground.voice.timeline import Cache, Distribution, Group, Readiness, readiness

GUTTER, ROW_PX, HEAD_PX, AXIS_PX = 76, 30, 20, 20
FEWEST_FOR_A_BOX = 8
"""Minimum number of values for which quartiles are drawn; with fewer, the dots show the same."""
_DOT = 3.5


ReadinessRow: TypeAlias = tuple[Cache, Distribution]
_CACHES: dict[Cache, tuple[str, str]] = {
    "cold": ("cold", "stable_edge"),
    "warm": ("warm", "warm_edge"),
    "unknown": ("not reported", "muted"),
}
"""Name of a row, and the role of its color in the theme."""


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
        self._rows = tuple((cache, found) for cache, found in rows if found.values)
        lines = [f"{cache}: {len(found.values)}, {_summary(found)}" for cache, found in self._rows]
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
        most = max(found.values[-1] for _, found in self._rows)
        scale = Scale(0.0, max(most, 0.001) * 1.05, GUTTER, max(self.width() - GUTTER - GRID * 3, 1))
        self._paint_axis(painter, scale)
        for number, row in enumerate(self._rows):
            self._paint_row(painter, scale, HEAD_PX + number * ROW_PX, *row)

    def _paint_axis(self, painter: QPainter, scale: Scale) -> None:
        bottom = HEAD_PX + ROW_PX * len(self._rows)
        for at in scale.ticks():
            x = scale.x(at)
            painter.setPen(QPen(current_theme().line, 1))
            painter.drawLine(QPointF(x, HEAD_PX), QPointF(x, bottom))
            painter.setPen(current_theme().muted)
            painter.drawText(QRectF(x - 44, bottom + 2, 88, 16), Qt.AlignmentFlag.AlignCenter, _tick(at))

    def _paint_row(self, painter: QPainter, scale: Scale, top: float, cache: Cache, found: Distribution) -> None:
        painter.setPen(current_theme().text)
        side = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        values, (name, role) = found.values, _CACHES[cache]
        painter.drawText(QRectF(GRID, top, GUTTER - GRID, ROW_PX), side, f"{name} {len(values)}")
        color: QColor = getattr(current_theme(), role)
        if len(values) >= FEWEST_FOR_A_BOX:
            left, right = scale.x(values[len(values) // 4]), scale.x(values[(3 * len(values)) // 4])
            fill = QColor(color)
            fill.setAlpha(40)
            painter.fillRect(QRectF(left, top + 5, max(right - left, 1), ROW_PX - 10), fill)
        if found.median is not None and len(values) > 1:
            painter.setPen(QPen(current_theme().text, 2))
            x = scale.x(found.median)
            painter.drawLine(QPointF(x, top + 4), QPointF(x, top + ROW_PX - 4))
        for number, value in enumerate(values):
            place = QPointF(scale.x(value), top + ROW_PX / 2 + (number % 3 - 1) * 5)
            self._paint_dot(painter, place, cache, color)

    def _paint_dot(self, painter: QPainter, place: QPointF, cache: Cache, color: QColor) -> None:
        painter.setPen(QPen(color, 1.5))
        if cache == "unknown":
            for tilt in (-1, 1):
                painter.drawLine(place + QPointF(-3, -3 * tilt), place + QPointF(3, 3 * tilt))
            return
        painter.setBrush(current_theme().surface if cache == "cold" else color)
        painter.drawEllipse(place, _DOT, _DOT)


def _tick(at: float) -> str:
    return f"{at:g} s" if at >= 10 else milliseconds(at)


def _summary(values: Distribution) -> str:
    return (
        f"from {milliseconds(values.values[0])} to {milliseconds(values.highest)}, median {milliseconds(values.median)}"
    )


METRICS: tuple[tuple[str, Callable[[Group], Distribution]], ...] = (
    ("Time to first token", attrgetter("ttft")),
    ("First speakable clause", attrgetter("first_clause")),
    ("Longest gap between pieces", attrgetter("longest_gap")),
    ("Playback stalls (buffer underrun) ≈", attrgetter("starved")),
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
    start: Start


class ReadinessTab(SendsInSeries, QWidget):
    """Runs one experiment at a time. Evaluates the results again if the speech settings or the limit change."""

    tag = "readiness"

    def __init__(self, settings: Settings, services: ReadinessServices) -> None:
        super().__init__()
        self._settings, self._services = settings, services
        self._speech = SpeechSettings()
        self._turns: list[TurnTimes] = []
        self._numbers = count()
        self._found: Readiness | None = None
        self.build_series(
            services.start, "voice readiness", services.ahead, self._send_once, "Runs in parallel", "muted"
        )
        limit_s = int(settings.number("voice_limit_s"))
        self.limit = spin_box(1, 600, limit_s, "Time limit per turn, seconds", suffix=" s")
        self.cold = QCheckBox("Alternate cold and warm")
        self.cold.setToolTip("Its own words before the first message (and in the first tool): no cache can know it")
        self.said, self.small = words("", "strong"), words("", "variable")
        self.copy = push_button("Copy the table", clicked=self._copy)
        self.spreads = [Spread(name) for name, _ in METRICS]
        self.table = plain_table("Voice readiness", COLUMNS, 0, {1: 76, 2: 64, **dict.fromkeys(range(3, 8), 84)})
        self._lay_out()
        self.limit.valueChanged.connect(self._other_limit)
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

    def judge(self, speech: SpeechSettings) -> None:
        self._speech = speech
        self.show_cost()
        self._show()

    async def _send_once(self, group: str) -> RunState:
        turn, state = await self._services.send(self.cold.isChecked() and next(self._numbers) % 2 == 0, group)
        self._turns.append(turn)
        return state

    def show_states(self) -> None:
        if not self.states:
            self._turns, self._numbers = [], count()
        self._show()

    def fields(self) -> Sequence[QWidget]:
        return *super().fields(), self.cold

    def _other_limit(self, limit_s: int) -> None:
        self._settings.set("voice_limit_s", limit_s)
        self._show()

    def _show(self) -> None:
        found = self._found = readiness(self._turns, self._speech, float(self.limit.value()))
        self.said.setText(verdict(found))
        show_or_hide(self.small, smallness(found))
        for spread, (_, metric) in zip(self.spreads, METRICS, strict=True):
            groups: tuple[tuple[Cache, Group], ...]
            groups = ("cold", found.cold), ("warm", found.warm), ("unknown", found.unknown)
            spread.show_rows([(cache, metric(group)) for cache, group in groups])
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

"""Replay the past: cached against fresh over time, what ended prefixes most, and what a stable one had saved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from playground.client.endpoint import Rates
from playground.experiments.replay import Breaker, CacheHistory, saved
from playground.prompt.field_errors import InputError
from playground.runs.metrics import dollars
from playground.ui.theme import GRID
from playground.ui.widgets.chart import Chart, Series
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table

_COLUMNS = ("what ended the prefix", "in", "times", "≈ tokens lost", "cost")


class ReplayDialog(QDialog):
    """`look` replays what a filter finds; raises InputError for one that cannot be read."""

    open_requested = Signal(str)
    """A run_id: show that request."""

    def __init__(
        self,
        look: Callable[[str], Awaitable[CacheHistory]],
        start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        rates: Rates,
        chosen: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Cache history")
        self._look, self._start, self._rates = look, start, rates
        self.found: CacheHistory | None = None
        self.line = QLineEdit(chosen)
        self.line.setPlaceholderText("all requests, or a filter as in the log: since:1d endpoint:Electron")
        self.line.setAccessibleName("Requests to replay, by filter")
        self.line.returnPressed.connect(self.run)
        self.go = QPushButton("Replay")
        self.go.setProperty("look", "primary")
        self.go.clicked.connect(self.run)
        self.said = words("")
        self.chart = Chart("Cached against fresh tokens over time", start)
        self.chart.trouble.connect(self.said.setText)
        name = "What ended prefixes, the costliest first"
        self.table = plain_table(name, _COLUMNS, 0, {1: 110, 2: 70, 3: 120, 4: 120})
        self.table.cellActivated.connect(self._open)
        self._lay_out()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.line, 1)
        row.addWidget(self.go)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.addLayout(row)
        column.addWidget(self.said)
        column.addWidget(self.chart, 2)
        column.addWidget(self.table, 1)
        column.addWidget(words("Enter on a row shows the newest request that it ended.", "muted"))
        column.addWidget(close)
        self.resize(820, 600)

    def run(self) -> None:
        """Replay what the filter says."""
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
    price = saved(one.lost, rates.fresh, rates.cached)
    cost = "not priced" if price is None else f"≈ {dollars(price)}"
    return one.title, one.place, f"{len(one.runs):,}", f"{one.lost:,.0f}", cost


def _unit(span_s: float) -> tuple[float, str]:
    """Seconds of the axis's unit, and its name."""
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if span_s >= 2 * unit:
            return unit, f"{name} since the first"
    return 1.0, "seconds since the first"

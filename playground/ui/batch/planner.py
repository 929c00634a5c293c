"""Plans batches in a worker: after changes of the settings, and when a stored batch is continued."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal

from playground.client.endpoint import Endpoint
from playground.experiments.batch_lines import Selection
from playground.experiments.batch_rows import columns_of
from playground.experiments.batch_session import BatchSettings, BatchSpec, PreparedBatch, prepare, prepare_saved
from playground.prompt.field_errors import InputError
from playground.services import AppServices
from playground.ui.batch.model import Displayed
from playground.ui.widgets.timers import single_timer

PLAN_MS = 300
"""Wait after a change before planning again."""


@dataclass(frozen=True, slots=True)
class DisplayedBatch:
    """A prepared batch, its columns, and its displayed rows for a selection."""

    prepared: PreparedBatch
    columns: tuple[str, ...]
    selection: Selection
    displayed: Displayed

    @classmethod
    def of(cls, prepared: PreparedBatch, selection: Selection) -> DisplayedBatch:
        """Select the displayed rows; groups are unfolded. Takes long: call it in a worker."""
        unfolded = replace(selection, folded=frozenset())
        return cls(prepared, columns_of(prepared.settings.rows), unfolded, Displayed.of(prepared.lines, unfolded))


class BatchPlanner(QObject):
    """Makes one plan at a time known: a newer one replaces those that are being made."""

    planned = Signal(object)
    """A DisplayedBatch."""
    refused = Signal(object)
    """The FieldError that keeps the batch from being planned."""
    due = Signal()
    """PLAN_MS have passed since the last change: call `plan`."""

    def __init__(self, parent: QObject, services: AppServices) -> None:
        super().__init__(parent)
        self._services = services
        self._newest = self._ended = 0
        self._timer = single_timer(self, PLAN_MS, self.due.emit)

    @property
    def busy(self) -> bool:
        """Return whether a plan is being made, or soon will be."""
        return self._timer.isActive() or self._newest != self._ended

    def plan_soon(self) -> None:
        """Emit `due` after the pause."""
        self._timer.start()

    def cancel(self) -> None:
        """Drop the plans that are being made."""
        self._timer.stop()
        self._newest += 1
        self._ended = self._newest

    def plan(self, settings: BatchSettings, selection: Selection) -> None:
        """Plan a batch; emits `planned` or `refused` unless another plan was begun since."""
        self._timer.stop()
        self._newest += 1
        self._services.tasks.start(self._plan(self._newest, settings, selection), "plan a batch")

    async def _plan(self, number: int, settings: BatchSettings, selection: Selection) -> None:
        count, lifetime_s = self._counting(settings.endpoint)
        try:
            made = await asyncio.to_thread(lambda: DisplayedBatch.of(prepare(settings, count, lifetime_s), selection))
        except InputError as bad:
            if number == self._newest:
                self._ended = number
                self.refused.emit(bad.problems[0])
            return
        if number == self._newest:
            self._ended = number
            self.planned.emit(made)

    async def plan_saved(self, spec: BatchSpec, endpoint: Endpoint, selection: Selection) -> DisplayedBatch:
        """Plan a stored batch again. Raises InputError."""
        count, lifetime_s = self._counting(endpoint)
        return await asyncio.to_thread(
            lambda: DisplayedBatch.of(prepare_saved(spec, endpoint, count, lifetime_s), selection)
        )

    def _counting(self, endpoint: Endpoint) -> tuple[Callable[[str], float], float]:
        """Return a token estimate of the endpoint for use in a worker, and the lifetime of its cache."""
        count = self._services.sender.forecaster.counter(endpoint.id, endpoint.model).estimate
        return count, self._services.settings.number("cache_lifetime_s")

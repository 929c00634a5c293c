"""Paints the columns of Compare mode while their requests are in flight."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject

from playground.experiments.comparison_session import ColumnSlot, ComparisonSession
from playground.ui.compare.column import ColumnView
from playground.ui.compare.page import ComparePage
from playground.ui.widgets.timers import single_timer

FRAME_MS = 16
WAIT_MS = 100
"""Interval of repainting while no token arrives."""
FIGURES_S = 0.25
"""Interval at which the figures of a column in flight are painted; its text is painted more often."""


class ColumnPainter(QObject):
    """Paints one changed column per frame: four streams cost no more per frame than one.

    No timer runs while nothing is in flight or the page is hidden.
    """

    def __init__(self, page: ComparePage, session: ComparisonSession) -> None:
        super().__init__(page)
        self._page, self._session = page, session
        self._dirty: set[ColumnSlot] = set()
        self._painted = 0
        """The column that was painted last."""
        self._figures_at: dict[ColumnSlot, float] = {}
        self._stopped = False
        self._frame = single_timer(self, FRAME_MS, self._paint)

    @property
    def active(self) -> bool:
        """Return whether a frame is due."""
        return self._frame.isActive()

    def mark(self, slot: ColumnSlot, *, figures: bool = False) -> None:
        """Paint a column in the next frame, or when the page is displayed. `figures`: its figures too, at once."""
        self._dirty.add(slot)
        if figures:
            self._figures_at.pop(slot, None)
        waits_longer = self._frame.interval() != FRAME_MS
        if not self._stopped and self._page.isVisible() and (waits_longer or not self._frame.isActive()):
            self._frame.start(FRAME_MS)

    def mark_all(self) -> None:
        """Paint all columns: the page was displayed."""
        self._figures_at.clear()
        for slot in self._session.slots:
            self.mark(slot)

    def stop(self) -> None:
        """Paint nothing any more."""
        self._stopped = True
        self._frame.stop()

    def _paint(self) -> None:
        if not self._page.isVisible():
            return
        slots = self._session.slots
        count = len(slots)
        self._dirty &= set(slots)
        for step in range(1, count + 1):
            at = (self._painted + step) % count
            slot = slots[at]
            waiting = slot.running and slot.pending is not None and slot.pending.run.state.phase != "streaming"
            if slot in self._dirty or waiting:
                self._dirty.discard(slot)
                self._painted = at
                self.show(slot, self._page.columns[at])
                break
        if self._dirty:
            self._frame.start(FRAME_MS)
        elif any(slot.running for slot in slots):
            self._frame.start(WAIT_MS // count)

    def show(self, slot: ColumnSlot, view: ColumnView) -> None:
        """Paint a column now."""
        pending = slot.pending
        state = pending.run.state if pending is not None else None
        if pending is not None and state is not None and not state.ended:
            now = time.monotonic()
            if state.phase == "streaming" and now - self._figures_at.get(slot, 0.0) < FIGURES_S:
                view.show_text(state.text)
                return
            self._figures_at[slot] = now
            view.show_run(state, slot.live, pending.run.clock(), slot.note)
        else:
            self._figures_at.pop(slot, None)
            shown = None if slot.warm_up else state
            view.show_run(shown, slot.newest, 0.0, slot.note, slot.expected)
        view.show_changes(None if slot.running else slot.changes)

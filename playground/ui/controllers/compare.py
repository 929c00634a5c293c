"""Compare mode: columns, sending, live display, difference, export, and reopening from the request log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from playground.experiments.comparison import (
    LETTERS,
    CacheStart,
    ComparisonReport,
    Order,
    Variant,
    order_text,
    plan,
    plan_text,
    start_warnings,
)
from playground.experiments.comparison_session import ColumnSlot, ComparisonSession
from playground.export.pages import table_text
from playground.prompt.document import Document
from playground.prompt.limits import empty_prompt
from playground.ui.compare.column import ColumnView
from playground.ui.compare.files import CompareFiles
from playground.ui.compare.page import ComparePage, CompareTools, VariantDialog
from playground.ui.modes import ModeView
from playground.ui.widgets.labels import copy_text
from playground.ui.widgets.layouts import single_timer
from playground.ui.widgets.task_dialog import open_once

if TYPE_CHECKING:
    from playground.experiments.batch_rows import BatchRow
    from playground.services import AppServices

PREFIX_MS = 150
"""Pause in typing after which the prefixes are estimated again."""
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
        self.frame = single_timer(self, FRAME_MS, self._paint)

    def mark(self, slot: ColumnSlot, *, figures: bool = False) -> None:
        """Paint a column in the next frame, or when the page is displayed. `figures`: its figures too, at once."""
        self._dirty.add(slot)
        if figures:
            self._figures_at.pop(slot, None)
        waits_longer = self.frame.interval() != FRAME_MS
        if not self._stopped and self._page.isVisible() and (waits_longer or not self.frame.isActive()):
            self.frame.start(FRAME_MS)

    def mark_all(self) -> None:
        self._figures_at.clear()
        for slot in self._session.slots:
            self.mark(slot)

    def stop(self) -> None:
        self._stopped = True
        self.frame.stop()

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
            self.frame.start(FRAME_MS)
        elif any(slot.running for slot in slots):
            self.frame.start(WAIT_MS // count)

    def show(self, slot: ColumnSlot, view: ColumnView) -> None:
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
            tokens = None if slot.prefix is None else slot.prefix.total
            view.show_run(shown, slot.newest, 0.0, slot.note, slot.expected, tokens)
        view.show_changes(None if slot.running else slot.changes)


class CompareController(QObject):
    """Owns the page of Compare mode. Created when the mode is first displayed."""

    notice = Signal(str)
    use_asked = Signal(object)
    """A column is chosen: its Document, for the editor."""
    open_asked = Signal(str)
    """A request is to be opened in Prompt mode: its run_id."""
    row_logged = Signal(str)
    """A request was sent, or has ended: its run_id."""
    ended = Signal()
    """All requests of a comparison have ended."""

    def __init__(
        self,
        window: QWidget,
        pages: QWidget,
        workspace: AppServices,
        prompt: Callable[[], Document],
        shortcut: str,
    ) -> None:
        """`pages`: the parent of the page. `prompt` returns the editor's document."""
        super().__init__(window)
        self._window, self._workspace, self._prompt = window, workspace, prompt
        self._shortcut, self._start = shortcut, workspace.tasks.start
        self.page, self.tools = ComparePage(pages), CompareTools()
        self.session = ComparisonSession(workspace.sender, lambda: workspace.log)
        self.files = CompareFiles(window, workspace, self.session, self.tools.sources, self._from_editor)
        self.dialog: VariantDialog | None = None
        """The column's editor that was opened last."""
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._rows: tuple[BatchRow, ...] = ()
        self._is_shut_down = self._reading = False
        self.painter = ColumnPainter(self.page, self.session)
        self._soon = single_timer(self, PREFIX_MS, self.refresh_prefixes)
        self._connect()
        self._set_slots([ColumnSlot(self._from_editor())])

    def view(self) -> ModeView:
        return ModeView(
            self.page,
            self.tools,
            send=self.send_or_stop,
            take_focus=self._take_focus,
            panes=self.page.panes,
            close=self.shut_down,
        )

    def _connect(self) -> None:
        page, tools, session, files = self.page, self.tools, self.session, self.files
        session.on_event.subscribe(self.painter.mark)
        session.on_request.subscribe(self._request_changed)
        files.notice.connect(self.notice)
        files.variant_chosen.connect(self.add)
        files.rows_read.connect(self._take_rows)
        tools.send.clicked.connect(self.send)
        tools.stop.clicked.connect(self.stop)
        tools.differences.toggled.connect(self._show_differences)
        tools.runs.valueChanged.connect(lambda _n: self._show_summary())
        page.values.value_edited.connect(self._set_value)
        page.values.open_rows.clicked.connect(files.ask_rows)
        page.values.row_chosen.connect(self._use_row)
        for box in (page.values.order, page.values.start):
            box.currentIndexChanged.connect(lambda _n: self._order_changed())
        page.displayed.connect(self.painter.mark_all)
        page.copy_asked.connect(lambda: copy_text(table_text(self.report())))
        page.html_asked.connect(lambda: files.ask_export("html", self.report))
        page.markdown_asked.connect(lambda: files.ask_export("markdown", self.report))

    # Columns

    @property
    def slots(self) -> list[ColumnSlot]:
        """Return the columns."""
        return self.session.slots

    def _from_editor(self) -> Variant:
        document = self._prompt()
        return Variant(replace(document, name=document.name or "Prompt"), self._workspace.endpoint)

    def _set_slots(self, slots: list[ColumnSlot]) -> None:
        self.session.slots = slots
        self.page.set_columns(len(slots))
        for view in self.page.columns:
            if not view.property("connected"):
                view.setProperty("connected", True)
                view.asked.connect(partial(self._asked, view))
                view.set_differences(self.tools.differences.isChecked())
        self._show_columns()

    def _show_columns(self) -> None:
        """Show the variants, the shared values and everything that follows from them."""
        slots = self.slots
        self.session.collect_values()
        self.page.values.show_values(self.session.values)
        for index, (slot, view) in enumerate(zip(slots, self.page.columns, strict=True)):
            view.show_variant(index, slot.variant, slots[0].variant)
            view.show_place(index, len(slots))
            self.painter.show(slot, view)
        self.tools.add.setEnabled(len(slots) < len(LETTERS) and not self.running)
        self.page.notice.hide()
        if self._reading:
            self.page.notice.show_message("The logged requests are being read.")
        elif len(slots) == 1:
            copy = ("Add a copy of A", lambda: self.add(self.slots[0].variant))
            self.page.notice.show_message(
                "One column: add another to compare with it, then edit it from its menu.", [copy]
            )
        self.tools.show_running(self.running, self._shortcut)
        self.tools.send.setEnabled(not self.running and not self._reading)
        self._soon.start()
        self._show_summary()

    def add(self, variant: Variant) -> None:
        """Add a column at the end; does nothing if there is no room for it, or while requests run."""
        if len(self.slots) < len(LETTERS) and not self.running:
            self._set_slots([*self.slots, ColumnSlot(self.session.named(variant))])

    def change(self, slot: ColumnSlot, variant: Variant) -> None:
        """Replace a column's variant. Its results are removed: they belong to the earlier variant."""
        slot.variant = variant
        slot.clear()
        for one in self.slots:
            one.changes = None
        self._show_columns()
        self._start(self._compare_answers(), "compare answers")

    def _asked(self, view: ColumnView, action: str) -> None:
        at = self.page.columns.index(view)
        slot = self.slots[at]
        if action == "stop":
            self.session.stop_slot(slot)
        elif action == "use":
            document = slot.variant.document
            values = {**document.variables, **self.session.known_values()}
            self.use_asked.emit(replace(document, variables=values))
        elif action == "open" and slot.runs:
            self.open_asked.emit(slot.runs[-1].run_id)
        elif not self.running:
            self._edit(slot, at, action)

    def _edit(self, slot: ColumnSlot, at: int, action: str) -> None:
        if action == "edit":
            self.edit(slot)
        elif action == "editor":
            self.change(slot, self._from_editor())
        elif action == "remove" and len(self.slots) > 1:
            self._reorder([one for one in self.slots if one is not slot])
        elif action in ("left", "right"):
            other = at + (1 if action == "right" else -1)
            if 0 <= other < len(self.slots):
                slots = list(self.slots)
                slots[at], slots[other] = slots[other], slots[at]
                self._reorder(slots)

    def _reorder(self, slots: list[ColumnSlot]) -> None:
        for slot in slots:
            slot.changes = None
        self._set_slots(slots)
        self._start(self._compare_answers(), "compare answers")

    def edit(self, slot: ColumnSlot) -> None:
        document = self.session.document_of(slot)
        dialog = VariantDialog(
            LETTERS[self.slots.index(slot)],
            replace(slot.variant, document=document),
            self._workspace.endpoints.all(),
            self._workspace.sender.forecast,
            self._window,
        )
        dialog.chosen.connect(lambda variant: self._take_edit(slot, variant))
        self.dialog = dialog
        open_once(dialog)

    def _take_edit(self, slot: ColumnSlot, variant: Variant) -> None:
        if slot in self.slots and not self.running:
            self.session.values.update(variant.document.variables)
            if variant != slot.variant:
                self.change(slot, variant)

    # Values and prefixes

    def _set_value(self, name: str, value: str) -> None:
        self.session.values[name] = value
        self._soon.start()

    def _take_rows(self, rows: tuple[BatchRow, ...], name: str) -> None:
        if not any(variable in row.values for row in rows for variable in self.session.values):
            columns = ", ".join(dict.fromkeys(column for row in rows[:1] for column in row.values))
            self.notice.emit(f"{name} has no column with the name of a variable. Columns: {columns}.")
            return
        self._rows = rows
        self.page.values.show_rows(len(rows), name)

    def _use_row(self, number: int) -> None:
        """Set the variables that have a column of the same name to the values of a row."""
        values = self.session.values
        values |= {name: value for name, value in self._rows[number].values.items() if name in values}
        self.page.values.show_values(values, typed=False)
        self._soon.start()

    def _order_changed(self) -> None:
        self._soon.start()
        self._show_summary()

    def refresh_prefixes(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if not self._is_shut_down:
            self._looking = self._start(self._look(), "compare prefixes")

    async def _look(self) -> None:
        if await self.session.estimate(self.order, self.cache_start):
            found = [slot.prefix for slot in self.slots if slot.prefix is not None]
            order = order_text(self.order, self.cache_start, len(self.slots))
            self.page.strip.show_prefixes(found, order)
            for slot, view in zip(self.slots, self.page.columns, strict=True):
                if not slot.running and not slot.runs:
                    self.painter.show(slot, view)
            self._show_summary()

    # Sending

    @property
    def running(self) -> bool:
        return self._task is not None

    @property
    def order(self) -> Order:
        return cast("Order", self.page.values.order.currentData())

    @property
    def cache_start(self) -> CacheStart:
        return cast("CacheStart", self.page.values.start.currentData())

    def send_or_stop(self) -> None:
        if self.running:
            self.stop()
        else:
            self.send()

    def send(self) -> None:
        """Send all columns. Earlier results of this page are replaced; their requests stay in the log."""
        if self.running or self._reading:
            return
        for letter, slot in zip(LETTERS, self.slots, strict=False):
            if problem := empty_prompt(self.session.document_of(slot)):
                self.notice.emit(f"Column {letter}: {problem}")
                return
        self.session.begin()
        self._task = self._start(self._run(), "send a comparison")
        self._show_columns()

    async def _run(self) -> None:
        try:
            await self.session.send(self.tools.runs.value(), self.order, self.cache_start)
        finally:
            self._task = None
            if not self._is_shut_down:
                self._show_columns()
                self.ended.emit()
                self._start(self._compare_answers(), "compare answers")

    def _request_changed(self, slot: ColumnSlot, run_id: str) -> None:
        self.painter.mark(slot, figures=True)
        self._show_summary()
        self.row_logged.emit(run_id)

    def stop(self) -> None:
        if self._task is not None and not self.session.stop():
            # Not sent yet: the simulator is starting, or the key store is being read.
            self._task.cancel()

    # Display

    def _show_differences(self, shown: bool) -> None:
        for view in self.page.columns:
            view.set_differences(shown)

    async def _compare_answers(self) -> None:
        """Compare each column's newest answer with A's, in a worker."""
        if await self.session.compare_answers() and not self._is_shut_down:
            slots, views = list(self.slots), list(self.page.columns)
            for slot, view in zip(slots, views, strict=True):
                if [*map(id, slots)] != [*map(id, self.slots)] or views != self.page.columns:
                    return  # the columns were changed meanwhile
                self.painter.show(slot, view)
                await asyncio.sleep(0)  # one column per frame
            self.refresh_prefixes()

    def report(self) -> ComparisonReport:
        return self.session.report(self.order, self.cache_start)

    def _show_summary(self) -> None:
        if self._is_shut_down:
            return
        report = self.report()
        running = [letter for letter, slot in zip(LETTERS, self.slots, strict=False) if slot.running]
        if self._reading:
            caption = "reading the request log"
        elif self.running:
            caption = f"{', '.join(running)} still running" if running else "sending"
        elif not any(slot.runs for slot in self.slots):
            groups = plan(len(self.slots), self.tools.runs.value(), self.order, self.cache_start)
            requests = plan_text(sum(map(len, groups)), [slot.variant for slot in self.slots])
            caption = f"nothing sent yet: Send all makes {requests}"
        else:
            caption = "; ".join(start_warnings(report)) or "reported figures"
            caption += f", comparison {self.session.id} in the log" if self.session.id else ""
            caption += " · the values were changed since" if self.session.outdated else ""
        self.page.show_report(report, caption)

    def _take_focus(self) -> None:
        """Copy the editor's prompt to a single column without results; put the focus on the first value."""
        if len(self.slots) == 1 and not self.slots[0].runs and not self.running:
            self.session.values = {}
            self.change(self.slots[0], self._from_editor())
        fields = self.page.values.fields
        next(iter(fields.values()), self.tools.send).setFocus()

    def shut_down(self) -> None:
        self._is_shut_down = True
        self.painter.stop()
        self._soon.stop()

    # Log

    def _is_busy(self) -> bool:
        """Return whether requests run, and say so."""
        if self.running:
            self.notice.emit("A comparison is being sent: stop it, or wait for its end.")
        return self.running

    async def open_logged(self, run_ids: Sequence[str]) -> None:
        """Show logged requests: a whole comparison if one of its requests is given, else one column for each."""
        if self._workspace.log is None:
            self.notice.emit("There is no request log.")
            return
        if self._is_busy():
            return
        self._reading = True
        self._show_columns()
        try:
            found = await self.session.read_logged(run_ids, self._workspace.endpoints.all())
        finally:
            self._reading = False
            self._show_columns()
        if found is None:
            self.notice.emit("These requests are no longer in the log.")
            return
        self.session.values = {}
        self.session.id, self.session.started = found.id, found.started
        self._set_slots(found.slots)
        self._start(self._compare_answers(), "compare answers")

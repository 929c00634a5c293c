"""Compare mode: columns, sending, live display, difference, export, and reopening from the request log."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from playground.client.endpoint import Endpoint
from playground.experiments.comparison import (
    LETTERS,
    MOST_RUNS,
    TAG,
    CacheStart,
    Looked,
    Order,
    Piece,
    Prefix,
    RunFigures,
    Step,
    Variant,
    cold_document,
    figures,
    log_tags,
    plan,
    prefixes,
    read_tags,
    run_plan,
    text_changes,
    without_marker,
)
from playground.experiments.comparison_report import ComparedColumn, ComparisonReport, plan_text, start_warnings
from playground.experiments.repeat import answer_text
from playground.export.comparison import Form, export_comparison, table_text
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.prompt.files import load
from playground.prompt.import_formats.detect import open_any_bytes
from playground.prompt.variables import names
from playground.requestlog.filter import EVERYTHING, parse
from playground.simulator.launch import SimulatorError
from playground.storage.paths import write_shared
from playground.ui.compare.column import ColumnView
from playground.ui.compare.editor import VariantDialog
from playground.ui.compare.page import ComparePage, CompareTools
from playground.ui.modes import ModeView
from playground.ui.theme import Theme
from playground.ui.widgets.copy_button import copy_text

if TYPE_CHECKING:
    from playground.client.events import AnyEvent
    from playground.requestlog.records import StoredRun
    from playground.runs.run import Run
    from playground.runs.service import PendingRequest
    from playground.services import AppServices

FRAME_MS = 16
WAIT_MS = 100
"""Interval of repainting while no token arrives."""
PREFIX_MS = 150
"""Pause in typing after which the prefixes are estimated again."""
MOST_LISTED = 12
"""Logged requests offered as a column."""


@dataclass(eq=False)
class ColumnSlot:
    """State of one column. `sent` is the document of the newest request, with its values."""

    variant: Variant
    runs: list[RunFigures] = field(default_factory=list)
    pending: PendingRequest | None = None
    warm_up: bool = False
    note: str = ""
    stopped: bool = False
    dirty: bool = False
    sent: Document | None = None
    prefix: Prefix | None = None
    changes: tuple[Piece, ...] | None = None

    @property
    def running(self) -> bool:
        """Return whether a request of this column is in flight."""
        return self.pending is not None and not self.pending.run.state.ended

    def clear(self) -> None:
        """Remove the results."""
        self.runs, self.pending, self.sent, self.changes = [], None, None, None
        self.note, self.stopped, self.warm_up = "", False, False


class CompareController(QObject):
    """Owns the page of Compare mode. Created when the mode is first displayed."""

    trouble = Signal(str)
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
        workspace: AppServices,
        theme: Callable[[], Theme],
        prompt: Callable[[], Document],
        shortcut: str,
    ) -> None:
        """`prompt` returns the editor's document."""
        super().__init__(window)
        self._window, self._workspace, self._theme, self._prompt = window, workspace, theme, prompt
        self._shortcut = shortcut
        self.page, self.tools = ComparePage(theme()), CompareTools()
        self.slots: list[ColumnSlot] = []
        self.values: dict[str, str | None] = {}
        self.comparison_id = ""
        self.dialog: VariantDialog | QFileDialog | None = None
        """The dialog that was opened last."""
        self._started: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._resting = False
        self._painted = 0
        """The column that was painted last."""
        self._frame = QTimer(self, interval=FRAME_MS, singleShot=True)
        self._frame.timeout.connect(self._paint)
        self._soon = QTimer(self, interval=PREFIX_MS, singleShot=True)
        self._soon.timeout.connect(self.refresh_prefixes)
        self._connect()
        self._set_slots([ColumnSlot(self._from_editor())])

    def view(self) -> ModeView:
        """Return the mode's widgets."""
        return ModeView(
            self.page,
            self.tools,
            self.send_or_stop,
            self._take_focus,
            lambda: self.page.set_theme(self._theme()),
            self.rest,
        )

    def _connect(self) -> None:
        page, tools = self.page, self.tools
        tools.send.clicked.connect(self.send)
        tools.stop.clicked.connect(self.stop)
        tools.differences.toggled.connect(self._show_differences)
        tools.runs.valueChanged.connect(lambda _n: self._show_summary())
        tools.sources.aboutToShow.connect(self._fill_sources)
        page.values.value_edited.connect(self._set_value)
        for box in (page.values.order, page.values.start):
            box.currentIndexChanged.connect(lambda _n: self._show_summary())
        page.copy_asked.connect(lambda: self._start(self._copy_table(), "copy the comparison"))
        page.html_asked.connect(lambda: self._ask_export("html"))
        page.markdown_asked.connect(lambda: self._ask_export("markdown"))

    def _start(self, work: object, name: str) -> asyncio.Task[None]:
        return self._workspace.tasks.start(work, name)  # type: ignore[arg-type]

    # Columns

    def _from_editor(self) -> Variant:
        document = self._prompt()
        return Variant(replace(document, name=document.name or "Prompt"), self._workspace.endpoint)

    def _set_slots(self, slots: list[ColumnSlot]) -> None:
        self.slots = slots
        self.page.set_columns(len(slots))
        for view in self.page.columns:
            if not view.property("connected"):
                view.setProperty("connected", True)
                view.asked.connect(partial(self._asked, view))
                view.set_differences(self.tools.differences.isChecked())
        self._show_columns()

    def _show_columns(self) -> None:
        """Show the variants, the shared values and everything that follows from them."""
        used = {name: None for slot in self.slots for name in names(slot.variant.document.messages)}
        known = {
            name: value for slot in reversed(self.slots) for name, value in slot.variant.document.variables.items()
        }
        self.values = {name: self.values.get(name, known.get(name)) for name in used}
        self.page.values.show_values(self.values)
        for index, (slot, view) in enumerate(zip(self.slots, self.page.columns, strict=True)):
            view.show_variant(index, slot.variant, self.slots[0].variant)
            view.show_place(index, len(self.slots))
            self._show_slot(slot, view)
        self.tools.add.setEnabled(len(self.slots) < len(LETTERS) and not self.running)
        one = len(self.slots) == 1
        self.page.notice.hide()
        if one:
            copy = ("Add a copy of A", lambda: self.add(self.slots[0].variant))
            self.page.notice.say("One column: add another to compare with it, then edit it from its menu.", [copy])
        self.tools.show_running(self.running, self._shortcut)
        self._soon.start()
        self._show_summary()

    def add(self, variant: Variant) -> None:
        """Add a column at the end; does nothing if there is no room for it, or while requests run."""
        if len(self.slots) < len(LETTERS) and not self.running:
            taken = {slot.variant.document.name for slot in self.slots}
            name = variant.document.name or "Prompt"
            if name in taken:
                name = next(f"{name} {n}" for n in range(2, 9) if f"{name} {n}" not in taken)
            self._set_slots([*self.slots, ColumnSlot(replace(variant, document=replace(variant.document, name=name)))])

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
            self._stop_slot(slot)
        elif action == "use":
            values = {name: value for name, value in self.values.items() if value is not None}
            document = slot.variant.document
            self.use_asked.emit(replace(document, variables={**document.variables, **values}))
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
        """Open the editor of a column."""
        document = replace(slot.variant.document, variables={**slot.variant.document.variables, **self._known_values()})
        dialog = VariantDialog(
            self._theme(),
            LETTERS[self.slots.index(slot)],
            replace(slot.variant, document=document),
            self._workspace.endpoints.all(),
            self._window,
        )
        dialog.chosen.connect(lambda variant: self._take_edit(slot, variant))
        self._open(dialog)

    def _take_edit(self, slot: ColumnSlot, variant: Variant) -> None:
        if slot in self.slots and not self.running:
            self.values.update(variant.document.variables)
            if variant != slot.variant:
                self.change(slot, variant)

    def _open(self, dialog: VariantDialog | QFileDialog) -> None:
        self.dialog = dialog
        dialog.finished.connect(lambda _result: dialog.deleteLater())
        dialog.open()

    def _fill_sources(self) -> None:
        menu = self.tools.sources
        menu.clear()
        menu.addAction("Copy of the prompt in the editor").triggered.connect(lambda _on: self.add(self._from_editor()))
        for letter, slot in zip(LETTERS, self.slots, strict=False):
            item = menu.addAction(f"Copy of {letter}")
            item.triggered.connect(lambda _on=False, slot=slot: self.add(slot.variant))
        menu.addAction("From a file…").triggered.connect(lambda _on: self._ask_file())
        logged = menu.addMenu("From a logged request")
        logged.aboutToShow.connect(lambda: self._start(self._list_logged(logged), "list logged requests"))
        logged.addAction("Reading the log…").setEnabled(False)

    async def _list_logged(self, menu: object) -> None:
        log = self._workspace.log
        rows = await log.page(EVERYTHING, limit=MOST_LISTED) if log is not None else []
        menu.clear()  # type: ignore[attr-defined]
        for row in rows:
            label = f"{row.started_utc.astimezone():%H:%M:%S}  {row.request_id or row.phase}  {row.question[:40]}"
            item = menu.addAction(label.replace("&", "&&"))  # type: ignore[attr-defined]
            item.triggered.connect(
                lambda _on=False, run_id=row.run_id: self._start(self.add_logged(run_id), "add a logged request")
            )
        if not rows:
            menu.addAction("The log has no requests").setEnabled(False)  # type: ignore[attr-defined]

    async def add_logged(self, run_id: str) -> None:
        """Add the prompt of a logged request as a column."""
        log = self._workspace.log
        stored = await log.get(run_id) if log is not None else None
        if stored is None:
            self.trouble.emit("That request is no longer in the log.")
        else:
            self.add(self._variant_of(stored))

    def _variant_of(self, stored: StoredRun) -> Variant:
        record = stored.record
        known = {endpoint.id: endpoint for endpoint in self._workspace.endpoints.all()}
        endpoint = known.get(record.endpoint_id) or Endpoint(
            record.endpoint_id, record.endpoint_name, record.base_url, kind=record.endpoint_kind, rates=record.rates
        )
        document = without_marker(load(record.document))
        return Variant(replace(document, name=document.name or "Logged request"), replace(endpoint, model=record.model))

    def _ask_file(self) -> None:
        dialog = QFileDialog(self._window, "Add a prompt file as a column")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self._start(self.add_file(Path(path)), "add a prompt file"))
        self._open(dialog)

    async def add_file(self, path: Path) -> None:
        """Add a prompt file, or a prompt in the format of another tool, as a column."""
        try:
            opened = await asyncio.to_thread(lambda: open_any_bytes(path.read_bytes(), path.name))
        except InputError as bad:
            self.trouble.emit(f"{path.name} was not opened: {bad.problems[0]}")
            return
        except OSError as error:
            self.trouble.emit(f"{path} cannot be read: {error.strerror or error}.")
            return
        document = replace(opened.document, name=opened.document.name or path.name.partition(".")[0])
        self.add(Variant(document, self._workspace.endpoint))

    # Values and prefixes

    def _set_value(self, name: str, value: str) -> None:
        self.values[name] = value
        self._soon.start()

    def _known_values(self) -> dict[str, str]:
        return {name: value for name, value in self.values.items() if value is not None}

    def document_of(self, slot: ColumnSlot) -> Document:
        """Return a column's prompt with the shared values, as it is sent."""
        document = slot.variant.document
        return replace(document, variables={**document.variables, **self._known_values()})

    def refresh_prefixes(self) -> None:
        """Estimate the prefixes again."""
        if self._looking is not None:
            self._looking.cancel()
        if not self._resting:
            self._looking = self._start(self._look(), "compare prefixes")

    async def _look(self) -> None:
        forecaster, looked = self._workspace.sender.forecaster, []
        for slot in (slots := list(self.slots)):
            document, endpoint = self.document_of(slot), slot.variant.endpoint
            reported = slot.runs[-1].prompt_tokens if slot.runs and slot.sent == document else None
            looked.append(
                Looked(
                    replace(slot.variant, document=document),
                    self._workspace.sender.outlook(document, endpoint),
                    forecaster.counter(endpoint.id, endpoint.model),
                    max(forecaster.model(endpoint.id, endpoint.model).units.step, 1),
                    reported,
                )
            )
            await asyncio.sleep(0)
        found = await asyncio.to_thread(prefixes, looked)
        if slots == self.slots:
            for slot, prefix in zip(slots, found, strict=True):
                slot.prefix = prefix
            self.page.strip.show_prefixes(found)
            self._show_summary()

    # Sending

    @property
    def running(self) -> bool:
        """Return whether requests are being sent."""
        return self._task is not None

    @property
    def order(self) -> Order:
        """Return the chosen order."""
        return cast("Order", self.page.values.order.currentData())

    @property
    def cache_start(self) -> CacheStart:
        """Return the chosen state of the cache."""
        return cast("CacheStart", self.page.values.start.currentData())

    def send_or_stop(self) -> None:
        """Ctrl+Enter: send all columns, or stop them."""
        if self.running:
            self.stop()
        else:
            self.send()

    def send(self) -> None:
        """Send all columns. Earlier results of this page are replaced; their requests stay in the log."""
        if self.running:
            return
        for slot in self.slots:
            slot.clear()
        self.comparison_id, self._started = secrets.token_hex(6), datetime.now(UTC)
        groups = plan(len(self.slots), self.tools.runs.value(), self.order, self.cache_start)
        cold = self.cache_start == "cold"
        self._task = self._start(self._run(groups, cold), "send a comparison")
        self._show_columns()

    async def _run(self, groups: Sequence[Sequence[Step]], cold: bool) -> None:
        try:
            await run_plan(groups, partial(self._send, cold=cold))
        finally:
            self._task = None
            if not self._resting:
                self._show_columns()
                self.ended.emit()
                self._start(self._compare_answers(), "compare answers")

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
            await self._workspace.sender.send(
                document, slot.variant.endpoint, dispatched, tag=TAG, tags=log_tags(self.comparison_id, step)
            )
        except (InputError, SimulatorError) as error:
            problem = error.problems[0] if isinstance(error, InputError) else error
            slot.note, slot.stopped = f"Not sent: {problem}", True
            self._mark(slot)
            return
        finally:
            # Cancelled or not: a request that was sent keeps its figures.
            if sent is not None:
                self._ended(slot, step, sent)

    def _dispatched(self, slot: ColumnSlot, step: Step, pending: PendingRequest) -> None:
        slot.pending, slot.warm_up = pending, step.warm_up
        slot.note = "Warm-up, not counted" if step.warm_up else ""
        pending.run.listen(partial(self._heard, slot))
        if slot.stopped:
            pending.run.stop()
        self._mark(slot)
        self.row_logged.emit(pending.run.id)

    def _ended(self, slot: ColumnSlot, step: Step, pending: PendingRequest) -> None:
        if not pending.run.state.ended:
            return
        known = {run.run_id for run in slot.runs}
        if not step.warm_up and pending.run.id not in known:
            slot.runs.append(_figures_of(pending))
        if pending.run.state.phase in ("failed", "stopped"):
            slot.stopped = True  # the further runs of this column are not sent
        self._mark(slot)
        self._show_summary()
        self.row_logged.emit(pending.run.id)

    def _stop_slot(self, slot: ColumnSlot) -> None:
        slot.stopped = True
        if slot.pending is not None and slot.running:
            slot.pending.run.stop()

    def stop(self) -> None:
        """Stop all columns; received text stays."""
        if self._task is None:
            return
        sent = [slot for slot in self.slots if slot.running]
        for slot in self.slots:
            self._stop_slot(slot)
        if not sent:
            # Not sent yet: the simulator is starting, or the key store is being read.
            self._task.cancel()

    # Display

    def _heard(self, slot: ColumnSlot, _run: Run, _event: AnyEvent) -> None:
        self._mark(slot)

    def _mark(self, slot: ColumnSlot) -> None:
        slot.dirty = True
        if not self._resting and (not self._frame.isActive() or self._frame.interval() != FRAME_MS):
            self._frame.start(FRAME_MS)

    def _paint(self) -> None:
        """Show the changes of one column: with one column per frame, four streams cost no more than one."""
        count = len(self.slots)
        for step in range(1, count + 1):
            at = (self._painted + step) % count
            slot = self.slots[at]
            if slot.dirty or (slot.running and slot.pending and slot.pending.run.state.phase != "streaming"):
                slot.dirty = False
                self._painted = at
                self._show_slot(slot, self.page.columns[at])
                break
        if any(slot.dirty for slot in self.slots):
            self._frame.start(FRAME_MS)
        elif any(slot.running for slot in self.slots):
            self._frame.start(WAIT_MS // count)

    def _show_slot(self, slot: ColumnSlot, view: ColumnView) -> None:
        pending = slot.pending
        state = pending.run.state if pending is not None else None
        if pending is not None and slot.running:
            live = _figures_of(pending, text=False)
            view.show_run(state, live, pending.run.clock(), slot.note)
        else:
            view.show_run(None if slot.warm_up else state, slot.runs[-1] if slot.runs else None, 0.0, slot.note)
        view.show_changes(None if slot.running else slot.changes)

    def _show_differences(self, shown: bool) -> None:
        for view in self.page.columns:
            view.set_differences(shown)

    async def _compare_answers(self) -> None:
        """Compare each column's newest answer with A's, in a worker."""
        slots = list(self.slots)
        first = slots[0].runs[-1].text if slots[0].runs else None
        for slot in slots[1:]:
            text = slot.runs[-1].text if slot.runs else None
            if first is not None and text and not self.running:
                slot.changes = await asyncio.to_thread(text_changes, first, text)
        if slots == self.slots and not self._resting:
            for slot, view in zip(self.slots, self.page.columns, strict=True):
                self._show_slot(slot, view)
            self.refresh_prefixes()

    def report(self) -> ComparisonReport:
        """Return the displayed comparison."""
        columns = tuple(
            ComparedColumn(
                replace(slot.variant, document=slot.sent or self.document_of(slot)),
                tuple(slot.runs),
                slot.prefix,
                slot.changes,
            )
            for slot in self.slots
        )
        return ComparisonReport(self.comparison_id, columns, self.order, self.cache_start, self._started)

    def _show_summary(self) -> None:
        if self._resting:
            return
        report = self.report()
        groups = plan(len(self.slots), self.tools.runs.value(), self.order, self.cache_start)
        variants = [slot.variant for slot in self.slots]
        running = [letter for letter, slot in zip(LETTERS, self.slots, strict=False) if slot.running]
        stale = any(slot.sent is not None and slot.sent != self.document_of(slot) for slot in self.slots)
        if self.running:
            caption = f"{', '.join(running)} still running" if running else "sending"
        elif not any(slot.runs for slot in self.slots):
            caption = f"nothing sent yet: Send all makes {plan_text(sum(map(len, groups)), variants)}"
        else:
            caption = "; ".join(start_warnings(report)) or f"reported figures, tag:{TAG}:{self.comparison_id}"
            caption += " · the values were changed since" if stale else ""
        self.page.show_report(report, caption)

    def _take_focus(self) -> None:
        """Copy the editor's prompt to a single column without results; put the focus on the first value."""
        if len(self.slots) == 1 and not self.slots[0].runs and not self.running:
            self.values = {}
            self.change(self.slots[0], self._from_editor())
        fields = self.page.values.fields
        next(iter(fields.values()), self.tools.send).setFocus()

    def rest(self) -> None:
        """Stop all timers: the window is about to be deleted."""
        self._resting = True
        self._frame.stop()
        self._soon.stop()

    # Export and log

    async def _copy_table(self) -> None:
        copy_text(table_text(self.report()))

    def _ask_export(self, form: Form) -> None:
        dialog = QFileDialog(self._window, "Export the comparison")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        suffix = "html" if form == "html" else "md"
        dialog.setDefaultSuffix(suffix)
        dialog.selectFile(f"comparison.{suffix}")
        dialog.fileSelected.connect(lambda path: self._start(self.export_to(Path(path), form), "export the comparison"))
        self._open(dialog)

    async def export_to(self, path: Path, form: Form) -> None:
        """Write the comparison to a file."""
        report = self.report()

        def write() -> None:
            write_shared(path, export_comparison(report, form).encode("utf-8", "backslashreplace"))

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            self.trouble.emit(f"{path} cannot be written: {error.strerror or error}.")
            return
        self.trouble.emit(f"The comparison is in {path}.")

    def _is_busy(self) -> bool:
        """Return whether requests run, and say so."""
        if self.running:
            self.trouble.emit("A comparison is being sent: stop it, or wait for its end.")
        return self.running

    async def open_logged(self, run_ids: Sequence[str]) -> None:
        """Show logged requests: a whole comparison if one of its requests is given, else one column for each."""
        log = self._workspace.log
        if log is None:
            self.trouble.emit("There is no request log.")
            return
        if self._is_busy():
            return
        found = [await log.get(run_id) for run_id in run_ids[: len(LETTERS)]]
        runs = [stored for stored in found if stored is not None]
        tagged = read_tags(runs[0].tags) if len(runs) == 1 else None
        if tagged is not None:
            numbers = await log.numbers(parse(f"tag:{TAG}:{tagged[0]}", datetime.now(UTC)))
            most = len(LETTERS) * (MOST_RUNS + 1)
            runs = await log.stored(list(numbers[-most:]))
        columns: dict[int, list[StoredRun]] = {}
        for at, stored in enumerate(sorted(runs, key=lambda one: one.number)):
            known = read_tags(stored.tags)
            if tagged is None:
                columns[at] = [stored]
            elif known is not None and known[0] == tagged[0]:
                columns.setdefault(known[1], []).append(stored)
        if not columns:
            self.trouble.emit("These requests are no longer in the log.")
            return
        if self._is_busy():  # started while the log was read
            return
        self._show_logged(columns, tagged[0] if tagged is not None else "")

    def _show_logged(self, columns: dict[int, list[StoredRun]], comparison: str) -> None:
        slots = []
        for _, stored in sorted(columns.items()):
            slot = ColumnSlot(self._variant_of(stored[-1]))
            slot.runs = [_stored_figures(one) for one in stored]
            slot.sent = slot.variant.document
            slots.append(slot)
        self.values = {}
        self.comparison_id = comparison
        self._started = min(one.record.started_utc for stored in columns.values() for one in stored)
        self._set_slots(slots)
        self._start(self._compare_answers(), "compare answers")


def _figures_of(pending: PendingRequest, *, text: bool = True) -> RunFigures:
    run, forecast = pending.run, pending.forecast
    answer = answer_text(run.state) if text else ""
    return figures(run.id, run.state, run.endpoint.rates, (forecast.cached_tokens, forecast.prompt_tokens), answer)


def _stored_figures(stored: StoredRun) -> RunFigures:
    record, state = stored.record, stored.state()
    forecast = (record.forecast.cached_tokens, record.forecast.prompt_tokens) if record.forecast else None
    return figures(record.run_id, state, record.rates, forecast, answer_text(state))

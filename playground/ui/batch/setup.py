"""Settings of a batch before it starts: variables, checks, order, forecast; and the planning in a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QComboBox, QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from playground.client.endpoint import Endpoint
from playground.experiments.batch_plan import BatchForecast, Order, ServerCache
from playground.experiments.batch_rows import KINDS, columns_of, empty_rows, empty_rows_note
from playground.experiments.batch_session import BatchSpec, PreparedBatch, Selection, prepare
from playground.export.terminal import visible_line
from playground.prompt.field_errors import FieldError, InputError
from playground.runs.metrics import APPROXIMATELY, dollars, percent, seconds
from playground.services import AppServices
from playground.ui.batch.model import Displayed
from playground.ui.theme import GRID, scaled, zoom_factor
from playground.ui.widgets.elided_combo import ElidedCombo
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.form import combo_box, line_edit, spin_box
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.labels import push_button, show_or_hide, toned
from playground.ui.widgets.layouts import STRETCH, PageScroll, Panel, column_of, row_of, single_timer
from playground.ui.widgets.notice import words

PLAN_MS = 300
"""Wait after a change before planning again."""


class DisplayedBatch(Struct, frozen=True):
    """A prepared batch, its columns, and its displayed rows for a selection."""

    prepared: PreparedBatch
    columns: tuple[str, ...]
    selection: Selection
    displayed: Displayed
    gaps: str = ""
    """What to know of rows that are not sent, and of rows without a value for a variable; empty if there are none."""

    @classmethod
    def of(cls, prepared: PreparedBatch, selection: Selection) -> DisplayedBatch:
        """Select the displayed rows; groups are unfolded. Takes long: call it in a worker."""
        unfolded = replace(selection, folded=frozenset())
        displayed = Displayed.of(prepared.lines, unfolded)
        return cls(prepared, columns_of(prepared.spec.rows), unfolded, displayed, _gaps(prepared))


def _gaps(prepared: PreparedBatch) -> str:
    """Return sentences on the rows whose value of a variable is empty; the first states how rows are counted."""
    rows: dict[str, list[int]] = {}
    spec = prepared.spec
    empty = set(empty_rows(spec.document, spec.rows, prepared.plan.columns))
    for line in prepared.lines:
        if line.item.row.number in empty:
            continue
        for name, value in line.item.document.variables.items():
            if name in prepared.plan.columns and not value:
                rows.setdefault(name, []).append(line.item.row.number)
    names: dict[tuple[int, ...], list[str]] = {}
    for name, found in rows.items():
        names.setdefault(tuple(found), []).append(visible_line(name))
    sentences = [empty_rows_note(sorted(empty))] if empty else []
    for numbers, without in names.items():
        basis = "" if sentences else ", counted from 0"
        sentences.append(
            f"{len(numbers):,} {'row has' if len(numbers) == 1 else 'rows have'} no value for {', '.join(without)}"
            f" ({'row' if len(numbers) == 1 else 'the first is row'} {min(numbers):,}{basis}): sent with an empty text."
        )
    return " ".join(sentences)


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

    def plan(self, spec: BatchSpec, endpoint: Endpoint, selection: Selection) -> None:
        """Plan a batch; emits `planned` or `refused` unless another plan was begun since."""
        self._timer.stop()
        self._newest += 1
        self._services.tasks.start(self._plan(self._newest, spec, endpoint, selection), "plan a batch")

    async def _plan(self, number: int, spec: BatchSpec, endpoint: Endpoint, selection: Selection) -> None:
        try:
            made = await self.made(spec, endpoint, selection)
        except InputError as bad:
            if number == self._newest:
                self._ended = number
                self.refused.emit(bad.problems[0])
            return
        if number == self._newest:
            self._ended = number
            self.planned.emit(made)

    async def made(self, spec: BatchSpec, endpoint: Endpoint, selection: Selection) -> DisplayedBatch:
        """Return the plan of a batch, new or stored. Raises InputError."""
        sender, document = self._services.sender, spec.document
        return await asyncio.to_thread(
            lambda: DisplayedBatch.of(prepare(spec, endpoint, ServerCache.of(sender, endpoint, document)), selection)
        )


HEIGHT_PX, WIDE_PX, MOST_PX = 146, 840, 200
"""Height of a row of sections; width from which all four are in one; most that a section demands."""
MAX_CONCURRENCY = 256
PROMPT_VALUE = "value in the prompt"
_HINTS = {
    "contains": "text in the completion",
    "equals": "the whole completion",
    "regex": "regular expression, found anywhere",
    "schema": "path of a JSON schema file",
    "max-tokens": "most completion tokens",
}


class CheckRow(QFrame):
    changed = Signal()
    removed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind = combo_box("Kind of check", list(KINDS))
        self.value = line_edit("Value of the check", _HINTS[KINDS[0]])
        remove = icon_button("close", "Remove check", px=24)
        row_of(self.kind, (self.value, 1), remove, on=self, margins=0, spacing=GRID // 2)
        self.kind.currentTextChanged.connect(lambda kind: self.value.setPlaceholderText(_HINTS[kind]))
        self.kind.currentTextChanged.connect(lambda _kind: self.changed.emit())
        self.value.editingFinished.connect(self.changed)
        remove.clicked.connect(self.removed)

    @property
    def text(self) -> str:
        """Return the check as KIND=VALUE; empty if it has no value."""
        return f"{self.kind.currentText()}={self.value.text()}" if self.value.text() else ""


class BatchSetup(Panel):
    """Emits `changed` after every change of a setting."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("pane")
        self.combos: dict[str, QComboBox] = {}
        self.check_rows: list[CheckRow] = []
        self._columns_grid = QGridLayout()
        self._columns_grid.setColumnStretch(1, 1)
        self._checks = column_of(spacing=GRID // 2)
        add = push_button("Add check", clicked=lambda: self.add_check().value.setFocus())
        self.order = _combo("Order of sending")
        self.order.addItem("Prefixes warm first", "warm")
        self.order.addItem("File order", "file")
        self.order.currentIndexChanged.connect(lambda _index: self.changed.emit())
        self.concurrency = spin_box(1, MAX_CONCURRENCY, 1, "Requests in parallel")
        self.concurrency.setMinimumWidth(64)
        self.concurrency.valueChanged.connect(self._choose_concurrency)
        self.wanted_concurrency: int | None = None
        """The user's choice; None: as many as the plan allows."""
        self._figures = {
            name: FigureRow(name) for name in ("Requests", "Prompt tokens", "Cached tokens", "Input cost", "Duration")
        }
        self.error = words("", "failure")
        self.error.hide()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(14, GRID, 14, GRID)
        self._grid.setHorizontalSpacing(GRID * 2)
        checks = column_of(self._checks, (add, 0, Qt.AlignmentFlag.AlignLeft))
        sending = QGridLayout()
        sending.setColumnStretch(1, 1)
        for line, (label, widget) in enumerate((("Order", self.order), ("In parallel", self.concurrency))):
            sending.addWidget(QLabel(label), line, 0)
            sending.addWidget(widget, line, 1)
        sending.addWidget(self.error, 2, 0, 1, 2)
        figures = column_of(*self._figures.values(), spacing=2)
        self._sections = (
            _section("Variables", self._columns_grid),
            _section("Checks", checks),
            _section("Sending", sending),
            _section("Forecast", figures),
        )
        self._soon = single_timer(self, 0, self._arrange)
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put two sections into a row of a narrow page."""
        super().resizeEvent(event)
        self._soon.start()  # a fixed height that changes during a layout is not taken in

    def _arrange(self) -> None:
        columns = 4 if not self.isVisible() or self.width() >= scaled(WIDE_PX) else 2
        height = scaled(HEIGHT_PX * 4 // columns)
        shares = (11, 12 if self.check_rows else 0, 12, 12) if columns == 4 else (1, 1, 0, 0)
        for at, share in enumerate(shares):
            self._grid.setColumnStretch(at, share)
        if self.minimumHeight() != height:
            for at, section in enumerate(self._sections):
                self._grid.addWidget(section, at // columns, at % columns)
            self.setProperty("zoomApplied", zoom_factor())  # the height is in the present text size
            self.setFixedHeight(height)

    def show_columns(self, variables: Sequence[str], columns: Sequence[str], valued: Mapping[str, str]) -> None:
        """Offer the data's columns for each variable; an earlier choice remains if its column exists."""
        chosen = self.mapping()
        while self._columns_grid.count():
            item = self._columns_grid.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.deleteLater()
        self.combos = {}
        for line, name in enumerate(variables):
            combo = _combo(f"Column of {name}")
            if name not in columns:
                combo.addItem(PROMPT_VALUE if valued.get(name) else "choose a column…", "")
            for column in columns:
                combo.addItem(visible_line(column), column)
            combo.setCurrentIndex(max(combo.findData(chosen.get(name) or name), 0))
            combo.currentIndexChanged.connect(lambda _index: self.changed.emit())
            label = toned(visible_line(name), "variable")
            label.setTextFormat(Qt.TextFormat.PlainText)
            self._columns_grid.addWidget(label, line, 0)
            self._columns_grid.addWidget(combo, line, 1)
            self.combos[name] = combo
        if not variables:
            none = words("The prompt has no variables: every row sends the same request.")
            self._columns_grid.addWidget(none, 0, 0, 1, 2)

    def mapping(self) -> dict[str, str]:
        """Return the chosen column of each variable that has one."""
        return {name: str(combo.currentData()) for name, combo in self.combos.items() if combo.currentData()}

    def add_check(self) -> CheckRow:
        row = CheckRow()
        row.changed.connect(self.changed)
        row.removed.connect(lambda: self._remove(row))
        self._checks.addWidget(row)
        self.check_rows.append(row)
        self._soon.start()
        return row

    def _remove(self, row: CheckRow) -> None:
        self.check_rows.remove(row)
        self._soon.start()
        row.deleteLater()
        self.changed.emit()

    def checks(self) -> tuple[str, ...]:
        """Return the checks as KIND=VALUE, each once."""
        return tuple(dict.fromkeys(row.text for row in self.check_rows if row.text))

    def chosen_order(self) -> Order:
        return "file" if self.order.currentData() == "file" else "warm"

    def _choose_concurrency(self, value: int) -> None:
        self.wanted_concurrency = value
        self.changed.emit()

    def show_limit(self, limit: int | None, default: int) -> None:
        """Bound the number of requests at once by the plan of a newly chosen endpoint."""
        self.concurrency.blockSignals(True)
        self.concurrency.setMaximum(limit or MAX_CONCURRENCY)
        self.concurrency.setValue(default)
        self.concurrency.blockSignals(False)

    def show_forecast(self, found: BatchForecast | None, plan: str) -> None:
        """Show the forecast; None while there is none."""
        about = f"{APPROXIMATELY} "
        texts = dict.fromkeys(self._figures, "—")
        reasons = {
            "Input cost": "The endpoint has no rates." if found and found.input_cost is None else "",
            "Duration": f"At 2 s per request, within the plan {plan}.",
            "Cached tokens": "Forecast for the requests and reports of this endpoint so far.",
        }
        if found is not None:
            texts = {
                "Requests": f"{found.requests:,}",
                "Prompt tokens": f"{about}{found.prompt_tokens:,.0f}",
                "Cached tokens": f"{about}{found.cached_tokens:,.0f} ({percent(found.cached_share)})",
                "Input cost": "—" if found.input_cost is None else f"{about}{dollars(found.input_cost)}",
                "Duration": f"{about}{seconds(found.seconds)}",
            }
        for name, figure in self._figures.items():
            figure.show_value(texts[name], reasons.get(name, ""))

    def show_error(self, problem: FieldError | None) -> None:
        """Show what keeps the batch from starting; None hides it."""
        show_or_hide(self.error, "" if problem is None else visible_line(str(problem)))


def _combo(name: str) -> ElidedCombo:
    combo = ElidedCombo()
    combo.setAccessibleName(name)
    combo.setMinimumContentsLength(4)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return combo


class _SectionArea(PageScroll):
    """At least as wide as its content, so that boxes are whole; a content wider than MOST_PX scrolls sideways."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidget(content)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def minimumSizeHint(self) -> QSize:
        content = self.widget()
        least = 0 if content is None else content.minimumSizeHint().width()
        return QSize(min(least, scaled(MOST_PX)), super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


def _section(title: str, content: QGridLayout | QVBoxLayout) -> QWidget:
    """Return a titled section that scrolls if its content is too tall."""
    inner = QWidget()
    column_of(content, STRETCH, on=inner, margins=(0, 0, 4, 0))
    area = _SectionArea(inner)
    caption = toned(title, "caption")
    section = QWidget()
    column_of(caption, (area, 1), on=section, margins=0, spacing=GRID // 2)
    return section

"""Table model of a batch: planned rows, their results, group headings, filter and order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from playground.experiments.batch_plan import PlannedRow, RowForecast, groups
from playground.experiments.batch_results import row_number, tokens_of
from playground.export.terminal import visible_line
from playground.prompt.document import Json
from playground.runs.metrics import UNKNOWN, Figure, dollars, whole_seconds
from playground.runs.run import Run
from playground.ui.theme import current_theme, mono_font, ui_font
from playground.ui.widgets.plain_tip import plain_tip

Index = QModelIndex | QPersistentModelIndex
Kind = Literal["row", "variable", "output", "request_id", "in", "cached", "cost", "checks", "status"]
Status = Literal["queued", "running", "done", "failed"]
ENDED: tuple[Status, ...] = ("done", "failed")
FIGURES = frozenset(("row", "in", "cost"))
COLD_SHARE = 0.5
"""A row's prefix counts as cold if the server reported less than this share of its tokens as cached."""
SHOWN_CHARS = 300
"""Characters of a text in a cell."""


@dataclass(frozen=True, slots=True)
class BatchColumn:
    """A column; `name` is the variable's for kind "variable"."""

    kind: Kind
    title: str
    name: str = ""


@dataclass(slots=True)
class BatchLine:
    """One row of the batch with everything that is known of it."""

    item: PlannedRow
    group: int
    forecast: RowForecast | None = None
    status: Status = "queued"
    result: Mapping[str, Json] | None = None
    run: Run | None = None
    _values: str = ""

    @property
    def cold(self) -> bool:
        """Whether the server reported that most of the prompt was not cached."""
        prompt, cached = tokens_of(self.result or {})
        return bool(prompt) and cached is not None and cached < COLD_SHARE * (prompt or 0)

    @property
    def output(self) -> str:
        """Return the text received so far, or the error of a failed row."""
        if self.run is not None:
            return self.run.state.text
        error = (self.result or {}).get("error")
        if isinstance(error, dict):
            return f"{error.get('message', '')} {error.get('detail') or ''}".strip()
        text = (self.result or {}).get("text")
        return text if isinstance(text, str) else ""

    @property
    def request_id(self) -> str | None:
        """Return the request_id that the server sent."""
        found = self.run.state.request_id if self.run is not None else (self.result or {}).get("request_id")
        return found if isinstance(found, str) else None

    @property
    def prompt_tokens(self) -> Figure:
        """Return the prompt tokens: reported, or estimated before the end."""
        return self._tokens(0, self.forecast.prompt_tokens if self.forecast else None)

    @property
    def cached_tokens(self) -> Figure:
        """Return the cached tokens: reported, or forecast before the end."""
        return self._tokens(1, self.forecast.cached_tokens if self.forecast else None)

    def _tokens(self, which: int, estimate: float | None) -> Figure:
        if self.result is not None:
            return Figure.reported(tokens_of(self.result)[which])
        return Figure.unknown("not estimated yet") if estimate is None else Figure.estimated(estimate)

    @property
    def cost(self) -> float | None:
        """Return the cost in dollars; None if unknown."""
        value = (self.result or {}).get("cost")
        return float(value) if isinstance(value, (int, float)) else None

    @property
    def checks(self) -> dict[str, bool]:
        """Return the result of each check."""
        found = (self.result or {}).get("checks")
        return {name: bool(passed) for name, passed in found.items()} if isinstance(found, dict) else {}

    def text(self) -> str:
        """Return everything that the filter searches, in lower case."""
        if not self._values:
            self._values = "\n".join(self.item.row.values.values()).lower()
        return f"{self._values}\n{self.output.lower()}\n{self.request_id or ''}"


def line_filter(text: str) -> Callable[[BatchLine], bool]:
    """Return the predicate of a filter: `status:failed`, `cached:0`, `check:failed`, `prefix:cold`, or any text."""
    tests = [_term(term) for term in text.lower().split()]
    return lambda line: all(test(line) for test in tests)


def _term(term: str) -> Callable[[BatchLine], bool]:
    name, _, value = term.partition(":")
    if name == "status" and value:
        return lambda line: STATUS_TEXT[line.status].startswith(value)
    if name == "cached" and value.isdecimal():
        return lambda line: tokens_of(line.result or {})[1] == int(value)
    if name == "check" and value:
        return lambda line: bool(line.checks) and all(line.checks.values()) != "failed".startswith(value)
    return (lambda line: line.cold) if term == "prefix:cold" else (lambda line: term in line.text())


def _sort_value(column: BatchColumn) -> Callable[[BatchLine], Any]:
    """Return the function from a line to the value that a column sorts by; None is unknown."""
    values: dict[Kind, Callable[[BatchLine], Any]] = {
        "row": lambda line: line.item.row.number,
        "variable": lambda line: line.item.document.variables.get(column.name, ""),
        "output": lambda line: line.output,
        "request_id": lambda line: line.request_id,
        "in": lambda line: line.prompt_tokens.value,
        "cached": lambda line: line.cached_tokens.value,
        "cost": lambda line: line.cost,
        "checks": lambda line: sum(line.checks.values()) if line.checks else None,
        "status": lambda line: line.status,
    }
    return values[column.kind]


STATUS_TEXT: dict[Status, str] = {"queued": "queued", "running": "running", "done": "finished", "failed": "failed"}


class BatchModel(QAbstractTableModel):
    """Lines on display are rows, or headings of groups in the order of sending."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[BatchLine] = []
        self.columns: list[BatchColumn] = []
        self.counts: Counter[Status] = Counter()
        self.cold = 0
        self.active = False
        """Whether the batch runs: queued rows display their estimated wait."""
        self._by_number: dict[int, int] = {}
        self._displayed: list[int] = []
        """Positions in `lines`; a heading is -1 - (the position of its first row)."""
        self._at: dict[int, int] = {}
        self._accepts: Callable[[BatchLine], bool] = lambda _line: True
        self._filtered = False
        self._sort: tuple[int, bool] | None = None
        self._group_size: Counter[int] = Counter()
        self._group_ended: Counter[int] = Counter()
        self._running: set[int] = set()

    def set_plan(
        self, plan: Sequence[PlannedRow], variables: Sequence[str], forecasts: Sequence[RowForecast], checked: bool
    ) -> None:
        """Display a plan without results. `forecasts` has one for each row, or none at all."""
        self.beginResetModel()
        numbers = groups(plan)
        known = forecasts or (None,) * len(plan)
        self.lines = [
            BatchLine(item, group, forecast) for item, group, forecast in zip(plan, numbers, known, strict=True)
        ]
        self._group_size, self._group_ended, self._running = Counter(numbers), Counter(), set()
        self._by_number = {line.item.row.number: position for position, line in enumerate(self.lines)}
        self.counts, self.cold = Counter({"queued": len(self.lines)}), 0
        self.columns = [
            BatchColumn("row", "row"),
            *(BatchColumn("variable", name, name) for name in variables),
            BatchColumn("output", "Output"),
            BatchColumn("request_id", "request_id"),
            BatchColumn("in", "In"),
            BatchColumn("cached", "Cached"),
            BatchColumn("cost", "Cost"),
            *([BatchColumn("checks", "Checks")] if checked else []),
            BatchColumn("status", "Status"),
        ]
        if self._sort is not None and self._sort[0] >= len(self.columns):
            self._sort = None
        self._select()
        self.endResetModel()

    def line(self, row: int) -> BatchLine | None:
        """Return the line of a displayed row; None for a heading."""
        if not 0 <= row < len(self._displayed) or self._displayed[row] < 0:
            return None
        return self.lines[self._displayed[row]]

    def row_of(self, number: int) -> int | None:
        """Return the displayed row of a row number of the data."""
        position = self._by_number.get(number)
        return None if position is None else self._at.get(position)

    def heading(self, row: int) -> str:
        """Return the text of a displayed heading; empty for other rows."""
        if not 0 <= row < len(self._displayed) or self._displayed[row] >= 0:
            return ""
        first = -1 - self._displayed[row]
        line = self.lines[first]
        size, ended = self._group_size[line.group], self._group_ended[line.group]
        second = self.lines[first + 1].forecast if size > 1 else None
        prefix = f"a prefix of {Figure.estimated(second.cached_tokens).text} tokens" if second else "a prefix"
        many = f"{size:,} rows share {prefix}" if size > 1 else "1 row"
        state = "finished" if ended == size else f"{ended:,} of {size:,} finished" if ended else "queued"
        variable = next((column.name for column in self.columns if column.kind == "variable"), "")
        value = line.item.document.variables.get(variable, "")
        return f"{visible_line(value[:48])}  ·  {many}  ·  {state}"

    def set_filter(self, accepts: Callable[[BatchLine], bool] | None) -> None:
        """Display only some rows; None displays all."""
        self._filtered, self._accepts = accepts is not None, accepts or (lambda _line: True)
        self.refresh()

    @property
    def changes_order(self) -> bool:
        """Whether a row's result may change which rows are displayed, or their order."""
        return self._filtered or self._sort is not None

    def refresh(self) -> None:
        """Apply filter and order to all rows again."""
        self.beginResetModel()
        self._select()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 restores the order of sending."""
        self._sort = None if column < 0 else (column, order == Qt.SortOrder.DescendingOrder)
        self.refresh()

    def _select(self) -> None:
        chosen = [position for position, line in enumerate(self.lines) if self._accepts(line)]
        if self._sort is not None:
            value, descending = _sort_value(self.columns[self._sort[0]]), self._sort[1]

            def key(position: int) -> tuple[bool, Any]:
                """Unknown values sort before all others."""
                found = value(self.lines[position])
                return found is not None, found if found is not None else 0

            chosen.sort(key=key, reverse=descending)
        elif not self._filtered and 1 < len(self._group_size) < len(self.lines):
            chosen = self._with_headings(chosen)
        self._displayed = chosen
        self._at = {position: row for row, position in enumerate(chosen) if position >= 0}

    def _with_headings(self, chosen: list[int]) -> list[int]:
        found, group = [], -1
        for position in chosen:
            if self.lines[position].group != group:
                group = self.lines[position].group
                found.append(-1 - position)
            found.append(position)
        return found

    def start_row(self, number: int, run: Run) -> None:
        """A row's request is about to be sent."""
        self._set(number, "running", None, run)

    def finish_row(self, result: Mapping[str, Json]) -> None:
        """A row has a result."""
        self._set(row_number(result), "done" if result.get("phase") == "done" else "failed", result, None)

    def reset_row(self, number: int) -> None:
        """A row is to be sent again, or was stopped."""
        self._set(number, "queued", None, None)

    def _set(self, number: int, status: Status, result: Mapping[str, Json] | None, run: Run | None) -> None:
        position = self._by_number.get(number)
        if position is None:
            return
        line = self.lines[position]
        self.cold -= line.cold
        self.counts[line.status] -= 1
        self._group_ended[line.group] += (status in ENDED) - (line.status in ENDED)
        line.status, line.result, line.run = status, result, run
        self.counts[status] += 1
        self.cold += line.cold
        self._running.discard(position)
        if run is not None:
            self._running.add(position)
        self.repaint(position)

    def repaint(self, position: int) -> None:
        """Update the display of a row."""
        row = self._at.get(position)
        if row is not None:
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(self.columns) - 1))

    def tick(self) -> None:
        """Update the display of running rows."""
        for position in self._running:
            self.repaint(position)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self._displayed)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return visible_line(column.title)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.kind in FIGURES else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        return super().flags(index) if self.line(index.row()) is not None else Qt.ItemFlag.ItemIsEnabled

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        line = self.line(index.row())
        roles = Qt.ItemDataRole
        if line is None:
            return self.heading(index.row()) if role == roles.AccessibleTextRole and index.column() == 0 else None
        column = self.columns[index.column()]
        if role in (roles.DisplayRole, roles.AccessibleTextRole):
            return self.cell(line, column)
        if role == roles.ToolTipRole:
            return plain_tip(self._tip(line, column))
        if role == roles.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.kind in FIGURES else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == roles.FontRole:
            return mono_font(12) if column.kind == "request_id" else ui_font(12, tabular=True)
        if role == roles.ForegroundRole:
            return getattr(current_theme(), self._tone(line, column))
        return None

    def cell(self, line: BatchLine, column: BatchColumn) -> str:
        """Return the text of a cell."""
        texts: dict[Kind, Callable[[], str]] = {
            "row": lambda: f"{line.item.row.number:,}",
            "variable": lambda: visible_line(line.item.document.variables.get(column.name, "")[:SHOWN_CHARS]),
            "output": lambda: visible_line(line.output[:SHOWN_CHARS]) or UNKNOWN,
            "request_id": lambda: visible_line(line.request_id or UNKNOWN),
            "in": lambda: line.prompt_tokens.text,
            "cached": lambda: line.cached_tokens.text,
            "cost": lambda: dollars(line.cost),
            "checks": lambda: f"{sum(line.checks.values())} of {len(line.checks)}" if line.checks else UNKNOWN,
            "status": lambda: self._status(line),
        }
        return texts[column.kind]()

    def _status(self, line: BatchLine) -> str:
        if line.run is not None:
            return "streaming" if line.run.state.phase == "streaming" else "sending"
        if line.status != "queued" or not self.active or line.forecast is None:
            return STATUS_TEXT[line.status]
        return f"in ≈ {whole_seconds(line.forecast.start_s - self.queue_start_s)}"

    queue_start_s = 0.0
    """Planned start of the first queued row, in seconds from the start of the batch."""

    def update_queue(self) -> None:
        """Set the planned start of the first queued row."""
        waiting = (line.forecast.start_s for line in self.lines if line.status == "queued" and line.forecast)
        self.queue_start_s = min(waiting, default=0.0)

    def _tip(self, line: BatchLine, column: BatchColumn) -> str:
        if column.kind == "checks":
            return "\n".join(f"{name}: {'passed' if passed else 'failed'}" for name, passed in line.checks.items())
        if column.kind == "row":
            return "Counted from 0 in the order of the data, as in exports"
        if column.kind in ("in", "cached"):
            figure = line.prompt_tokens if column.kind == "in" else line.cached_tokens
            return figure.why
        return self.cell(line, column)

    def _tone(self, line: BatchLine, column: BatchColumn) -> str:
        if line.status == "failed" and column.kind in ("output", "status"):
            return "failure"
        if column.kind == "checks" and line.checks and not all(line.checks.values()):
            return "failure"
        if column.kind == "status" and line.status == "running":
            return "accent"
        estimated = line.result is None and column.kind in ("in", "cached", "cost", "status")
        return "muted" if estimated or column.kind in ("row", "output") else "text"

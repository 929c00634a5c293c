"""The rows of a batch with their state and results, and which of them a filter, an order and folded groups select."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import Struct

from playground.experiments.batch_plan import PlannedRow, RowForecast, groups
from playground.experiments.batch_results import row_number
from playground.experiments.batch_totals import attempts_of, completion_tokens_of, tokens_of
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Json
from playground.runs.metrics import EARLY, Figure, input_figure
from playground.runs.run import Run

if TYPE_CHECKING:
    from playground.runs.state import Phase

Kind = Literal["row", "variable", "output", "request_id", "in", "cached", "cost", "checks", "status"]
Status = Literal["queued", "running", "done", "failed"]
ENDED: tuple[Status, ...] = ("done", "failed")
STATUS_TEXT: dict[Status, str] = {"queued": "queued", "running": "running", "done": "finished", "failed": "failed"}
COLD_SHARE = 0.5
"""A row's prefix counts as cold if the server reported less than this share of its tokens as cached."""


class BatchLine(Struct):
    """One row with its state and result. `seen` is the text of a running row at the last `BatchLines.look`."""

    item: PlannedRow
    group: int
    forecast: RowForecast | None = None
    status: Status = "queued"
    result: Mapping[str, Json] | None = None
    run: Run | None = None
    seen: str = ""
    _values: str = ""

    @property
    def cold(self) -> bool:
        """Whether the server reported that most of the prompt was not cached."""
        prompt, cached = tokens_of(self.result or {})
        return bool(prompt) and cached is not None and cached < COLD_SHARE * (prompt or 0)

    @property
    def output(self) -> str:
        """Return the text received so far, or the error of a failed row. Call it in the thread of the runs only."""
        return self.run.state.text if self.run is not None else self.ended_output

    @property
    def ended_output(self) -> str:
        """Return the text or the error of the result; of a running row the text at its last look."""
        if self.result is None:
            return self.seen
        error = self.result.get("error")
        if isinstance(error, dict):
            return f"{error.get('message', '')} {error.get('detail') or ''}".strip()
        text = self.result.get("text")
        return text if isinstance(text, str) else ""

    @property
    def request_id(self) -> str | None:
        """Return the request_id that the server sent."""
        run = self.run
        found = run.state.request_id if run is not None else (self.result or {}).get("request_id")
        return found if isinstance(found, str) else None

    @property
    def run_id(self) -> str | None:
        """Return the id of the row's request in the log."""
        found = self.run.id if self.run is not None else (self.result or {}).get("run_id")
        return found if isinstance(found, str) else None

    @property
    def prompt_tokens(self) -> Figure:
        """Return the prompt tokens: reported; estimated before the end, or if the server read the prompt."""
        estimate = self.forecast.prompt_tokens if self.forecast else None
        if self.result is None:
            return self._tokens(0, estimate)
        phase, status = cast("Phase", self.result.get("phase") or "failed"), self.result.get("status")
        attempts = attempts_of(self.result)
        reported = tokens_of(self.result)[0]
        return input_figure(reported, estimate, phase, status if isinstance(status, int) else None, attempts, "")

    @property
    def output_tokens(self) -> Figure:
        """Return the completion tokens: reported; estimated from what arrived before an early end; else unknown."""
        result = self.result or {}
        reported, text = completion_tokens_of(result), result.get("text")
        if reported is None and result.get("phase") in EARLY and isinstance(text, str) and text:
            return Figure.estimated(TokenEstimator().estimate(text))
        return Figure.reported(reported)

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
        return f"{self._values}\n{self.ended_output.lower()}\n{self.request_id or ''}"


class BatchLines(Sequence[BatchLine]):
    """All rows in the order of sending, with sums by status and group. Building it takes long: do it in a worker."""

    def __init__(self, plan: Sequence[PlannedRow] = (), forecasts: Sequence[RowForecast] = ()) -> None:
        """`forecasts` has one for each row, or none at all."""
        numbers = groups(plan)
        known = forecasts or (None,) * len(plan)
        self._lines = [
            BatchLine(item, group, forecast) for item, group, forecast in zip(plan, numbers, known, strict=True)
        ]
        self.group_size: Counter[int] = Counter(numbers)
        self.group_ended: Counter[int] = Counter()
        self.counts: Counter[Status] = Counter({"queued": len(self._lines)})
        self.cold = 0
        self.running: set[int] = set()
        """Positions."""
        self._positions = {line.item.row.number: position for position, line in enumerate(self._lines)}
        self._first_queued = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, position: Any) -> Any:
        return self._lines[position]

    def position(self, number: int) -> int | None:
        """Return the position of a row by its number in the data."""
        return self._positions.get(number)

    def set(
        self, number: int, status: Status, result: Mapping[str, Json] | None = None, run: Run | None = None
    ) -> int | None:
        """Set the state of a row. Returns its position; None for a number that is not in the batch."""
        position = self._positions.get(number)
        if position is None:
            return None
        line = self._lines[position]
        self.cold -= line.cold
        self.counts[line.status] -= 1
        self.group_ended[line.group] += (status in ENDED) - (line.status in ENDED)
        line.status, line.result, line.run, line.seen = status, result, run, ""
        self.counts[status] += 1
        self.cold += line.cold
        self.running.discard(position)
        if status == "running":
            self.running.add(position)
        if status == "queued":
            self._first_queued = min(self._first_queued, position)
        return position

    def finish(self, result: Mapping[str, Json]) -> int | None:
        """Set the result of a row. Returns its position."""
        return self.set(row_number(result), "done" if result.get("phase") == "done" else "failed", result)

    def finish_new(self, results: Iterable[Mapping[str, Json]]) -> None:
        """Set the results of the rows that have none yet."""
        for result in results:
            position = self._positions.get(row_number(result))
            if position is not None and self._lines[position].result is None:
                self.finish(result)

    def reset(self, status: Status, numbers: frozenset[int] | None = None) -> None:
        """Make the rows with this status queued again. `numbers`: of these only."""
        found = self.running if status == "running" else range(len(self._lines))
        for position in list(found):
            line = self._lines[position]
            if line.status == status and (numbers is None or line.item.row.number in numbers):
                self.set(line.item.row.number, "queued")

    def numbers(self, status: Status) -> frozenset[int]:
        """Return the numbers of the rows with a status."""
        return frozenset(line.item.row.number for line in self._lines if line.status == status)

    @property
    def queue_start_s(self) -> float:
        """Return the planned start of the first queued row, in seconds from the start of the batch."""
        while self._first_queued < len(self._lines) and self._lines[self._first_queued].status != "queued":
            self._first_queued += 1
        line = self._lines[self._first_queued] if self._first_queued < len(self._lines) else None
        return line.forecast.start_s if line is not None and line.forecast is not None else 0.0

    def look(self) -> None:
        """Note the text of running rows for `select`, which runs in another thread."""
        for position in self.running:
            self._lines[position].seen = self._lines[position].output


class Selection(Struct, frozen=True):
    """Which rows are displayed. `sort` is the column's kind, the variable's name, and whether it descends."""

    filter: str = ""
    sort: tuple[Kind, str, bool] | None = None
    folded: frozenset[int] = frozenset()
    """Groups whose rows are hidden; used in the order of sending without a filter only."""

    @property
    def follows_results(self) -> bool:
        """Whether a row's result may change which rows are displayed, or their order."""
        return bool(self.filter) or self.sort is not None


def select(lines: BatchLines, selection: Selection) -> list[int]:
    """Return the displayed positions. A heading of a group is -1 - (the position of its first row)."""
    accepts = line_filter(selection.filter)
    chosen = (
        [position for position, line in enumerate(lines) if accepts(line)] if selection.filter else range(len(lines))
    )
    if selection.sort is not None:
        kind, name, descending = selection.sort
        value = _sort_value(kind, name)

        def key(position: int) -> tuple[bool, Any]:
            """Unknown values sort before all others."""
            found = value(lines[position])
            return found is not None, found if found is not None else 0

        return sorted(chosen, key=key, reverse=descending)
    if not selection.filter and 1 < len(lines.group_size) < len(lines):
        return _with_headings(lines, selection.folded)
    return list(chosen)


def _with_headings(lines: BatchLines, folded: frozenset[int]) -> list[int]:
    found, group = [], -1
    for position, line in enumerate(lines):
        if line.group != group:
            group = line.group
            found.append(-1 - position)
        if group not in folded:
            found.append(position)
    return found


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


def _sort_value(kind: Kind, name: str) -> Callable[[BatchLine], Any]:
    """Return the function from a line to the value that a column sorts by; None is unknown."""
    values: dict[Kind, Callable[[BatchLine], Any]] = {
        "row": lambda line: line.item.row.number,
        "variable": lambda line: line.item.document.variables.get(name, ""),
        "output": lambda line: line.ended_output,
        "request_id": lambda line: line.request_id,
        "in": lambda line: line.prompt_tokens.value,
        "cached": lambda line: line.cached_tokens.value,
        "cost": lambda line: line.cost,
        "checks": lambda line: sum(line.checks.values()) if line.checks else None,
        "status": lambda line: line.status,
    }
    return values[kind]

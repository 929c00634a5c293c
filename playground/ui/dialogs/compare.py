"""Two logged requests side by side: figures, parameters, and what differs in prompt and completion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC

from PySide6.QtWidgets import QDialog, QDialogButtonBox, QTabWidget, QVBoxLayout, QWidget

from playground.client.pricing import cost
from playground.prompt.diff import DiffRow, changes, line_changes
from playground.prompt.document import Json
from playground.prompt.files import load
from playground.requestlog.records import StoredRun
from playground.runs.metrics import UNKNOWN, Figure, dollars, seconds, speed
from playground.runs.output_estimate import output_figure
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.diff_view import DifferenceView
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table

SAME, DIFFERS = "", "≠"


class CompareDialog(QDialog):
    """`earlier` is on the left, `later` on the right."""

    def __init__(self, theme: Theme, earlier: StoredRun, later: StoredRun, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Compare two requests")
        self.figures = plain_table("Figures and parameters", ("", "", "earlier", "later"), 3, {0: 170, 1: 28, 2: 300})
        rows = [*_figures(earlier, later), *_parameters(earlier, later)]
        fill_table(self.figures, [(name, SAME if a == b else DIFFERS, a, b) for name, a, b in rows])
        self.prompt, self.answer = DifferenceView(theme), DifferenceView(theme)
        self.prompt.setAccessibleName("What differs in the prompt")
        self.answer.setAccessibleName("What differs in the completion")
        prompt_rows = changes(load(earlier.record.document), load(later.record.document))
        answer_rows = tuple(line_changes(_answer(earlier), _answer(later)))
        self.prompt.show_rows(prompt_rows or (DiffRow("same", "The prompts are the same."),))
        self.answer.show_rows(answer_rows or (DiffRow("same", "The completions are the same."),))
        self.tabs = QTabWidget()
        for view, title in ((self.figures, "Figures"), (self.prompt, "Prompt"), (self.answer, "Completion")):
            self.tabs.addTab(view, title)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        same = earlier.record.body == later.record.body
        column.addWidget(words("The bodies are the same, byte for byte." if same else "The bodies differ.", "strong"))
        column.addWidget(self.tabs, 1)
        column.addWidget(close)
        self.resize(860, 600)


def _figures(earlier: StoredRun, later: StoredRun) -> Iterator[tuple[str, str, str]]:
    for (name, one), (_, other) in zip(_facts(earlier), _facts(later), strict=True):
        yield name, one, other


def _facts(stored: StoredRun) -> Iterator[tuple[str, str]]:
    state, record, usage = stored.state(), stored.record, stored.state().usage
    price = cost(usage, record.rates)
    yield "request_id", state.request_id or UNKNOWN
    yield "sent (UTC)", record.started_utc.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    yield "endpoint", record.endpoint_name
    yield "model", record.model
    yield "outcome", f"{state.status or UNKNOWN} {state.finish_reason or stored.phase}"
    yield "attempts", str(len(state.attempts))
    yield "prompt tokens", _input(stored).text
    yield "cached tokens, forecast", f"≈ {record.forecast.cached_tokens:,.0f}" if record.forecast else UNKNOWN
    yield "cached tokens", Figure.reported(usage.cached_tokens if usage else None).text
    yield "completion tokens", output_figure(state, "").text
    yield "time to first token", seconds(state.ttft_s)
    yield "output speed", speed(state.tokens_per_s)
    yield "total", seconds(state.ended_at)
    yield "input cost", dollars(price.input)
    yield "saved by the cache", dollars(price.saved)
    yield "output cost", dollars(price.output)


def _input(stored: StoredRun) -> Figure:
    usage, forecast = stored.state().usage, stored.record.forecast
    if usage is None and forecast is not None:
        return Figure.estimated(forecast.prompt_tokens)
    return Figure.reported(usage.prompt_tokens if usage else None)


def _parameters(earlier: StoredRun, later: StoredRun) -> Iterator[tuple[str, str, str]]:
    """Every field of either body but messages and tools; one that was not sent is "not sent"."""
    one, other = (_fields(stored) for stored in (earlier, later))
    for name in dict.fromkeys((*one, *other)):
        yield name, _value(one, name), _value(other, name)


def _fields(stored: StoredRun) -> dict[str, Json]:
    try:
        fields = json.loads(stored.record.body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):  # an imported request may have any body
        return {}
    return {name: value for name, value in fields.items() if name not in ("messages", "tools", "model")}


def _value(fields: dict[str, Json], name: str) -> str:
    return json.dumps(fields[name], ensure_ascii=False) if name in fields else "not sent"


def _answer(stored: StoredRun) -> list[str]:
    state = stored.state()
    calls = [f"calls {call.name} {call.arguments}" for _, call in sorted(state.tool_calls.items())]
    return [*state.text.split("\n"), *calls] if state.text or calls else []

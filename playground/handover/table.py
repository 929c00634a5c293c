"""Logged requests as CSV, for spreadsheets. What was reported and what is estimated are columns of their own.

The file begins with a byte-order mark: without one a spreadsheet takes UTF-8 for something else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC

from playground.client.prices import cost
from playground.prompt.files import load
from playground.requestlog.records import StoredRun
from playground.runs.received import output_figure

COLUMNS = (
    "started_utc",
    "request_id",
    "body_id",
    "run_id",
    "endpoint",
    "simulated",
    "model",
    "phase",
    "status",
    "finish_reason",
    "attempts",
    "prompt_tokens",
    "prompt_tokens_estimated",
    "cached_tokens",
    "cached_tokens_forecast",
    "completion_tokens",
    "completion_tokens_estimated",
    "time_to_first_token_ms",
    "total_ms",
    "input_cost_usd",
    "output_cost_usd",
    "saved_usd",
    "error",
    "marked",
    "tags",
    "comment",
    "question",
    "answer",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
BOM = "\ufeff"


def heading() -> str:
    """The first line, with the mark before it."""
    return BOM + _line(COLUMNS)


def to_row(stored: StoredRun) -> str:
    """One request as a line. An empty cell is a figure that nobody reported; ≈ figures have columns of their own."""
    state, record = stored.state(), stored.record
    usage, forecast = state.usage, record.forecast
    price = cost(usage, record.rates)
    received = output_figure(state, "")
    return _line(
        (
            record.started_utc.astimezone(UTC).isoformat(timespec="milliseconds"),
            state.request_id,
            state.body_id,
            record.run_id,
            record.endpoint_name,
            record.endpoint_kind == "simulator",
            record.model,
            stored.phase,
            state.status,
            state.finish_reason,
            len(state.attempts),
            usage.prompt_tokens if usage else None,
            round(forecast.prompt_tokens) if forecast else None,
            usage.cached_tokens if usage else None,
            round(forecast.cached_tokens) if forecast else None,
            usage.completion_tokens if usage else None,
            round(received.value) if received.state == "estimated" and received.value is not None else None,
            _ms(state.ttft_s),
            _ms(state.ended_at),
            price.input,
            price.output,
            price.saved,
            state.trouble.title if state.trouble else None,
            stored.marked,
            " ".join(stored.tags),
            stored.comment,
            _question(stored),
            state.text,
        )
    )


def _question(stored: StoredRun) -> str:
    messages = [message for message in load(stored.record.document).messages if message.role == "user"]
    return messages[-1].content or "" if messages else ""


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1000, 1)


def _line(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([_cell(cell) for cell in cells])
    return out.getvalue().encode("utf-8", "replace").decode("utf-8")


def _cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula gets an apostrophe before it, which spreadsheets do not show."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

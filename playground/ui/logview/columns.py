"""The log's columns: what each shows of a row, in which of the three states, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC

from playground.client.events import Usage
from playground.client.prices import cost
from playground.requestlog.records import LogRow
from playground.runs.figures import UNKNOWN, Figure, dollars, seconds

NOT_REPORTED = "The server did not report it"
ENDED_EARLY = "Unknown: the request ended before the server reported usage"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `tone` is a role of the theme, or empty."""

    text: str
    why: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `width` in device-independent pixels; `figure` is right-aligned in tabular digits."""

    title: str
    width: int
    cell: Callable[[LogRow], Cell]
    figure: bool = False
    mono: bool = False


def _time(row: LogRow) -> Cell:
    local = row.started_utc.astimezone()
    return Cell(f"{local:%H:%M:%S}", f"{row.started_utc.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC")


def _status(row: LogRow) -> Cell:
    where = f"{row.endpoint_name} · {row.model}"
    again = f" · {row.attempts}×" if row.attempts > 1 else ""
    where = f"{row.attempts} attempts · {where}" if row.attempts > 1 else where
    if row.phase == "done":
        return Cell(f"{row.status} {row.finish_reason or ''}".strip() + again, where, "warm_edge")
    if row.phase == "failed":
        status = "failed" if row.status in (None, 200) else str(row.status)
        return Cell(status + again, row.trouble or where, "failure")
    if row.phase in ("stopped", "interrupted"):
        words = "Stopped by you" if row.phase == "stopped" else "The program ended before the request did"
        return Cell(row.phase, f"{words} · {where}", "variable_edge")
    words = {"retrying": "retrying…", "waiting": "waiting…"}.get(row.phase, "running…")
    return Cell(words + again, where, "accent")


def _request_id(row: LogRow) -> Cell:
    if row.request_id is None:
        return Cell(UNKNOWN, "No response headers came, or the server sent no X-Request-Id")
    return Cell(row.request_id, row.request_id)


def _why(row: LogRow) -> str:
    return NOT_REPORTED if row.phase == "done" else ENDED_EARLY


def _figure(figure: Figure, tone: str = "") -> Cell:
    return Cell(figure.text, figure.why, tone if figure.state == "reported" else "")


def _prompt(row: LogRow) -> Cell:
    estimated = row.prompt_tokens_estimated
    if row.prompt_tokens is None and row.phase in ("stopped", "interrupted") and estimated is not None:
        return _figure(Figure.estimated(estimated, "Estimated on this machine: no usage was reported"))
    return _figure(Figure.reported(row.prompt_tokens, _why(row)))


def _cached(row: LogRow) -> Cell:
    return _figure(Figure.reported(row.cached_tokens, _why(row)), "warm_edge" if row.cached_tokens else "")


def _output(row: LogRow) -> Cell:
    return _figure(Figure.reported(row.completion_tokens, _why(row)))


def _ttft(row: LogRow) -> Cell:
    return Cell(seconds(row.ttft_s), "" if row.ttft_s is not None else "No token came")


def _total(row: LogRow) -> Cell:
    return Cell(seconds(row.duration_s), "" if row.duration_s is not None else "Not ended")


def _cost(row: LogRow) -> Cell:
    usage = Usage(row.prompt_tokens, row.completion_tokens, None, row.cached_tokens)
    priced = cost(usage, row.rates)
    if priced.input is None:
        unset = row.rates.fresh is None or row.rates.cached is None
        return Cell(UNKNOWN, "No rate is set for this endpoint" if unset else _why(row))
    if priced.output is None:
        return Cell(dollars(priced.input), "Input only: no output rate is set")
    return Cell(dollars(priced.input + priced.output), "Input and output")


def _answer(row: LogRow) -> Cell:
    if row.trouble:
        return Cell(" ".join(row.trouble.split()), row.trouble, "muted")
    if not row.answer and row.called:
        return Cell(f"calls {row.called}", "", "muted")
    return Cell(" ".join(row.answer.split()), row.answer)


COLUMNS = (
    Column("time", 84, _time),
    Column("status", 118, _status),
    Column("request_id", 288, _request_id, mono=True),
    Column("in", 68, _prompt, figure=True),
    Column("cached", 68, _cached, figure=True),
    Column("out", 60, _output, figure=True),
    Column("TTFT", 72, _ttft, figure=True),
    Column("total", 68, _total, figure=True),
    Column("cost", 108, _cost, figure=True),
    Column("answer", 300, _answer),
)

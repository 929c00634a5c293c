"""The columns of the log: the text of each cell, reported, estimated or unknown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.forecast import against_forecast, ago
from playground.requestlog.records import LogGroup, LogRow
from playground.runs.metrics import (
    EARLY,
    UNKNOWN,
    WRONG_USAGE,
    Figure,
    dollars,
    finish_text,
    input_figure,
    outcomes,
    seconds,
    whole_seconds,
)
from playground.runs.state import ENDED
from playground.ui.panes.log.details import AttemptLine, Clock, LiveRequests, RowDetail
from playground.ui.widgets.row_table import RowFont

if TYPE_CHECKING:
    from playground.prefix_cache.miss_explanation import MissExplanation

HEADERS = {"request_id": "request_id", "cost": "Input cost"}
LIVE_CHARS = 160
"""Number of characters shown of a streaming text, counted from its end."""
NOT_REPORTED = "The server did not report it, or not as a number of tokens"
NOT_SENT = "None: the request ended before it was sent"
IMPLAUSIBLE = "As reported, and more than the input tokens: the report cannot be right, and nothing is learned from it"
NOT_YET = "Not reported yet: the request is still going on"
REFUSED = "Unknown: the request failed, and no usage was reported"
ENDED_EARLY = "Unknown: the request ended before the server reported usage"
ESTIMATED_OUTPUT = "Estimated locally from the received text: no usage was reported"


class Cell(Struct, frozen=True):
    """One cell. `tone` is a role of the theme, or empty."""

    text: str
    why: str = ""
    tone: str = ""


class Column(Struct, frozen=True):
    """One column. `width` in device-independent pixels; `figure` is right-aligned in tabular digits."""

    title: str
    width: int
    cell: Callable[[LogRow, RowDetail], Cell]
    hint: str
    figure: bool = False
    mono: bool = False
    shown: bool = True
    """Whether the default layout shows it."""

    @property
    def header(self) -> str:
        """The heading; `title` identifies the column in settings."""
        return HEADERS.get(self.title, self.title[:1].upper() + self.title[1:])

    def font(self, px: int = 12) -> RowFont:
        return RowFont(self.mono, px, self.figure)


def attempt_cell(title: str, attempt: AttemptLine) -> Cell:
    """Return the text of a column for one attempt of an expanded request; "" if the column does not apply."""
    match title:
        case "time":
            return Cell(f"{attempt.number}. +{seconds(attempt.after_s)}", _exact(attempt.started_utc))
        case "status":
            word = "running…" if attempt.running else ("failed" if attempt.status is None else str(attempt.status))
            return Cell(word, attempt.error, "failure" if attempt.error else "warm_edge")
        case "request_id":
            return Cell(attempt.request_id or UNKNOWN, attempt.request_id or "No headers came")
        case "total":
            return Cell(seconds(attempt.took_s), "How long the attempt took")
        case "answer":
            wait = "" if attempt.wait_s is None else f" · then waited {seconds(attempt.wait_s)}"
            return Cell(f"{_one_line(attempt.error)}{wait}", attempt.error, "muted")
    return Cell("")


def _exact(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).isoformat(' ', 'milliseconds').removesuffix('+00:00')} UTC"


GROUP_LABELS: dict[str, str] = {
    "comparison": "Comparison",
    "batch": "Batch",
    "repeat": "Repeat",
    "lab": "Cache lab",
    "agent": "Agent loop",
    "readiness": "Readiness",
    "keep_warm": "Keep warm",
}
SUMMED = "Sum over the {} requests of the group"
PARTLY_SUMMED = "At least: reported by {} of {} requests; the others are unknown"
NONE_SUMMED = "None of the requests reported it"


def cell_of(column: Column, row: LogRow, detail: RowDetail) -> Cell:
    """Return a column's cell of a request, or of the heading of a group."""
    if row.group is None:
        return column.cell(row, detail)
    made = _GROUP_CELLS.get(column.title)
    return Cell("", "Not added up over a group") if made is None else made(row, row.group, detail)


def _sum(tokens: int | None, reported: int, group: LogGroup, estimated: float | None = None) -> Cell:
    if tokens is not None and reported == group.requests:
        return Cell(Figure.reported(tokens).text, SUMMED.format(f"{group.requests:,}"))
    if estimated is not None:
        return Cell(Figure.estimated(estimated).text, f"Reported by {reported:,} of {group.requests:,}, else estimated")
    if tokens is None:
        return Cell(UNKNOWN, NONE_SUMMED)
    return Cell(f"≥ {tokens:,}", PARTLY_SUMMED.format(f"{reported:,}", f"{group.requests:,}"))


def _group_cost(group: LogGroup) -> Cell:
    if group.input_cost is None:
        return Cell(UNKNOWN, "Not priced: no rates are set, or no request reported usage")
    if group.priced == group.requests:
        return Cell(dollars(group.input_cost), SUMMED.format(f"{group.requests:,}"))
    return Cell(f"≥ {dollars(group.input_cost)}", PARTLY_SUMMED.format(f"{group.priced:,}", f"{group.requests:,}"))


def _group_outcome(group: LogGroup) -> Cell:
    counts = ((group.running, "running"), (group.failed, "failed"), (group.stopped, "stopped"))
    finished = group.requests - sum(count for count, _ in counts)
    parts = [f"{count:,} {word}" for count, word in (*counts, (finished, "finished")) if count]
    return Cell(" · ".join(parts), "", "failure" if group.failed else "muted")


_GROUP_CELLS: dict[str, Callable[[LogRow, LogGroup, RowDetail], Cell]] = {
    "time": lambda row, group, detail: Cell(
        f"{'▾' if group.expanded else '▸'} {_when(row, detail.clock)}",
        f"The newest; the first began {group.first_utc.astimezone():%Y-%m-%d %H:%M:%S}",
    ),
    "status": lambda _row, group, _detail: Cell(
        f"{GROUP_LABELS.get(group.kind, group.kind)} · {group.requests:,}",
        f"tag:{group.tag}",
        "accent" if group.running else "",
    ),
    "prefix": lambda _row, group, _detail: _group_outcome(group),
    "request_id": lambda _row, group, _detail: Cell(
        f"group:{group.tag}", "In the filter, this lists the requests of the group", "muted"
    ),
    "in": lambda _row, group, _detail: _sum(group.prompt_tokens, group.prompt_reported, group, group.prompt_estimated),
    "cached": lambda _row, group, _detail: replace(
        _sum(group.cached_tokens, group.cached_reported, group), tone="warm_edge" if group.cached_tokens else ""
    ),
    "out": lambda _row, group, _detail: _sum(group.completion_tokens, group.completion_reported, group),
    "total": lambda _row, group, _detail: Cell(seconds(group.span_s), "From the first start to the last end"),
    "cost": lambda _row, group, _detail: _group_cost(group),
    "endpoint": lambda row, _group, _detail: Cell(row.endpoint_name, "Of the newest request"),
    "model": lambda row, _group, _detail: Cell(row.model, "Of the newest request"),
    "tags": lambda _row, group, _detail: Cell(group.tag),
    "answer": lambda _row, _group, _detail: Cell(""),
}


def _time(row: LogRow, detail: RowDetail) -> Cell:
    fold = "" if row.attempts < 2 else "▾ " if detail.unfolded else "▸ "
    figures = f"total {seconds(row.duration_s)} · input cost {_cost(row, detail).text}"
    return Cell(
        f"{fold}{_when(row, detail.clock)}{' ★' if row.marked else ''}",
        f"{_exact(row.started_utc)}\n{row.started_utc.astimezone():%Y-%m-%d %H:%M:%S} here\n{figures}",
    )


def _when(row: LogRow, clock: Clock) -> str:
    if clock == "relative":
        return ago((datetime.now(UTC) - row.started_utc).total_seconds())
    zone = UTC if clock == "utc" else None
    moment, today = row.started_utc.astimezone(zone), datetime.now(UTC).astimezone(zone)
    if moment.date() == today.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%m-%d %H:%M}" if moment.year == today.year else f"{moment:%Y-%m-%d}"


def _status(row: LogRow, detail: RowDetail) -> Cell:
    if detail.live is not None:
        return Cell(_going_on(detail.live), _sent_to(row), "accent")
    word, tone = _outcome(row)
    # A retry follows an attempt that has ended.
    ended = [str(row.status or "failed")] if row.phase == "retrying" else []
    return Cell(outcomes(*detail.earlier, *ended, word), f"{_explained(row)}\n{_sent_to(row)}".strip(), tone)


def _going_on(live: LiveRequests) -> str:
    state = live.state
    if state.queued is not None and not state.attempts[-1:]:
        wait_s = state.queued.expected_s
        if wait_s is None:
            return f"place {state.queued.place} in the queue"
        return f"queued, in {whole_seconds(state.queued.at + wait_s - live.elapsed_s)}"
    if state.phase == "retrying" and state.retry is not None:
        left_s = state.retry.at + state.retry.wait_s - live.elapsed_s
        return f"{state.status or 'failed'}, again in {whole_seconds(left_s)}"
    earlier = ("failed" if one.status is None else str(one.status) for one in state.attempts[:-1])
    return outcomes(*earlier, "streaming…" if state.phase == "streaming" else "waiting…")


def _outcome(row: LogRow) -> tuple[str, str]:
    """Return a description of the newest attempt, and the tone that says the same in color."""
    if row.phase == "done":
        word, tone = finish_text(row.finish_reason), "variable_edge" if row.warning else ""
    elif row.phase == "failed":
        # 200, and then an error: the status alone would read as success.
        word, tone = "failed" if row.status in (None, 200) else "", "failure"
    elif row.phase in ("stopped", "interrupted"):
        word, tone = row.phase, "variable_edge"
    else:
        return {"retrying": "retrying…", "waiting": "waiting…"}.get(row.phase, "running…"), "accent"
    return f"{row.status or ''} {word}".strip(), tone


def _explained(row: LogRow) -> str:
    if row.error_title or row.warning:
        return row.error_title or row.warning
    return {"stopped": "Stopped by you", "interrupted": "The program ended before the request did"}.get(row.phase, "")


def _sent_to(row: LogRow) -> str:
    attempts = f"{row.attempts} attempts · " if row.attempts > 1 else ""
    return f"{attempts}{row.endpoint_name} · {row.model}"


def _request_id(row: LogRow, _detail: RowDetail) -> Cell:
    if row.request_id is not None:
        return Cell(row.request_id, row.request_id)
    running = row.phase in ("waiting", "sent", "streaming", "retrying") and row.status is None
    return Cell(UNKNOWN, "No headers have come yet" if running else "No headers came, or they had no X-Request-Id")


_WHY = {"done": NOT_REPORTED, "failed": REFUSED, "stopped": ENDED_EARLY, "interrupted": ENDED_EARLY}


def _why(row: LogRow) -> str:
    if row.phase in EARLY and not row.attempts:
        return NOT_SENT
    return _WHY.get(row.phase, NOT_YET)


def _figure(reported: int | None, row: LogRow, estimated: float | None = None, why: str = "", tone: str = "") -> Cell:
    figure = Figure.reported(reported, _why(row))
    if reported is None and estimated is not None:
        figure = Figure.estimated(estimated, why)
    return Cell(figure.text, figure.why, tone if reported else "")


def _prompt(row: LogRow, _detail: RowDetail) -> Cell:
    estimated = row.prompt_tokens_estimated
    figure = input_figure(row.prompt_tokens, estimated, row.phase, row.status, row.attempts, _why(row))
    return Cell(figure.text, figure.why)


def _cached(row: LogRow, _detail: RowDetail) -> Cell:
    if row.cached_tokens is not None and row.prompt_tokens is not None and row.cached_tokens > row.prompt_tokens:
        return Cell(f"{row.cached_tokens:,}", IMPLAUSIBLE, "variable_edge")
    return _figure(row.cached_tokens, row, tone="warm_edge")


def _output(row: LogRow, detail: RowDetail) -> Cell:
    if detail.live is not None and detail.live.tokens:
        return Cell(Figure.estimated(detail.live.tokens).text, "Estimated from the text received so far")
    return _figure(row.completion_tokens, row, detail.output_estimated, ESTIMATED_OUTPUT)


def _ttft(row: LogRow, _detail: RowDetail) -> Cell:
    return Cell(seconds(row.ttft_s), "" if row.ttft_s is not None else "No token came")


def _total(row: LogRow, detail: RowDetail) -> Cell:
    if detail.live is not None:
        return Cell(seconds(detail.live.elapsed_s), "Since it was sent")
    if row.phase == "interrupted":
        return Cell(seconds(row.duration_s), "Up to the last logged event; the end time is unknown")
    return Cell(seconds(row.duration_s), "" if row.duration_s is not None else "Not ended")


def _cost(row: LogRow, _detail: RowDetail) -> Cell:
    priced = row.cost
    if priced.input is None:
        unset = row.rates.fresh is None or row.rates.cached is None
        why = WRONG_USAGE if WRONG_USAGE in row.warning else _why(row)
        return Cell(UNKNOWN, "Not priced: no rates are set for this endpoint" if unset else why)
    if priced.output is None:
        unset = row.rates.output is None
        return Cell(dollars(priced.input), f"Output is not part of it: {'not priced' if unset else 'unknown'}")
    return Cell(dollars(priced.input), f"With output {dollars(priced.output)}: {dollars(priced.total)}")


SMALL_MISS = 0.25
"""Share of the prompt below which a miss is not colored."""


def cause_cell(found: MissExplanation | None) -> Cell:
    """Return what ended the prefix of a request, in the words of the inspector; amber if the prompt can avoid it."""
    if found is None:
        return Cell("no miss", "No cached token was missed", "muted")
    return Cell(_in_line(found.title), found.sentence, "variable_edge" if found.avoidable else "muted")


def _in_line(title: str) -> str:
    """Return a title in lower case, like the other texts of the column."""
    return title[:1].lower() + title[1:] if title[1:2].islower() else title


def _prefix(row: LogRow, detail: RowDetail) -> Cell:
    if detail.live is not None or row.phase not in ENDED:
        cached = row.forecast_cached
        return Cell("" if cached is None else f"forecast ≈ {cached:,.0f} cached", "Known after the end", "muted")
    if row.phase in ("stopped", "interrupted"):
        unsent = row.phase == "stopped" and not row.attempts
        why = " before it was sent" if unsent else ": no usage reported" if row.cached_tokens is None else ""
        return Cell(f"{row.phase}{why}", "", "muted")
    if row.phase == "failed":
        return Cell(_in_line(_one_line(row.error_title)), row.error_title, "muted")
    if detail.explained is None:
        return Cell("", "Being read from the log", "muted")
    if not detail.explained:
        return Cell(UNKNOWN, "No explanation is stored", "muted")
    cell = cause_cell(detail.missed)
    if detail.missed is None and row.forecast_cached is not None and row.cached_tokens is not None:
        words = against_forecast(row.cached_tokens, row.forecast_cached)
        return Cell(words, f"No cached token was missed; ≈ {row.forecast_cached:,.0f} were forecast", "muted")
    small = row.cached_tokens and row.prompt_tokens and row.cached_tokens >= row.prompt_tokens * (1 - SMALL_MISS)
    return replace(cell, tone="muted") if small else cell


STATUS_ICONS = {"done": ("check", "muted"), "failed": ("error", "failure"), "stopped": ("stop", "variable_edge")}


def status_icon(row: LogRow) -> tuple[str, str]:
    """Return the icon of a request's state, and the role of its color."""
    if row.phase in ENDED:
        # An answer with a warning has another icon, not only another color: a narrow column cuts the words.
        return ("warn", "variable_edge") if row.warning else STATUS_ICONS.get(row.phase, ("warn", "variable_edge"))
    return ("clock", "muted") if row.phase in ("waiting", "retrying") else ("play", "accent")


def _answer(row: LogRow, detail: RowDetail) -> Cell:
    if detail.live is not None:
        return Cell(_one_line(detail.live.tail[-LIVE_CHARS:]))
    if row.error_title:
        return Cell(_one_line(row.error_title), row.error_title, "muted")
    if not row.answer and row.called:
        return Cell(f"calls {_one_line(row.called)}", "", "muted")
    return Cell(_one_line(row.answer), row.answer)


def _attempts(row: LogRow, _detail: RowDetail) -> Cell:
    return Cell(str(row.attempts), "HTTP exchanges, retries included")


def _one_line(text: str) -> str:
    return " ".join(text.split())


COLUMNS = (
    Column("time", 100, _time, "When it was sent, by this computer's clock and zone"),
    Column("status", 180, _status, "HTTP status and finish reason; all attempts if the request was retried"),
    Column("request_id", 284, _request_id, "X-Request-Id of the newest attempt: what support asks for", mono=True),
    Column("in", 70, _prompt, "Prompt tokens, the cached ones included", figure=True),
    Column("cached", 124, _cached, "Prompt tokens that the cache served", figure=True),
    Column("out", 62, _output, "Completion tokens", figure=True),
    Column("TTFT", 68, _ttft, "Time to first token", figure=True),
    Column("total", 74, _total, "From sending to the end, waits and retries included", figure=True),
    Column("cost", 92, _cost, "Input, by the rates when it was sent. Output is not priced here", figure=True),
    Column("prefix", 228, _prefix, "What the cache did with the prompt, and what ended the shared prefix"),
    Column("attempts", 72, _attempts, "HTTP exchanges, retries included", figure=True, shown=False),
    Column("endpoint", 140, lambda row, _detail: Cell(row.endpoint_name), "Where it was sent", shown=False),
    Column("model", 100, lambda row, _detail: Cell(row.model), "Requested model", shown=False),
    Column("tags", 120, lambda row, _detail: Cell(", ".join(row.tags)), "Your tags: found by tag:", shown=False),
    Column("comment", 160, lambda row, _detail: Cell(_one_line(row.comment), row.comment), "Your comment", shown=False),
    Column(
        "question",
        200,
        lambda row, _: Cell(_one_line(row.question), row.question),
        "How the last user message begins",
        shown=False,
    ),
    Column("answer", 228, _answer, "How the completion begins, or what went wrong"),
)
LIVE_COLUMNS = tuple(at for at, column in enumerate(COLUMNS) if column.title in ("status", "out", "total", "answer"))
"""What changes in the row of a request that goes on."""

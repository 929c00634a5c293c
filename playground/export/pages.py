"""Requests and comparisons as Markdown or one HTML file: no scripts, nothing loaded, text escaped, keys masked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC
from html import escape
from typing import Literal

from msgspec.structs import replace

from playground import __version__, asset
from playground.client.endpoint import cost
from playground.experiments.comparison import (
    CACHE_STARTS,
    LETTERS,
    ORDERS,
    ComparedColumn,
    ComparisonReport,
    Piece,
    cost_texts,
    prefix_text,
    start_warnings,
    summary,
    text_changes,
    variant_changes,
)
from playground.export.masking import masked_run, masked_text
from playground.export.terminal import fenced, markdown_line, visible, visible_line
from playground.export.ticket import token_and_time_rows
from playground.prompt.diff import DiffRow
from playground.requestlog.records import StoredRun
from playground.runs.metrics import UNKNOWN, dollars
from playground.runs.state import RunState
from playground.runs.summary import further_choices

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def _style(name: str) -> str:
    return asset(f"pages/{name}.css").read_text("utf-8").strip()


def as_markdown(stored: StoredRun) -> str:
    """Return the request as Markdown: figures, messages, parameters, answer. Keys are masked."""
    stored = masked_run(stored)
    state = stored.state()
    rows = "\n".join(
        f"| {name} | {visible_line(value).replace('|', chr(92) + '|')} |"
        for name, value in _request_facts(stored, state)
    )
    parts = [f"# Request {visible_line(state.request_id or stored.record.run_id)}", f"| | |\n|---|---|\n{rows}"]
    parts += [f"## {visible_line(title)}\n\n{fenced(visible(text))}" for title, text in _sections(stored, state)]
    return masked_text("\n\n".join(parts) + "\n")


def as_html(stored: StoredRun) -> str:
    """Return the request as one HTML file that opens without a network. Keys are masked."""
    stored = masked_run(stored)
    state = stored.state()
    title = escape(visible_line(f"Request {state.request_id or stored.record.run_id}"))
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(visible_line(value))}</td></tr>"
        for name, value in _request_facts(stored, state)
    )
    sections = "".join(
        f"<h2>{escape(visible_line(name))}</h2><pre>{escape(visible(text))}</pre>"
        for name, text in _sections(stored, state)
    )
    return masked_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        f'<meta name="viewport" content="width=device-width"><style>{_style("request")}</style></head>'
        f"<body><h1>{title}</h1><table>{rows}</table>{sections}</body></html>\n"
    )


def _request_facts(stored: StoredRun, state: RunState) -> Iterator[tuple[str, str]]:
    record = stored.record
    name = record.endpoint_name + (" (simulated)" if record.endpoint_kind == "simulator" else "")
    yield "request_id", state.request_id or UNKNOWN
    yield "time (UTC)", record.started_utc.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    yield "endpoint", f"{name}, {record.base_url}"
    yield "model", record.model
    yield "outcome", f"{state.status or UNKNOWN} {state.finish_reason or stored.phase}"
    yield from token_and_time_rows(stored, state)
    yield "input cost", dollars(cost(state.usage, record.rates).input)


def _sections(stored: StoredRun, state: RunState) -> Iterator[tuple[str, str]]:
    """Yield (title, text) of the body's messages and other fields, and of the answer."""
    try:
        fields = json.loads(stored.record.body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):  # an imported request may have any body
        yield "Request body", stored.record.body.decode("utf-8", "replace")
    else:
        messages = fields.get("messages")
        for message in messages if isinstance(messages, list) else ():
            known = isinstance(message, dict) and isinstance(message.get("content"), str)
            role = str(message.get("role", "message")) if isinstance(message, dict) else "message"
            extra = {k: v for k, v in message.items() if k not in ("role", "content")} if known else message
            yield role, (message["content"] if known else "") + (f"\n{_pretty(extra)}" if extra else "")
        for name in ("tools",) if "tools" in fields else ():
            yield name, _pretty(fields[name])
        yield "Parameters", _pretty({k: v for k, v in fields.items() if k not in ("messages", "tools")})
    yield from _choice("Answer", "", state)
    for index, further in further_choices(state).items():
        yield from _choice(f"Choice {index} ({further.finish_reason or UNKNOWN})", f" of choice {index}", further)
    if state.error is not None:
        yield "Error", f"{state.error.title}\n{state.error.detail}\n{state.error.body}".strip()


def _choice(heading: str, whose: str, state: RunState) -> Iterator[tuple[str, str]]:
    if text := state.text or state.refusal:
        yield heading, text
    for call in state.calls:
        yield f"Tool call {call.name}{whose}", call.arguments


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


Form = Literal["html", "markdown"]

_SIGNS = {"head": "", "same": "  ", "gone": "- ", "come": "+ ", "skipped": "  … "}


def export_comparison(report: ComparisonReport, form: Form) -> str:
    """Return a comparison in a form. Compares long answers again if a key is masked in them: call it in a worker."""
    report = _masked(report)
    return masked_text(_html(report) if form == "html" else _markdown(report))


def _masked(report: ComparisonReport) -> ComparisonReport:
    """Return the report with keys masked in the answers: a difference could divide a key into two pieces."""
    columns: list[ComparedColumn] = []
    for column in report.columns:
        runs = tuple(replace(run, text=masked_text(run.text), error=masked_text(run.error)) for run in column.runs)
        masked = replace(column, runs=runs)
        first = columns[0] if columns else masked
        if column.changes is not None and masked.last is not None and first.last is not None:
            masked = replace(masked, changes=text_changes(first.last.text, masked.last.text))
        columns.append(masked)
    return replace(report, columns=tuple(columns))


def table_text(report: ComparisonReport) -> str:
    """Return the summary as tab-separated lines, for a spreadsheet."""
    head = ["", *(f"{letter} · {visible_line(column.name)}" for letter, column in _lettered(report))]
    rows = [head, *([label, *cells] for label, cells in summary(report))]
    return masked_text("\n".join("\t".join(row) for row in rows) + "\n")


def _lettered(report: ComparisonReport) -> list[tuple[str, ComparedColumn]]:
    return list(zip(LETTERS, report.columns, strict=False))


def _facts(report: ComparisonReport) -> Iterator[tuple[str, str]]:
    """Return the lines above the columns."""
    started = report.started
    yield "Comparison", report.id or UNKNOWN
    yield "Sent (UTC)", f"{started.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if started else UNKNOWN
    yield "Order", ORDERS[report.order]
    yield "Cache", CACHE_STARTS[report.start]
    for name, value in report.columns[0].variant.document.variables.items():
        yield f"{{{{{name}}}}}", value


def _notes(report: ComparisonReport) -> list[str]:
    prefixes = [column.prefix for column in report.columns if column.prefix is not None]
    lines = [
        f"{letter}: {prefix_text(index, column.prefix)}"
        for index, (letter, column) in enumerate(_lettered(report))
        if column.prefix is not None
    ]
    return [*lines, *(cost_texts(prefixes) if prefixes else ()), *start_warnings(report)]


def _changes_of(report: ComparisonReport, column: ComparedColumn) -> tuple[DiffRow, ...]:
    return variant_changes(column.variant, report.columns[0].variant)


def _markdown(report: ComparisonReport) -> str:
    lettered = _lettered(report)
    parts = ["# Comparison of prompts", "\n".join(f"- {_cell(name)}: {_cell(value)}" for name, value in _facts(report))]
    parts.append("\n".join(f"- {_cell(note)}" for note in _notes(report)))
    head = ["", *(f"{letter} · {column.name}" for letter, column in lettered)]
    table = [head, ["---"] * len(head), *([label, *cells] for label, cells in summary(report))]
    parts.append("\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table))
    for letter, column in lettered:
        parts.append(f"## {letter} · {_cell(column.name)}")
        endpoint = column.variant.endpoint
        parts.append(f"Sent to {_cell(endpoint.name)}, model {_cell(endpoint.model)}.")
        rows = _changes_of(report, column)
        if rows:
            parts.append(fenced("\n".join(_SIGNS[row.sign] + row.text for row in rows), "diff"))
        for number, run in enumerate(column.runs, 1):
            outcome = run.error or f"{run.status or UNKNOWN} {run.finish_reason or run.phase}"
            parts.append(f"Run {number}: request_id `{visible_line(run.request_id or UNKNOWN)}`, {_cell(outcome)}")
            parts.append(fenced(visible(run.text)))
    parts.append(f"Written by Electron Playground {__version__}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(text: str) -> str:
    return markdown_line(masked_text(visible_line(text)))


def _html(report: ComparisonReport) -> str:
    lettered = _lettered(report)
    facts = "".join(f"<tr><th>{_e(name)}</th><td>{_e(value)}</td></tr>" for name, value in _facts(report))
    notes = "".join(f"<li>{_e(note)}</li>" for note in _notes(report))
    heads = "".join(f"<th>{letter} · {_e(column.name)}</th>" for letter, column in lettered)
    rows = "".join(
        f"<tr><th>{_e(label)}</th>{''.join(f'<td>{_e(cell)}</td>' for cell in cells)}</tr>"
        for label, cells in summary(report)
    )
    sections = "".join(_section(report, letter, column) for letter, column in lettered)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Comparison of prompts</title><style>{_style('comparison')}</style></head><body>"
        f"<h1>Comparison of prompts</h1><table>{facts}</table><ul>{notes}</ul>"
        f'<h2>Summary</h2><table><tr><th></th>{heads}</tr>{rows}</table><div class="columns">{sections}</div>'
        f'<p class="muted">Written by Electron Playground {_e(__version__)}.</p></body></html>\n'
    )


def _section(report: ComparisonReport, letter: str, column: ComparedColumn) -> str:
    endpoint = column.variant.endpoint
    rows = "\n".join(_row(row) for row in _changes_of(report, column))
    parts = [
        f"<section><h2>{letter} · {_e(column.name)}</h2>",
        f'<p class="muted">{_e(endpoint.name)} · {_e(endpoint.model)}</p>',
        f"<h3>Differs from A</h3><pre>{rows}</pre>" if rows else "",
    ]
    for number, run in enumerate(column.runs, 1):
        parts.append(f"<h3>Run {number}</h3><p><code>{_e(run.request_id or UNKNOWN)}</code></p>")
        newest = number == len(column.runs) and column.changes is not None
        parts.append(f"<pre>{_pieces(column.changes or ()) if newest else _text(run.text)}</pre>")
        if run.error:
            parts.append(f"<p><strong>{_e(run.error)}</strong></p>")
    return "".join([*parts, "</section>"])


def _row(row: DiffRow) -> str:
    text = _text(_SIGNS[row.sign] + row.text)
    return {"gone": f"<del>{text}</del>", "come": f"<ins>{text}</ins>", "head": f"<strong>{text}</strong>"}.get(
        row.sign, text
    )


def _pieces(pieces: Sequence[Piece]) -> str:
    names = {"same": "", "gone": "del", "come": "ins"}
    return "".join(
        f"<{names[piece.sign]}>{_text(piece.text)}</{names[piece.sign]}>" if names[piece.sign] else _text(piece.text)
        for piece in pieces
    )


def _text(text: str) -> str:
    return escape(masked_text(visible(text)))


def _e(text: str) -> str:
    return escape(masked_text(visible_line(text)))

"""Comparisons as Markdown and as one self-contained HTML page without scripts or remote resources. Keys are masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from html import escape
from typing import Literal

from playground import __version__
from playground.experiments.comparison import LETTERS, Piece, text_changes
from playground.experiments.comparison_report import (
    CACHE_STARTS,
    ORDERS,
    ComparedColumn,
    ComparisonReport,
    cost_texts,
    prefix_text,
    start_warnings,
    summary,
    variant_changes,
)
from playground.export.masking import masked_text
from playground.export.terminal import visible, visible_line
from playground.prompt.diff import DiffRow
from playground.runs.metrics import UNKNOWN

Form = Literal["html", "markdown"]

_SIGNS = {"head": "", "same": "  ", "gone": "- ", "come": "+ ", "skipped": "  … "}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.5 Inter, "Segoe UI", "Noto Sans", sans-serif; margin: 24px; }
table { border-collapse: collapse; } th, td { text-align: left; padding: 4px 14px 4px 0; vertical-align: top; }
tr { border-top: 1px solid #8884; } pre { font: 12.5px/1.5 "JetBrains Mono", Consolas, monospace; white-space: pre-wrap;
overflow-wrap: anywhere; margin: 4px 0 12px; } code { font-family: "JetBrains Mono", Consolas, monospace; }
.columns { display: flex; gap: 24px; align-items: flex-start; } .columns > section { flex: 1 1 0; min-width: 0; }
ins { text-decoration: underline; background: #2459c922; } del { opacity: .65; } .muted { opacity: .7; }
"""


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
            parts.append(_fenced("\n".join(_SIGNS[row.sign] + row.text for row in rows), "diff"))
        for number, run in enumerate(column.runs, 1):
            outcome = run.error or f"{run.status or UNKNOWN} {run.finish_reason or run.phase}"
            parts.append(f"Run {number}: request_id `{visible_line(run.request_id or UNKNOWN)}`, {_cell(outcome)}")
            parts.append(_fenced(visible(run.text)))
    parts.append(f"Written by Electron Playground {__version__}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(text: str) -> str:
    """Return a text as one line of Markdown without markup. Masked first: an escape would divide a key."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in masked_text(visible_line(text)))


def _fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in _runs_of(text, "`")), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _runs_of(text: str, char: str) -> Iterator[str]:
    run = ""
    for one in text:
        if one == char:
            run += one
        elif run:
            yield run
            run = ""
    if run:
        yield run


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
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>Comparison of prompts</title><style>{_STYLE}</style></head><body>"
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

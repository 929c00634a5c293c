"""All versions of a prompt as one file, and the figures of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from playground.client.endpoint import cost
from playground.client.events import Usage
from playground.export.masking import masked_text, masked_value
from playground.export.terminal import visible, visible_line
from playground.prompt.diff import changes
from playground.prompt.document import Document, Json
from playground.prompt.files import dump, load
from playground.requestlog.records import LogRow
from playground.runs.metrics import counted, dollars, percent
from playground.versions.history import History, Version, version_id


class VersionFigures(Struct, frozen=True):
    """`cached` is the share of input tokens reported as cached, 0 to 1, without the version's first request.

    `per_thousand` is the input cost of 1,000 such requests in dollars. None: not reported, or no rate is set.
    """

    requests: int = 0
    cached: float | None = None
    per_thousand: float | None = None


def version_figures(version: Version, rows: Mapping[str, LogRow]) -> VersionFigures:
    """Return the figures of a version; `rows` holds the logged requests by run_id."""
    found = [rows[run_id] for run_id in version.run_ids if run_id in rows]
    prompt = cached = 0
    costs: list[float] = []
    for row in found[1:]:
        if row.prompt_tokens is None or row.cached_tokens is None or row.cached_tokens > row.prompt_tokens:
            continue
        prompt, cached = prompt + row.prompt_tokens, cached + row.cached_tokens
        price = cost(Usage(row.prompt_tokens, row.completion_tokens, None, row.cached_tokens), row.rates).input
        if price is not None:
            costs.append(price)
    per_thousand = sum(costs) / len(costs) * 1_000 if costs else None
    return VersionFigures(len(found), cached / prompt if prompt else None, per_thousand)


VersionForm = Literal["jsonl", "markdown"]
MOST_LINES = 400
"""Lines of one difference in Markdown."""
_SIGNS = {"head": "@@ ", "same": "  ", "gone": "- ", "come": "+ ", "skipped": "  … "}


def export_versions(
    history: History, figures: Mapping[str, VersionFigures], form: VersionForm, name: str = "Prompt"
) -> bytes:
    """Return a history as a file, oldest version first. Keys are masked. Takes long for many versions."""
    documents = _documents(history)
    lines = _json_lines(documents, figures) if form == "jsonl" else _markdown(documents, figures, name)
    return "".join(lines).encode("utf-8", "backslashreplace")


def _documents(history: History) -> Iterator[tuple[Version, Document | None]]:
    """Yield every version with its content; None if it is damaged."""
    texts = history.texts()
    id_, text = next(texts, ("", ""))
    for version in history.versions():
        document = None
        if id_ == version.id:
            found = load(text)
            document = found if version_id(found) == version.id else None
            id_, text = next(texts, ("", ""))
        yield version, document


def _json_lines(
    documents: Iterator[tuple[Version, Document | None]], figures: Mapping[str, VersionFigures]
) -> Iterator[str]:
    for version, document in documents:
        known = figures.get(version.id, VersionFigures())
        prompt: Json = None if document is None else masked_value(json.loads(dump(document)))
        line: dict[str, Json] = {
            "version": version.number,
            "id": version.id,
            "created_utc": _utc(version.at),
            "reason": version.reason,
            "summary": masked_text(version.summary),
            "label": masked_text(version.label),
            "note": masked_text(version.note),
            "run_ids": list(version.run_ids),
            "requests": known.requests,
            "cached_share": known.cached,
            "input_cost_per_1000": known.per_thousand,
            "prompt": prompt,
        }
        yield json.dumps(line, ensure_ascii=True) + "\n"


def _markdown(
    documents: Iterator[tuple[Version, Document | None]], figures: Mapping[str, VersionFigures], name: str
) -> Iterator[str]:
    yield f"# Versions of {_line(name)}\n"
    before: Document | None = None
    for version, document in documents:
        known = figures.get(version.id, VersionFigures())
        yield f"\n## Version {version.number}: {_line(version.title)}\n\n"
        yield f"{_utc(version.at)}, {version.reason}, {counted(known.requests, 'request')}, "
        yield f"{percent(known.cached)} cached, {dollars(known.per_thousand)} per 1,000 requests (input). "
        yield f"Id `{version.id}`.\n"
        if version.note:
            yield f"\n{_fenced(version.note)}\n"
        if document is None:
            yield "\nThis version is damaged.\n"
            continue
        yield f"\n{_fenced(_difference(before, document), 'diff' if before is not None else '')}\n"
        before = document


def _difference(before: Document | None, document: Document) -> str:
    """Return the lines that changed; of the first version, its messages."""
    if before is None:
        lines = [f"{message.role}: {message.content or ''}" for message in document.messages]
    else:
        lines = [f"{_SIGNS[row.sign]}{row.text}" for row in changes(before, document)] or ["No text changed"]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES:,} more lines"]
    return "\n".join(lines)


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _line(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in masked_text(visible_line(text)))


def _fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any in the text."""
    shown = masked_text(visible(text))
    fence = "```"
    while fence in shown:
        fence += "`"
    return f"{fence}{language}\n{shown}\n{fence}"

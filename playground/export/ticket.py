"""Support tickets as Markdown, with the facts that the vendor requests and without the key."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Sequence
from datetime import UTC, timedelta

import msgspec
from msgspec import Struct

from playground import __version__
from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    ContentDelta,
    HeadersReceived,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    TokenProbabilities,
    ToolCallDelta,
)
from playground.client.redact import redact
from playground.client.response_decoder import HEADERS
from playground.export.masking import masked_run
from playground.export.redaction import Contents, Outline
from playground.export.snippets import as_curl
from playground.export.terminal import visible_line
from playground.prompt.document import Json
from playground.requestlog.records import StoredRun
from playground.runs.metrics import Figure, input_figure, not_plausible, output_figure, seconds, unusable_counts
from playground.runs.record import RequestRecord
from playground.runs.state import Attempt, RunState
from playground.runs.summary import wire_choices, wire_tool_calls

MAX_ERROR_CHARS = 4_000


class TicketContents(Struct, frozen=True):
    """Options of a ticket. `workspace`: the vendor's workspace id, left out if empty."""

    contents: Contents = "hashed"
    workspace: str = ""


DEFAULT = TicketContents()


def ticket(stored: StoredRun, choice: TicketContents = DEFAULT) -> str:
    """Return one request as Markdown."""
    return tickets([stored], choice)


def tickets(runs: Sequence[StoredRun], choice: TicketContents = DEFAULT) -> str:
    """Return one or more requests as Markdown, with a list of the removed contents at the end."""
    runs = [masked_run(stored) for stored in runs]
    outline = Outline(choice.contents)
    parts = [part for stored in runs for part in _request(stored, choice, outline)]
    parts += [
        "## Taken out\n\n" + "\n".join(f"- {line}" for line in outline.taken_out()),
        f"Written by Electron Playground {__version__}, Python {platform.python_version()}, Qt {_qt_version()}, "
        f"on {platform.system()} {platform.release()} {platform.machine()}.",
    ]
    return redact("\n\n".join(part for part in parts if part) + "\n", None)


def _request(stored: StoredRun, choice: TicketContents, outline: Outline) -> list[str]:
    state, record = stored.state(), stored.record
    # Before the errors, which are searched for the request's texts.
    body = outlined_body(record, outline, indent=1)
    answer = _answer(state, outline)
    return [
        f"# Request {visible_line(state.request_id or '') or '(no request_id came)'} to {_endpoint(record)}",
        _facts(stored, state, choice),
        "## Attempts\n\n" + ("\n".join(_attempt(stored, attempt) for attempt in state.attempts) or "None was sent."),
        _errors(state, outline),
        f"## Request body\n\n{outline.note}\n\n{fenced(body, 'json')}",
        answer,
        _reproduce(record, choice.contents),
    ]


def _endpoint(record: RequestRecord) -> str:
    return "Electron" if record.endpoint_kind == "electron" else visible_line(record.endpoint_name)


def outlined_body(record: RequestRecord, outline: Outline, indent: int | None = None) -> str:
    """Return the request body with its contents included, hashed or removed as chosen."""
    return json.dumps(outline.of(json.loads(record.body)), ensure_ascii=False, indent=indent)


def _facts(stored: StoredRun, state: RunState, choice: TicketContents) -> str:
    record = stored.record
    rows: Sequence[tuple[str, str]] = (
        ("request_id", ", ".join(attempt.request_id or "—" for attempt in state.attempts) or "—"),
        *_other_ids(state),
        ("body id", state.body_id or "—"),
        ("run id", record.run_id),
        ("time (UTC)", record.started_utc.astimezone(UTC).isoformat(timespec="milliseconds")),
        ("method and URL", f"POST {record.base_url}/chat/completions"),
        ("model", record.model),
        ("outcome", f"{state.status or '—'} {state.finish_reason or state.phase}"),
        *token_and_time_rows(stored, state),
        *((("usage", not_plausible(counts)),) if (counts := unusable_counts(state)) else ()),
        *((("workspace", choice.workspace),) if choice.workspace else ()),
    )
    lines = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    simulated = (
        "\n\n**Answered by the built-in simulator, not by Electron.**" if record.endpoint_kind == "simulator" else ""
    )
    return f"| | |\n|---|---|\n{lines}\n\n≈ is an estimate of this program, — was not reported.{simulated}"


def _other_ids(state: RunState) -> tuple[tuple[str, str], ...]:
    """Return a row with all ids by header if another header than X-Request-Id has one."""
    found = [one for attempt in state.attempts for one in attempt.request_ids]
    if all(one.source == HEADERS[0] for one in found):
        return ()
    return (("ids by header", ", ".join(f"{one.source}: {one.value}" for one in found)),)


def _cell(value: str) -> str:
    return visible_line(" ".join(value.splitlines())).replace("|", "\\|")


def token_and_time_rows(stored: StoredRun, state: RunState) -> tuple[tuple[str, str], ...]:
    """Return the rows of a request's tokens (reported, estimated or unknown) and times: name and text."""
    usage, forecast = state.usage, stored.record.forecast
    reported, estimated = usage.prompt_tokens if usage else None, forecast.prompt_tokens if forecast else None
    tokens = input_figure(reported, estimated, state.phase, state.status, len(state.attempts), "")
    return (
        ("prompt tokens", tokens.text),
        ("cached tokens", Figure.reported(usage.cached_tokens if usage else None).text),
        ("completion tokens", output_figure(state, "").text),
        ("time to first token", seconds(state.ttft_s)),
        ("total", seconds(state.ended_at)),
    )


def _attempt(stored: StoredRun, attempt: Attempt) -> str:
    at = stored.record.started_utc.astimezone(UTC) + timedelta(seconds=attempt.started_at)
    took = "" if attempt.ended_at is None else f", ended after {seconds(attempt.ended_at - attempt.started_at)}"
    headers = (
        "" if attempt.headers_at is None else f", headers after {seconds(attempt.headers_at - attempt.started_at)}"
    )
    error = f": {attempt.error.title}" if attempt.error is not None else ""
    when = at.isoformat(timespec="milliseconds")
    what = f"status {attempt.status or '—'} · `{visible_line(attempt.request_id or '—')}`"
    return f"{attempt.number}. {when} · {what}{headers}{took}{error}"


def _errors(state: RunState, outline: Outline) -> str:
    """Return the errors of all failed attempts, including those before a successful one."""
    failed = [(f"Attempt {attempt.number}: ", attempt.error) for attempt in state.attempts if attempt.error]
    if not failed and state.error is not None:
        failed = [("", state.error)]
    parts = []
    for which, error in failed:
        detail, body = outline.error_texts(error)
        parts.append(f"{which}{error.title}. {detail}".rstrip())
        if body:
            parts.append(fenced(body[:MAX_ERROR_CHARS]))
    return "\n\n".join(("## Error" if len(failed) == 1 else "## Errors", *parts)) if parts else ""


def _answer(state: RunState, outline: Outline) -> str:
    calls, further = wire_tool_calls(state), wire_choices(state)
    if not state.text and not calls and not further:
        return ""
    fields: dict[str, Json] = {"content": state.text, **({"tool_calls": calls} if calls else {})}
    if further:
        fields["further_choices"] = further
    answer = outline.of(fields)
    return f"## Completion\n\n{fenced(json.dumps(answer, ensure_ascii=False, indent=1), 'json')}"


def _reproduce(record: RequestRecord, contents: Contents) -> str:
    whole = contents == "included"
    command = as_curl(record) if whole else as_curl(record, "request.json")
    where = "" if whole else " The body is left out: the sender can put it into request.json."
    return f"## To see it again\n\nThe key is read from the environment.{where}\n\n{fenced(command, 'sh')}"


def fenced(text: str, language: str = "") -> str:
    """Return a code block with a fence longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _qt_version() -> str:
    """Return the version of the installed Qt for Python, which equals Qt's, without importing it."""
    # Imported here: only a ticket needs it.
    from importlib.metadata import PackageNotFoundError, version

    for package in ("PySide6-Essentials", "PySide6"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "—"


def bundle(runs: Sequence[StoredRun], choice: TicketContents = DEFAULT) -> bytes:
    """Return the zip: ticket.md, and one folder per request with request.json and events.jsonl."""
    runs = [masked_run(stored) for stored in runs]
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ticket.md", tickets(runs, choice))
        for number, stored in enumerate(runs, 1):
            folder = f"{number:02}-{_name(stored)}"
            archive.writestr(
                f"{folder}/request.json", redact(outlined_body(stored.record, Outline(choice.contents)), None)
            )
            archive.writestr(f"{folder}/events.jsonl", redact(_events(stored, choice), None))
    return held.getvalue()


def _name(stored: StoredRun) -> str:
    """Return a safe folder name from the request_id, which is untrusted."""
    found = stored.state().request_id or stored.record.run_id
    return "".join(
        character for character in found if character.isascii() and (character.isalnum() or character == "-")
    )[:64]


def _events(stored: StoredRun, choice: TicketContents) -> str:
    """Return one line per event, with its time. Raw events and token texts are contents, and are removed with them."""
    outline = Outline(choice.contents)
    outline.of(json.loads(stored.record.body))
    outline.of([stored.state().text, stored.state().reasoning])
    kept = [event for event in stored.events if choice.contents == "included" or not _is_content(event)]
    included = choice.contents == "included"
    return "\n".join(json.dumps(_event(event, outline, included=included)) for event in kept) + "\n"


_PIECES = (ContentDelta, ReasoningDelta, RefusalDelta, ToolCallDelta)


def _event(event: AnyEvent, outline: Outline, *, included: bool) -> Json:
    """Return an event as JSON. A piece of a stream has no length if contents are not included: lengths of tokens in
    their order may give the completion away."""
    fields = msgspec.to_builtins(event)
    if not included and isinstance(event, _PIECES):
        fields = {name: value for name, value in fields.items() if name not in ("text", "arguments")}
    error = fields.pop("trouble", None)
    if isinstance(event, HeadersReceived):
        fields["headers"] = [(name, outline.unquoted(value)) for name, value in event.headers]
    shown = outline.of(fields)
    if error is not None and isinstance(event, AttemptFailed) and isinstance(shown, dict):
        shown["trouble"] = outline.api_error(event.error)
    return shown


def _is_content(event: AnyEvent) -> bool:
    """Return whether an event has only contents. For a piece of text, its time remains."""
    return isinstance(event, RawEvent | TokenProbabilities)

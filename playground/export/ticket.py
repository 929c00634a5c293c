"""Support tickets as Markdown, with the facts that the vendor requests; contents included, hashed or left out."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import secrets
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from typing import Literal, cast, get_args

import msgspec
from msgspec import Struct

from playground import __version__
from playground.client.events import (
    AnyEvent,
    ApiError,
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
from playground.export.snippets import as_curl, is_text
from playground.export.terminal import fenced, visible_line
from playground.prompt.document import Json
from playground.prompt.limits import NAMES
from playground.requestlog.records import StoredRun
from playground.runs.metrics import (
    Figure,
    counted,
    input_figure,
    not_plausible,
    output_figure,
    seconds,
    unusable_counts,
)
from playground.runs.record import RequestRecord, body_value
from playground.runs.state import Attempt, RunState
from playground.runs.summary import wire_choices, wire_tool_calls

Contents = Literal["included", "hashed", "left out"]
CHOICES: tuple[Contents, ...] = get_args(Contents)
"""included: unchanged · hashed: a keyed hash and a length replace each text · left out: only a length does."""

_KEPT = frozenset(
    (
        *("role", "type", "model", "tool_choice", "format", "tool_call_id", "id", "object", "reasoning_effort"),
        *("event", "reason", "finish_reason", "request_id", "content_type", "headers", "kind", "error_type"),
    )
)
"""Fields with protocol values. Every other text is content of the user or the model."""
_SHAPES = frozenset(
    (
        *("", "messages", "further_choices", "message", "content", "image_url", "input_audio", "file", "tool_calls"),
        *("function", "tools", "tool_choice", "response_format", "json_schema", "stream_options", "usage"),
        *("parameters", "schema", "items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf", "not"),
        *("if", "then", "else", "contains", "propertyNames"),
    )
)
"""Fields whose objects have member names of the protocol or of JSON Schema."""
_NAMED = frozenset(("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"))
"""Objects of schemas whose member names are the user's."""
_VALUES = frozenset(("default", "enum", "const", "examples", "example"))
"""Fields of a schema whose numbers are the user's too."""
_REQUEST = NAMES | frozenset(
    (
        *("model", "messages", "tools", "functions", "function_call", "parallel_tool_calls", "stream", "n", "top_k"),
        *("stream_options", "min_p", "repetition_penalty", "max_completion_tokens", "reasoning_effort", "reasoning"),
        *("metadata", "modalities", "audio", "prediction", "service_tier", "prompt_cache_key", "safety_identifier"),
        *("system", "thinking", "stop_sequences", "input", "instructions", "prompt", "text", "store"),
    )
)
"""Parameters of requests. Other names are the user's."""
_SERVERS_WORDS = frozenset(("http", "stream_error"))
"""Kinds of errors whose body is the server's error. The body of other kinds may contain a part of the completion."""
LEAST_QUOTED = 6
"""Minimum length of a request text that is searched in an error; shorter ones are common words."""


LEAST_QUOTATION = 12
"""Minimum length of a part of a request or completion that is replaced in an error."""
_WINDOW = 6
"""Length of the pieces of the contents that are searched: each quotation has a whole one."""


class Outline:
    """Includes, hashes or removes texts, and counts the replaced ones.

    Hashes have a random key that is not stored: equal texts of one outline have equal hashes, and no text can be
    guessed from its hash.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._key = secrets.token_bytes(32)
        self._texts = self._characters = self._errors = 0
        self._seen: set[str] = set()

    @property
    def note(self) -> str:
        """Return the explanation of replaced contents for the reader."""
        return {
            "included": "Contents are included.",
            "hashed": "Contents are left out: `hash` is equal for equal texts of this file, `chars` is the length.",
            "left out": "Contents are left out: `chars` is the length of each text.",
        }[self._contents]

    def of(self, value: Json, field: str = "") -> Json:
        """Return a value of the same shape, with its texts replaced as chosen."""
        if self._contents == "included":
            return value
        if isinstance(value, dict):
            return self._object(value, field)
        if isinstance(value, list):
            return [self.of(item, "name" if field == "required" else field) for item in value]
        if isinstance(value, str):
            return value if field in _KEPT else self._text(value)
        return self._text(json.dumps(value)) if field in _VALUES else value

    def request(self, body: Json) -> Json:
        """Return a request body like `of`, with unknown names of parameters replaced, too."""
        if self._contents == "included" or not isinstance(body, dict):
            return self.of(body)
        return {
            name if name in _REQUEST else self._name(name): self.of(item, name if name in _REQUEST else "default")
            for name, item in body.items()
        }

    def _object(self, value: dict[str, Json], field: str) -> Json:
        if field in _NAMED:
            return {self._name(name): self.of(item, "schema") for name, item in value.items()}
        if field in _SHAPES:
            return {name: self.of(item, name) for name, item in value.items()}
        return {self._name(name): self.of(item, "default") for name, item in value.items()}

    def _name(self, name: str) -> str:
        self._count(name)
        return f"hash:{self._digest(name)}" if self._contents == "hashed" else f"name {self._texts}"

    def _text(self, text: str) -> Json:
        self._count(text)
        fields: dict[str, Json] = {"chars": len(text)}
        return {"hash": self._digest(text), **fields} if self._contents == "hashed" else fields

    def _digest(self, text: str) -> str:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).hexdigest()

    def _count(self, text: str) -> None:
        self._texts += 1
        self._characters += len(text)
        self._seen.update(line.strip() for line in (text, *text.splitlines()))

    def error_texts(self, error: ApiError) -> tuple[str, str]:
        """Return an error's detail and body. The server's message stays, since support needs it; texts that it repeats
        from calls of `of` are replaced. Of a broken answer only the length stays.
        """
        detail, body = error.detail, error.body
        if self._contents == "included" or not (detail or body):
            return detail, body
        if error.kind in _SERVERS_WORDS:
            self._errors += 1
            return self.unquoted(detail), self.unquoted(body)
        if body:
            self._count(body)
            body = f"({len(body):,} characters of the answer)"
        return self.unquoted(detail), body

    def api_error(self, error: ApiError) -> Json:
        """Return the error with all fields redacted like its texts."""
        if self._contents == "included":
            return cast("Json", msgspec.to_builtins(error))
        detail, body = self.error_texts(error)
        # The envelope's details are in the body too.
        shown = msgspec.structs.replace(error, title=self.unquoted(error.title), detail=detail, body=body, details=())
        return cast("Json", msgspec.to_builtins(shown))

    def unquoted(self, text: str) -> str:
        """Return a server's text without the parts that it repeats from replaced texts."""
        if self._contents == "included":
            return text
        for quoted in sorted(self._seen, key=len, reverse=True):
            if len(quoted) < LEAST_QUOTED:
                break
            for form in (quoted, *_escaped(quoted)):
                text = text.replace(form, _left_out(len(quoted)))
        return self._without_quotations(text)

    def _without_quotations(self, text: str) -> str:
        """Replace each part of LEAST_QUOTATION or more characters that also occurs in a replaced text."""
        contents = "\0".join(form for seen in self._seen for form in (seen, *_escaped(seen)) if len(form) >= _WINDOW)
        windows = {contents[at : at + _WINDOW]: at for at in range(0, len(contents) - _WINDOW + 1, _WINDOW)}
        parts, at, done = [], 0, 0
        while at + _WINDOW <= len(text):
            place = windows.get(text[at : at + _WINDOW])
            if place is None:
                at += 1
                continue
            start, end, behind = at, at + _WINDOW, place + _WINDOW
            while start > done and place and text[start - 1] == contents[place - 1] != "\0":
                start, place = start - 1, place - 1
            while end < len(text) and behind < len(contents) and text[end] == contents[behind] != "\0":
                end, behind = end + 1, behind + 1
            if end - start >= LEAST_QUOTATION:
                parts += [text[done:start], _left_out(end - start)]
                done = end
            at = max(end, at + 1)
        return "".join((*parts, text[done:]))

    def taken_out(self) -> list[str]:
        """Return one line per kind of removed content, and per kind of content that the reader should know about."""
        lines = ["The API key: it is never kept; anything that looks like one is masked."]
        if self._contents != "included":
            lines.append(
                f"{counted(self._texts, 'text')} of {self._characters:,} characters: messages, tool definitions, "
                "arguments, the completion."
            )
        if self._errors:
            lines.append(
                "The parts of the server's error that repeat the request word for word; the rest is unchanged."
            )
        return lines


def _left_out(characters: int) -> str:
    return f"[{characters:,} characters of the request]"


def _escaped(text: str) -> Iterator[str]:
    """Yield the escaped forms of a text in JSON errors and Python errors, also in JSON that is quoted in JSON."""
    once = json.dumps(text)[1:-1]
    yield once
    yield json.dumps(once)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]


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
    return json.dumps(outline.request(body_value(record.body)), ensure_ascii=False, indent=indent)


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
    where, file = "", ""
    if contents != "included":
        where, file = " The body is left out: the sender can put it into request.json.", "request.json"
    elif not is_text(record):
        where, file = " The body is not UTF-8: only a JSONL export of the log has its bytes, for body.bin.", "body.bin"
    command = as_curl(record, file)
    return f"## To see it again\n\nThe key is read from the environment.{where}\n\n{fenced(command, 'sh')}"


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

        def write(name: str, text: str) -> None:
            # Half of a surrogate pair has no UTF-8; in JSON, its escape is the same text.
            archive.writestr(name, text.encode("utf-8", "backslashreplace"))

        write("ticket.md", tickets(runs, choice))
        for number, stored in enumerate(runs, 1):
            folder = f"{number:02}-{_name(stored)}"
            write(f"{folder}/request.json", redact(outlined_body(stored.record, Outline(choice.contents)), None))
            write(f"{folder}/events.jsonl", _events(stored, choice))
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
    outline.request(body_value(stored.record.body))
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

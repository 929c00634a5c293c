"""Lossless export of a logged request as one line of JSON, and its import."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import replace
from typing import Any

import msgspec

from playground.client.events import AnyEvent
from playground.export.import_validation import judged, read_json
from playground.export.masking import masked_run, masked_text
from playground.prompt.field_errors import FieldError, InputError
from playground.requestlog.records import EndedRun, StoredRun
from playground.runs.record import RequestRecord
from playground.runs.state import RunState
from playground.runs.summary import wire_tool_calls, wire_usage

FORMAT_KEY = "electron_playground_request"
FORMAT_VERSION = 1


SUMMARY = "summary"
"""Field for other programs: outcome, usage and tool calls in the API's shape. Ignored by the import."""


class _Line(msgspec.Struct, rename={"version": FORMAT_KEY}, forbid_unknown_fields=True):
    """The line's fields. `body` is the request body's text; `body_base64` replaces it if it is not UTF-8."""

    version: int
    record: RequestRecord
    events: list[AnyEvent]
    body: str | None = None
    body_base64: str | None = None
    marked: bool = False
    tags: list[str] = []
    comment: str = ""
    dropped_raw: bool = False
    explanation: Any = None


def to_line(stored: StoredRun) -> str:
    """Return one request without a line end. ASCII, so that lone surrogates survive other tools."""
    stored = masked_run(stored)
    record = msgspec.to_builtins(replace(stored.record, body=b""))
    del record["body"]
    fields: dict[str, Any] = {FORMAT_KEY: FORMAT_VERSION, "record": record, **_body_fields(stored.record.body)}
    fields["events"] = msgspec.to_builtins(stored.events)
    for name in ("marked", "tags", "comment", "dropped_raw", "explanation"):
        if value := getattr(stored, name):
            fields[name] = value
    fields[SUMMARY] = _summary(stored.state())
    return masked_text(json.dumps(fields, ensure_ascii=True, separators=(",", ":")))


def _summary(state: RunState) -> dict[str, Any]:
    return {
        "request_id": state.request_id,
        "status": state.status,
        "phase": state.phase,
        "finish_reason": state.finish_reason,
        "usage": wire_usage(state.usage),
        "tool_calls": wire_tool_calls(state),
    }


def _body_fields(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode("ascii")}


def from_line(line: bytes | str) -> EndedRun:
    """Return the request in a line, marked as imported. Raises InputError that names the field."""
    fields = _object(line)
    version = fields.get(FORMAT_KEY)
    if version != FORMAT_VERSION:
        raise _bad(*_wrong_version(version))
    fields.pop(SUMMARY, None)
    record = fields.get("record")
    if isinstance(record, dict):
        record["body"] = ""
    try:
        read = msgspec.convert(fields, _Line)
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from None
    run = EndedRun(
        replace(read.record, body=_body(read), source="import"),
        tuple(read.events),
        read.marked,
        tuple(read.tags),
        read.comment,
        imported=True,
        dropped_raw=read.dropped_raw,
        explanation=read.explanation,
    )
    return judged(masked_run(run))


def _object(line: bytes | str) -> dict[str, Any]:
    try:
        fields = read_json(line)
    except (ValueError, RecursionError) as error:
        raise _bad(f"this is not JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise _bad("this is no JSON object.")
    return fields


def _wrong_version(version: object) -> tuple[str, str]:
    if isinstance(version, int) and version > FORMAT_VERSION:
        return f"{FORMAT_KEY} is {version}; this version reads {FORMAT_VERSION}.", "Update Electron Playground."
    return f"{FORMAT_KEY} is not there: this is no exported request.", "Give a JSONL export of this program, or a HAR."


def _body(read: _Line) -> bytes:
    if (read.body is None) == (read.body_base64 is None):
        raise _bad("there should be either body or body_base64.")
    if read.body is not None:
        return read.body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(read.body_base64 or "", validate=True)
    except binascii.Error as error:
        raise _bad(f"body_base64: {error}.") from None


def _bad(message: str, hint: str = "") -> InputError:
    return InputError(FieldError((), message, hint))

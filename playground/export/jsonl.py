"""Lossless export of a logged request as one line of JSON, and the validation of imported requests."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from playground.client.endpoint import check_base_url
from playground.client.events import AnyEvent, AttemptStarted, HeadersReceived, Usage, UsageReported
from playground.export.masking import masked_run
from playground.prompt.field_errors import InputError, Path
from playground.prompt.files import load
from playground.requestlog.records import EndedRun, StoredRun, clean_tags
from playground.runs.record import RequestRecord
from playground.runs.state import RunState
from playground.runs.summary import wire_tool_calls, wire_usage

EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST_S = 10 * 365 * 86_400.0
"""Maximum duration of a request: ten years."""
MOST_TOKENS = 2**53
MOST_ID_CHARS = 200
MOST_DIGITS = 18
"""Maximum number of digits of a whole number that the log can store."""


def read_json(text: str | bytes) -> Any:
    """Parse standard JSON: no NaN, no number that cannot be stored. Raises ValueError, RecursionError."""
    return json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    value = float(word)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{word[:32]} is too large")
    return value


def _whole(word: str) -> int:
    if len(word) > MOST_DIGITS:
        raise ValueError(f"{word[:32]}… is too large")
    return int(word)


def judged(run: EndedRun) -> EndedRun:
    """Return the run if it is valid. Raises InputError that names the invalid field."""
    _judge_record(run.record)
    _judge_events(run.events)
    return run


def _judge_record(record: RequestRecord) -> None:
    if not 0 < len(record.run_id) <= MOST_ID_CHARS or not record.run_id.isprintable() or " " in record.run_id:
        raise InputError.of(("record", "run_id"), f"is no id of 1 to {MOST_ID_CHARS} visible characters.")
    if record.started_utc.tzinfo is None:
        raise InputError.of(("record", "started_utc"), "has no time zone.")
    if not EARLIEST <= record.started_utc <= LATEST:
        raise InputError.of(("record", "started_utc"), f"is not between {EARLIEST.year} and {LATEST.year}.")
    for name, judge in (("base_url", check_base_url), ("document", load)):
        try:
            judge(getattr(record, name))
        except InputError as bad:
            raise InputError.of(("record", name), str(bad.problems[0])) from None


def _judge_events(events: tuple[AnyEvent, ...]) -> None:
    sent = False
    for index, event in enumerate(events):
        if not 0 <= event.at <= LONGEST_S:
            raise InputError.of(("events", index, "at"), f"is not from 0 to {LONGEST_S:,.0f} s.")
        sent = sent or isinstance(event, AttemptStarted)
        if isinstance(event, HeadersReceived) and not sent:
            raise InputError.of(("events", index), "are headers before any attempt was sent.")
        if isinstance(event, UsageReported):
            _judge_usage(event.usage, ("events", index, "usage"))


def _judge_usage(usage: Usage, path: Path) -> None:
    for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"):
        value = getattr(usage, name)
        if value is not None and not 0 <= value <= MOST_TOKENS:
            raise InputError.of((*path, name), f"is not from 0 to {MOST_TOKENS:,}.")


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
    fields["events"] = msgspec.to_builtins(tuple(stored.events))
    for name in ("marked", "tags", "comment", "dropped_raw", "explanation"):
        if value := getattr(stored, name):
            fields[name] = value
    fields[SUMMARY] = _summary(stored.state())
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


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
        replace(read.record, body=_body(read)),
        tuple(read.events),
        read.marked,
        clean_tags(read.tags),
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
    return InputError.of((), message, hint)

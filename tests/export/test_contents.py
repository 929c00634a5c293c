"""Removal of contents from tickets, including unknown fields and error messages."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from msgspec.structs import replace

from playground.client.errors import cut_error, http_error, stream_error
from playground.client.events import AnyEvent, AttemptFailed, AttemptStarted, Completed, HeadersReceived, RetryScheduled
from playground.export.ticket import Contents, Outline, TicketContents, bundle, ticket
from playground.prompt.document import Document, Json, Message
from playground.prompt.files import dump
from playground.requestlog.records import StoredRun
from playground.runs.record import RequestRecord

PLANTED = "Meera Iyer, 12 Lake Road"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        PLANTED: {"type": "string", "pattern": PLANTED, "examples": [PLANTED], "default": {PLANTED: PLANTED}},
        "amount": {"type": "number", "enum": [98765], "const": 98765, "x-note": PLANTED, "$ref": f"#/$defs/{PLANTED}"},
    },
    "required": [PLANTED],
    "$defs": {PLANTED: {"type": "string"}},
    "dependentRequired": {PLANTED: [PLANTED]},
}
BODY: dict[str, Any] = {
    "model": "electron",
    "messages": [
        {"role": "user", "name": PLANTED, "content": [{"type": "text", "text": PLANTED}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PLANTED}}]},
        {
            "role": "assistant",
            "content": None,
            "refusal": PLANTED,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": PLANTED, "arguments": PLANTED}}],
        },
    ],
    "tools": [{"type": "function", "function": {"name": PLANTED, "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": PLANTED}},
    "response_format": {"type": "json_schema", "json_schema": {"name": PLANTED, "schema": SCHEMA}},
    "metadata": {PLANTED: PLANTED, "amount": 98765},
    "prediction": {"type": "content", "content": PLANTED},
    "stop": [PLANTED],
    "user": PLANTED,
    "unheard_of": PLANTED,
    "max_tokens": 77,
    "temperature": 0.5,
}


def _stored(*events: AnyEvent, body: bytes = json.dumps(BODY).encode()) -> StoredRun:
    record = RequestRecord(
        run_id="run",
        endpoint_id="e",
        endpoint_name="E",
        endpoint_kind="electron",
        base_url="https://example.test/v1",
        model="electron",
        started_utc=datetime(2026, 11, 23, 14, 2, 11, 123_000, tzinfo=UTC),
        body=body,
        document=dump(Document(messages=(Message("user", "x"),))),
    )
    return StoredRun(record, 1, "failed", False, events)


def _made(stored: StoredRun, choice: Contents) -> str:
    with zipfile.ZipFile(io.BytesIO(bundle([stored], TicketContents(choice)))) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


@pytest.mark.parametrize("choice", ["hashed", "left out"])
def test_no_text_of_a_request_is_in_it_wherever_it_stood(choice: Contents) -> None:
    made = _made(_stored(AttemptStarted(0.0, 1), Completed(1.0)), choice)
    for part in ("Meera", "Lake Road", "98765"):
        assert part not in made, part
    for kept in ('"model": "electron"', '"role": "user"', '"max_tokens": 77', '"type": "json_schema"'):
        assert kept in made, kept
    assert "Meera" in _made(_stored(AttemptStarted(0.0, 1), Completed(1.0)), "included")


def test_a_hash_is_the_same_for_the_same_text_and_left_out_has_none() -> None:
    hashed = cast("dict[str, Json]", Outline("hashed").of({"user": PLANTED, "stop": [PLANTED]}))
    assert hashed["stop"] == [hashed["user"]]
    assert Outline("left out").of({"user": PLANTED}) == {"user": {"chars": len(PLANTED)}}


@pytest.mark.parametrize("choice", ["hashed", "left out"])
def test_name_of_an_unknown_parameter_is_taken_out_as_nested_names_are(choice: Contents) -> None:
    body = {"model": "m", "max_tokens": 5, "x_customer": {"x_plan": 7}, "messages": []}
    outlined = cast("dict[str, Json]", Outline(choice).request(body))  # type: ignore[arg-type]
    assert "x_customer" not in json.dumps(outlined)
    assert "x_plan" not in json.dumps(outlined)
    assert [name for name in outlined if name in body] == ["model", "max_tokens", "messages"]
    assert "x_customer" not in _made(_stored(body=json.dumps({**BODY, "x_customer": 1}).encode()), choice)


@pytest.mark.parametrize("choice", ["hashed", "left out"])
def test_what_an_error_repeats_of_the_request_is_taken_out_and_the_rest_stays(choice: Contents) -> None:
    said = {"detail": [{"loc": ["body", "user"], "msg": "must be short", "input": f'"{PLANTED}"'}], "model": "electron"}
    quoted = {**BODY, "user": f'"{PLANTED}"'}
    for error in (
        http_error(422, {}, json.dumps(said), None),
        stream_error(json.dumps({"error": {"message": f"not allowed: {PLANTED}, must be short"}}), None),
    ):
        events = (AttemptStarted(0.0, 1), HeadersReceived(0.1, 422, "q-1", ""), AttemptFailed(0.2, error, "q-1"))
        made = _made(_stored(*events, body=json.dumps(quoted).encode()), choice)
        assert "Meera" not in made
        assert "must be short" in made
        assert "characters of the request]" in made


@pytest.mark.parametrize("choice", ["hashed", "left out"])
def test_the_piece_of_an_answer_that_broke_off_is_no_error_of_the_server(choice: Contents) -> None:
    error = cut_error(f'data: {{"choices":[{{"delta":{{"content":"{PLANTED}')
    made = _made(_stored(AttemptStarted(0.0, 1), AttemptFailed(0.2, error)), choice)
    assert "Meera" not in made
    assert f"({len(error.body)} characters of the answer)" in made


def test_the_error_of_each_attempt_is_there_also_where_the_last_one_succeeded() -> None:
    busy = http_error(503, {}, '{"error":{"message":"all replicas busy"}}', None)
    stored = _stored(
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, 503, "q-1", ""),
        AttemptFailed(0.2, busy, "q-1"),
        RetryScheduled(0.2, 2, 5, 0.25),
        AttemptStarted(0.5, 2),
        HeadersReceived(0.6, 200, "q-2", ""),
        Completed(0.9),
    )
    words = ticket(replace(stored, phase="done"))
    assert "Attempt 1: Overloaded" in words
    assert "all replicas busy" in words
    assert "headers after 100 ms" in words


def test_it_names_the_versions() -> None:
    words = ticket(_stored(AttemptStarted(0.0, 1), Completed(1.0)))
    assert "Electron Playground 0." in words
    assert "Qt 6." in words
    assert "Python 3." in words

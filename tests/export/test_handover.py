"""Exports: a ticket without contents or keys, and commands that send the request again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from playground.client.errors import http_error
from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    AttemptStarted,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    RetryScheduled,
    Usage,
    UsageReported,
)
from playground.export.snippets import as_curl, as_python
from playground.export.ticket import ticket
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import dump
from playground.prompt.request import to_request
from playground.requestlog.records import StoredRun
from playground.runs.record import RequestRecord
from playground.simulator.process import SimulatorProcess

SECRET_TEXT = "Meera's balance is 12,450"
DOCUMENT = Document(
    tools=(
        Tool.of({"type": "function", "function": {"name": "look", "description": "Look it up.", "parameters": {}}}),
    ),
    messages=(Message("system", "Be kind, it's late."), Message("user", f"{SECRET_TEXT} “नमस्ते” $HOME `x` \\ \n!")),
    parameters={"max_tokens": 20, "tool_choice": "none"},
)


def _record(base_url: str = "https://api.smallest.ai/waves/v1") -> RequestRecord:
    return RequestRecord(
        run_id="run",
        endpoint_id="electron",
        endpoint_name="Electron",
        endpoint_kind="electron",
        base_url=base_url,
        model="electron",
        started_utc=datetime(2026, 11, 23, 14, 2, 11, 123_000, tzinfo=UTC),
        body=to_request(DOCUMENT, "electron").body,
        document=dump(DOCUMENT),
    )


def _stored() -> StoredRun:
    error = http_error(
        503, {}, '{"error":{"message":"busy, key sk_live_0123456789abcdef seen","type":"overloaded"}}', None
    )
    events: tuple[AnyEvent, ...] = (
        AttemptStarted(0.0, 1),
        HeadersReceived(0.03, 503, "51c0fa1e-77b0", "application/json"),
        AttemptFailed(0.04, error, "51c0fa1e-77b0"),
        RetryScheduled(0.04, 2, 5, 0.25),
        AttemptStarted(0.29, 2),
        HeadersReceived(0.4, 200, "9db74058-2421", "text/event-stream"),
        ContentDelta(0.5, "Hello"),
        Finished(0.9, "stop"),
        UsageReported(0.9, Usage(1204, 86, 1290, None)),
        Completed(0.9),
    )
    return StoredRun(_record(), 1, "done", False, events)


def test_a_ticket_has_what_support_asks_for() -> None:
    words = ticket(_stored())
    for part in (
        "51c0fa1e-77b0, 9db74058-2421",
        "2026-11-23T14:02:11.123+00:00",
        "POST https://api.smallest.ai/waves/v1/chat/completions",
        "200 stop",
        "| prompt tokens | 1,204 |",
        "| cached tokens | — |",
        "status 503 · `51c0fa1e-77b0`",
        "Overloaded",
    ):
        assert part in words, part


def test_a_ticket_has_no_contents_and_no_key() -> None:
    words = ticket(_stored())
    assert "Meera" not in words
    assert "Be kind" not in words
    assert "Look it up" not in words
    assert "sk_live_0123456789" not in words
    outline = json.loads(words.split("```json\n")[1].split("\n```")[0])
    assert outline["messages"][0]["role"] == "system"
    assert outline["messages"][0]["content"]["chars"] == len("Be kind, it's late.")
    assert outline["max_tokens"] == 20


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_curl_command_sends_the_same_request(simulator: SimulatorProcess) -> None:
    command = as_curl(_record(simulator.base_url))
    assert "$SMALLEST_API_KEY" in command
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SMALLEST_API_KEY": "sk_test"},
    )
    assert done.returncode == 0, done.stderr
    assert "data: [DONE]" in done.stdout


def test_the_python_script_sends_the_same_request(simulator: SimulatorProcess) -> None:
    done = subprocess.run(
        [sys.executable, "-c", as_python(_record(simulator.base_url))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SMALLEST_API_KEY": "sk_test"},
    )
    assert done.returncode == 0, done.stderr
    # The simulator answers in the prompt's language, and says there that it is one.
    assert "नकली" in done.stdout

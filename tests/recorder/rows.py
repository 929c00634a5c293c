"""Rows of the log and request bodies for tests of recorded requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from playground.client.endpoint import Rates
from playground.prompt.document import Json
from playground.recorder.programs import RecordedRequest
from playground.requestlog.records import LogRow

RATES = Rates(0.4, 0.1)
BEGAN = datetime(2026, 11, 27, 14, 0, tzinfo=UTC)
RULES = "You speak with callers of Acme Mobile. Be brief and kind, and read out no lists. " * 30


def row(number: int, prompt: int | None = None, cached: int | None = None, **fields: Any) -> LogRow:
    """Return the row of an ended request."""
    usual: dict[str, Any] = {
        "run_id": f"run-{number}",
        "number": number,
        "started_utc": BEGAN + timedelta(seconds=number),
        "phase": "done",
        "status": 200,
        "finish_reason": "stop",
        "request_id": f"id-{number}",
        "body_id": None,
        "endpoint_id": "e",
        "endpoint_name": "Endpoint",
        "endpoint_kind": "other",
        "model": "electron",
        "rates": RATES,
        "attempts": 1,
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "completion_tokens": 5,
        "prompt_tokens_estimated": None,
        "forecast_cached": None,
        "ttft_s": 0.3,
        "duration_s": 1.0,
        "question": "",
        "answer": "",
        "called": "",
        "error_title": "",
        "marked": False,
    }
    return LogRow(**{**usual, **fields})


def body(system: str, *turns: str) -> dict[str, Json]:
    """Return a request body: the system message, then turns of user and assistant in alternation."""
    roles = ("user", "assistant")
    messages: list[Json] = [{"role": "system", "content": system}]
    messages += [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns or ("Hello",))]
    return {"model": "electron", "messages": messages}


def request(
    number: int, system: str, prompt: int | None = None, cached: int | None = None, **fields: Any
) -> RecordedRequest:
    """Return a recorded request with one question."""
    return RecordedRequest(row(number, prompt, cached, **fields), body(system, f"Question {number}?"))

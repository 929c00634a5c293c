"""HAR files as mitmproxy writes them (`hardump`, `save.har`)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from playground.client.events import HeadersReceived
from playground.export.har import from_har
from playground.runs.state import fold

BODY = {"model": "electron", "messages": [{"role": "user", "content": "नमस्ते"}], "stream": True}
USAGE = {"prompt_tokens": 40, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 16}}
EVENTS = [
    {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "नमस्ते"}}]},
    {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c", "choices": [], "usage": USAGE},
]
STREAM = "".join(f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in EVENTS) + "data: [DONE]\n\n"


def response(content: dict[str, Any], status: int = 200, kind: str = "text/event-stream") -> dict[str, Any]:
    fields = [("content-type", kind), ("x-request-id", "req-7")]
    return {
        "status": status,
        "statusText": "",
        "httpVersion": "HTTP/2.0",
        "cookies": [],
        "headers": [{"name": name, "value": value} for name, value in fields],
        "content": {"size": 300, "compression": 0, "mimeType": kind, **content},
        "redirectURL": "",
        "headersSize": 99,
        "bodySize": 300,
    }


NO_RESPONSE = {
    "status": 0,
    "statusText": "",
    "httpVersion": "",
    "headers": [],
    "cookies": [],
    "content": {},
    "redirectURL": "",
    "headersSize": -1,
    "bodySize": -1,
    "_transferSize": 0,
    "_error": "Client disconnected.",
}


def entry(answer: dict[str, Any], method: str = "POST", **timings: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": method,
        "url": "https://api.example.com/waves/v1/chat/completions",
        "httpVersion": "HTTP/2.0",
        "cookies": [],
        "headers": [{"name": "authorization", "value": "Bearer sk_planted_0123456789"}],
        "queryString": [],
        "headersSize": 99,
        "bodySize": 80,
    }
    if method == "POST":
        request["postData"] = {"mimeType": "application/json", "text": json.dumps(BODY), "params": []}
    return {
        "startedDateTime": "2026-11-27T10:00:00.123456+00:00",
        "time": 250.5,
        "request": request,
        "response": answer,
        "cache": {},
        "timings": {"connect": -1.0, "ssl": None, "send": 0.5, "receive": 50.0, "wait": 200.0, **timings},
        "serverIPAddress": "192.0.2.1",
    }


def har(*entries: dict[str, Any]) -> dict[str, Any]:
    creator = {"name": "mitmproxy", "version": "11.0.0", "comment": ""}
    return {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": list(entries)}}


@pytest.mark.parametrize("time", [None, -1])
def test_from_har_without_a_time_adds_its_timings(time: float | None) -> None:
    (run,) = from_har(har({**entry(response({"text": STREAM})), "time": time})).runs
    headers = next(event for event in run.events if isinstance(event, HeadersReceived))
    assert [headers.at, fold(run.events).ended_at] == pytest.approx([0.2005, 0.2505])


def test_from_har_of_mitmproxy_reads_stream_base64_error_and_missing_response() -> None:
    encoded = {"text": base64.b64encode(STREAM.encode()).decode(), "encoding": "Base64"}
    error = {"text": '{"error": {"message": "slow down"}}'}
    found = from_har(
        har(
            entry(response({"text": STREAM})),
            entry(response(encoded), connect=None),
            entry(response(error, 429, "application/json")),
            entry(NO_RESPONSE, receive=0, wait=0),
            entry(response({"text": "{}"}), "OPTIONS"),
        )
    )
    states = [fold(run.events) for run in found.runs]
    assert [state.phase for state in states] == ["done", "done", "failed", "stopped"]
    assert [state.text for state in states] == ["नमस्ते", "नमस्ते", "", ""]
    assert [state.request_id for state in states] == ["req-7", "req-7", "req-7", None]
    assert states[0].usage is not None
    assert (states[0].usage.prompt_tokens, states[0].usage.cached_tokens) == (40, 16)
    assert all(json.loads(run.record.body) == BODY for run in found.runs)
    assert "sk_planted" not in repr(found)

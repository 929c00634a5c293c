"""Reading recorded traffic: JSON lines and HAR; bad lines are named by number."""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from playground.prefix_cache.traffic import TrafficError, read_traffic

pytestmark = pytest.mark.exhaustive

GOOD: dict[str, Any] = {
    "at": 1_795_000_000.5,
    "request": {"model": "electron", "messages": [{"role": "user", "content": "Hi"}]},
    "response": {
        "status": 200,
        "request_id": "r1",
        "message": {"role": "assistant", "content": "Hello"},
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 0}},
    },
    "comment": "further keys are ignored",
}


def without(*path: str) -> dict[str, Any]:
    value = json.loads(json.dumps(GOOD))
    target = value
    for name in path[:-1]:
        target = target[name]
    del target[path[-1]]
    return value  # type: ignore[no-any-return]


def test_read_traffic_line_gives_request_and_usage(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n", "utf-8")
    (record,) = read_traffic(path)
    assert (record.at_unix, record.status, record.request_id, record.model) == (1_795_000_000.5, 200, "r1", "electron")
    assert record.usage is not None
    assert (record.usage.prompt_tokens, record.usage.cached_tokens, record.usage.completion_tokens) == (9, 0, 3)


def test_read_traffic_message_of_a_completion_is_its_first_choice(tmp_path: Path) -> None:
    path, line = tmp_path / "t.jsonl", without("response", "message")
    line["response"] |= {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}}], "duration_s": 2}
    path.write_text(json.dumps(line), "utf-8")
    (record,) = read_traffic(path)
    assert record.usage is not None
    assert record.usage.message == {"role": "assistant", "content": "Hi!"}
    assert record.ended_unix == 1_795_000_002.5


def test_read_traffic_absent_cached_tokens_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(without("response", "usage", "prompt_tokens_details")), "utf-8")
    (record,) = read_traffic(path)
    assert record.usage is not None
    assert record.usage.cached_tokens is None


def test_read_traffic_absent_usage_is_not_reported(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(without("response", "usage")), "utf-8")
    (record,) = read_traffic(path)
    assert record.accepted
    assert record.usage is None


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        json.dumps(without("at")),
        json.dumps(GOOD | {"response": GOOD["response"] | {"duration_s": "2"}}),
        json.dumps(without("request")),
        json.dumps(without("request", "messages")),
        json.dumps(without("response")),
        json.dumps(without("response", "status")),
        json.dumps({**GOOD, "at": True}),
        "[" * 100_000,
        json.dumps({**GOOD, "at": 10**400}),
        json.dumps(GOOD)[:-1] + ', "at": 1e400}',
    ],
)
def test_read_traffic_bad_line_is_named_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{line}\n", "utf-8")
    with pytest.raises(TrafficError, match="line 2"):
        list(read_traffic(path))


@pytest.mark.parametrize("entries", ["5", "null", '"x"', "{}", '[5, null, {}, {"request": 5}]'])
def test_read_traffic_har_of_another_shape_raises_no_other_error(tmp_path: Path, entries: str) -> None:
    path = tmp_path / "t.har"
    path.write_text(f'{{"log": {{"entries": {entries}}}}}', "utf-8")
    with contextlib.suppress(TrafficError):
        assert list(read_traffic(path)) == []


def test_read_traffic_device_without_end_raises_traffic_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.prefix_cache.traffic.MAX_TRAFFIC_BYTES", 1_000_000)
    with pytest.raises(TrafficError, match="/dev/zero is larger"):
        list(read_traffic(Path("/dev/zero")))


@pytest.mark.parametrize("encoding", ["", "base64"])
def test_read_traffic_har_with_a_stream_joins_its_events(encoding: str, tmp_path: Path) -> None:
    events = [
        {"choices": [{"delta": {"role": "assistant"}}]},
        {"choices": [{"delta": {"content": "Hel"}}]},
        {"choices": [{"delta": {"content": "lo"}}]},
        {"choices": [], "usage": GOOD["response"]["usage"]},
    ]
    body = "".join(f"event: chunk\ndata: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    body = b64encode(body.encode()).decode() if encoding else body
    entry: dict[str, Any] = {
        "startedDateTime": "2026-11-27T10:00:00.000Z",
        "request": {"method": "POST", "url": "http://x/chat", "postData": {"text": json.dumps(GOOD["request"])}},
        "response": {"status": 200, "headers": [{"name": "X-Request-Id", "value": "r1"}]},
    }
    entry["response"]["content"] = {"text": body, "encoding": encoding}
    picture = {**entry, "request": {"method": "GET", "url": "http://x/logo.png"}}
    path = tmp_path / "t.har"
    path.write_text(json.dumps({"log": {"entries": [picture, entry]}}), "utf-8")
    (record,) = read_traffic(path)
    assert record.request_id == "r1"
    assert record.usage is not None
    assert record.usage.cached_tokens == 0
    assert record.usage.message == {"role": "assistant", "content": "Hello"}

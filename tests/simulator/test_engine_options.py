"""Engine options of the simulator: cache, position of the tools, refused options."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from playground.simulator.process import SimulatorProcess
from tests.simulator.talk import request, send

SYSTEM = {"role": "system", "content": "Be brief. " * 60}
TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Find an order by its number.",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
    },
}


@contextmanager
def engine(*options: str) -> Iterator[Callable[..., Any]]:
    """Start a simulator and yield a function that sends messages and returns the parsed answer."""
    process = SimulatorProcess.start(["--plan", "none", "--ttft-ms", "0", "--token-ms", "0", *options])
    try:
        yield lambda *messages, **fields: send(process, messages=list(messages), **fields).json
    finally:
        process.stop()


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def cached(answer: Any) -> int:
    """Return the cached tokens that an answer reports."""
    return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])


def test_second_turn_serves_prompt_and_answer_without_its_last_token() -> None:
    with engine("--block-size", "1") as ask:
        first = ask(SYSTEM, user("hello"))
        second = ask(SYSTEM, user("hello"), first["choices"][0]["message"], user("more"))
        usage = first["usage"]
        assert cached(first) == 0
        assert cached(second) == usage["prompt_tokens"] + usage["completion_tokens"] - 1


def test_second_turn_with_blocks_serves_whole_blocks() -> None:
    with engine("--block-size", "128") as ask:
        first = ask(SYSTEM, user("hello"))
        second = ask(SYSTEM, user("hello"), first["choices"][0]["message"], user("more"))
        usage = first["usage"]
        assert cached(second) == (usage["prompt_tokens"] + usage["completion_tokens"] - 1) // 128 * 128


def test_answer_with_tool_calls_is_served_in_the_next_turn() -> None:
    with engine("--block-size", "1") as ask:
        first = ask(SYSTEM, user("find order 7"), tools=[TOOL])
        message = first["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sent"}
        second = ask(SYSTEM, user("find order 7"), message, result, tools=[TOOL])
        assert cached(second) > first["usage"]["prompt_tokens"]


def test_no_cached_answers_serves_the_prompt_alone() -> None:
    with engine("--block-size", "1", "--no-cached-answers") as ask:
        first = ask(SYSTEM, user("hello"))
        second = ask(SYSTEM, user("hello"), first["choices"][0]["message"], user("more"))
        assert cached(second) == first["usage"]["prompt_tokens"]


@pytest.mark.parametrize(("position", "shares_system"), [("first", False), ("system", True), ("last-user", True)])
def test_tools_position_decides_whether_other_tools_keep_the_system_text(position: str, shares_system: bool) -> None:
    other = {**TOOL, "function": {**TOOL["function"], "name": "cancel_order"}}  # type: ignore[dict-item]
    with engine("--block-size", "1", "--tools-position", position) as ask:
        ask(SYSTEM, user("hello"), tools=[TOOL])
        served = cached(ask(SYSTEM, user("hello"), tools=[other]))
        assert (served > 100) == shares_system


def test_template_tokens_are_counted_once_and_per_message() -> None:
    with engine() as plain, engine("--head-tokens", "9", "--message-tokens", "2") as padded:
        messages = (SYSTEM, user("hello"))
        # Each message and the start of the answer have the constant tokens.
        difference = padded(*messages)["usage"]["prompt_tokens"] - plain(*messages)["usage"]["prompt_tokens"]
        assert difference == 9 + 2 * 3


def test_minimum_serves_nothing_below_it() -> None:
    with engine("--cache-minimum", "1000") as ask:
        ask(SYSTEM, user("hello"))
        assert cached(ask(SYSTEM, user("hello"))) == 0


def test_capacity_evicts_the_prompt_used_least_recently() -> None:
    with engine("--cache-capacity", "320", "--no-cached-answers") as ask:
        ask(SYSTEM, user("hello"))
        ask({"role": "system", "content": "Another prompt altogether. " * 60}, user("hello"))
        assert cached(ask(SYSTEM, user("hello"))) == 0


def test_one_slot_serves_only_the_previous_prompt() -> None:
    other = {"role": "system", "content": "Another prompt altogether. " * 60}
    with engine("--cache-slots", "1") as ask:
        first = ask(SYSTEM, user("hello"))
        assert cached(ask(SYSTEM, user("hello"))) == first["usage"]["prompt_tokens"] - 1
        ask(other, user("hello"))
        assert cached(ask(SYSTEM, user("hello"))) < 20


def test_round_robin_over_two_replicas_misses_every_other_time() -> None:
    with engine("--replicas", "2", "--routing", "round-robin") as ask:
        assert [cached(ask(SYSTEM, user("hello"))) > 0 for _ in range(4)] == [False, False, True, True]


def test_prefix_routing_sends_equal_heads_to_one_replica() -> None:
    with engine("--replicas", "4", "--routing", "prefix") as ask:
        long = {"role": "system", "content": "Be brief. " * 200}
        ask(long, user("hello"))
        assert cached(ask(long, user("another question"))) > 300


def test_max_tokens_cuts_a_tool_call_to_incomplete_arguments() -> None:
    with engine() as ask:
        whole = ask(user("find order 7 of last week please"), tools=[TOOL])
        limit = whole["usage"]["completion_tokens"] - 3
        cut = ask(user("find order 7 of last week please"), tools=[TOOL], max_tokens=limit)
        choice = cut["choices"][0]
        assert choice["finish_reason"] == "length"
        assert cut["usage"]["completion_tokens"] == limit
        with pytest.raises(json.JSONDecodeError):
            json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    """Start one simulator for this module."""
    process = SimulatorProcess.start(["--plan", "none", "--ttft-ms", "0", "--token-ms", "0"])
    yield process
    process.stop()


BODY = json.dumps({"model": "electron", "messages": [user("hello")]}).encode()


def test_models_lists_electron(simulator: SimulatorProcess) -> None:
    answer = request(f"{simulator.base_url}/models")
    assert answer.status == 200
    assert [model["id"] for model in answer.json["data"]] == ["electron"]
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
    ],
)
def test_foreign_host_or_origin_is_refused(simulator: SimulatorProcess, headers: dict[str, str], status: int) -> None:
    answer = request(f"{simulator.base_url}/chat/completions", BODY, headers)
    assert answer.status == status
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize(
    ("encoding", "data", "status"),
    [
        ("gzip", gzip.compress(BODY, mtime=0), 200),
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY, mtime=0)[:-12], 400),
        ("deflate", zlib.compress(BODY), 200),
        ("deflate", b"not deflate", 400),
        ("br", BODY, 415),
        ("gzip", gzip.compress(b" " * 17 * 1024 * 1024, mtime=0), 413),
    ],
)
def test_encoded_body_is_decoded_or_refused(
    simulator: SimulatorProcess, encoding: str, data: bytes, status: int
) -> None:
    answer = request(f"{simulator.base_url}/chat/completions", data, {"Content-Encoding": encoding})
    assert answer.status == status
    assert "x-request-id" in answer.headers


def test_process_environment_has_no_api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLEST_API_KEY", "sk-planted")
    process = SimulatorProcess.start(["--plan", "none"])
    try:
        assert b"sk-planted" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        process.stop()

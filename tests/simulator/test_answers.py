"""Answers of the simulator: shapes, tools, JSON mode, limits, cache."""

from __future__ import annotations

import http.client
import json
import math
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from playground.simulator.engine import CacheOptions, PrefixCache, Template, pieces
from playground.simulator.process import SimulatorProcess
from playground.simulator.server import Limiter, PlanOptions, Refused
from tests.simulator.talk import HELLO, request, send

Make = Callable[..., SimulatorProcess]
FAST = ("--ttft-ms", "1", "--token-ms", "0", "--plan", "none")
TOOL = {
    "type": "function",
    "function": {
        "name": "get_account_info",
        "description": "Look up a bill.",
        "parameters": {
            "type": "object",
            "properties": {"account_id": {"type": "string"}, "months": {"type": "integer"}},
        },
    },
}
ASKED = [{"role": "user", "content": "Look up the bill of AC-10442"}]


def test_streamed_and_whole_say_the_same(simulator: SimulatorProcess) -> None:
    whole = send(simulator).json
    chunks = send(simulator, stream=True).chunks
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert "simulated" in text
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_usage_only_when_asked_for(simulator: SimulatorProcess) -> None:
    without = send(simulator, stream=True).chunks
    assert not any("usage" in chunk for chunk in without)
    with_usage = send(simulator, stream=True, stream_options={"include_usage": True}).chunks
    assert with_usage[-1]["choices"] == []
    assert with_usage[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] >= 0


def test_the_same_seed_the_same_answer(simulator: SimulatorProcess) -> None:
    texts = [send(simulator, seed=seed).json["choices"][0]["message"]["content"] for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


@pytest.mark.parametrize(
    ("question", "expected"),
    [("मेरा बिल?", "नकली"), ("لماذا فاتورتي أعلى؟", "محاكى"), ("請問我的帳單？", "模拟"), ("¿Qué pasa?", "simulada")],
)
def test_it_answers_in_the_questions_language(simulator: SimulatorProcess, question: str, expected: str) -> None:
    answer = send(simulator, messages=[{"role": "user", "content": question}])
    assert expected in answer.json["choices"][0]["message"]["content"]


def test_a_tool_is_called_with_a_filler_only_when_asked_to(simulator: SimulatorProcess) -> None:
    system = {"role": "system", "content": "Briefly acknowledge out loud before using any tool."}
    silent = send(simulator, messages=ASKED, tools=[TOOL]).json["choices"][0]
    spoken = send(simulator, messages=[system, *ASKED], tools=[TOOL]).json["choices"][0]
    assert silent["finish_reason"] == spoken["finish_reason"] == "tool_calls"
    assert silent["message"]["content"] is None
    assert spoken["message"]["content"]
    assert json.loads(silent["message"]["tool_calls"][0]["function"]["arguments"])["account_id"] == "AC-10442"


def test_streamed_calls_come_after_the_filler_and_in_pieces(simulator: SimulatorProcess) -> None:
    system = {"role": "system", "content": "Acknowledge first."}
    chunks = send(simulator, messages=[system, *ASKED], tools=[TOOL], stream=True).chunks
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    kinds = [
        "call" if "tool_calls" in delta else "text" for delta in deltas if delta.get("content") or "tool_calls" in delta
    ]
    assert kinds == sorted(kinds, reverse=True)
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert [("id" in call, "name" in call["function"]) for call in calls[:2]] == [(True, True), (False, False)]
    assert json.loads("".join(call["function"].get("arguments", "") for call in calls))


def test_after_a_tools_result_it_answers(simulator: SimulatorProcess) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "get_account_info", "arguments": "{}"}}
    messages = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages.append({"role": "tool", "tool_call_id": "c", "content": "12450 INR"})
    answer = send(simulator, messages=messages, tools=[TOOL]).json["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert "12450 INR" in answer["message"]["content"]


def test_json_mode_stop_and_max_tokens(simulator: SimulatorProcess) -> None:
    in_json = send(simulator, response_format={"type": "json_object"}).json["choices"][0]["message"]["content"]
    assert json.loads(in_json)["simulated"] is True
    stopped = send(simulator, stop=["simulated"]).json["choices"][0]["message"]["content"]
    assert "simulated" not in stopped
    cut = send(simulator, max_tokens=3).json
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 3


def test_probabilities_are_there_when_asked_for(simulator: SimulatorProcess) -> None:
    chunks = send(simulator, stream=True, logprobs=True, top_logprobs=2).chunks
    rows = [row for chunk in chunks for row in (chunk["choices"][0].get("logprobs") or {}).get("content", ())]
    assert rows
    assert all(len(row["top_logprobs"]) == 2 and row["logprob"] <= 0 for row in rows)


@pytest.mark.parametrize("top", [4, 20])
def test_probabilities_of_alternatives_fall_from_the_chosen_token_and_their_sum_is_at_most_1(
    simulator: SimulatorProcess, top: int
) -> None:
    rows = send(simulator, logprobs=True, top_logprobs=top).json["choices"][0]["logprobs"]["content"]
    for row in rows:
        values = [one["logprob"] for one in row["top_logprobs"]]
        assert (row["top_logprobs"][0]["token"], values[0]) == (row["token"], row["logprob"])
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == top
        assert sum(map(math.exp, values)) <= 1
        assert bytes(row["bytes"]).decode() == row["token"]


def test_the_second_request_is_served_from_the_cache(make_simulator: Make) -> None:
    simulator = make_simulator(*FAST, "--block-size", "16")
    messages = [{"role": "system", "content": "You are a phone agent. " * 40}, *HELLO]

    def cached(**fields: Any) -> tuple[int, int]:
        usage = send(simulator, messages=messages, **fields).json["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]

    first, _ = cached()
    second, prompt = cached()
    assert first == 0
    assert second % 16 == 0
    assert prompt - 16 <= second < prompt
    # Tools precede the messages, so another catalogue changes everything after it.
    assert cached(tools=[TOOL], tool_choice="none")[0] == 0
    messages[0]["content"] = "2026-11-23 " + messages[0]["content"]
    assert cached()[0] == 0


def test_the_cache_forgets_after_its_idle_time() -> None:
    now = [0.0]
    cache = PrefixCache(CacheOptions(4, 10.0), lambda: now[0])
    tokens = list("abcdefghij")
    assert cache.serve(tokens) == 0
    now[0] = 9
    assert cache.serve(tokens) == 8
    now[0] = 18
    assert cache.serve(tokens) == 8
    now[0] = 29
    assert cache.serve(tokens) == 0


def test_one_changed_token_ends_the_match() -> None:
    cache = PrefixCache(CacheOptions(4, 10.0))
    cache.serve(list("abcdefghijkl"))
    assert cache.serve(list("abcdefgXijkl")) == 4
    assert cache.serve(list("Xbcdefghijkl")) == 0


def test_tokens_are_pieces_of_the_text() -> None:
    for text in ("Hello, world! 12345", "नमस्ते दुनिया", "你好，世界", "مرحبا", "a\n\n b", "\U0001f600"):
        assert "".join(pieces(text)) == text
    tools_first = Template().prompt({"messages": HELLO, "tools": [TOOL]})
    assert tools_first[1] == "tool"


def test_plan_limits() -> None:
    now = [0.0]
    limiter = Limiter(PlanOptions(3, 2), lambda: now[0])
    limiter.enter()
    limiter.enter()
    with pytest.raises(Refused, match="Concurrency"):
        limiter.enter()
    limiter.leave()
    limiter.enter()
    limiter.leave()
    now[0] = 20
    with pytest.raises(Refused) as refused:
        limiter.enter()
    assert refused.value.retry_after_s == 40
    now[0] = 60
    limiter.enter()


def test_the_key(make_simulator: Make) -> None:
    simulator = make_simulator(*FAST, "--api-key", "sk_right")
    assert send(simulator).status == 401
    assert send(simulator, {"Authorization": "Bearer sk_wrong"}).json["error"]["type"] == "authentication_error"
    assert send(simulator, {"Authorization": "Bearer sk_right"}).status == 200


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_faults_by_header_and_by_field(simulator: SimulatorProcess, status: int) -> None:
    by_header = send(simulator, {"X-Simulate": str(status)})
    by_field = send(simulator, simulate=str(status))
    assert by_header.status == by_field.status == status
    assert by_header.headers["x-request-id"] == by_header.json["error"]["request_id"]


def test_retry_after_and_unknown_faults(simulator: SimulatorProcess) -> None:
    assert send(simulator, simulate="429=7").headers["retry-after"] == "7"
    unknown = send(simulator, simulate="flood")
    assert unknown.status == 400
    assert "stall" in unknown.json["error"]["message"]


def test_other_faults(simulator: SimulatorProcess) -> None:
    assert send(simulator, simulate="not_sse", stream=True).headers["content-type"].startswith("text/html")
    assert "prompt_tokens_details" not in send(simulator, simulate="no_usage_details").json["usage"]
    assert "x-request-id" not in send(simulator, simulate="no_request_id").headers
    assert '"error"' in send(simulator, simulate="stream_error=3", stream=True).body.decode()


def test_connection_ended_by_a_fault_writes_no_traceback(make_simulator: Make) -> None:
    simulator = make_simulator(*FAST)
    lines: list[str] = []
    simulator.watch(lines.append, lambda _: None)
    assert '"error"' in send(simulator, simulate="stream_error=3", stream=True).body.decode()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        send(simulator, simulate="cut=3", stream=True)
    simulator.stop()
    assert lines == []


def test_queued_faults_are_used_up(make_simulator: Make) -> None:
    simulator = make_simulator(*FAST)
    root = simulator.base_url.removesuffix("/waves/v1")
    request(f"{root}/simulator/faults", json.dumps({"fault": "503", "times": 2}).encode())
    assert [send(simulator).status for _ in range(3)] == [503, 503, 200]
    assert request(f"{root}/simulator/stats").json["served"] == 3


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("/waves/v1/models", None, 200),
        ("/waves/v1/chat/completions", b'{"model": "electron", "messages": [{"role": "user", "content": "hi"}]}', 200),
        ("/waves/v1/chat/completions", b"{}", 400),
        ("/simulator/stats", None, 200),
        ("/simulator/faults", b'{"fault": "no_request_id"}', 200),
        ("/simulator/faults", b'{"fault": "no such fault"}', 400),
        ("/simulator/stats", b"{}", 405),
        ("/nowhere", None, 404),
    ],
)
def test_response_of_every_route_has_a_new_request_id(
    make_simulator: Make, path: str, data: bytes | None, status: int
) -> None:
    origin = make_simulator("--plan", "none").base_url.removesuffix("/waves/v1")
    answers = [request(origin + path, data) for _ in range(2)]
    assert [answer.status for answer in answers] == [status] * 2
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(str(uuid.UUID(one)) == one for one in ids)

"""Validation by the simulator, with the path of each invalid field."""

from __future__ import annotations

from typing import Any

import pytest

from playground.simulator.process import SimulatorProcess
from playground.simulator.wire import context_problem
from tests.simulator.talk import HELLO, request, send

TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}

REFUSED: list[tuple[dict[str, Any], list[str | int]]] = [
    ({"model": "gpt"}, ["model"]),
    ({"messages": "hello"}, ["messages"]),
    ({"messages": []}, ["messages"]),
    ({"messages": HELLO * 201}, ["messages"]),
    ({"messages": [{"role": "developer", "content": "x"}]}, ["messages", 0, "role"]),
    ({"messages": [*HELLO, {"role": "user"}]}, ["messages", 1, "content"]),
    ({"messages": [{"role": "user", "content": ["x"]}]}, ["messages", 0, "content"]),
    ({"messages": [{"role": "tool", "content": "x"}]}, ["messages", 0, "tool_call_id"]),
    ({"messages": [{"role": "assistant", "content": None}]}, ["messages", 0, "content"]),
    ({"temperature": 2.1}, ["temperature"]),
    ({"temperature": "hot"}, ["temperature"]),
    ({"top_p": -0.1}, ["top_p"]),
    ({"max_tokens": 0}, ["max_tokens"]),
    ({"max_tokens": True}, ["max_tokens"]),
    ({"seed": 1.5}, ["seed"]),
    ({"stop": ["a", "b", "c", "d", "e"]}, ["stop"]),
    ({"response_format": {"type": "xml"}}, ["response_format", "type"]),
    ({"tools": []}, ["tools"]),
    ({"tools": [TOOL] * 65}, ["tools"]),
    ({"tools": [{"type": "function"}]}, ["tools", 0]),
    ({"tool_choice": "required"}, ["tool_choice"]),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, ["tool_choice"]),
    ({"logprobs": "yes"}, ["logprobs"]),
    ({"top_logprobs": 3}, ["logprobs"]),
    ({"logprobs": True, "top_logprobs": 21}, ["top_logprobs"]),
    ({"presence_penalty": 3}, ["presence_penalty"]),
    ({"frequency_penalty": -3}, ["frequency_penalty"]),
    ({"logit_bias": {"1": "x"}}, ["logit_bias"]),
    ({"n": 2}, ["n"]),
    ({"prompt_logprobs": 1}, ["prompt_logprobs"]),
    ({"stream_options": {"include_usage": "yes"}}, ["stream_options", "include_usage"]),
    ({"user": 7}, ["user"]),
]


@pytest.mark.parametrize(("fields", "path"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_refusal_names_the_field(simulator: SimulatorProcess, fields: dict[str, Any], path: list[str | int]) -> None:
    answer = send(simulator, **fields)
    assert answer.status == 400
    error = answer.json["error"]
    assert error["type"] == "invalid_request_error"
    assert path in [detail["path"] for detail in error["details"]]
    assert error["request_id"] == answer.headers["x-request-id"]


TAKEN: list[dict[str, Any]] = [
    {"temperature": 0, "top_p": 1, "max_tokens": 5, "seed": 7, "stop": "x", "user": "me"},
    {"presence_penalty": -2, "frequency_penalty": 2, "logit_bias": {"50": -100}, "n": 1},
    {"response_format": {"type": "text"}, "something_else": {"passed": "on"}},
    {"tools": [TOOL], "tool_choice": "none"},
    {"messages": [*HELLO, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "found"}]},
]  # fmt: skip


@pytest.mark.parametrize("fields", TAKEN, ids=lambda value: str(value)[:40])
def test_what_the_api_documents_is_taken(simulator: SimulatorProcess, fields: dict[str, Any]) -> None:
    assert send(simulator, **fields).status == 200


def test_a_body_that_is_not_json(simulator: SimulatorProcess) -> None:
    answer = request(f"{simulator.base_url}/chat/completions", b"{")
    assert answer.status == 400
    assert "not JSON" in answer.json["error"]["message"]


def test_input_and_output_share_the_context() -> None:
    assert context_problem({}, 32_000) is None
    assert context_problem({"max_tokens": 768}, 32_000) is None
    assert context_problem({"max_tokens": 769}, 32_000) is not None
    assert context_problem({}, 32_768) is not None


def test_every_response_has_an_id(simulator: SimulatorProcess) -> None:
    root = simulator.base_url
    answers = [
        send(simulator),
        send(simulator, n=2),
        request(f"{root}/completions"),
        request(f"{root}/chat/completions"),
        request(f"{root}/chat/completions", b"["),
    ]
    assert [answer.status for answer in answers] == [200, 400, 404, 405, 400]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 5

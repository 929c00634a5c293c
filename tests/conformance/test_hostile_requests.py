"""Invalid requests: the simulator answers each with an error envelope and a request_id, and continues."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from playground.simulator.process import SimulatorProcess
from tests.conformance.talk import stats
from tests.simulator.talk import HELLO, Answer, request, send

SEED = 3
RANDOM_BODIES = 300
DEEP = json.loads("[" * 200 + "]" * 200)
ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    1e300,
    10**30,
    "",
    "x",
    "\ud83d",
    "\u2028",
    [],
    [None],
    {},
    {"a": []},
    DEEP,
)


def _tool(parameters: Any, name: Any = "find_hello", description: Any = "hello") -> dict[str, Any]:
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def _properties(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TOOLS: dict[str, dict[str, Any]] = {
    "an enum that is an object": _tool(_properties(city={"enum": {"a": 1}})),
    "an enum that is a number": _tool(_properties(city={"enum": 7})),
    "a type that is a list": _tool(_properties(city={"type": ["string", "null"]})),
    "a type that is an object": _tool(_properties(city={"type": {}})),
    "properties that are a list": _tool({"properties": [1, 2]}),
    "a property that is a word": _tool(_properties(city="string")),
    "no schema": _tool(None),
    "a description that is a number": _tool({}, description=7),
    "a lone surrogate in its name": _tool({}, name="hello\ud83d"),
}


def _well_answered(answer: Answer) -> None:
    assert answer.status in (200, 400, 413), answer.body[:300]
    assert answer.headers["x-request-id"]
    if answer.status != 200:
        error = answer.json["error"]
        assert error["request_id"] == answer.headers["x-request-id"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", TOOLS)
def test_odd_tools(simulator: SimulatorProcess, name: str, stream: bool) -> None:
    answer = send(simulator, tools=[TOOLS[name]], tool_choice="required", stream=stream)
    _well_answered(answer)
    if answer.status == 200 and stream:
        assert answer.events[-1] == "[DONE]"


@pytest.mark.parametrize("field", ["integer", "number"])
def test_a_number_of_thousands_of_digits(simulator: SimulatorProcess, field: str) -> None:
    messages = [{"role": "user", "content": "hello " + "9" * 6000}]
    tool = _tool(_properties(amount={"type": field}))
    answer = send(simulator, messages=messages, tools=[tool], tool_choice="required")
    _well_answered(answer)
    json.loads(answer.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])


def test_every_field_with_every_odd_value(simulator: SimulatorProcess) -> None:
    fields = (
        *("model", "messages", "temperature", "top_p", "max_tokens", "stream", "stream_options", "stop", "seed"),
        *("response_format", "tools", "tool_choice", "logit_bias", "logprobs", "top_logprobs", "presence_penalty"),
        *("user", "n", "prompt_logprobs", "parallel_tool_calls", "an_unknown_field"),
    )
    for field in fields:
        for value in ODD:
            _well_answered(send(simulator, **{"max_tokens": 3, field: value}))
    assert stats(simulator)["in_flight"] == 0


def test_every_field_of_a_message_with_every_odd_value(simulator: SimulatorProcess) -> None:
    for role in ("system", "user", "assistant", "tool", "developer"):
        for field in ("role", "content", "tool_calls", "tool_call_id", "name"):
            for value in ODD:
                message = {"role": role, "content": "hello", field: value}
                _well_answered(send(simulator, messages=[*HELLO, message], max_tokens=3))


def test_random_bodies(simulator: SimulatorProcess) -> None:
    chance = Random(SEED)
    good = json.dumps({"model": "electron", "messages": HELLO, "max_tokens": 2, "tools": [_tool({})]}).encode()
    for _ in range(RANDOM_BODIES):
        body = bytearray(good)
        for _ in range(chance.randint(1, 5)):
            start = chance.randint(0, len(body))
            body[start : start + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 5))
        _well_answered(request(f"{simulator.base_url}/chat/completions", bytes(body)))


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "1e400", "x", "1_0", "99999999999999999999999999"])
@pytest.mark.parametrize("fault", ["429", "cut", "stall", "stream_error", "slow_headers", "slow_first_byte"])
def test_a_fault_with_a_number_that_is_none(simulator: SimulatorProcess, fault: str, number: str) -> None:
    answer = send(simulator, {"X-Simulate": f"{fault}={number}"}, stream=True)
    _well_answered(answer)
    assert answer.status == 400


def test_a_queue_of_faults_takes_no_nonsense(simulator: SimulatorProcess) -> None:
    root = simulator.base_url.removesuffix("/waves/v1")
    nonsense: tuple[object, ...] = (
        None,
        7,
        [],
        {"fault": 7},
        {"fault": "503", "times": -1},
        {"fault": "503", "times": 10**9},
        {"fault": "503", "times": []},
    )
    for asked in nonsense:
        _well_answered(request(f"{root}/simulator/faults", json.dumps(asked).encode()))
    assert send(simulator).status == 200


def test_a_body_that_is_too_large(simulator: SimulatorProcess) -> None:
    content = "x" * (17 * 1024 * 1024)
    _well_answered(send(simulator, messages=[{"role": "user", "content": content}]))

"""Scripted dialogues over a real socket: scripted events in order, with their time, never early."""

from __future__ import annotations

import time
from typing import Any

import pytest

from playground.simulator.process import SimulatorProcess
from tests.simulator.talk import HELLO, send

CALLED: list[dict[str, Any]] = [
    *HELLO,
    {
        "role": "assistant",
        "content": "One sec!",
        "tool_calls": [{"id": "call_1_0", "type": "function", "function": {"name": "get_balance", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1_0", "content": "412"},
]


def test_the_voice_example_is_played_turn_by_turn(simulator: SimulatorProcess) -> None:
    began = time.monotonic()
    first = send(simulator, scenario="voice_example", stream=True, stream_options={"include_usage": True})
    assert time.monotonic() - began >= 0.28
    *chunks, usage = first.chunks
    assert [chunk["simulated_ms"] for chunk in chunks] == [250, 270, 280, 280]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["content"] == "One sec!"
    head, more = deltas[1]["tool_calls"][0], deltas[2]["tool_calls"][0]
    assert head["function"]["arguments"] + more["function"]["arguments"] == '{"account":"AC-10442"}'
    assert (head["index"], more["index"]) == (0, 0)
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert usage["usage"]["completion_tokens"] > 0

    second = send(simulator, scenario="voice_example", stream=True, messages=CALLED)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in second.chunks) == "It is ₹412! Anything else?"
    assert second.chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_after_the_last_turn_the_last_is_played_again(simulator: SimulatorProcess) -> None:
    for messages in (HELLO, CALLED, [*CALLED, *CALLED[1:]]):
        message = send(simulator, scenario="no_end", messages=messages).json["choices"][0]["message"]
        assert message["tool_calls"][0]["function"]["name"] == "get_balance"
        assert message["tool_calls"][0]["id"] == f"call_{len(messages)}_0"


def test_a_script_of_ones_own_with_two_calls(simulator: SimulatorProcess) -> None:
    script = [
        [
            {"at_ms": 0, "call": {"name": "a", "arguments": "{"}},
            {"at_ms": 1, "more": "}"},
            {"at_ms": 2, "call": {"name": "b", "id": "mine", "arguments": "["}},
        ]
    ]
    choice = send(simulator, scenario=script).json["choices"][0]
    assert choice["message"]["content"] is None
    assert [(call["id"], call["function"]) for call in choice["message"]["tool_calls"]] == [
        ("call_1_0", {"name": "a", "arguments": "{}"}),
        ("mine", {"name": "b", "arguments": "["}),
    ]


@pytest.mark.parametrize(
    "scenario",
    [
        "no_such",
        [],
        3,
        None,
        [[{}]],
        [[{"at_ms": 5, "content": "a"}, {"at_ms": 4, "content": "b"}]],
        [[{"at_ms": 0, "more": "x"}]],
        [[{"at_ms": 0, "call": {}}]],
        [[{"at_ms": 0, "call": "x"}]],
        [[{"at_ms": "soon", "content": "a"}]],
        [[{"at_ms": 1e9, "content": "a"}]],
        ["abc"],
    ],
)
def test_a_script_that_cannot_be_played_is_refused_at_its_field(simulator: SimulatorProcess, scenario: Any) -> None:
    answer = send(simulator, scenario=scenario)
    assert answer.status == 400
    assert answer.json["error"]["details"][0]["path"] == ["scenario"]

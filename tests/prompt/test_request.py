"""The exact body: order, bytes, variables."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from playground.prompt.document import Document, Message, Tool, ToolCall, open_calls, with_new_call
from playground.prompt.field_errors import InputError
from playground.prompt.request import body_fields, encode, missing_variables, to_request

ODD = "a\u00a0b\u2028c\u2029d\re\r\nf\x00g\u0085h\ufeffi\U0001f600j"
TOOL = Tool.of({"type": "function", "function": {"name": "look_up", "parameters": {"z": 1, "a": 2}}})


def test_body_keeps_one_order_of_keys() -> None:
    document = Document(
        tools=(TOOL,), messages=(Message("user", "hello"),), parameters={"temperature": 0, "max_tokens": 5}
    )
    assert list(body_fields(document, "electron")) == [
        "model",
        "tools",
        "messages",
        "temperature",
        "max_tokens",
        "stream",
        "stream_options",
    ]
    assert b'"parameters":{"z":1,"a":2}' in to_request(document, "electron").body


def test_odd_characters_reach_the_body_unchanged() -> None:
    request = to_request(Document(messages=(Message("user", ODD),)), "electron")
    assert json.loads(request.body)["messages"][0]["content"] == ODD
    assert "\u2028".encode() in request.body


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_survives_the_body(text: str) -> None:
    body = (
        to_request(Document(messages=(Message("user", text),), variables={}), "electron").body
        if ("{{" not in text)
        else encode({"messages": [{"content": text}]})
    )
    assert json.loads(body)["messages"][0]["content"] == text


def test_usage_is_asked_for_when_streaming_unless_switched_off() -> None:
    messages = (Message("user", "hello"),)
    assert to_request(Document(messages=messages), "electron").fields["stream_options"] == {"include_usage": True}
    assert "stream_options" not in to_request(Document(messages=messages, include_usage=False), "electron").fields
    assert "stream" not in to_request(Document(messages=messages, stream=False), "electron").fields


def test_empty_tools_are_left_out() -> None:
    assert "tools" not in body_fields(Document(messages=(Message("user", "hello"),)), "electron")


def test_content_is_null_beside_tool_calls() -> None:
    call = ToolCall("call_1", "look_up", '{"a": 1}')
    document = Document(messages=(Message("assistant", None, (call,)), Message("tool", "42", tool_call_id="call_1")))
    first, second = json.loads(to_request(document, "electron").body)["messages"]
    assert first["content"] is None
    assert first["tool_calls"][0]["function"] == {"name": "look_up", "arguments": '{"a": 1}'}
    assert second["tool_call_id"] == "call_1"


def test_a_missing_variable_is_named_with_its_place() -> None:
    document = Document(messages=(Message("system", "fixed"), Message("user", "Hi {{name}}, {{question}}")))
    with pytest.raises(InputError) as caught:
        to_request(document.with_variable("question", "why?"), "electron")
    (problem,) = caught.value.problems
    assert problem.path == ("variables", "name")
    assert "{{name}}" in problem.message


def test_no_message_is_refused() -> None:
    with pytest.raises(InputError, match="no message"):
        to_request(Document(), "electron")


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode({"temperature": float("nan")})


def test_a_new_call_has_an_id_of_its_own_and_can_be_answered() -> None:
    document = Document(messages=(Message("user", "Where?"), Message("assistant", "")))
    once = with_new_call(document, 1)
    twice = with_new_call(once, 1)
    calls = twice.messages[1].tool_calls
    assert [call.id for call in calls] == ["call_1", "call_2"]
    assert twice.messages[1].content is None
    answered = (*twice.messages, Message("tool", "42", tool_call_id="call_2"), Message("tool", "", tool_call_id=""))
    assert open_calls(answered, 3) == (calls[0],)
    assert open_calls(answered, 1) == ()
    assert with_new_call(Document(messages=(Message("assistant", "One moment."),)), 0).messages[0].content


def test_a_new_call_is_of_a_tool_that_there_is() -> None:
    tool = Tool.of({"type": "function", "function": {"name": "look_up"}})
    document = with_new_call(Document(tools=(tool,), messages=(Message("assistant", ""),)), 0)
    assert document.messages[0].tool_calls[0].name == "look_up"


def test_missing_variables_are_named_in_the_order_of_first_use_also_behind_a_message_without_content() -> None:
    call = Message("assistant", None, (ToolCall("c", "f", "{}"),))
    document = Document(
        messages=(Message("user", "{{a}}"), call, Message("user", "ab {{b}} {{c}}"), Message("user", "{{c}} {{b}}")),
        variables={"a": ""},
    )
    assert [problem.path for problem in missing_variables(document)] == [("variables", "b"), ("variables", "c")]
    assert missing_variables(replace(document, variables={"a": "", "b": "", "c": "{{d}}"})) == ()

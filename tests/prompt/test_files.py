"""Prompt files: what goes in comes out; what cannot be taken is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.assets import asset
from playground.prompt.document import ROLES, Document, Message, Tool, ToolCall
from playground.prompt.field_errors import InputError
from playground.prompt.files import FORMAT_KEY, dump, load, parse, parse_bytes
from playground.prompt.request import to_request
from playground.prompt.variables import names

TEXT = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.builds(ToolCall, TEXT, TEXT, TEXT)
MESSAGES = st.builds(Message, st.sampled_from(ROLES), TEXT, st.lists(CALLS, max_size=2).map(tuple), st.none() | TEXT)
DOCUMENTS = st.builds(
    Document,
    name=TEXT,
    tools=st.lists(st.dictionaries(TEXT, JSON, max_size=3).map(Tool.of), max_size=2).map(tuple),
    messages=st.lists(MESSAGES, max_size=3).map(tuple),
    variables=st.dictionaries(TEXT, TEXT, max_size=3),
    parameters=st.dictionaries(TEXT, JSON, max_size=3),
    stream=st.booleans(),
    include_usage=st.booleans(),
)


@given(DOCUMENTS)
def test_any_document_comes_back_whole(document: Document) -> None:
    assert load(dump(document)) == document
    assert parse_bytes(dump(document).encode()).document == document


def test_a_request_body_opens_and_is_sent_as_it_was() -> None:
    body = {
        "model": "qwen",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "messages": [{"role": "user", "content": "hello\u00a0there", "name": "ada"}],
        "temperature": 0.2,
        "metadata": {"mine": [1, 2]},
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    opened = parse(json.dumps(body))
    assert opened.model == "qwen"
    assert to_request(opened.document, "qwen").fields == body


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("hello", "line 1, column 1"),
        ("[1]", "not an object"),
        ("{}", "neither a prompt file nor a request body"),
        ('{"messages": [{"role": "developer", "content": "x"}]}', "messages[0].role"),
        ('{"messages": [{"role": "user", "content": 5}]}', "messages[0].content: should be text, but is a number"),
        ('{"messages": [{"role": "user", "content": [{"type": "text"}]}]}', "messages[0].content: is a list of parts"),
        ('{"messages": {"role": "user"}}', "messages: should be a list"),
        ('{"messages": [], "temperature": NaN}', "NaN"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]}', "messages[0].tool_calls[0].id"),
        (json.dumps({FORMAT_KEY: 99}), "a newer version wrote this file"),
        (json.dumps({FORMAT_KEY: "1"}), "not a version number"),
        (json.dumps({FORMAT_KEY: 1, "variables": {"a": 1}}), "variables.a"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_taken_is_named(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert says in str(caught.value)


def test_every_problem_is_named_at_once() -> None:
    text = json.dumps({"messages": [{"role": "x", "content": 1}, {"role": "y", "content": "fine"}]})
    with pytest.raises(InputError) as caught:
        parse(text)
    assert [problem.field for problem in caught.value.problems] == [
        "messages[0].role",
        "messages[0].content",
        "messages[1].role",
    ]


def test_not_utf8_is_named_with_its_place() -> None:
    with pytest.raises(InputError, match="byte 2"):
        parse_bytes(b'{"\xff')


def test_a_byte_order_mark_is_taken() -> None:
    assert parse_bytes(b'\xef\xbb\xbf{"messages": []}').document == Document()


def test_the_sample_is_real_sized_and_well_placed() -> None:
    document = parse_bytes(asset("prompts/acme-phone-agent.prompt.json").read_bytes()).document
    system = document.messages[0]
    assert system.role == "system"
    assert len((system.content or "").split()) >= 600
    assert names(document.messages[:-1]) == ()
    assert names(document.messages) == ("caller_name", "question")
    assert to_request(document, "electron").body

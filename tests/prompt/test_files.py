"""Prompt files: a written prompt is read again unchanged; invalid input is named."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from playground import asset
from playground.prompt.document import ROLES, Document, Json, Message, Tool, ToolCall, names
from playground.prompt.field_errors import InputError
from playground.prompt.files import FORMAT_KEY, FileFormat, dump, load, missing_in, parse, parse_bytes
from playground.prompt.limits import OWN_PLACE, check
from playground.prompt.request import to_request

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
    parameters=st.dictionaries(TEXT.filter(lambda name: name not in OWN_PLACE), JSON, max_size=3),
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
        ('{"messages": [{"role": "critic", "content": "x"}]}', "messages[0].role"),
        ('{"messages": [{"role": "user", "content": 5}]}', "messages[0].content: should be text, but is a number"),
        (
            '{"messages": [{"role": "user", "content": [{"type": "text"}]}]}',
            "messages[0].content[0]: is a part of type text",
        ),
        ('{"messages": {"role": "user"}}', "messages: should be a list"),
        ('{"messages": [], "temperature": NaN}', "NaN"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]}', "messages[0].tool_calls[0].id"),
        (json.dumps({FORMAT_KEY: 99}), "a newer version wrote this file"),
        (json.dumps({FORMAT_KEY: "1"}), "not a version number"),
        (json.dumps({FORMAT_KEY: 1, "variables": {"a": 1}}), "variables.a"),
        ("[" * 100_000, "nested more than"),
        ('{"messages": [], "seed": ' + "1" * 5_000 + "}", "digits"),
        ('{"messages": [], "top_p": 1e999}', "too large"),
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


BODY = {
    "messages": [{"role": "system", "content": "a {{x}}"}, {"role": "user", "content": "b"}],
    "temperature": 0.5,
    "model": "gpt-4o",
    "stream_options": {"include_obfuscation": False},
    "seed": 7,
}


def test_dump_request_body_keeps_format_model_keys_and_order() -> None:
    opened = parse(json.dumps(BODY))
    assert (opened.format.kind, opened.model) == ("request_body", "gpt-4o")
    saved = json.loads(dump(opened.document, opened.format))
    assert saved == BODY
    assert list(saved) == list(BODY)


@pytest.mark.parametrize("stream", [True, False, None])
@pytest.mark.parametrize("usage", [True, False, None])
@pytest.mark.parametrize("tools", [[], None])
def test_dump_unchanged_request_body_is_equal(
    stream: bool | None, usage: bool | None, tools: list[Json] | None
) -> None:
    body: dict[str, Json] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    given: dict[str, Json] = (
        body | ({} if stream is None else {"stream": stream}) | ({} if tools is None else {"tools": tools})
    )
    given |= {} if usage is None else {"stream_options": {"include_usage": usage}}
    opened = parse(json.dumps(given))
    assert json.loads(dump(opened.document, opened.format)) == given


def test_dump_changed_request_body_has_the_change_only() -> None:
    opened = parse(json.dumps(BODY))
    changed = replace(opened.document, stream=False, parameters={"temperature": 0.5, "top_p": 0.1})
    saved = json.loads(dump(changed, opened.format))
    assert saved == {key: value for key, value in BODY.items() if key != "seed"} | {"stream": False, "top_p": 0.1}


def test_dump_request_body_without_model_gets_none() -> None:
    opened = parse(json.dumps({"messages": []}))
    assert "model" not in json.loads(dump(opened.document, opened.format))


def test_missing_in_request_body_names_variables_and_prompt_file_nothing() -> None:
    document = Document(name="n", variables={"x": "1"})
    assert len(missing_in(document, FileFormat("request_body"))) == 2
    assert missing_in(document, FileFormat()) == ()


@pytest.mark.parametrize("text", [json.dumps(BODY), dump(Document())])
def test_file_format_fields_read_back_equal(text: str) -> None:
    file_format = parse(text).format
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(file_format))), FileFormat) == file_format


@pytest.mark.parametrize(
    "value", [None, [], {"kind": "x"}, {"model": 1}, {"stream_options": "[]"}, {"stream_options": "{"}]
)
def test_file_format_from_other_fields_raises(value: Json) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        msgspec.convert(value, FileFormat)


def test_parse_text_parts_are_joined_and_noted() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    opened = parse(json.dumps({"messages": [{"role": "user", "content": parts}]}))
    assert opened.document.messages[0].content == "a\nb"
    assert len(opened.notes) == 1
    single = parse(json.dumps({"messages": [{"role": "user", "content": parts[:1]}]}))
    assert (single.document.messages[0].content, single.notes) == ("a", ())


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ([], ()),
        ([{"type": "image_url", "image_url": {}}], (0,)),
        ([{"type": "text", "text": "a"}, "b"], (1,)),
        ([{"type": "text"}], (0,)),
    ],
)
def test_parse_parts_that_are_not_text_is_refused(content: Json, place: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        parse(json.dumps({"messages": [{"role": "user", "content": content}]}))
    assert caught.value.problems[0].path == ("messages", 0, "content", *place)


def test_parse_developer_role_opens_and_is_refused_by_the_check() -> None:
    document = parse('{"messages": [{"role": "developer", "content": "x"}]}').document
    assert document.messages[0].role == "developer"
    assert [finding.problem.path for finding in check(document) if finding.refused] == [("messages", 0, "role")]


def test_dump_invalid_parameter_text_is_kept_in_a_prompt_file() -> None:
    document = Document(messages=(Message("user", "x"),), invalid={"temperature": "0,7"})
    assert load(dump(document)) == document
    assert "invalid" not in json.loads(dump(Document()))


def test_unknown_field_of_a_prompt_file_is_an_error_or_a_note() -> None:
    text = {"electron_playground_prompt": 1, "messages": [], "paramters": {"temperature": 0}}
    with pytest.raises(InputError, match=r"^paramters: is not a field of a prompt file\. Write it as parameters\.$"):
        parse(json.dumps(text))
    opened = parse(json.dumps({"electron_playground_prompt": 1, "messages": [], "owner": "me"}))
    assert opened.notes == ("owner is not a field of a prompt file: it was left out.",)

"""The API's limits: checks of a document, and typed texts as values."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from playground.lint.engine import advise
from playground.lint.prompt_facts import LintContext
from playground.prompt.document import Document, Json, Message, Role, Tool, ToolCall
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, load
from playground.prompt.limits import (
    CONTEXT_TOKENS,
    EMPTY,
    EXTRA_FIELDS,
    PARAMETERS,
    LimitFinding,
    check,
    context_finding,
    empty_prompt,
    invalid_errors,
    parse,
    show,
    with_typed,
    with_typed_extra,
)
from playground.prompt.request import to_request
from playground.simulator.wire import problems as server_problems

ASK = Message("user", "Where is my order?")


def _tool(name: str) -> Tool:
    return Tool.of({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})


LOOK_UP = _tool("look_up")
CALL = ToolCall("call_1", "look_up", "{}")
NAMED: Json = {"type": "function", "function": {"name": "look_up"}}
UNKNOWN_NAME: Json = {"type": "function", "function": {"name": "search"}}


def with_(parameters: Mapping[str, Json], *tools: Tool) -> Document:
    """One question with parameters and tools."""
    return Document(messages=(ASK,), parameters=parameters, tools=tools)


def talk(*messages: Message) -> Document:
    """A conversation."""
    return Document(messages=messages)


def paths(found: tuple[LimitFinding, ...], *, refused: bool) -> list[tuple[str | int, ...]]:
    """Where it was found."""
    return [finding.problem.path for finding in found if finding.refused is refused]


REFUSED: dict[str, Document] = {
    "no message": Document(),
    "201 messages": Document(messages=(ASK,) * 201),
    "65 tools": with_({}, *(LOOK_UP,) * 65),
    "a tool without a name": with_({}, Tool.of({"type": "function", "function": {"name": ""}})),
    "no content": talk(Message("user", None)),
    "no content on an assistant without calls": talk(ASK, Message("assistant", None)),
    "no id on a tool message": talk(ASK, Message("assistant", None, (CALL,)), Message("tool", "42")),
    "n": with_({"n": 2}),
    "prompt_logprobs": with_({"prompt_logprobs": 1}),
    "temperature": with_({"temperature": 2.1}),
    "temperature as text": with_({"temperature": "1"}),
    "top_p": with_({"top_p": -0.1}),
    "max_tokens": with_({"max_tokens": 0}),
    "half a token": with_({"max_tokens": 1.5}),
    "presence_penalty": with_({"presence_penalty": 3}),
    "frequency_penalty": with_({"frequency_penalty": -3}),
    "seed": with_({"seed": 1.5}),
    "top_logprobs": with_({"top_logprobs": 21, "logprobs": True}),
    "five stops": with_({"stop": ["a", "b", "c", "d", "e"]}),
    "a stop of numbers": with_({"stop": [1]}),
    "response_format": with_({"response_format": {"type": "yaml"}}),
    "tool_choice without tools": with_({"tool_choice": "required"}),
    "tool_choice of another name": with_({"tool_choice": UNKNOWN_NAME}, LOOK_UP),
    "logprobs": with_({"logprobs": "yes"}),
    "user": with_({"user": 7}),
    "logit_bias": with_({"logit_bias": {"50256": "much"}}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_server_refuses_is_refused_at_the_same_place(name: str) -> None:
    document = REFUSED[name]
    found = paths(check(document), refused=True)
    assert found
    if document.messages:
        server = server_problems(to_request(document, "electron").fields)
        assert {detail.path for detail in server} == set(found)


def test_top_logprobs_alone_is_refused() -> None:
    document = with_({"top_logprobs": 5})
    assert paths(check(document), refused=True) == [("top_logprobs",)]
    assert server_problems(to_request(document, "electron").fields)


GOOD: dict[str, Document] = {
    "plain": talk(ASK),
    "200 messages": Document(messages=(ASK,) * 200),
    "64 tools": with_(
        {}, *(Tool.of({"type": "function", "function": {"name": f"tool_{index}"}}) for index in range(64))
    ),
    "ends of the ranges": with_({"temperature": 2, "top_p": 0, "max_tokens": 1, "presence_penalty": -2, "n": 1}),
    "a call, its filler and its answer": talk(
        ASK, Message("assistant", "One moment.", (CALL,)), Message("tool", "42", tool_call_id="call_1")
    ),
    "an assistant that only calls": talk(
        ASK, Message("assistant", None, (CALL,)), Message("tool", "42", tool_call_id="call_1"), ASK
    ),
    "two calls answered the other way round": talk(
        ASK,
        Message("assistant", None, (CALL, ToolCall("call_2", "look_up", "{}"))),
        Message("tool", "2", tool_call_id="call_2"),
        Message("tool", "1", tool_call_id="call_1"),
    ),
    "a name of 64 letters": with_({}, _tool("look-UP_" * 8)),
    "a named tool": with_({"tool_choice": NAMED}, LOOK_UP),
    "required": with_({"tool_choice": "required"}, LOOK_UP),
    "undocumented fields": with_({"reasoning_effort": "low", "metadata": {"a": [1, None]}}),
    "unset": with_({"temperature": None, "n": None}),
    "stops": with_({"stop": ["a", "b", "c", "d"]}),
    "an empty text": talk(Message("system", ""), ASK),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_the_server_takes_is_not_spoken_of(name: str) -> None:
    assert check(GOOD[name]) == ()
    assert server_problems(to_request(GOOD[name], "electron").fields) == []


CALLING = Message("assistant", None, (CALL,))
WARNED: dict[str, tuple[Document, tuple[str | int, ...]]] = {
    "no answer": (talk(ASK, CALLING, ASK), ("messages", 1, "tool_calls", 0, "id")),
    "no answer at the end": (talk(ASK, CALLING), ("messages", 1, "tool_calls", 0, "id")),
    "no call": (talk(ASK, Message("tool", "42", tool_call_id="call_9")), ("messages", 1, "tool_call_id")),
    "a message between": (
        talk(
            ASK, CALLING, Message("tool", "1", tool_call_id="call_1"), ASK, Message("tool", "2", tool_call_id="call_1")
        ),
        ("messages", 4, "tool_call_id"),
    ),
    "answered twice": (
        talk(ASK, CALLING, *(Message("tool", "1", tool_call_id="call_1"),) * 2),
        ("messages", 3, "tool_call_id"),
    ),
    "one id for two calls": (
        talk(ASK, Message("assistant", None, (CALL, CALL)), Message("tool", "1", tool_call_id="call_1")),
        ("messages", 1, "tool_calls", 1, "id"),
    ),
    "arguments that are no JSON": (
        talk(
            ASK,
            Message("assistant", None, (ToolCall("call_1", "look_up", "{"),)),
            Message("tool", "1", tool_call_id="call_1"),
        ),
        ("messages", 1, "tool_calls", 0, "function", "arguments"),
    ),
    "a name of a function with a dot": (with_({}, _tool("look.up")), ("tools", 0, "function", "name")),
    "a name of a function with 65 letters": (with_({}, _tool("a" * 65)), ("tools", 0, "function", "name")),
    "a call of such a name": (
        talk(
            ASK,
            Message("assistant", None, (CALL, ToolCall("call_2", "look up", "{}"))),
            *(Message("tool", "1", tool_call_id=each) for each in ("call_1", "call_2")),
        ),
        ("messages", 1, "tool_calls", 1, "function", "name"),
    ),
    "a name twice": (with_({}, LOOK_UP, LOOK_UP), ("tools", 1, "function", "name")),
    "no usage": (Document(messages=(ASK,), include_usage=False), ("stream_options", "include_usage")),
}


@pytest.mark.parametrize("name", WARNED)
def test_a_likely_mistake_is_a_warning(name: str) -> None:
    document, path = WARNED[name]
    found = check(document)
    assert paths(found, refused=True) == []
    assert paths(found, refused=False) == [path]


def test_usage_is_not_missed_where_nothing_streams() -> None:
    assert check(Document(messages=(ASK,), stream=False, include_usage=False)) == ()


ROLES: tuple[Role, ...] = ("system", "user")


@pytest.mark.parametrize("role", ROLES)
def test_calls_belong_to_the_assistant_only(role: Role) -> None:
    assert paths(check(talk(Message(role, None, ()))), refused=True) == [("messages", 0, "content")]


@pytest.mark.parametrize(
    ("prompt", "limit", "fits"),
    [
        (CONTEXT_TOKENS - 100, 100, True),
        (CONTEXT_TOKENS - 100, 101, False),
        (CONTEXT_TOKENS - 1, None, True),
        (CONTEXT_TOKENS, None, False),
        (40_000.0, None, False),
        (10.0, "x", True),
    ],
)
def test_context(prompt: float, limit: Json, fits: bool) -> None:
    assert (context_finding(prompt, limit, CONTEXT_TOKENS) is None) is fits


def test_the_context_says_by_how_much() -> None:
    found = context_finding(33_000.4, 1_000, CONTEXT_TOKENS)
    assert found is not None
    assert not found.refused, "it rests on an estimate"
    assert "≈ 1,232 too many" in found.problem.message
    assert found.problem.path == ("max_tokens",)


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_a_file_cannot_put_a_field_of_its_own_place_among_the_parameters(name: str) -> None:
    with pytest.raises(InputError) as bad:
        load(f'{{"electron_playground_prompt": 1, "messages": [], "parameters": {{"{name}": "other"}}}}')
    assert bad.value.problems[0].path == ("parameters", name)
    assert paths(check(with_({name: "other"})), refused=True) == [(name,)]


@pytest.mark.parametrize(("context_tokens", "fits"), [(None, True), (131_072, True), (8_192, False)])
def test_context_finding_uses_the_endpoints_context_length(context_tokens: int | None, fits: bool) -> None:
    assert (context_finding(40_000, None, context_tokens) is None) is fits


BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
PROMPT = Document(messages=(Message("user", "hi"),), parameters={"temperature": 0.2})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temperature", "0,7"),
        ("temperature", "warm"),
        ("temperature", "1_0"),
        ("temperature", "٠٫٧"),
        ("temperature", "0.7.1"),
        ("temperature", "nan"),
        ("temperature", "inf"),
        ("temperature", "1e999"),
        ("temperature", "0x1"),
        ("temperature", "½"),
        ("max_tokens", "1.5"),
        ("max_tokens", "1_000"),
        ("max_tokens", "1" * 5_000),
        ("seed", "٣"),
        ("logprobs", "yes"),
        ("response_format", "xml"),
        ("logit_bias", "[]"),
        ("logit_bias", '{"1": NaN}'),
        ("logit_bias", "[" * 2_000),
        ("logit_bias", '{"1": ' + "9" * 5_000 + "}"),
    ],
)
def test_with_typed_invalid_text_is_kept_and_nothing_is_sent(name: str, text: str) -> None:
    document, error = with_typed(PROMPT, BY_NAME[name], text)
    assert error is not None
    assert error.path == (name,)
    assert len(str(error)) < 300
    assert document.invalid == {name: text}
    assert name not in document.parameters
    with pytest.raises(InputError) as caught:
        to_request(document, "electron")
    assert [problem.path for problem in caught.value.problems] == [(name,)]
    assert (name,) in [finding.problem.path for finding in check(document) if finding.refused]
    assert load(dump(document)) == document


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "7", 7),
        ("max_tokens", "0", 0),
        ("top_logprobs", "21", 21),
        ("presence_penalty", "-3", -3),
        ("stop", "a\nb\nc\nd\ne", [*"abcde"]),
    ],
)
def test_with_typed_value_beyond_electrons_range_is_refused_by_electron_only(name: str, text: str, value: Json) -> None:
    document, error = with_typed(PROMPT, BY_NAME[name], text)
    assert (document.parameters[name], dict(document.invalid), error) == (value, {}, None)
    assert json.loads(to_request(document, "other-model").body)[name] == value
    assert (name,) in [finding.problem.path for finding in check(document) if finding.refused]
    assert not [finding for finding in check(document, electron=False) if finding.refused]


def test_with_typed_valid_or_empty_text_clears_the_invalid_one() -> None:
    invalid, _ = with_typed(PROMPT, BY_NAME["temperature"], "x")
    valid, error = with_typed(invalid, BY_NAME["temperature"], "0.7")
    assert (dict(valid.parameters), dict(valid.invalid), error) == ({"temperature": 0.7}, {}, None)
    empty, error = with_typed(invalid, BY_NAME["temperature"], " ")
    assert (dict(empty.parameters), dict(empty.invalid), error) == ({}, {}, None)


def test_with_typed_keeps_the_order_of_set_parameters() -> None:
    document = replace(PROMPT, parameters={"temperature": 0.2, "seed": 1})
    changed, _ = with_typed(document, BY_NAME["temperature"], "0.3")
    assert list(changed.parameters.items()) == [("temperature", 0.3), ("seed", 1)]


@pytest.mark.parametrize("text", ["{", "[1]", '{"model": "x"}', '{"seed": 1}', '{"x": 1e999}', "{" * 5_000])
def test_with_typed_extra_invalid_text_is_kept_and_nothing_is_sent(text: str) -> None:
    document, error = with_typed_extra(PROMPT, text)
    assert error is not None
    assert document.invalid == {EXTRA_FIELDS: text}
    with pytest.raises(InputError):
        to_request(document, "electron")
    valid, error = with_typed_extra(document, '{"top_k": 5}')
    assert (dict(valid.parameters), dict(valid.invalid), error) == ({"temperature": 0.2, "top_k": 5}, {}, None)


def test_invalid_errors_text_that_is_valid_now_still_blocks() -> None:
    assert len(invalid_errors({"temperature": "0.5", EXTRA_FIELDS: "{}"})) == 2


ODD: list[Json] = [
    None,
    True,
    -1,
    0.5,
    10**299,
    "text",
    "",
    [],
    ["f"],
    [["f"]],
    {},
    {"type": ["f"]},
    {"type": "function"},
    {"type": "function", "function": []},
    {"type": "function", "function": {"name": ["f"]}},
    {"type": "function", "function": {"name": {"a": 1}}},
    {"type": "json_schema", "json_schema": {"name": "x", "schema": []}},
    {"a": {"b": [1, None, {"c": "\ud800"}]}},
]
TOOLS = (Tool.of({"type": "function", "function": {"name": "f", "description": "d"}}), Tool.of({}))


@pytest.mark.parametrize("name", [*BY_NAME, "n", "prompt_logprobs", "unknown_field"])
@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["no tools", "tools"])
def test_odd_parameter_values_in_a_document_are_handled_everywhere(
    name: str, value: Json, tools: tuple[Tool, ...]
) -> None:
    document = replace(PROMPT, parameters={name: value}, tools=tools)
    check(document)
    context_finding(1_000, value, 32_768)
    advise(document, LintContext())
    assert load(dump(document)) == document
    assert to_request(document, "electron").body
    if name in BY_NAME:
        shown = show(BY_NAME[name], value)
        assert isinstance(shown, str)
        try:
            again = parse(BY_NAME[name], shown)
        except InputError:
            return
        assert again in (value, None) or shown == value or BY_NAME[name].kind in ("choice", "text", "stop")


NO_GLYPH = " \n\t\u00a0\u2028\u200b\u2060\ufeff\u00ad\u034f\u3164\ufe0f\U000e0041\u2800\x00"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (Document(), EMPTY),
        (talk(Message("system", ""), Message("user", "")), EMPTY),
        (talk(Message("user", NO_GLYPH)), "The prompt is empty: it has only spaces and invisible characters."),
        (
            replace(talk(Message("user", " {{q}}\n")), variables={"q": "\u200b"}),
            "The prompt is empty: {{q}} has no visible text.",
        ),
        (
            replace(talk(Message("system", "{{a}}"), Message("user", "{{b}}")), variables={"a": "", "b": " "}),
            "The prompt is empty: {{a}} and {{b}} have no visible text.",
        ),
        (talk(Message("user", "", extra='{"name":"ann","cache_control":{"type":"ephemeral"},"images":[]}')), EMPTY),
    ],
)
def test_empty_prompt_names_what_is_empty(document: Document, words: str) -> None:
    problem = empty_prompt(document)
    assert problem is not None
    assert problem.message == words


@pytest.mark.parametrize(
    "document",
    [
        talk(Message("system", "You are kind."), Message("user", "")),
        talk(Message("user", "\u200b\u0301")),
        talk(Message("user", "{{q}}")),
        replace(talk(Message("user", "{{q}}")), variables={"q": "."}),
        talk(Message("assistant", None, (CALL,))),
        talk(Message("tool", "", tool_call_id="call_1")),
        talk(Message("user", "", extra='{"images":["aGk="]}')),
    ],
)
def test_empty_prompt_with_anything_to_send_returns_none(document: Document) -> None:
    assert empty_prompt(document) is None


def test_check_user_message_without_visible_text_beside_others_is_a_warning() -> None:
    document = talk(Message("system", "You are kind."), Message("user", "\u00a0"))
    assert paths(check(document), refused=False) == [("messages", 1, "content")]
    assert check(talk(Message("user", "\u00a0"))) == ()

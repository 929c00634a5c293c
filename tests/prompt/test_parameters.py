"""Typed parameters: the displayed values are sent, or nothing is sent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from playground.lint.context import LintContext
from playground.lint.engine import advise
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, load
from playground.prompt.limits import check, context_finding
from playground.prompt.parameters import (
    EXTRA_FIELDS,
    PARAMETERS,
    invalid_errors,
    parse,
    show,
    with_typed,
    with_typed_extra,
)
from playground.prompt.request import to_request

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
PROMPT = Document(messages=(Message("user", "hi"),), parameters={"temperature": 0.2})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temperature", "0,7"),
        ("temperature", "7"),
        ("temperature", "warm"),
        ("temperature", "1_0"),
        ("temperature", "٠٫٧"),
        ("temperature", "0.7.1"),
        ("temperature", "nan"),
        ("temperature", "inf"),
        ("temperature", "1e999"),
        ("temperature", "0x1"),
        ("temperature", "½"),
        ("max_tokens", "0"),
        ("max_tokens", "1.5"),
        ("max_tokens", "1_000"),
        ("max_tokens", "1" * 5_000),
        ("seed", "٣"),
        ("top_logprobs", "21"),
        ("logprobs", "yes"),
        ("response_format", "xml"),
        ("stop", "a\nb\nc\nd\ne"),
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

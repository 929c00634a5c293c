"""Arbitrary JSON as tools: accepted, or refused with a message; accepted tools can be edited in the form."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.prompt.document import Tool
from playground.prompt.field_errors import InputError
from playground.prompt.json_text import span_at
from playground.tools import form_model as form
from playground.tools.import_definitions import from_json

pytestmark = pytest.mark.exhaustive

KEYS = st.sampled_from(
    [
        "type",
        "function",
        "name",
        "parameters",
        "properties",
        "required",
        "enum",
        "items",
        "tools",
        "toolSpec",
        "json",
        "inputSchema",
        "functionDeclarations",
        "description",
        "nullable",
        "default",
        "anyOf",
        "a",
    ]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["object", "STRING", "array", "function", "a", ""])
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_any_json_is_taken_or_refused(value: Any) -> None:
    with suppress(InputError):
        for tool in from_json(json.dumps(value)).tools:
            assert tool.name
            form.rows(tool)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(form.KINDS))
def test_any_definition_has_a_form_or_says_it_has_none(parameters: Any, kind: str) -> None:
    tool = Tool.of({"type": "function", "function": {"name": "f", "parameters": parameters}})
    for row in form.rows(tool) or ():
        with suppress(InputError):
            assert form.limited_parameter(tool, row.name, row.choices)
        form.typed_parameter(tool, row.name, kind)
        form.moved_parameter(form.required_parameter(tool, row.name, not row.required), row.name, 1)
        form.without_parameter(form.described_parameter(tool, row.name, "x"), row.name)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.lists(KEYS | st.integers(0, 2), max_size=4), st.sampled_from([None, 2]))
def test_a_path_always_leads_somewhere_inside(value: Any, path: list[str | int], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    start, end = span_at(text, tuple(path))
    assert 0 <= start < end <= len(text)


def test_json_nested_without_end_is_refused_in_words() -> None:
    for text in ('{"tools":[' * 400 + "]}" * 400, "[" * 5000 + "]" * 5000):
        with pytest.raises(InputError):
            from_json(text)

"""Tools from pasted JSON, in the shapes of many APIs, checked against JSON Schema's own rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from playground.prompt.field_errors import InputError
from playground.tools.import_definitions import from_json, unique_names
from playground.tools.schema import check_schema

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FUNCTION = {"name": "get", "description": "Get it.", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}


@pytest.mark.parametrize(
    "pasted",
    [
        TOOL,
        [TOOL],
        {"tools": [TOOL]},
        {"model": "electron", "messages": [], "tools": [TOOL]},
        FUNCTION,
        {"functions": [FUNCTION]},
        {"type": "function", **FUNCTION},
        {"name": "get", "description": "Get it.", "input_schema": SCHEMA},
        {"name": "get", "title": "T", "description": "Get it.", "inputSchema": SCHEMA, "annotations": {}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Get", "description": "Get it.", **SCHEMA},
        {"function": {**FUNCTION, "parameters": {k: v for k, v in SCHEMA.items() if k != "type"}}},
    ],
)
def test_every_shape_becomes_openais(pasted: Any) -> None:
    made = from_json("\n " + json.dumps(pasted))
    assert [json.loads(tool.json_text) for tool in made.tools] == [TOOL]
    told = {"annotations": "get: title, annotations are left out", "$schema": "the name get is from its title"}
    expected = [words for key, words in told.items() if key in pasted]
    assert len(made.notes) == len(expected)
    assert all(words in note for words, note in zip(expected, made.notes, strict=True))


def test_geminis_groups_and_spelling_become_json_schema() -> None:
    one = {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}, "type": {"type": "STRING", "nullable": True}}}
    pasted = {"tools": [{"functionDeclarations": [{"name": "get", "parameters": one}, {"name": "now"}]}]}
    made = from_json(json.dumps(pasted))
    assert [tool.name for tool in made.tools] == ["get", "now"]
    function = json.loads(made.tools[0].json_text)["function"]
    assert function["parameters"] == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "type": {"type": ["string", "null"]}},
    }
    assert made.notes == ("get: types and nullable are spelled as JSON Schema does.",)


def test_words_that_are_values_keep_their_spelling() -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "enum": ["STRING", "x"], "default": "STRING"}}}
    function = json.loads(from_json(json.dumps({"name": "f", "parameters": schema})).tools[0].json_text)["function"]
    assert function["parameters"]["properties"]["a"] == {"type": "string", "enum": ["STRING", "x"], "default": "STRING"}


def test_bedrocks_shape_is_opened() -> None:
    spec = {"name": "get", "description": "Get it.", "inputSchema": {"json": SCHEMA}}
    made = from_json(json.dumps({"tools": [{"toolSpec": spec}]}))
    assert [json.loads(tool.json_text) for tool in made.tools] == [TOOL]


def test_what_runs_at_its_vendor_is_said_to_lose_its_kind() -> None:
    made = from_json('[{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}]')
    assert made.notes == ("web_search: type, max_uses are left out, because OpenAI's format does not have that.",)


def test_a_function_without_parameters_and_strict_is_kept() -> None:
    made = json.loads(from_json('{"name": "now", "strict": true}').tools[0].json_text)
    assert made == {"type": "function", "function": {"name": "now", "strict": True}}


@pytest.mark.parametrize(
    ("pasted", "fields"),
    [
        ("[1]", ["[0]"]),
        ('{"a": 1}', [""]),
        ("[]", [""]),
        ("{", [""]),
        ('{"function": {"description": "x"}}', ["function.name"]),
        ('[{"name": "a", "parameters": 3}]', ["[0].parameters"]),
        ('{"name": "a", "description": 3, "parameters": {"type": "array"}}', ["description", "parameters.type"]),
        ('{"tools": [{"name": "a", "parameters": {"required": ["b"]}}]}', ["tools[0].parameters.required[0]"]),
        ('{"name": "a", "parameters": {"properties": {"x": {"type": "text"}}}}', ["parameters.properties.x.type"]),
    ],
)
def test_what_cannot_be_taken_is_named_with_its_field(pasted: str, fields: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        from_json(pasted)
    assert [problem.field for problem in caught.value.problems] == fields


def test_names_that_servers_may_refuse_and_doubles_are_said() -> None:
    notes = from_json(json.dumps([FUNCTION, FUNCTION, {**FUNCTION, "name": "Stand abfragen"}])).notes
    assert len(notes) == 2
    assert "two tools" in notes[0]


def test_a_name_that_is_taken_gets_a_number() -> None:
    tools = from_json(json.dumps([FUNCTION, FUNCTION, {**FUNCTION, "name": "put"}])).tools
    assert [tool.name for tool in unique_names(tools, tools[:1])] == ["get_2", "get_3", "put"]
    assert unique_names(tools[2:], tools[:1]) == tools[2:]


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (True, []),
        ({}, []),
        ({"x-mine": 3, "default": None, "const": 1, "examples": [], "deprecated": True}, []),
        ({"type": ["string", "null"], "enum": ["a", None], "maxLength": 3.0, "pattern": r"^\p{L}(?<n>a)(?<!b)$"}, []),
        ({"anyOf": [{"type": "string"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"minimum": -1.5}}}, []),
        ({"type": []}, ["type"]),
        ({"type": ["string", "string"]}, ["type"]),
        ({"type": None}, ["type"]),
        ({"enum": []}, ["enum"]),
        ({"required": ["a", "a"]}, ["required"]),
        ({"required": [1]}, ["required"]),
        (
            {"minLength": -1, "maxItems": True, "minimum": "1", "multipleOf": 0},
            ["minLength", "maxItems", "minimum", "multipleOf"],
        ),
        ({"pattern": "("}, ["pattern"]),
        ({"description": 3, "uniqueItems": 1}, ["description", "uniqueItems"]),
        ({"properties": []}, ["properties"]),
        ({"properties": {"a": 3}}, ["properties.a"]),
        ({"items": [{"type": "string"}]}, ["items"]),
        ({"anyOf": []}, ["anyOf"]),
        ({"allOf": [{"items": {"type": "strin"}}]}, ["allOf[0].items.type"]),
        (3, [""]),
    ],
)
def test_the_rules_of_a_schema(schema: Any, fields: list[str]) -> None:
    assert [problem.field for problem in check_schema(schema)] == fields

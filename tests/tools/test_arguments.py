"""Tool-call arguments against the tool's schema."""

from __future__ import annotations

import json
import threading
import time

import pytest

from playground.prompt.document import Json
from playground.runs.record import Asked, asked_in
from playground.tools.schema import (
    MAX_ERRORS,
    ArgumentCheck,
    check_arguments,
    check_schema,
    preload,
    schemas_by_name,
)

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "account_id": {"type": "string"},
        "count": {"type": "integer"},
        "amount": {"type": ["number", "null"]},
        "kind": {"enum": ["debit", 1]},
        "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
        "flag": {"type": "boolean"},
    },
    "required": ["account_id"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"account_id": "A"}', []),
        ('{"account_id": "A", "count": 3.0, "amount": null, "kind": "debit", "flag": true}', []),
        ("{}", ["account_id: is required and missing"]),
        ('{"account_id": 7}', ["account_id: should be a string, is a number"]),
        ('{"account_id": "A", "count": 1.5}', ["count: should be a whole number, is a number"]),
        ('{"account_id": "A", "count": true}', ["count: should be a whole number, is true or false"]),
        ('{"account_id": "A", "amount": "1"}', ["amount: should be a number or null, is a string"]),
        ('{"account_id": "A", "kind": true}', ['kind: should be one of "debit", 1']),
        ('{"account_id": "A", "lines": [{"sku": 1}, {}]}', ["lines[1].sku: is required and missing"]),
        ('{"account_id": "A", "more": 1}', ["more: is not among the tool's parameters"]),
        ("[]", ["should be an object, is an array"]),
        ('{"account_id": ', ["not JSON at line 1, column 15: the text ends before the JSON does"]),
    ],
)
def test_each_fault_is_said_with_its_path(arguments: str, said: list[str]) -> None:
    assert [str(problem) for problem in check_arguments(arguments, SCHEMA).errors] == said


@pytest.mark.parametrize("schema", [None, True, [], {}, {"type": "shape"}, {"type": 3, "required": "x"}])
def test_a_schema_that_says_nothing_finds_nothing(schema: Json) -> None:
    assert check_arguments('{"a": 1}', schema).errors == ()


def test_problems_are_bounded() -> None:
    schema: Json = {"type": "object", "required": [str(number) for number in range(1000)]}
    assert len(check_arguments("{}", schema).errors) == MAX_ERRORS


def test_check_arguments_cyclic_schema_ends_without_a_verdict() -> None:
    schema: dict[str, Json] = {"type": "array"}
    schema["items"] = schema
    assert check_arguments('{"a": []}', {"properties": {"a": schema}}).unchecked


def test_check_arguments_deep_arguments_are_refused_as_json() -> None:
    assert len(check_arguments('{"a": ' + "[" * 200 + "]" * 200 + "}", {}).errors) == 1


@pytest.mark.parametrize(
    ("part", "good", "bad"),
    [
        ({"maximum": 5}, 5, 6),
        ({"minimum": 5}, 5, 4),
        ({"exclusiveMinimum": 5}, 6, 5),
        ({"multipleOf": 0.5}, 1.5, 1.4),
        ({"pattern": "^[A-Z]{3}$"}, "ABC", "abc"),
        ({"pattern": r"^\p{Lu}\u{1F600}?$"}, "Ä", "ä"),
        ({"pattern": r"^(?<a>x)\k<a>$"}, "xx", "xy"),
        ({"minLength": 2}, "ab", "a"),
        ({"const": {"a": 1}}, {"a": 1.0}, {"a": True}),
        ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, 3, 2),
        ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, 7, 3),
        ({"not": {"type": "string"}}, 1, "a"),
        ({"$ref": "#/$defs/id"}, "a", 1),
        ({"minItems": 1, "uniqueItems": True}, [1, True], [1, 1.0]),
        ({"uniqueItems": True}, [{"a": 1}, {"a": 2}], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]),
        ({"prefixItems": [{"type": "string"}]}, ["a"], [1]),
        ({"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False}, {"x1": "a"}, {"y": "a"}),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"y": 1}, {"x": 1}),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "1"}),
        ({"propertyNames": {"pattern": "^a"}}, {"ab": 1}, {"b": 1}),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
        ({"if": {"const": 1}, "then": False}, 2, 1),
        ({"contains": {"const": 1}}, [0, 1], [0]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "integer"}, 1, "1"),
    ],
)
def test_check_arguments_keyword_is_checked(part: dict[str, Json], good: Json, bad: Json) -> None:
    schema: Json = {"$defs": {"id": {"type": "string"}}, "properties": {"v": part}}
    assert check_arguments(json.dumps({"v": good}), schema) == ArgumentCheck()
    checked = check_arguments(json.dumps({"v": bad}), schema)
    assert checked.errors
    assert {error.path[0] for error in checked.errors} == {"v"}
    assert checked.unchecked == ""


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"$ref": "#"}, {}),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, {}),
        ({"$ref": "#/$defs/gone"}, {}),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, True]}}}, {}),
        ({"type": "shape"}, {}),
        ({"properties": []}, {}),
        ({"unevaluatedProperties": False, "$dynamicRef": "#gone"}, {"a": 1}),
    ],
    ids=range(7),
)
def test_check_arguments_bound_is_reached_in_time_and_gives_no_verdict(schema: Json, arguments: Json) -> None:
    check_arguments("{}", {})  # imports the library
    begin_s = time.process_time()
    checked = check_arguments(json.dumps(arguments), schema)
    assert time.process_time() - begin_s < 10
    assert checked.errors == ()
    assert checked.unchecked


def test_check_arguments_exponential_schema_ends_in_time() -> None:
    defs: dict[str, Json] = {"d0": {"const": 1}}
    for number in range(1, 40):
        defs[f"d{number}"] = {"anyOf": [{"$ref": f"#/$defs/d{number - 1}"}] * 3}
    check_arguments("{}", {})
    begin_s = time.process_time()
    checked = check_arguments("{}", {"$ref": "#/$defs/d39", "$defs": defs})
    assert time.process_time() - begin_s < 10
    assert checked.unchecked


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties", "additionalProperties"])
def test_check_arguments_slow_pattern_ends_in_time(keyword: str) -> None:
    slow, text = "^(a|a?)+$", "a" * 60 + "!"
    schemas: dict[str, Json] = {
        "pattern": {"additionalProperties": {"pattern": slow}},
        "patternProperties": {"patternProperties": {slow: True}},
        "additionalProperties": {"patternProperties": {slow: True}, "additionalProperties": False},
    }
    check_arguments("{}", {})
    begin_s = time.process_time()
    check_arguments(json.dumps({text: text}), schemas[keyword])
    assert time.process_time() - begin_s < 10


def test_check_arguments_large_list_of_objects_is_linear() -> None:
    items = [{"a": number} for number in range(20_000)] + [{"b": "x"}, 1, "1"]
    begin_s = time.process_time()
    check_arguments(json.dumps({"v": items}), {"properties": {"v": {"uniqueItems": True}}})
    assert time.process_time() - begin_s < 10


def test_check_schema_usual_nesting_is_checked_and_absurd_nesting_is_an_error() -> None:
    def nested(levels: int) -> Json:
        schema: Json = {"type": "nothing"}
        for _ in range(levels):
            schema = {"type": "object", "properties": {"a": schema}}
        return schema

    assert [error.path[-1] for error in check_schema(nested(12))] == ["type"]
    assert [error.path for error in check_schema(nested(400))] == [()]


def test_check_schema_beside_busy_threads_is_checked() -> None:
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            sum(range(1_000))

    preload()
    busy = [threading.Thread(target=work) for _ in range(8)]
    for thread in busy:
        thread.start()
    try:
        errors = check_schema({"properties": {f"p{number}": {"type": "string"} for number in range(150)}, "type": "x"})
    finally:
        ended.set()
        for thread in busy:
            thread.join()
    assert [error.path for error in errors] == [("type",)]


def test_schemas_by_name_and_what_was_asked() -> None:
    tools: Json = [
        {"type": "function", "function": {"name": "find", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "ping"}},
        {"type": "function"},
        3,
    ]
    assert schemas_by_name(tools) == {"find": SCHEMA, "ping": None}
    body = json.dumps({"response_format": {"type": "json_object"}, "tools": tools}).encode()
    assert asked_in(body) == Asked(True, {"find": SCHEMA, "ping": None})


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"response_format": "json", "tools": 7}', b"\xff"])
def test_nothing_is_asked_by_other_bodies(body: bytes) -> None:
    assert asked_in(body) == Asked()

"""Tool-call arguments against the tool's schema."""

from __future__ import annotations

import json

import pytest

from playground.prompt.document import Json
from playground.runs.expected_reply import Asked, asked_in
from playground.tools.arguments import MOST_PROBLEMS, check_arguments, schemas_by_name

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
    assert [str(problem) for problem in check_arguments(arguments, SCHEMA)] == said


@pytest.mark.parametrize("schema", [None, True, [], {}, {"type": "shape"}, {"type": 3, "required": "x"}])
def test_a_schema_that_says_nothing_finds_nothing(schema: Json) -> None:
    assert check_arguments('{"a": 1}', schema) == ()


def test_problems_are_bounded() -> None:
    schema: Json = {"type": "object", "required": [str(number) for number in range(1000)]}
    assert len(check_arguments("{}", schema)) == MOST_PROBLEMS


def test_a_schema_that_goes_on_for_ever_ends() -> None:
    schema: dict[str, Json] = {"type": "array"}
    schema["items"] = schema
    assert check_arguments('{"a": ' + "[" * 200 + "]" * 200 + "}", {"properties": {"a": schema}}) == ()


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

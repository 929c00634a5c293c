"""Tool form: edits of single fields preserve everything that the form does not show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from playground.prompt.document import Tool
from playground.prompt.field_errors import InputError
from playground.tools import form_model as form
from playground.tools.schema import check_parameters

NESTED: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}}
PROPERTIES: dict[str, Any] = {
    "id": {"type": "string", "pattern": "^[0-9]+$", "description": "Digits."},
    "kind": {"type": "string", "enum": ["a", "b"], "x-own": 1},
    "address": NESTED,
    "tags": {"type": "array", "items": {"type": "string"}},
    "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": PROPERTIES,
    "required": ["id"],
    "additionalProperties": False,
}
TOOL = Tool.of({"type": "function", "function": {"name": "f", "strict": True, "parameters": PARAMETERS}})


def parameters(tool: Tool) -> Any:
    return json.loads(tool.json_text)["function"]["parameters"]


def test_rows_say_what_there_is() -> None:
    rows = form.rows(TOOL)
    assert rows is not None
    assert [(row.name, row.kind, row.required) for row in rows] == [
        ("id", "string", True),
        ("kind", "string", False),
        ("address", "object", False),
        ("tags", "array", False),
        ("either", "any of 2", False),
    ]
    assert rows[1].choices == "a, b"
    assert rows[2].inside == "Inside: city, zip"
    assert rows[3].inside == "Items: string"


def test_every_edit_keeps_what_it_is_not_about() -> None:
    tool = form.with_description(TOOL, "What for.")
    assert list(json.loads(tool.json_text)["function"]) == ["name", "description", "strict", "parameters"]
    tool = form.with_name(form.with_description(tool, ""), " g ")
    assert tool.name == "g"
    assert form.with_name(tool, "f") == TOOL
    assert form.renamed_parameter(form.renamed_parameter(TOOL, "id", "number"), "number", "id") == TOOL
    assert form.required_parameter(form.required_parameter(TOOL, "tags", True), "tags", False) == TOOL
    assert form.moved_parameter(form.moved_parameter(TOOL, "kind", -1), "kind", 1) == TOOL
    assert form.without_parameter(form.with_parameter(TOOL), "parameter_6") == TOOL
    described = form.described_parameter(TOOL, "address", "Where to.")
    assert parameters(described)["properties"]["address"] == {**NESTED, "description": "Where to."}


def test_a_rename_takes_required_along_and_keeps_the_place() -> None:
    made = parameters(form.renamed_parameter(TOOL, "id", "number"))
    assert next(iter(made["properties"])) == "number"
    assert made["required"] == ["number"]
    for name in ("", "kind"):
        with pytest.raises(InputError):
            form.renamed_parameter(TOOL, "id", name)


def test_required_is_in_the_order_of_the_properties_and_gone_when_empty() -> None:
    assert parameters(form.required_parameter(form.required_parameter(TOOL, "tags", True), "kind", True))[
        "required"
    ] == ["id", "kind", "tags"]
    assert "required" not in parameters(form.required_parameter(TOOL, "id", False))
    assert "required" not in parameters(form.without_parameter(TOOL, "id"))


def test_another_type_drops_what_only_the_old_one_has() -> None:
    def after(name: str, kind: str) -> Any:
        return parameters(form.typed_parameter(TOOL, name, kind))["properties"][name]

    assert after("id", "integer") == {"type": "integer", "description": "Digits."}
    assert after("kind", "number") == {"type": "number", "x-own": 1}
    assert after("address", "array") == {"type": "array", "items": {"type": "string"}}
    assert after("either", "string") == {"type": "string"}
    assert after("kind", "string") == PROPERTIES["kind"]


@pytest.mark.parametrize(
    ("name", "typed", "choices"),
    [
        ("id", "x,  y z ,", ["x", "y z"]),
        ("id", '["x, y", "z"]', ["x, y", "z"]),
        ("id", "1, 2", ["1", "2"]),
        ("kind", " ", None),
    ],
)
def test_choices_as_typed(name: str, typed: str, choices: list[str] | None) -> None:
    tool = form.limited_parameter(TOOL, name, typed)
    assert parameters(tool)["properties"][name].get("enum") == choices
    rows = form.rows(tool)
    assert rows is not None
    shown = next(row.choices for row in rows if row.name == name)
    assert form.limited_parameter(tool, name, shown) == tool


def test_choices_have_the_type_of_the_parameter() -> None:
    tool = form.typed_parameter(TOOL, "id", "integer")
    assert parameters(form.limited_parameter(tool, "id", "1, 2"))["properties"]["id"]["enum"] == [1, 2]
    for typed in ("1, x", "1.5", "1, 1", "[1"):
        with pytest.raises(InputError):
            form.limited_parameter(tool, "id", typed)


@pytest.mark.parametrize("typed", ["[NaN]", "[1, 1e999]", "NaN", "-Infinity"])
def test_choices_that_json_does_not_have_are_refused(typed: str) -> None:
    tool = form.typed_parameter(TOOL, "id", "number")
    with pytest.raises(InputError):
        form.limited_parameter(tool, "id", typed)


@pytest.mark.parametrize(
    "parameters_",
    [{"type": "array"}, {"properties": 3}, {"required": "a"}, {"anyOf": [{}]}, {"$ref": "#/x"}, 3],
)
def test_what_is_no_plain_object_is_no_form(parameters_: Any) -> None:
    assert form.rows(Tool.of({"type": "function", "function": {"name": "f", "parameters": parameters_}})) is None


def test_a_tool_without_parameters_gets_them_with_the_first() -> None:
    bare = Tool.of({"type": "function", "function": {"name": "f"}})
    assert form.rows(bare) == ()
    made = form.with_parameter(bare)
    assert parameters(made) == {"type": "object", "properties": {"parameter_1": {"type": "string"}}}


def test_every_type_to_every_other_stays_a_right_schema() -> None:
    for row in form.rows(TOOL) or ():
        for kind in form.KINDS:
            assert check_parameters(parameters(form.typed_parameter(TOOL, row.name, kind))) == ()

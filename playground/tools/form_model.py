"""A tool as a form with one field per value. Edits keep everything that the form does not show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from msgspec import Struct

from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import InputError
from playground.prompt.json_text import loads

KINDS = ("string", "integer", "number", "boolean", "array", "object")
"""The types that a form offers; the user edits others as JSON."""
_OWN: Mapping[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "boolean": (),
    "array": ("items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
}
"""Keywords that say nothing of another type."""
_UNIONS = ("anyOf", "oneOf", "allOf", "$ref")
_LIST_MARKS = ("[", ",")
_Object = dict[str, Json]


class FormRow(Struct, frozen=True):
    """One parameter. `kind` is one of KINDS, or a description of another schema; `inside` names nested properties."""

    name: str
    kind: str
    required: bool
    description: str
    choices: str
    inside: str = ""


def description_of(tool: Tool) -> str:
    """Return the tool's description; empty without one."""
    found = _function(tool.definition).get("description")
    return found if isinstance(found, str) else ""


def rows(tool: Tool) -> tuple[FormRow, ...] | None:
    """Return the parameters in order; None for a schema that a form cannot show (not a plain object's)."""
    parameters = _function(tool.definition).get("parameters")
    if parameters is None:
        return ()
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        return None
    properties, required = parameters.get("properties", {}), parameters.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list) or any(key in parameters for key in _UNIONS):
        return None
    return tuple(_row(name, schema, name in required) for name, schema in properties.items())


def with_name(tool: Tool, name: str) -> Tool:
    """Return the tool with another name. Raises InputError for an empty name."""
    if not name.strip():
        raise InputError.of((), "A function needs a name.")
    definition = _copy(tool)
    _function(definition)["name"] = name.strip()
    return Tool.of(definition)


def with_description(tool: Tool, text: str) -> Tool:
    """Return the tool with another description; an empty one is removed. A new one follows the name."""
    definition = _copy(tool)
    function = _function(definition)
    if not text:
        function.pop("description", None)
    elif "description" in function:
        function["description"] = text
    else:
        rest = {key: function.pop(key) for key in list(function) if key != "name"}
        function.update({"description": text, **rest})
    return Tool.of(definition)


def with_parameter(tool: Tool) -> Tool:
    """One more parameter, a text, at the end."""
    definition = _copy(tool)
    parameters = _parameters(definition)
    properties = cast(_Object, parameters.setdefault("properties", {}))
    number = len(properties) + 1
    while (name := f"parameter_{number}") in properties:
        number += 1
    properties[name] = {"type": "string"}
    return Tool.of(definition)


def without_parameter(tool: Tool, name: str) -> Tool:
    definition = _copy(tool)
    parameters = _parameters(definition)
    cast(_Object, parameters["properties"]).pop(name, None)
    _require(parameters, name, on=False)
    return Tool.of(definition)


def moved_parameter(tool: Tool, name: str, step: int) -> Tool:
    """Move a parameter one place up (-1) or down (1)."""
    definition = _copy(tool)
    parameters = _parameters(definition)
    properties = cast(_Object, parameters["properties"])
    names = list(properties)
    at = names.index(name)
    to = min(max(at + step, 0), len(names) - 1)
    names.insert(to, names.pop(at))
    parameters["properties"] = {key: properties[key] for key in names}
    return Tool.of(definition)


def renamed_parameter(tool: Tool, name: str, new: str) -> Tool:
    """Rename a parameter, at its place. Raises InputError if the name is empty or taken."""
    new = new.strip()
    if new == name:
        return tool
    definition = _copy(tool)
    parameters = _parameters(definition)
    properties = cast(_Object, parameters["properties"])
    if not new:
        raise InputError.of((), "A parameter needs a name.")
    if new in properties:
        raise InputError.of((), f"{new} is another parameter's name.")
    parameters["properties"] = {new if key == name else key: schema for key, schema in properties.items()}
    required = parameters.get("required")
    if isinstance(required, list):
        parameters["required"] = [new if key == name else key for key in required]
    return Tool.of(definition)


def required_parameter(tool: Tool, name: str, on: bool) -> Tool:
    definition = _copy(tool)
    _require(_parameters(definition), name, on=on)
    return Tool.of(definition)


def described_parameter(tool: Tool, name: str, text: str) -> Tool:
    """Replace a parameter's description; an empty one is not sent."""
    definition, schema = _schema(tool, name)
    if text:
        schema["description"] = text
    else:
        schema.pop("description", None)
    return Tool.of(definition)


def typed_parameter(tool: Tool, name: str, kind: str) -> Tool:
    """Change a parameter's type to one of KINDS; what only the old type has goes with it."""
    definition, schema = _schema(tool, name)
    old = schema.get("type")
    stays = _OWN[kind]
    for keyword in _OWN.get(old, ()) if isinstance(old, str) else ():
        if keyword not in stays:
            schema.pop(keyword, None)
    for keyword in (*_UNIONS, "enum", "const", "default"):
        if keyword not in ("enum", "default") or not _all_fit(schema.get(keyword), kind, keyword):
            schema.pop(keyword, None)
    rest = {key: schema.pop(key) for key in list(schema) if key != "type"}
    schema.update({"type": kind, **rest})
    if kind == "array":
        schema.setdefault("items", {"type": "string"})
    return Tool.of(definition)


def limited_parameter(tool: Tool, name: str, typed: str) -> Tool:
    """Set the typed choices (a, b, c or a JSON list) of a parameter; an empty text removes them. Raises InputError."""
    definition, schema = _schema(tool, name)
    kind = schema.get("type")
    choices = _choices(typed, kind if isinstance(kind, str) else "")
    if choices:
        schema["enum"] = choices
    else:
        schema.pop("enum", None)
    return Tool.of(definition)


def _row(name: str, schema: Json, required: bool) -> FormRow:
    if not isinstance(schema, dict):
        return FormRow(name, "any" if schema is True else "as JSON", required, "", "")
    description = schema.get("description")
    enum = schema.get("enum")
    return FormRow(
        name,
        _kind(schema),
        required,
        description if isinstance(description, str) else "",
        _shown(enum) if isinstance(enum, list) else "",
        _inside(schema),
    )


def _kind(schema: Mapping[str, Json]) -> str:
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if isinstance(kind, list):
        return " or ".join(str(one) for one in kind)
    for keyword, words in (("anyOf", "any of {}"), ("oneOf", "one of {}"), ("allOf", "all of {}")):
        parts = schema.get(keyword)
        if isinstance(parts, list):
            return words.format(len(parts))
    return "a reference" if "$ref" in schema else "any"


def _inside(schema: Mapping[str, Json]) -> str:
    properties = schema.get("properties")
    if isinstance(properties, dict) and properties:
        return "Inside: " + ", ".join(properties)
    found = schema.get("items")
    if isinstance(found, dict):
        inner = _inside(found)
        return f"Items: {_kind(found)}" + (f". {inner}" if inner else "")
    return ""


def _shown(enum: list[Json]) -> str:
    plain = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in enum]
    clear = all(text and text == text.strip() and not any(mark in text for mark in _LIST_MARKS) for text in plain)
    kinds = {type(value) for value in enum}
    if clear and (kinds <= {str} or kinds <= {int, float}):
        return ", ".join(plain)
    return json.dumps(enum, ensure_ascii=False)


def _choices(typed: str, kind: str) -> list[Json]:
    text = typed.strip()
    if text.startswith("["):
        try:
            found: Json = loads(text)
        except ValueError:
            raise InputError.of((), "This is no JSON list.") from None
        values = found if isinstance(found, list) else []
    else:
        values = [_choice(part.strip(), kind) for part in text.split(",") if part.strip()]
    if len({json.dumps(value) for value in values}) < len(values):
        raise InputError.of((), "Each choice once.")
    if not all(_fits(value, kind) for value in values):
        raise InputError.of((), f"A choice is not of type {kind}.")
    return values


def _choice(text: str, kind: str) -> Json:
    if kind == "string":
        return text
    try:
        number: Json = loads(text)
    except ValueError:
        return text
    return number


def _fits(value: Json, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
    return True


def _all_fit(value: Json, kind: str, keyword: str) -> bool:
    if keyword == "enum":
        return isinstance(value, list) and all(_fits(one, kind) for one in value)
    return value is not None and _fits(value, kind)


def _copy(tool: Tool) -> _Object:
    return cast(_Object, json.loads(tool.json_text))


def _function(definition: Mapping[str, Json]) -> _Object:
    function = definition.get("function")
    if isinstance(function, dict):
        return function
    empty: _Object = {}
    if isinstance(definition, dict):
        definition["function"] = empty
    return empty


def _parameters(definition: _Object) -> _Object:
    return cast(_Object, _function(definition).setdefault("parameters", {"type": "object", "properties": {}}))


def _schema(tool: Tool, name: str) -> tuple[_Object, _Object]:
    """Return a copy of the definition, and in it the schema of one parameter."""
    definition = _copy(tool)
    properties = cast(_Object, _parameters(definition)["properties"])
    if not isinstance(properties[name], dict):
        properties[name] = {}
    return definition, cast(_Object, properties[name])


def _require(parameters: _Object, name: str, *, on: bool) -> None:
    """Set `required` in the order of the properties; remove an empty one."""
    listed = parameters.get("required")
    before = [key for key in (listed if isinstance(listed, list) else ()) if isinstance(key, str) and key != name]
    chosen = [*before, name] if on else before
    order = [key for key in cast(_Object, parameters.get("properties", {})) if key in chosen]
    rest = [key for key in before if key not in order]
    if order or rest:
        parameters["required"] = [*order, *rest]
    else:
        parameters.pop("required", None)

"""A tool call's arguments against the tool's own schema: required properties, simple types, enums, unknown names.

A small part of JSON Schema, the part that function definitions use; what it does not know it does not judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, Path
from playground.tools.json_position import Fault, read_json

MOST_PROBLEMS = 20
_DEEPEST = 32
_MOST_CHOICES = 8
_NAMES = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def check_arguments(arguments: str, schema: Json) -> tuple[FieldError, ...]:
    """What is wrong with whole arguments; nothing where they fit. `schema` is the function's `parameters`, or None.

    At most MOST_PROBLEMS. A path is inside the arguments: ("customer", "id"), () for the arguments themselves.
    """
    value = read_json(arguments)
    if isinstance(value, Fault):
        return (FieldError((), f"not JSON at {value}", offset=value.offset),)
    if not isinstance(value, dict):
        return (FieldError((), f"should be an object, is {_kind(value)}"),)
    problems = _problems(value, schema, (), 0) if isinstance(schema, dict) else iter(())
    return tuple(problem for problem, _ in zip(problems, range(MOST_PROBLEMS), strict=False))


def schemas_by_name(tools: Json) -> dict[str, Json]:
    """Each function's `parameters` by its name, from a request's `tools`; None where it declares none."""
    found: dict[str, Json] = {}
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(name := function.get("name"), str):
            found[name] = function.get("parameters")
    return found


def _problems(value: Json, schema: Json, path: Path, depth: int) -> Iterator[FieldError]:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return
    types = _types(schema.get("type"))
    if types and not any(_is(value, name) for name in types):
        wanted = " or ".join(_NAMES[name] for name in types)
        yield FieldError(path, f"should be {wanted}, is {_kind(value)}")
        return
    choices = schema.get("enum")
    if isinstance(choices, list) and not any(_same(value, choice) for choice in choices):
        yield FieldError(path, f"should be one of {_listed(choices)}")
    if isinstance(value, dict):
        yield from _object_problems(value, schema, path, depth)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, schema.get("items"), (*path, index), depth + 1)


def _object_problems(
    value: Mapping[str, Json], schema: dict[str, Json], path: Path, depth: int
) -> Iterator[FieldError]:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in value:
            yield FieldError((*path, name), "is required and missing")
    for name, item in value.items():
        if name in known:
            yield from _problems(item, known[name], (*path, name), depth + 1)
        elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
            yield FieldError((*path, name), "is not among the tool's parameters")


def _types(declared: Json) -> tuple[str, ...]:
    """The types that a schema names; none where one of them is unknown, since then nothing can be said."""
    names = declared if isinstance(declared, list) else [declared]
    known = tuple(name for name in names if isinstance(name, str) and name in _NAMES)
    return known if len(known) == len(names) else ()


def _is(value: Json, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    match name:
        case "integer":
            return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        case "number":
            return isinstance(value, int | float)
        case "string":
            return isinstance(value, str)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case _:
            return name == "null" and value is None


def _kind(value: Json) -> str:
    return next(words for name, words in _NAMES.items() if name != "integer" and _is(value, name))


def _same(value: Json, choice: Json) -> bool:
    # In Python True equals 1; in JSON it does not.
    return isinstance(value, bool) == isinstance(choice, bool) and value == choice


def _listed(choices: list[Json]) -> str:
    words = [json.dumps(choice, ensure_ascii=False) for choice in choices[:_MOST_CHOICES]]
    return ", ".join(words) + (", …" if len(choices) > _MOST_CHOICES else "")

"""A tool's parameters against JSON Schema's own rules: the keywords that function definitions use.

Source: JSON Schema 2020-12, the core, applicator and validation vocabularies. An unknown keyword is no fault there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, Path

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_DEEPEST = 32
_ONE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else", "unevaluatedItems")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_TEXTS = ("title", "description", "$ref", "$schema", "$id", "$comment", "format")


def check_schema(schema: Json, path: Path = ()) -> tuple[FieldError, ...]:
    """What is wrong with a schema; nothing where it is one. A path is inside it."""
    return tuple(_problems(schema, path, 0))


def check_parameters(schema: Json, path: Path = ()) -> tuple[FieldError, ...]:
    """As `check_schema`, and whether it is an object's, as a function's parameters are."""
    found = check_schema(schema, path)
    if isinstance(schema, dict) and not found:
        if schema.get("type") != "object":
            return (FieldError((*path, "type"), 'should be "object": a call gives its arguments by name.'),)
        found = tuple(_undeclared(schema, path))
    return found


def _undeclared(schema: Mapping[str, Json], path: Path) -> Iterator[FieldError]:
    """A name that is required and not declared is no fault of a schema, but always one of a tool's."""
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for index, name in enumerate(required if isinstance(required, list) else ()):
        if name not in known:
            yield FieldError((*path, "required", index), f"{_shown(name)} is not among the properties.")


def _problems(schema: Json, path: Path, depth: int) -> Iterator[FieldError]:
    if isinstance(schema, bool) or depth > _DEEPEST:
        return
    if not isinstance(schema, dict):
        yield FieldError(path, "should be an object, as a schema is.")
        return
    yield from _type(schema.get("type", "object"), (*path, "type"))
    for name, value in schema.items():
        yield from _keyword(name, value, (*path, name))
    for step, part, where in _parts(schema, path):
        yield from _problems(part, (*where, step), depth + 1)


def _parts(schema: Mapping[str, Json], path: Path) -> Iterator[tuple[str | int, Json, Path]]:
    """The schemas inside a schema."""
    for name in _ONE:
        if name in schema:
            yield name, schema[name], path
    for group in _LISTS:
        parts = schema.get(group)
        yield from ((at, part, (*path, group)) for at, part in enumerate(parts if isinstance(parts, list) else ()))
    for group in _MAPS:
        named = schema.get(group)
        yield from ((at, part, (*path, group)) for at, part in (named if isinstance(named, dict) else {}).items())


def _type(value: Json, path: Path) -> Iterator[FieldError]:
    names = value if isinstance(value, list) else [value]
    wrong = [name for name in names if name not in _TYPES]
    if wrong:
        yield FieldError(path, f"{_shown(wrong[0])} is no type.", f"There are: {', '.join(_TYPES)}.")
    elif not names or len({_shown(name) for name in names}) < len(names):
        yield FieldError(path, "should name at least one type, and each once.")


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Json) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value >= 0 and float(value).is_integer()


def _are_names(value: Json) -> bool:
    names = [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return isinstance(value, list) and len(set(names)) == len(value)


def _is_full_list(value: Json) -> bool:
    return isinstance(value, list) and bool(value)


_RULES: Mapping[str, tuple[Callable[[Json], bool], str]] = {
    **dict.fromkeys(_COUNTS, (_is_count, "should be a whole number from 0 on.")),
    **dict.fromkeys(_NUMBERS, (_is_number, "should be a number.")),
    **dict.fromkeys(_TEXTS, (lambda value: isinstance(value, str), "should be text.")),
    **dict.fromkeys(_LISTS, (_is_full_list, "should be a list of at least one schema.")),
    **dict.fromkeys(_MAPS, (lambda value: isinstance(value, dict), "should be an object of schemas by name.")),
    "multipleOf": (
        lambda value: isinstance(value, int | float) and _is_number(value) and value > 0,
        "should be a number above 0.",
    ),
    "uniqueItems": (lambda value: isinstance(value, bool), "should be true or false."),
    "required": (_are_names, "should be a list of names, each once."),
    "enum": (_is_full_list, "should be a list of at least one value."),
}


def _keyword(name: str, value: Json, path: Path) -> Iterator[FieldError]:
    if name == "pattern":
        yield from _pattern(value, path)
    elif name in _RULES:
        holds, words = _RULES[name]
        if not holds(value):
            yield FieldError(path, words)


def _pattern(value: Json, path: Path) -> Iterator[FieldError]:
    """Python's expressions are not ECMAScript's: what only that has is put into Python's words first."""
    if not isinstance(value, str):
        yield FieldError(path, "should be text.")
        return
    try:
        re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", re.sub(r"\\[pP]\{[^}]*\}", r"\\w", value)))
    except (re.error, RecursionError, OverflowError) as error:
        yield FieldError(path, f"is no regular expression: {error}.")


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Tool definitions of other APIs: found in what they are wrapped in, their schemas in JSON Schema's own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from playground.prompt.document import Json
from playground.prompt.problems import Path

SCHEMAS = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema")
"""What OpenAI and Gemini, Anthropic, the Model Context Protocol, and Gemini again call a function's parameters."""
_LISTS = ("tools", "functions", "functionDeclarations", "function_declarations")
_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
_VALUES = frozenset(("enum", "const", "default", "example", "examples"))
"""Keywords that hold values, not schemas."""
_TAKEN = frozenset(("name", "description", "strict", *SCHEMAS))
_DEEPEST = 64
_MOST_WRAPPERS = 8


def items(value: Json, path: Path = ()) -> Iterator[tuple[Json, Path]]:
    """Each definition in a pasted value, with its path: lists, whole requests and Gemini's groups are opened."""
    if len(path) > _MOST_WRAPPERS:
        yield value, path
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from items(item, (*path, index)) if _is_wrapper(item) else [(item, (*path, index))]
        return
    if isinstance(value, dict) and _is_wrapper(value):
        for name in _LISTS:
            if isinstance(value.get(name), list):
                yield from items(value[name], (*path, name))
        return
    yield value, path


def _is_wrapper(value: Json) -> bool:
    return isinstance(value, dict) and "type" not in value and any(isinstance(value.get(name), list) for name in _LISTS)


def bare(value: Mapping[str, Json], path: Path) -> tuple[Mapping[str, Json], Path]:
    """A definition without the object around it: OpenAI's `function`, Bedrock's `toolSpec`."""
    for name in ("function", "toolSpec"):
        inner = value.get(name)
        if isinstance(inner, dict):
            return inner, (*path, name)
    return value, path


def schema_key(function: Mapping[str, Json]) -> str | None:
    """The name under which a definition has its parameters; None where it has none."""
    return next((name for name in SCHEMAS if function.get(name) is not None), None)


def plain_schema(schema: Json) -> tuple[Json, bool]:
    """A schema in JSON Schema's words, and whether it was in others: `STRING` and `nullable` (Gemini), {"json": …}."""
    if isinstance(schema, dict) and set(schema) == {"json"} and isinstance(schema["json"], dict):
        return plain_schema(schema["json"])
    made = _plain(schema, 0)
    return made, made != schema


def _plain(value: Json, depth: int) -> Json:
    if depth > _DEEPEST:
        return value
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Json] = {}
    for key, item in value.items():
        made[key] = item if key in _VALUES and not _is_schema(item) else _plain(item, depth + 1)
    kind = made.get("type")
    if isinstance(kind, str) and kind.lower() in _TYPES:
        made["type"] = kind.lower()
        if isinstance(made.get("nullable"), bool) and made.pop("nullable"):
            made["type"] = [kind.lower(), "null"]
    return made


def _is_schema(value: Json) -> bool:
    """A property may be called `default`; a value with a type that is spelled like one is taken for a schema."""
    return isinstance(value, dict) and isinstance(value.get("type"), str) and str(value["type"]).lower() in _TYPES


def left_out(value: Mapping[str, Json], function: Mapping[str, Json]) -> tuple[str, ...]:
    """The fields of a definition that OpenAI's shape has no place for, in the order they stand in."""
    outer = () if function is value else (key for key in value if key not in ("type", "function", "toolSpec"))
    own = (
        key for key in function if key not in _TAKEN and not (key == "type" and function[key] in ("function", "custom"))
    )
    first = schema_key(function)
    doubled = (key for key in SCHEMAS if key in function and first is not None and key != first)
    return tuple(dict.fromkeys((*outer, *own, *doubled)))

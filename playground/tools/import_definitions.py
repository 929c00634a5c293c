"""Tools from pasted JSON: OpenAI's shapes, a plain JSON schema, and those of other APIs, converted to OpenAI's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.json_text import JsonFault, read_json
from playground.tools.schema import check_parameters

MAX_CHARACTERS = 256 * 1024


class ImportedTools(Struct, frozen=True):
    """Tools found in a text. `notes`: sentences about omitted and converted parts."""

    tools: tuple[Tool, ...]
    notes: tuple[str, ...] = ()


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
    """Return a definition without the object around it: OpenAI's `function`, Bedrock's `toolSpec`."""
    for name in ("function", "toolSpec"):
        inner = value.get(name)
        if isinstance(inner, dict):
            return inner, (*path, name)
    return value, path


def schema_key(function: Mapping[str, Json]) -> str | None:
    """Return the key of a definition's parameters; None without parameters."""
    return next((name for name in SCHEMAS if function.get(name) is not None), None)


def plain_schema(schema: Json) -> tuple[Json, bool]:
    """Convert `STRING`, `nullable` (Gemini) and {"json": …} to JSON Schema. Returns it, and whether it changed."""
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
    """Return whether this is a schema. A property may be called `default`; a value that names a type counts as one."""
    return isinstance(value, dict) and isinstance(value.get("type"), str) and str(value["type"]).lower() in _TYPES


def left_out(value: Mapping[str, Json], function: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the fields of a definition that OpenAI's format does not have, in their order."""
    outer = () if function is value else (key for key in value if key not in ("type", "function", "toolSpec"))
    own = (
        key for key in function if key not in _TAKEN and not (key == "type" and function[key] in ("function", "custom"))
    )
    first = schema_key(function)
    doubled = (key for key in SCHEMAS if key in function and first is not None and key != first)
    return tuple(dict.fromkeys((*outer, *own, *doubled)))


_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What OpenAI takes as a function's name; Electron's rule is not published."""


def from_json(text: str) -> ImportedTools:
    """Read a definition, a list of them, or an object that contains them. Raises InputError with every problem.

    Taken are: {"type": "function", "function": {…}}, {"name", "description", "parameters"} (also with the names that
    other APIs have for it, and their spelling of types), and a plain JSON schema of an object, whose `title` becomes
    the name. The notes name omitted and converted fields.
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError.of((), f"the text has {len(text):,} characters; {MAX_CHARACTERS:,} are the most.")
    value = read_json(text)
    if isinstance(value, JsonFault):
        raise InputError.of((), f"this is not JSON: {value}.", offset=value.offset)
    problems: list[FieldError] = []
    notes: list[str] = []
    try:
        tools = tuple(_tools(value, problems, notes))
    except RecursionError:
        raise InputError.of((), "this is nested too deeply.") from None
    if problems:
        raise InputError(*problems)
    if not tools:
        raise InputError.of((), "it contains no tool.")
    return ImportedTools(tools, (*dict.fromkeys(notes), *_notes(tools)))


def unique_names(pasted: Iterable[Tool], there: Iterable[Tool]) -> tuple[Tool, ...]:
    """Return the pasted tools under names that no other tool has: `get_balance` becomes `get_balance_2`."""
    taken = {tool.name for tool in there}
    made: list[Tool] = []
    for tool in pasted:
        name, number = tool.name, 1
        while name in taken:
            number += 1
            name = f"{tool.name}_{number}"
        taken.add(name)
        made.append(tool if name == tool.name else _renamed(tool, name))
    return tuple(made)


def _renamed(tool: Tool, name: str) -> Tool:
    function = tool.definition["function"]
    assert isinstance(function, dict)
    return Tool.of({**tool.definition, "function": {**function, "name": name}})


def _tools(value: Json, problems: list[FieldError], notes: list[str]) -> Iterator[Tool]:
    for item, path in items(value):
        tool = _tool(item, path, problems, notes)
        if tool is not None:
            yield tool


def _tool(value: Json, path: Path, problems: list[FieldError], notes: list[str]) -> Tool | None:
    if not isinstance(value, dict):
        problems.append(FieldError(path, "should be an object."))
        return None
    function, where = bare(value, path)
    if function is not value or "name" in value or any(name in value for name in SCHEMAS):
        tool = _function(function, where, problems, notes)
        if tool is not None and (gone := left_out(value, function)):
            notes.append(f"{tool.name}: {_listed(gone)} left out, because OpenAI's format does not have that.")
        return tool
    if "properties" in value or value.get("type") == "object":
        return _from_schema(value, path, problems, notes)
    problems.append(FieldError(path, "is not a tool: it has neither a name nor parameters."))
    return None


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:6])
    return (
        f"{shown} and {len(names) - 6} more are" if len(names) > 6 else f"{shown} {'is' if len(names) == 1 else 'are'}"
    )


def _from_schema(schema: dict[str, Json], path: Path, problems: list[FieldError], notes: list[str]) -> Tool | None:
    title = schema.get("title")
    made: dict[str, Json] = {"name": _as_name(title if isinstance(title, str) else "")}
    if schema.get("description"):
        made["description"] = schema["description"]
    made["parameters"] = {key: item for key, item in schema.items() if key not in ("title", "description", "$schema")}
    tool = _function(made, path, problems, notes)
    if tool is not None:
        whence = "is from its title" if title else "is a placeholder, because it has no title"
        notes.append(f"A plain JSON schema: the name {tool.name} {whence}.")
    return tool


def _as_name(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_").lower()[:64] or "tool"


def _function(value: Mapping[str, Json], path: Path, problems: list[FieldError], notes: list[str]) -> Tool | None:
    name = value.get("name")
    if not isinstance(name, str) or not name:
        problems.append(FieldError((*path, "name"), "a function needs a name."))
        return None
    made: dict[str, Json] = {"name": name}
    description = value.get("description")
    if description is not None and not isinstance(description, str):
        problems.append(FieldError((*path, "description"), "should be text."))
    elif description:
        made["description"] = description
    key = schema_key(value)
    if key is not None:
        schema, respelled = plain_schema(value[key])
        if respelled:
            notes.append(f"{name}: types and nullable are spelled as JSON Schema does.")
        if isinstance(schema, dict) and "type" not in schema:
            schema = {"type": "object", **schema}
        problems += check_parameters(schema, (*path, key))
        made["parameters"] = schema
    if "strict" in value:
        made["strict"] = value["strict"]
    return Tool.of({"type": "function", "function": made})


def _notes(tools: tuple[Tool, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for tool in tools:
        if not _NAME.fullmatch(tool.name):
            shown = json.dumps(tool.name, ensure_ascii=False)
            yield f"{shown}: some servers take only letters, digits, _ and - in a name, up to 64."
        if tool.name in seen:
            yield f"{tool.name} is the name of two tools: a call could not tell which one is meant."
        seen.add(tool.name)

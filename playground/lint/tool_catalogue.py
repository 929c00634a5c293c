"""Tool catalogue model for the rules: all descriptions and their positions."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

from playground.dataclass import dataclass
from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import Path

DEEP = 12
"""Maximum nesting depth."""


@dataclass(frozen=True, slots=True)
class SchemaNode:
    """One schema in a definition. `path` leads to it from the definition, `name` is the property's, dotted."""

    path: Path
    name: str
    schema: Mapping[str, Json]

    @property
    def description(self) -> str:
        """Return its description; "" without one."""
        return _text(self.schema.get("description"))


def description(tool: Tool) -> str:
    """Return the description of the tool; "" without one."""
    function = tool.definition.get("function")
    return _text(function.get("description")) if isinstance(function, dict) else ""


def parameters(tool: Tool) -> Iterator[SchemaNode]:
    """Every parameter of a tool, nested ones too, in order."""
    function = tool.definition.get("function")
    schema = function.get("parameters") if isinstance(function, dict) else None
    if isinstance(schema, dict):
        yield from _below(SchemaNode(("function", "parameters"), "", schema), 0)


def _below(node: SchemaNode, depth: int) -> Iterator[SchemaNode]:
    if depth >= DEEP:
        return
    properties = node.schema.get("properties")
    for key, schema in properties.items() if isinstance(properties, dict) else ():
        if isinstance(schema, dict):
            child = SchemaNode((*node.path, "properties", key), f"{node.name}.{key}" if node.name else key, schema)
            yield child
            yield from _below(child, depth + 1)
    items = node.schema.get("items")
    if isinstance(items, dict):
        yield from _below(SchemaNode((*node.path, "items"), f"{node.name}[]", items), depth + 1)


def edited(tool: Tool, changes: Mapping[Path, Json]) -> dict[str, Json]:
    """The definition with the values at these paths replaced; None removes the key."""
    made: dict[str, Json] = copy.deepcopy(dict(tool.definition))
    for path, value in changes.items():
        inner: Json = made
        for step in path[:-1]:
            inner = inner[step]  # type: ignore[index]  # the path was found in this definition
        if isinstance(inner, dict):
            key = str(path[-1])
            if value is None:
                inner.pop(key, None)
            else:
                inner[key] = value
    return made


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""

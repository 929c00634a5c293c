"""Type hints as JSON schemas. Hints are syntax trees: nothing in them is run or imported."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TypeAlias

from playground.prompt.document import Json
from playground.tools.docstrings import described
from playground.tools.pasted_classes import Classes, is_enum, last_name, literal, may_be_left_out

Schema: TypeAlias = dict[str, Json]
_DEEPEST = 32

_PLAIN: Mapping[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "complex": {"type": "string"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string"},
    "None": {"type": "null"},
    "Decimal": {"type": "number"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "timedelta": {"type": "string", "format": "duration"},
    "UUID": {"type": "string", "format": "uuid"},
    "Path": {"type": "string"},
    "EmailStr": {"type": "string", "format": "email"},
    "HttpUrl": {"type": "string", "format": "uri"},
    "AnyUrl": {"type": "string", "format": "uri"},
    "Any": {},
    "object": {},
}
_LISTS = frozenset(("list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "deque"))
_SETS = frozenset(("set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"))
_MAPS = frozenset(("dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict"))
_WRAPPERS = frozenset(("Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "InitVar"))
_KINDS: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_FIELD_KEYWORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
    "description": "description",
}


class Hints:
    """Schemas of hints. `notes` hears of what could not be taken over."""

    def __init__(self, classes: Classes, notes: list[str]) -> None:
        self._classes, self._notes = classes, notes
        self._inside: list[str] = []

    def schema(self, hint: ast.expr | None, where: str) -> Schema:
        """The schema of a hint; of none, one that takes anything."""
        if hint is None:
            self._notes.append(f"{where} has no type hint: any value is taken.")
            return {}
        return self._schema(hint, where)

    def put_default(self, schema: Schema, default: ast.expr) -> None:
        """Say the default, where it is plain JSON and says more than that the parameter may be left out."""
        if isinstance(default, ast.Call) and last_name(default.func) in ("Field", "Query", "Body"):
            self._field(schema, default)
            return
        plain, value = literal(default)
        if plain and value is not None:
            schema["default"] = value

    def _schema(self, hint: ast.expr, where: str) -> Schema:
        if len(self._inside) > _DEEPEST:
            return {}
        match hint:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str() as text):
                return self._quoted(text, where)
            case ast.BinOp(op=ast.BitOr()):
                return self._union(_alternatives(hint), where)
            case ast.Subscript():
                return self._generic(last_name(hint.value), _items(hint.slice), where)
            case ast.Name() | ast.Attribute():
                return self._named(last_name(hint), where)
        return self._unknown(ast.unparse(hint), where)

    def _unknown(self, words: str, where: str) -> Schema:
        self._notes.append(f"{where}: {words} is not known here: any value is taken.")
        return {}

    def _quoted(self, text: str, where: str) -> Schema:
        try:
            hint = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return self._unknown(text, where)
        return self._within(f"'{text}'", lambda: self._schema(hint, where))

    def _named(self, name: str, where: str) -> Schema:
        if name in self._classes.classes:
            return self._within(name, lambda: self._class(self._classes.classes[name], where))
        if name in self._classes.aliases:
            return self._within(name, lambda: self._schema(self._classes.aliases[name], where))
        if name in _PLAIN:
            return dict(_PLAIN[name])
        if name in _LISTS or name in ("tuple", "Tuple"):
            return {"type": "array"}
        if name in _SETS:
            return {"type": "array", "uniqueItems": True}
        return {"type": "object"} if name in _MAPS else self._unknown(name, where)

    def _within(self, name: str, make: Callable[[], Schema]) -> Schema:
        """A class that has itself inside is an object there, since a schema without references cannot go on."""
        if name in self._inside:
            return {"type": "object"}
        self._inside.append(name)
        try:
            return make()
        finally:
            self._inside.pop()

    def _generic(self, name: str, items: list[ast.expr], where: str) -> Schema:
        if name == "Literal":
            return self._choices([literal(item) for item in items], where)
        if name == "Optional":
            return self._union([*items, ast.Constant(None)], where)
        if name == "Union":
            return self._union(items, where)
        if name in _WRAPPERS:
            return self._annotated(items, where)
        if name in _LISTS:
            return {"type": "array", "items": self._schema(items[0], where)}
        if name in _SETS:
            return {"type": "array", "items": self._schema(items[0], where), "uniqueItems": True}
        if name in ("tuple", "Tuple"):
            return self._tuple(items, where)
        if name in _MAPS:
            return {"type": "object", "additionalProperties": self._schema(items[-1], where)}
        return self._unknown(name, where)

    def _tuple(self, items: list[ast.expr], where: str) -> Schema:
        if len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is ...:
            return {"type": "array", "items": self._schema(items[0], where)}
        made: list[Json] = [self._schema(item, where) for item in items]
        return {"type": "array", "prefixItems": made, "minItems": len(made), "maxItems": len(made)}

    def _choices(self, values: list[tuple[bool, Json]], where: str) -> Schema:
        if not values or not all(plain for plain, _ in values):
            return self._unknown("a choice that is not plain", where)
        choices = [value for _, value in values]
        kinds = {_KINDS.get(type(choice)) for choice in choices}
        kind = kinds.pop() if len(kinds) == 1 else None
        return {"type": kind, "enum": choices} if kind else {"enum": choices}

    def _union(self, alternatives: list[ast.expr], where: str) -> Schema:
        schemas: list[Schema] = []
        for alternative in alternatives:
            made = self._schema(alternative, where)
            if made not in schemas:
                schemas.append(made)
        if len(schemas) == 1:
            return schemas[0]
        if {} in schemas:
            return {}
        if len(schemas) == 2 and {"type": "null"} in schemas:
            return _or_null(next(schema for schema in schemas if schema != {"type": "null"}))
        if all(set(schema) == {"type"} and isinstance(schema["type"], str) for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}
        return {"anyOf": list(schemas)}

    def _annotated(self, items: list[ast.expr], where: str) -> Schema:
        schema = self._schema(items[0], where)
        for item in items[1:]:
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                schema.setdefault("description", item.value)
            elif isinstance(item, ast.Call):
                self._field(schema, item)
        return schema

    def _field(self, schema: Schema, call: ast.Call) -> None:
        """What pydantic's Field, or a Doc, says of a value."""
        if last_name(call.func) == "Doc" and call.args:
            schema["description"] = literal(call.args[0])[1]
        for keyword in call.keywords:
            plain, value = literal(keyword.value)
            if plain and keyword.arg in _FIELD_KEYWORDS:
                schema[_FIELD_KEYWORDS[keyword.arg]] = value
            elif plain and keyword.arg == "default" and value is not None:
                schema["default"] = value

    def _class(self, node: ast.ClassDef, where: str) -> Schema:
        if is_enum(node):
            values = [literal(item.value) for item in node.body if isinstance(item, ast.Assign)]
            return self._choices(values, f"{where}: {node.name}")
        doc = described(ast.get_docstring(node) or "")
        optional = any(item.arg == "total" and literal(item.value)[1] is False for item in node.keywords)
        properties: Schema = {}
        required: list[Json] = []
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            name, schema = item.target.id, self._schema(item.annotation, f"{where}.{item.target.id}")
            if doc.parameters.get(name):
                schema.setdefault("description", doc.parameters[name])
            if item.value is not None:
                self.put_default(schema, item.value)
            if not optional and not may_be_left_out(item):
                required.append(name)
            properties[name] = schema
        made: Schema = {"type": "object", "properties": properties}
        return {**made, "required": required} if required else made


def _items(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) and node.elts else [node]


def _alternatives(node: ast.expr) -> list[ast.expr]:
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def _or_null(schema: Schema) -> Schema:
    kind, choices = schema.get("type"), schema.get("enum")
    if not isinstance(kind, str):
        return {"anyOf": [schema, {"type": "null"}]}
    made: Schema = {**schema, "type": [kind, "null"]}
    return {**made, "enum": [*choices, None]} if isinstance(choices, list) else made

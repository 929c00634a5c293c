"""The classes and aliases of a pasted text, as syntax trees, and what can be read off them without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from playground.prompt.document import Json

_ENUMS = frozenset(("Enum", "StrEnum", "IntEnum"))
_FIELDS = frozenset(("BaseModel", "TypedDict", "NamedTuple", "Struct"))


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes and aliases of a text, by name."""

    classes: Mapping[str, ast.ClassDef]
    aliases: Mapping[str, ast.expr]

    @classmethod
    def of(cls, tree: ast.Module) -> Classes:
        """Those at the top of a text."""
        aliases: dict[str, ast.expr] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                aliases[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                aliases[node.target.id] = node.value
        return cls({node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}, aliases)

    @staticmethod
    def is_data(node: ast.ClassDef) -> bool:
        """Whether a class holds data, and so has no functions to be made tools of."""
        bases = {last_name(base) for base in node.bases}
        decorators = {last_name(item.func if isinstance(item, ast.Call) else item) for item in node.decorator_list}
        return bool(bases & (_ENUMS | _FIELDS)) or bool(decorators & {"dataclass", "define", "attrs"})


def last_name(node: ast.expr) -> str:
    """The last name of a dotted one: typing.List and List are the same."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def literal(node: ast.expr) -> tuple[bool, Json]:
    """(True, the value) where it is plain JSON; tuples are lists."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False, None
    value = list(value) if isinstance(value, tuple) else value
    return _is_json(value), value


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return value - value == 0  # neither infinite nor no number
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return value is None or isinstance(value, str | int | bool)


def is_enum(node: ast.ClassDef) -> bool:
    """Whether a class is an enum."""
    return bool({last_name(base) for base in node.bases} & _ENUMS)


def may_be_left_out(item: ast.AnnAssign) -> bool:
    if isinstance(item.annotation, ast.Subscript) and last_name(item.annotation.value) == "NotRequired":
        return True
    if isinstance(item.value, ast.Call) and last_name(item.value.func) in ("Field", "field"):
        names = {keyword.arg for keyword in item.value.keywords}
        first = item.value.args[0] if item.value.args else None
        given = first is not None and not (isinstance(first, ast.Constant) and first.value is ...)
        return given or bool(names & {"default", "default_factory"})
    return item.value is not None

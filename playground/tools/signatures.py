"""Tools from a pasted Python signature. The text is parsed, never run."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass

from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import FieldError, InputError
from playground.tools.docstrings import Described, described
from playground.tools.pasted_classes import Classes
from playground.tools.type_hints import Hints

MOST_CHARACTERS = 256 * 1024
_TOO_DEEP = "this is nested too deeply, or is no text that Python reads."
_RUN_BY_THE_CALLER = ("self", "cls")


@dataclass(frozen=True, slots=True)
class Pasted:
    """The tools that a text defines, and what of it could not be taken over, as sentences."""

    tools: tuple[Tool, ...]
    notes: tuple[str, ...] = ()


def from_python(text: str) -> Pasted:
    """A tool a function: type hints become its schema, the docstring its descriptions.

    A bare signature without a body will do. Classes in the same text (enums, dataclasses, typed dicts, pydantic
    models) are looked up where a hint names them. Raises InputError, with the place, where it is no Python or has no
    function.
    """
    tree = _parsed(text)
    functions = list(_functions(tree))
    if not functions:
        raise InputError(FieldError((), "there is no function in it.", "Paste it from def on."))
    notes: list[str] = []
    hints = Hints(Classes.of(tree), notes)
    try:
        tools = tuple(Tool.of(_definition(function, hints, notes)) for function in functions)
    except RecursionError:
        raise InputError(FieldError((), _TOO_DEEP)) from None
    return Pasted(tools, tuple(dict.fromkeys(notes)))


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _parsed(text: str) -> ast.Module:
    if len(text) > MOST_CHARACTERS:
        raise InputError(FieldError((), f"the text has {len(text):,} characters; {MOST_CHARACTERS:,} are the most."))
    plain = textwrap.dedent(text.strip("\n")).strip()
    error: SyntaxError | None = None
    for tried in (plain, f"{plain.rstrip(':')}: ...", f"{plain}\n    ..."):
        try:
            return ast.parse(tried)
        except SyntaxError as found:
            error = error or found
        except (RecursionError, MemoryError, ValueError):
            raise InputError(FieldError((), _TOO_DEEP)) from None
    assert error is not None
    where = f"line {error.lineno or 1}, column {error.offset or 1}"
    raise InputError(FieldError((), f"this is no Python function: {error.msg} at {where}."))


def _functions(tree: ast.Module) -> list[_Function]:
    """The functions and the public methods that stand in it, in order."""
    found: list[_Function] = []
    for node in tree.body:
        if isinstance(node, _Function):
            found.append(node)
        elif isinstance(node, ast.ClassDef) and not Classes.is_data(node):
            found += [item for item in node.body if isinstance(item, _Function) and not item.name.startswith("_")]
    return found


def _definition(function: _Function, hints: Hints, notes: list[str]) -> dict[str, Json]:
    doc = described(ast.get_docstring(function) or "")
    made: dict[str, Json] = {"name": function.name}
    if doc.summary:
        made["description"] = doc.summary
    made["parameters"] = _parameters(function, doc, hints, notes)
    return {"type": "function", "function": made}


def _parameters(function: _Function, doc: Described, hints: Hints, notes: list[str]) -> dict[str, Json]:
    arguments = function.args
    properties: dict[str, Json] = {}
    required: list[Json] = []
    for argument, default in _with_defaults(arguments):
        schema = hints.schema(argument.annotation, f"{function.name}({argument.arg})")
        if doc.parameters.get(argument.arg):
            schema.setdefault("description", doc.parameters[argument.arg])
        if default is None:
            required.append(argument.arg)
        else:
            hints.put_default(schema, default)
        properties[argument.arg] = schema
    if arguments.vararg is not None:
        notes.append(f"*{arguments.vararg.arg} of {function.name} is left out: a call's arguments have names.")
    if arguments.kwarg is not None:
        notes.append(f"**{arguments.kwarg.arg} of {function.name} is left out: declare what it takes by name.")
    schema_of_all: dict[str, Json] = {"type": "object", "properties": properties}
    if required:
        schema_of_all["required"] = required
    return schema_of_all


def _with_defaults(arguments: ast.arguments) -> list[tuple[ast.arg, ast.expr | None]]:
    """Every named parameter with its default; None where it has none. A method's first is the caller's own."""
    plain = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    pairs = list(zip(plain, [*missing, *arguments.defaults], strict=True))
    if pairs and pairs[0][0].arg in _RUN_BY_THE_CALLER and pairs[0][0].annotation is None:
        pairs = pairs[1:]
    return [*pairs, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]

"""Python as the nodes that the reader of programs knows. Nothing is executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report
from playground.prompt.import_formats.call_values import Values
from playground.prompt.import_formats.sdk_calls import ParsedProgram, Shape, tree

_KINDS: dict[type[ast.AST], str] = {
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda), "function"),
    **dict.fromkeys((ast.For, ast.AsyncFor, ast.While), "loop"),
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), "loop"),
    **dict.fromkeys((ast.Return, ast.Raise, ast.Break, ast.Continue), "end"),
    ast.Await: "await",
    ast.If: "if",
    ast.ClassDef: "class",
    ast.Call: "call",
    ast.JoinedStr: "template",
    ast.Expr: "expression",
    ast.List: "list",
    ast.Starred: "spread",
}


def python_fields(text: str, values: Values, report: Report) -> dict[str, Json]:
    """Return the arguments of the first SDK call as a request body. Raises SyntaxError, InputError."""
    cookie = re.match(r"(?:[^\n]*\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", text)
    if cookie and not re.fullmatch(r"(?i)utf[-_]?8(-sig)?|(us-)?ascii", cookie[1]):
        raise InputError.of((), f"the program is not in UTF-8 but in {cookie[1]}.", "Save it as UTF-8.")
    nodes = tree(ast.parse(text), _shape)
    return values.body(ParsedProgram(nodes, values, report, _source, is_python=True).fields())


def _source(node: object) -> str:
    return ast.unparse(node) if isinstance(node, ast.AST) else ""


def _shape(native: object) -> Shape:  # noqa: C901 - one case per kind of syntax
    """Return kind, name or value, line, source and parts of a piece of syntax; pairs and blocks are tuples."""
    line = getattr(native, "lineno", 0)
    match native:
        case (str() as kind, name, [*given]):
            return kind, name, 0, None, given
        case ast.Constant(value=str() | bool() | int() | float() | None as value):
            return "const", value, line, native, ()
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return "const", -number, line, native, ()
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return _shape(value)
        case ast.Dict(keys=keys, values=found):
            pairs = zip(keys, found, strict=True)
            parts = [("spread", "", (one,)) if key is None else ("pair", "", (key, one)) for key, one in pairs]
            return "dict", "", line, native, parts
        case ast.keyword(arg=name, value=value):
            return ("keyword" if name else "spread"), name or "", line, native, (value,)
        case ast.Name(id=name, ctx=ctx):
            return ("name" if isinstance(ctx, ast.Load) else "bind"), name, line, native, ()
        case ast.Attribute(value=value, attr=name, ctx=ctx):
            return ("member" if isinstance(ctx, ast.Load) else "set"), name, line, native, (value,)
        case ast.Subscript(value=value, slice=place, ctx=ctx):
            name = str(getattr(place, "value", ""))
            return ("index" if isinstance(ctx, ast.Load) else "set"), name, line, native, (value, place)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            terms = [right]
            while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add):
                terms.append(left.right)
                left = left.left
            return "sum", "", line, native, [left, *reversed(terms)]
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            return "let", name, line, native, (value, *filter(None, [getattr(native, "annotation", None)]))
        case (
            ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self" as me), attr=name)], value=value)
            | ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self" as me), attr=name), value=ast.expr() as value)
        ):
            return "set", name, line, native, (("name", me, ()), value)
        case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=ast.List() as value):
            method = ("member", "extend", (("name", name, ()),))
            return "expression", "", line, native, (("call", "", (method, value)),)
        case ast.Import(names=found) | ast.ImportFrom(names=found):
            module = "." if isinstance(native, ast.ImportFrom) and native.level else ""
            module += f"{native.module or ''}." if isinstance(native, ast.ImportFrom) else ""
            bound = [
                ("import", (one.asname or (one.name if module else one.name.split(".")[0]), module + one.name), ())
                for one in found
            ]
            return "other", "", line, native, bound
        case ast.Global(names=found) | ast.Nonlocal(names=found):
            return "other", "", line, native, [("bind", name, ()) for name in found for _ in range(2)]
        case ast.arg(arg=name, annotation=annotation):
            return "bind", name, line, native, () if annotation is None else (annotation,)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            is_decorated = bool(native.decorator_list)
            return _KINDS[type(native)], (name, "decorated" if is_decorated else ""), line, native, [*_parts(native)]
        case ast.AST():
            names = [getattr(native, field, None) for field in ("name", "rest")]
            found_names = [("bind", name, ()) for name in names if isinstance(name, str)]
            return _KINDS.get(type(native), "other"), "", line, native, [*found_names, *_parts(native)]
    raise TypeError(native)


def _parts(node: ast.AST) -> Iterator[object]:
    """Yield the parts of a node, with each list of statements as one block."""
    for _, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield "block", "", value
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, ast.AST))
        elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context | ast.operator):
            yield value

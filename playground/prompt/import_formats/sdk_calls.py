"""The calls of an SDK in a program: which of them runs first, and what may change its client."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence, Set
from itertools import pairwise

from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.call_values import CALL, CALL_ENDS, words

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_API = words("chat completions responses messages beta with_raw_response create stream parse electron complete")
_SENDING = words("create post request send fetch stringify completions Completions __init__")
_WITH_OPTIONS = words("with_options withOptions with_raw_response withRawResponse")
_MAKERS = words("OpenAI AsyncOpenAI AzureOpenAI AsyncAzureOpenAI Anthropic AsyncAnthropic")
_SDKS = words("openai anthropic @anthropic-ai/sdk smallestai")
UNKNOWN = "?"
"""The function of an expression that is not followed: what it does to its arguments is not known."""


def is_sdk(function: ast.AST, aliases: Mapping[str, str]) -> bool:
    if (
        not (isinstance(function, ast.Attribute) and f".{function.attr}" in CALL_ENDS)
        and _held(function) not in aliases
    ):
        return False
    return CALL.search(followed(ast.unparse(function), aliases) + "(") is not None


def followed(source: str, aliases: Mapping[str, str]) -> str:
    """Return an expression with its first name replaced by what it stands for, as `c.chat` for `chat`."""
    for _ in range(3):
        source = re.sub(r"\A[\w$]+", lambda name: aliases.get(name[0], name[0]), source)
    return source


def is_post(call: ast.Call) -> bool:
    """Whether a call sends a request without an SDK."""
    return getattr(call.func, "id", "") == "fetch" or property_name(call.func) == "post"


def in_order(calls: Sequence[ast.Call], parents: Mapping[ast.AST, ast.AST]) -> list[ast.Call]:
    """Return the calls that may run: first those in no function, or in one that the program mentions. Wrappers of a
    call, and calls of other packages that have no messages, are last.
    """
    tree = path_to(parents, calls[0])[0]
    used = {
        node.id if isinstance(node, ast.Name) else property_name(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
    }
    exits = {"exit", "quit"} - {getattr(node, "name", "") for node in ast.walk(tree)}
    found: list[tuple[bool, ast.Call]] = []
    ending: ast.AST | None = None
    for call in calls:
        path = path_to(parents, call)
        end = next(
            (end for outer, inner in pairwise(path) if (end := _end_before(outer, inner, exits)) is not None), None
        )
        ending = ending or end
        is_used = all(
            node.name in used or node.decorator_list or node.name.startswith(("__", UNKNOWN))
            for node in path
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        keys = {one.arg for one in call.keywords}
        for one in (*call.args, *(keyword.value for keyword in call.keywords if keyword.arg is None)):
            keys |= {getattr(key, "value", None) for key in getattr(one, "keys", ())}
        is_whole = None not in keys and (not call.args or isinstance(call.args[0], ast.Dict))
        is_other = (isinstance(call.func, ast.Name) or is_whole) and keys.isdisjoint(["messages", "input"])
        found += [(not is_used or (is_other and not is_post(call)), call)] if end is None else []
    if not found:
        line = getattr(ending, "lineno", 0)
        raise InputError.of(
            (), f"line {line} ends the program or its function before the call in line {calls[0].lineno}."
        )
    return [call for _, call in sorted(found, key=lambda one: one[0])]


def _end_before(outer: ast.AST, inner: ast.AST, exits: Set[str]) -> ast.AST | None:
    """Return what in `outer` keeps `inner` from being run."""
    for name, block in ast.iter_fields(outer):
        if not isinstance(block, list) or not any(one is inner for one in block):
            continue
        test = outer.test if isinstance(outer, ast.If | ast.While) else None
        if isinstance(test, ast.Constant) and bool(test.value) is not (name == "body"):
            return outer
        before = (
            () if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) else block[: block.index(inner)]
        )  # functions of JavaScript
        ends: list[ast.AST] = [one for one in before if _is_end(one, exits)]
        if ends:
            return ends[0]
    return None


def _is_end(node: ast.AST, exits: Set[str]) -> bool:
    """Whether the statements behind it are not run."""
    match node:
        case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
            return True
        case ast.While(test=ast.Constant(value=value)) if value:
            return not any(isinstance(one, ast.Break | ast.Return) for one in ast.walk(node))
        case ast.If(test=ast.Constant(value=value), body=body) if value:
            return any(_is_end(one, exits) for one in body)
        case ast.With(items=[], body=body):
            return any(_is_end(one, exits) for one in body)
        case ast.If(body=body, orelse=orelse):
            return any(_is_end(one, exits) for one in body) and any(_is_end(one, exits) for one in orelse)
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name in exits
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=("sys" | "os" | "process")), attr=name))):
            return name.lstrip("._") == "exit"
    return False


def doubt_about(
    nodes: Sequence[ast.AST],
    parents: Mapping[ast.AST, ast.AST],
    call: ast.Call,
    bound: Set[str],
    *,
    is_post: bool,
) -> str:
    """Return what may change the client of a call, or what it sends; empty if it is that of a known package.

    `bound`: the names that the program sets. `is_post`: the call has no client of an SDK.
    """
    client = _Client(nodes, parents, bound)
    return client.replaced() if is_post else client.doubt(call)


class _Client:
    """The names that a client has in a program, and the code that may change it."""

    def __init__(self, nodes: Sequence[ast.AST], parents: Mapping[ast.AST, ast.AST], bound: Set[str]) -> None:
        self._nodes, self._parents = nodes, parents
        self._keys: list[str] = []
        self._imported: dict[str, int] = {}  # from other packages
        self._import_doubt = ""
        made: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.ImportFrom | ast.Import):
                made |= self._packages(node)
            elif isinstance(node, ast.Assign) and _has_package(node.value):
                made |= {one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)}
        self._functions = {
            node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        self._own = {*self._functions, *(node.name for node in nodes if isinstance(node, ast.ClassDef))}
        self._makers = (made | (_MAKERS - self._imported.keys() - bound)) - self._own

    def _packages(self, node: ast.ImportFrom | ast.Import) -> set[str]:
        """Return the names that are imported from known packages."""
        found: set[str] = set()
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        for one in node.names:
            first = module if module in _SDKS else re.split(r"[./]", module or one.name)[0]
            is_mock = (module or one.name).startswith("unittest.mock")
            if one.name == "*" or first in ("mock", "importlib") or is_mock:
                origin = f" from {module}" if module else ""
                self._import_doubt = f"Line {node.lineno} imports {one.name}{origin}"
            if first in _SDKS:
                found.add(one.asname or one.name)
            else:
                self._imported[one.asname or one.name] = node.lineno
        return found

    def doubt(self, call: ast.Call) -> str:
        """Return what may change the client."""
        base: ast.AST = call.func
        while isinstance(base, ast.Attribute | ast.Subscript | ast.Call):
            if isinstance(base, ast.Call):
                if property_name(base.func) not in _WITH_OPTIONS:
                    break
                base = base.func
            elif property_name(base) not in _API | _WITH_OPTIONS:
                break
            else:
                base = base.value
        if not self._is_held(base):
            return f"The client is made by {_maker(base)} in line {call.lineno}"
        for key in self._keys:  # it grows
            if key in self._imported:
                return f"The client is imported in line {self._imported[key]}"
            for node in self._nodes:
                is_maker = key in self._makers
                if found := self._changed_by(node, key, is_maker) or (not is_maker and self._set_by(node, key)):
                    return found
        return self._import_doubt or self.replaced()

    def replaced(self) -> str:
        """Return the code that replaces a function on the way from the call to the network."""
        return next(filter(None, map(self._replaced_by, self._nodes)), "")

    def _replaced_by(self, node: ast.AST) -> str:
        is_set = isinstance(getattr(node, "ctx", None), ast.Store) or node in getattr(
            self._parents.get(node), "targets", ()
        )
        name = property_name(node) if isinstance(node, ast.Attribute | ast.Subscript) else ""
        if not is_set or name not in _SENDING or _base(node) in ("self", "this"):
            return ""
        return f"{name} is replaced in line {getattr(node, 'lineno', 0)}"

    def _is_made(self, value: ast.AST | None) -> bool:  # noqa: C901 - one case per expression
        match value:
            case None | ast.Constant():
                return True
            case ast.Call(func=ast.Name(id=name), args=[inner]) if name == UNKNOWN:  # new OpenAI()
                return self._is_made(inner)
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                returned = [one for one in ast.walk(self._functions[name]) if isinstance(one, ast.Return)]
                return bool(returned) and all(self._is_held(one.value) for one in returned)
            case ast.Call(func=ast.Name(id=name)):
                return name in self._makers or _has_package(value)
            case ast.Call(func=ast.Attribute(value=inner) as method):
                is_same = property_name(method) in _WITH_OPTIONS and self._is_made(inner)
                return is_same or getattr(inner, "id", "") in self._makers or _has_package(value)
            case ast.Await(value=inner):
                return self._is_made(inner)
            case ast.BoolOp(values=parts):
                return all(self._is_held(one) for one in parts)
            case ast.IfExp(body=body, orelse=orelse):
                return self._is_held(body) and self._is_held(orelse)
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) if not _held(value):
                return self._is_made(inner)
            case ast.Attribute() | ast.Name() | ast.Subscript():
                return self._is_held(value)
        return value is not None and _has_package(value)

    def _is_held(self, value: ast.AST | None) -> bool:
        """Whether a value is made, or has a name; that name is then looked at, too."""
        name = _held(value)
        self._keys += [name] if name and name not in self._keys else []
        return bool(name) or self._is_made(value)

    def _set_by(self, node: ast.AST, key: str) -> str:
        """Return the code that gives a name another client."""
        targets: list[ast.expr | None] = []
        value: ast.expr | None = None
        match node:
            case ast.Assign():
                targets, value = [*node.targets], node.value
            case ast.AnnAssign() | ast.NamedExpr():
                targets, value = [node.target], node.value
            case ast.withitem():
                targets, value = [node.optional_vars], node.context_expr
        if key not in map(_held, targets) or self._is_made(value):
            return ""
        return f"The client is made by {_maker(value)} in line {getattr(value, 'lineno', 0)}"

    def _changed_by(self, node: ast.AST, key: str, is_maker: bool) -> str:
        """Return the code that changes a property of the client, or passes it on. A package is changed in its calls."""
        if _held(node) != key or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)):
            return ""
        line = getattr(node, "lineno", 0)
        end, parent = node, self._parents.get(node)
        while isinstance(parent, ast.Attribute | ast.Subscript) and parent.value is end:
            is_maker = is_maker and property_name(parent) not in _API
            end, parent = parent, self._parents.get(parent)
        is_set = isinstance(getattr(end, "ctx", None), ast.Store | ast.Del) or end in getattr(parent, "targets", ())
        if is_maker:
            return ""
        if is_set and end is not node:
            return f"The client is changed in line {line}"
        if isinstance(parent, ast.keyword | ast.Starred):
            parent = self._parents[parent]
        is_followed = isinstance(parent, ast.Assign | ast.AnnAssign) and isinstance(_target(parent), ast.Name)
        is_called = isinstance(parent, ast.Call) and end is parent.func
        if property_name(end) in _API and end is not node and not is_followed and not is_called:
            return f"The client is passed on in line {line}"
        if isinstance(parent, ast.Assign) and end is parent.value:
            self._keys += {*map(_held, parent.targets)} - {*self._keys, ""}
        elif isinstance(parent, ast.Call) and end is not parent.func:
            name = getattr(parent.func, "id", "") or property_name(parent.func)
            if name not in self._own and name not in ("print", "isinstance", "bool", "info"):
                return f"The client is passed on in line {line}"
            given = parameters(self._functions[name]) if name in self._functions else set()
            self._keys += given - {*self._keys, "self"}
        return ""


def property_name(node: ast.AST) -> str:
    """Return the name of a property."""
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip(".")
    return str(getattr(node.slice, "value", "")) if isinstance(node, ast.Subscript) else ""


def self_names(  # noqa: C901 - one case per kind of node
    nodes: Sequence[ast.AST], parents: Mapping[ast.AST, ast.AST], path: Sequence[ast.AST]
) -> dict[ast.AST, ast.AST]:
    """Make a name of each property of `self` that the first method of the class around a call sets.

    Return the class and that method. A property that other code than the methods of the class may reach stays as it is.
    """
    owner = next((node for node in reversed(path) if isinstance(node, ast.ClassDef)), None)
    first = next(
        (one for one in getattr(owner, "body", ()) if getattr(one, "name", "") in ("__init__", "constructor")), None
    )
    if owner is None or not isinstance(first, ast.FunctionDef):
        return {}
    inside, whole = {*ast.walk(owner)}, {*ast.walk(first)}
    if owner.bases or owner.keywords or owner.decorator_list or any(isinstance(one, ast.Return) for one in whole):
        return {}
    if any(_may_override(node, nodes) for node in nodes):
        return {}
    found: dict[str, list[ast.AST]] = {}
    lost = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    lost |= {one.id for part in owner.body for one in getattr(part, "targets", ()) if isinstance(one, ast.Name)}
    begun: set[str] = set()
    classes = [one for one in nodes if isinstance(one, ast.ClassDef) and one is not owner and not one.bases]
    apart = {node for one in classes for node in ast.walk(one)} - inside  # their objects are others
    targets = {one for node in nodes for one in getattr(node, "targets", ())}
    for node in nodes:
        name, parent = property_name(node), parents.get(node)
        if isinstance(node, ast.Name) and node.id in ("self", "this"):
            if node in inside and not (isinstance(parent, ast.Attribute | ast.Subscript) and property_name(parent)):
                return {}
        elif isinstance(node, ast.Constant) and isinstance(parent, ast.Call):
            lost |= {node.value} if isinstance(node.value, str) else set()
        elif name and node in apart and _held(node):
            continue
        elif name == "__dict__" or (name and (not _held(node) or node not in inside)):
            lost.add(name)
        elif name:
            found.setdefault(name, []).append(node)
            is_target = node in targets or isinstance(getattr(node, "ctx", None), ast.Store)
            begun |= {name} if is_target and node in whole else set()
            inner = node
            while inner not in targets and isinstance(outer := parents.get(inner), ast.expr):
                lost |= {name} if isinstance(outer, ast.Call) and getattr(outer.func, "id", "") == UNKNOWN else set()
                inner = outer
    if "__dict__" in lost or not begun - lost:
        return {}
    made = {one: f"{_base(one)}.{name}" for name in begun - lost for one in found[name]}
    for parent in nodes:
        for field, value in ast.iter_fields(parent):
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, ast.expr) or one not in made:
                    continue
                is_target = field == "targets" or not isinstance(getattr(one, "ctx", None), ast.Load)
                new = ast.Name(id=made[one], ctx=ast.Store() if is_target else ast.Load())
                ast.copy_location(new, one)
                if isinstance(value, list):
                    value[next(at for at, old in enumerate(value) if old is one)] = new
                else:
                    setattr(parent, field, new)
    return {owner: first}


def _may_override(node: ast.AST, nodes: Sequence[ast.AST]) -> bool:
    """Return whether a node may give an object another property than its constructor: a subclass with fields, which
    JavaScript sets behind the constructor of the base, or a method that sets or reads every property."""
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__setattr__", "__getattribute__")
    if not isinstance(node, ast.ClassDef):
        return False
    fields = (one for one in node.body if getattr(one, "name", UNKNOWN) == UNKNOWN)
    if all(isinstance(one, ast.Pass | ast.Expr) for one in fields):
        return False
    own = {one.name for one in nodes if isinstance(one, ast.ClassDef)} | {
        one.arg if isinstance(one, ast.arg) else one.id
        for one in nodes
        if isinstance(one, ast.arg) or (isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
    }
    return any(not isinstance(base, ast.Name) or base.id in own for base in node.bases)


def _target(node: ast.AST) -> ast.AST | None:
    found: ast.AST | None = getattr(node, "target", None) or getattr(node, "targets", (None,))[0]
    return found


def _base(node: ast.AST) -> str:
    return str(getattr(getattr(node, "value", None), "id", ""))


def _maker(node: ast.AST | None) -> str:
    while isinstance(node, ast.Call):
        is_new = isinstance(node.func, ast.Name) and node.func.id == UNKNOWN
        node = node.args[0] if is_new and node.args else node.func
    return getattr(node, "id", "") or (property_name(node) if node is not None else "") or "an expression"


def _held(node: ast.AST | None) -> str:
    """Return the name of a variable, or of a property of `self`."""
    if isinstance(node, ast.Name):
        return node.id
    of_self = isinstance(node, ast.Attribute | ast.Subscript) and getattr(node.value, "id", "") in ("self", "this")
    return property_name(node) if of_self and node is not None else ""


def _has_package(value: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("require", "import")
        and any(isinstance(one, ast.Constant) and one.value in _SDKS for one in node.args)
        for node in ast.walk(value)
    )


def parameters(node: ast.AST) -> set[str]:
    given = node.args if isinstance(node, FUNCTIONS) else None
    return {one.arg for one in ast.walk(given) if isinstance(one, ast.arg)} if given is not None else set()


def path_to(parents: Mapping[ast.AST, ast.AST], call: ast.AST) -> list[ast.AST]:
    """Return the nodes from the program to the call, one inside the other."""
    path = [call]
    while path[-1] in parents:
        path.append(parents[path[-1]])
    return path[::-1]

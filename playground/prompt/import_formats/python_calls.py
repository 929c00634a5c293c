"""The arguments of an SDK call in a Python program: straight-line code before it is followed, nothing is executed."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, TypeVar

from msgspec import Struct

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report
from playground.prompt.import_formats.call_values import (
    MAX_CHARS,
    Gap,
    Open,
    Values,
    bounded_number,
    gap_in,
    is_api,
    note_other_calls,
    spread,
    taint,
    total,
    words,
)
from playground.prompt.import_formats.sdk_calls import (
    FUNCTIONS,
    doubt_about,
    in_order,
    is_post,
    is_sdk,
    parameters,
    path_to,
    property_name,
    self_names,
)
from playground.prompt.json_text import loads

_SCOPES = (ast.Module, *FUNCTIONS)
_NESTED = (ast.ClassDef, *FUNCTIONS)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_READ_ONLY = words(
    "print pprint len str repr list dict tuple set sorted enumerate zip range isinstance type sum min "
    "max any all bool next iter open deepcopy copy dumps dedent format join get keys values items index "
    "count encode decode info debug warning error exception strip lstrip rstrip upper lower replace "
    "split splitlines startswith endswith concat create stream parse complete"
)
"""Functions and methods that do not change their arguments."""
_SHARING = words("list dict tuple set sorted enumerate zip min max next iter copy get values items concat")
"""Those of them whose result has the members of an argument."""
_MODULES = {"textwrap": "dedent", "inspect": "cleandoc", "json": "dumps", "pprint": "pprint", "copy": "copy deepcopy"}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}
_COMPARING = words("__eq__ __ne__ __lt__ __gt__ __contains__ __instancecheck__ __hash__")
"""Methods that only read their arguments, in programs that are not refused."""
_DYNAMIC = frozenset(["exec", "eval", "globals", "vars", "locals", "setattr", "delattr"])
_CHANGING = words("append extend insert remove pop clear update setdefault sort reverse")
_JAVASCRIPT = words("len String Number Boolean parseInt parseFloat")
"""Functions of JavaScript that do not change their arguments. `len`: `.length`."""
_PASSING = words(
    "open OpenAI AsyncOpenAI Client AsyncClient Session ClientSession ThreadPoolExecutor TemporaryDirectory urlopen "
    "NamedTemporaryFile Lock"
)
"""Context managers that do not end an exception."""
MARK = "'"
"""Behind it, a name has the number of its declaration."""
_MAX_PARTS = 60_000
_DUMPS = frozenset(["indent", "ensure_ascii"])
_SPEC = re.compile(r",?(\.\d{1,2})?[fd%]?")
_FIELDS = re.compile(r"(?:[^{}]|\{\{|\}\}|\{\w*\})*")


_PartT = TypeVar("_PartT")


class _Unset(Struct, frozen=True):
    """The value of a name that is not known. It has a variable when it is used."""

    reason: str = ""
    line: int = 0


class _Row(list[object]):
    """A tuple: `+=` makes another one."""


class _Change(Struct, frozen=True):
    """What code does to a name: sets it, adds items to its list, or alters its value in another way."""

    kind: Literal["set", "grow", "alter"]
    name: str
    line: int


def python_fields(text: str, values: Values, report: Report) -> dict[str, Json]:
    """Return the arguments of the first SDK call as a request body. Raises SyntaxError, InputError."""
    bounded(text.splitlines())
    cookie = re.match(r"(?:[^\n]*\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", text)
    if cookie and not re.fullmatch(r"(?i)utf[-_]?8(-sig)?|(us-)?ascii", cookie[1]):
        raise InputError.of((), f"the program is not in UTF-8 but in {cookie[1]}.", "Save it as UTF-8.")
    return call_fields(ast.parse(text), None, values, report)


def bounded(parts: Iterable[_PartT]) -> list[_PartT]:
    """Return the parts of a program. Raises InputError if there are too many."""
    found = [*islice(parts, _MAX_PARTS + 1)]
    if len(found) > _MAX_PARTS:
        raise InputError.of((), f"the program has more than {_MAX_PARTS:,} parts.")
    return found


def call_fields(
    tree: ast.Module, calls: list[ast.Call] | None, values: Values, report: Report, javascript: str = ""
) -> dict[str, Json]:
    """Return the arguments of the first call as a request body.

    `calls`: None to search them. `javascript`: the program if it is not Python.
    """
    nodes = bounded(ast.walk(tree))
    depths: dict[ast.AST, int] = {tree: 0}
    parents: dict[ast.AST, ast.AST] = {}
    for node in nodes:  # outer nodes are before inner ones
        values.spend(getattr(node, "lineno", 0), 0, depths[node])
        depth = depths[node] + isinstance(node, _NESTED)
        inner = [*ast.iter_child_nodes(node)]
        depths.update(dict.fromkeys(inner, depth))
        parents.update(dict.fromkeys(inner, node))
    if calls is None:
        aliases = {
            target.id: source
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
            and isinstance(node.value, ast.Attribute)
            and is_api(source := ast.unparse(node.value))
        }
        calls = [node for node in nodes if isinstance(node, ast.Call) and is_sdk(node.func, aliases)]
    posts = [] if calls else [node for node in nodes if isinstance(node, ast.Call) and is_post(node)]
    posts = [one for one in posts if not one.args or not _is_other_address(one.args[0])] or posts
    if not calls and not posts:
        raise InputError.of((), "the snippet has no call of chat.completions.create.")
    calls = calls or posts
    calls.sort(key=lambda node: (node.lineno, node.col_offset))
    _refuse_dynamic(nodes, {"eval", "Function"} if javascript else _DYNAMIC)
    calls = in_order(calls, parents)
    note_other_calls([node.lineno for node in calls], report)
    values.line = calls[0].lineno
    if doubt := doubt_about(nodes, parents, calls[0], _bound(nodes), is_post=bool(posts)):
        report.note(f"{doubt}, which may change the request.")
    path = path_to(parents, calls[0])
    if begun := self_names(nodes, parents, path):
        nodes = [*ast.walk(tree)]
    return values.body(_Program(nodes, path, begun, values, javascript).arguments(report))


def _is_other_address(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not str(node.value).endswith("/chat/completions")


class _Program:
    """Follows the scopes around a call, and in each the straight-line code before it."""

    def __init__(
        self,
        nodes: Sequence[ast.AST],
        path: Sequence[ast.AST],
        begun: Mapping[ast.AST, ast.AST],
        values: Values,
        javascript: str,
    ) -> None:
        """`path`: the nodes from the program to the call. `begun`: classes, and their methods that run first."""
        call = path[-1]
        assert isinstance(call, ast.Call)
        self._call, self._values, self._javascript = call, values, javascript
        self._stars = "..." if javascript else "**"
        self._scopes: list[dict[str, object]] = []
        self._callers: list[dict[str, object]] = []  # the scopes that a function does not see
        self._outside: list[_Change] = []
        self._properties: dict[str, object] = {}  # of `self`
        self._methods_change: list[_Change] = []  # of these
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        defined = _defined(nodes)
        self._methods = _READ_ONLY - defined
        self._growing = {"append", "extend"} - defined
        self._defined = defined
        self._has_sums = not defined.isdisjoint(["__add__", "__radd__", "__iadd__"])
        known = _JAVASCRIPT if javascript else _READ_ONLY | {"cleandoc"}
        bound = self._bound = _bound(nodes)
        self._read_only = self._builtins = known - defined - bound
        self._loose = _loose(nodes)  # and, below, the names that functions may change
        self._own: set[str] = set()  # functions of the program that do not change what they are given
        self._judged: dict[ast.AST, bool] = {}
        changing = {node.name for node in functions if node.decorator_list or self._is_changing(node)}
        self._own = {node.name for node in functions} - changing
        self._judged.clear()
        self._read_only |= self._own - bound
        self._loose |= {change.name for node in nodes for change in self._free_changes(node)}
        self._expressions = _expressions(path[0])
        self._on_path = {id(node) for node in path}
        last = max(index for index, node in enumerate(path) if isinstance(node, _SCOPES))
        for index, node in enumerate(path):
            if isinstance(node, _SCOPES) or (isinstance(node, ast.ClassDef) and index > last):
                later = next((one for one in path[index + 1 :] if isinstance(one, FUNCTIONS)), None)
                self._enter_scope(node, later)
            elif node in begun:
                self._begin(begun[node], nodes)
            elif isinstance(node, _COMPREHENSIONS):
                names = {one.name for part in node.generators for one in self._changes([part.target])}
                self._scopes.append({name: _Unset() for name in names})

    def arguments(self, report: Report) -> dict[str, object]:
        """Return the arguments of the call by name."""
        if is_post(self._call):
            return self._posted(report)
        fields: dict[str, object] = {}
        for argument in self._call.args:
            if not self._javascript and any(
                isinstance(key, ast.Name) for one in ast.walk(argument) for key in getattr(one, "keys", ())
            ):
                raise SyntaxError("an object of JavaScript")
            self._spread_into(fields, self._value(argument), self._source(argument)[:60])
        for keyword in self._call.keywords:
            value = self._value(keyword.value)
            if keyword.arg is None:
                self._spread_into(fields, value, f"{self._stars}{self._source(keyword.value)[:60]}")
            elif keyword.arg in ("extra_headers", "extra_query", "timeout", "options"):
                report.left_out(keyword.arg, "it is not part of the body")
            elif keyword.arg == "request_options":
                more = value.get("additional_body_parameters") if isinstance(value, dict) else None
                fields |= more if isinstance(more, dict) else {}
                report.left_out("request_options, apart from additional_body_parameters,")
            elif keyword.arg == "extra_body":
                self._spread_into(fields, value, "extra_body")
            else:
                fields[keyword.arg] = value
        return fields

    def _posted(self, report: Report) -> dict[str, object]:
        """Return the JSON that a request with `fetch` or `post` sends. Raises InputError if it is not known."""
        line, given = self._call.lineno, {one.arg: self._value(one.value) for one in self._call.keywords}
        rest = [self._value(one) for one in self._call.args]
        url = rest.pop(0) if rest else given.get("url")
        more = rest[0] if rest else None
        if self._javascript and property_name(self._call.func):  # axios.post(url, body)
            given = {"json": more}
        elif self._javascript:
            given = more if isinstance(more, dict) and gap_in(more) is None else {}
        elif getattr(self._call.func, "id", "") == "fetch" or (rest and not given):
            raise SyntaxError("a function of JavaScript")
        if not isinstance(url, str) or not url.endswith("/chat/completions"):
            raise InputError.of((), f"line {line}: the address of the request does not end with /chat/completions.")
        names = [name for name in ("json", "body", "data", "content") if name in given]
        value = given[names[0]] if names else None
        if isinstance(value, str) and names != ["json"]:
            value = value.held if isinstance(value, Open) else loads(value)
        if not isinstance(value, dict):
            raise InputError.of((), f"line {line}: the JSON of the request is not in the program.", "Paste the JSON.")
        fields: dict[str, object] = {}
        self._spread_into(fields, value, names[0])
        return fields

    @staticmethod
    def _spread_into(fields: dict[str, object], value: object, what: str) -> None:
        gap = gap_in(value, whole=True)
        if isinstance(value, dict) and gap is None:
            fields |= value
        else:
            reason = gap.why if gap else value.reason if isinstance(value, Open) else ""
            fields[what] = Gap(what, reason or "its value is not in the program")

    def _source(self, node: ast.AST) -> str:
        if not self._javascript or not isinstance(node, ast.expr):
            return ast.unparse(node)
        return " ".join(self._javascript[node.col_offset : node.end_col_offset].split())

    # Scopes and statements

    def _begin(self, first: ast.AST, nodes: Iterable[ast.AST]) -> None:
        """Run the method that sets the properties of `self`, as names of their own scope."""
        own: dict[str, object] = {change.name: _Unset() for change in self._free_changes(first) if "." in change.name}
        self._scopes.append(own)
        self._properties = own
        self._methods_change = [
            change for one in nodes if one is not first for change in self._free_changes(one) if change.name in own
        ]
        if id(first) not in self._on_path:
            self._enter_scope(first, None)
            self._scopes.pop()

    def _enter_scope(self, node: ast.AST, later: ast.AST | None) -> None:
        """Run a scope up to the call, or up to the function `later` that has the call, which may run at any time."""
        body: list[ast.stmt] = [] if isinstance(node, ast.Lambda) else getattr(node, "body", [])
        free = {name for one in ast.walk(node) if isinstance(one, ast.Global | ast.Nonlocal) for name in one.names}
        changes = [change for change in self._changes(body) if change.kind == "set"]
        scope: dict[str, object] = {
            change.name: _Unset(f"line {change.line} sets it after its use", change.line)
            for change in changes
            if change.name not in free and "." not in change.name
        }
        scope |= {name: _Unset() for name in parameters(node)}
        self._scopes.append(scope)
        self._outside = [change for one in ast.walk(node) if one is not node for change in self._free_changes(one)]
        rest = self._run(body)
        if later is None:
            return
        once = Counter(change.name for change in changes)
        for statement in rest:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            if isinstance(target, ast.Name) and once[target.id] == 1:
                self._execute(statement)
            else:
                line = getattr(later, "end_lineno", 0)
                self._apply(change for change in self._changes([statement]) if change.line > line)

    def _free_changes(self, node: ast.AST) -> list[_Change]:
        """Return what the code of a function or class changes outside of it."""
        if not isinstance(node, _NESTED):
            return []
        changes = list(self._changes([node.body] if isinstance(node, ast.Lambda) else node.body))
        free = {name for one in ast.walk(node) if isinstance(one, ast.Global | ast.Nonlocal) for name in one.names}
        local = (parameters(node) | {change.name for change in changes if change.kind == "set"}) - free
        return [change for change in changes if change.name not in local or "." in change.name]

    def _run(self, body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
        """Execute the statements up to the call; return the one that has it and those behind."""
        for index, statement in enumerate(body):
            if id(statement) in self._on_path:
                self._enter(statement)
                return body[index:]
            self._execute(statement)
        return ()

    def _enter(self, statement: ast.stmt) -> None:  # noqa: C901 - one case per statement
        """Execute what runs before the call inside a statement that contains it."""
        if isinstance(statement, _NESTED):
            return
        field, block = "", []
        for name, value in ast.iter_fields(statement):
            if isinstance(value, list) and any(
                id(one) in self._on_path and isinstance(one, ast.stmt | ast.ExceptHandler | ast.match_case)
                for one in value
            ):
                field, block = name, value
        before: list[ast.AST] = []
        if isinstance(statement, ast.While) or (isinstance(statement, _LOOPS) and field):
            before = [statement]
        elif isinstance(statement, ast.Try | ast.TryStar) and field != "body":
            before = [*statement.body, *(statement.handlers + statement.orelse if field == "finalbody" else ())]
        elif isinstance(statement, ast.With | ast.AsyncWith):
            before = [*statement.items]
        elif isinstance(statement, ast.If):
            before = [statement.test]
        elif isinstance(statement, ast.Match):
            before = [statement.subject, *(case.pattern for case in statement.cases)]
        self._apply(self._changes(before))
        for one in block:
            if isinstance(one, ast.ExceptHandler | ast.match_case) and id(one) in self._on_path:
                if isinstance(one, ast.ExceptHandler) and one.name:
                    self._set(one.name, _Unset(line=one.lineno))
                block = one.body
        self._run(block)

    def _execute(self, statement: ast.stmt) -> None:  # noqa: C901 - one case per statement
        match statement:
            case ast.Assign(targets=[ast.Subscript() as target]):
                self._set_item(target, self._value(statement.value))
            case ast.Assign(targets=targets) if all(_is_plain(target) for target in targets):
                value = self._value(statement.value)
                for one in targets:
                    self._assign(one, value, statement.value)
            case ast.AnnAssign(target=ast.Name() as name, value=ast.expr() as given):
                self._assign(name, self._value(given), given)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add()):
                self._add_to(name, self._value(statement.value), statement)
            case ast.Delete(targets=targets) if all(isinstance(target, ast.Subscript) for target in targets):
                for one in targets:
                    assert isinstance(one, ast.Subscript)
                    self._set_item(one, None, delete=True)
            case ast.Expr(value=ast.Call(func=ast.Attribute() as method, keywords=named) as call) if not named or (
                method.attr == "update" and not call.args and all(one.arg for one in named)
            ):
                self._call_method(method, call, statement)
            case ast.With() | ast.AsyncWith() if all(self._is_passing(one.context_expr) for one in statement.items):
                self._apply(self._changes(statement.items))
                for inner in statement.body:
                    self._execute(inner)
            case _:
                self._apply(self._changes([statement]))

    def _is_passing(self, context: ast.expr) -> bool:
        """Whether a `with` passes exceptions on: what is set in it is certain behind it."""
        function = context.func if isinstance(context, ast.Call) else None
        name = getattr(function, "attr", getattr(function, "id", ""))
        return name in _PASSING and name not in self._defined and name not in self._bound

    def _set(self, name: str, value: object) -> None:
        (self._properties if name in self._properties else self._scopes[-1])[name] = value
        self._apply(change for change in (*self._outside, *self._methods_change) if change.name == name)

    def _assign(self, target: ast.expr, value: object, source: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            known = isinstance(value, list) and len(value) == len(target.elts) and gap_in(value) is None
            if not known and isinstance(value, list | dict):
                taint(value, f"line {target.lineno} takes parts of it")
            for index, one in enumerate(target.elts):
                assert isinstance(one, ast.Name)
                reason = f"line {one.lineno} sets it to a part of {self._source(source)[:60]}"
                self._set(one.id, value[index] if known and isinstance(value, list) else _Unset(reason, one.lineno))
        elif isinstance(target, ast.Name):
            if isinstance(value, Open) and not value.source.isidentifier():
                reason = value.reason or f"line {target.lineno} sets it to {value.source[:60]}"
                value = _Unset(reason, target.lineno)
            self._set(target.id, value)

    def _add_to(self, name: str, added: object, statement: ast.stmt) -> None:
        value = self._name(name)
        if gap_in(value, whole=True) is not None:
            taint([added], f"line {statement.lineno} stores it")
            return
        is_changed = isinstance(value, list) and not isinstance(value, _Row) and not self._javascript
        if is_changed and isinstance(value, list) and isinstance(added, list | Open):
            self._values.spend(statement.lineno, len(added))
            value += added if isinstance(added, list) else [spread(added)]  # other names of the list see it, too
            return
        is_text = bool(self._javascript) and isinstance(value, list)
        joined = None if is_text else self._sum(value, added, statement.lineno)
        self._set(name, _Unset(f"line {statement.lineno} adds to it", statement.lineno) if joined is None else joined)

    def _set_item(self, target: ast.Subscript, value: object, *, delete: bool = False) -> None:
        holder, key = self._value(target.value), self._value(target.slice)
        if isinstance(holder, list) and _is_place(holder, key):
            assert isinstance(key, int)
            holder[key : key + 1 or None] = [] if delete else [value]
        elif isinstance(holder, dict) and isinstance(key, str) and not isinstance(key, Open) and gap_in(holder) is None:
            if delete:
                holder.pop(key, None)
            else:
                holder[key] = value
        else:
            if isinstance(holder, list | dict):
                taint(holder, f"line {target.lineno} changes {self._source(target.value)[:60]}")
            else:
                self._apply(self._changes([target]))
            taint([value], f"line {target.lineno} stores it")

    def _call_method(self, method: ast.Attribute, call: ast.Call, statement: ast.stmt) -> None:
        holder, given = self._value(method.value), [self._value(argument) for argument in call.args]
        if call.keywords:
            given.append({str(one.arg): self._value(one.value) for one in call.keywords})
        is_name = isinstance(method.value, ast.Name) and any(method.value.id in scope for scope in self._scopes)
        if isinstance(holder, Open) and is_name and method.attr in self._growing:
            grown: list[object] = [spread(holder)]
            for scope in self._scopes:
                scope |= {name: grown for name, value in scope.items() if value is holder}
            holder = grown
        is_whole = any(isinstance(argument, ast.Starred) for argument in call.args)
        self._values.spend(call.lineno, sum(len(one) for one in given if isinstance(one, list | dict)))
        if isinstance(holder, list | dict) and not is_whole and _changed(holder, method.attr, given):
            if gap_in(holder, whole=True) is not None:
                taint(given, f"line {call.lineno} stores it")
        elif isinstance(holder, list | dict) and method.attr not in self._methods:
            taint(holder, f"line {call.lineno} changes {self._source(method.value)[:60]} with {method.attr}")
            taint(given, f"line {call.lineno} stores it")
        else:
            self._apply(self._changes([statement]))

    # Code that is not followed

    def _apply(self, changes: Iterable[_Change]) -> None:
        """Make unknown what code may change that is not followed: branches, loops, functions."""
        for change in changes:
            scope = next((one for one in reversed(self._scopes) if change.name in one), None)
            value = scope[change.name] if scope is not None else None
            if scope is None:
                continue
            if change.kind == "grow" and isinstance(value, dict):
                taint(value, f"line {change.line} changes {_shown(change.name)}")
            if change.kind == "set" or (change.kind == "grow" and not isinstance(value, list)):
                reason = f"line {change.line} sets it in code that is not followed"
                scope[change.name] = _Unset(reason, change.line)
            elif gap_in(value, whole=True) is not None:
                continue
            elif isinstance(value, list) and change.kind == "grow":
                value.append(Gap(f"What line {change.line} adds to {_shown(change.name)}"))
            elif isinstance(value, list | dict | Open):  # its text may be another one from now on
                held = [id(one) for one in self._values.opened(value)]
                for one in (*self._scopes, *self._callers):
                    one |= {
                        name: _Unset(opened.reason, change.line)
                        for name, opened in one.items()
                        if isinstance(opened, Open) and id(opened) in held
                    }
                if not isinstance(value, Open):
                    taint(value, f"line {change.line} changes {_shown(change.name)}")

    def _changes(self, nodes: Iterable[ast.AST]) -> Iterator[_Change]:
        """Yield what code changes or may change, apart from that of nested functions and classes.

        Each mention of a name counts as a change of its list or object, unless it is known to be read-only.
        """
        for node in nodes:
            yield from self._changes_of(node, is_read=False)

    def _changes_of(self, node: ast.AST, *, is_read: bool) -> list[_Change]:  # noqa: C901 - one case per kind of node
        """`is_read`: nothing keeps the value of the expression, or changes it."""
        line = getattr(node, "lineno", 0)
        self._values.spend(line)
        found: list[_Change] = []
        read: list[ast.AST | None] = []
        rest = list(ast.iter_child_nodes(node))
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                return [] if is_read else [_Change("alter", name, line)]
            case ast.Name(id=name):
                return [_Change("set", name, line)]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
                if not isinstance(node, ast.Lambda):
                    found.append(_Change("set", node.name, line))
                rest = [*getattr(node, "decorator_list", ()), *getattr(node, "bases", ())]
                if not isinstance(node, ast.ClassDef):
                    rest += [one for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None]
            case ast.alias():
                found.append(_Change("set", node.asname or node.name.partition(".")[0], line))
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                found.append(_Change("set", name, line))
            case ast.MatchMapping(rest=str(name)):
                found.append(_Change("set", name, line))
            case ast.AugAssign(target=ast.Name(id=name), value=added):
                found.append(_Change("grow", name, line))
                rest = [added]
            case ast.Subscript(slice=place, ctx=ast.Load()):
                read, rest = [place], [node.value]
            case ast.If(test=test) | ast.While(test=test) | ast.Assert(test=test) | ast.IfExp(test=test):
                read, rest = [test], [one for one in rest if one is not test]
            case ast.Expr() | ast.JoinedStr() | ast.FormattedValue() | ast.Compare() | ast.UnaryOp():
                read, rest = [*rest], []
            case ast.NamedExpr():
                is_read = False
            case ast.AnnAssign(target=target, value=given):
                rest = [target, *([given] if given is not None else ())]
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                read, rest = [node.iter], [one for one in rest if one is not node.iter]
                read += node.ifs if isinstance(node, ast.comprehension) else []
                rest = [one for one in rest if one not in read]
            case ast.Call():
                read, rest, is_read = self._parts(node, found, is_read)
        inner = [change for one in read if one is not None for change in self._changes_of(one, is_read=True)]
        passes = isinstance(node, ast.expr | ast.keyword) and not isinstance(node, ast.Yield | ast.YieldFrom)
        for one in rest:
            inner += self._changes_of(one, is_read=is_read and passes)
        found += inner
        loops = [node] if isinstance(node, ast.For | ast.AsyncFor) else getattr(node, "generators", [])
        for loop in loops:
            names = {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
            changed = {change.name for change in found if change.kind != "set"} | self._loose
            is_plain = all(isinstance(one, ast.Name | ast.Tuple | ast.expr_context) for one in ast.walk(loop.target))
            if names & changed or not is_plain:
                found += self._changes_of(loop.iter, is_read=False)
        if isinstance(node, _COMPREHENSIONS):
            own = {one.id for loop in loops for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
            found = [change for change in found if change.name not in own]
        return found

    def _parts(
        self, call: ast.Call, found: list[_Change], is_read: bool
    ) -> tuple[list[ast.AST | None], list[ast.AST], bool]:
        """Return the parts of a call that it only reads, the others, and whether these are only read, too."""
        given: list[ast.AST] = [*call.args, *call.keywords]
        function: ast.AST = call.func
        name, known = getattr(function, "attr", getattr(function, "id", "")), self._read_only
        if isinstance(function, ast.Attribute):
            if name in ("append", "extend") and isinstance(function.value, ast.Name):
                found.append(_Change("grow", function.value.id, call.lineno))
                return [], given, False
            function = function.value
            is_own = isinstance(function, ast.Name) and function.id in ("self", "this")
            known = self._methods | self._own if is_own else self._methods
        if name not in known:
            return [], [function, *given], False
        if name in _SHARING and not is_read:
            return [], [function, *given], False
        for one in (
            *call.args,
            *(keyword.value for keyword in call.keywords if keyword.arg in ("key", "default", "cls")),
        ):
            is_changing = isinstance(one, FUNCTIONS) and self._is_changing(one)
            if is_changing or (
                one not in call.args
                and getattr(one, "id", "") not in self._read_only
                and not isinstance(one, ast.Lambda | ast.Constant)
            ):
                return [], [function, *given], False
        files = [one for one in call.keywords if one.arg == "file"]
        return [function, *(one for one in given if one not in files)], [*files], False

    def _is_changing(self, function: ast.AST) -> bool:
        """Whether a function may change what it is given."""
        if function in self._judged:
            return self._judged[function]
        body = [function.body] if isinstance(function, ast.Lambda) else getattr(function, "body", [])
        changes = [
            *self._changes(body),
            *(one for part in ast.walk(function) if part is not function for one in self._free_changes(part)),
        ]
        found = self._judged[function] = any(one.name in parameters(function) for one in changes)
        return found

    # Expressions

    def _name(self, name: str) -> object:
        for scope in reversed(self._scopes):
            if name in scope:
                if not isinstance(value := scope[name], _Unset):
                    return value
                opened = self._values.open(_shown(name), value.reason)
                if name not in self._loose:  # no function and loop may set it between two uses
                    scope[name] = opened
                return opened
        return self._values.open(_shown(name), is_same=True)

    def _sum(self, left: object, right: object, line: int) -> object | None:
        if self._has_sums and isinstance(left if isinstance(left, Open) else right, Open):
            return None
        found = total(left, right)
        found = _Row(found) if isinstance(left, _Row) and isinstance(found, list) else found
        size = len(found) if isinstance(found, str | list) else 1
        if isinstance(found, str) and size > MAX_CHARS:
            raise InputError.of((), f"line {line}: a text has more than {MAX_CHARS:,} characters.")
        self._values.spend(line, size)
        return found

    def _value(self, node: ast.AST, depth: int = 0) -> object:
        """Return the value of an expression: literals, names, sums and copies. Anything else is open."""
        self._values.spend(getattr(node, "lineno", 0), 1, depth)
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Constant) and node.value is None:
            return None
        found = self._known(node, depth + 1)
        if isinstance(found, str) and not isinstance(found, Open):
            self._values.spend(node.lineno if isinstance(node, ast.expr) else 0, 1)
            if len(found) > MAX_CHARS:
                line = getattr(node, "lineno", 0)
                raise InputError.of((), f"line {line}: a text has more than {MAX_CHARS:,} characters.")
        if found is None:
            self._apply(self._changes([node]))
            return self._values.open(self._source(node))
        return found

    def _known(self, node: ast.AST, depth: int) -> object | None:  # noqa: C901 - one case per expression
        """Return the value; None if it is not known."""
        match node:
            case ast.Constant(value=str() | int() | float() as value):
                return value if isinstance(value, str) else bounded_number(value)
            case ast.List(elts=items):
                return self._list(items, depth)
            case ast.Tuple(elts=items):
                return _Row(self._list(items, depth))
            case ast.Dict():
                return self._dict(node, depth)
            case ast.JoinedStr(values=pieces):
                return "".join(self._piece(piece, depth) for piece in pieces)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = self._value(operand, depth)
                return -number if isinstance(number, int | float) else None
            case ast.BinOp(op=ast.Add()):
                return self._chain(node, depth)
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                given = self._value(right, depth)
                row = tuple(given) if isinstance(given, _Row) else (given,)
                return _percent(self._value(left, depth), row)
            case ast.BinOp(left=left, op=ast.Mult() | ast.Sub() as op, right=right):
                text, count = self._value(left, depth), self._value(right, depth)
                if isinstance(text, int | float) and isinstance(count, int | float):
                    is_small = bounded_number(text) is not None and bounded_number(count) is not None
                    return (
                        bounded_number(text * count if isinstance(op, ast.Mult) else text - count) if is_small else None
                    )
                fits = (
                    isinstance(op, ast.Mult)
                    and isinstance(text, str)
                    and isinstance(count, int)
                    and len(text) * count <= 10_000
                )
                return text * count if fits and isinstance(text, str) and isinstance(count, int) else None
            case ast.IfExp(test=test, body=body, orelse=orelse):
                is_true = self._truth(self._value(test, depth))
                return None if is_true is None else self._value(body if is_true else orelse, depth)
            case ast.BoolOp(op=op, values=[left, right]):
                first = self._value(left, depth)
                is_true = self._truth(first)
                chosen = right if is_true is isinstance(op, ast.And) else left
                return None if is_true is None else self._value(chosen, depth)
            case ast.Subscript():
                return self._item(node, depth)
            case ast.ListComp(elt=element, generators=[part]):
                return self._comprehension(element, part, depth)
            case ast.Call():
                return self._call_value(node, depth)
        return None

    def _truth(self, value: object) -> bool | None:
        """Return whether a value counts as true; None if it is not known."""
        if next(self._values.opened(value), None) is not None and not (isinstance(value, list | dict) and value):
            return None
        if gap_in(value) is not None:
            return None
        return bool(value) or (self._javascript != "" and isinstance(value, list | dict))

    def _list(self, items: Sequence[ast.expr], depth: int) -> list[object]:
        found: list[object] = []
        for item in items:
            value = self._value(item.value if isinstance(item, ast.Starred) else item, depth)
            if not isinstance(item, ast.Starred):
                found.append(value)
            else:
                found += (
                    value
                    if isinstance(value, list)
                    else [spread(value if isinstance(value, Open) else self._values.open(self._source(item.value)))]
                )
                self._values.spend(item.lineno, len(found))
        return found

    def _dict(self, node: ast.Dict, depth: int) -> dict[str, object] | None:
        found: dict[str, object] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            value, name = self._value(item, depth), self._value(key, depth) if key is not None else ""
            if key is None and isinstance(value, dict | Open):
                self._spread_into(found, value, f"{self._stars}{self._source(item)[:60]}")
            elif key is None or isinstance(name, Open | bool) or not isinstance(name, str | int | float):
                return None
            else:
                found[str(name)] = value
        return found

    def _chain(self, node: ast.BinOp, depth: int) -> object | None:
        """Return a sum: long texts are chains of hundreds of `+`."""
        operands: list[ast.expr] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add):
            operands.append(left.right)
            left = left.left
        found: object | None = self._value(left, depth)
        for operand in reversed(operands):
            right = self._value(operand, depth)
            is_text = bool(self._javascript) and (isinstance(found, list) or isinstance(right, list))
            found = None if found is None or is_text else self._sum(found, right, node.lineno)
        return found

    def _piece(self, node: ast.expr, depth: int) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        assert isinstance(node, ast.FormattedValue)
        value = self._value(node.value, depth)
        self._values.spend(node.lineno, len(value) if isinstance(value, str) else 1)
        spec = "".join(str(getattr(part, "value", "{")) for part in getattr(node.format_spec, "values", ()))
        if isinstance(value, list | dict | Gap) or not _SPEC.fullmatch(spec):
            return self._values.open(self._source(node.value), "its format was not applied" if spec else "")
        if isinstance(value, Open):
            if spec or node.conversion > 0:
                return self._values.open(value.source, "its format is not applied")
            return value
        if self._javascript and not isinstance(value, str) and type(value) is not int:
            return self._values.open(self._source(node.value))
        conversions: dict[int, Callable[[object], str]] = {115: str, 114: repr, 97: ascii}  # !s, !r, !a
        converted = conversions.get(node.conversion)
        try:
            return format(converted(value) if converted else value, spec)
        except (ValueError, TypeError):
            return self._values.open(self._source(node.value))

    def _item(self, node: ast.Subscript, depth: int) -> object | None:
        holder, place = self._value(node.value, depth), node.slice
        if isinstance(place, ast.Slice):
            lower, upper = (None if end is None else self._value(end, depth) for end in (place.lower, place.upper))
            if (
                not isinstance(holder, list)
                or place.step is not None
                or (gap_in(holder) and (lower, upper) != (None, None))
            ):
                return None
            if not isinstance(lower, int | None) or not isinstance(upper, int | None):
                return None
            return type(holder)(holder[lower:upper])
        key = self._value(place, depth)
        found: object = None
        if isinstance(holder, list) and isinstance(key, int) and _is_place(holder, key):
            found = holder[key]
        elif isinstance(holder, dict) and not isinstance(key, Open | list | dict) and gap_in(holder) is None:
            found = holder[key] if key in holder else self._values.open(self._source(node))
        return found

    def _comprehension(self, element: ast.expr, part: ast.comprehension, depth: int) -> list[object] | None:
        rows = self._value(part.iter, depth)
        if not isinstance(rows, list) or gap_in(rows) or part.ifs or not isinstance(part.target, ast.Name):
            return None
        found: list[object] = []
        for row in rows:
            self._scopes.append({part.target.id: row})
            found.append(self._value(element, depth))
            self._scopes.pop()
        return found

    def _call_value(self, call: ast.Call, depth: int) -> object | None:  # noqa: C901 - one case per function
        """Return the value of a call that makes a copy or a text. Texts with variables in them are not changed."""
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if isinstance(call.func, ast.Name) and name in self._expressions:
            return self._returned(name, call, depth)
        if isinstance(call.func, ast.Name) and name not in self._builtins:
            return None
        if isinstance(call.func, ast.Attribute) and name in self._defined:
            return None
        if isinstance(call.func, ast.Attribute) and name in ("dedent", "deepcopy", "cleandoc"):
            module = call.func.value
            if not isinstance(module, ast.Name) or module.id != _MODULE_OF[name]:
                return None
        if name == "dict" and not call.args and all(keyword.arg for keyword in call.keywords):
            return {str(keyword.arg): self._value(keyword.value, depth) for keyword in call.keywords}
        if isinstance(call.func, ast.Attribute) and name == "format":
            return self._format(call, call.func.value, depth)
        if isinstance(call.func, ast.Attribute) and name == "dumps":
            return self._dumped(call, call.func, depth)
        if call.keywords or len(call.args) > 5 or any(isinstance(one, ast.Starred) for one in call.args):
            return None
        given = [self._value(argument, depth) for argument in call.args]
        if isinstance(call.func, ast.Attribute) and name not in ("dedent", "deepcopy", "cleandoc"):
            given.insert(0, self._value(call.func.value, depth))
        is_plain = all(isinstance(one, str) and next(self._values.opened(one), None) is None for one in given)
        match name, given:
            case (("list" | "copy"), [list() as items]):
                return [*items]
            case (("dict" | "copy"), [dict() as fields]):
                return {**fields}
            case "len", [list() as items] if gap_in(items) is None:
                return len(items)
            case "concat", [first, *more]:
                for one in more:
                    is_known = type(one) is type(first) and isinstance(one, str | list)
                    first = self._sum(first, one, call.lineno) if is_known else None
                return first
            case "deepcopy", [list() | dict() as value]:
                return self._copy(value, call.lineno, depth)
            case "str", [str() | int() | float() as value]:
                return value if isinstance(value, str) else str(value)
            case "join", [str() as text, list() as items] if all(isinstance(one, str) for one in items):
                self._values.spend(call.lineno, sum(len(str(one)) + len(text) for one in items))
                return text.join(str(one) for one in items)
            case "dedent", [str() as text] if is_plain:
                return textwrap.dedent(text)
            case "cleandoc", [str() as text] if is_plain:
                return inspect.cleandoc(text)
            case (("strip" | "lstrip" | "rstrip" | "upper" | "lower"), [str() as text]) if is_plain:
                return str(getattr(text, name)())
            case (("strip" | "lstrip" | "rstrip"), [str() as text, str() as characters]) if is_plain:
                return str(getattr(text, name)(characters))
            case "replace", [str() as text, str() as old, str() as new] if (
                is_plain and len(text) * len(new) < MAX_CHARS
            ):
                return text.replace(old, new)
        return None

    def _returned(self, name: str, call: ast.Call, depth: int) -> object | None:
        """Return the value of a function of the program that is one expression."""
        function, result = self._expressions[name]
        names = [one.arg for one in function.args.args]
        given = dict(zip(names, call.args, strict=False)) | {str(one.arg): one.value for one in call.keywords}
        first = len(names) - len(function.args.defaults)
        given = dict(zip(names[first:], function.args.defaults, strict=True)) | given
        is_hidden = any(name in scope for scope in self._scopes[1:])
        is_spread = any(isinstance(one, ast.Starred) for one in call.args) or len(call.args) > len(names)
        if is_hidden or is_spread or given.keys() != {*names}:
            return None
        scopes, values = self._scopes, {one: self._value(value, depth) for one, value in given.items()}
        self._scopes, callers = [scopes[0], values], self._callers
        self._callers = [*callers, *scopes[1:]]
        del self._expressions[name]  # not in itself
        try:
            return self._value(result, depth)
        finally:
            self._scopes, self._callers = scopes, callers
            self._expressions[name] = function, result

    def _dumped(self, call: ast.Call, function: ast.Attribute, depth: int) -> str | None:
        """Return the text that `json.dumps` makes of a value; it is open if the value is."""
        options = {one.arg: getattr(one.value, "value", None) for one in call.keywords}
        module = "JSON" if self._javascript else "json"
        is_module = getattr(function.value, "id", "") == module and module not in self._bound
        if not is_module or len(call.args) != 1 or options.keys() - _DUMPS:
            return None
        value = self._value(call.args[0], depth)
        if self._javascript or next(self._values.opened(value), None) is not None or None in options.values():
            text = self._values.open(self._source(call))
            text.held = self._copy(value, call.lineno, depth)
            return text
        return json.dumps(value, **{str(name): option for name, option in options.items()})  # type: ignore[arg-type]

    def _copy(self, value: object, line: int, depth: int) -> object:
        self._values.spend(line, 1, depth)
        if isinstance(value, list):
            return [self._copy(one, line, depth + 1) for one in value]
        if isinstance(value, dict):
            return {name: self._copy(one, line, depth + 1) for name, one in value.items()}
        return value

    def _format(self, call: ast.Call, template: ast.expr, depth: int) -> str | None:
        text = self._value(template, depth)
        given = [self._value(argument, depth) for argument in call.args]
        named = {str(keyword.arg): self._value(keyword.value, depth) for keyword in call.keywords}
        if not isinstance(text, str) or not all(
            isinstance(one, str | int | float) for one in (*given, *named.values())
        ):
            return None
        if next(self._values.opened(text), None) is not None or not _FIELDS.fullmatch(text):
            return None
        try:
            return text.format(*given, **named)
        except (IndexError, KeyError, ValueError):
            return None


def _refuse_dynamic(  # noqa: C901 - one case per kind of code
    nodes: Iterable[ast.AST], dynamic: Collection[str]
) -> None:
    """Refuse programs that run text, or that reach names by text."""
    for node in nodes:
        what = ""
        match node:
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="builtins"), attr=name) if name in dynamic:
                what = name
            case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
                what = "sys.modules"
            case ast.Attribute(attr=("f_globals" | "f_locals" | "__globals__" | "__builtins__") as name):
                what = name
            case ast.Name(id="__builtins__") | ast.ImportFrom(module="builtins"):
                what = "builtins"
            case (
                ast.Name(id="FunctionType" as name)
                | ast.Attribute(attr=("FunctionType" | "get_objects" | "get_referrers" | "get_referents") as name)
            ):
                what = name
            case ast.FunctionDef(name=name, args=ast.arguments(args=[_, *others])) if name in _COMPARING and any(
                isinstance(one, ast.Name)
                and one.id in {other.arg for other in others}
                and isinstance(parts, ast.Attribute | ast.Subscript)
                for parts in ast.walk(node)
                for one in [getattr(parts, "value", None)]
            ):
                what = name
            case ast.alias(name="__main__") | ast.ImportFrom(module="__main__"):
                what = "__main__"
            case (
                ast.AnnAssign(annotation=code)
                | ast.arg(annotation=ast.expr() as code)
                | ast.FunctionDef(returns=ast.expr() as code)
                | ast.AsyncFunctionDef(returns=ast.expr() as code)
            ) if any(_has_effect(one) for one in ast.walk(code)):
                what = "code in an annotation"
        if what:
            line = getattr(node, "lineno", 0)
            raise InputError.of((), f"line {line}: {what} may change any value, so the program is not imported.")


def _has_effect(node: ast.AST) -> bool:
    """Return whether a part of an annotation sets a name or may change a value."""
    return isinstance(node, ast.NamedExpr) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING
    )


def _defined(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names of methods that a program has of its own."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case (
                ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.Attribute(attr=name, ctx=ast.Store())
            ):
                found.add(name)
            case ast.ClassDef(body=body):
                found |= {one.id for part in body for one in getattr(part, "targets", ()) if isinstance(one, ast.Name)}
            case ast.keyword(arg=str(name), value=ast.Lambda()):
                found.add(name)
    return found


def _expressions(tree: ast.AST) -> dict[str, tuple[ast.FunctionDef, ast.expr]]:
    """Return the functions of a program that only return an expression, and these."""
    found: dict[str, tuple[ast.FunctionDef, ast.expr]] = {}
    sets = Counter(
        getattr(node, "id", "") or getattr(node, "asname", "") or getattr(node, "name", "")
        for node in ast.walk(tree)
        if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Store)
    )
    for node in getattr(tree, "body", ()):
        one = node.value if isinstance(node, ast.Assign) else node
        name = getattr(node.targets[0], "id", "") if isinstance(node, ast.Assign) else getattr(node, "name", "")
        if not isinstance(one, ast.FunctionDef) or one.decorator_list or sets[name] != 1:
            continue
        body = [part for part in one.body if not isinstance(part, ast.Global) or part.names]
        body = body[1:] if ast.get_docstring(one) is not None else body
        is_plain = not (one.args.vararg or one.args.kwarg or one.args.kwonlyargs or one.args.posonlyargs)
        is_plain = is_plain and not any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(one))
        is_plain = is_plain and all(isinstance(value, ast.Constant) for value in one.args.defaults)
        match body:
            case [ast.Return(value=ast.expr() as value)] if is_plain:
                found[name] = one, value
    return found


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that a program gives a value, apart from functions of their usual modules."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.ImportFrom(module=module, names=names):
                found |= {
                    one.asname or one.name for one in names if one.asname or _MODULE_OF.get(one.name, "") != module
                }
            case ast.Import(names=names):
                found |= {one.asname for one in names if one.asname}
    return found


def _loose(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that are read outside of the loops that set them."""
    loops = [node for node in nodes if isinstance(node, ast.For | ast.AsyncFor)]
    targets: dict[str, set[int]] = {}
    for loop in loops:
        inside: set[int] | None = None
        for one in ast.walk(loop.target):
            if isinstance(one, ast.Name):
                inside = {id(node) for node in ast.walk(loop)} if inside is None else inside
                targets.setdefault(one.id, set()).update(inside)
    for node in nodes:
        for one in (part for loop in getattr(node, "generators", ()) for part in ast.walk(loop.target)):
            if isinstance(one, ast.Name) and one.id in targets:  # another variable of that name
                targets[one.id].update(id(inner) for inner in ast.walk(node))
    return {
        node.id
        for node in nodes
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and node.id in targets
        and id(node) not in targets[node.id]
    }


def _shown(name: str) -> str:
    return name.partition(MARK)[0]


def _is_plain(target: ast.expr) -> bool:
    names = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    return all(isinstance(name, ast.Name) for name in names)


def _is_place(items: Sequence[object], key: object) -> bool:
    """Whether an index is that of a known item. A gap before it may have any number of items."""
    if not isinstance(key, int) or not -len(items) <= key < len(items):
        return False
    return gap_in([*(items[: key + 1] if key >= 0 else items[key:])]) is None


def _percent(text: object, given: tuple[object, ...]) -> str | None:
    if not isinstance(text, str) or not re.fullmatch(r"(?:[^%]|%[sd%])*", text):
        return None
    if not all(isinstance(one, str | int | float) for one in given):
        return None
    try:
        return text % given
    except (TypeError, ValueError):
        return None


def _changed(holder: list[object] | dict[str, object], method: str, given: Sequence[object]) -> bool:  # noqa: C901 - one case per method
    """Change a list or object as a method of Python does; return whether it is one that is followed."""
    if gap_in(holder, whole=True) is not None:
        return True
    match holder, method, given:
        case list(), "append", [value]:
            holder.append(value)
        case list(), "extend", [list() as more]:
            holder.extend(more)
        case list(), "extend", [Open() as more]:
            holder.append(spread(more))
        case list(), "insert", [int() as at, value] if 0 <= at <= len(holder) and gap_in(holder[:at]) is None:
            holder.insert(at, value)
        case list(), "pop", [] if _is_place(holder, -1):
            holder.pop()
        case list(), "pop", [int() as at] if _is_place(holder, at):
            holder.pop(at)
        case ((list() | dict()), "clear", []):
            holder.clear()
        case dict(), "update", [dict() as more] if gap_in(more) is None:
            holder.update(more)
        case dict(), "pop", [str() as key, *_] if not isinstance(key, Open):
            holder.pop(key, None)
        case _:
            return False
    return True

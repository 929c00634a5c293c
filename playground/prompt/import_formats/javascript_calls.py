"""JavaScript and TypeScript as the tree of a Python program, so that one reader follows both. Nothing is executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal, NoReturn, TypeVar, cast

from msgspec import Struct

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report
from playground.prompt.import_formats.call_values import CALL, CALL_ENDS, Values, is_api, words
from playground.prompt.import_formats.python_calls import MARK, bounded, call_fields
from playground.prompt.import_formats.sdk_calls import UNKNOWN, followed

_NodeT = TypeVar("_NodeT", bound=ast.AST)
_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n\u2028\u2029]*|/\*.*?\*/)|(?P<name>#?(?:[^\W\d]|\$)[\w$]*)"
    r"|(?P<number>0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?n?)"
    r"|(?P<string>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")"
    r"|(?P<sign>>>>=|\.\.\.|===|!==|\*\*=|<<=|>>=|>>>|&&=|\|\|=|\?\?=|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.(?!\d)|\+\+|--"
    r"|[-+*/%&|^]=|\*\*|<<|>>|.)",
    re.DOTALL,
)
_REGEX = re.compile(r"/(?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/\w*")
_CHARS = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))+|\$\{|`|.", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:u\{([\da-fA-F]{1,6})\}|u([\da-fA-F]{4})|x([\da-fA-F]{2})|([0-3][0-7]{0,2}|[4-7][0-7]?)|(.))", re.DOTALL
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"} | dict.fromkeys("\n\u2028\u2029", "")
_OPENING = {"(": ")", "[": "]", "{": "}", "${": "}"}
_KEYWORDS = words(
    "await break case catch class const continue debugger default delete do else export extends finally "
    "for function if import in instanceof new return super switch this throw try typeof var void while "
    "with yield"
)
_PRECEDENCE = {
    sign: level
    for level, signs in enumerate(
        ("?? ||", "&&", "|", "^", "&", "== != === !==", "< > <= >= in instanceof", "<< >> >>>", "+ -", "* / %", "**")
    )
    for sign in signs.split()
}
_ASSIGNED = words("= += -= *= /= %= **= <<= >>= >>>= &= |= ^= &&= ||= ??=")
_UNARY = words("! - + ~ typeof void delete await new ++ -- <")
_TYPE_WORDS = words("is extends keyof typeof readonly infer asserts unique")
_MAX_TYPES = 20
"""Types inside each other."""
_TYPE_SIGNS = words("< , | & . => = ?")
_SPACES = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
_METHODS = {"push": "append", "stringify": "dumps", "unshift": "insert", "shift": "pop", "trim": "strip"}
_METHODS |= {"toUpperCase": "upper", "toLowerCase": "lower"}
_METHODS |= dict.fromkeys(("keys", "values", "entries", "from"), "values")
_METHODS |= dict.fromkeys(
    ["log", "warn", "info", "debug", "error", "isArray", "includes", "indexOf", "startsWith", "endsWith"],
    "info",
)
_METHODS |= {name: name for name in words("pop concat create stream parse complete join get")}
"""Methods of JavaScript, and those of Python that do the same to a value. Others are unknown."""


class _UnreadError(Exception):
    """A statement is not understood."""


class _Token(Struct, frozen=True):
    kind: str
    text: str
    start: int
    end: int
    line: int
    starts_line: bool


class _Scope(Struct):
    """The names declared in a block or function; `free`: those of other functions that it sets."""

    outer: _Scope | None
    is_function: bool
    names: dict[str, str]
    free: list[str]


def javascript_fields(text: str, values: Values, report: Report) -> dict[str, Json]:
    """Return the arguments of the first SDK call as a request body. Raises InputError."""
    text = re.sub(r"\r\n?", "\n", text)  # as in templates
    parser = _Parser(text, values)
    tree = parser.program()
    if not parser.calls and parser.problem:
        raise InputError.of((), f"the snippet cannot be read: {parser.problem}.", "Copy the call whole.")
    return call_fields(tree, parser.calls, values, report, text)


def _tokens(text: str, values: Values) -> Iterator[_Token]:
    at, line, starts_line, before = 0, 1, True, ""
    braces = [0]  # the open ones in each `${…}`; -1 in a template
    while at < len(text):
        is_chars = braces[-1] < 0
        match = _CHARS.match(text, at) if is_chars else None
        if text[at] == "/" and not is_chars and not re.match(r"(?!\$\{)[\w$)\]}'\"`]", before):
            match = _REGEX.match(text, at)
        kind = "chars" if is_chars else "regex"
        if match is None:
            match = _TOKEN.match(text, at)
            assert match is not None
            kind = str(match.lastgroup)
        found = match[0]
        if found == "`":
            kind, braces = "template", braces[:-1] if is_chars else [*braces, -1]
        elif is_chars and found == "${":
            kind, braces = "sign", [*braces, 1]
        elif kind == "sign" and found in ("{", "}"):
            braces[-1] += 1 if found == "{" else -1
            braces = braces[:-1] if braces[-1] == 0 and len(braces) > 1 else braces
        values.spend(line, 1, len(braces))
        if kind != "space":
            yield _Token(kind, found, at, match.end(), line, starts_line)
            starts_line, before = False, "" if found in _KEYWORDS else found
        starts_line = starts_line or (kind == "space" and re.search(r"[\n\u2028\u2029]", found) is not None)
        line += found.count("\n")
        at = match.end()
    yield _Token("end", "", at, at, line, True)


class _Parser:
    """Recursive descent over the tokens. Each declaration of a name has its own name in the tree."""

    def __init__(self, text: str, values: Values) -> None:
        self._text, self._values = text, values
        self.tokens = bounded(_tokens(text, values))
        self.calls: list[ast.Call] = []
        self.problem = ""
        self._closing: dict[int, int] = {}
        stack: list[int] = []
        for index, token in enumerate(self.tokens):
            if token.kind == "sign" and token.text in _OPENING:
                stack.append(index)
                values.spend(token.line, 0, len(stack))
            elif token.kind == "sign" and token.text in _OPENING.values():
                if not stack or _OPENING[self.tokens[stack[-1]].text] != token.text:
                    raise InputError.of(
                        (), f"the snippet cannot be read: {token.text} is not opened (line {token.line})."
                    )
                self._closing[stack.pop()] = index
        if stack or sum(token.kind == "template" for token in self.tokens) % 2:
            line = self.tokens[stack[-1] if stack else -1].line
            problem = f"the snippet cannot be read: a bracket or template is not closed (line {line})."
            raise InputError.of((), problem, "Copy the call whole.")
        self._at = self._depth = 0
        self._scope = _Scope(None, True, {}, [])
        self._references: list[tuple[ast.Name, _Scope]] = []
        self._counts: dict[str, int] = {}
        self._aliases: dict[str, str] = {}  # of the parts of a client
        self._has_arguments = any(token.text == "arguments" for token in self.tokens)

    def program(self) -> ast.Module:
        """Return the tree of the program."""
        body = self._statements()
        for name, scope in self._references:
            self._resolve(name, scope)
        return ast.Module(body=body, type_ignores=[])

    def _resolve(self, name: ast.Name, scope: _Scope) -> None:
        functions: list[_Scope] = []
        at: _Scope | None = scope
        while at is not None and name.id not in at.names:
            functions += [at] if at.is_function else []
            at = at.outer
        if at is not None:
            name.id = at.names[name.id]
        elif name.id in self._counts:
            name.id = f"{name.id}{MARK}0"
        if isinstance(name.ctx, ast.Store):
            for one in functions:
                one.free.append(name.id)

    # Tokens and nodes

    @property
    def _token(self) -> _Token:
        return self.tokens[self._at]

    def _next(self) -> _Token:
        return self.tokens[min(self._at + 1, len(self.tokens) - 1)]

    def _is(self, *texts: str) -> bool:
        return self._token.text in texts and self._token.kind in ("sign", "name", "template")

    def _take(self, *texts: str) -> bool:
        found = self._is(*texts)
        self._at += found
        return found

    def _expect(self, text: str) -> Literal[True]:
        return True if self._take(text) else self._fail(f"{text} was expected")

    def _comma(self, end: str) -> None:
        if not self._is(end):
            self._expect(",")

    def _skip_to(self, end: str) -> None:
        """Skip to the first token of a text or kind."""
        while end not in (self._token.text, self._token.kind):
            if self._token.kind == "end":
                self._fail(f"{end} was expected")
            self._at += 1

    def _identifier(self) -> str:
        if self._token.kind != "name":
            self._fail("a name was expected")
        self._at += 1
        return self.tokens[self._at - 1].text

    def _fail(self, problem: str) -> NoReturn:
        raise _UnreadError(f"{problem} (line {self._token.line})")

    def _spend(self) -> None:
        self._depth += 1
        self._values.spend(self._token.line, 1, self._depth)

    def _node(self, kind: type[_NodeT], start: int, **fields: object) -> _NodeT:
        """Return a node with its place in the text: `start` is its first token."""
        node, last = kind(**fields), self.tokens[max(self._at - 1, start)]
        place = (self.tokens[start].line, self.tokens[start].start, last.line, last.end)
        for name, value in zip(("lineno", "col_offset", "end_lineno", "end_col_offset"), place, strict=True):
            setattr(node, name, value)
        return node

    def _unknown(self, start: int, *parts: ast.AST) -> ast.expr:
        """Return a value that is not known, made of parts that it may change."""
        function = self._node(ast.Name, start, id=UNKNOWN, ctx=ast.Load())
        return self._node(ast.Call, start, func=function, args=[*parts], keywords=[])

    def _expression_statement(self, start: int, value: ast.AST) -> ast.stmt:
        return self._node(ast.Expr, start, value=value)

    def _name(self, name: str, start: int, *, is_set: bool = False) -> ast.Name:
        node = self._node(ast.Name, start, id=name, ctx=ast.Store() if is_set else ast.Load())
        self._references.append((node, self._scope))
        return node

    def _declared(self, name: str, *, is_var: bool = False) -> str:
        """Declare a name; return that in the tree."""
        scope = self._scope
        while is_var and not scope.is_function and scope.outer is not None:
            scope = scope.outer
        if name not in scope.names:
            count = self._counts[name] = self._counts.get(name, 0) + 1
            scope.names[name] = name if count == 1 else f"{name}{MARK}{count}"
        return scope.names[name]

    @contextmanager
    def _inside(self, *, is_function: bool = False) -> Iterator[_Scope]:
        outer, self._scope = self._scope, _Scope(self._scope, is_function, {}, [])
        try:
            yield self._scope
        finally:
            self._scope = outer

    # Statements

    def _statements(self, *ends: str) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        while self._token.kind != "end" and not self._is(*ends):
            found += self._statement()
        return found

    def _braces(self) -> list[ast.stmt]:
        self._expect("{")
        body = self._statements("}")
        self._expect("}")
        return body

    def _statement(self) -> list[ast.stmt]:
        """Parse a statement. One that is not understood is skipped, and the names in it are unknown."""
        start, calls, scope, depth = self._at, len(self.calls), self._scope, self._depth
        self._spend()
        try:
            return self._known_statement(start)
        except _UnreadError as error:
            del self.calls[calls:]
            self._at, self._scope = start, scope
            found = self._skipped(start)
            if CALL.search(self._text, self.tokens[start].start, self.tokens[self._at - 1].end):
                self.problem = self.problem or str(error)
            return found
        finally:
            self._depth = depth

    def _skipped(self, start: int) -> list[ast.stmt]:
        while self._token.kind != "end" and not self._is(")", "]", "}"):
            self._at = self._closing.get(self._at, self._at) + 1
            if self.tokens[self._at - 1].text == ";" or self._token.starts_line:
                break
        if self._at == start:
            self._fail("a statement was expected")
        names = [
            one.text
            for before, one in pairwise(self.tokens[max(start - 1, 0) : self._at])
            if one.kind == "name" and one.text not in _KEYWORDS and before.text not in (".", "?.")
        ]
        read = self._unknown(start, *(self._name(name, start) for name in names))
        return [self._expression_statement(start, read), self._set_all(start, names)]

    def _set_all(self, start: int, names: Iterable[str], value: ast.AST | None = None) -> ast.stmt:
        """Return an assignment of values that are not known."""
        parts = [
            self._node(ast.Starred, start, value=self._name(name, start, is_set=True), ctx=ast.Store())
            for name in names
        ]
        target = self._node(ast.Tuple, start, elts=parts, ctx=ast.Store())
        return self._node(ast.Assign, start, targets=[target], value=value or self._unknown(start))

    def _known_statement(self, start: int) -> list[ast.stmt]:  # noqa: C901 - one case per statement
        word, after = self._token.text if self._token.kind in ("name", "sign") else "", self._next()
        match word:
            case "export" if after.text == "default" and self.tokens[self._at + 2].text == "{":
                self._at += 2
                return self._simple(start)
            case "export" | "declare" | "abstract" | "default" if after.kind == "name" and not after.starts_line:
                self._at += 1
                return self._known_statement(self._at)
            case "import" if after.text not in ("(", "."):
                while self._token.kind == "name" or self._take("{", "}", ",", "*"):
                    self._at += self._token.kind == "name"
                if self._token.kind != "string":
                    self._fail("an import cannot be read")
                names = [one.text for one in self.tokens[start + 1 : self._at] if one.kind == "name"]
                package = _text(self._token.text[1:-1])
                self._at += 1
                self._take(";")
                given = [self._node(ast.alias, start, name=self._declared(name), asname=None) for name in names]
                return [self._node(ast.ImportFrom, start, module=package, names=given, level=0)]
            case "function" | "async" if "function" in (word, after.text):
                self._at += 1 + (word == "async")
                self._take("*")
                name = self._declared(self._identifier()) if self._token.kind == "name" else UNKNOWN
                return [self._function(start, name)]
            case "type" | "interface" if after.kind == "name" and not after.starts_line:
                if word == "interface":
                    self._skip_to("{")
                    self._at = self._closing[self._at] + 1
                    return []
                self._skip_to("=")
                self._at += 1
                self._type()
                return [] if self._take(";") or self._token.starts_line else self._skipped(start)
            case "class":
                return [self._class(start)]
            case "{":
                with self._inside():
                    return [self._node(ast.With, start, items=[], body=self._braces())]
            case "const" | "let" | "var" if after.kind == "name" or after.text in ("[", "{"):
                found = self._declarations(start)
                self._end()
                return found
            case "if" | "else" | "while" | "do" | "for" | "try" | "catch" | "finally" | "switch" | "case" | "default":
                return self._branch(start, self._identifier())
            case ";":
                self._at += 1
                return []
            case "return" | "throw" | "break" | "continue":
                self._at += 1
                is_empty = self._is(";", "}") or self._token.starts_line or word in ("break", "continue")
                value = None if is_empty else self._expression()
                return [self._node(ast.Return, start, value=value)]
        if self._token.kind == "name" and after.text == ":":
            self._at += 2
            return [self._node(ast.If, start, test=self._unknown(start), body=self._statement(), orelse=[])]
        found = self._simple(start)
        self._end()
        return found

    def _end(self) -> None:
        if not (self._take(";") or self._is("}") or self._token.starts_line):
            self._fail("the end of a statement was expected")

    def _branch(self, start: int, word: str) -> list[ast.stmt]:
        """Parse one part of a statement that may run or not, or run more than once."""
        with self._inside():
            before: list[ast.stmt] = []
            test: ast.AST = self._unknown(start)
            if word == "for":
                return self._for(start)
            if word == "catch" and self._take("("):
                names, pattern = self._pattern()
                before = [self._set_all(start, names, self._unknown(start, pattern))]
                self._expect(")")
            elif word in ("if", "while", "switch") and self._expect("("):
                test = self._expression()
                self._expect(")")
                if word == "switch":
                    test = self._node(ast.UnaryOp, start, op=ast.Not(), operand=test)
            elif word in ("case", "default"):
                test = self._expression() if word == "case" else test
                self._expect(":")
                body = self._statements("case", "default", "}")
                return [self._node(ast.If, start, test=test, body=body, orelse=[])]
            kind = ast.While if word in ("while", "do") else ast.If
            return [self._node(kind, start, test=test, body=[*before, *self._statement()], orelse=[])]

    def _for(self, start: int) -> list[ast.stmt]:
        self._take("await")
        self._expect("(")
        begin, before = self._at, list[ast.stmt]()
        names: list[str] = []
        if self._take("const", "let", "var"):
            names, pattern = self._pattern(is_var=self.tokens[begin].text == "var")
            if any(isinstance(one, ast.Call) for one in ast.walk(pattern)):
                self._fail("a default value is not followed")
        elif self._token.kind == "name":
            names = [self._identifier()]
        if names and self._take("of", "in"):
            rows = self._expression()
            self._expect(")")
            target = [self._name(name, begin, is_set=True) for name in names]
            row = target[0] if len(target) == 1 else self._node(ast.Tuple, begin, elts=target, ctx=ast.Store())
            return [self._node(ast.For, start, target=row, iter=rows, body=self._statement(), orelse=[])]
        self._at = begin
        if not self._is(";"):
            before = self._declarations(begin) if self._is("const", "let", "var") else self._simple(begin)
        self._expect(";")
        test = self._unknown(begin) if self._is(";") else self._expression()
        self._expect(";")
        step = [] if self._is(")") else self._simple(self._at)
        self._expect(")")
        return [*before, self._node(ast.While, start, test=test, body=[*self._statement(), *step], orelse=[])]

    def _declarations(self, start: int) -> list[ast.stmt]:
        word = self._identifier()
        found: list[ast.stmt] = []
        while not found or self._take(","):
            begin = self._at
            names, target = self._pattern(is_var=word == "var")
            value = self._assignment() if self._take("=") else None
            source = "" if value is None else self._path_source(value)
            for name in names:
                path = source if isinstance(target, ast.Name) else f"{source}.{_path_of(target, name)}"
                if is_api(path):
                    self._aliases[name] = path
            if value is not None and all(isinstance(one, ast.Name) for one in getattr(target, "elts", [target])):
                found.append(self._node(ast.Assign, begin, targets=[target], value=value))
            elif value is not None or word != "var":
                found.append(self._set_all(begin, names, value and self._unknown(begin, target, value)))
            else:
                found.append(self._expression_statement(begin, target))
        return found

    def _pattern(self, *, is_var: bool = False) -> tuple[list[str], ast.expr]:
        """Parse and declare `a`, `[a, b]` or `{a, b = 1}`."""
        pattern = self._primary()
        targets = _targets(pattern)
        for one in targets:
            self._declared(one.id, is_var=is_var)
            one.ctx = ast.Store()
        self._take("?", "!")
        if self._take(":"):
            self._type()
        return [one.id for one in targets], pattern

    # Functions and classes

    def _function(self, start: int, name: str = UNKNOWN) -> ast.FunctionDef:
        """Parse a function from its parameters on, an arrow function, or a method."""
        given: list[str] = []
        defaults: list[ast.stmt] = []  # they run with each call
        with self._inside(is_function=True) as scope:
            if self._is("<"):
                self._angle()
            if self._token.kind == "name":
                given = [self._declared(self._identifier())]
            else:
                self._expect("(")
                while not self._take(")"):
                    self._take("...")
                    while self._token.kind == "name" and self._next().kind == "name":
                        self._at += 1  # private readonly x
                    names, pattern = self._pattern()
                    given += [self._scope.names[one] for one in names]
                    parts = [] if isinstance(pattern, ast.Name) else [pattern]
                    parts += [self._assignment()] if self._take("=") else []
                    defaults += [self._expression_statement(start, self._unknown(start, *parts))] if parts else []
                    self._comma(")")
                if self._take(":"):
                    self._type()
            is_arrow = self._take("=>")
            body: list[ast.stmt] = []
            if self._is("{"):
                body = self._braces()
            elif is_arrow:
                begin, value = self._at, self._assignment()
                body = [self._node(ast.Return, begin, value=value)]
            else:  # a declaration of a type
                self._end()
        return self._function_node(start, name, given, [*defaults, *body], scope)

    def _function_node(
        self, start: int, name: str, given: list[str], body: list[ast.stmt], scope: _Scope
    ) -> ast.FunctionDef:
        parameters = [self._node(ast.arg, start, arg=one, annotation=None) for one in given]
        arguments = ast.arguments([], parameters, None, [], [], None, [])
        body = [self._node(ast.Global, start, names=scope.free), *body]
        decorators = [self._unknown(start)] if self._has_arguments else []  # it may change them by `arguments`
        parts = {"name": name, "args": arguments, "body": body, "decorator_list": decorators}
        first = [token.text for token in self.tokens[start : start + 2]]
        kind = ast.AsyncFunctionDef if first[0] == "async" or "*" in first else ast.FunctionDef
        return cast(ast.FunctionDef, self._node(kind, start, **parts, returns=None, type_params=[]))

    def _class(self, start: int) -> ast.ClassDef:
        self._at += 1
        name = self._declared(self._identifier()) if not self._is("{", "extends") else UNKNOWN
        bases: list[ast.expr] = []
        while not self._take("{"):
            if self._take("extends"):
                bases.append(self._postfix())
            elif self._take("implements"):
                self._skip_to("{")
            elif not self._angle():
                self._fail("a class cannot be read")
        body: list[ast.stmt] = []
        while not self._take("}"):
            body += self._member()[1]
        parts = {"name": name, "body": body, "bases": bases, "keywords": [], "decorator_list": []}
        return self._node(ast.ClassDef, start, **parts, type_params=[])

    def _member(self) -> tuple[str, list[ast.stmt]]:
        """Parse a method of a class or object, or a field."""
        start, name = self._at, ""
        while not self._is("(", "<", "=", ":", ";", "{", "}") and self._token.kind != "end":
            name = self._token.text
            self._at = self._closing.get(self._at, self._at) + 1
        if self._is("(", "<"):
            return name, [self._function(start, _METHODS.get(name, name))]
        with self._inside(is_function=True) as scope:  # it runs with the class, or later
            if self._is("{"):
                body = self._braces()
            else:
                if self._take(":"):
                    self._type()
                value = _named(name, self._assignment()) if self._take("=") else self._unknown(start)
                self._end()
                body = [self._expression_statement(start, self._unknown(start, value))]
        return name, [self._function_node(start, UNKNOWN, [], body, scope)]

    def _is_arrow(self) -> bool:
        here = self._at
        try:
            if (
                self._is("async")
                and not self._next().starts_line
                and (self._next().kind == "name" or self._next().text == "(")
            ):
                self._at += 1
            if self._token.kind == "name":
                return self._next().text == "=>"
            if not self._is("("):
                return False
            self._at = self._closing[self._at] + 1
            if self._take(":"):
                self._type()
            return self._is("=>")
        except _UnreadError:
            return False
        finally:
            self._at = here

    def _type(self) -> None:
        """Skip a type of TypeScript."""
        is_open, is_group = True, False
        while True:
            token = self._token
            is_word = token.kind == "name" and token.text in _TYPE_WORDS
            if token.kind in ("name", "string", "number", "chars") or self._at in self._closing or self._is("`"):
                is_more = is_word or token.kind == "chars" or token.text in ("`", "${")
                if not (is_open or is_more or (token.text == "[" and not token.starts_line)):
                    break
                is_open, is_group = is_word, token.text == "("
                self._skip_one()
            elif self._is("|", "&", ".") or (is_group and self._is("=>")):
                is_open = self._take(self._token.text)
            elif not self._is("<") or not self._angle():
                break
        if is_open:
            self._fail("a type was expected")

    def _skip_one(self) -> None:
        """Skip a token or bracket of a type, which has no calls and assignments."""
        end = self._closing.get(self._at, self._at) + 1
        for token, after in pairwise(self.tokens[self._at : end]):
            if token.text in _ASSIGNED or token.text in ("++", "--") or (token.kind == "name" and after.text == "("):
                self._fail("a type was expected")
        self._at = end

    def _angle(self) -> bool:
        """Skip `<…>` if it has types; return whether it does."""
        here, depth = self._at, 0
        try:
            while depth > 0 or self._at == here:
                token = self._token
                is_end = set(token.text) == {">"}
                depth += 1 if self._is("<") else -len(token.text) if is_end else 0
                is_type = token.kind in ("name", "string", "number") or token.text in _TYPE_SIGNS
                if not 0 <= depth <= _MAX_TYPES or not (is_end or is_type or self._at in self._closing):
                    self._fail("a type was expected")
                self._skip_one()
        except _UnreadError:
            self._at = here
        return self._at > here

    # Expressions

    def _simple(self, start: int) -> list[ast.stmt]:
        """Parse an expression statement. Assignments that are followed are statements of Python."""
        found: list[ast.stmt] = []
        while not found or self._take(","):
            begin = self._at
            left = self._assignment(is_statement=True)
            sign = self._token.text if self._is("=", "+=") else ""
            if not sign:
                found.append(self._expression_statement(begin, left))
                continue
            self._at += 1
            right = self._assignment()
            if isinstance(left, ast.Name) and sign == "+=":
                target = self._name(left.id, begin, is_set=True)
                found.append(self._node(ast.AugAssign, begin, target=target, op=ast.Add(), value=right))
            elif isinstance(left, ast.Name):
                target = self._name(left.id, begin, is_set=True)
                found.append(self._node(ast.Assign, begin, targets=[target], value=right))
                if is_api(source := self._path_source(right)):
                    self._aliases[left.id] = source
            elif isinstance(left, ast.Subscript):
                self._refuse_global(left)
                right = _named(str(getattr(left.slice, "value", "")), right)
                value = self._node(ast.BinOp, begin, left=left, op=ast.Add(), right=right) if sign == "+=" else right
                found.append(self._node(ast.Assign, begin, targets=[left], value=value))
            else:
                found.append(self._expression_statement(begin, self._set_in_expression(begin, left, right)))
        return found

    def _refuse(self, what: str, line: int) -> NoReturn:
        raise InputError.of((), f"line {line}: {what} may change any value, so the program is not imported.")

    def _refuse_global(self, target: ast.expr) -> None:
        source = self._source(target)
        if match := re.match(r"(globalThis|window|global)\b", source):
            self._refuse(match[1], target.lineno)

    def _set_in_expression(self, start: int, left: ast.expr, right: ast.expr) -> ast.expr:
        """Return an assignment inside of an expression: what it sets is unknown."""
        self._refuse_global(left)
        sets = [
            self._node(ast.NamedExpr, start, target=self._name(one.id, start, is_set=True), value=self._unknown(start))
            for one in _targets(left)
        ]
        parts = left.args if isinstance(left, ast.Call) else [left]  # `m.length = 0` reads no length
        return self._unknown(start, *parts, right, *sets)

    def _expression(self) -> ast.expr:
        start, value = self._at, self._assignment()
        while self._take(","):
            value = self._unknown(start, value, self._assignment())
        return value

    def _assignment(self, *, is_statement: bool = False) -> ast.expr:
        start = self._at
        self._spend()
        if self._is_arrow():
            self._take("async")
            value = cast(ast.expr, self._function(start))
        elif self._take("yield"):
            self._take("*")
            value = self._unknown(start, *([] if self._is(")", "]", "}", ",", ";") else [self._assignment()]))
        else:
            value = self._conditional()
        if self._is_step():
            self._at += 1
            value = self._binary(0, self._set_in_expression(start, value, self._unknown(start)))
        elif self._token.text in _ASSIGNED and not (is_statement and self._is("=", "+=")):
            self._expect(self._token.text)
            value = self._set_in_expression(start, value, self._assignment())
        self._depth -= 1
        return value

    def _is_step(self) -> bool:
        return self._is("++", "--") and not self._token.starts_line

    def _conditional(self) -> ast.expr:
        start, test = self._at, self._binary(0)
        if not self._take("?"):
            return test
        body = self._assignment()
        self._expect(":")
        return self._node(ast.IfExp, start, test=test, body=body, orelse=self._assignment())

    def _binary(self, least: int, first: ast.expr | None = None) -> ast.expr:
        start, left = self._at, first or self._unary()
        while True:
            sign = self._token.text if self._token.kind in ("sign", "name") else ""
            level = _PRECEDENCE.get(sign, -1)
            if sign in ("as", "satisfies") and not self._token.starts_line:
                self._at += 1
                self._type()
                continue
            if level < least:
                return left
            self._at += 1
            right = self._binary(level if sign == "**" else level + 1)
            if sign in ("||", "&&"):
                kind = ast.Or() if sign == "||" else ast.And()
                left = self._node(ast.BoolOp, start, op=kind, values=[left, right])
            elif sign == "+":
                left = self._node(ast.BinOp, start, left=left, op=ast.Add(), right=right)
            elif sign == "??":
                left = self._unknown(start, left, right)
            else:
                left = self._node(ast.Compare, start, left=left, ops=[ast.Eq()], comparators=[right])

    def _unary(self) -> ast.expr:
        start, sign = self._at, self._token.text if self._token.kind in ("sign", "name") else ""
        if sign not in _UNARY:
            return self._postfix()
        self._spend()
        if sign == "<":
            if not self._angle():
                self._fail("a value was expected")
        else:
            self._at += 1
        value = cast(ast.expr, self._function(start)) if sign == "<" and self._is_arrow() else self._unary()
        self._depth -= 1
        if sign in ("++", "--"):
            return self._set_in_expression(start, value, self._unknown(start))
        if sign in ("new", "delete"):
            return self._unknown(start, value)
        kind = {"!": ast.Not, "-": ast.USub}.get(sign, ast.Invert)
        return value if sign in ("await", "<") else self._node(ast.UnaryOp, start, op=kind(), operand=value)

    def _postfix(self) -> ast.expr:  # noqa: C901 - one case per sign
        start, value = self._at, self._primary()
        while True:
            token = self._token
            if token.kind == "sign" and token.text in (".", "?."):
                self._at += 1
                if not self._is("(", "["):
                    value = self._property(start, value, self._identifier())
            elif self._is("["):
                self._at += 1
                place = self._expression()
                self._expect("]")
                if not isinstance(place, ast.Constant) or place.value == "length" or isinstance(place.value, float):
                    place = self._unknown(start, place)
                value = self._node(ast.Subscript, start, value=value, slice=place, ctx=ast.Load())
            elif self._take("("):
                given = self._items(")")
                if isinstance(value, ast.Name | ast.Subscript) and self._is_sdk(value):
                    value = self._sdk_call(start, value, given)
                else:
                    value = self._node(ast.Call, start, func=value, args=given, keywords=[])
            elif self._is("`"):
                pieces = [one for one in self._template().values if isinstance(one, ast.FormattedValue)]
                value = self._unknown(start, value, *(one.value for one in pieces))
            elif self._is("!") and not token.starts_line:
                self._at += 1
            elif not self._is("<") or not self._types_of_call():
                return value

    def _types_of_call(self) -> bool:
        here = self._at
        is_call = self._angle() and self._is("(")
        self._at = self._at if is_call else here
        return is_call

    def _property(self, start: int, value: ast.expr, name: str) -> ast.expr:
        if name in ("prototype", "__proto__"):
            self._refuse(name, self._token.line)
        method = self._node(ast.Attribute, start, value=value, attr=_METHODS.get(name, f".{name}"), ctx=ast.Load())
        if self._is("<"):
            self._types_of_call()
        if self._take("(") or (self._is("?.") and self._next().text == "(" and self._take("?.") and self._take("(")):
            return self._method(start, method, name, self._items(")"))
        if name == "length":
            function = self._node(ast.Name, start, id="len", ctx=ast.Load())
            return self._node(ast.Call, start, func=function, args=[value], keywords=[])
        place = self._node(ast.Constant, start, value=name)
        return self._node(ast.Subscript, start, value=value, slice=place, ctx=ast.Load())

    def _method(self, start: int, method: ast.Attribute, name: str, given: list[ast.expr]) -> ast.expr:
        holder = method.value
        if f".{name}" in CALL_ENDS and self._is_sdk(method):
            return self._sdk_call(start, method, given)
        match name, given:
            case "push", _ if len(given) != 1 or isinstance(given[0], ast.Starred):
                method.attr, given = "extend", [self._node(ast.List, start, elts=given, ctx=ast.Load())]
            case "unshift", [one] if not isinstance(one, ast.Starred):
                given = [self._node(ast.Constant, start, value=0), one]
            case "trim", []:
                given = [self._node(ast.Constant, start, value=_SPACES)]
            case "shift", []:
                given = [self._node(ast.Constant, start, value=0)]
            case "join", [mark]:
                method.value, given = mark, [holder]
            case "map", [
                ast.FunctionDef(args=ast.arguments(args=[one]), body=[_, ast.Return(value=ast.expr() as element)])
            ]:
                target = self._node(ast.Name, start, id=one.arg, ctx=ast.Store())
                part = ast.comprehension(target=target, iter=holder, ifs=[], is_async=0)
                return self._node(ast.ListComp, start, elt=element, generators=[part])
            case (("unshift" | "shift" | "pop" | "trim" | "join"), [_, *_]):
                method.attr = f".{name}"
        return self._node(ast.Call, start, func=method, args=given, keywords=[])

    def _source(self, node: ast.expr) -> str:
        return self._text[node.col_offset : node.end_col_offset]

    def _path_source(self, node: ast.expr) -> str:
        """Return an expression without spaces and with `.name` for other forms of a property."""
        return re.sub(r"\[['\"](\w+)['\"]\]", r".\1", re.sub(r"\s+|\?(?=\.)", "", self._source(node)))

    def _is_sdk(self, function: ast.expr) -> bool:
        source = self._path_source(function)
        return re.search(CALL.pattern + "$", followed(source, self._aliases) + "(") is not None

    def _sdk_call(self, start: int, function: ast.expr, given: list[ast.expr]) -> ast.Call:
        call = self._node(ast.Call, start, func=function, args=given[:1], keywords=[])
        if given and isinstance(given[0], ast.Dict):
            fields = zip(given[0].keys, given[0].values, strict=True)
            call.args = []
            call.keywords = [ast.keyword(arg=getattr(key, "value", None), value=value) for key, value in fields]
        call.keywords += [ast.keyword(arg="options", value=one) for one in given[1:]]
        self.calls.append(call)
        return call

    def _items(self, end: str) -> list[ast.expr]:
        found: list[ast.expr] = []
        while not self._take(end):
            start = self._at
            if self._is(","):
                found.append(self._unknown(start))
            elif self._take("..."):
                found.append(self._node(ast.Starred, start, value=self._assignment(), ctx=ast.Load()))
            else:
                found.append(self._assignment())
            self._comma(end)
        return found

    def _primary(self) -> ast.expr:  # noqa: C901, RET503 - one case per kind of token, or it fails
        start, token = self._at, self._token
        self._at += 1
        match token.kind, token.text:
            case "string", text:
                return self._node(ast.Constant, start, value=_text(text[1:-1]))
            case "number", text:
                number = _number(text)
                return self._unknown(start) if number is None else self._node(ast.Constant, start, value=number)
            case "regex", _:
                return self._unknown(start)
            case "template", _:
                self._at -= 1
                return self._template()
            case "sign", "(":
                value = self._expression()
                self._expect(")")
                return value
            case "sign", "[":
                return self._node(ast.List, start, elts=self._items("]"), ctx=ast.Load())
            case "sign", "{":
                return self._object(start)
            case "name", "class":
                self._at -= 1
                return cast(ast.expr, self._class(start))
            case "name", ("function" | "async") if "function" in (token.text, self._token.text):
                self._take("function")
                self._take("*")
                name = self._identifier() if self._token.kind == "name" else ""
                function = self._function(start)
                return self._unknown(start, function, self._name(name, start)) if name else cast(ast.expr, function)
            case "name", ("true" | "false" | "null") as word:
                return self._node(ast.Constant, start, value={"true": True, "false": False, "null": None}[word])
            case "name", word if word not in _KEYWORDS or word in ("this", "super", "import"):
                return self._name(word, start)
        self._at = start
        self._fail("a value was expected")

    def _object(self, start: int) -> ast.expr:
        keys: list[ast.expr | None] = []
        values: list[ast.expr] = []
        has_code = False
        while not self._take("}"):
            begin, token = self._at, self._token
            key: ast.expr | None = None
            is_key = token.kind in ("name", "string", "number")
            if self._take("..."):
                value = self._assignment()
            elif is_key and self._next().text in (":", ",", "}", "="):
                self._at += 1
                key = self._node(
                    ast.Constant, begin, value=_text(token.text[1:-1]) if token.kind == "string" else token.text
                )
                value = self._assignment() if self._take(":") else self._name(token.text, begin)
                value = _named(str(key.value), value)
                has_code = has_code or key.value == "__proto__"
                if self._take("="):  # a default value of `({a = 1} = …)`
                    value = self._unknown(begin, value, self._assignment())
            elif self._is("[") and self.tokens[self._closing[self._at] + 1].text == ":":
                self._at += 1
                key = self._expression()
                self._at += 2
                value = self._assignment()
            else:
                has_code = has_code or token.text in ("get", "set")
                name, method = self._member()
                key, value = self._node(ast.Constant, begin, value=name), self._unknown(begin, *method)
            keys.append(key)
            values.append(value)
            self._comma("}")
        found = self._node(ast.Dict, start, keys=keys, values=values)
        return self._unknown(start, found) if has_code else found

    def _template(self) -> ast.JoinedStr:
        start = self._at
        self._at += 1
        pieces: list[ast.expr] = []
        while not self._take("`"):
            begin, token = self._at, self._token
            self._at += 1
            if token.kind == "chars":
                pieces.append(self._node(ast.Constant, begin, value=_text(token.text)))
            else:
                value = self._expression()
                pieces.append(self._node(ast.FormattedValue, begin, value=value, conversion=-1, format_spec=None))
                self._expect("}")
        return self._node(ast.JoinedStr, start, values=pieces)


def _targets(node: ast.AST) -> list[ast.Name]:
    """Return the names that a pattern sets, apart from those in its default values."""
    match node:
        case ast.Name():
            return [node]
        case ast.List(elts=parts) | ast.Dict(values=parts):
            return [name for part in parts for name in _targets(part)]
        case ast.Starred(value=part) | ast.Call(func=ast.Name(id="?"), args=[part, *_]):
            return _targets(part)
    return []


def _path_of(pattern: ast.AST, name: str) -> str:
    """Return the properties that lead to a name in a pattern: `a.b` for b in `{a: {b}}`."""
    for key, value in zip(pattern.keys, pattern.values, strict=True) if isinstance(pattern, ast.Dict) else ():
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            inner = "" if isinstance(value, ast.Name) else _path_of(value, name)
            if inner or (isinstance(value, ast.Name) and value.id == name):
                return f"{key.value}.{inner}".rstrip(".")
    return ""


def _named(key: str, value: ast.expr) -> ast.expr:
    """Return the value of a key. A function becomes a method: it is not the usual one of that name."""
    function: ast.AST = value
    if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        function.name = _METHODS.get(key, key)
    return value


def _number(text: str) -> int | float | None:
    text = text.replace("_", "")
    if text.endswith("n") or re.fullmatch(r"0\d+", text):
        return None
    number = float(int(text, 0)) if re.match(r"0[xXoObB]", text) else float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number if abs(number) < 1e300 else None


def _text(source: str) -> str:
    """Return a text with its escapes replaced."""

    def replaced(match: re.Match[str]) -> str:
        if code := match[1] or match[2] or match[3]:
            return chr(int(code, 16)) if int(code, 16) < 0x110000 else "\ufffd"
        return chr(int(match[4], 8)) if match[4] else _ESCAPES.get(match[5], match[5])

    return _ESCAPE.sub(replaced, source).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

"""curl commands, and Python and JavaScript calls of SDKs, as prompts. Literals are read, nothing is executed."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import OpenedPrompt
from playground.prompt.import_formats.api_bodies import Report, open_json
from playground.prompt.json_text import loads
from playground.prompt.secret_names import is_secret

_DATA = ("-d", "--data", "--data-raw", "--data-ascii", "--data-binary", "--data-urlencode", "--json")
_OPTIONS = (
    "-H --header -X --request -o --output -u --user -A --user-agent -b --cookie -m --max-time --connect-timeout -x"
)
_WITH_VALUE = frozenset(f"{_OPTIONS} --proxy --url -e --referer -w --write-out --cacert --retry".split())
_ANSI_C = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)


def open_curl(text: str) -> OpenedPrompt:
    """Return the document in the body of a curl command. Raises InputError, also for a body in a file."""
    notes: list[str] = []
    bodies = list(_bodies(_words(text), notes))
    if not bodies:
        raise InputError.of((), "the curl command has no body.", "Copy a command with -d or --data.")
    body = "&".join(bodies)
    try:
        opened = open_json(loads(body), body, is_file=False)
    except InputError:
        raise
    except ValueError as error:
        raise InputError.of(("--data",), f"is not JSON: {error}.") from None
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *notes), imported=True)


def _bodies(words: list[str], notes: list[str]) -> Iterator[str]:
    """Yield the values of the options that give the body."""
    rest = iter(words[1:])
    for word in rest:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name.startswith("-d") and name not in _DATA:
            name, equals, value = "-d", "=", name[2:]
        if name not in _DATA and name not in _WITH_VALUE:
            continue
        if not equals:
            value = _value_of(name, rest)
        if name in ("-H", "--header", "-u", "--user"):
            _note_secret(value, notes)
        if name in _DATA:
            if value.startswith("@") and name != "--data-raw":  # pasting must not read files
                sentence = f"the body is in the file {Path(value[1:]).name}."
                raise InputError.of(("--data",), sentence, "Open that file, or paste its content.")
            yield value


def _words(text: str) -> list[str]:
    source = text.strip().removeprefix("$ ").replace("\r\n", "\n")
    if re.search(r"\^\s*\n|\"\^\"|\^\"", source):
        source = re.sub(r"\^\n\s*", " ", source)
        source = re.sub(r"\^(.)", r"\1", source)
    source = re.sub(r"[\\`]\n", " ", source)
    source = _ANSI_C.sub(lambda match: shlex.quote(_unescaped(match[1])), source)
    try:
        words = shlex.split(source)
    except ValueError as error:
        raise InputError.of((), f"the curl command cannot be read: {error}.", "Copy it whole.") from None
    if not words or not re.search(r"(^|[/\\])curl(\.exe)?$", words[0]):
        raise InputError.of((), "this is not a curl command.")
    return words


def _unescaped(text: str) -> str:
    simple = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "\\": "\\", "0": "\0"}

    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] in "uUx" and len(code) > 1 else simple.get(code, code)

    plain = re.sub(r"\\(u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,6}|x[0-9a-fA-F]{1,2}|.)", character, text, flags=re.DOTALL)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _value_of(option: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise InputError.of((option,), "has no value.", "Copy the command whole.")
    return value


def _note_secret(header: str, notes: list[str]) -> None:
    name, colon, _ = header.partition(":")
    if (colon and is_secret(name.strip())) or re.search(r"\bsk[-_]\w", header):
        sentence = "The API key in the command was not imported. Set it for the endpoint."
        if sentence not in notes:
            notes.append(sentence)


CALL = re.compile(
    r"\b(?:chat\.completions(?:\.with_raw_response)?\.(?:create|stream|parse)|responses\.create|messages\.create"
    r"|electron(?:\.with_raw_response)?\.complete)\s*\("
)
CALL_ENDS = (".create", ".stream", ".parse", ".complete")
"""One of them is in each match of CALL."""
MAX_CHARS = 2_000_000
_MAX_DEPTH = 60
_MAX_STEPS = 100_000


def open_snippet(text: str) -> OpenedPrompt:
    """Return the document in the arguments of the first SDK call. Names become `{{variables}}`. Raises InputError."""
    if len(text) > MAX_CHARS:
        raise InputError.of((), f"the snippet has more than {MAX_CHARS:,} characters.")
    report = Report()
    try:
        fields = _python(text, report)
    except SyntaxError:
        fields = _javascript(text, report)
    except RecursionError:
        raise InputError.of((), "the snippet is nested too deeply.") from None
    opened = open_json(fields, json.dumps(fields), is_file=False)
    document = opened.document
    return OpenedPrompt(document, opened.format, (*opened.notes, *report.notes), imported=True)


def _variable(name: str) -> str:
    return "{{" + re.sub(r"\W+", "_", name).strip("_") + "}}"


def _python(text: str, report: Report) -> dict[str, Json]:
    tree = ast.parse(text)
    known: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = node.value
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and CALL.search(ast.unparse(node.func) + "("):
            return _keywords(node, _PythonReader(known, report), report)
    raise InputError.of((), "the snippet has no call of chat.completions.create.")


class _PythonReader:
    """Evaluates literals. Anything else becomes a variable, or is left out and reported."""

    def __init__(self, known: Mapping[str, ast.expr], report: Report) -> None:
        self._known, self._report = known, report
        self._steps = 0

    def value(self, node: ast.expr, depth: int = 0) -> Json:
        """Return the value of an expression."""
        self._steps += 1
        if depth > _MAX_DEPTH:
            raise InputError.of((), f"line {node.lineno}: the snippet is nested too deeply.")
        if self._steps > _MAX_STEPS:  # names that refer to names can double their value at each step
            raise InputError.of((), f"line {node.lineno}: the values are too large to be evaluated.")
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str | int | float)):
            return node.value
        if isinstance(node, ast.List | ast.Tuple):
            return [self.value(item, depth + 1) for item in node.elts]
        if isinstance(node, ast.Dict):
            return self._dict(node, depth + 1)
        if isinstance(node, ast.JoinedStr):
            return "".join(self._piece(piece) for piece in node.values)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            number = self.value(node.operand, depth + 1)
            return -number if isinstance(number, int | float) else number
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._sum(node, depth + 1)
        if isinstance(node, ast.Name) and node.id in self._known:
            return self.value(self._known[node.id], depth + 1)
        return self._open(node)

    def _dict(self, node: ast.Dict, depth: int) -> Json:
        if any(isinstance(key, ast.Name) for key in node.keys):
            raise SyntaxError("an object of JavaScript")
        return {
            str(self.value(key, depth)): self.value(item, depth)
            for key, item in zip(node.keys, node.values, strict=True)
            if key is not None
        }

    def _sum(self, node: ast.BinOp, depth: int) -> Json:
        left, right = self.value(node.left, depth), self.value(node.right, depth)
        if isinstance(left, list) and isinstance(right, list):
            return [*left, *right]
        joined = f"{left}{right}"
        if len(joined) > MAX_CHARS:
            raise InputError.of((), f"line {node.lineno}: a text has more than {MAX_CHARS:,} characters.")
        return joined

    def _piece(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        inner = node.value if isinstance(node, ast.FormattedValue) else node
        return str(self.value(inner)) if isinstance(inner, ast.Constant) else self._open(inner)

    def _open(self, node: ast.expr) -> str:
        name = ast.unparse(node)
        self._report.note(f"The expression {name[:60]} became the variable {_variable(name)}.")
        return _variable(name)


def _keywords(call: ast.Call, reader: _PythonReader, report: Report) -> dict[str, Json]:
    fields: dict[str, Json] = {}
    for argument in call.args:
        value = reader.value(argument)
        if isinstance(value, dict):
            fields |= value
    for keyword in call.keywords:
        if keyword.arg is None:
            spread = reader.value(keyword.value)
            if isinstance(spread, dict):
                fields |= spread
            continue
        if keyword.arg in ("extra_headers", "extra_query", "timeout"):
            report.note(f"{keyword.arg} was left out: it is not part of the body.")
            continue
        value = reader.value(keyword.value)
        if keyword.arg == "request_options":
            more = value.get("additional_body_parameters") if isinstance(value, dict) else None
            fields |= more if isinstance(more, dict) else {}
            report.note("request_options was left out, apart from additional_body_parameters.")
        elif keyword.arg == "extra_body" and isinstance(value, dict):
            fields |= value
        else:
            fields[keyword.arg] = value
    return fields


def _javascript(text: str, report: Report) -> dict[str, Json]:
    match = CALL.search(text)
    if match is None:
        raise InputError.of((), "the snippet has no call of chat.completions.create.")
    value = _JavaScriptReader(text, match.end(), report).value()
    if not isinstance(value, dict):
        raise InputError.of((), "the call's first argument is not an object.")
    return value


class _JavaScriptReader:
    """A parser for JavaScript literals: objects, arrays, strings, templates, numbers, names, `+`, comments."""

    _SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
    _NUMBER = re.compile(r"-?(?:\d[\d_]*\.?\d*(?:[eE][+-]?\d+)?)")
    _NAME = re.compile(r"[A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*|\[[^\]]*\]|\([^()]*\))*")
    _KEY = re.compile(r"[A-Za-z_$][\w$]*")

    def __init__(self, text: str, position: int, report: Report) -> None:
        self._text, self._at, self._report = text, position, report

    def value(self, depth: int = 0) -> Json:
        """Parse an expression. Raises InputError with the line."""
        if depth > _MAX_DEPTH:
            raise InputError.of((), "the snippet is nested too deeply.")
        found = self._single(depth)
        while self._next() == "+":
            self._at += 1
            found = f"{found}{self._single(depth)}"
        return found

    def _next(self) -> str:
        if space := self._SPACE.match(self._text, self._at):
            self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _single(self, depth: int) -> Json:
        start = self._next()
        if start == "{":
            return self._object(depth)
        if start == "[":
            return self._array(depth)
        if start in ("'", '"', "`"):
            return self._string(start)
        if number := self._NUMBER.match(self._text, self._at):
            self._at = number.end()
            digits = number[0].replace("_", "")
            return float(digits) if re.search(r"[.eE]", digits) else int(digits[:300])
        return self._name()

    def _object(self, depth: int) -> dict[str, Json]:
        fields: dict[str, Json] = {}
        for start in self._items("}", "the object"):
            if start in ("'", '"'):
                key = self._string(start)
            elif match := self._KEY.match(self._text, self._at):
                key, self._at = match[0], match.end()
            else:
                self._fail("a key was expected")
            if self._next() == ":":
                self._at += 1
                fields[key] = self.value(depth + 1)
            else:
                fields[key] = self._variable(key)
        return fields

    def _array(self, depth: int) -> list[Json]:
        return [self.value(depth + 1) for _ in self._items("]", "the array")]

    def _items(self, end: str, what: str) -> Iterator[str]:
        """Yield the first character of each item up to `end`; spread values are left out and reported."""
        self._at += 1
        while (start := self._next()) != end:
            if start == "":
                self._fail(f"{what} is not closed")
            if self._text.startswith("...", self._at):
                self._at += 3
                self._report.note(f"...{self._name()} was left out: its value is not in the snippet.")
            else:
                yield start
            if self._next() == ",":
                self._at += 1
        self._at += 1

    def _string(self, quote: str) -> str:
        self._at += 1
        pieces: list[str] = []
        while True:
            character = self._text[self._at : self._at + 1]
            if character == "":
                self._fail("a string is not closed")
            self._at += 1
            if character == quote:
                break
            if character == "\\":
                pieces.append(self._escape())
            elif quote == "`" and character == "$" and self._text[self._at : self._at + 1] == "{":
                end = self._text.find("}", self._at)
                if end < 0:
                    self._fail("a template is not closed")
                pieces.append(self._variable(self._text[self._at + 1 : end].strip()))
                self._at = end + 1
            else:
                pieces.append(character)
        return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _escape(self) -> str:
        if match := re.compile(r"u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})").match(
            self._text, self._at
        ):
            self._at = match.end()
            code = int(match[1] or match[2] or match[3], 16)
            return chr(code) if code < 0x110000 else "\ufffd"
        character = self._text[self._at : self._at + 1]
        self._at += 1
        return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": ""}.get(character, character)

    def _name(self) -> Json:
        match = self._NAME.match(self._text, self._at)
        if match is None:
            self._fail("a value was expected")
        self._at = match.end()
        words: dict[str, Json] = {"true": True, "false": False, "null": None, "undefined": None}
        return words[match[0]] if match[0] in words else self._variable(match[0])

    def _variable(self, name: str) -> str:
        self._report.note(f"The expression {name[:60]} became the variable {_variable(name)}.")
        return _variable(name)

    def _fail(self, problem: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        raise InputError.of((), f"the snippet cannot be read: {problem} (line {line}).", "Copy the call whole.")

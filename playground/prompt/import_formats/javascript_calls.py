"""The arguments of an SDK call in JavaScript or TypeScript: straight-line code is followed, nothing is executed."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report
from playground.prompt.import_formats.call_values import (
    CALL,
    Gap,
    Open,
    Values,
    gap_in,
    note_other_calls,
    spread,
    taint,
    total,
)

_TEMPLATE = r"`(?:\\.|\$\{(?:[^{}`]{1,400}+|`(?:\\.|[^`\\]){0,400}+`|\{[^{}]{0,400}+\}){0,20}+\}|[^`\\])*+`?"
_HIDDEN = re.compile(
    rf"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])*+'?|"(?:\\.|[^"\\\n])*+"?|{_TEMPLATE}"""
    r"|(?<=[=(,:!&|?{};\n])[ \t]*/(?!\*)(?:\\.|\[(?:\\.|[^\]\\\n]){0,200}+\]|[^/\\\n\[]){1,500}+/",
    re.DOTALL,
)
"""Comments, strings, templates and regular expressions."""
_WORD = re.compile(r"(?<![\w$.])[A-Za-z_$][\w$]*|(?<=\.\.\.)[A-Za-z_$][\w$]*")
_READ_ONLY = re.compile(
    r"(?:^|\.)(?:log|error|warn|info|debug|stringify|structuredClone|keys|isArray|String|Number"
    r"|create|stream|parse|complete|includes)$"
)
_DYNAMIC = re.compile(r"(?<![\w$.])(?:eval|Function)\s*\(")
_ASSIGNED = r"\s*(?:\*\*|<<|>>>?|&&|\|\||\?\?|[-+*/%&|^])?=(?![=>])|\s*(?:\+\+|--)"
_KEYWORDS = frozenset(
    ["if", "while", "for", "switch", "catch", "with", "return", "await", "typeof", "in", "of", "case"]
)


class _Block(Struct, frozen=True):
    """What a brace opens: a function with parameters, a loop, other code, or an object; `start`, `end`: its span."""

    kind: Literal["function", "loop", "code"]
    start: int
    end: int
    parameters: str = ""


class _Change(Struct, frozen=True):
    """What code does to a name; `mention`: anything else, which may change a list or object."""

    kind: Literal["set", "add", "push", "clear", "step", "alter", "mention"]
    start: int
    end: int


def javascript_fields(text: str, report: Report) -> dict[str, Json]:
    """Return the arguments of the first SDK call as a request body. Raises InputError."""
    values = Values(text, report)
    program = _Program(text, values)
    calls = [match.end() for match in CALL.finditer(program.code)]
    if not calls:
        raise InputError.of((), "the snippet has no call of chat.completions.create.")
    if dynamic := _DYNAMIC.search(program.code):
        line = program.line(dynamic.start())
        raise InputError.of((), f"line {line}: {dynamic[0]}…) may change any value, so the program is not imported.")
    program.call = calls[0]
    note_other_calls([program.line(call) for call in calls], report)
    value = _Reader(program, calls[0]).value()
    if not isinstance(value, dict):
        raise InputError.of((), "the call's first argument is not an object.")
    return values.body(value)


class _Program:
    """A program, its text without comments and strings, and the values of its names."""

    def __init__(self, text: str, values: Values) -> None:
        self.text, self.values = text, values
        self.call = len(text)
        self.code = _HIDDEN.sub(lambda match: _blank(match[0]), text)
        self._names: dict[str, list[int]] = {}
        for match in _WORD.finditer(self.code):
            self._names.setdefault(match[0], []).append(match.start())
        self._pairs, self._parents = _pairs(self.code)
        self._opens = sorted(self._pairs)
        self._blocks: dict[int, _Block] = {}

    def line(self, position: int) -> int:
        """Return the line, from 1."""
        return self.text.count("\n", 0, position) + 1

    def end_of(self, start: int) -> int:
        """Return where a bracket ends; the length of the program if it is not closed."""
        return self._pairs.get(start, len(self.code))

    def _around(self, position: int) -> Iterator[_Block]:
        """Yield the blocks around a position, the innermost first; at last the program."""
        at = bisect_left(self._opens, position) - 1
        start = self._opens[at] if at >= 0 else -1
        while start >= 0:
            self.values.spend(0, 4)
            if self._pairs[start] >= position:
                yield self._block(start)
            start = self._parents[start]
        yield _Block("code", -1, len(self.code))

    def _block(self, start: int) -> _Block:
        if start not in self._blocks:
            self._blocks[start] = self._read_block(start)
        return self._blocks[start]

    def _read_block(self, start: int) -> _Block:
        end = self._pairs[start]
        head = self.code[max(0, start - 500) : start].rstrip()
        if self.code[start] == "=":
            head += "=>"
        elif self.code[start] != "{":
            return _Block("code", start, end)
        if arrow := re.search(r"(\([^()]*(?:\([^()]*\)[^()]*)*\)|[\w$]+)(?:\s*:[^=()]*)?\s*=>$", head):
            return _Block("function", start, end, arrow[1])
        if call := re.search(
            r"([\w$]*)\s*(\([^()]*(?:\([^()]*(?:\([^()]*\)[^()]*)*\)[^()]*)*\))(?:\s*:[^=(){};]*)?$", head
        ):
            if call[1] not in _KEYWORDS:
                return _Block("function", start, end, call[2])
            return _Block("loop" if call[1] in ("for", "while") else "code", start, end, call[2])
        return _Block("loop" if re.search(r"\bdo$", head) else "code", start, end)

    def value_of(self, name: str, at: int) -> object:
        """Return the value of a name at a position of the program; open if it is not known."""
        self.values.spend(self.line(at), 1_000 + len(self._names.get(name, ())))
        around = list(self._around(at))
        for block in around:
            if re.search(rf"(?<![\w$.]){re.escape(name)}(?![\w$])", block.parameters):
                return self.values.open(name)
            starts = [
                one
                for one in self._names.get(name, ())
                if block.start < one < block.end
                and next(self._around(one)).start in (block.start, *self._list_starts(one, block))
                and re.search(
                    r"\b(?:const|let|var|function|class|import)\b[\s*]*(?:[{\[][^={}]*)?$",
                    self.code[max(0, one - 200) : one],
                )
            ]
            if starts:
                return self._declared(name, starts, block, at)
        return self.values.open(name)

    def _list_starts(self, position: int, block: _Block) -> Iterator[int]:
        """Yield the brackets of a destructuring pattern around a position, up to the block."""
        for one in self._around(position):
            if one.start == block.start:
                return
            if re.search(r"\b(?:const|let|var|import)\s*$", self.code[max(0, one.start - 20) : max(one.start, 0)]):
                yield one.start

    def _declared(self, name: str, starts: list[int], block: _Block, at: int) -> object:  # noqa: C901 - one case per kind of change
        declared = re.compile(rf"{re.escape(name)}\s*(?::[^=;\n]+)?=(?![=>])").match(self.code, starts[0])
        simple = declared and re.search(r"\b(?:const|let|var)\s+$", self.code[max(0, starts[0] - 40) : starts[0]])
        if declared is None or not simple or len(starts) > 1 or (starts[0] > at and self._depth(at, block) == 0):
            return self.values.open(name)
        value = self._named(name, _Reader(self, declared.end()).value(), starts[0])
        followed: set[int] = set()
        copied = self.text.endswith("...", 0, at)
        for found in self._changes(name, starts[0], block):
            change = found
            if change.kind in ("set", "add") and change.start < at <= _Reader(self, at).end(change.end):
                continue  # `s = s + "x"`: the value before
            until = at
            if change.kind == "push" and not copied:
                until = self.call
            if change.kind in ("mention", "alter"):
                scalars = isinstance(value, dict) and not any(isinstance(one, list | dict) for one in value.values())
                until = at if copied and scalars else self.call
            if change.kind == "mention":
                if not isinstance(value, list | dict) or self._is_read(name, change, value, block):
                    continue
                change = replace(change, kind="alter")
            loop = next(
                (
                    one
                    for one in self._enclosing(change.start, block)
                    if one.kind == "loop" and one.start < at < one.end
                ),
                None,
            )
            if loop is not None and loop.start not in followed:
                followed.add(loop.start)
                for one in self._changes(name, loop.start, loop):
                    if one.kind == "mention":
                        continue
                    value = self._unknown(name, value, one)
            if gap_in(value, whole=True) is not None and change.kind in ("push", "add", "alter"):
                continue
            if self._is_straight(change, block, until):
                value = self._followed(name, value, change)
            elif change.start < until or loop is not None or self._depth(change.start, block) or self._depth(at, block):
                value = self._unknown(name, value, change)
        return value

    def _enclosing(self, position: int, block: _Block) -> list[_Block]:
        """Return the blocks between a position and an outer block."""
        return [one for one in self._around(position) if one.start > block.start]

    def _depth(self, position: int, block: _Block) -> int:
        """Return the number of functions around a position inside a block."""
        return sum(one.kind == "function" for one in self._enclosing(position, block))

    def _is_straight(self, change: _Change, block: _Block, at: int) -> bool:
        """Whether a change is a statement that runs once before the position."""
        starts = re.search(r"(?:^|[;{}\n])\s*$", self.code[max(0, change.start - 200) : change.start])
        inner = self._enclosing(change.start, block)
        if not starts or change.kind in ("alter", "step") or change.start > at:
            return False
        head = self.code[max(0, change.start - 200) : change.start].rstrip()
        if (
            head.endswith((")", "else", "=>", "do"))
            and not head.endswith(("})", "])"))
            and re.search(r"\b(?:if|for|while|else|do)\b[^;{}]*$", head)
        ):
            return False
        if self._depth(at, block) > self._depth(change.start, block) and inner:
            return False
        return all(one.start < at < one.end for one in inner)

    def _changes(self, name: str, after: int, block: _Block) -> Iterator[_Change]:
        """Yield what the code of a block does to a name."""
        for start in self._names.get(name, ()):
            if not (max(after, block.start) < start < block.end):
                continue
            end = start + len(name)
            code = self.code
            before = code[max(0, start - 40) : start]
            if self._is_target(start):
                yield _Change("alter", start, end)
            elif match := re.compile(r"\s*=(?![=>])").match(code, end):
                if not re.search(r"\b(?:const|let|var)\s+$", before):
                    yield _Change("set", start, match.end())
            elif match := re.compile(r"\s*\+=").match(code, end):
                yield _Change("add", start, match.end())
            elif match := re.compile(r"\s*\.push\s*\(").match(code, end):
                yield _Change("push", start, match.end())
            elif match := re.compile(r"\s*\.length\s*=\s*0\b").match(code, end):
                yield _Change("clear", start, match.end())
            elif (
                re.compile(_ASSIGNED).match(code, end)
                or re.search(r"(?:\+\+|--)\s*$", before)
                or (
                    re.search(r"\bfor\s*(?:await\s*)?\(\s*$", before) and re.compile(r"\s+(?:of|in)\b").match(code, end)
                )
            ):
                yield _Change("step", start, end)
            else:
                yield _Change("mention", start, end)

    def _is_read(self, name: str, change: _Change, value: object, block: _Block, depth: int = 0) -> bool:
        """Whether a mention of a list or object cannot change it, or belongs to another name."""
        code, start, end = self.code, change.start, change.end
        self.values.spend(0, 10)
        before = code[max(0, start - 200) : start].rstrip()
        around = self._enclosing(start, block)
        if (
            around
            and code[around[0].start] == "{"
            and before[-1:] in ("{", ",")
            and re.compile(r"\s*:").match(code, end)
        ):
            return True  # a key
        declared = [
            next(self._around(one)).start
            for one in self._names.get(name, ())
            if re.search(r"\b(?:const|let|var|function|class)\s+$", code[max(0, one - 40) : one])
        ]
        word = re.compile(rf"(?<![\w$.]){re.escape(name)}(?![\w$])")
        for one in around:
            parameters = re.sub(r"=[^,)]*", "", one.parameters)
            if one.start in declared or (one.kind == "function" and word.search(parameters)):
                return True
        if around and code[around[0].start] == "(" and before.endswith(("(", ",")):
            rest = code[around[0].end + 1 : around[0].end + 200]
            called = re.search(r"[\w$]*$", code[: around[0].start].rstrip()[-60:])
            if re.match(r"\s*(?::[^=(){};,]*)?(?:=>|\{)", rest) and called and called[0] not in _KEYWORDS:
                return True  # a parameter
        if match := re.compile(
            r"(?:\s*\??\.[\w$]+|\s*(?:\?\.)?\[[^\[\]]*\])*?\s*\??\.([\w$]+)(?!\s*[\w$(\[?.`])"
        ).match(code, end):
            is_set = re.compile(_ASSIGNED).match(code, match.end()) or re.search(r"(?:\bdelete|\+\+|--)$", before)
            return not is_set and (match[1] == "length" or _is_scalar(value, match[1]))
        if not re.compile(r"\s*(?:[,)\]};\n]|as\b)").match(code, end):
            return False
        return not self._is_kept(name, around, depth)

    def _is_kept(self, name: str, around: list[_Block], depth: int) -> bool:
        """Whether something other than the read-only forms has the list or object in the brackets `around`."""
        for one in around:
            before = self.code[max(0, one.start - 200) : one.start].rstrip()
            holder = re.search(r"([\w$]+)\s*(?::[^=;]*)?=$", before)
            if self.code[one.start] == "(":
                function = re.search(r"[\w$.]+$", before)
                if function is None or function[0] in _KEYWORDS:
                    return True
                if _READ_ONLY.search(function[0]):
                    return False
                holder = re.search(r"(?<![\w$.])([\w$]+)\.push$", before)
                if holder is None and not before.endswith("].concat"):
                    return True
                if holder is None:
                    holder = re.search(r"([\w$]+)\s*(?::[^=;]*)?=\s*\[[^;]*\]\.concat$", before)
            elif self.code[one.start] not in "[{" or re.match(
                r"\s*(?:\?\.|\[|\.(?!concat\())", self.code[one.end + 1 : one.end + 30]
            ):
                return True
            if holder is not None:
                return holder[1] != name and (depth > 5 or self._is_changed(holder[1], depth + 1))
            if not before.endswith(("(", "[", ",", ":", "?")):
                return True
        return True

    def _is_changed(self, name: str, depth: int) -> bool:
        """Whether code may change a list or object in the one of a name."""
        program = _Block("code", -1, len(self.code))
        return any(
            change.kind == "alter"
            or (change.kind == "mention" and not self._is_read(name, change, None, program, depth))
            for change in self._changes(name, -1, program)
            if not re.search(r"\b(?:const|let|var)\s+$", self.code[max(0, change.start - 40) : change.start])
        )

    def _is_target(self, start: int) -> bool:
        """Whether a name is set as a part of `[a, b] = …` or `{ a } = …`."""
        block = next(self._around(start))
        if block.start < 0 or self.code[block.start] not in "[{":
            return False
        before = self.code[max(0, block.start - 200) : block.start].rstrip()
        is_index = re.search(r"[\w$)\]]$", before) is not None
        return not is_index and re.compile(r"\s*=(?![=>])").match(self.code, block.end + 1) is not None

    def _named(self, name: str, value: object, at: int) -> object:
        if isinstance(value, Open) and not re.fullmatch(r"[\w$]+", value.source):
            reason = value.reason or f"line {self.line(at)} sets it to {value.source[:60]}"
            return self.values.open(name, reason, at)
        return value

    def _followed(self, name: str, value: object, change: _Change) -> object:
        if change.kind == "clear":
            return [] if isinstance(value, list) else value
        reader = _Reader(self, change.end)
        if change.kind == "set":
            return self._named(name, reader.value(), change.start)
        if change.kind == "push":
            added = reader.items(")", "the call")
            return total(value, added) if isinstance(value, list | Open) else self._unknown(name, value, change)
        found = total(value, reader.value())
        return self._unknown(name, value, change) if found is None else found

    def _unknown(self, name: str, value: object, change: _Change) -> object:
        line = self.line(change.start)
        if isinstance(value, list) and change.kind == "push":
            return [*value, Gap(f"What line {line} adds to {name}")]
        if change.kind not in ("alter", "clear"):
            return self.values.open(name, f"line {line} sets it in code that is not followed", change.start)
        if isinstance(value, list | dict):
            taint(value, f"line {line} changes {name}")
            return value
        return (
            self.values.open(name, f"line {line} changes it", change.start) if self._is_target(change.start) else value
        )


def _is_scalar(value: object, key: str) -> bool:
    """Whether all values of a key in a list or object are texts or numbers."""
    found: list[object] = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            found += [member for name, member in one.items() if name == key]
        if isinstance(one, list | dict):
            todo += one if isinstance(one, list) else one.values()
    return bool(found) and all(isinstance(one, str | int | float) for one in found)


def _blank(text: str) -> str:
    keep = 1 if text[0] in "'\"`" else 0
    return text[:keep] + re.sub(r"[^\n]", " ", text[keep : len(text) - keep]) + text[len(text) - keep :]


_NEW_LINE = re.compile(r"\n(?=\s*(?!(?:in|of|instanceof)\b)[A-Za-z_$}])")
_BRACKET = re.compile(rf"[{{}}()\[\],;]|=>(?!\s*\{{)|{_NEW_LINE.pattern}")


def _goes_on(code: str, at: int) -> bool:
    """Whether the expression before a line's end goes on in the next line."""
    return (code[max(0, at - 200) : at].rstrip() or "=")[-1] in "=+-*/%&|?:,(.<>{[!"


def _pairs(code: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return the end of each bracket by its start, and the start of the one around it (-1 without one).

    The `=>` of a function without braces is a bracket, too: it ends with the expression.
    """
    ends: dict[int, int] = {}
    parents: dict[int, int] = {}
    stack: list[int] = []
    for match in _BRACKET.finditer(code):
        start, sign = match.start(), match[0]
        if sign in ("{", "(", "[", "=>"):
            parents[start] = stack[-1] if stack else -1
            ends[start] = len(code)
            stack.append(start)
            if len(stack) > 500:
                raise InputError.of((), "the snippet is nested too deeply.")
            continue
        if sign == "\n" and _goes_on(code, start):
            continue
        while stack and code[stack[-1]] == "=":
            ends[stack.pop()] = start
        if sign in "})]" and stack:
            ends[stack.pop()] = start
    return ends, parents


class _Reader:
    """A parser for expressions: objects, arrays, strings, templates, numbers, names, `+`, `? :`, comments."""

    _SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
    _NUMBER = re.compile(r"-?(?:0[xX][\da-fA-F]+|(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][+-]?\d+)?)")
    _NAME = re.compile(
        r"(?:await\s+|new\s+)?[A-Za-z_$][\w$]*(?:!?\??\.[A-Za-z_$][\w$]*|\[[^\[\]]*\]|\((?:[^()]|\([^()]*\))*\))*"
    )
    _KEY = re.compile(r"[A-Za-z_$][\w$]*|\d+")
    _TYPE = re.compile(r"(?:as|satisfies)\s+(?:const\b|[\w$.]+(?:<[^<>]*(?:<[^<>]*>)?[^<>]*>)?(?:\[\])*)")

    def __init__(self, program: _Program, position: int) -> None:
        self._program, self._text, self._at = program, program.text, position

    def value(self, depth: int = 0) -> object:
        """Parse an expression. Raises InputError with the line."""
        self._program.values.spend(0, 1)
        if depth > 60:
            raise InputError.of((), "the snippet is nested too deeply.")
        self._next()
        start = self._at
        found = self._single(depth)
        while (sign := self._next()) == "+" and self._text[self._at : self._at + 2] not in ("++", "+="):
            self._at += 1
            right = self._single(depth)
            joined = total(found, right)
            if joined is None and isinstance(found, str | int | float) and isinstance(right, str | int | float):
                joined = f"{found}{right}" if isinstance(found, str) or isinstance(right, str) else None
            found = self._open(start) if joined is None or isinstance(joined, list) else joined
            self._program.values.spend(0, len(found) if isinstance(found, str) else 1)
        if sign not in ("", ",", ";", "}", "]", ")", ":", "\n"):
            found = self._rest(sign, found, start, depth)
        return found

    def _rest(self, sign: str, found: object, start: int, depth: int) -> object:
        """Return the value of an expression that goes on with another sign than `+`."""
        if sign == "?" and self._text[self._at : self._at + 2] not in ("??", "?."):
            self._at += 1
            first = self.value(depth + 1)
            if self._next() != ":":
                self._fail("a colon was expected")
            self._at += 1
            second = self.value(depth + 1)
            return self._open(start) if isinstance(found, Open) else first if found else second
        if re.compile(r"[-*/%<>=!&|?.^(\[]").match(sign) and "\n" not in self._text[self._back() : self._at]:
            end = self.end(self._at)
            self._at = end
            return self._open(start)
        return found

    def _back(self) -> int:
        at = self._at
        while at and self._text[at - 1].isspace():
            at -= 1
        return at

    def end(self, at: int) -> int:
        """Return where the expression ends: at a comma, semicolon, bracket or line."""
        code, depth, start = self._program.code, 0, at
        while at < len(code):
            if code[at] in "([{":
                depth += 1
            elif code[at] in ")]}":
                if depth == 0:
                    break
                depth -= 1
            elif (code[at] in ",;" and depth == 0) or (
                depth == 0 and at > start and _NEW_LINE.match(code, at) and not _goes_on(code, at)
            ):
                break
            at += 1
        return at

    def _open(self, start: int) -> Open:
        source = " ".join(self._text[start : self._at].split())
        return self._program.values.open(source)

    def _next(self) -> str:
        while True:
            if space := self._SPACE.match(self._text, self._at):
                self._at = space.end()
            kind = self._TYPE.match(self._text, self._at)
            if kind is None or self._at == 0 or not (self._text[self._at - 1].isspace()):
                return self._text[self._at : self._at + 1]
            self._at = kind.end()

    def _single(self, depth: int) -> object:
        start = self._next()
        if start == "{":
            return self._object(depth)
        if start == "[":
            return self._postfix(self._at, self.items("]", "the array", depth))
        if start in ("'", '"', "`"):
            begin = self._at
            return self._postfix(begin, self._string(start))
        if start == "(":
            begin = self._at
            self._at += 1
            found = self.value(depth + 1)
            if self._next() != ")":
                self._fail("a bracket is not closed")
            self._at += 1
            if self._next() == "=" and self._text.startswith("=>", self._at):
                self._at = self.end(self._at)
                return self._open(begin)
            return self._postfix(begin, found)
        if number := self._NUMBER.match(self._text, self._at):
            self._at = number.end()
            digits = number[0].replace("_", "")
            if "x" in digits.lower():
                return int(digits[:300], 16)
            return float(digits) if re.search(r"[.eE]", digits) else int(digits[:300])
        return self._name()

    def _postfix(self, start: int, found: object) -> object:
        """Return the value after methods: `["a", "b"].join(" ")` and `.trim()` of a known text."""
        code = self._program.code
        while match := re.compile(r"\s*\.\s*(\w+)\s*\(").match(code, self._at):
            inner = _Reader(self._program, match.end())
            given = inner.items(")", "the call") if match[1] in ("join", "concat", "trim") else []
            self._at = self._program.end_of(match.end() - 1) + 1
            found = self._method(match[1], found, given)
            if found is None:
                found = self._open(start)
        if code[self._at : self._at + 1] in ("[", ".") and self._at < len(code):
            self._at = self.end(self._at)
            return self._open(start)
        return found

    def _method(self, name: str, value: object, given: list[object]) -> object | None:
        """Return the value of a method; None if it is not known."""
        match name, value, given:
            case "join", list(), [str() as mark] if all(isinstance(one, str) for one in value):
                return mark.join(str(one) for one in value)
            case "concat", list(), _ if all(isinstance(one, list) for one in given):
                return [*value, *(item for one in given if isinstance(one, list) for item in one)]
            case "trim", str(), [] if next(self._program.values.opened(value), None) is None:
                return value.strip()
        return None

    def _object(self, depth: int) -> dict[str, object]:
        fields: dict[str, object] = {}
        for start in self._items("}", "the object"):
            if self._text.startswith("...", self._at):
                self._at += 3
                begin = self._at
                value = self.value(depth + 1)
                gap = gap_in(value)
                if isinstance(value, dict) and gap is None:
                    fields |= value
                else:
                    what = "..." + " ".join(self._text[begin : self._at].split())[:60]
                    fields[what] = Gap(what, gap.why if gap else "its value is not in the program")
                continue
            if start in ("'", '"'):
                key = self._string(start)
            elif match := self._KEY.match(self._text, self._at):
                key, self._at = match[0], match.end()
            else:
                self._fail("a key was expected")
            if self._next() == ":":
                self._at += 1
                fields[key] = self.value(depth + 1)
            elif self._text[self._at : self._at + 1] in (",", "}"):
                fields[key] = self._program.value_of(key, self._at)
            else:
                self._fail("a value was expected")
        return fields

    def items(self, end: str, what: str, depth: int = 0) -> list[object]:
        """Parse the items of an array, or of a call whose bracket was read, up to `end`."""
        if end == ")":
            self._at -= 1
        found: list[object] = []
        for _ in self._items(end, what):
            if self._text.startswith("...", self._at):
                self._at += 3
                begin = self._at
                value = self.value(depth + 1)
                source = self._text[begin : self._at]
                if isinstance(value, list):
                    found += value
                elif isinstance(value, Open):
                    found.append(spread(value))
                else:
                    found.append(Gap(f"...{source[:60]}", "its value is not in the program"))
                self._program.values.spend(0, len(found))
            else:
                found.append(self.value(depth + 1))
        return found

    def _items(self, end: str, what: str) -> Iterator[str]:
        """Yield the first character of each item up to `end`."""
        self._at += 1
        while (start := self._next()) != end:
            if start == "":
                self._fail(f"{what} is not closed")
            yield start
            if self._next() == ",":
                self._at += 1
            elif self._next() != end:
                self._fail("a comma was expected")
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
                pieces.append(self._piece())
            else:
                pieces.append(character)
        return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _piece(self) -> str:
        """Return the text of `${…}` in a template."""
        self._at += 1
        start = self._at
        inner = re.compile(r"(?:[^{}`'\"]|'[^'\n]*'|\"[^\"\n]*\"|`[^`]*`|\{[^{}]*\})*+\}").match(self._text, start)
        if inner is None:
            self._fail("a template is not closed")
        source = inner[0][:-1].strip()
        self._at = inner.end()
        if re.fullmatch(r"[A-Za-z_$][\w$]*", source):
            found = self._program.value_of(source, start)
            if isinstance(found, str | int) and not isinstance(found, bool):
                self._program.values.spend(0, len(str(found)))
                return str(found)
        return self._program.values.open(source)

    def _escape(self) -> str:
        if match := re.compile(r"u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})").match(
            self._text, self._at
        ):
            self._at = match.end()
            code = int(match[1] or match[2] or match[3], 16)
            return chr(code) if code < 0x110000 else "\ufffd"
        character = self._text[self._at : self._at + 1]
        self._at += 1
        return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}.get(
            character, character
        )

    def _name(self) -> object:
        match = self._NAME.match(self._text, self._at)
        start = self._at
        if match is None and self._text[start : start + 1] in tuple("!-~+/<"):
            self._at = self.end(start)
            return self._open(start)
        if match is None:
            self._fail("a value was expected")
        self._at = match.end()
        words = {"true": True, "false": False, "null": None, "undefined": None}
        if match[0] in words:
            return words[match[0]]
        if re.fullmatch(r"[A-Za-z_$][\w$]*", match[0]) and not self._text.startswith("=>", self._at):
            return self._program.value_of(match[0], start)
        return self._open(start)

    def _fail(self, problem: str) -> NoReturn:
        raise InputError.of(
            (), f"the snippet cannot be read: {problem} (line {self._program.line(self._at)}).", "Copy the call whole."
        )

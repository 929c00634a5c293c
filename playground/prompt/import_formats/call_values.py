"""Values of a program or command: known, or open as a `{{variable}}`; what of them becomes the request."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import NoReturn

from msgspec import Struct

from playground.prompt.document import Document, Json, names
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report

CALL = re.compile(
    r"\b(?:chat\s*\.\s*completions(?:\.with_raw_response)?\s*\.\s*(?:create|stream|parse)|(?:responses|messages)\.(?:create|stream)"
    r"|ChatCompletion\.a?create|createChatCompletion|electron(?:\.with_raw_response)?\.complete)\s*\("
)
CALL_ENDS = (".create", ".acreate", ".stream", ".parse", ".complete", "createChatCompletion")
"""One of them is in each match of CALL."""
MAX_CHARS = 500_000
_MAX_DEPTH = 60
_TEMPLATES = ("messages", "input", "system", "instructions")
_TEXTS = ("content", "text", "output")
_ADVICE = "Paste the request body, or the call with its messages written out."


class Open(str):
    """A value that is not known: the text of its variable, the expression, and where or why."""

    source: str
    reason: str


class Gap(Struct, frozen=True):
    """Items of a list, or fields of an object, that are not known: what they are, and why."""

    what: str
    why: str = ""


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Values:
    """The open values of one program, each with its own variable, and the bound on the work for all values."""

    def __init__(self, text: str, report: Report) -> None:
        self._report = report
        self._open: dict[str, Open] = {}
        self._numbers: dict[str, int] = {}
        self._keys: dict[Hashable, Open] = {}
        self._written = frozenset(re.findall(r"\{\{[ \t]*(\w+)[ \t]*\}\}", text))
        self._steps = 0
        self.line = 0  # of the call

    def spend(self, line: int, steps: int = 1, depth: int = 0) -> None:
        """Count work. Raises InputError beyond the bounds: names that refer to names can double at each step."""
        self._steps += steps
        where = f"line {line}: " if line else ""
        if depth > _MAX_DEPTH:
            raise InputError.of((), f"{where}the snippet is nested too deeply.")
        if self._steps > 4 * MAX_CHARS:
            raise InputError.of((), f"{where}the values are too large to be evaluated.")

    def open(self, source: str, reason: str = "", *, key: Hashable = None) -> Open:
        """Return the value of an expression that is not known. It has its own variable.

        `key`: uses with the same key have the same value.
        """
        if key is not None and key in self._keys:
            return self._keys[key]
        name = re.sub(r"\W+", "_", source[:200]).strip("_")[:80].strip("_")
        name = base = name if re.match(r"[^\W\d]", name) else f"value_{name}".rstrip("_")
        while name in self._written or name in self._open:
            self._numbers[base] = number = self._numbers.get(base, 1) + 1
            name = f"{base}_{number}"
        value = self._open[name] = Open("{{" + name + "}}")
        value.source, value.reason = source, reason
        if key is not None:
            self._keys[key] = value
        return value

    def opened(self, value: object, depth: int = 0) -> Iterator[Open | Gap]:
        """Yield the unknown parts of a value."""
        self.spend(0, len(value) if isinstance(value, str) else 1, depth)
        if isinstance(value, Gap):
            yield value
        elif isinstance(value, str):
            for name in re.findall(r"\{\{(\w+)\}\}", value) if "{{" in value else ():
                if name in self._open:
                    yield self._open[name]
        elif isinstance(value, list | dict):
            for one in value if isinstance(value, list) else value.values():
                yield from self.opened(one, depth + 1)

    def body(self, fields: Mapping[str, object]) -> dict[str, Json]:
        """Return the fields of a call as a request body. Raises InputError if its messages are not known."""
        body: dict[str, Json] = {}
        lost = next((value for value in fields.values() if isinstance(value, Gap)), None)
        if not {"messages", "input"} & fields.keys() and (lost is not None or self.line):
            self._refuse("messages", "it has none" if lost is None else _reason(lost))
        for name, value in fields.items():
            if name in _TEMPLATES and not isinstance(value, Gap):
                body[name] = self._template(name, value)
                continue
            unknown = next(self.opened(value), None)
            if unknown is None:
                body[name] = self._json(value)
            elif isinstance(value, Gap):
                self._report.left_out(value.what, value.why)
            elif name != "model":
                self._report.left_out(name, _reason(unknown))
        return body

    def _template(self, name: str, value: object) -> Json:
        if isinstance(value, Open) and name == "messages":
            self._refuse(name, _reason(value))
        if not isinstance(value, list):
            return self._json(value)
        kept: list[Json] = []
        for index, item in enumerate(value):
            where = f"{name}[{index}]"
            if isinstance(item, Gap):
                self._report.left_out(item.what, item.why)
            elif isinstance(item, Open):
                self._report.left_out(f"{where} ({item.source[:60]})", _reason(item))
            elif isinstance(item, dict) and (lost := self._lost(item)) is not None:
                self._report.left_out(where, lost)
            else:
                kept.append(self._json(item))
        if not kept and name == "messages":
            self._refuse(name, self._report.notes[-1].rstrip(".") if value else "the list is empty")
        return kept

    def _refuse(self, name: str, why: str) -> NoReturn:
        where = "" if re.search(r"\bline \d", why) or not self.line else f" (the call in line {self.line})"
        raise InputError.of((name,), f"cannot be read from the program: {why}{where}.", _ADVICE)

    def _lost(self, message: Mapping[str, object]) -> str | None:
        """Return why a message cannot be taken over: variables are replaced in its text only."""
        for name, value in message.items():
            for unknown in self.opened(value):
                if isinstance(unknown, Gap) or name not in _TEXTS:
                    return f"its {name} is unknown: {_reason(unknown)}"
        return None

    def _json(self, value: object) -> Json:
        if isinstance(value, list):
            return [self._json(one) for one in value]
        if isinstance(value, dict):
            return {str(name): self._json(one) for name, one in value.items()}
        for one in self.opened(value):
            if isinstance(one, Open):
                reason = f": {one.reason}" if one.reason else ""
                self._report.note(f"The expression {one.source[:60]} became the variable {one!s}{reason}.")
        return value if value is None or isinstance(value, bool | int | float) else str(value)

    def note_written(self, document: Document) -> None:
        """Report the texts of the program that have the form of a variable."""
        for name in names(document.messages):
            if name not in self._open:
                self._report.note(f"The text {{{{{name}}}}} in the program is a variable of the prompt.")


def _reason(unknown: Open | Gap) -> str:
    if isinstance(unknown, Gap):
        return f"{unknown.what} is not known" + (f": {unknown.why}" if unknown.why else "")
    why = f" ({unknown.reason})" if unknown.reason else ""
    return f"the value of {unknown.source[:60]} is not in the program{why}"

"""Values of a program that calls an SDK: known, or open as a `{{variable}}`; what of them becomes the request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from msgspec import Struct

from playground.prompt.document import Document, Json, names
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report

CALL = re.compile(
    r"\b(?:chat\s*\.\s*completions(?:\.with_raw_response)?\s*\.\s*(?:create|stream|parse)|responses\.create|messages\.create"
    r"|electron(?:\.with_raw_response)?\.complete)\s*\("
)
_API_PATH = re.compile(
    r"(?:\.(?:chat|completions|responses|messages|electron))+(?:\.(?:create|stream|parse|complete))?"
)


def is_api(source: str) -> bool:
    """Whether an expression is a part of a client that another name can be given to: `c.chat.completions`."""
    return re.fullmatch(r"[\w.]+?" + _API_PATH.pattern, source) is not None


CALL_ENDS = (".create", ".stream", ".parse", ".complete")
"""One of them is in each match of CALL."""
MAX_CHARS = 500_000
_MAX_DEPTH = 60
_TEMPLATES = ("messages", "input", "system", "instructions")
_ADVICE = "Paste the request body, or the call with its messages written out."


class Open(str):
    """A value that is not known: the text of its variable, the expression, and why it is not known."""

    source: str
    reason: str
    held: object = None  # the value that it is the JSON of


class Gap(Struct, frozen=True):
    """Items of a list that are not known, or (`whole`) all of a list or object: what they are, and why."""

    what: str
    why: str = ""
    whole: bool = False


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def taint(value: list[object] | dict[str, object], why: str) -> None:
    """Mark a list or object, and those in it, as changed by code that was not followed."""
    gap = Gap("", why, whole=True)
    todo: list[object] = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, list | dict) and gap_in(one, whole=True) is None:
            todo += one if isinstance(one, list) else one.values()
            one.clear()
            if isinstance(one, list):
                one.append(gap)
            else:
                one[""] = gap


def gap_in(value: object, *, whole: bool = False) -> Gap | None:
    """Return the first gap of a list or object itself, not of its members. One of all of it is its only member."""
    if whole and isinstance(value, list | dict) and len(value) != 1:
        return None
    members = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return next((one for one in members if isinstance(one, Gap) and (one.whole or not whole)), None)


def total(left: object, right: object) -> object | None:
    """Return the sum of two values; None if it is not known."""
    if isinstance(left, list) and isinstance(right, list):
        return [*left, *right]
    if isinstance(left, list) and isinstance(right, Open):
        return [*left, spread(right)]
    if isinstance(left, Open) and isinstance(right, list):
        return [spread(left), *right]
    if isinstance(left, str) and isinstance(right, str):
        return None if isinstance(left, Open) and isinstance(right, Open) else f"{left}{right}"
    return bounded_number(left + right) if isinstance(left, int | float) and isinstance(right, int | float) else None


def bounded_number(value: float) -> float | None:
    """Return a number; None for one that is not finite or has more than 64 bits."""
    return value if -(2**63) <= value < 2**64 else None


def spread(value: Open) -> Gap:
    """Return the gap that a list has where the items of an unknown value are."""
    return Gap(f"*{value.source[:60]}", value.reason or "its value is not in the program")


def note_other_calls(lines: Sequence[int], report: Report) -> None:
    """Report which of several calls was taken; `lines` has the line of each, the taken one first."""
    if len(lines) > 1:
        others = ", ".join(map(str, lines[1:6])) + (" …" if len(lines) > 6 else "")
        plural = "s" if len(lines) > 2 else ""
        report.note(
            f"The call in line {lines[0]} was imported. {len(lines) - 1} other call{plural} (line{plural} {others}) "
            f"{'were' if plural else 'was'} left out."
        )


class Values:
    """The open values of one program, each with its own variable, and the bound on the work for all values."""

    def __init__(self, text: str, report: Report) -> None:
        self._report = report
        self._open: dict[str, Open] = {}
        self._same: dict[str, Open] = {}
        self._names: dict[str, str] = {}  # of the variables of the prompt
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

    def open(self, source: str, reason: str = "", *, is_same: bool = False) -> Open:
        """Return the value of an expression that is not known. It has its own variable.

        `is_same`: the source is a name that has the same value wherever it is.
        """
        if is_same and source in self._same:
            return self._same[source]
        number = len(self._open)
        while (name := f"value_{number}") in self._written:
            number += 1
        value = self._open[name] = Open("{{" + name + "}}")
        value.source, value.reason = source, reason
        if is_same:
            self._same[source] = value
        return value

    def _variable(self, value: Open) -> str:
        """Return the name that the variable of a value has in the prompt."""
        if value[2:-2] not in self._names:
            name = re.sub(r"\W+", "_", value.source[:200]).strip("_")[:80].strip("_")
            name = f"value_{name}".rstrip("_") if not re.match(r"[^\W\d]", name) else name
            number, base = 1, name
            while name in self._written or name in self._names.values():
                number += 1
                name = f"{base}_{number}"
            self._names[value[2:-2]] = name
        return self._names[value[2:-2]]

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
        if lost is not None and not {"messages", "input"} & fields.keys():
            self._refuse("messages", lost.why)
        for name, value in fields.items():
            if name in _TEMPLATES:
                body[name] = self._template(name, value)
            elif isinstance(value, Gap):
                self._report.left_out(value.what, value.why)
            elif (unknown := next(self.opened(value), None)) is None:
                body[name] = self._json(value)
            elif name != "model":
                why = unknown.why if isinstance(unknown, Gap) else unknown.reason
                source = unknown.what if isinstance(unknown, Gap) else unknown.source
                self._report.left_out(name, why or f"the value of {source[:60]} is not in the program")
        return body

    def _template(self, name: str, value: object) -> Json:
        gap = gap_in(value, whole=True)
        if gap is not None or (isinstance(value, Open) and name == "messages"):
            why = gap.why if gap else getattr(value, "reason", "") or f"{getattr(value, 'source', '')[:60]} is unknown"
            self._refuse(name, why)
        if not isinstance(value, list):
            return self._json(value)
        kept: list[Json] = []
        for index, item in enumerate(value):
            where = f"{name}[{index}]"
            if isinstance(item, Gap):
                self._report.left_out(item.what, item.why)
            elif isinstance(item, Open):
                self._report.left_out(f"{where} ({item.source[:60]})", item.reason or "its value is not in the program")
            elif isinstance(item, dict) and (lost := self._lost(item)) is not None:
                self._report.left_out(where, lost)
            else:
                kept.append(self._json(item))
        if not kept and name == "messages":
            self._refuse(name, self._report.notes[-1].rstrip(".") if value else "the list is empty")
        return kept

    def note_written(self, document: Document) -> None:
        """Report the texts of the program that have the form of a variable."""
        for name in names(document.messages):
            if name not in self._names.values():
                self._report.note(f"The text {{{{{name}}}}} in the program is a variable of the prompt.")

    def _refuse(self, name: str, why: str) -> NoReturn:
        where = "" if re.search(r"\bline \d", why) or not self.line else f" (the call in line {self.line})"
        raise InputError.of((name,), f"cannot be read from the program: {why}{where}.", _ADVICE)

    def _lost(self, message: Mapping[str, object]) -> str | None:
        """Return why a message cannot be taken over: variables are replaced in its text only."""
        for name, value in message.items():
            for unknown in self.opened(value):
                if isinstance(unknown, Gap):
                    return unknown.why or f"{unknown.what} is not in the program"
                if name not in ("content", "text", "output"):
                    return f"its {name} is {unknown.source[:60]}, which is not in the program"
        return None

    def _json(self, value: object) -> Json:
        for one in self.opened(value):
            if isinstance(one, Open):
                reason = f": {one.reason}" if one.reason else ""
                variable = "{{" + self._variable(one) + "}}"
                self._report.note(f"The expression {one.source[:60]} became the variable {variable}{reason}.")
        return self._plain(value)

    def _plain(self, value: object) -> Json:
        if isinstance(value, list):
            return [self._plain(one) for one in value]
        if isinstance(value, dict):
            return {str(name): self._plain(one) for name, one in value.items()}
        if isinstance(value, str) and "{{" in value:
            return re.sub(r"(?<=\{\{)\w+(?=\}\})", lambda name: self._names.get(name[0], name[0]), value)
        return value if value is None or isinstance(value, bool | int | float) else str(value)

"""A docstring taken apart: what the function does, and what each parameter is. Google, NumPy and reST styles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SECTION = re.compile(
    r"(args|arguments|parameters|params|keyword args|other parameters|returns?|yields?|raises|examples?|notes?|see also"
    r"|attributes|warns|warnings|references|todo)\s*:?\s*$",
    re.IGNORECASE,
)
_PARAMETERS = ("args", "arguments", "parameters", "params", "keyword args", "other parameters")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_REST = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_REST_OTHER = re.compile(r":\w+[^:]*:")


@dataclass(frozen=True, slots=True)
class Described:
    """`summary`: all up to the first section, as one paragraph; every tool description is input on every turn."""

    summary: str
    parameters: Mapping[str, str]


def described(docstring: str) -> Described:
    """The parts of a docstring whose indentation has been taken off."""
    lines = docstring.splitlines()
    first = next((number for number, line in enumerate(lines) if _begins_section(line)), len(lines))
    found: dict[str, list[str]] = {}
    for name, text in (*_rest(lines), *_sections(lines[first:])):
        found.setdefault(name, []).append(text)
    summary = " ".join(" ".join(lines[:first]).split())
    return Described(summary, {name: " ".join(" ".join(texts).split()) for name, texts in found.items()})


def _begins_section(line: str) -> bool:
    return bool(_SECTION.match(line) or _REST_OTHER.match(line))


def _rest(lines: list[str]) -> Iterator[tuple[str, str]]:
    name = ""
    for line in lines:
        match = _REST.match(line)
        if match:
            name = match[1]
            yield name, match[2]
        elif name and line[:1].isspace() and line.strip():
            yield name, line
        else:
            name = ""


def _sections(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The parameters' lines in Google's or NumPy's sections: (name, a line of its text)."""
    inside, indent, name = False, 0, ""
    for line in lines:
        head = _SECTION.match(line)
        if head:
            inside, name, indent = head[1].lower() in _PARAMETERS, "", -1
            continue
        if not inside or not line.strip() or set(line.strip()) <= {"-", "="}:
            continue
        depth = len(line) - len(line.lstrip())
        indent = depth if indent < 0 else indent
        if depth > indent:
            if name:
                yield from ((each.strip(), line) for each in name.split(","))
            continue
        google = _GOOGLE.match(line.strip()) if depth else None
        numpy = _NUMPY.match(line.strip()) if not depth else None
        name = google[1] if google else (numpy[1] if numpy else "")
        if google:
            yield name, google[2]

"""Edits that make up the fixes; each returns a new document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.variables import places


def with_parameter(document: Document, name: str, value: Json) -> Document:
    """The document with one parameter set, or not sent where `value` is None."""
    rest = {key: item for key, item in document.parameters.items() if key != name}
    return replace(document, parameters=rest if value is None else {**rest, name: value})


def with_tool(document: Document, index: int, definition: Mapping[str, Json]) -> Document:
    """The document with one tool's definition replaced."""
    tools = (*document.tools[:index], Tool.of(definition), *document.tools[index + 1 :])
    return replace(document, tools=tools)


def without_tools(document: Document, names: frozenset[str]) -> Document:
    """The document without the tools named, and without a tool_choice that would then name or need one."""
    rest = replace(document, tools=tuple(tool for tool in document.tools if tool.name not in names))
    return rest if rest.tools else with_parameter(rest, "tool_choice", None)


def with_system_line(document: Document, line: str) -> Document:
    """Append a line to the part of the system text that is identical in every request.

    The line goes before the first variable of the first message, if text precedes it: the prefix changes once
    and is stable again. Without a system message the line becomes one.
    """
    if not document.messages or document.messages[0].role != "system":
        return replace(document, messages=(Message("system", line), *document.messages))
    first = document.messages[0]
    return document.with_message(0, replace(first, content=_with_line(first.content or "", line)))


def _with_line(text: str, line: str) -> str:
    found = places(text)
    at = text.rfind("\n", 0, found[0].start) + 1 if found else len(text)
    if not text[:at].strip():
        at = len(text)
    head, rest = text[:at], text[at:]
    gap = head[len(head.rstrip()) :]
    return f"{head.rstrip()}\n{line}{gap}{rest}" if head.strip() else f"{line}\n{rest}"

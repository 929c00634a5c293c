"""Two documents held against each other: which lines of which part go, and which come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from playground.prompt.document import Document, Message

Sign = Literal["head", "same", "gone", "come", "skipped"]
AROUND = 2
"""Number of unchanged lines displayed before and after a change."""


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One line of a difference; a head names the part that follows it."""

    sign: Sign
    text: str


def changes(before: Document, after: Document) -> tuple[DiffRow, ...]:
    """What is another in `after`, message by message and tool by tool; parts that stay the same are left out."""
    return (*_tools(before, after), *_messages(before, after), *_parameters(before, after))


def _tools(before: Document, after: Document) -> Iterator[DiffRow]:
    old, new = ([tool.name or tool.json_text for tool in document.tools] for document in (before, after))
    if before.tools == after.tools:
        return
    if old != new:
        yield DiffRow("head", "tools, in the order in which they are sent")
        yield from line_changes(old, new)
    by_name = {tool.name: tool for tool in before.tools}
    for tool in after.tools:
        other = by_name.get(tool.name)
        if other is not None and other != tool:
            yield DiffRow("head", f"tool {tool.name}")
            yield from line_changes(_broken(other.json_text), _broken(tool.json_text))


def _broken(json_text: str) -> list[str]:
    """A definition with a line a member, so that a difference is not the whole of it."""
    return json_text.replace('","', '",\n"').replace("},", "},\n").split("\n")


def _messages(before: Document, after: Document) -> Iterator[DiffRow]:
    old, new = before.messages, after.messages
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        pairs = max(b - a, d - c)
        for number in range(pairs):
            one = old[a + number] if a + number < b else None
            other = new[c + number] if c + number < d else None
            yield DiffRow("head", _name(one, other, a + number, c + number))
            yield from line_changes(_text(one), _text(other))


def _name(one: Message | None, other: Message | None, was: int, now: int) -> str:
    if one is None and other is not None:
        return f"message {now + 1} ({other.role}), new"
    if other is None and one is not None:
        return f"message {was + 1} ({one.role}), gone"
    return f"message {now + 1} ({other.role if other else ''})"


def _text(message: Message | None) -> list[str]:
    return (message.content or "").split("\n") if message is not None else []


def line_changes(old: list[str], new: list[str]) -> Iterator[DiffRow]:
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from _unchanged(old[a:b], first=a == 0, last=b == len(old))
        else:
            yield from (DiffRow("gone", line) for line in old[a:b])
            yield from (DiffRow("come", line) for line in new[c:d])


def _unchanged(lines: list[str], *, first: bool, last: bool) -> Iterator[DiffRow]:
    head, tail = (0 if first else AROUND), (0 if last else AROUND)
    if len(lines) <= head + tail + 1:
        yield from (DiffRow("same", line) for line in lines)
        return
    yield from (DiffRow("same", line) for line in lines[:head])
    yield DiffRow("skipped", f"{len(lines) - head - tail:,} lines stay")
    yield from (DiffRow("same", line) for line in lines[len(lines) - tail :])


def _parameters(before: Document, after: Document) -> Iterator[DiffRow]:
    old, new = (_settings(document) for document in (before, after))
    if old != new:
        yield DiffRow("head", "parameters")
        yield from line_changes(old, new)


def _settings(document: Document) -> list[str]:
    lines = [f"{name}: {value!r}" for name, value in document.parameters.items()]
    if document.stream and not document.include_usage:
        lines.append("stream_options.include_usage: off")
    return lines

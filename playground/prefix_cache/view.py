"""The prompt in the order that the cache sees it: tools, then messages.

Where the tool catalogue stands in the token sequence is not published (electron-api.md, Prefix caching); tools
first is an assumption, and is said where it shows. Parts end in a control character that no usual text holds, so that
two prompts share a prefix here exactly where their parts are the same. (In a text that does hold it, a part's end may
be taken for a character, one place off: no text is refused or altered for it.)
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from playground.prompt.document import Document, Json
from playground.prompt.request import message_fields
from playground.prompt.variables import Rendered, places, render

PartKind = Literal["tool", "role", "content", "tool_calls", "tool_call_id", "extra"]


@dataclass(frozen=True, slots=True)
class Part:
    """Code points [start, end) of a view's text. `index` is the tool's or the message's."""

    kind: PartKind
    index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CacheView:
    """The whole prompt as one text, and what each stretch of it is."""

    text: str
    parts: tuple[Part, ...]

    def locate(self, offset: int) -> tuple[Part, int] | None:
        """The part that code point `offset` lies in, and the place inside it; None in an empty prompt.

        The end of the text belongs to the last part.
        """
        if not self.parts:
            return None
        at = bisect_right(self.parts, offset, key=lambda part: part.start) - 1
        part = self.parts[max(at, 0)]
        return part, min(max(offset - part.start, 0), part.end - part.start)


def view_of_fields(fields: Mapping[str, Json]) -> CacheView:
    """The view of a parsed request body, whoever wrote it. Odd shapes are taken as they are, never refused."""
    builder = _Builder()
    tools = fields.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        builder.add("tool", index, _compact(tool))
    messages = fields.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        builder.add_message(index, message if isinstance(message, dict) else {"content": message})
    return builder.view()


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document's view, with the way back from a place in it to the template that a person edits.

    `contents` holds each message's content part (None where it has no content); `rendered` its values in place.
    `first_variable` is where the first variable's value starts in the view's text.
    """

    view: CacheView
    document: Document
    contents: tuple[Part | None, ...]
    rendered: tuple[Rendered | None, ...]
    first_variable: int | None
    first_variable_name: str | None

    def to_template(self, offset: int) -> tuple[Part, int] | None:
        """The part at code point `offset` of the view's text, and the place in that part's *template*."""
        located = self.view.locate(offset)
        if located is None:
            return None
        part, inside = located
        rendered = self.rendered[part.index] if part.kind == "content" else None
        return part, rendered.to_template(inside) if rendered else inside


def view_of_document(document: Document) -> DocumentView:
    """The view of a document; its text is that of the body it would be sent as. Missing values stay as typed."""
    builder = _Builder()
    for index, tool in enumerate(document.tools):
        builder.add("tool", index, tool.json_text)
    rendered = []
    for index, message in enumerate(document.messages):
        fields = message_fields(message, document.variables)
        builder.add_message(index, fields)
        rendered.append(None if message.content is None else render(message.content, document.variables))
    view = builder.view()
    by_message = {part.index: part for part in view.parts if part.kind == "content"}
    contents = tuple(by_message.get(index) for index in range(len(document.messages)))
    first, name = _first_variable(document, contents, rendered)
    return DocumentView(view, document, contents, tuple(rendered), first, name)


def _first_variable(
    document: Document, contents: tuple[Part | None, ...], rendered: list[Rendered | None]
) -> tuple[int | None, str | None]:
    for message, part, text in zip(document.messages, contents, rendered, strict=True):
        if part is not None and text is not None and text.cuts:
            return part.start + text.cuts[0][0], places(message.content or "")[0].name
    return None, None


class _Builder:
    """Collects parts. Each part ends with a separator that belongs to it, so that no two parts can run together."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._parts: list[Part] = []
        self._length = 0

    def add(self, kind: PartKind, index: int, text: str) -> None:
        self._pieces.append(text + _END)
        end = self._length + len(text) + len(_END)
        self._parts.append(Part(kind, index, self._length, end))
        self._length = end

    def add_message(self, index: int, fields: Mapping[str, Json]) -> None:
        self.add("role", index, str(fields.get("role", "")))
        for kind, text in _message_parts(fields):
            self.add(kind, index, text)

    def view(self) -> CacheView:
        return CacheView("".join(self._pieces), tuple(self._parts))


_END = "\x1e"
"""The record separator: its JSON escape is part of no usual prompt, and a wrong guess costs one character."""


def _message_parts(fields: Mapping[str, Json]) -> Iterator[tuple[PartKind, str]]:
    if "tool_call_id" in fields:
        yield "tool_call_id", str(fields["tool_call_id"])
    content = fields.get("content")
    if content is not None:
        yield "content", content if isinstance(content, str) else _compact(content)
    if fields.get("tool_calls"):
        yield "tool_calls", _compact(fields["tool_calls"])
    extra = {key: value for key, value in fields.items() if key not in _KNOWN}
    if extra:
        yield "extra", _compact(extra)


_KNOWN = frozenset(("role", "content", "tool_calls", "tool_call_id"))


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

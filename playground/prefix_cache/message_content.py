"""The content of a message as one text, and the field that a place of it is in.

A string is unchanged, a list of parts has a mark between its parts.

A list of one text part is the same text as a string: templates render both alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from playground.prompt.document import Json

if TYPE_CHECKING:
    from playground.prefix_cache.view import ViewPart

NEXT_PART = "\x1d"
"""What separates the parts of a list. Templates join texts by nothing or by a line break."""
OTHER_PART = "\x1c"
"""What a part begins with that is no text, such as a picture; its JSON follows."""
_TEXT_TYPES = ("text", "input_text", "output_text")
_TEXT_KEYS = {"type", "text", "cache_control"}


def content_text(content: Json) -> str:
    """Return the content of a message as a view has it. Irregular values are compact JSON."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content or not all(isinstance(part, dict) for part in content):
        return _compact(content)
    return NEXT_PART.join(_part_text(part) for part in content)


def part_at(content: list[Json], offset: int) -> tuple[int, int] | None:
    """Return the index of the part that a code point of `content_text(content)` is in, and the code point in its text
    or, of another part, in its JSON. None: the list is irregular, and the text its JSON."""
    if not content or not all(isinstance(part, dict) for part in content):
        return None
    for index, part in enumerate(content):
        text = _part_text(part)
        if offset <= len(text) or index == len(content) - 1:
            return index, max(min(offset, len(text)) - text.startswith(OTHER_PART), 0)
        offset -= len(text) + len(NEXT_PART)
    return None


def _part_text(part: Json) -> str:
    text = part.get("text") if isinstance(part, dict) and is_text_part(part) else None
    return text if isinstance(text, str) else OTHER_PART + _compact(part)


def is_text_part(part: Mapping[str, Json]) -> bool:
    """Whether a part of a list is plain text."""
    return part.get("type") in _TEXT_TYPES and not part.keys() - _TEXT_KEYS and isinstance(part.get("text"), str)


def joined(content: str) -> str:
    """Return a `content_text` without the marks between its parts."""
    return content.replace(NEXT_PART, "")


def offset_with_marks(content: str, offset: int) -> int:
    """Return the offset in a `content_text` of a code point of its `joined` text."""
    at = 0
    while (mark := content.find(NEXT_PART, at, offset + 1)) >= 0:
        at, offset = mark + 1, offset + 1
    return offset


def text_before(content: str, offset: int) -> str:
    """Return the text before a code point of a `content_text`: each part on lines of its own, empty for pictures."""
    pieces = content[:offset].split(NEXT_PART)
    return "\n".join("" if piece.startswith(OTHER_PART) else piece for piece in pieces)


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def field_place(body: Mapping[str, Json], part: ViewPart, offset: int) -> tuple[tuple[str | int, ...], int]:
    """Return the field of a body that code point `offset` of a view's part is in, and the code point in it.

    Of a value that is no text, the place in the innermost text that the code point is in.
    """
    messages = body.get("messages")
    message = messages[part.index] if isinstance(messages, list) and part.index < len(messages) else None
    fields: Mapping[str, Json] = message if isinstance(message, dict) else {}
    name = part.kind
    if name in ("role", "extra", "reasoning") or name not in fields:
        return ("messages", part.index), 0
    path: tuple[str | int, ...] = ("messages", part.index, name)
    value = fields[name]
    if isinstance(value, str):
        return path, offset
    if name == "content" and isinstance(value, list) and (place := part_at(value, offset)) is not None:
        index, offset = place
        part_fields = value[index]
        if isinstance(part_fields, dict) and is_text_part(part_fields):
            return (*path, index, "text"), offset
        return _inside(part_fields, (*path, index), offset)
    return _inside(value, path, offset)


def _inside(value: Json, path: tuple[str | int, ...], offset: int) -> tuple[tuple[str | int, ...], int]:
    """Return the text at a code point of a value's compact JSON."""
    while True:
        if isinstance(value, str):
            return path, _decoded(value, offset - 1)
        pairs: list[tuple[str | int, int, Json]]
        if isinstance(value, dict):
            pairs = [(key, len(_compact(key)) + 1, one) for key, one in value.items()]
        elif isinstance(value, list):
            pairs = [(index, 0, one) for index, one in enumerate(value)]
        else:
            return path, 0
        found = _at(pairs, offset)
        if found is None:
            return path, 0
        step, value, offset = found
        path = (*path, step)


def _at(pairs: Sequence[tuple[str | int, int, Json]], offset: int) -> tuple[str | int, Json, int] | None:
    """Return the member at a code point of an object or list: its key, its value and the code point in that."""
    at = 1
    for key, head, value in pairs:
        size = head + len(_compact(value))
        if offset <= at + size:
            return key, value, max(offset - at - head, 0)
        at += size + 1
    return None


def _decoded(text: str, offset: int) -> int:
    """Return the code point of a text for a code point of its JSON, without the quotation mark."""
    at = 0
    for number, character in enumerate(text):
        if at >= offset:
            return number
        at += len(_compact(character)) - 2
    return len(text)

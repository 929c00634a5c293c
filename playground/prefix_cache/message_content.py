"""The content of a message as one text: a string unchanged, a list of parts with a mark between its parts.

A list of one text part is the same text as a string: templates render both alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from playground.prompt.document import Json

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

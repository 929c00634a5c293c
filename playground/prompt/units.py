"""The one map between Python's places in a text (code points) and Qt's (UTF-16 units)."""

from __future__ import annotations

_LAST_BMP = "\uffff"


def is_flat(text: str) -> bool:
    """Whether both counts agree all through `text` (no character beyond the basic plane)."""
    return text.isascii() or not text or max(text) <= _LAST_BMP


def utf16_length(text: str) -> int:
    """Length of `text` in UTF-16 units."""
    if is_flat(text):
        return len(text)
    return len(text) + sum(character > _LAST_BMP for character in text)


def to_utf16(text: str, index: int) -> int:
    """The UTF-16 unit at which code point `index` of `text` starts. `index` runs from 0 to len(text)."""
    return utf16_length(text[:index])


def from_utf16(text: str, unit: int) -> int:
    """The code point that UTF-16 unit `unit` belongs to; a unit inside a pair gives that pair's code point."""
    if is_flat(text):
        return min(max(unit, 0), len(text))
    seen = 0
    for index, character in enumerate(text):
        width = 2 if character > _LAST_BMP else 1
        if seen + width > unit:
            return index
        seen += width
    return len(text)

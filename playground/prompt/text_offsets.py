"""Conversion between Python's offsets in a text (code points) and Qt's (UTF-16 units)."""

from __future__ import annotations


def is_flat(text: str) -> bool:
    """Whether both counts agree all through `text` (no character beyond the basic plane)."""
    return text.isascii() or utf16_length(text) == len(text)


def utf16_length(text: str) -> int:
    """Length of `text` in UTF-16 units."""
    # Encoding counts at the speed of C: a prompt is counted at every keystroke.
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def to_utf16(text: str, index: int) -> int:
    """Return the UTF-16 unit at which code point `index` of `text` starts. `index` runs from 0 to len(text)."""
    return utf16_length(text[:index])


def from_utf16(text: str, unit: int) -> int:
    """Return the code point of UTF-16 unit `unit`; a unit inside a pair gives that pair's code point."""
    unit = max(unit, 0)
    if is_flat(text):
        return min(unit, len(text))
    # Code points up to `unit` are at most `unit` many and at least half of that: halve the rest.
    low, high = min(unit // 2, len(text)), min(unit, len(text))
    at = utf16_length(text[:low])
    while low < high:
        middle = (low + high + 1) // 2
        reached = at + utf16_length(text[low:middle])
        if reached <= unit:
            low, at = middle, reached
        else:
            high = middle - 1
    return low

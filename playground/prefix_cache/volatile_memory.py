"""Remembers what was found, so that a keystroke in a long text has only its own line read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from playground.prefix_cache.text_compare import common_prefix, common_suffix

SHORT = 4096
"""Code points up to which a text is simply remembered whole."""
MAX_SHORT, MAX_LONG = 256, 6
"""How many are remembered: long ones are whole versions of a prompt."""


class Shiftable(Protocol):
    """Something found at code points [start, end) of a text."""

    @property
    def start(self) -> int:
        """Its first code point."""

    @property
    def end(self) -> int:
        """The code point after its last."""


Found = TypeVar("Found", bound=Shiftable)


class LineMemory(Generic[Found]):
    """Results of `read`, which must find in each line what it finds in that line alone.

    `shift` moves a find by a number of code points. Safe to ask from several threads: at worst one reads again.
    """

    def __init__(self, read: Callable[[str], tuple[Found, ...]], shift: Callable[[Found, int], Found]) -> None:
        self._read, self._shift = read, shift
        self._short: dict[str, tuple[Found, ...]] = {}
        self._long: tuple[tuple[str, tuple[Found, ...]], ...] = ()

    def of(self, text: str) -> tuple[Found, ...]:
        """What stands in `text`, in order."""
        if len(text) <= SHORT:
            return self._of_short(text)
        known = next((found for other, found in self._long if other == text), None)
        if known is None:
            known = self._by_difference(text)
            self._long = ((text, known), *self._long[: MAX_LONG - 1])
        return known

    def _of_short(self, text: str) -> tuple[Found, ...]:
        known = self._short.get(text)
        if known is None:
            known = self._read(text)
            if len(self._short) >= MAX_SHORT:
                self._short = {}
            self._short[text] = known
        return known

    def _by_difference(self, text: str) -> tuple[Found, ...]:
        """Only the lines that differ from the text before which has most in common, where that saves half."""
        versions = [(*_same_lines(other, text), other, found) for other, found in self._long]
        start, end, other, found = max(versions, key=lambda version: version[0] + version[1], default=(0, 0, "", ()))
        if start + end < len(text) // 2:
            return self._read(text)
        shift = len(text) - len(other)
        between = (self._shift(one, start) for one in self._read(text[start : len(text) - end]))
        before = (one for one in found if one.end <= start)
        after = (self._shift(one, shift) for one in found if one.start >= len(other) - end)
        return (*before, *between, *after)


def _same_lines(other: str, text: str) -> tuple[int, int]:
    """How many code points of whole lines both begin with, and end with (there with the line feed before them)."""
    start = common_prefix(other, text)
    start = text.rfind("\n", 0, start) + 1
    end = common_suffix(other[start:], text[start:])
    feed = text.find("\n", len(text) - end) if end else -1
    return start, 0 if feed < 0 else len(text) - feed

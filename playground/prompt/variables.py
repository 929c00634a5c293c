"""Variables `{{name}}` in messages: their positions, and the text with their values."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache

from playground.dataclass import dataclass
from playground.prompt.document import Message

PATTERN = re.compile(r"\{\{[ \t]*([^\W\d][^\s!-/:-@\[-^`{-~]*)[ \t]*\}\}")
"""A variable: two braces, a name in any script (a letter or underscore, then no spaces and no ASCII punctuation
but the underscore; vowel signs count, which `\\w` would leave out), two braces."""


@dataclass(frozen=True, slots=True)
class VariablePlace:
    """The position of `{{name}}` in a template: code points [start, end)."""

    name: str
    start: int
    end: int


SHORT_CHARS = 2_000
"""Only a few longer templates are cached: a cached text stays in memory, and each keystroke makes a new one."""


def places(template: str) -> tuple[VariablePlace, ...]:
    """All variables in a template, in order."""
    if "{" not in template or "{{" not in template:  # one character is found 20 times faster than two
        return ()
    return _short_places(template) if len(template) <= SHORT_CHARS else _long_places(template)


def _places(template: str) -> tuple[VariablePlace, ...]:
    return tuple(VariablePlace(m[1], m.start(), m.end()) for m in PATTERN.finditer(template))


_short_places = lru_cache(maxsize=512)(_places)
_long_places = lru_cache(maxsize=32)(_places)


def names(messages: Iterable[Message]) -> tuple[str, ...]:
    """Every variable's name, once each, in the order of the first occurrence."""
    seen = dict.fromkeys(p.name for m in messages if m.content for p in places(m.content))
    return tuple(seen)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template with its values in place, and the way back.

    `cuts` are, for each variable, (start in the text, end in the text, start and end in the template).
    """

    text: str
    cuts: tuple[tuple[int, int, int, int], ...]

    def to_template(self, index: int) -> int:
        """The template's code point for code point `index` of the text; inside a value: the variable's start."""
        at = bisect_right(self.cuts, (index, len(self.text) + 1, 0, 0)) - 1
        if at < 0:
            return index
        start, end, template_start, template_end = self.cuts[at]
        if index < end or (index == start):
            return template_start
        return template_end + index - end


def render(template: str, values: Mapping[str, str]) -> Rendered:
    """Put values in place, once and from left to right; a value's own braces are text. Missing ones stay."""
    pieces: list[str] = []
    cuts: list[tuple[int, int, int, int]] = []
    last = length = 0
    for place in places(template):
        value = values.get(place.name)
        if value is None:
            value = template[place.start : place.end]
        head = template[last : place.start]
        pieces += (head, value)
        length += len(head)
        cuts.append((length, length + len(value), place.start, place.end))
        length += len(value)
        last = place.end
    if not cuts:
        return Rendered(template, ())
    pieces.append(template[last:])
    return Rendered("".join(pieces), tuple(cuts))

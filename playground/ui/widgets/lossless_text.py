"""The exact text beside a widget, and the image of it that the widget shows.

Qt's text widgets change what they hold: a no-break space comes back as a space, U+2028, U+2029 and CR as line ends
(spikes.md, Prompt editor). So the exact text is a `str` of our own, and the widget is given an image in which each
such character, and each one that nobody could see, has a visible stand-in. The image has one code point for each code
point of the exact text and, as stand-ins never leave their plane, one UTF-16 unit for each unit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prompt.text_offsets import from_utf16, utf16_length

_SPACE = "⍽"
_INVISIBLE = "╎"
_DIRECTION = "⇄"
_BROKEN = "\ufffd"

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    "\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3164\ufeff\uffa0\ud800-\udfff\ufdd0-\ufdef\ufff0-\ufffc\ufffe\uffff"
    "\U000e0000\U000e0001\U000e0020-\U000e007f]"
)
"""What is never shown as it is. U+200C and U+200D are not here: Indic scripts, Persian and emoji are shaped by them."""
_DIRECTIONS = frozenset((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_CONTROLS = {0: "NULL", 0x0B: "LINE TABULATION", 0x0C: "FORM FEED", 0x0D: "CARRIAGE RETURN", 0x85: "NEXT LINE"}
_SIGNS = {0x7F: "␡", 0x85: "␤", 0x2028: "↵", 0x2029: "¶"}


def stand_in(odd: str) -> str:
    """What is shown for one odd character."""
    code = ord(odd)
    if code < 0x20:
        return chr(0x2400 + code)
    if code in _SIGNS:
        return _SIGNS[code]
    if code > 0xFFFF:
        return "\U0001f3f7"
    if code in _DIRECTIONS:
        return _DIRECTION
    category = unicodedata.category(odd)
    if category == "Zs":
        return _SPACE
    return _BROKEN if category in ("Cs", "Cn", "Cc", "So") else _INVISIBLE


def image_of(exact: str) -> str:
    """What the widget shows for `exact`; the very same string where nothing in it is odd."""
    if exact.isascii() and exact.isprintable():
        return exact
    return _ODD.sub(lambda match: stand_in(match[0]), exact)


def name_of(odd: str) -> str:
    """An odd character in words: "U+00A0 NO-BREAK SPACE"."""
    code = f"U+{ord(odd):04X}"
    if 0xD800 <= ord(odd) <= 0xDFFF:
        return f"{code} half of a surrogate pair"
    return f"{code} {unicodedata.name(odd, _CONTROLS.get(ord(odd), 'control character'))}"


@dataclass(frozen=True, slots=True)
class Splice:
    """`removed` was replaced by `inserted` at code point `at` of the exact text."""

    at: int
    removed: str
    inserted: str

    def applied(self, text: str) -> str:
        """`text` after it."""
        return text[: self.at] + self.inserted + text[self.at + len(self.removed) :]

    @property
    def inverse(self) -> Splice:
        """The splice that takes this one back."""
        return Splice(self.at, self.inserted, self.removed)


class ExactText:
    """An exact text with its image; edits come in Qt's words or in exact ones."""

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._image = image_of(text)

    @property
    def text(self) -> str:
        """The exact text."""
        return self._text

    @property
    def image(self) -> str:
        """What the widget shows."""
        return self._image

    @property
    def units(self) -> int:
        """Length in UTF-16 units, the same for text and image."""
        return utf16_length(self._image)

    def index(self, unit: int) -> int:
        """The code point at a widget's position."""
        return from_utf16(self._image, unit)

    def unit(self, index: int) -> int:
        """The widget's position of code point `index`."""
        return utf16_length(self._image[:index])

    def apply(self, splice: Splice) -> None:
        """An edit of the exact text; the widget has to be given `image_of(splice.inserted)` at the same place."""
        self._text = splice.applied(self._text)
        end = splice.at + len(splice.removed)
        self._image = self._image[: splice.at] + image_of(splice.inserted) + self._image[end:]

    def whole(self, text: str) -> Splice:
        """The smallest splice that makes this text `text`."""
        return _trimmed(0, self._text, text)

    def range_of(self, position: int, removed: int) -> tuple[int, int]:
        """Whole code points around Qt's report of `removed` units from `position` on."""
        end_unit = min(position + removed, self.units)
        end = self.index(end_unit)
        if end < len(self._image) and self.unit(end) < end_unit:
            end += 1
        return self.index(position), end

    def typed(self, start: int, end: int, shown: str) -> Splice | None:
        """Take in that code points [start, end) of the image became `shown` in the widget. None: nothing changed.

        Qt reports more than changed, up to the whole document: what is the same at both ends of the report is left
        alone, so that the exact characters behind it stay. Odd characters in `shown` become part of the exact text;
        the widget then has to be given their image.
        """
        trimmed = _trimmed(start, self._image[start:end], shown)
        if not trimmed.removed and not trimmed.inserted:
            return None
        splice = Splice(trimmed.at, self._text[trimmed.at : trimmed.at + len(trimmed.removed)], trimmed.inserted)
        self.apply(splice)
        return splice

    def oddities(self) -> Iterator[tuple[int, str]]:
        """Each odd character with its place in code points."""
        if self._image == self._text:
            return
        for match in _ODD.finditer(self._text):
            yield match.start(), match[0]


def _trimmed(at: int, before: str, after: str) -> Splice:
    """The change without the ends that are the same."""
    head = common_prefix(before, after)
    tail = common_suffix(before, after, min(len(before), len(after)) - head)
    return Splice(at + head, before[head : len(before) - tail], after[head : len(after) - tail])

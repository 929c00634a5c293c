"""The exact text beside a widget, the image of it that the widget displays, and offsets in both (Python's and Qt's).

Qt's text widgets change their contents: a no-break space becomes a space, U+2028, U+2029 and CR become line ends
(spikes.md, Prompt editor). The exact text is therefore a separate `str`, and the widget displays an image in which
each such character, and each invisible one, is replaced by a visible substitute. The image has one code point per code
point of the exact text and, because substitutes stay in their plane, one UTF-16 unit per unit.

Qt lays out a paragraph as a whole at each keystroke, which takes seconds for a line of 300 KB. The widget therefore
displays a paragraph of more than LONG characters in pieces. The breaks between the pieces are paragraph ends of the
widget only; `ExactText` maps positions across them, and they are in neither the exact text nor the image.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cache

from msgspec import Struct

from playground.prefix_cache.text_compare import common_prefix, common_suffix

_SPACE = "⍽"
_INVISIBLE = "╎"
_DIRECTION = "⇄"
_BROKEN = "\ufffd"

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    "\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3164\ufeff\uffa0\ud800-\udfff\ufdd0-\ufdef\ufff0-\ufffc\ufffe\uffff"
    "\U000e0000\U000e0001\U000e0020-\U000e007f]"
)
"""Characters that are always replaced for display. Excludes U+200C and U+200D: Indic, Persian and emoji need them."""
_DIRECTIONS = frozenset((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_CONTROLS = {0: "NULL", 0x0B: "LINE TABULATION", 0x0C: "FORM FEED", 0x0D: "CARRIAGE RETURN", 0x85: "NEXT LINE"}
_SIGNS = {0x7F: "␡", 0x85: "␤", 0x2028: "↵", 0x2029: "¶"}


LONG = 3_000
"""Longer paragraphs are displayed in pieces, in code points."""
PIECE = 1_500
_BACK = 200
_JOINERS = "\u200c\u200d"
_VIRAMA = 9


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


def breaks_in(image: str) -> list[int]:
    """Return the code points of `image` before which the display breaks a long paragraph."""
    cuts: list[int] = []
    if len(image) <= LONG or max(map(len, image.split("\n"))) <= LONG:  # ten times faster than the expression
        return cuts
    for line in _long_line().finditer(image):
        at = line.start()
        while line.end() - at > LONG:
            at = _cut(image, at + PIECE)
            cuts.append(at)
    return cuts


@cache
def _long_line() -> re.Pattern[str]:
    return re.compile(f"[^\n]{{{LONG + 1},}}")  # takes 4 ms


def _cut(image: str, at: int) -> int:
    """Return a place for a break near `at`: after a space if there is one, never inside a character or a variable."""
    space = image.rfind(" ", at - _BACK, at)
    cut = space + 1 if space >= 0 else at
    opened = image.rfind("{{", cut - _BACK, cut + 1)
    if opened >= 0 and "}}" not in image[opened:cut]:
        return opened
    while cut < at + _BACK and cut < len(image) and _joined_to_previous(image, cut):
        cut += 1
    return cut


def _joined_to_previous(image: str, at: int) -> bool:
    before, after = image[at - 1], image[at]
    if before in _JOINERS or after in _JOINERS or unicodedata.combining(before) == _VIRAMA:
        return True
    return unicodedata.category(after)[0] == "M" or "\U0001f3fb" <= after <= "\U0001f3ff"


def with_breaks(image: str, cuts: Sequence[int]) -> str:
    """Return `image` as the widget displays it, with a line end before each of `cuts`."""
    if not cuts:
        return image
    starts = (0, *cuts)
    return "\n".join(image[start:end] for start, end in zip(starts, (*cuts, len(image)), strict=True))


def stand_in(odd: str) -> str:
    """Return the substitute for one odd character."""
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
    """Return the image of `exact`; the same string object if nothing in it is odd."""
    if exact.isascii() and exact.isprintable():
        return exact
    return _ODD.sub(lambda match: stand_in(match[0]), exact)


def name_of(odd: str) -> str:
    """Return the name of an odd character, such as "U+00A0 NO-BREAK SPACE"."""
    code = f"U+{ord(odd):04X}"
    if 0xD800 <= ord(odd) <= 0xDFFF:
        return f"{code} half of a surrogate pair"
    return f"{code} {unicodedata.name(odd, _CONTROLS.get(ord(odd), 'control character'))}"


class Splice(Struct, frozen=True):
    """`removed` was replaced by `inserted` at code point `at` of the exact text."""

    at: int
    removed: str
    inserted: str

    def applied(self, text: str) -> str:
        return text[: self.at] + self.inserted + text[self.at + len(self.removed) :]

    @property
    def inverse(self) -> Splice:
        return Splice(self.at, self.inserted, self.removed)

    def joined(self, later: Splice) -> Splice | None:
        """Return both as one splice if they are one run of typing or deleting, otherwise None."""
        if not later.removed and len(later.inserted) == 1 and self.inserted:
            before, typed = self.inserted[-1], later.inserted
            starts_a_word = typed == "\n" or (before.isspace() and not typed.isspace())
            if later.at != self.at + len(self.inserted) or starts_a_word:
                return None
            return Splice(self.at, self.removed, self.inserted + later.inserted)
        if self.inserted or later.inserted or len(later.removed) != 1:
            return None
        if later.at + 1 == self.at:
            return Splice(later.at, later.removed + self.removed, "")
        return Splice(self.at, self.removed + later.removed, "") if later.at == self.at else None


def units_at(text: str, indexes: Sequence[int]) -> list[int]:
    """Return the UTF-16 units at which ascending code points of `text` start."""
    found, units, last = [], 0, 0
    for index in indexes:
        units += utf16_length(text[last:index])
        found.append(units)
        last = index
    return found


class ExactText:
    """An exact text with its image and the display's breaks. A *unit* is a position in the widget, in UTF-16 units
    with breaks; a *plain* unit does not count breaks."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        """The exact text."""
        self.image = image_of(text)
        """The text with its odd characters replaced."""
        self.breaks: list[int] = units_at(self.image, breaks_in(self.image))
        """The plain units before which the display has a break, ascending."""

    @property
    def displayed(self) -> str:
        """The text of a widget that displays this text for the first time: the image with its breaks."""
        return with_breaks(self.image, breaks_in(self.image))

    @property
    def units(self) -> int:
        return utf16_length(self.image) + len(self.breaks)

    def plain(self, unit: int) -> int:
        """Return the plain unit of a widget's position."""
        return unit - bisect_left(range(len(self.breaks)), unit, key=lambda number: self.breaks[number] + number)

    def unit_of(self, plain: int, *, before: bool = False) -> int:
        """Return the widget's position of a plain unit; at a break the one after it, or `before` it."""
        return plain + (bisect_left if before else bisect_right)(self.breaks, plain)

    def index(self, unit: int) -> int:
        """Return the code point at a widget's position."""
        return from_utf16(self.image, self.plain(unit) if self.breaks else unit)

    def unit(self, index: int, *, before: bool = False) -> int:
        """Return the widget's position of code point `index`; at a break the one after it, or `before` it."""
        plain = utf16_length(self.image[:index])
        return self.unit_of(plain, before=before) if self.breaks else plain

    def apply(self, splice: Splice) -> str:
        """Apply an edit to the exact text, and return the image of the inserted text with its breaks.

        The widget must replace [unit(at), unit(end)), taken before the call, by the returned text.
        """
        inserted = image_of(splice.inserted)
        cuts = breaks_in(inserted)
        end = splice.at + len(splice.removed)
        if self.breaks or cuts:
            first, last = (utf16_length(self.image[:index]) for index in (splice.at, end))
            shift = utf16_length(inserted) - (last - first)
            new = [first + unit for unit in units_at(inserted, cuts)]
            kept = self.breaks[: bisect_right(self.breaks, first)]
            moved = [unit + shift for unit in self.breaks[bisect_right(self.breaks, last) :]]
            self.breaks = [*kept, *new, *moved]
        self.text = splice.applied(self.text)
        self.image = self.image[: splice.at] + inserted + self.image[end:]
        return with_breaks(inserted, cuts)

    def whole(self, text: str) -> Splice:
        """Return the smallest splice that changes this text to `text`."""
        return _trimmed(0, self.text, text)

    def range_of(self, position: int, removed: int) -> tuple[int, int]:
        """Return the whole code points around Qt's report of `removed` units from `position` on."""
        end_unit = min(position + removed, self.units)
        end = self.index(end_unit)
        if end < len(self.image) and self.unit(end) < end_unit:
            end += 1
        return self.index(position), end

    def typed(self, start: int, end: int, shown: str) -> Splice | None:
        """Record that code points [start, end) of the image became `shown` in the widget. Return None if unchanged.

        Qt reports more than changed, up to the whole document: equal text at both ends of the report is
        skipped, so that the exact characters behind it stay. Odd characters in `shown` become part of the exact text;
        the widget then has to be given their image.
        """
        trimmed = _trimmed(start, self.image[start:end], shown)
        if not trimmed.removed and not trimmed.inserted:
            return None
        splice = Splice(trimmed.at, self.text[trimmed.at : trimmed.at + len(trimmed.removed)], trimmed.inserted)
        self.apply(splice)
        return splice

    def oddities(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, str]]:
        """Each odd character in code points [start, end), with its place."""
        if self.image == self.text:
            return
        for match in _ODD.finditer(self.text, start, len(self.text) if end is None else end):
            yield match.start(), match[0]


def _trimmed(at: int, before: str, after: str) -> Splice:
    """Return the change without the ends that are the same."""
    head = common_prefix(before, after)
    tail = common_suffix(before, after, min(len(before), len(after)) - head)
    return Splice(at + head, before[head : len(before) - tail], after[head : len(after) - tail])

"""Texts as they are compared and quoted: what two have in common, and a visible form of characters without one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

_Value = TypeVar("_Value", bound=Hashable)

SIGNS = {
    " ": " ",
    "\n": "⏎",
    "\r": "␍",
    "\t": "⇥",
    "\u00a0": "⍽",
    "\u2028": "⟨line separator⟩",
    "\u2029": "⟨paragraph separator⟩",
    "\u200b": "⟨zero-width space⟩",
    "\u200c": "⟨zero-width non-joiner⟩",
    "\u200d": "⟨zero-width joiner⟩",
    "\u200e": "⟨left-to-right mark⟩",
    "\u200f": "⟨right-to-left mark⟩",
    "\u00ad": "⟨soft hyphen⟩",
    "\ufeff": "⟨byte-order mark⟩",
    "\x1c": "⟨other part⟩",
    "\x1d": "⟨next part⟩",
    "\x1e": "⟨end⟩",
}
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"))
_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks by category that show nothing: joiners, fillers, the blank Braille pattern."""
_RIGHT_TO_LEFT = frozenset(("R", "AL", "AN", "RLE", "RLO", "RLI"))
FORM_HEAD, SAME_FORM = 4_000, 32
"""Code points that are compared in another form at most, and at least."""
HEAD = 256
"""Characters at the beginning that are compared first."""
FIRST_STRONG, POP = "\u2068", "\u2069"


def visible(text: str) -> str:
    """`text` with a sign for every character that cannot be seen."""
    signs = "".join(map(_sign, text))
    # A combining mark without a base would join the quotation mark before it.
    return "◌" + signs if signs and unicodedata.category(signs[0]) in ("Mn", "Me", "Mc") else signs


def _sign(character: str) -> str:
    if " " <= character <= "~":
        return character
    sign = SIGNS.get(character)
    if sign is not None:
        return sign
    if character in _BLANK_LETTERS or _selects_variant(character) or unicodedata.category(character) in _INVISIBLE:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _selects_variant(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def snippet(text: str, limit: int = 32) -> str:
    """Return the beginning of `text`, made visible, with … if it was cut."""
    cut = text[:limit]
    return visible(cut) + ("…" if len(text) > limit else "")


def quoted(text: str, limit: int = 32) -> str:
    """Return a snippet in quotation marks, isolated if right-to-left, so that the sentence stays in order."""
    words = snippet(text, limit)
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in words):
        words = f"{FIRST_STRONG}{words}{POP}"
    return f"“{words}”"


def same_to_the_eye(left: str, right: str) -> bool:
    """Whether two different texts look alike: other forms of the same letters, or only what cannot be seen."""
    return left != right and not _heads_differ(left, right) and without_unseen(left) == without_unseen(right)


def _heads_differ(left: str, right: str) -> bool:
    """Return whether the beginnings already look different: long texts need not be normalized then.

    No character combines with an ASCII character behind it, so what is in front of one is normalized separately.
    """
    ends = [max((at for at in range(len(text[:HEAD])) if text[at] < "\x80"), default=0) for text in (left, right)]
    mine, theirs = without_unseen(left[: ends[0]]), without_unseen(right[: ends[1]])
    return not mine.startswith(theirs) and not theirs.startswith(mine)


def without_unseen(text: str) -> str:
    """`text` without what cannot be seen, each letter in its usual form."""
    plain = unicodedata.normalize("NFKC", text)
    # Each different character once: a prompt has 100,000 of them, and the Recorder compares two for each request.
    unseen = {ord(character): None for character in set(plain) if _sign(character) != character}
    return plain.translate(unseen) if unseen else plain


def in_another_form(one: str, other: str) -> bool:
    """Return whether two texts are alike only if both are written in the same form: with the same Unicode form and
    width of letters, line ends and other white space, and nothing unseen."""
    plain = _composed(one), _composed(other)
    shorter = min(map(len, plain))
    if plain != (one, other) and common_prefix(*plain) + common_suffix(*plain, limit=shorter) >= shorter / 2:
        return True
    heads = one[:FORM_HEAD], other[:FORM_HEAD]
    if common_prefix(*heads) >= min(map(len, heads)) / 2:
        return False
    usual = [" ".join(without_unseen(" ".join(head.split())).split()) for head in heads]
    shorter = min(map(len, usual))
    return shorter >= SAME_FORM and common_prefix(*usual) >= 0.9 * shorter


def _composed(text: str) -> str:
    """Return a text in NFC with LF as line end."""
    if not (text.isascii() or unicodedata.is_normalized("NFC", text)):
        text = unicodedata.normalize("NFC", text)
    return text.replace("\r\n", "\n") if "\r" in text else text


def code_points(text: str) -> str:
    """Return the first four code points as U+0065 U+0301 …"""
    return " ".join(f"U+{ord(c):04X}" for c in text[:4]) + (" …" if len(text) > 4 else "")


BLOCK = 8192
"""Code points compared at once: slices of a whole long text cost more to make than to compare."""


def common_prefix(left: str, right: str) -> int:
    """How many code points both begin with."""
    high, low = min(len(left), len(right)), 0
    while low < high and left[low : low + BLOCK] == right[low : low + BLOCK]:
        low += BLOCK
    low, high = min(low, high), min(low + BLOCK, high)
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(left: str, right: str, limit: int | None = None) -> int:
    """How many code points both end with, at most `limit`."""
    high, low = min(len(left), len(right)), 0
    high = high if limit is None else min(high, limit)
    while low + BLOCK <= high and _same_end(left, right, low, low + BLOCK):
        low += BLOCK
    high = min(low + BLOCK, high)
    while low < high:
        middle = (low + high + 1) // 2
        if _same_end(left, right, low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _same_end(left: str, right: str, low: int, high: int) -> bool:
    return left[len(left) - high : len(left) - low] == right[len(right) - high : len(right) - low]


def once(values: Sequence[_Value]) -> dict[_Value, int]:
    """Return the places of the values that occur once, in order."""
    found = dict(zip(values, range(len(values)), strict=True))
    if len(found) == len(values):
        return found
    counts = Counter(values)
    return {value: at for value, at in found.items() if counts[value] == 1}

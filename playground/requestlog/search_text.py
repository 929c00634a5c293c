"""Text normalization for searching any part of a text, in any script. Pure.

The index holds every three characters of a text (`index`). Two things are done first: a text is
folded, so that upper and lower case are the same in every script that has them; and characters of scripts without
spaces are separated, so that one or two of them fill a trigram: most Chinese words have one or two characters.
"""

from __future__ import annotations

import re
import unicodedata

_APART = "\x01"
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U0001f000-\U0001faff\U00020000-\U0003ffff]+)"
)
"""Thai, Lao, Burmese, Khmer, kana, Han, Hangul, and emoji, which are words of one character."""
_PIECE = 3
PIECES = 12
"""Maximum number of pieces of a long part in an index query; matches are compared with the whole part later."""
ID_PIECES = 6
"""The same for an id, whose pieces are all rare."""


def fold(text: str) -> str:
    """Return `text` for comparison: composed, without regard to case."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def indexed(text: str) -> str:
    """Convert `text` to the form in the index."""
    folded = fold(text)
    if folded.isascii():
        return folded
    return _UNSPACED.sub(_apart, folded).replace(_APART * 2, _APART)


def _apart(run: re.Match[str]) -> str:
    return f"{_APART}{_APART.join(run[0])}{_APART}"


def pieces(part: str, most: int = PIECES) -> list[str]:
    """Return at most `most` trigrams that every text with `part` has; none if it is too short."""
    text = indexed(part)
    found = {text[at : at + _PIECE]: None for at in range(len(text) - _PIECE + 1)}
    usable = [piece for piece in found if "\0" not in piece and "\n" not in piece]
    return sorted(usable, key=_commonness)[:most]


def _commonness(piece: str) -> tuple[int, int]:
    """Rank a piece: with digits (rare), letters only (common), with a space (most common)."""
    return (piece.count(" "), -sum(char.isdigit() or not char.isascii() for char in piece))


def is_in(part: str, text: str) -> bool:
    """Return whether `text` has the folded `part`."""
    return part in (text.lower() if text.isascii() else fold(text))


def column_text(text: str) -> str:
    """Replace characters that a column cannot hold by U+FFFD. The exact text is in the events."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")

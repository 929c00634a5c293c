"""What nobody sees and nobody reads: white space at line ends, marks that were pasted along."""

from __future__ import annotations

import re

from playground.prompt.variables import places

_TRAILING = " \t\r\u00a0\u200b\ufeff"
_UNSEEN = re.compile(
    "[\u2060\ufeff]|(?<![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b(?![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])"
)
"""Word joiners, byte-order marks, and zero-width spaces but those that part the words of Thai, Lao, Burmese and Khmer.
Joiners (in emoji, in Indic and Arabic words) and direction marks say something, and stay."""


def trimmed(text: str) -> str:
    """The text without them; a variable's name is left as it is."""
    pieces: list[str] = []
    last = 0
    for place in places(text):
        pieces += (_UNSEEN.sub("", text[last : place.start]), text[place.start : place.end])
        last = place.end
    pieces.append(_UNSEEN.sub("", text[last:]))
    return "\n".join(map(_line, "".join(pieces).split("\n")))


def _line(line: str) -> str:
    # A line feed may be two characters: the first of them stays.
    return line.rstrip(_TRAILING) + "\r" if line.endswith("\r") else line.rstrip(_TRAILING)

"""Characters that cannot be seen, made visible, for sentences about what differs."""

from __future__ import annotations

import unicodedata

SIGNS = {
    " ": " ",
    "\n": "⏎",
    "\r": "␍",
    "\t": "⇥",
    "\u00a0": "⍽",
    "\u2028": "⟨line separator⟩",
    "\u2029": "⟨paragraph separator⟩",
    "\u200b": "⟨zero-width space⟩",
    "\ufeff": "⟨byte-order mark⟩",
    "\x1e": "⟨end⟩",
}
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"))


def visible(text: str) -> str:
    """`text` with a sign for every character that cannot be seen."""
    return "".join(_sign(character) for character in text)


def _sign(character: str) -> str:
    sign = SIGNS.get(character)
    if sign is not None:
        return sign
    if unicodedata.category(character) in _INVISIBLE:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def snippet(text: str, limit: int = 32) -> str:
    """The beginning of `text`, made visible, with … where it was cut."""
    return visible(text[:limit]) + ("…" if len(text) > limit else "")

"""Clauses and sentences of a text in many scripts, found while it arrives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

Start: TypeAlias = Literal["piece", "clause", "sentence"]
"""Where the first part may end: after the first piece of text, a clause or a sentence.

Later parts are clauses or sentences.
"""
_SENTENCE = "!?…‼⁇⁈⁉।॥。！？．｡؟۔։။។៕።፧\n"
_CLAUSE = "—，、；：､،؛၊፣፤፥།·՝"
_SENTENCE_IF_SPACE, _CLAUSE_IF_SPACE = ".", ",;:–"
"""ASCII marks do not end a clause inside a number, a time or an address: 3.5, 1,200, 10:30, example.com."""
_CLOSERS = "\"'”’»)]}」』）】"
_SPACED_CLAUSES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer use spaces between clauses, not between words."""
_ABBREVIATIONS = frozenset(("mr", "mrs", "ms", "dr", "prof", "vs", "approx", "jr", "sr", "sra", "dra"))
_WORD = re.compile(r"[^\W\d_]+$")


class Cut(Struct, frozen=True):
    """A part to speak: characters [start, end).

    `known` is the number of characters after which the end is certain; None if only the end of the text makes it
    certain.
    """

    start: int
    end: int
    known: int | None


def _pattern(now: str, if_space: str) -> re.Pattern[str]:
    either = re.escape(now + if_space)
    return re.compile(
        rf"(?P<now>[{re.escape(if_space)}]*[{re.escape(now)}][{either}]*)[{re.escape(_CLOSERS)}]*"
        rf"|[{re.escape(if_space)}]+[{re.escape(_CLOSERS)}]*(?=(?P<space>\s))"
        rf"|(?<=[{_SPACED_CLAUSES}])(?P<gap>\s+)(?=\S)"
    )


_PATTERNS = {
    "sentence": _pattern(_SENTENCE, _SENTENCE_IF_SPACE),
    "clause": _pattern(_SENTENCE + _CLAUSE, _SENTENCE_IF_SPACE + _CLAUSE_IF_SPACE),
}


def cuts(text: str, start: Start, first_piece: int = 0) -> tuple[Cut, ...]:
    """Return the parts in which a text is spoken, in order. Parts without a letter or digit are left out.

    Together the parts contain every word. `first_piece`: characters of the first piece, if speech starts with it.
    """
    found: list[Cut] = []
    at = 0
    for end, known in _ends(text, start, first_piece):
        if end > at and _speakable(text[at:end]):
            found.append(Cut(at, end, known))
            at = end
    return tuple(found)


def _ends(text: str, start: Start, first_piece: int) -> Iterator[tuple[int, int | None]]:
    first = first_piece if start == "piece" else 0
    if first:
        yield first, first
    for match in _PATTERNS["sentence" if start == "sentence" else "clause"].finditer(text):
        if match.end() <= first or _is_abbreviation(text, match):
            continue
        if match["now"] is not None:
            yield match.end(), _first_sure(match)
        else:
            yield match.end(), match.end() + (match["space"] is not None)
    yield len(text), None


def _first_sure(match: re.Match[str]) -> int:
    """Return the offset after the first mark that ends the part, including characters that directly follow the mark."""
    return next(place + 1 for place in range(match.start(), match.end()) if match.string[place] in _SENTENCE + _CLAUSE)


def _is_abbreviation(text: str, match: re.Match[str]) -> bool:
    if match[0] != ".":
        return False
    word = _WORD.search(text, max(match.start() - 12, 0), match.start())
    if word is None:
        return False
    return word[0].lower() in _ABBREVIATIONS or (len(word[0]) == 1 and "A" <= word[0] <= "Z" and word[0] != "I")


def _speakable(text: str) -> bool:
    return any(character.isalnum() for character in text)

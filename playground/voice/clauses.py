"""Where a text can be cut to be spoken: after sentences or clauses, in many scripts, while it still comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Start: TypeAlias = Literal["piece", "clause", "sentence"]
"""What the speech engine waits for: the first piece of text at all, then clauses · a clause · a whole sentence."""

_SENTENCE = "!?…‼⁇⁈⁉।॥。！？．｡؟۔։။។៕።፧\n"
_CLAUSE = "—，、；：､،؛၊፣፤፥།·՝"
_SENTENCE_IF_SPACE, _CLAUSE_IF_SPACE = ".", ",;:–"
"""ASCII marks end nothing inside a number, a time or an address: 3.5, 1,200, 10:30, example.com."""
_CLOSERS = "\"'”’»)]}」』）】"
_SPACED_CLAUSES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer put spaces between clauses, not between words."""

_ABBREVIATIONS = frozenset(("mr", "mrs", "ms", "dr", "prof", "vs", "approx", "jr", "sr", "sra", "dra"))
_WORD = re.compile(r"[^\W\d_]+$")


@dataclass(frozen=True, slots=True)
class Cut:
    """A part to speak: characters [start, end). It is known to end there when `known` characters have come.

    `known` None: only once no more text comes.
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
    """The parts in which a text is spoken, in order; parts without a letter or digit are left out.

    `first_piece`: characters of the first piece, for a start with that. Together the parts have every word.
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
    """After the first mark that ends the part by itself; what follows it at once belongs to it."""
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

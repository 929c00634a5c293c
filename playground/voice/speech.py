"""The parts in which an arriving text is spoken, and when each is audible, by measurement or under assumptions."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from playground.prompt.field_errors import FieldError, InputError
from playground.runs.state import TurnTimes

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


Unit: TypeAlias = Literal["characters", "words"]
MOST_DELAY_S = 10.0
FASTEST = 200.0

_HEAVY = re.compile("[\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff]")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_THAI = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


class SpeechSettings(Struct, frozen=True):
    """Assumptions about the speech pipeline. Raises InputError for values out of range.

    `engine_start_s`: from text to the engine's first audio, 0 to 10 (the vendor: about 0.2). `path_s`: from there to
    the caller's ear, 0 to 10; the sum is the pipeline (the vendor: 0.35). `rate`: `unit`s per second, above 0 to 200;
    15 characters per second are about 150 English words per minute.
    """

    engine_start_s: float = 0.2
    path_s: float = 0.15
    rate: float = 15.0
    unit: Unit = "characters"
    start: Start = "clause"

    def __post_init__(self) -> None:
        problems = [
            FieldError((name,), f"should be from 0 to {MOST_DELAY_S:g} seconds.")
            for name in ("engine_start_s", "path_s")
            if not 0 <= getattr(self, name) <= MOST_DELAY_S
        ]
        if not (math.isfinite(self.rate) and 0 < self.rate <= FASTEST):
            problems.append(FieldError(("rate",), f"should be above 0 and at most {FASTEST:g} {self.unit} a second."))
        if problems:
            raise InputError(*problems)

    @property
    def pipeline_s(self) -> float:
        """Return the seconds from text to the caller's ear."""
        return self.engine_start_s + self.path_s

    def length_s(self, text: str) -> float:
        """Return the seconds that speaking a text takes."""
        return (characters(text) if self.unit == "characters" else words(text)) / self.rate


DEFAULTS = SpeechSettings()


def characters(text: str) -> float:
    """Count characters weighted by their speaking time. Outer white space and combining signs count 0.

    A Han or Hangul character counts as three Latin ones and kana as two: an assumption, so that one rate fits all
    scripts.
    """
    plain = text.strip()
    if plain.isascii():
        return len(plain)
    count = sum(1 for character in plain if not unicodedata.category(character).startswith("M"))
    return count + 2 * len(_HEAVY.findall(plain)) + len(_KANA.findall(plain))


def words(text: str) -> float:
    """Count words between spaces.

    In scripts without spaces, two East Asian or five Thai characters are one word (assumed).
    """
    rest = _THAI.sub(" ", _UNSPACED.sub(" ", text))
    spaced = sum(1 for word in rest.split() if any(character.isalnum() for character in word))
    return spaced + len(_UNSPACED.findall(text)) / 2 + len(_THAI.findall(text)) / 5


class AudioTimes(Struct, frozen=True):
    """Measurement of one part by a real speech engine: seconds from its text to its first audio, and the audio's
    length.
    """

    engine_s: float
    length_s: float


class Spoken(Struct, frozen=True):
    """A spoken part of a turn's text. Seconds on the timeline's axis.

    `text_at`: its text was complete. `ready_at`: its audio could start. `starts_at`, `ends_at`: its audio plays; it
    starts after `ready_at` if the previous part is still playing. `measured`: by a real engine, not assumed.
    """

    turn: int
    text: str
    text_at: float
    ready_at: float
    starts_at: float
    ends_at: float
    measured: bool = False


def lay_out(
    times: TurnTimes,
    settings: SpeechSettings,
    *,
    turn: int = 0,
    began_at: float = 0.0,
    free_at: float = 0.0,
    audio: Sequence[AudioTimes | None] = (),
) -> tuple[Spoken, ...]:
    """Return the spoken parts of a turn, for the text received so far.

    `free_at`: the previous speech plays until then. `audio`: measurements of a real engine for the parts in order;
    parts without one use the assumptions.
    """
    first_piece = times.piece_ends[0] if times.piece_ends else 0
    spoken: list[Spoken] = []
    for number, cut in enumerate(cuts(times.text, settings.start, first_piece)):
        known_at = times.text_ended_at if cut.known is None else times.came_at(cut.known)
        if known_at is None:
            break
        heard = audio[number] if number < len(audio) else None
        part = times.text[cut.start : cut.end].strip()
        text_at = began_at + known_at
        ready_at = text_at + (heard.engine_s if heard else settings.engine_start_s) + settings.path_s
        starts_at = max(ready_at, free_at)
        free_at = starts_at + (heard.length_s if heard else settings.length_s(part))
        spoken.append(Spoken(turn, part, text_at, ready_at, starts_at, free_at, heard is not None))
    return tuple(spoken)

"""When each part of an arriving text would be audible, by measurement or under assumptions."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from playground.prompt.field_errors import FieldError, InputError
from playground.runs.turn_times import TurnTimes
from playground.voice.clauses import Start, cuts

if TYPE_CHECKING:
    pass


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

"""Speech of arriving text: its parts, when each is audible, by measurement or under assumptions, and the vendor's
speech service."""

from __future__ import annotations

import asyncio
import io
import math
import re
import time
import unicodedata
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from msgspec import Struct

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, ApiError
from playground.client.retry import NoRateLimit, RateLimiter
from playground.client.speech import DEFAULT, SAMPLE_BYTES, SpeechError, Voice, stream_speech
from playground.prompt.field_errors import FieldError, InputError
from playground.runs.run import Run
from playground.runs.state import TurnTimes

if TYPE_CHECKING:
    from playground.storage.credentials import CredentialStore


Start: TypeAlias = Literal["piece", "clause", "sentence"]
"""Where the first part may end: after the first piece of text, a clause or a sentence.

Later parts are clauses or sentences.
"""
_SENTENCE = "!?…‼⁇⁈⁉।॥。！？．｡؟۔։။។៕።፧\n"
_CLAUSE = "—，、；：､،؛၊፣፤፥།·՝"
_SENTENCE_IF_SPACE, _CLAUSE_IF_SPACE = ".", ",;:–"
"""ASCII marks do not end a clause inside a number, a time or an address: 3.5, 1,200, 10:30, example.com. The last one
joins words also without spaces."""
_CLOSERS = "\"'”’»)]}」』）】"
_SPACED_CLAUSES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer use spaces between clauses, not between words."""
_ABBREVIATIONS = frozenset(("mr", "mrs", "ms", "dr", "prof", "vs", "approx", "jr", "sr", "sra", "dra"))
_ADDRESSES = frozenset(("www", "http", "https"))
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
        rf"|[{re.escape(if_space)}]+[{re.escape(_CLOSERS)}]*(?P<space>(?=\s))?"
        rf"|(?<=[{_SPACED_CLAUSES}])(?P<gap>\s+)(?=\S)"
    )


_PATTERNS = {
    "sentence": _pattern(_SENTENCE, _SENTENCE_IF_SPACE),
    "clause": _pattern(_SENTENCE + _CLAUSE, _SENTENCE_IF_SPACE + _CLAUSE_IF_SPACE),
}


def cuts(text: str, start: Start, pieces: Sequence[int] = ()) -> tuple[Cut, ...]:
    """Return the parts in which a text is spoken, in order. Parts without a letter or digit are left out.

    Together the parts contain every word. `pieces`: where each piece of the text ends, as it arrived.
    """
    found: list[Cut] = []
    at = 0
    for end, known in _ends(text, start, pieces):
        if any(character.isalnum() for character in text[at:end]):
            found.append(Cut(at, end, known))
            at = end
    return tuple(found)


def _ends(text: str, start: Start, pieces: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    first = pieces[0] if pieces and start == "piece" else 0
    if first:
        yield first, first
    ends = frozenset(pieces)
    for match in _PATTERNS["sentence" if start == "sentence" else "clause"].finditer(text):
        if match.end() <= first or _is_abbreviation(text, match):
            continue
        if (piece := _piece_end(match, ends)) is not None:
            yield match.end(), piece
        elif match["now"] is not None:
            yield match.end(), _first_sure(match)
        elif match["gap"] is not None or match["space"] is not None:
            yield match.end(), match.end() + (match["space"] is not None)
    yield len(text), None


def _piece_end(match: re.Match[str], ends: frozenset[int]) -> int | None:
    """Return where a piece ends in the first marks of a match, if what is before them is a word and no number,
    initial, abbreviation or address, which may go on in the next piece."""
    text, place = match.string, match.start()
    before = text[max(place - 2, 0) : place]
    if len(before) < 2 or not all(unicodedata.category(character)[0] in "LM" for character in before):
        return None
    word = _WORD.search(text, max(place - 12, 0), place)
    if word is not None and word[0].lower() in _ABBREVIATIONS | _ADDRESSES:
        return None
    while place < match.end() and text[place] in _SENTENCE_IF_SPACE + _CLAUSE_IF_SPACE[:-1] + _CLOSERS:
        place += 1
        if place in ends:
            return place
    return None


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
    spoken: list[Spoken] = []
    for number, cut in enumerate(cuts(times.text, settings.start, times.piece_ends)):
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


SPEAKERS = ("electron", "simulator")
"""Kinds of endpoints that offer the vendor's speech service next to the model."""


class SpokenPart(Struct, frozen=True):
    """A spoken part of a completion. `engine_s`: from its text to the first audio. `length_s`: length of the audio."""

    text: str
    engine_s: float
    length_s: float
    pcm: bytes
    request_id: str | None

    @property
    def times(self) -> AudioTimes:
        """Return the times in the timeline's format."""
        return AudioTimes(self.engine_s, self.length_s)


class Engine(Protocol):
    """Speech engine that speaks one part at a time."""

    async def say(self, text: str, on_audio: Callable[[bytes], None]) -> SpokenPart:
        """Speak a text to its end. Raises SpeechError. Cancelling stops the audio immediately."""


class Lightning:
    """The vendor's speech service of an endpoint, used with the endpoint's key, within the plan's limits."""

    def __init__(
        self,
        connection: Connection,
        keys: CredentialStore,
        endpoint: Endpoint,
        voice: Voice = DEFAULT,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        self._connection, self._keys, self._endpoint, self._voice = connection, keys, endpoint, voice
        self._rate_limiter = rate_limiter or NoRateLimit()

    async def say(self, text: str, on_audio: Callable[[bytes], None]) -> SpokenPart:
        """See `Engine.say`. Waits for one of the plan's slots, which speech shares with the model."""
        ticket = await self._rate_limiter.acquire(self._endpoint, lambda _status: None, speech=True)
        try:
            return await self._spoken(text, on_audio)
        finally:
            self._rate_limiter.release(self._endpoint, ticket)

    async def _spoken(self, text: str, on_audio: Callable[[bytes], None]) -> SpokenPart:
        client = await self._connection.client_for(self._endpoint.base_url)
        if isinstance(client, ApiError):
            raise SpeechError(client.title)
        secret = await self._keys.get(self._endpoint)
        key = secret.reveal() if secret is not None else None
        if key is None and self._endpoint.needs_key:
            raise SpeechError(self._keys.error or f"There is no key for {self._endpoint.name}, so nothing is spoken.")
        began, first_at, pcm, request_id = time.monotonic(), None, bytearray(), None
        async with aclosing(stream_speech(client, self._endpoint, key, text, self._voice)) as pieces:
            async for piece in pieces:
                first_at = first_at if first_at is not None else time.monotonic()
                pcm += piece.pcm
                request_id = piece.request_id
                on_audio(piece.pcm)
        if first_at is None:
            raise SpeechError("The speech service sent no audio.", request_id)
        length_s = len(pcm) / SAMPLE_BYTES / self._voice.sample_rate
        return SpokenPart(text, first_at - began, length_s, bytes(pcm), request_id)


class Speaker:
    """Speaks one run part by part, in order.

    `on_part` receives each spoken part, `on_audio` audio as it arrives. `start`: the text that speech waits for, as in
    the timeline. Nothing is sent before `follow` or after `stop`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        start: Start = "clause",
        on_part: Callable[[SpokenPart], None] = lambda _part: None,
        on_audio: Callable[[bytes], None] = lambda _pcm: None,
    ) -> None:
        self._engine, self._start = engine, start
        self._on_part, self._on_audio = on_part, on_audio
        self.parts: list[SpokenPart] = []
        self._pieces: list[int] = []
        self._run: Run | None = None
        self._came, self._begun = asyncio.Event(), asyncio.Event()
        self._stopped = False

    def follow(self, run: Run) -> None:
        """Speak this run from its beginning."""
        self._run = run
        run.subscribe(self._heard)
        self._begun.set()

    def _heard(self, run: Run, _event: AnyEvent) -> None:
        if run.state.text and self._pieces[-1:] != [len(run.state.text)]:
            self._pieces.append(len(run.state.text))
        self._came.set()

    def stop(self) -> None:
        self._stopped = True
        self._came.set()
        self._begun.set()

    async def speak(self) -> None:
        """Speak a run until it has ended and all its parts are spoken, or until `stop`.

        Raises SpeechError. Cancelling stops the audio immediately.
        """
        await self._begun.wait()
        while not self._stopped and self._run is not None:
            text = self._next(self._run)
            if text is not None:
                part = await self._engine.say(text, self._on_audio)
                self.parts.append(part)
                self._on_part(part)
            elif self._run.state.ended:
                return
            else:
                self._came.clear()
                await self._came.wait()

    def _next(self, run: Run) -> str | None:
        """Return the next complete part; None if no part is complete yet."""
        text, ended = run.state.text, run.state.ended
        found = cuts(text, self._start, self._pieces)
        whole = [cut for cut in found if ended or (cut.known is not None and cut.known <= len(text))]
        if len(whole) <= len(self.parts):
            return None
        cut = whole[len(self.parts)]
        return text[cut.start : cut.end].strip()


def as_wav(parts: list[SpokenPart], sample_rate: int) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(sample_rate)
        file.writeframes(b"".join(part.pcm for part in parts))
    return held.getvalue()

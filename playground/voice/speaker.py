"""Speech of a run while its text arrives, by the vendor's speech service."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, ApiError
from playground.client.retry import NoRateLimit, RateLimiter
from playground.client.speech import DEFAULT, SAMPLE_BYTES, SpeechError, Voice, stream_speech
from playground.runs.run import Run
from playground.voice.speech import AudioTimes, Start, cuts

if TYPE_CHECKING:
    from playground.storage.credentials import CredentialStore


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
        self._run: Run | None = None
        self._came, self._begun = asyncio.Event(), asyncio.Event()
        self._stopped = False

    def follow(self, run: Run) -> None:
        """Speak this run from its beginning."""
        self._run = run
        run.subscribe(self._heard)
        self._begun.set()

    def _heard(self, _run: Run, _event: AnyEvent) -> None:
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
        whole = [cut for cut in cuts(text, self._start) if ended or (cut.known is not None and cut.known <= len(text))]
        if len(whole) <= len(self.parts):
            return None
        cut = whole[len(self.parts)]
        return text[cut.start : cut.end].strip()


def as_wav(parts: list[SpokenPart], sample_rate: int) -> bytes:
    """Return the spoken parts as one WAV file."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(sample_rate)
        file.writeframes(b"".join(part.pcm for part in parts))
    return held.getvalue()

"""Simulation of Lightning, the vendor's speech service: audio whose length follows the text, in real time.

The audio is a quiet tone, not a voice. Protocol and times are as the vendor documents them.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import struct
import wave
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

RATES = (8000, 16000, 24000, 44100)
FORMATS = ("pcm", "mp3", "wav", "ulaw", "alaw")
CHARACTERS_A_SECOND = 15.0
FIRST_AUDIO_S = 0.2
FRAME_S = 0.25
"""Seconds of audio in one frame; frames are sent ten times as fast as they play."""
HZ, LOUDNESS = 220.0, 900


_Respond = Callable[[web.Request, Mapping[str, Any]], Awaitable[web.StreamResponse]]


class SpeechRoutes:
    """`authenticate` raises the account's error; `request_id` returns the id of a request."""

    def __init__(
        self, authenticate: Callable[[web.Request], None], request_id: Callable[[web.Request], str], at_once: int | None
    ) -> None:
        self._authenticate, self._request_id, self._at_once = authenticate, request_id, at_once
        self._busy = 0

    def add_to(self, application: web.Application) -> None:
        """Add the two routes."""
        application.router.add_post("/waves/v1/tts", self._whole)
        application.router.add_post("/waves/v1/tts/live", self._live)

    async def _whole(self, request: web.Request) -> web.StreamResponse:
        return await self._spoken(request, self._wav)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return await self._spoken(request, self._stream)

    async def _spoken(self, request: web.Request, respond: _Respond) -> web.StreamResponse:
        """Take a slot and respond to the request's fields, or answer with an error."""
        self._authenticate(request)
        try:
            fields = json.loads(await request.read())
        except (ValueError, RecursionError):
            return self._refused(request, 400, "invalid_request", "The body is not JSON")
        wrong = problem(fields)
        if wrong:
            return self._refused(request, 400, "invalid_request", wrong)
        if self._at_once is not None and self._busy >= self._at_once:
            return self._refused(request, 429, "rate_limit", "One speech request at a time on this account")
        self._busy += 1
        try:
            return await respond(request, fields)
        finally:
            self._busy -= 1

    async def _wav(self, request: web.Request, fields: Mapping[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(FIRST_AUDIO_S)
        audio = as_wav(tone(fields), int(fields.get("sample_rate", 24000)))
        return web.Response(body=audio, content_type="audio/wav", headers=self._headers(request))

    async def _stream(self, request: web.Request, fields: Mapping[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={**self._headers(request), "Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(FIRST_AUDIO_S)
        audio, rate = tone(fields), int(fields.get("sample_rate", 24000))
        size = int(rate * FRAME_S) * 2
        for start in range(0, len(audio), size):
            piece = base64.b64encode(audio[start : start + size]).decode("ascii")
            await response.write(_frame({"audio": piece, "done": False, "status": "206"}))
            await asyncio.sleep(FRAME_S / 10)
        await response.write(_frame({"status": "200", "done": True}))
        await response.write_eof()
        return response

    def _refused(self, request: web.Request, status: int, error: str, message: str) -> web.Response:
        """Return the error envelope of this service, which differs from that of chat completions."""
        return web.json_response({"error": error, "message": message}, status=status, headers=self._headers(request))

    def _headers(self, request: web.Request) -> dict[str, str]:
        return {"X-Request-Id": self._request_id(request)}


def problem(fields: object) -> str:
    """Return the errors of a request's fields; empty if it is valid."""
    if not isinstance(fields, dict):
        return "The body is not an object"
    if not isinstance(fields.get("text"), str) or not fields["text"].strip():
        return "text is required"
    if not isinstance(fields.get("voice_id"), str):
        return "voice_id is required"
    if fields.get("sample_rate", 24000) not in RATES:
        return f"sample_rate is one of {', '.join(map(str, RATES))}"
    if fields.get("output_format", "pcm") not in FORMATS:
        return f"output_format is one of {', '.join(FORMATS)}"
    speed = fields.get("speed", 1)
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0.5 <= speed <= 2:
        return "speed is a number from 0.5 to 2"
    return ""


def tone(fields: Mapping[str, Any]) -> bytes:
    """Return PCM, signed 16 bit, one channel, as long as speaking the text at this speed takes."""
    rate = int(fields.get("sample_rate", 24000))
    samples = int(len(fields["text"]) / CHARACTERS_A_SECOND / float(fields.get("speed", 1)) * rate)
    wave_length = max(round(rate / HZ), 2)
    cycle = [round(LOUDNESS * math.sin(2 * math.pi * place / wave_length)) for place in range(wave_length)]
    whole = struct.pack(f"<{wave_length}h", *cycle)
    return (whole * (samples // wave_length + 1))[: samples * 2]


def as_wav(pcm: bytes, rate: int) -> bytes:
    """Return the same audio as a WAV file."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return held.getvalue()


def _frame(fields: Mapping[str, Any]) -> bytes:
    return f"event: audio\ndata: {json.dumps(fields)}\n\n".encode()

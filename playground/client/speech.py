"""Lightning, the vendor's speech service (electron-api.md, Speech beside it): streaming text to speech."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec import Struct

from playground.client.endpoint import Endpoint, exposes_key
from playground.client.sse import FrameTooLarge, SseFramer
from playground.client.stream_masking import redact_body

if TYPE_CHECKING:
    import httpx

SAMPLE_RATES = (8000, 16000, 24000, 44100)
MOST_ERROR_BYTES = 4_000
SAMPLE_BYTES = 2
"""Signed 16 bit, one channel."""


class Voice(Struct, frozen=True):
    """Settings of the voice. `speed`: 0.5 to 2; `sample_rate`: one of SAMPLE_RATES, in Hz."""

    voice_id: str = "magnus"
    model: str = "lightning_v3.1"
    language: str = "auto"
    sample_rate: int = 24000
    speed: float = 1.0


DEFAULT = Voice()


class AudioPiece(Struct, frozen=True):
    """Some audio, PCM. `request_id`: the response's X-Request-Id."""

    pcm: bytes
    request_id: str | None


class SpeechError(Exception):
    """No audio, or only a part of it. `request_id`: the response's, if it had one."""

    def __init__(self, sentence: str, request_id: str | None = None) -> None:
        super().__init__(sentence)
        self.request_id = request_id


async def stream_speech(
    client: httpx.AsyncClient, endpoint: Endpoint, key: str | None, text: str, voice: Voice = DEFAULT
) -> AsyncGenerator[AudioPiece, None]:
    """Yield the text as audio in pieces. Closing this generator closes the connection. Raises SpeechError.

    The key goes to this endpoint's origin only, and never unencrypted to another machine.
    """
    import httpx

    if key is not None and exposes_key(endpoint.base_url):
        raise SpeechError(f"{endpoint.base_url} is plain http on another machine; the key was not sent.")
    body = {
        "text": text,
        "voice_id": voice.voice_id,
        "model": voice.model,
        "language": voice.language,
        "sample_rate": voice.sample_rate,
        "output_format": "pcm",
        "speed": voice.speed,
    }
    headers = {"Accept": "text/event-stream", **({"Authorization": f"Bearer {key}"} if key is not None else {})}
    url = f"{endpoint.base_url}/tts/live"
    try:
        async with client.stream("POST", url, json=body, headers=headers) as response:
            request_id = response.headers.get("x-request-id")
            if not response.is_success:
                raise SpeechError(await _refusal(response, key), request_id)
            async with aclosing(_pieces(response, request_id)) as pieces:
                async for piece in pieces:
                    yield piece
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise SpeechError(f"The speech service could not be reached: {str(error) or type(error).__name__}.") from None


async def _pieces(response: httpx.Response, request_id: str | None) -> AsyncGenerator[AudioPiece, None]:
    framer, done = SseFramer(), False
    try:
        async for received in response.aiter_bytes():
            for data in framer.feed(received):
                fields = _fields(data, request_id)
                # Every frame has `done`: only true ends the stream.
                done = done or fields.get("done") is True
                if audio := fields.get("audio"):
                    yield AudioPiece(_pcm(audio, request_id), request_id)
    except FrameTooLarge as error:
        raise SpeechError(f"The speech service sent a frame that is too large: {error}.", request_id) from None
    if not done:
        raise SpeechError("The audio broke off before its end; the received audio remains.", request_id)


def _fields(data: str, request_id: str | None) -> dict[str, object]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise SpeechError("The speech service sent something that is no frame of audio.", request_id)
    if fields.get("error"):
        raise SpeechError(f"The speech service failed: {fields.get('message') or fields['error']}", request_id)
    return fields


def _pcm(audio: object, request_id: str | None) -> bytes:
    try:
        return base64.b64decode(str(audio), validate=True)
    except (binascii.Error, ValueError):
        raise SpeechError("The speech service sent audio that cannot be read.", request_id) from None


async def _refusal(response: httpx.Response, key: str | None) -> str:
    """Return the service's error message; its envelope is {"error", "message"}."""
    held = bytearray()
    async for received in response.aiter_bytes():
        held += received
        if len(held) > MOST_ERROR_BYTES:
            break
    text = redact_body(held.decode("utf-8", "replace"), key)
    try:
        fields = json.loads(text)
        said = fields["message"] if isinstance(fields.get("message"), str) else str(fields["error"]["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        said = text[:200]
    hint = {401: " Check the key.", 403: " Does the plan have speech?", 429: " One request at a time."}
    return f"The speech service answered with {response.status_code}: {said}.{hint.get(response.status_code, '')}"

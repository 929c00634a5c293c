"""One keep-alive client for all requests of a session: bytes in, events out. Nothing here raises for expected trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playground import __version__
from playground.client.chunks import DONE, ChunkDecoder, NotAChunk, StreamError, not_a_chunk
from playground.client.endpoint import Endpoint
from playground.client.errors import cut_trouble, exposed_key_trouble, http_trouble, key_trouble, stream_trouble
from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    AttemptStarted,
    Completed,
    Finished,
    HeadersReceived,
    RawEvent,
    Trouble,
)
from playground.client.framer import FrameTooLarge, SseFramer
from playground.client.redact import redact
from playground.client.urls import exposes_key, is_loopback
from playground.prompt.request import Request

if TYPE_CHECKING:
    import httpx

Clock = Callable[[], float]
MAX_ERROR_BYTES = 65_536
MAX_WHOLE_BYTES = 64 * 1024 * 1024
_SECRET_HEADERS = frozenset(("authorization", "set-cookie", "cookie"))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `silence` is the longest wait for the next byte, the first one of a slow model included."""

    connect: float = 10.0
    silence: float = 120.0
    write: float = 30.0


class Connection:
    """Keeps connections alive between requests: a cold TLS handshake is paid only once (electron-api.md, Endpoint)."""

    def __init__(self, timeouts: Timeouts = Timeouts()) -> None:
        self._timeouts = timeouts
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._making = asyncio.Lock()

    async def warm(self) -> None:
        """Import httpx and make the client off the event loop: on it, the first request would stall it for 170 ms.

        Raises nothing: what is wrong with this machine's settings is told by the request that meets it.
        """
        await self._client(loopback=True)

    async def _client(self, *, loopback: bool) -> httpx.AsyncClient | Trouble:
        async with self._making:
            if loopback not in self._clients:
                try:
                    self._clients[loopback] = await asyncio.to_thread(_make_client, self._timeouts, loopback)
                except Exception as error:  # a stale SSL_CERT_FILE raises FileNotFoundError, a wrong one SSLError
                    from playground.client.network import setup_trouble

                    return setup_trouble(error)
            return self._clients[loopback]

    async def stream(
        self, endpoint: Endpoint, key: str | None, request: Request, clock: Clock, attempt: int = 1
    ) -> AsyncGenerator[AnyEvent, None]:
        """Send once and yield what happens; the last event is Completed or AttemptFailed.

        `clock` gives seconds since the run began. Closing this generator, or cancelling who waits for it, closes the
        connection at once. The key goes to this endpoint's URL only: redirects are not followed.
        """
        yield AttemptStarted(clock(), attempt)
        refused = _refused(endpoint, key)
        client = refused or await self._client(loopback=is_loopback(endpoint.base_url))
        if isinstance(client, Trouble):
            yield AttemptFailed(clock(), client)
            return
        exchange = _Exchange(client, endpoint, key, request, clock)
        async with aclosing(exchange.events()) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


def _refused(endpoint: Endpoint, key: str | None) -> Trouble | None:
    if key is None:
        return None
    if not key.isascii() or not key.isprintable():
        return key_trouble()
    return exposed_key_trouble(endpoint.base_url) if exposes_key(endpoint.base_url) else None


def _make_client(timeouts: Timeouts, loopback: bool) -> httpx.AsyncClient:
    # Imported here, in a thread: these imports take longer than a few frames.
    import anyio._backends._asyncio  # noqa: F401
    import httpcore  # noqa: F401
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeouts.silence, connect=timeouts.connect, write=timeouts.write),
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=300),
        follow_redirects=False,
        # A proxy has no business with this machine's own servers.
        trust_env=not loopback,
    )


class _Exchange:
    """One HTTP exchange."""

    def __init__(
        self, client: httpx.AsyncClient, endpoint: Endpoint, key: str | None, request: Request, clock: Clock
    ) -> None:
        self._client, self._endpoint, self._key = client, endpoint, key
        self._request, self._clock = request, clock
        self._request_id: str | None = None
        self._begun = False
        self._finished = False

    async def events(self) -> AsyncGenerator[AnyEvent, None]:
        """HeadersReceived, what the body says, and the end."""
        import httpx

        try:
            async with aclosing(self._exchange()) as events:
                async for event in events:
                    yield event
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            from playground.client.network import network_trouble

            yield self._failed(self._network(network_trouble(error, self._endpoint.base_url, begun=self._begun)))

    def _network(self, trouble: Trouble) -> Trouble:
        return Trouble(trouble.kind, trouble.title, redact(trouble.detail, self._key), trouble.advice)

    def _failed(self, trouble: Trouble) -> AttemptFailed:
        return AttemptFailed(self._clock(), trouble, self._request_id)

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if self._request.stream else "application/json",
            "User-Agent": f"electron-playground/{__version__}",
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    async def _exchange(self) -> AsyncGenerator[AnyEvent, None]:
        url, body = self._endpoint.completions_url, self._request.body
        async with self._client.stream("POST", url, content=body, headers=self._headers()) as response:
            self._begun = True
            self._request_id = response.headers.get("x-request-id")
            kind = response.headers.get("content-type", "")
            kept = tuple((k, redact(v, self._key)) for k, v in response.headers.items() if k not in _SECRET_HEADERS)
            yield HeadersReceived(self._clock(), response.status_code, self._request_id, kind, kept)
            async with aclosing(self._body(response, kind)) as events:
                async for event in events:
                    yield event

    async def _body(self, response: httpx.Response, kind: str) -> AsyncGenerator[AnyEvent, None]:
        if response.status_code != 200:
            body = (await _read(response, MAX_ERROR_BYTES)).decode("utf-8", "replace")
            yield self._failed(http_trouble(response.status_code, dict(response.headers), body, self._key))
            return
        if self._request.stream and not _is_json(kind) and not _is_foreign(kind):
            events = self._stream(response)
        else:
            events = self._whole(response, kind)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _whole(self, response: httpx.Response, kind: str) -> AsyncGenerator[AnyEvent, None]:
        data = (await _read(response, MAX_WHOLE_BYTES)).decode("utf-8", "replace")
        at = self._clock()
        yield RawEvent(at, data)
        try:
            for event in ChunkDecoder().events(data, at):
                yield event
        except StreamError as error:
            yield self._failed(stream_trouble(error.body, self._key))
        except NotAChunk:
            yield self._failed(self._foreign(kind, data) if _is_foreign(kind) else not_a_chunk(redact(data, self._key)))
        else:
            yield Completed(self._clock())

    def _foreign(self, kind: str, data: str) -> Trouble:
        return Trouble(
            "protocol",
            "The response is not a stream of events",
            f"The server answered with {kind.split(';', maxsplit=1)[0]}: {redact(data, self._key).strip()[:200]}",
            "Check that the base URL is that of an OpenAI-compatible server.",
        )

    async def _stream(self, response: httpx.Response) -> AsyncGenerator[AnyEvent, None]:
        framer, decoder = SseFramer(), ChunkDecoder()
        try:
            async for received in response.aiter_bytes():
                at = self._clock()
                for data in framer.feed(received):
                    if data == DONE:
                        yield Completed(at)
                        return
                    for event in self._decoded(decoder, data, at):
                        yield event
            for data in framer.eof():
                if data != DONE:
                    for event in self._decoded(decoder, data, self._clock()):
                        yield event
        except StreamError as error:
            yield self._failed(stream_trouble(error.body, self._key))
        except NotAChunk as error:
            yield self._failed(not_a_chunk(redact(str(error), self._key)))
        except FrameTooLarge as error:
            yield self._failed(Trouble("protocol", "The server sent an event that is too large", str(error)))
        else:
            yield self._end()

    def _decoded(self, decoder: ChunkDecoder, data: str, at: float) -> list[AnyEvent]:
        events: list[AnyEvent] = [RawEvent(at, data)]
        events.extend(decoder.events(data, at))
        self._finished = self._finished or any(isinstance(event, Finished) for event in events)
        return events

    def _end(self) -> AnyEvent:
        """The stream ended without [DONE]: whole where a finish_reason had come, cut where not."""
        if self._finished:
            return Completed(self._clock(), saw_done=False)
        return self._failed(cut_trouble())


def _is_json(kind: str) -> bool:
    return kind.split(";", maxsplit=1)[0].strip().lower().endswith("json")


def _is_foreign(kind: str) -> bool:
    """Whether the response calls itself something that is neither events nor JSON; one that says nothing is tried."""
    named = kind.split(";", maxsplit=1)[0].strip().lower()
    return bool(named) and named != "text/event-stream" and not _is_json(kind)


async def _read(response: httpx.Response, limit: int) -> bytes:
    held = bytearray()
    async for received in response.aiter_bytes():
        held += received
        if len(held) >= limit:
            break
    return bytes(held[:limit])

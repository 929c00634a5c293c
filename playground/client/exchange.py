"""One HTTP exchange: the request's bytes out, the response's bytes in, as events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress

import httpx
from msgspec.structs import replace

from playground import __version__
from playground.client.chunks import DONE, ChunkDecoder, NotAChunk, StreamError, not_a_chunk
from playground.client.endpoint import Endpoint
from playground.client.errors import cut_trouble, http_trouble, stream_trouble
from playground.client.events import AnyEvent, AttemptFailed, Completed, Finished, HeadersReceived, RawEvent, Trouble
from playground.client.framer import FrameTooLarge, SseFramer
from playground.client.network import network_trouble
from playground.client.redact import redact
from playground.prompt.request import Request

Clock = Callable[[], float]
MAX_ERROR_BYTES = 65_536
MAX_WHOLE_BYTES = 64 * 1024 * 1024
DRAIN_S = 1.0
"""How long a server may take to end a response after its [DONE]; else the connection is not used again."""
_SECRET_HEADERS = frozenset(("authorization", "set-cookie", "cookie"))


class Exchange:
    """One HTTP exchange."""

    def __init__(
        self, client: httpx.AsyncClient, endpoint: Endpoint, key: str | None, request: Request, clock: Clock
    ) -> None:
        self._client, self._endpoint, self._key = client, endpoint, key
        self._request, self._clock = request, clock
        self._request_id: str | None = None
        self._kind = ""
        self._begun = False
        self._finished = False

    async def events(self) -> AsyncGenerator[AnyEvent, None]:
        """HeadersReceived, what the body says, and the end: Completed or AttemptFailed."""
        try:
            async with aclosing(self._exchange()) as events:
                async for event in events:
                    yield event
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            trouble = network_trouble(error, self._endpoint.base_url, begun=self._begun)
            yield self._failed(replace(trouble, detail=redact(trouble.detail, self._key)))
        except StreamError as error:
            yield self._failed(stream_trouble(error.body, self._key))
        except NotAChunk as error:
            yield self._failed(self._not_a_chunk(redact(str(error), self._key)))
        except FrameTooLarge as error:
            yield self._failed(Trouble("protocol", "The server sent an event that is too large", str(error)))

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
            self._kind = response.headers.get("content-type", "")
            kept = tuple((k, redact(v, self._key)) for k, v in response.headers.items() if k not in _SECRET_HEADERS)
            yield HeadersReceived(self._clock(), response.status_code, self._request_id, self._kind, kept)
            async with aclosing(self._body(response)) as events:
                async for event in events:
                    yield event

    async def _body(self, response: httpx.Response) -> AsyncGenerator[AnyEvent, None]:
        if response.status_code != 200:
            body = (await _read(response, MAX_ERROR_BYTES)).decode("utf-8", "replace")
            yield self._failed(http_trouble(response.status_code, dict(response.headers), body, self._key))
            return
        streamed = self._request.stream and not _is_json(self._kind) and not _is_foreign(self._kind)
        events = self._stream(response) if streamed else self._whole(response)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _whole(self, response: httpx.Response) -> AsyncGenerator[AnyEvent, None]:
        data = (await _read(response, MAX_WHOLE_BYTES)).decode("utf-8", "replace")
        at = self._clock()
        yield RawEvent(at, data)
        for event in ChunkDecoder().events(data, at):
            yield event
        yield Completed(self._clock())

    def _not_a_chunk(self, data: str) -> Trouble:
        if not _is_foreign(self._kind):
            return not_a_chunk(data)
        return Trouble(
            "protocol",
            "The response is not a stream of events",
            f"The server answered with {self._kind.split(';')[0]}: {data.strip()[:200]}",
            "Check that the base URL is that of an OpenAI-compatible server.",
        )

    async def _stream(self, response: httpx.Response) -> AsyncGenerator[AnyEvent, None]:
        framer, decoder = SseFramer(), ChunkDecoder()
        body = response.aiter_bytes()
        async for received in body:
            at = self._clock()
            for data in framer.feed(received):
                if data == DONE:
                    yield Completed(at)
                    await _drain(body)
                    return
                for event in self._decoded(decoder, data, at):
                    yield event
        for data in framer.eof():
            if data != DONE:
                for event in self._decoded(decoder, data, self._clock()):
                    yield event
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


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read what is left after [DONE]: a response that was read to its end leaves its connection for the next one."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in body:
                pass


async def _read(response: httpx.Response, limit: int) -> bytes:
    held = bytearray()
    async for received in response.aiter_bytes():
        held += received
        if len(held) >= limit:
            break
    return bytes(held[:limit])

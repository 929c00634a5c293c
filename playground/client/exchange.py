"""One HTTP exchange: the request's bytes out, the response's bytes in, as events."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import httpx

from playground import __version__
from playground.client.chunks import DONE, ChunkDecoder, NotAChunk, StreamError, not_a_chunk
from playground.client.endpoint import Endpoint
from playground.client.errors import cut_trouble, http_trouble, stream_trouble
from playground.client.events import AnyEvent, ApiError, AttemptFailed, Completed, HeadersReceived, RawEvent
from playground.client.network_errors import network_trouble, stalled_trouble
from playground.client.redact import key_forms, mask, redact, redact_trouble
from playground.client.sse import FrameTooLarge, SseFramer
from playground.client.stream_redactor import SplitKeys
from playground.prompt.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpcore


class SilenceLimit:
    """Raises TimeoutError out of its `with` block where a wait, from `begins` to `ends`, lasts over its limit.

    What happens between `ends` and the next `begins` has no limit; whoever has the bytes may take their time.
    """

    def __init__(self) -> None:
        self._limit_s = math.inf
        self._waiting: asyncio.Task[object] | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._broken: asyncio.Task[object] | None = None
        self._cancelling = 0

    def begins(self, limit_s: float) -> None:
        """The wait begins, in the task that calls; it may last `limit_s` seconds."""
        self._waiting, self._since = asyncio.current_task(), time.monotonic()
        if self._timer is None or limit_s != self._limit_s:
            self._stop_timer()
            self._limit_s = limit_s
            if limit_s < math.inf:
                self._timer = asyncio.get_running_loop().call_later(limit_s, self._look)

    def ends(self) -> None:
        """What was waited for has come."""
        self._waiting = None

    def _look(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait has a timer of its own
        left_s = self._since + self._limit_s - time.monotonic()
        if left_s > 0:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._look)
            return
        self._broken, self._cancelling = self._waiting, self._waiting.cancelling()
        self._broken.cancel()

    def __enter__(self) -> SilenceLimit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_timer()
        # As asyncio.timeout does it: where somebody else has cancelled the task too, it stays cancelled.
        if self._broken is not None and self._broken.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_GIVEN_UP = (".start_tls.failed", ".setup_socks5_connection.failed")


class Handshake:
    """Watches one request's connection being made, through httpcore's `trace` extension."""

    def __init__(self) -> None:
        self._stream: httpcore.AsyncNetworkStream | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """What a request must carry to be watched."""
        return {"trace": self._traced}

    async def _traced(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]
        elif name.endswith(_GIVEN_UP) and self._stream is not None:
            await self._stream.aclose()


_STEPS = frozenset(("connection.connect_tcp", "connection.start_tls", "http_proxy.start_tls", "socks.start_tls"))


class Connecting:
    """Listens to one request by httpcore's trace extension. `took_s` is 0.0 while no connection was opened for it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = 0.0
        self.took_s = 0.0

    async def trace(self, event: str, _info: Mapping[str, object]) -> None:
        """Called by httpcore as each step of a request begins and ends."""
        step, _, moment = event.rpartition(".")
        if step not in _STEPS:
            return
        if moment == "started":
            self._since = self._clock()
        elif moment == "complete":
            self.took_s += self._clock() - self._since


Clock = Callable[[], float]
Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
MAX_ERROR_BYTES = 65_536
MAX_WHOLE_BYTES = 64 * 1024 * 1024
ERROR_BODY_S = 10.0
"""How long a server may take over the body of an error; what has come by then is shown."""
DRAIN_S = 1.0
"""How long a server may take to end a response after its [DONE]; else the connection is not used again."""
_SECRET_HEADERS = frozenset(("authorization", "proxy-authorization", "set-cookie", "cookie"))
_EVENT_STREAM = "text/event-stream"


class Exchange:
    """One HTTP exchange. `idle_s` is the longest wait between two reads of a stream that has begun."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoint: Endpoint,
        key: str | None,
        request: Request,
        clock: Clock,
        idle_s: float,
    ) -> None:
        self._client, self._endpoint, self._key = client, endpoint, key
        self._request, self._clock, self._idle_s = request, clock, idle_s
        self._forms = key_forms(key)
        self._split = SplitKeys(self._forms)
        self._request_id: str | None = None
        self._kind = ""
        self._connecting = Connecting(clock)
        self._begun = False

    async def reads(self) -> AsyncGenerator[list[AnyEvent], None]:
        """HeadersReceived, what the body says, and the end: Completed or AttemptFailed.

        What one read brings comes as one list: every generator costs by the item that it hands on.
        """
        try:
            async with aclosing(self._exchange()) as reads:
                async for events in reads:
                    yield events
        except TimeoutError:
            yield [self._failed(stalled_trouble())]
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            yield [self._failed(network_trouble(error, self._endpoint.base_url, begun=self._begun))]
        except StreamError as error:
            yield [self._failed(stream_trouble(error.body, self._key))]
        except NotAChunk as error:
            yield [self._failed(self._not_a_chunk(redact(str(error), self._key)))]
        except FrameTooLarge as error:
            title = "The server sent an event that is too large"
            yield [self._failed(ApiError("protocol", title, str(error), "The text that came is kept."))]

    def _failed(self, trouble: ApiError) -> AttemptFailed:
        return AttemptFailed(self._clock(), redact_trouble(trouble, self._key), self._request_id)

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": _EVENT_STREAM if self._request.stream else "application/json",
            "User-Agent": f"electron-playground/{__version__}",
        }
        if self._request.stream:
            # A compressor on the way would hold tokens back to make larger blocks of them.
            headers["Accept-Encoding"] = "identity"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    async def _exchange(self) -> AsyncGenerator[list[AnyEvent], None]:
        url, body, headers = self._endpoint.completions_url, self._request.body, self._headers()
        heard = {"trace": _both(Handshake().extensions["trace"], self._connecting.trace)}
        async with self._client.stream("POST", url, content=body, headers=headers, extensions=heard) as response:
            self._begun = True
            yield [self._received(response)]
            async with aclosing(self._body(response)) as reads:
                async for events in reads:
                    yield events

    def _received(self, response: httpx.Response) -> HeadersReceived:
        headers = tuple((name, redact(value, self._key)) for name, value in response.headers.items())
        named = dict(headers)
        self._request_id = named.get("x-request-id") or None
        self._kind = named.get("content-type", "").split(";", maxsplit=1)[0].strip().lower()
        kept = tuple(header for header in headers if header[0] not in _SECRET_HEADERS)
        return HeadersReceived(
            self._clock(),
            response.status_code,
            self._request_id,
            named.get("content-type", ""),
            kept,
            self._connecting.took_s,
        )

    def _body(self, response: httpx.Response) -> AsyncGenerator[list[AnyEvent], None]:
        if not response.is_success:
            return self._refused(response)
        # What the response says counts; one that says nothing is what was asked for.
        streamed = self._kind == _EVENT_STREAM or (self._request.stream and not self._kind)
        return self._stream(response) if streamed else self._whole(response)

    async def _refused(self, response: httpx.Response) -> AsyncGenerator[list[AnyEvent], None]:
        body = await _error_body(response)
        yield [self._failed(http_trouble(response.status_code, response.headers, body, self._key))]

    async def _whole(self, response: httpx.Response) -> AsyncGenerator[list[AnyEvent], None]:
        held = bytearray()
        await _read_into(held, response, MAX_WHOLE_BYTES)
        data = held.decode("utf-8-sig", "replace")
        at = self._clock()
        data = mask(data, self._forms)
        yield [RawEvent(at, data)]
        yield ChunkDecoder().events(data, at)
        yield [Completed(self._clock())]

    async def _stream(self, response: httpx.Response) -> AsyncGenerator[list[AnyEvent], None]:
        framer, decoder = SseFramer(), ChunkDecoder()
        async with aclosing(_bytes(response)) as body:
            with SilenceLimit() as silence:
                # The first byte has the longer limit of the headers: a model may think before it speaks.
                silence.begins(_take_limit(response))
                async for received in body:
                    silence.ends()
                    events: list[AnyEvent] = []
                    try:
                        done = self._read(framer.feed(received), decoder, events)
                    except (StreamError, NotAChunk):
                        yield [*events, *self._split.rest(self._clock())]
                        raise
                    yield events
                    if done:
                        await _drain(body)
                        return
                    silence.begins(self._idle_s)
        yield [*self._split.rest(self._clock()), self._end(framer.rest, decoder)]

    def _read(self, received: list[str], decoder: ChunkDecoder, events: list[AnyEvent]) -> bool:
        """Each event as it came, also where it then turns out to be none that can be read; then what it says.

        Tells whether it was the last one. Raises NotAChunk, StreamError.
        """
        at = self._clock()
        for data in received:
            if data == DONE:
                events += [*self._split.rest(at), Completed(at)]
                return True
            # An empty event keeps a connection open; it says nothing.
            if data.strip():
                shown = mask(data, self._forms)
                events.append(RawEvent(at, shown))
                events += self._split.events(decoder.events(shown, at))
        return False

    def _end(self, rest: str, decoder: ChunkDecoder) -> AnyEvent:
        """The stream ended without [DONE]: whole where a finish_reason had come, cut where not."""
        if rest.removeprefix("data:").strip() == DONE:
            return Completed(self._clock())
        if decoder.finished:
            return Completed(self._clock(), saw_done=False)
        if not decoder.begun and self._kind != _EVENT_STREAM:
            return self._failed(not_a_chunk(rest))
        return self._failed(cut_trouble(rest))

    def _not_a_chunk(self, data: str) -> ApiError:
        if self._kind in ("", _EVENT_STREAM) or self._kind.endswith("json"):
            return not_a_chunk(data)
        return ApiError(
            "protocol",
            "The response is not a chat completion",
            f"The server answered with {self._kind}: {data.strip()[:200]}",
            "Check that the base URL is that of an OpenAI-compatible server.",
            body=data[:MAX_ERROR_BYTES],
        )


def _both(first: Trace, second: Trace) -> Trace:
    """httpcore tells one listener a request."""

    async def told(event: str, info: Mapping[str, Any]) -> None:
        await first(event, info)
        await second(event, info)

    return told


def _take_limit(response: httpx.Response) -> float:
    """The limit on a read, in seconds, which httpx no longer keeps: it would make a timer for each.

    httpcore looks at it when the reading of the body begins, and not again.
    """
    limits = response.request.extensions["timeout"]
    limit_s, limits["read"] = limits["read"], None
    return math.inf if limit_s is None else float(limit_s)


def _bytes(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    # httpx calls it an iterator; it is a generator, and only a generator can be closed at once.
    return cast("AsyncGenerator[bytes, None]", response.aiter_bytes())


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read what is left after [DONE]: a response that was read to its end leaves its connection for the next one."""
    # The answer is whole: how its connection ends is no trouble of anyone's.
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in body:
                pass


async def _error_body(response: httpx.Response) -> str:
    """As much of an error's body as comes in time; the status says the most, so nothing here is trouble of its own."""
    held = bytearray()
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(ERROR_BODY_S):
            await _read_into(held, response, MAX_ERROR_BYTES)
    return held.decode("utf-8", "replace")


async def _read_into(held: bytearray, response: httpx.Response, limit: int) -> None:
    """Read to the end, or to the read that passes the limit."""
    async with aclosing(_bytes(response)) as body:
        async for received in body:
            held += received
            if len(held) > limit:
                return

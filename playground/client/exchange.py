"""One HTTP exchange, from the request's bytes to the response's events."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import httpx
from msgspec.structs import replace

from playground import __version__
from playground.client.connection import Clock, Proxy
from playground.client.content_coding import ACCEPTED, Decompressor
from playground.client.credentials import credentials, stored_headers
from playground.client.endpoint import Endpoint
from playground.client.errors import cut_error, http_error, without_request_id
from playground.client.events import AnyEvent, ApiError, AttemptFailed, HeadersReceived
from playground.client.network_errors import network_error, stalled_error
from playground.client.redact import redact_error
from playground.client.response_decoder import EVENT_STREAM, SLICE_BYTES, ResponseDecoder, request_ids
from playground.client.sse import DEFAULT_LIMITS, ResponseLimits
from playground.prompt.json_text import as_utf8
from playground.prompt.request import Request

if TYPE_CHECKING:
    import httpcore

    from playground.client.connection import Timeouts


class SilenceLimit:
    """Raises TimeoutError out of its `with` block if a wait, from `begins` to `ends`, exceeds its limit.

    The time between `ends` and the next `begins` is not limited: the consumer of the bytes may take long.
    """

    def __init__(self) -> None:
        self._limit_s = math.inf
        self._waiting: asyncio.Task[object] | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._broken: asyncio.Task[object] | None = None
        self._cancelling = 0

    def begins(self, limit_s: float) -> None:
        """Start a wait of at most `limit_s` seconds, in the calling task."""
        self._waiting, self._since = asyncio.current_task(), asyncio.get_running_loop().time()
        if self._timer is None or limit_s != self._limit_s:
            if self._timer is not None:
                self._timer.cancel()
            self._limit_s, self._timer = limit_s, None
            if limit_s < math.inf:
                self._timer = asyncio.get_running_loop().call_later(limit_s, self._look)

    def ends(self) -> None:
        """End the wait."""
        self._waiting = None

    def _look(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait starts another timer
        left_s = self._since + self._limit_s - asyncio.get_running_loop().time()
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
        if self._timer is not None:
            self._timer.cancel()
        # Like asyncio.timeout: if another caller has cancelled the task too, it stays cancelled.
        if self._broken is not None and self._broken.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


_STEPS = frozenset(("connection.connect_tcp", "connection.start_tls", "http_proxy.start_tls", "socks.start_tls"))
_GIVEN_UP = (".start_tls.failed", ".setup_socks5_connection.failed")


class ConnectTrace:
    """Observes the opening of one request's connection through httpcore's `trace` extension.

    opened: whether a connection was opened for this request (else a kept one was reused). duration_s: time spent on it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = 0.0
        self._stream: httpcore.AsyncNetworkStream | None = None
        self.opened = False
        self.duration_s = 0.0

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Note the start or the end of a step of a request. httpcore calls it."""
        step, _, moment = name.rpartition(".")
        if step in _STEPS:
            self.opened = True
            if moment == "started":
                self._started = self._clock()
            elif moment == "complete":
                self.duration_s += self._clock() - self._started
        if name.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]
        elif name.endswith(_GIVEN_UP) and self._stream is not None:
            # httpcore leaves the socket open when the handshake on it fails.
            await self._stream.aclose()


MAX_ERROR_BYTES = 65_536
ERROR_BODY_S = 10.0
"""Time limit in seconds for the body of an error response; the received part is displayed."""
DRAIN_S = 1.0
"""Time limit for the end of a response after its [DONE]; beyond it the connection is not reused."""
DRAIN_BYTES = 1024 * 1024


class Exchange:
    """One HTTP exchange."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoint: Endpoint,
        key: str | None,
        request: Request,
        clock: Clock,
        timeouts: Timeouts,
        limits: ResponseLimits = DEFAULT_LIMITS,
        proxy: Proxy | None = None,
    ) -> None:
        self._client, self._endpoint, self._key = client, endpoint, key
        self._masked = key
        self._request, self._clock, self._timeouts, self._limits = request, clock, timeouts, limits
        self._proxy = proxy
        self._connect = ConnectTrace(clock)
        self._request_id: str | None = None
        self._begun = False
        self.stale = False
        """Whether the exchange failed because the reused connection was closed before any byte of a response came."""

    async def reads(self) -> AsyncGenerator[list[AnyEvent], None]:
        """Send and yield the events of each read; the last event is Completed or AttemptFailed."""
        # A server repeats secrets of the address and of parameters like the key. In a thread: 60 KB of parameters take
        # 20 ms, 12,000 addresses 0.1 s.
        self._masked = await asyncio.to_thread(credentials, self._endpoint.base_url, (), self._key, self._request.body)
        decoder = ResponseDecoder("", self._masked, self._limits)
        try:
            response = await self._send()
            try:
                self._begun = True
                headers = self._received(response)
                yield [headers]
                if response.is_success:
                    # The media type alone; a repeated header has two, separated by a comma.
                    kind = re.split("[;,]", headers.content_type, maxsplit=1)[0].strip().lower()
                    decoder = ResponseDecoder(kind, self._masked, self._limits)
                    async with aclosing(self._body(response, decoder)) as reads:
                        async for events in reads:
                            yield events
                else:
                    yield [await self._refused(response)]
            finally:
                await response.aclose()
        except TimeoutError:
            error = (
                stalled_error()
                if self._begun
                else network_error(
                    httpx.ReadTimeout("headers"), self._endpoint.base_url, begun=False, proxy=self._proxy
                )
            )
            yield self._broken(decoder, error)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:  # UnicodeError: from idna
            yield self._broken(decoder, self._network_error(error))

    async def _send(self) -> httpx.Response:
        """Send the request and return the response once its headers have come. Raises TimeoutError, httpx errors.

        httpx limits each read, so headers that come byte by byte would have no limit without the one here.
        """
        headers = {
            "Content-Type": "application/json",
            "Accept": EVENT_STREAM if self._request.stream else "application/json",
            "User-Agent": f"electron-playground/{__version__}",
            # A compressing proxy would hold tokens of a stream back to fill larger blocks.
            "Accept-Encoding": "identity" if self._request.stream else ACCEPTED,
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = self._client.build_request(
            "POST",
            self._endpoint.base_url.rstrip("/") + "/chat/completions",
            content=self._request.body,
            headers=headers,
            extensions={"trace": self._connect.trace},
        )
        timeouts = self._timeouts
        async with asyncio.timeout(timeouts.connect + timeouts.write + timeouts.first_byte):
            return await self._client.send(request, stream=True)

    def _network_error(self, raised: Exception) -> ApiError:
        stale_kinds = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
        self.stale = not self._begun and not self._connect.opened and isinstance(raised, stale_kinds)
        error = network_error(raised, self._endpoint.base_url, begun=self._begun, proxy=self._proxy)
        return replace(error, stale=True, advice="Send again.") if self.stale else error

    def _broken(self, decoder: ResponseDecoder, error: ApiError) -> list[AnyEvent]:
        events = decoder.broken(self._clock(), error)
        return events if decoder.error is None else [*events, self._failed(decoder.error)]

    def _failed(self, error: ApiError) -> AttemptFailed:
        if self._request_id is None:
            error = without_request_id(error)
        return AttemptFailed(self._clock(), redact_error(error, self._masked), self._request_id)

    def _received(self, response: httpx.Response) -> HeadersReceived:
        # Repeated headers are not joined: two ids would look like one.
        headers = stored_headers(response.headers.multi_items(), self._masked)
        found = request_ids(headers)
        self._request_id = found[0].value if found else None
        content_type = next((value for name, value in headers if name == "content-type"), "")
        return HeadersReceived(
            self._clock(), response.status_code, self._request_id, content_type, headers, self._connect.duration_s
        )

    async def _refused(self, response: httpx.Response) -> AttemptFailed:
        body = await _error_body(response)
        error = http_error(response.status_code, response.headers, body, self._masked, key_sent=self._key is not None)
        return self._failed(error)

    async def _body(self, response: httpx.Response, decoder: ResponseDecoder) -> AsyncGenerator[list[AnyEvent], None]:
        # httpx would start a timer for each read. httpcore looks at the limit only when the reading begins.
        limits = response.request.extensions["timeout"]
        limit_s, limits["read"] = limits["read"], None
        coding = _coding(response)
        async with aclosing(joined_pieces(_bytes(response))) as body:
            try:
                with SilenceLimit() as silence:
                    # The first byte has the longer limit of the headers: a model may think before it answers.
                    silence.begins(math.inf if limit_s is None else float(limit_s))
                    async for received in body:
                        silence.ends()
                        plain = coding.feed(received)
                        for start in range(0, len(plain), SLICE_BYTES):
                            if start:  # unpacked data can be many times a read: let Stop and the window have a turn
                                await asyncio.sleep(0)
                            if events := decoder.feed(plain[start : start + SLICE_BYTES], self._clock()):
                                yield events
                            if decoder.ended:
                                break
                        if decoder.ended or decoder.done or coding.failed:
                            break
                        silence.begins(self._timeouts.idle)
                if decoder.done and not coding.failed:
                    yield await _ended(body, coding, decoder)
            except GeneratorExit:
                # httpx leaves its inner generators to the garbage collector, which ends them in another task. With the
                # response closed they have nothing left to wait for.
                await response.aclose()
                raise
        yield decoder.end(self._clock(), coding)
        if decoder.error is not None:
            yield [self._failed(decoder.error)]


def _bytes(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Return the body's bytes as they are sent: httpx does not report compressed data that is cut."""
    # httpx types it as an iterator; it is a generator, and only a generator can be closed at once.
    return cast("AsyncGenerator[bytes, None]", aiter(cast("AsyncIterable[bytes]", response.stream)))


def _coding(response: httpx.Response) -> Decompressor:
    return Decompressor(response.headers.get("content-encoding", ""))


class _Wait:
    """The rest of a generator's step that has begun: awaits what the step waits for, and returns its item.

    `awaited` is what the step has passed to the event loop so far.
    """

    def __init__(self, step: Generator[object, object, bytes], awaited: object) -> None:
        self._step, self._awaited = step, awaited

    def __await__(self) -> Generator[object, object, bytes]:
        awaited = self._awaited
        try:
            while True:
                try:
                    sent = yield awaited
                except GeneratorExit:
                    self._step.close()
                    raise
                except BaseException as error:  # a cancellation: the step cleans up
                    awaited = self._step.throw(error)
                else:
                    awaited = self._step.send(sent)
        except StopIteration as ended:
            return cast("bytes", ended.value)

    async def cancel(self) -> None:
        """Cancel the wait. A generator in the middle of a step cannot be closed."""
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            self._awaited = self._step.throw(asyncio.CancelledError())
            await self
        except (asyncio.CancelledError, Exception):
            if task is not None and task.cancelling() > before:  # of this task, not of the wait
                raise asyncio.CancelledError from None


async def joined_pieces(source: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield as one all pieces that come without a wait, before the next wait begins. Closes `source`.

    HTTP's chunked coding is handed out chunk by chunk, and one read of the socket may have hundreds of them.
    """
    pieces: list[bytes] = []
    size = 0
    async with aclosing(source):
        while True:
            step: Any = source.__anext__()  # a generator for the event loop, although its type is Awaitable
            error: BaseException
            try:
                wait = _Wait(step, step.send(None))
            except StopIteration as ended:
                pieces.append(ended.value)
                size += len(ended.value)
                if size >= SLICE_BYTES:
                    yield b"".join(pieces)
                    pieces, size = [], 0
                continue
            except (StopAsyncIteration, Exception) as raised:
                error = raised
                break
            if pieces:
                try:
                    yield b"".join(pieces)
                except GeneratorExit:
                    await wait.cancel()
                    raise
                pieces, size = [], 0
            try:
                pieces = [await wait]
            except StopAsyncIteration:
                return
            size = len(pieces[0])
        if pieces:
            yield b"".join(pieces)
    if not isinstance(error, StopAsyncIteration):
        raise error


async def _ended(body: AsyncIterator[bytes], coding: Decompressor, decoder: ResponseDecoder) -> list[AnyEvent]:
    """Read the rest after [DONE], and return the last events: the body may be cut there, or have another answer.

    Only a response that was read to its end leaves its connection for reuse. A stop does not wait: the answer is
    complete.
    """
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_S):
            async for received in body:
                decoder.feed(coding.feed(received), 0.0)
                left -= len(received)
                if left < 0 or coding.failed:
                    break
    except (TimeoutError, asyncio.CancelledError):
        left = -1
    except (httpx.HTTPError, OSError):
        return decoder.broken(0.0, cut_error())
    return decoder.broken(0.0) if left < 0 else decoder.end(0.0, coding)


async def _error_body(response: httpx.Response) -> str:
    """Return as much of an error's body as comes in time; the status matters more, so failures here are ignored."""
    held, coding = bytearray(), _coding(response)
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(ERROR_BODY_S), aclosing(_bytes(response)) as body:
            async for received in body:
                held += coding.feed(received)
                if len(held) > MAX_ERROR_BYTES:
                    break
    return as_utf8(bytes(held[:MAX_ERROR_BYTES])).decode("utf-8-sig", "replace")

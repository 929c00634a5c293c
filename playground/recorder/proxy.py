"""The forwarding server: every byte of a request goes to the endpoint, every byte of the response to the caller.

h11 frames requests and heads, because informational responses, header case and streams that break off must pass
unchanged; server libraries that parse for applications drop or repair them. Response bodies are copied with their
framing. Hop-by-hop header fields are not forwarded (RFC 9110, section 7.6.1).
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import Literal, Protocol

import h11

from playground.recorder.access import AccessPolicy, AccessRefusal
from playground.recorder.body_framing import BodyFramer, FramingError
from playground.recorder.upstream import READ_BYTES, Upstream, UpstreamConnection, UpstreamError

Outcome = Literal["complete", "upstream_cut", "caller_gone", "upstream_unreachable"]
RawHeaders = list[tuple[bytes, bytes]]

_HOP_BY_HOP = (
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te transfer-encoding upgrade"
)
HOP_BY_HOP = frozenset(_HOP_BY_HOP.split())
MARK = (b"X-Electron-Playground", b"recorder")
"""Header of responses that the Recorder made itself."""
MAX_RESENT_BYTES = 8_388_608
"""A request up to this size is sent again if a reused connection turns out to be closed."""


class ExchangeObserver(Protocol):
    """Receives copies of one exchange. Methods return at once and must not raise."""

    def request_data(self, data: bytes) -> None:
        """Receive a piece of the request body."""

    def request_end(self) -> None:
        """Receive the end of the request body, when it has been forwarded."""

    def response_head(self, status: int, headers: RawHeaders) -> None:
        """Receive status and headers as the endpoint sent them."""

    def response_data(self, data: bytes) -> None:
        """Receive a piece of the response body in its original encoding."""

    def end(self, outcome: Outcome, detail: str) -> None:
        """Receive the end of the exchange. `detail` is a sentence, or empty. Later calls have no effect."""

    async def handed_over(self) -> None:
        """Return when the death of this process cannot lose the ended exchange, or after a bounded time."""


class Observer(Protocol):
    """Observes all exchanges."""

    def begin(self, method: str, target: str, headers: RawHeaders) -> ExchangeObserver:
        """Start observing an exchange, before the request is forwarded."""


class Recorder:
    """The server. `key` replaces the caller's Authorization if it is given."""

    def __init__(self, upstream: Upstream, access: AccessPolicy, observer: Observer, key: str | None = None) -> None:
        self._upstream, self._access, self._observer, self._key = upstream, access, observer, key
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1 and on ::1 if IPv6 exists. Returns the port. Raises OSError if it is in use."""
        first = await asyncio.start_server(self._accept, "127.0.0.1", port)
        chosen = int(first.sockets[0].getsockname()[1])
        self._servers = [first]
        if socket.has_ipv6:
            with suppress(OSError):
                self._servers.append(await asyncio.start_server(self._accept, "::1", chosen))
        return chosen

    async def close(self) -> None:
        """Stop listening, end open exchanges and close all connections."""
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._upstream.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, h11.ProtocolError):
                await _Caller(reader, writer, self._upstream, self._access, self._observer, self._key).serve()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


class _CallerGone(Exception):  # noqa: N818 - control flow inside this module
    """The caller closed its connection."""


class _Caller:
    """One connection of a caller, one exchange after another."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: Upstream,
        access: AccessPolicy,
        observer: Observer,
        key: str | None,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._upstream, self._access, self._observer, self._key = upstream, access, observer, key
        self._http = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        """Serve requests until either side closes the connection."""
        while True:
            event = await self._next_event()
            if not isinstance(event, h11.Request):
                return
            refusal = self._access.check(event.target, list(event.headers))
            if refusal is not None:
                await self._refuse(refusal)
                return
            await self._exchange(event)
            if self._http.their_state is not h11.DONE:
                return
            # The body was written past h11, which therefore does not know that the response has ended.
            received, closed = self._http.trailing_data
            self._http = h11.Connection(h11.SERVER)
            if received:
                self._http.receive_data(received)
            if closed:
                self._http.receive_data(b"")

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(READ_BYTES))
        return event

    async def _exchange(self, request: h11.Request) -> None:
        headers = list(request.headers.raw_items())
        seen = self._observer.begin(request.method.decode(), request.target.decode("latin-1"), headers)
        exchange = _Exchange(self._http, self._reader, self._writer, seen)
        forwarded = h11.Request(
            method=request.method,
            target=self._access.upstream_target(request.target),
            headers=self._request_headers(headers),
        )
        try:
            await exchange.run(self._upstream, forwarded)
        except _CallerGone:
            seen.end("caller_gone", "")
            raise ConnectionResetError from None
        except asyncio.CancelledError:
            if exchange.response_ended:
                seen.end("complete", "")
            else:
                seen.end("caller_gone", "The Recorder was stopped.")
            raise
        except UpstreamError as error:
            seen.end("upstream_unreachable" if not exchange.response_begun else "upstream_cut", str(error))
            if exchange.response_begun:
                await self._break_off()
            await self._refuse(AccessRefusal(502, str(error)))
            raise ConnectionAbortedError from None
        seen.end("complete", "")

    def _request_headers(self, headers: RawHeaders) -> RawHeaders:
        authority = self._upstream.origin.authority.encode("ascii")
        kept = [(name, authority if name.lower() == b"host" else value) for name, value in _end_to_end(headers)]
        if self._key is not None:
            kept = [(name, value) for name, value in kept if name.lower() != b"authorization"]
            kept.append((b"Authorization", f"Bearer {self._key}".encode("ascii")))
        return kept

    async def _break_off(self) -> None:
        """Send the received part, then close without ending the body: the caller sees that the stream broke off."""
        with suppress(OSError):
            await self._writer.drain()
        raise ConnectionAbortedError

    async def _refuse(self, refusal: AccessRefusal) -> None:
        """Answer with an error envelope that is marked as the Recorder's own, and close the connection."""
        kind = "recorder_upstream_error" if refusal.status == 502 else "recorder_refused"
        body = json.dumps({"error": {"message": refusal.message, "type": kind}}).encode()
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"close"),
            MARK,
        ]
        for event in (
            h11.Response(status_code=refusal.status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self._writer.write(self._http.send(event) or b"")
        with suppress(OSError):
            await self._writer.drain()


class _Exchange:
    """One request and its response, copied in both directions at once."""

    def __init__(
        self,
        caller: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: ExchangeObserver,
    ) -> None:
        self._caller, self._reader, self._writer, self._seen = caller, reader, writer, seen
        self._sent: list[h11.Event] | None = []
        """The request's events, to send it again; None once they are too large."""
        self._sent_bytes = 0
        self._method = b""
        self._upstream: UpstreamConnection | None = None
        self.response_begun = False
        self.response_ended = False
        """Whether the caller was given the whole response; closing the connection after that cancels nothing."""

    async def run(self, pool: Upstream, request: h11.Request) -> None:
        """Forward the request and its response. Raises UpstreamError or _CallerGone."""
        self._upstream = await pool.acquire()
        upload = asyncio.create_task(self._upload(request), name="recorder: request body")
        download = asyncio.create_task(self._download(pool), name="recorder: response")
        try:
            await asyncio.wait((upload, download), return_when=asyncio.FIRST_COMPLETED)
            if upload.done() and not download.done() and not self.response_ended:
                upload.result()  # raises _CallerGone
            await download
        finally:
            # Without an await in between: a cancellation here must not leave the connection open.
            upload.cancel()
            download.cancel()
            if self._upstream.reusable:
                pool.release(self._upstream)
            else:
                self._upstream.close()
            await asyncio.gather(upload, download, return_exceptions=True)

    async def _upload(self, request: h11.Request) -> None:
        """Copy the request, then watch the caller until it closes. Raises _CallerGone."""
        self._method = request.method
        await self._send(request)
        while True:
            event = self._caller.next_event()
            if event is h11.NEED_DATA:
                self._receive(await self._read_caller())
            elif isinstance(event, h11.Data):
                await self._send(event)
                self._seen.request_data(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                await self._send(event)
                self._seen.request_end()
                break
            else:
                raise _CallerGone
        # Data after the request belongs to the next one, which h11 holds back.
        while data := await self._read_caller():
            self._receive(data)
        raise _CallerGone

    async def _read_caller(self) -> bytes:
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            raise _CallerGone from None

    def _receive(self, data: bytes) -> None:
        try:
            self._caller.receive_data(data)
        except h11.RemoteProtocolError:
            raise _CallerGone from None

    async def _send(self, event: h11.Event) -> None:
        if self._sent is not None:
            self._sent_bytes += len(event.data) if isinstance(event, h11.Data) else 0
            self._sent.append(event)
            if self._sent_bytes > MAX_RESENT_BYTES:
                self._sent = None
        assert self._upstream is not None
        self._upstream.send(event)
        with suppress(OSError):  # the reading side reports a closed connection
            await self._upstream.writer.drain()

    async def _download(self, pool: Upstream) -> None:
        """Copy the response. Raises UpstreamError if it breaks off."""
        response = await self._head(pool)
        headers = list(response.headers.raw_items())
        self._write(
            h11.Response(status_code=response.status_code, headers=_end_to_end(headers), reason=response.reason)
        )
        self._seen.response_head(response.status_code, headers)
        await self._body(pool, response)

    async def _head(self, pool: Upstream) -> h11.Response:
        """Return the head of the final response; copy informational ones."""
        while True:
            assert self._upstream is not None
            try:
                event = await self._upstream.next_event()
            except (h11.RemoteProtocolError, OSError) as error:
                await self._reconnect(pool, error)
                continue
            if isinstance(event, h11.InformationalResponse):
                headers = list(event.headers.raw_items())
                status, reason = event.status_code, event.reason
                self._write(h11.InformationalResponse(status_code=status, headers=headers, reason=reason))
            elif isinstance(event, h11.Response):
                self.response_begun = True
                return event
            else:
                await self._reconnect(pool, ConnectionResetError("the connection was closed"))

    async def _body(self, pool: Upstream, response: h11.Response) -> None:
        """Copy the body and its end."""
        upstream = self._upstream
        assert upstream is not None
        framer = _framer(self._method, response)
        # A body that ends with the connection, and any body for an HTTP/1.0 caller, is framed by h11.
        is_copied = not framer.until_close and (self._caller.their_http_version or b"1.1") >= b"1.1"
        data, closed = upstream.received()
        try:
            while True:
                payload = framer.feed(data) if data else b""
                if payload:
                    self._seen.response_data(payload)
                if closed:
                    framer.end()
                if framer.ended:
                    break
                if data:
                    self._writer.write(data) if is_copied else self._write(h11.Data(data=payload))
                    await self._drain()
                data = await upstream.reader.read(READ_BYTES)
                closed = not data
        except (FramingError, OSError) as error:
            upstream.close()
            raise UpstreamError(f"{pool.origin.authority} closed the connection: {error}.") from None
        upstream.reusable = not closed and not framer.rest and _stays_open(upstream, response)
        self._seen.end("complete", "")
        await self._seen.handed_over()
        if is_copied:
            self._writer.write(data[: len(data) - len(framer.rest)])
        else:
            if payload:
                self._write(h11.Data(data=payload))
            self._write(h11.EndOfMessage())
        self.response_ended = True
        with suppress(OSError):
            await self._writer.drain()

    async def _reconnect(self, pool: Upstream, error: Exception) -> None:
        """Send the request again on a new connection if a reused one was closed before any byte of the response."""
        assert self._upstream is not None
        sent = self._sent
        untouched = self._upstream.reused and not self.response_begun and not self._upstream.http.trailing_data[0]
        self._upstream.close()
        ended = sent is not None and bool(sent) and isinstance(sent[-1], h11.EndOfMessage)
        if not (untouched and ended):
            raise UpstreamError(f"{pool.origin.authority} closed the connection: {error}.")
        self._upstream = await pool.acquire(fresh=True)
        for event in sent or ():
            self._upstream.send(event)

    def _write(self, event: h11.Event) -> None:
        try:
            self._writer.write(self._caller.send(event) or b"")
        except h11.LocalProtocolError as error:
            raise UpstreamError(f"the endpoint's response is not valid HTTP: {error}.") from None

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            raise _CallerGone from None


def _framer(method: bytes, response: h11.Response) -> BodyFramer:
    """Return the framer of a response's body (RFC 9112, section 6.3)."""
    if method == b"HEAD" or response.status_code in (204, 304):
        return BodyFramer(chunked=False, length=0)
    fields = dict(response.headers)
    if b"transfer-encoding" in fields:
        return BodyFramer(chunked=True)
    length = fields.get(b"content-length")
    return BodyFramer(chunked=False, length=None if length is None else int(length))


def _stays_open(upstream: UpstreamConnection, response: h11.Response) -> bool:
    """Return whether another request can be sent on the connection."""
    named = [value for name, value in response.headers if name == b"connection"]
    is_closed = any(token.strip().lower() == b"close" for value in named for token in value.split(b","))
    return upstream.http.our_state is h11.DONE and response.http_version >= b"1.1" and not is_closed


def _end_to_end(headers: RawHeaders) -> RawHeaders:
    """Return the header fields that are forwarded, in their order: no hop-by-hop fields, none that Connection names.

    A body that was chunked is chunked again; its length field is dropped then (RFC 9112, section 6.3).
    """
    chunked = any(name.lower() == b"transfer-encoding" for name, _ in headers)
    named = {
        token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")
    }
    dropped = (HOP_BY_HOP | named | ({b"content-length"} if chunked else set())) - {b"transfer-encoding"}
    return [
        (name, b"chunked" if name.lower() == b"transfer-encoding" else value)
        for name, value in headers
        if name.lower() not in dropped
    ]

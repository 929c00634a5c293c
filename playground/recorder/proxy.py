"""The forwarding server: every byte of a request goes to the endpoint, every byte of the response to the caller.

Heads are parsed, bodies are copied with their framing. Hop-by-hop header fields are not forwarded (RFC 9110, section
7.6.1). The caller's bytes are forwarded before the feed gets its copy.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from playground.prompt.secret_values import masked_address
from playground.recorder.upstream import (
    AccessPolicy,
    AccessRefusal,
    Origin,
    Upstream,
    UpstreamConnection,
    UpstreamError,
)
from playground.recorder.wire import (
    BodyFramer,
    FramingError,
    HttpError,
    RequestHead,
    ResponseHead,
    Wire,
    encode_head,
    header_lines,
    is_recorded,
    parse_request,
    parse_response,
    peer_is_closed,
    read_codings,
)

if TYPE_CHECKING:
    from playground.recorder.feed import ObservedExchange, RecordingFeed

ExchangeOutcome = Literal[
    "complete", "upstream_cut", "caller_gone", "upstream_unreachable", "upstream_invalid", "not_recorded", "killed"
]
"""How an exchange ended. not_recorded: its rest is forwarded only. killed: the forwarding process was killed."""

MARK = (b"X-Electron-Playground", b"recorder")
"""Header of responses that the Recorder made itself."""
BODY_WAIT_S = 1.0
"""Longest wait for the rest of a request's body after the endpoint could not be reached."""
CALLER_CHECK_S = 0.5
"""Time between two checks whether a caller that sends nothing more still waits for its response."""
_ABSOLUTE = re.compile(rb"[A-Za-z]+://[^/?#]*([^#]*)(?:#.*)?")
_DONE_BYTES = 32
"""Newest bytes of a stream that are searched for its last event."""
DONE_WAIT_S = 0.1
"""Longest wait of a stream's [DONE] for the end of the body, or for what an endpoint sends after it."""
_PATH_CHARS = 120
MAX_WRONG_PATHS = 5
"""Different sentences about wrong paths; requests with others are counted together."""
_OTHER_PATHS = "Requests with other paths were answered with 404."
MAX_AFTER_DONE_BYTES = 65_536
MAX_RESENT_BYTES = 8_388_608
"""A request up to this size is sent again if a reused connection turns out to be closed."""
_SAFE_METHODS = (b"GET", b"HEAD", b"OPTIONS")
"""Others may have had their effect before the connection was closed (RFC 9110, section 9.2.2)."""


class Recorder:
    """The server. `key` replaces the caller's Authorization if it is given.

    `on_wrong_path` receives a sentence about a request whose path the Recorder or the endpoint does not have: the first
    one, and again with their number after 10, 100, … of them; at the end the number of those that have no sentence.
    """

    def __init__(
        self,
        upstream: Upstream,
        access: AccessPolicy,
        feed: RecordingFeed,
        key: str | None = None,
        on_wrong_path: Callable[[str], object] = lambda _sentence: None,
    ) -> None:
        self._on_wrong_path = on_wrong_path
        self._wrong_paths: Counter[str] = Counter()
        self.upstream, self.access, self.feed, self.key = upstream, access, feed, key
        self._servers: list[asyncio.Server] = []
        self._is_closed = False
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1 and on ::1 if IPv6 exists. Returns the port. Raises OSError if it is in use."""
        loop = asyncio.get_running_loop()
        first = await loop.create_server(lambda: Wire(self._accept), "127.0.0.1", port)
        chosen = int(first.sockets[0].getsockname()[1])
        self._servers = [first]
        if socket.has_ipv6:
            with suppress(OSError):
                self._servers.append(await loop.create_server(lambda: Wire(self._accept), "::1", chosen))
        return chosen

    async def close(self) -> None:
        """End all exchanges. None begins or goes on after this."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        for listening in (one for server in self._servers for one in server.sockets):
            with suppress(NotImplementedError):  # Windows: what is accepted is a connection at once
                loop.remove_reader(listening)
        # What was accepted becomes a connection now, and is closed: of a closed server, asyncio would leave it open.
        await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        if (others := self._wrong_paths.pop(_OTHER_PATHS, 0)) > 1:
            self._on_wrong_path(f"{_OTHER_PATHS} ({others:,} such requests in total.)")
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self.upstream.close()

    def _accept(self, wire: Wire) -> None:
        if self._is_closed:  # it was accepted before the port was closed
            wire.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(wire), name="recorder: connection")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: wire.transport.close())  # also if it was cancelled before it began

    async def _serve(self, wire: Wire) -> None:
        """Serve requests until either side closes the connection."""
        try:
            with suppress(OSError):
                while await self._serve_one(wire):
                    pass
        except asyncio.CancelledError:
            wire.abort()

    async def _serve_one(self, wire: Wire) -> bool:
        """Serve a request. Returns whether the connection stays open."""
        try:
            data = await wire.read_head()
            if not data:
                return False
            request = parse_request(data)
            framer = request.framer()
            if not request.target.startswith(b"/"):
                self._make_origin_form(request, wire)
        except HttpError as error:
            _refuse(wire, AccessRefusal(error.status, str(error)))
            await _discard(wire)
            return False
        refusal = self.access.check(request.target, request.fields)
        if refusal is not None:
            self.tell_wrong_path(request, refusal.status, refusal.message)
            _refuse(wire, refusal)
            await _discard(wire)
            return False
        return await _Exchange(self, wire, request, framer).run()

    def tell_wrong_path(self, request: RequestHead, status: int, reason: str) -> None:
        """Report a request that is not listed and was answered with 404. A path that may have the token is left out."""
        if status != 404:
            return
        path = request.target.split(b"?", 1)[0].decode("latin-1")
        shown = "a path without the token" if self.access.token else masked_address(path)[:_PATH_CHARS]
        sentence = f"{request.method.decode('latin-1')} {shown} was answered with 404. {reason}"
        if sentence not in self._wrong_paths and len(self._wrong_paths) >= MAX_WRONG_PATHS:
            sentence = _OTHER_PATHS
        self._wrong_paths[sentence] += 1
        count = self._wrong_paths[sentence]
        if f"{count}".strip("0") == "1":  # 1, 10, 100, …
            self._on_wrong_path(sentence if count == 1 else f"{sentence} (So far {count:,} such requests.)")

    def _make_origin_form(self, request: RequestHead, wire: Wire) -> None:
        """Make an absolute target, as clients send it to an HTTP proxy, a path. Raises HttpError for other hosts."""
        if request.method == b"CONNECT":
            raise HttpError("The Recorder opens no tunnels: use its base URL instead of HTTPS_PROXY.", 405)
        found = _ABSOLUTE.fullmatch(request.target)
        try:
            origin = Origin.of(request.target.decode("latin-1"))
        except ValueError:
            found = None
        if found is None:
            raise HttpError("The target of the request is not valid.")
        endpoint = self.upstream.origin
        here = Origin("http", "localhost", int(wire.transport.get_extra_info("sockname")[1]))
        if not (origin.is_same(endpoint) or origin.is_same(here)):
            reason = f"The Recorder is no proxy for {origin.authority}: it forwards to {endpoint.authority} only."
            advice = "Use its base URL instead of HTTP_PROXY, or list the other host in NO_PROXY."
            raise HttpError(f"{reason} {advice}", 403)
        path = found[1]
        request.target = path if path.startswith(b"/") else b"/" + path
        # The target names the host; a proxy ignores the field (RFC 9112, section 3.2.2).
        request.drop(b"host")

    def forwarded_head(self, request: RequestHead, upstream: UpstreamConnection) -> bytes:
        """Return the head that is sent to the endpoint, or to a proxy in front of it."""
        authority = self.upstream.origin.authority.encode("ascii")
        fields = request.end_to_end()
        if self.key is not None:
            key_line = f"Authorization: Bearer {self.key}".encode("ascii")
            fields = [*(one for one in fields if one[0] != b"authorization"), (b"authorization", key_line)]
        target = self.access.upstream_target(request.target)
        if is_recorded(request.method.decode(), target.decode("latin-1")):
            fields = [(name, read_codings(line) if name == b"accept-encoding" else line) for name, line in fields]
        lines = [b"%b: %b" % (line[:4], authority) if name == b"host" else line for name, line in fields]
        if b"host" not in request.values:  # a caller of HTTP/1.0
            lines.insert(0, b"Host: " + authority)
        target = upstream.target_prefix + target
        return encode_head(b"%b %b HTTP/1.1" % (request.method, target), (*lines, *upstream.proxy_lines))


def _refuse(wire: Wire, refusal: AccessRefusal) -> None:
    """Answer with an error envelope that is marked as the Recorder's own. The connection is to be closed then."""
    kind = "recorder_upstream_error" if refusal.status == 502 else "recorder_refused"
    body = json.dumps({"error": {"message": refusal.message, "type": kind}}).encode()
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Connection", b"close"),
        MARK,
    ]
    wire.write(encode_head(b"HTTP/1.1 %d " % refusal.status, header_lines(headers)) + body)


async def _discard(wire: Wire) -> None:
    """Read what the caller still sends: closing a socket with unread data would reset it before the answer is read."""
    wire.end_writing()
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(BODY_WAIT_S):
            while await wire.read():
                pass


async def _copy(source: Wire, target: Wire) -> None:
    """Copy bytes until the source sends nothing more, and pass that on: the other direction may still be used."""
    try:
        while data := await source.read():
            target.write(data)
            await target.drain()
    except OSError:
        source.abort()
        target.abort()
    target.end_writing()


class _CallerGone(Exception):  # noqa: N818 - control flow inside this module
    """The caller closed its connection."""


class _Exchange:
    def __init__(self, recorder: Recorder, caller: Wire, request: RequestHead, framer: BodyFramer) -> None:
        self._recorder, self._caller, self._request, self._framer = recorder, caller, request, framer
        self._is_first = not caller.has_served
        caller.has_served = True
        self._pool = recorder.upstream
        self._sent: list[bytes] | None = [] if request.method in _SAFE_METHODS else None
        """The request's bytes, to send it again; None if it must not be, or they are too large."""
        self._sent_bytes = 0
        self._upstream: UpstreamConnection | None = None
        self._upload: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._seen: ObservedExchange | None = None
        self._is_copied = True
        """Whether the caller gets the body of the response with its framing; otherwise the payload alone."""
        self._is_gone = self._has_begun = self._has_ended = False
        """Whether the caller is gone; whether the response has begun, and has ended."""

    async def run(self) -> bool:
        """Forward the request and its response. Returns whether the caller's connection stays open."""
        unsubscribe = self._caller.on_closed.subscribe(self._caller_closed)
        if self._caller.closed:
            self._caller_closed()
        try:
            stays_open = await self._forward()
        except _CallerGone:
            self._end("caller_gone", "")
            return False
        except asyncio.CancelledError:
            self._end("caller_gone", "The Recorder was stopped.")
            raise
        except UpstreamError as error:
            await self._fail(str(error), "upstream_invalid" if error.is_reached else "upstream_unreachable")
            return False
        finally:
            unsubscribe()
            for task in (self._upload, self._check):
                if task is not None:
                    task.cancel()
            if self._upstream is not None:
                self._pool.release(self._upstream)
        return stays_open and not self._is_gone

    async def _fail(self, message: str, outcome: ExchangeOutcome) -> None:
        """Answer 502 if the endpoint failed before its response.

        After a part of the response, the connection is closed without its end: the caller sees the cut.
        """
        if self._is_gone:
            self._end("caller_gone", "")
        elif self._has_begun:
            self._end("upstream_cut", message)
        else:
            try:
                await self._receive_rest()
            finally:
                self._end(outcome, message)
            # Before the answer: a request whose 502 has arrived is recorded, also if the Recorder is stopped then.
            if self._seen is not None:
                await self._seen.handed_over()
            _refuse(self._caller, AccessRefusal(502, message))

    def _caller_closed(self) -> None:
        if self._caller.lost:
            self._cancel()
        elif self._check is None:
            self._check = asyncio.get_running_loop().create_task(self._check_caller(), name="recorder: caller")

    async def _check_caller(self) -> None:
        """Cancel the request of a caller that is closed. One that only sends nothing more gets its response."""
        one = self._caller.transport.get_extra_info("socket")
        while not await asyncio.to_thread(peer_is_closed, one):  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(CALLER_CHECK_S)
        self._cancel()

    def _cancel(self) -> None:
        """Cancel the request: closing the connection to the endpoint ends every wait for it."""
        self._is_gone = True
        if self._upstream is not None and not self._has_ended:
            self._upstream.close()

    def _end(self, outcome: ExchangeOutcome, detail: str) -> None:
        if self._seen is None:  # no byte was forwarded
            self._seen = self._observe()
        self._seen.end(outcome, detail)

    def _observe(self) -> ObservedExchange:
        request = self._request
        target = self._recorder.access.upstream_target(request.target).decode("latin-1")  # without the token
        return self._recorder.feed.begin(request.method.decode(), target, request.fields)

    async def _receive_rest(self) -> None:
        """Read what is left of the request's body, so that the request is recorded. Waits BODY_WAIT_S at most."""
        if self._seen is None:
            await self._receive_body()
        elif self._upload is not None and b"expect" not in self._request.values:
            await asyncio.wait([self._upload], timeout=BODY_WAIT_S)

    async def _receive_body(self) -> None:
        """Read a body that cannot be forwarded: the request is recorded with its failure. Waits BODY_WAIT_S at most."""
        seen = self._seen = self._observe()
        with suppress(TimeoutError, OSError, _CallerGone):
            async with asyncio.timeout(BODY_WAIT_S):
                data = self._caller.received()
                while True:
                    _, payload = self._body_piece(data)
                    if payload:
                        seen.request_data(payload)
                    if self._framer.ended:
                        break
                    data = await self._caller.read()
                    if not data:
                        return
                seen.request_end()

    async def _forward(self) -> bool:
        # Without the Recorder, the first request on a caller's connection would go to the endpoint on a new one too. A
        # connection that is reused may be closed there at this moment, and a POST cannot be sent again.
        fresh = self._is_first and self._request.method not in _SAFE_METHODS
        self._upstream = await self._pool.acquire(fresh=fresh)
        if self._is_gone:
            raise _CallerGone
        body, payload = self._body_piece(self._caller.received())
        self._send(self._recorder.forwarded_head(self._request, self._upstream) + body)
        seen = self._seen = self._observe()
        if payload:
            seen.request_data(payload)
        if self._framer.ended:
            seen.request_end()
        else:
            self._upload = asyncio.get_running_loop().create_task(self._send_body(seen), name="recorder: request body")
        response = await self._response_head()
        target = self._recorder.access.upstream_target(self._request.target).decode("latin-1")
        if not is_recorded(self._request.method.decode("latin-1"), target):
            said = "The endpoint has no such path; the Recorder lists only requests to …/chat/completions."
            self._recorder.tell_wrong_path(self._request, response.status, said)
        if response.status == 101:
            await self._tunnel(seen, response)
            return False
        return await self._respond(seen, response)

    def _body_piece(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the bytes and the payload of the request's body in received bytes. Raises _CallerGone."""
        try:
            payload = self._framer.feed(data)
        except FramingError:
            raise _CallerGone from None
        rest, self._framer.rest = self._framer.rest, b""
        if rest:  # the next request
            self._caller.unread(rest)
        return data[: len(data) - len(rest)], payload

    def _send(self, data: bytes) -> None:
        assert self._upstream is not None
        self._upstream.write(data)
        if self._sent is not None:
            self._sent_bytes += len(data)
            self._sent.append(data)
            if self._sent_bytes > MAX_RESENT_BYTES:
                self._sent = None

    async def _send_body(self, seen: ObservedExchange) -> None:
        while not self._framer.ended:
            try:
                data = await self._caller.read()
                if not data:
                    raise _CallerGone
                body, payload = self._body_piece(data)
            except (_CallerGone, OSError):
                self._cancel()
                return
            self._send(body)
            seen.request_data(payload)
            assert self._upstream is not None
            with suppress(OSError):  # the reading side reports a closed connection
                await self._upstream.drain()
        seen.request_end()

    async def _response_head(self) -> ResponseHead:
        """Return the head of the final response; copy informational ones. Raises UpstreamError."""
        while True:
            assert self._upstream is not None
            try:
                data = await self._upstream.read_head()
                if data:
                    head = parse_response(data)
                    if head.status >= 200:
                        return head
                    if head.status == 101:
                        if self._request.is_websocket and head.is_websocket:
                            return head
                        raise HttpError("it switches protocols")  # the request for it was not forwarded
                    if self._request.version == b"1.1":  # older callers know no informational responses
                        start = b"HTTP/1.1 %d%b" % (head.status, head.reason)
                        self._caller.write(encode_head(start, (line for _, line in head.end_to_end())))
                    continue
                await self._reconnect("the connection was closed")
            except HttpError as error:
                self._upstream.close()
                message = f"{self._pool.origin.authority} sent an invalid response: {error}."
                raise UpstreamError(message, is_reached=True) from None
            except OSError as error:
                await self._reconnect(str(error))

    async def _tunnel(self, seen: ObservedExchange, response: ResponseHead) -> None:
        """Copy the bytes of a WebSocket in both directions until both sides have ended. They are not recorded."""
        upstream, caller = self._upstream, self._caller
        assert upstream is not None
        seen.response_head(response.status, response.fields)
        self._has_begun = upstream.is_tunnel = True
        self._write_head(response, stays_open=True)
        loop = asyncio.get_running_loop()
        copying = [loop.create_task(_copy(*pair)) for pair in ((caller, upstream), (upstream, caller))]
        try:
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            if not upstream.transport.is_closing():
                await asyncio.wait(copying)
        finally:
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
        self._upstream = None
        upstream.transport.close()  # sends the rest
        seen.end("complete", "")

    async def _reconnect(self, reason: str) -> None:
        """Send the request again on a new connection if a reused one was closed before any byte of the response.

        Never a POST: the endpoint may have received it, and bill it.
        """
        assert self._upstream is not None
        untouched = self._upstream.reused and self._upstream.is_untouched
        self._upstream.close()
        if self._is_gone or not untouched or self._sent is None or not self._framer.ended:
            raise UpstreamError(f"{self._pool.origin.authority} closed the connection: {reason}.", is_reached=True)
        self._upstream = await self._pool.acquire(fresh=True)
        if self._is_gone:
            raise _CallerGone
        self._upstream.write(b"".join(self._sent))

    async def _respond(self, seen: ObservedExchange, response: ResponseHead) -> bool:
        """Copy the response. Returns whether the caller's connection stays open. Raises UpstreamError."""
        upstream, caller, request = self._upstream, self._caller, self._request
        assert upstream is not None
        framer = BodyFramer(chunked=True)
        try:
            framer = response.framer(request.method)
            is_chunked = b"transfer-encoding" in response.values
            # An HTTP/1.0 caller knows no chunks: its body ends with the connection.
            self._is_copied = not is_chunked or request.version == b"1.1"
            stays_open = request.keeps_open and self._is_copied and not framer.until_close and self._framer.ended
            seen.response_head(response.status, response.fields)
            try:
                if framer.ended:  # without a body, the head is what the caller waits for
                    await self._send_to_recording(seen)
            finally:
                self._has_begun = True
                self._write_head(response, stays_open=stays_open)
            data, payload = await self._copy_body(seen, response, framer)
        except (FramingError, HttpError, OSError) as error:
            upstream.close()
            if framer.until_close:
                await caller.reset()
            raise UpstreamError(self._closed(error), is_reached=True) from None
        rest = framer.rest
        self._has_ended = True
        upstream.reusable = self._framer.ended and not rest and not framer.until_close and response.keeps_open
        try:
            await self._send_to_recording(seen)
        finally:
            if data:
                self._write_body(data[: len(data) - len(rest)], payload)
        await self._drain()
        return stays_open

    def _write_body(self, data: bytes, payload: bytes) -> None:
        """Write received bytes of the response's body, or their payload, to the caller."""
        self._caller.write(data if self._is_copied else payload)

    async def _copy_body(
        self, seen: ObservedExchange, response: ResponseHead, framer: BodyFramer
    ) -> tuple[bytes, bytes]:
        """Copy the body but for its last bytes. Returns them and their payload. Raises FramingError and OSError."""
        upstream = self._upstream
        assert upstream is not None
        is_stream = b"text/event-stream" in b"".join(response.values.get(b"content-type", ())).lower()
        data, tail = upstream.received(), b""
        while True:
            try:
                payload = framer.feed(data)
            except FramingError as error:
                if error.payload:
                    seen.response_data(error.payload)
                    self._write_body(data, error.payload)
                raise
            if payload:
                seen.response_data(payload)
            tail = (tail + payload)[-_DONE_BYTES:] if is_stream else b""
            if not framer.ended and tail.rstrip().endswith(b"data: [DONE]"):
                data, payload = await self._follow_done(seen, framer, data, payload)
            if framer.ended:
                return data, payload
            if data:
                self._write_body(data, payload)
                await self._drain()
            data = await upstream.read()
            if self._is_gone:
                raise _CallerGone
            if not data:
                framer.end()

    async def _follow_done(
        self, seen: ObservedExchange, framer: BodyFramer, data: bytes, payload: bytes
    ) -> tuple[bytes, bytes]:
        """Read what follows [DONE] for at most DONE_WAIT_S, then end the record: callers do not wait for the rest.

        Returns `data` and `payload` with what was read. Raises FramingError and OSError.
        """
        assert self._upstream is not None
        try:
            async with asyncio.timeout(DONE_WAIT_S):
                while not framer.ended and len(data) < MAX_AFTER_DONE_BYTES:
                    more = await self._upstream.read()
                    if self._is_gone:
                        raise _CallerGone
                    data += more
                    piece = framer.feed(more)
                    seen.response_data(piece)
                    payload += piece
                    if not more:
                        framer.end()
        except TimeoutError:
            pass
        except (FramingError, OSError) as error:
            rest = error.payload if isinstance(error, FramingError) else b""
            seen.response_data(rest)
            await self._send_to_recording(seen, "upstream_cut", self._closed(error))
            self._write_body(data, payload + rest)
            await self._drain()
            raise
        try:
            await self._send_to_recording(seen)
        except asyncio.CancelledError:  # the record says that the caller got it
            self._write_body(data, payload)
            raise
        return data, payload

    def _closed(self, error: Exception) -> str:
        return f"{self._pool.origin.authority} closed the connection: {error}."

    async def _send_to_recording(
        self, seen: ObservedExchange, outcome: ExchangeOutcome = "complete", detail: str = ""
    ) -> None:
        """End the record of a response before its last bytes are written."""
        try:
            await self._receive_rest()  # an endpoint may answer before it has read the request
        finally:
            seen.end(outcome, detail)
        await seen.handed_over()

    def _write_head(self, response: ResponseHead, *, stays_open: bool) -> None:
        fields = response.end_to_end()
        if not self._is_copied:
            fields = [(name, line) for name, line in fields if name != b"transfer-encoding"]
        lines = [line for _, line in fields]
        if not stays_open:
            lines.append(b"Connection: close")
        elif self._request.version == b"1.0":
            lines.append(b"Connection: keep-alive")
        self._caller.write(encode_head(b"HTTP/1.1 %d%b" % (response.status, response.reason), lines))

    async def _drain(self) -> None:
        try:
            await self._caller.drain()
        except OSError:
            raise _CallerGone from None

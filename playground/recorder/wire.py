"""TCP connections and HTTP/1.1 heads for forwarding: heads are validated and passed on unchanged.

Server and client libraries parse for applications: they drop informational responses, trailers and the case of header
names, and cost several times as much as copying.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from playground.recorder.body_framing import BodyFramer

MAX_HEAD_BYTES = 131_072
MAX_BUFFER_BYTES = 262_144
"""Received bytes that may wait to be read; then the socket is not read."""

RawHeaders = list[tuple[bytes, bytes]]

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_FIELDS = re.compile(rb"(?:" + _TOKEN + rb":[^\x00\r\n]*\r?\n)*\r?\n")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):([^\x00\r\n]*)\r?\n")
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/(1\.[01])")
_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})(?: ([\t \x21-\x7e\x80-\xff]*))?")
_HOP_BY_HOP = (
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te transfer-encoding upgrade"
)
HOP_BY_HOP = frozenset(_HOP_BY_HOP.split())


class HttpError(Exception):
    """A head that is not valid HTTP/1.1. `status` is the answer to such a request."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Head:
    """The fields of a head in their order, and by lower-case name."""

    version: bytes
    fields: RawHeaders
    values: dict[bytes, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.fields:
            self.values.setdefault(name.lower(), []).append(value)

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the lower-case elements of a field with a comma-separated list."""
        return {token.strip().lower() for value in self.values.get(name, ()) for token in value.split(b",")}

    def end_to_end(self) -> RawHeaders:
        """Return the fields that are forwarded: no hop-by-hop fields, none that Connection names.

        A chunked body stays chunked; a length is dropped then (RFC 9112, section 6.3).
        """
        dropped = HOP_BY_HOP | self.tokens(b"connection")
        if b"transfer-encoding" in self.values:
            dropped = (dropped | {b"content-length"}) - {b"transfer-encoding"}
        return [(name, value) for name, value in self.fields if name.lower() not in dropped]


@dataclass(slots=True)
class RequestHead(Head):
    """The head of a request."""

    method: bytes = b""
    target: bytes = b""

    def framer(self) -> BodyFramer:
        """Return the framer of the body. Raises HttpError."""
        if b"transfer-encoding" in self.values:
            if self.tokens(b"transfer-encoding") != {b"chunked"}:
                raise HttpError("The transfer coding is not supported.", 501)
            if b"content-length" in self.values or self.version == b"1.0":
                raise HttpError("Transfer-Encoding must not be combined with Content-Length or HTTP/1.0.")
            return BodyFramer(chunked=True)
        return BodyFramer(chunked=False, length=_length(self) or 0)


@dataclass(slots=True)
class ResponseHead(Head):
    """The head of a response."""

    status: int = 0
    reason: bytes = b""

    def framer(self, method: bytes) -> BodyFramer:
        """Return the framer of the body of a response to `method` (RFC 9112, section 6.3). Raises HttpError."""
        if method == b"HEAD" or self.status in (204, 304):
            return BodyFramer(chunked=False, length=0)
        if b"transfer-encoding" in self.values:
            if self.tokens(b"transfer-encoding") != {b"chunked"}:
                raise HttpError("the transfer coding of the response is not supported")
            return BodyFramer(chunked=True)
        return BodyFramer(chunked=False, length=_length(self))


def _length(head: Head) -> int | None:
    values = set(head.values.get(b"content-length", ()))
    if not values:
        return None
    (value, *others) = values
    if others or not value.isdigit() or len(value) > 18:
        raise HttpError("Content-Length is not valid.")
    return int(value)


def parse_request(data: bytes) -> RequestHead:
    """Parse the head of a request. Raises HttpError."""
    start, fields = _split(data)
    found = _REQUEST.fullmatch(start)
    if found is None:
        raise HttpError("The request line is not valid.")
    method, target, version = found.groups()
    head = RequestHead(version, fields, method=method, target=target)
    if version == b"1.1" and len(head.values.get(b"host", ())) != 1:
        raise HttpError("A request has exactly one Host header.")
    return head


def parse_response(data: bytes) -> ResponseHead:
    """Parse the head of a response. Raises HttpError."""
    start, fields = _split(data)
    found = _STATUS.fullmatch(start)
    if found is None:
        raise HttpError("the status line is not valid")
    version, status, reason = found.groups()
    return ResponseHead(version, fields, status=int(status), reason=reason or b"")


def _split(data: bytes) -> tuple[bytes, RawHeaders]:
    start, _, rest = data.partition(b"\n")
    if b"\n " in rest or b"\n\t" in rest:
        rest = _FOLD.sub(b" ", rest)
    if _FIELDS.fullmatch(rest) is None:
        raise HttpError("A header field is not valid.")
    return start.removesuffix(b"\r"), [(name, value.strip(b" \t")) for name, value in _FIELD.findall(rest)]


def encode_head(start: bytes, fields: RawHeaders) -> bytes:
    """Return a head as bytes."""
    return b"%b\r\n%b\r\n" % (start, b"".join([b"%b: %b\r\n" % one for one in fields]))


class Wire(asyncio.Protocol):
    """One TCP connection. At most one coroutine reads and one waits in `drain`."""

    transport: asyncio.Transport

    def __init__(self, on_open: Callable[[Wire], None] = lambda _wire: None) -> None:
        self._on_open = on_open
        self.on_closed: Callable[[], None] = lambda: None
        """Called when the other side closes, in either direction, or the connection breaks."""
        self.closed = False
        self._lost = False
        self._error: Exception | None = None
        """Why the connection broke; None if it was closed."""
        self._received = bytearray()
        self._reading: asyncio.Future[None] | None = None
        self._draining: asyncio.Future[None] | None = None
        self._is_full = self._is_paused = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Keep received bytes."""
        self._received += data
        if len(self._received) > MAX_BUFFER_BYTES and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        _wake(self._reading)

    def eof_received(self) -> bool:
        """Note that the other side sends nothing more."""
        self._close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waits."""
        self._lost, self._error = True, exc
        self._close()
        _wake(self._draining)

    def pause_writing(self) -> None:
        """Note that the send buffer is full."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Note that the send buffer has room."""
        self._is_full = False
        _wake(self._draining)

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            _wake(self._reading)
            self.on_closed()

    # Reading and writing

    async def read(self) -> bytes:
        """Return the received bytes; wait for some. Empty at the end. Raises OSError if the connection broke."""
        while not self._received and not self.closed:
            self._reading = asyncio.get_running_loop().create_future()
            try:
                await self._reading
            finally:
                self._reading = None
        return self._take(len(self._received))

    async def read_head(self) -> bytes:
        """Return the bytes of a head with its empty line. Empty if the connection ended before. Raises HttpError."""
        start = 0
        while True:
            while self._received and self._received[0] in b"\r\n":
                del self._received[0]
            if (found := _HEAD_END.search(self._received, start)) is not None:
                return self._take(found.end())
            if len(self._received) > MAX_HEAD_BYTES:
                raise HttpError("The head is too long.", 431)
            if self.closed:
                return self._take(0)
            start = max(0, len(self._received) - 2)
            self._reading = asyncio.get_running_loop().create_future()
            try:
                await self._reading
            finally:
                self._reading = None

    def received(self) -> bytes:
        """Return the received bytes without waiting."""
        return self._take(len(self._received))

    def unread(self, data: bytes) -> None:
        """Put bytes back in front of the received ones."""
        self._received[:0] = data

    @property
    def is_untouched(self) -> bool:
        """Return whether no received bytes wait to be read."""
        return not self._received

    def _take(self, size: int) -> bytes:
        if size == 0 and self._error is not None:
            raise self._error
        data = bytes(self._received[:size])
        del self._received[:size]
        if self._is_paused and len(self._received) <= MAX_BUFFER_BYTES:
            self._is_paused = False
            self.transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the send buffer has room. Raises OSError if the connection broke."""
        while self._is_full and not self._lost:
            self._draining = asyncio.get_running_loop().create_future()
            try:
                await self._draining
            finally:
                self._draining = None
        if self._lost:
            raise ConnectionResetError("the connection is closed") from self._error

    async def reset(self) -> None:
        """Flush, then reset the connection: the other side sees that a body without a length broke."""
        self.transport.set_write_buffer_limits(high=0)
        with suppress(OSError):
            await self.drain()
        if (one := self.transport.get_extra_info("socket")) is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        """Close at once; unsent data is dropped."""
        self.transport.abort()


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)

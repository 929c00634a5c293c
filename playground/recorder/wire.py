"""TCP connections and HTTP/1.1 heads for forwarding: heads are validated and forwarded line by line.

Server and client libraries parse for applications: they drop informational responses, trailers and the case of header
names, and cost several times as much as copying.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal, cast

from msgspec import Struct, field

from playground.client.content_coding import READ_CODINGS
from playground.tasks import Subscribers

MAX_LINE_BYTES = 65_536
"""Longest line of a chunk's size or of a trailer field."""

_State = Literal["size", "data", "after_data", "trailer", "plain", "until_close"]


def is_recorded(method: str, target: str) -> bool:
    """Return whether exchanges of this request are recorded. All others are only forwarded."""
    return method == "POST" and target.split("?", 1)[0].rstrip("/").endswith("/chat/completions")


def read_codings(line: bytes) -> bytes:
    """Return an Accept-Encoding line without the codings that are not read, unless it has no other."""
    name, _, value = line.partition(b":")
    names = {*READ_CODINGS, "identity"}
    kept = [one for one in value.split(b",") if one.split(b";")[0].strip().lower().decode("latin-1") in names]
    return name + b":" + b",".join(kept) if kept else line


class FramingError(Exception):
    """The body is not valid HTTP. The message is a sentence without an end."""

    payload = b""
    """The payload in front of the fault, in the bytes with the fault."""


class BodyFramer:
    """Follows one body. `ended` is True after its last byte; `rest` has the bytes received after that.

    Args:
        chunked: whether the body has the chunked transfer coding.
        length: its Content-Length; None if it is chunked, or ends with the connection.
    """

    def __init__(self, *, chunked: bool, length: int | None = None) -> None:
        self.ended = False
        self.rest = b""
        self.until_close = not chunked and length is None
        self._state: _State = "size" if chunked else "until_close" if length is None else "plain"
        self._left = length or 0
        self._line = b""
        if self._state == "plain" and self._left == 0:
            self.ended = True

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`, without the framing. Raises FramingError."""
        if self.ended:
            self.rest += data
            return b""
        if self._state == "until_close":
            return data
        if self._state == "plain":
            return self._plain(data)
        return self._chunks(data)

    def end(self) -> None:
        """Note that the connection was closed. Raises FramingError if the body is incomplete."""
        if not self.ended and not self.until_close:
            raise FramingError("the body is incomplete")
        self.ended = True

    def _plain(self, data: bytes) -> bytes:
        if len(data) < self._left:
            self._left -= len(data)
            return data
        payload, self.rest = data[: self._left], data[self._left :]
        self.ended = True
        return payload

    def _chunks(self, data: bytes) -> bytes:
        pieces = []
        offset, size = 0, len(data)
        while offset < size and not self.ended:
            if self._state == "data":
                piece = data[offset : offset + self._left]
                pieces.append(piece)
                offset += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._state = "after_data"
                continue
            newline = data.find(b"\n", offset)
            if newline < 0:
                self._line += data[offset:]
                if len(self._line) > MAX_LINE_BYTES:
                    raise FramingError("a line of the chunked body is too long")
                break
            line = self._line + data[offset:newline]
            self._line = b""
            offset = newline + 1
            try:
                self._take_line(line.removesuffix(b"\r"))
            except FramingError as error:
                error.payload = b"".join(pieces)
                raise
        if self.ended:
            self.rest = data[offset:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._state == "size":
            digits = line.split(b";", 1)[0].strip()
            # int() also accepts signs, spaces and underscores.
            if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
                raise FramingError("a chunk has no valid size")
            self._left = int(digits, 16)
            self._state = "data" if self._left else "trailer"
        elif self._state == "after_data":
            if line:
                raise FramingError("a chunk is longer than its size")
            self._state = "size"
        elif not line:
            self.ended = True


MAX_HEAD_BYTES = 131_072
MAX_BUFFER_BYTES = 262_144
"""Received bytes that may wait to be read; then the socket is not read."""

RawHeaders = list[tuple[bytes, bytes]]

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LINE = rb"(" + _TOKEN + rb"):([^\x00\r\n]*(?:\r?\n[ \t][^\x00\r\n]*)*)\r?\n"
_FIELDS = re.compile(rb"(?:" + _LINE + rb")*\r?\n")
_FIELD = re.compile(_LINE)
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/(1\.[01])")
_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})((?: [\t \x21-\x7e\x80-\xff]*)?)")
_HOP_BY_HOP = (
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te transfer-encoding upgrade"
)
HOP_BY_HOP = frozenset(_HOP_BY_HOP.split())


class HttpError(Exception):
    """A head that is not valid HTTP/1.1. `status` is the answer to such a request."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Head(Struct):
    """The fields of a head in their order, and by lower-case name. `lines` are the received lines."""

    version: bytes
    fields: RawHeaders
    lines: list[bytes]
    values: dict[bytes, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.fields:
            self.values.setdefault(name.lower(), []).append(value)

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the lower-case elements of a field with a comma-separated list."""
        return {token.strip().lower() for value in self.values.get(name, ()) for token in value.split(b",")}

    @property
    def keeps_open(self) -> bool:
        """Return whether the sender keeps the connection open after the exchange."""
        tokens = self.tokens(b"connection")
        return b"close" not in tokens and (self.version == b"1.1" or b"keep-alive" in tokens)

    @property
    def is_websocket(self) -> bool:
        """Return whether the head asks for a WebSocket, or agrees to one."""
        return b"upgrade" in self.tokens(b"connection") and self.tokens(b"upgrade") == {b"websocket"}

    def end_to_end(self) -> list[tuple[bytes, bytes]]:
        """Return name and line of the fields that are forwarded: no hop-by-hop fields, none that Connection names.

        A chunked body stays chunked; a length is dropped then (RFC 9112, section 6.3). A WebSocket upgrade passes.
        """
        dropped = HOP_BY_HOP | self.tokens(b"connection")
        if self.is_websocket:
            dropped -= {b"connection", b"upgrade"}
        if b"transfer-encoding" in self.values:
            dropped = (dropped | {b"content-length"}) - {b"transfer-encoding"}
        names = [name.lower() for name, _ in self.fields]
        return [(name, line) for name, line in zip(names, self.lines, strict=True) if name not in dropped]


class RequestHead(Head):
    method: bytes = b""
    target: bytes = b""

    def drop(self, name: bytes) -> None:
        self.values.pop(name, None)
        kept = [one for one in zip(self.fields, self.lines, strict=True) if one[0][0].lower() != name]
        self.fields, self.lines = [one for one, _ in kept], [line for _, line in kept]

    def framer(self) -> BodyFramer:
        """Return the framer of the body. Raises HttpError."""
        if b"transfer-encoding" in self.values:
            if self.tokens(b"transfer-encoding") != {b"chunked"}:
                raise HttpError("The transfer coding is not supported.", 501)
            if b"content-length" in self.values or self.version == b"1.0":
                raise HttpError("Transfer-Encoding must not be combined with Content-Length or HTTP/1.0.")
            return BodyFramer(chunked=True)
        return BodyFramer(chunked=False, length=_length(self) or 0)


class ResponseHead(Head):
    status: int = 0
    reason: bytes = b""
    """The rest of the status line, with the space in front; empty if there is not even a space."""

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
    start, fields, lines = _split(data)
    found = _REQUEST.fullmatch(start)
    if found is None:
        raise HttpError("The request line is not valid.")
    method, target, version = found.groups()
    head = RequestHead(version, fields, lines, method=method, target=target)
    if version == b"1.1" and len(head.values.get(b"host", ())) != 1:
        raise HttpError("A request has exactly one Host header.")
    return head


def parse_response(data: bytes) -> ResponseHead:
    """Parse the head of a response. Raises HttpError."""
    start, fields, lines = _split(data)
    found = _STATUS.fullmatch(start)
    if found is None:
        raise HttpError("the status line is not valid")
    version, status, reason = found.groups()
    return ResponseHead(version, fields, lines, status=int(status), reason=reason)


def _split(data: bytes) -> tuple[bytes, RawHeaders, list[bytes]]:
    """Return the first line, the fields, and the lines of the fields.

    A fold becomes one space in both: a proxy must not forward folds (RFC 9112, section 5.2).
    """
    start, _, rest = data.partition(b"\n")
    if _FIELDS.fullmatch(rest) is None:
        raise HttpError("A header field is not valid.")
    found = [(name, _FOLD.sub(b" ", value) if b"\n" in value else value) for name, value in _FIELD.findall(rest)]
    fields = [(name, value.strip(b" \t")) for name, value in found]
    return start.removesuffix(b"\r"), fields, [b"%b:%b" % one for one in found]


def encode_head(start: bytes, lines: Iterable[bytes]) -> bytes:
    return b"\r\n".join((start, *lines, b"", b""))


def header_lines(fields: RawHeaders) -> list[bytes]:
    """Return the lines of fields that the Recorder itself sends."""
    return [b"%b: %b" % one for one in fields]


def peer_is_closed(one: socket.socket) -> bool:
    """Return whether no process has the other end of a loopback connection open any more. True if unknown.

    TCP sends the same for a closed socket as for one that only sends nothing more. Linux lists both ends; a closed one
    has no inode.
    """
    try:
        mine, other = (b":%04X" % name[1] for name in (one.getsockname(), one.getpeername()))
        table = Path("/proc/net/tcp6" if one.family == socket.AF_INET6 else "/proc/net/tcp").read_bytes()
    except OSError:  # the connection is closed, or this is another system
        return True
    rows = (line.split() for line in table.splitlines()[1:])
    return all(row[9] == b"0" for row in rows if row[1].endswith(other) and row[2].endswith(mine))


class Wire(asyncio.Protocol):
    """One TCP connection. At most one coroutine reads and one waits in `drain`."""

    transport: asyncio.Transport

    def __init__(self, on_open: Callable[[Wire], None] = lambda _wire: None) -> None:
        self._on_open = on_open
        self.on_closed: Subscribers[[]] = Subscribers()
        """The other side sends nothing more, or the connection was closed or broke."""
        self.closed = False
        """Whether the other side sends nothing more."""
        self.lost = False
        """Whether the connection is closed in both directions."""
        self.has_served = False
        """Whether a request was forwarded from this connection."""
        self._error: Exception | None = None
        """Why the connection broke; None if it was closed."""
        self._received = bytearray()
        self._reading: asyncio.Future[None] | None = None
        self._draining: asyncio.Future[None] | None = None
        self._is_full = self._is_paused = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
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
        self.lost, self._error = True, exc
        if self.closed:
            self.on_closed()
        self._close()
        _wake(self._draining)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
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
            await self._more()
        return self._take(len(self._received))

    async def _more(self) -> None:
        """Wait until bytes are received or the connection ends."""
        self._reading = asyncio.get_running_loop().create_future()
        try:
            await self._reading
        finally:
            self._reading = None

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
            await self._more()

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
        """Send bytes. On a connection that is closed they are dropped: its reader finds out."""
        if not self.transport.is_closing():  # else asyncio prints a warning for each piece
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the send buffer has room. Raises OSError if the connection broke."""
        while self._is_full and not self.lost:
            self._draining = asyncio.get_running_loop().create_future()
            try:
                await self._draining
            finally:
                self._draining = None
        if self.lost:
            raise ConnectionResetError("the connection is closed") from self._error

    def end_writing(self) -> None:
        """Send nothing more, if the other side can be told so without closing both directions: not with TLS."""
        if not self.transport.is_closing() and self.transport.can_write_eof():
            with suppress(OSError):
                self.transport.write_eof()

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

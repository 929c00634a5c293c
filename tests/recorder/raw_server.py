"""A server that answers with given bytes and keeps the received ones, for tests of the Recorder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """`answer` writes the response; `received` has the bytes of each connection; `closed` is set when one ends."""

    answer: Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]
    port: int = 0
    received: list[bytearray] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request, answer it, and go on until `answer` returns False or the caller leaves."""
        seen = bytearray()
        self.received.append(seen)
        try:
            while request := await _request(reader, seen):
                if not await self.answer(request, writer):
                    break
        except OSError:
            pass
        finally:
            self.closed.set()
            await hang_up(writer)


async def _request(reader: asyncio.StreamReader, seen: bytearray) -> bytes:
    """Read one request with a Content-Length or a chunked body; empty if the connection ended."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    body = b""
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = await reader.readuntil(b"0\r\n\r\n")
    elif b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
    seen += head + body
    return head + body


@asynccontextmanager
async def raw_server(answer: Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]) -> AsyncIterator[RawServer]:
    """Serve on a free port of 127.0.0.1."""
    server = RawServer(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(listening.wait_closed(), 2)


async def exchange(port: int, request: bytes, *, until: bytes = b"") -> bytes:
    """Send raw bytes and return everything until the connection closes, or until `until` was received."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    got = b""
    with suppress(ConnectionError):
        while data := await asyncio.wait_for(reader.read(65_536), 10):
            got += data
            if until and until in got:
                break
    await hang_up(writer)
    return got


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection and wait until it is closed."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()

"""A server on a real socket that sends exactly the bytes that a test writes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from playground.client.endpoint import Endpoint

REQUEST_ID = "req-1"


@dataclass
class Peer:
    """One request that came, and the way back."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    line: str
    headers: dict[str, str]
    body: bytes

    async def send(self, data: bytes) -> None:
        """Put these bytes on the wire."""
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has left."""
        with suppress(ConnectionError):
            while await self.reader.read(4096):
                pass

    def hang_up(self) -> None:
        """Close the connection."""
        self.writer.close()

    def reset(self) -> None:
        """Break the connection, as a crash does."""
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    """A running server."""

    base_url: str
    requests: list[Peer] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    all_left: asyncio.Event = field(default_factory=asyncio.Event)
    begin: Callable[[], None] = lambda: None
    """Listen from now on, where serving did not begin with it."""

    @property
    def endpoint(self) -> Endpoint:
        """An endpoint that points here."""
        return Endpoint(id="scripted", name="Scripted", base_url=self.base_url)


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Peer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Peer(reader, writer, line, headers, body)


@asynccontextmanager
async def serve(script: Script, bound: socket.socket | None = None, *, listening: bool = True) -> AsyncIterator[Server]:
    """Serve each request by `script`, several on one connection where the script leaves it open.

    `bound`: the socket to serve on; with `listening` False, connections are refused until `Server.begin`.
    """
    server = Server("")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.open += 1
        server.all_left.clear()
        try:
            while not writer.is_closing():
                peer = await _request(reader, writer)
                server.requests.append(peer)
                await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            server.open -= 1
            if not server.open:
                server.all_left.set()

    serving = await (
        asyncio.start_server(connected, "127.0.0.1", 0)
        if bound is None
        else asyncio.start_server(connected, sock=bound, start_serving=listening)
    )
    port = serving.sockets[0].getsockname()[1]
    begun: list[asyncio.Task[None]] = []

    def begin() -> None:
        assert bound is not None
        bound.listen()  # at once; taking the connections may come a moment later
        begun.append(asyncio.create_task(serving.start_serving()))

    server.begin = begin
    server.base_url = f"http://127.0.0.1:{port}/v1"
    try:
        yield server
    finally:
        serving.close()
        await asyncio.gather(*begun)
        if server.connections:
            await asyncio.wait_for(server.all_left.wait(), 10)


def head(
    content_type: str = "text/event-stream", status: str = "200 OK", length: int | None = None, extra: str = ""
) -> bytes:
    """A response's head; chunked unless a length is given."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status}\r\n{kind}X-Request-Id: {REQUEST_ID}\r\n{extra}{framing}\r\n\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def event(data: str) -> bytes:
    """One server-sent event as a piece of a chunked body."""
    return chunk(f"data: {data}\n\n".encode())


def says(text: str) -> bytes:
    """An event with a piece of text, which may be any that needs no escape in JSON."""
    return event(f'{{"id":"c1","model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}')


ENDS = event('{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
USAGE = event('{"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}')
DONE = event("[DONE]")


def whole(body: bytes, content_type: str = "application/json", status: str = "200 OK", extra: str = "") -> bytes:
    """A response with its body, at once."""
    return head(content_type, status, len(body), extra) + body

"""A server that streams chunks at a given rate, one chunk per network write, as real servers do.

python -m tests.benchmarks.chunk_server CHUNKS_PER_SECOND CHUNKS [chunked] (prints its port)

At a rate of 0 it writes as fast as the client reads; writes are never merged. "chunked" uses HTTP's chunked coding, one
chunk per write, as gateways do; without it, the body ends with the connection.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """A stream: `rate` chunks per second (0: no pause), `count` chunks, with or without HTTP chunked coding."""

    rate: float
    count: int
    chunked: bool = False

    def head(self, stream: int) -> bytes:
        """Return the response's head."""
        framing = "Transfer-Encoding: chunked" if self.chunked else "Connection: close"
        lines = ("HTTP/1.1 200 OK", "Content-Type: text/event-stream", f"X-Request-Id: {request_id(stream)}", framing)
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()

    def framed(self, data: bytes) -> bytes:
        """Return a piece as sent; no data ends a chunked body."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data


def word(number: int, stream: int) -> str:
    """Return the content of chunk `number` of the server's stream `stream` (from 1); streams differ from each other."""
    return f"word{number % 977}.{stream} " + ("\n" if number % 12 == 11 else "")


def text_of(count: int, stream: int) -> str:
    """Return the completion of `count` chunks."""
    return "".join(word(number, stream) for number in range(count))


def request_id(stream: int) -> str:
    """Return the X-Request-Id of a stream."""
    return f"bench-{stream}"


def _chunk(number: int, stream: int) -> bytes:
    choice = {"index": 0, "delta": {"content": word(number, stream)}, "finish_reason": None}
    body = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def _read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Plan, stream: int) -> None:
    await _read_request(reader)
    # Writes are sent at once, not merged with later ones.
    writer.transport.set_write_buffer_limits(high=0)
    writer.write(plan.head(stream))
    began = time.monotonic()
    for number in range(plan.count):
        wait_s = began + number / plan.rate - time.monotonic() if plan.rate else 0.0
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        writer.write(plan.framed(_chunk(number, stream)))
        await writer.drain()
    end = {"id": "chatcmpl-bench", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    writer.write(plan.framed(b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n"))
    if plan.chunked:
        writer.write(plan.framed(b""))
    await writer.drain()
    writer.close()


async def main(plan: Plan) -> None:
    """Serve until killed."""
    streams = itertools.count(1)
    server = await asyncio.start_server(lambda r, w: _answer(r, w, plan, next(streams)), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Plan(float(sys.argv[1]), int(sys.argv[2]), "chunked" in sys.argv[3:])))

"""A server that streams chunks at a given rate: one chunk a network write, as real servers do.

python -m tests.benchmarks.chunk_server CHUNKS_A_SECOND CHUNKS   (prints its port)
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


def word(number: int) -> str:
    """The content of chunk `number`."""
    return f"word{number % 977} " + ("\n" if number % 12 == 11 else "")


def _chunk(number: int) -> bytes:
    choice = {"index": 0, "delta": {"content": word(number)}}
    body = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps({**body, "finish_reason": None}).encode() + b"\n\n"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float, count: int) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: bench\r\nConnection: close\r\n\r\n"
    )
    began = time.monotonic()
    for number in range(count):
        wait_s = began + number / rate - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        writer.write(_chunk(number))
        await writer.drain()
    end = {"id": "chatcmpl-bench", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    writer.write(b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n")
    await writer.drain()
    writer.close()


async def main(rate: float, count: int) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(lambda r, w: _answer(r, w, rate, count), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))

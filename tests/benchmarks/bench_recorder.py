"""The Recorder against a direct connection in the same run: added time to first byte, stream time, identical bytes.

Run `python -m tests.benchmarks.bench_recorder [REQUESTS]`. The server answers from memory; the Recorder runs in a
separate process, as the command does, and writes its log to a temporary folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

CHUNKS = 400
PACE_S = 0.001


def chunk(text: str) -> bytes:
    """Return one server-sent event of a stream."""
    value = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(value)}\n\n".encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests on one connection: a stream if the body asks for one, else a whole completion."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            if body.get("stream"):
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for number in range(CHUNKS):
                    data = chunk(f"word {number} ")
                    writer.write(b"%x\r\n%s\r\n" % (len(data), data))
                    await asyncio.sleep(PACE_S)
                end = b"data: [DONE]\n\n"
                writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))
            else:
                text = "x" * int(body.get("size", 100))
                message = {"role": "assistant", "content": text}
                usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}}
                value = {
                    "id": "c",
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": usage,
                }
                data = json.dumps(value).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nX-Request-Id: r\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Caller:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect(self) -> None:
        """Open the connection."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def post(self, body: dict[str, object], ending: bytes) -> tuple[float, float, bytes]:
        """Return seconds to the first byte, seconds to the end, and the response body."""
        data = json.dumps({"model": "electron", "messages": [{"role": "user", "content": "hi"}], **body}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n\r\n"
        began = time.perf_counter()
        self._writer.write(head.encode() + data)
        got = await self._reader.read(65_536)
        first = time.perf_counter() - began
        while not got.endswith(ending):
            got += await self._reader.read(65_536)
        return first, time.perf_counter() - began, got.split(b"\r\n\r\n", 1)[1]

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def measure(requests: int) -> None:
    """Print the figures."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    direct_port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        recorder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "playground", "record", "--port", "0", "--json"),
            *("--base-url", f"http://127.0.0.1:{direct_port}/v1"),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "ELECTRON_PLAYGROUND_HOME": str(Path(folder))},
        )
        assert recorder.stdout is not None
        port = int(json.loads(await recorder.stdout.readline())["base_url"].split(":")[2].split("/")[0])
        direct, recorded = Caller(direct_port), Caller(port)
        await direct.connect()
        await recorded.connect()
        added, same = [], 0
        for number in range(requests):
            body: dict[str, object] = {"size": 100 + 37 * (number % 500)}
            one, two = await direct.post(body, b"}}}"), await recorded.post(body, b"}}}")
            added.append((two[0] - one[0]) * 1000)
            same += one[2] == two[2]
        added.sort()
        print(f"{requests} requests: identical response bytes in {same}")
        p99 = added[int(len(added) * 0.99)]
        print(f"added time to first byte: median {statistics.median(added):.2f} ms, 99th {p99:.2f} ms (goals 1, 3)")
        ratios = []
        for _ in range(5):
            one, two = (
                await direct.post({"stream": True}, b"0\r\n\r\n"),
                await recorded.post({"stream": True}, b"0\r\n\r\n"),
            )
            ratios.append(two[1] / one[1])
        print(f"one stream of {CHUNKS} paced chunks: {statistics.median(ratios):.2f} × direct (goal 1.1)")
        direct.close()
        recorded.close()
        recorder.terminate()
        await recorder.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 500))

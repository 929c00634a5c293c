"""The Recorder against a direct connection in the same run: added time to first byte, time of streams, CPU, memory.

Run `python -m tests.benchmarks.bench_recorder [--requests N] [--memory N]`. The server answers from memory; the
Recorder runs in separate processes, as the command does, and writes its log to a temporary folder. A relay that only
copies TCP bytes is measured in the same way: the difference to it is the cost of the Recorder, whatever the load.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from time import perf_counter

import psutil  # type: ignore[import-untyped]

CHUNKS = 400
END = b"0\r\n\r\n"


def chunk(text: str) -> bytes:
    """Return one server-sent event of a stream."""
    value = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(value)}\n\n".encode()


async def stream(writer: asyncio.StreamWriter, chunks: int, pace_s: float) -> None:
    """Write a stream whose chunks are due every `pace_s` seconds, however late the one before was."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    began = perf_counter()
    for number in range(chunks):
        data = chunk(f"word {number} ")
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await asyncio.sleep(max(0.0, began + (number + 1) * pace_s - perf_counter()))
    end = b"data: [DONE]\n\n"
    writer.write(b"%x\r\n%s\r\n%s" % (len(end), end, END))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests on one connection: a stream if the body asks for one, else a whole completion."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            if body.get("stream"):
                await stream(writer, int(body["chunks"]), float(body["pace_s"]))
            else:
                message = {"role": "assistant", "content": "x" * int(body.get("size", 100))}
                usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}}
                choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
                data = json.dumps({"id": "c", "choices": choices, "usage": usage}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nX-Request-Id: r\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
            await writer.drain()
    writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until the end."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def relay(target: int) -> None:
    """Serve as a TCP relay and print the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(json.dumps({"base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"}), flush=True)
    await server.serve_forever()


class Caller:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect(self) -> Caller:
        """Open the connection."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def post(self, body: dict[str, object], ending: bytes = END) -> tuple[float, float, bytes]:
        """Return seconds to the first byte, seconds to the end, and the response body."""
        data = json.dumps({"model": "electron", "messages": [{"role": "user", "content": "hi"}], **body}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n\r\n"
        began = perf_counter()
        self._writer.write(head.encode() + data)
        got = await self._reader.read(65_536)
        first = perf_counter() - began
        pieces, tail = [got], got[-8:]
        while not tail.endswith(ending):
            pieces.append(await self._reader.read(65_536))
            tail = (tail + pieces[-1])[-8:]
        return first, perf_counter() - began, b"".join(pieces).split(b"\r\n\r\n", 1)[1]

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


@contextlib.asynccontextmanager
async def server_process(*arguments: str, folder: str) -> AsyncIterator[tuple[int, psutil.Process]]:
    """Run a server that prints its base URL as JSON. Yields its port and process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "ELECTRON_PLAYGROUND_HOME": folder},
    )
    assert process.stdout is not None
    try:
        port = int(json.loads(await process.stdout.readline())["base_url"].split(":")[2].split("/")[0])
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU time of a process without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def first_bytes(callers: list[Caller], requests: int) -> tuple[list[list[float]], int]:
    """Return the times to first byte of each caller, and how often all bodies are identical."""
    times: list[list[float]] = [[] for _ in callers]
    same = 0
    for number in range(requests):
        body: dict[str, object] = {"size": 100 + 37 * (number % 500)}
        results = [await caller.post(body, b"}}}") for caller in callers]
        for kept, result in zip(times, results, strict=True):
            kept.append(result[0] * 1_000)
        same += len({result[2] for result in results}) == 1
    return times, same


def added(name: str, direct: list[float], other: list[float]) -> None:
    """Print the added time to first byte."""
    values = sorted(two - one for one, two in zip(direct, other, strict=True))
    p99 = values[int(len(values) * 0.99)]
    print(f"  added by the {name}: median {statistics.median(values):.2f} ms, 99th {p99:.2f} ms")


async def stream_seconds(ports: list[int], streams: int, body: dict[str, object]) -> list[float]:
    """Return the seconds that a number of streams at once take through each port."""
    seconds = []
    for port in ports:
        callers = [await Caller(port).connect() for _ in range(streams)]
        began = perf_counter()
        await asyncio.gather(*(caller.post({"stream": True, **body}) for caller in callers))
        seconds.append(perf_counter() - began)
        for caller in callers:
            caller.close()
    return seconds


async def measure(requests: int, memory: int) -> None:
    """Print the figures."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    direct = server.sockets[0].getsockname()[1]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("-m", "playground", "record", "--port", "0", "--json")
        relay_arguments = ("-m", "tests.benchmarks.bench_recorder", "--relay", str(direct))
        async with (
            server_process(*arguments, "--base-url", f"http://127.0.0.1:{direct}/v1", folder=folder) as (port, process),
            server_process(*relay_arguments, folder=folder) as (relay_port, relay_process),
        ):
            callers = [await Caller(one).connect() for one in (direct, relay_port, port)]
            before = cpu_s(process), cpu_s(relay_process)
            times, same = await first_bytes(callers, requests)
            spent = cpu_s(process) - before[0], cpu_s(relay_process) - before[1]
            print(f"{requests} requests: identical response bytes in {same}; goals 1 and 3 ms")
            print(f"  direct: median {statistics.median(times[0]):.2f} ms")
            added("relay", times[0], times[1])
            added("Recorder", times[0], times[2])
            print(
                f"  CPU per request: relay {spent[1] / requests * 1e3:.2f}, Recorder {spent[0] / requests * 1e3:.2f} ms"
            )
            for caller in callers:
                caller.close()
            for streams, pace_s in ((1, 0.001), (20, 0.005)):
                body: dict[str, object] = {"chunks": CHUNKS, "pace_s": pace_s}
                rounds = []
                for _ in range(3):
                    began = cpu_s(process)
                    rounds.append(await stream_seconds([direct, relay_port, port], streams, body))
                    used = cpu_s(process) - began
                one, relayed, two = (statistics.median(column) for column in zip(*rounds, strict=True))
                print(
                    f"{streams} stream(s) of {CHUNKS} chunks, {1 / pace_s:.0f} per second: direct {one:.2f} s, relay "
                    f"{relayed / one:.2f} ×, Recorder {two / one:.2f} × (goal 1.1); CPU per chunk "
                    f"{used / streams / CHUNKS * 1e6:.0f} µs"
                )
            await memory_figures(port, process, memory)
    server.close()


async def memory_figures(port: int, process: psutil.Process, requests: int) -> None:
    """Print the memory of both processes while many requests are recorded."""
    callers = [await Caller(port).connect() for _ in range(4)]
    print("memory, forwarding + recording process:")
    for quarter in range(5):
        sizes = [one.memory_info().rss / 1e6 for one in (process, *process.children())]
        print(f"  after {quarter * requests // 4:,}: {' + '.join(f'{size:.0f}' for size in sizes)} MB")
        if quarter < 4:
            await asyncio.gather(*(many(caller, requests // 16) for caller in callers))


async def many(caller: Caller, requests: int) -> None:
    """Send requests one after another."""
    for number in range(requests):
        await caller.post({"size": 100 + 37 * (number % 500), "user": str(number)}, b"}}}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--memory", type=int, default=0, help="requests of the memory figures")
    parser.add_argument("--relay", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    asyncio.run(relay(options.relay) if options.relay else measure(options.requests, options.memory))

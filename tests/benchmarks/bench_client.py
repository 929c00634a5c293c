"""CPU time a chunk: the floor, this client, a whole run up to its RunState, and the OpenAI SDK on the same stream.

python -m tests.benchmarks.bench_client [CHUNKS]

One chunk is one network write. The floor is httpx's reads with one JSON decode (msgspec) of each chunk. Three streams:
written without a pause, without one and with HTTP's chunked coding, and at a rate at which every chunk is a read of its
own. Medians of the rounds, and of the ratios within each round; the figures themselves are the machine's.
Goals: a whole run at most 1.5 x the floor, and at least 6 x cheaper than the SDK.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import Completed, ContentDelta
from playground.prompt.document import Document, Message
from playground.prompt.request import to_request
from playground.runs.run import Run
from tests.benchmarks.chunk_server import text_of

CHUNKS = 20_000
ROOT = Path(__file__).parents[2]
ROUNDS = 7
READS, FLOOR, RUN, SDK = "httpx reads", "httpx and one decode", "run", "OpenAI SDK"
KEY = "sk_bench_0123456789abcdef"
DOCUMENT = Document(messages=(Message("user", "Hello"),))
REQUEST = to_request(DOCUMENT, "m")


@dataclass(frozen=True, slots=True)
class Stream:
    """A way to stream: chunks per second (0: no pause), HTTP's coding, and a divisor of the number of chunks."""

    name: str
    rate: float
    coding: str = ""
    part: int = 1


STREAMS = (
    Stream("no pause", 0),
    Stream("no pause, chunked coding", 0, "chunked"),
    Stream("800 a second, chunked coding", 800, "chunked", 20),
)


class Meter:
    """CPU time of this process since `begin`, called after the client is created, before anything is sent."""

    def __init__(self) -> None:
        self._began = 0.0

    def begin(self) -> None:
        self._began = time.process_time()

    @property
    def seconds(self) -> float:
        return time.process_time() - self._began


Work = Callable[[str, Meter], Awaitable[str]]
"""Reads a stream and returns its text; for the floors, the part of it that they decode."""


@contextmanager
def _server(stream: Stream, chunks: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.chunk_server", str(stream.rate), str(chunks), stream.coding]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def _reads(base_url: str, meter: Meter) -> str:
    async with httpx.AsyncClient(timeout=httpx.Timeout(60), trust_env=False) as client:
        meter.begin()
        async with client.stream("POST", f"{base_url}/chat/completions", content=REQUEST.body) as response:
            async for _ in response.aiter_bytes():
                pass
    return ""


async def _floor(base_url: str, meter: Meter) -> str:
    texts: list[str] = []
    rest = b""
    async with httpx.AsyncClient(timeout=httpx.Timeout(60), trust_env=False) as client:
        meter.begin()
        async with client.stream("POST", f"{base_url}/chat/completions", content=REQUEST.body) as response:
            async for received in response.aiter_bytes():
                *lines, rest = (rest + received).split(b"\n\n")
                for line in lines:
                    if line.startswith(b"data: {"):
                        chunk = msgspec.json.decode(line[6:])
                        texts.append(chunk["choices"][0]["delta"].get("content") or "")
    return "".join(texts)


async def _sdk(base_url: str, meter: Meter) -> str:
    # Imported here: the first import takes a second, and the other parts do not need it.
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        meter.begin()
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        texts = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    return "".join(texts)


async def _client(base_url: str, meter: Meter) -> str:
    connection = Connection()
    await connection.warm()
    endpoint = Endpoint(id="b", name="B", base_url=base_url)
    meter.begin()
    events = [event async for event in connection.stream(endpoint, KEY, REQUEST, time.monotonic)]
    assert isinstance(events[-1], Completed)
    await connection.aclose()
    return "".join(event.text for event in events if isinstance(event, ContentDelta))


async def _run(base_url: str, meter: Meter) -> str:
    connection = Connection()
    await connection.warm()
    run = Run(
        id="b",
        document=DOCUMENT,
        request=REQUEST,
        endpoint=Endpoint(id="b", name="B", base_url=base_url),
        forecast=None,
        started_utc=datetime.now(UTC),
        connection=connection,
        key=KEY,
    )
    heard: list[object] = []
    run.subscribe(lambda _, event: heard.append(event))
    meter.begin()
    state = await run.execute()
    assert state.phase == "done"
    await connection.aclose()
    return state.text


WORKS: dict[str, Work] = {READS: _reads, FLOOR: _floor, "client": _client, RUN: _run, SDK: _sdk}


def _cpu_us(loop: asyncio.AbstractEventLoop, name: str, base_url: str, expected: str, chunks: int) -> float:
    async def main() -> float:
        meter = Meter()
        text = await WORKS[name](base_url, meter)
        took_s = meter.seconds
        assert name == READS or text == expected, f"{name} lost something"
        return took_s / chunks * 1e6

    return loop.run_until_complete(main())


def _measure(loop: asyncio.AbstractEventLoop, stream: Stream, chunks: int) -> None:
    with _server(stream, chunks) as base_url:
        # Alternated, so that other load on the machine affects all equally; the first round includes the imports.
        texts = (text_of(chunks, stream) for stream in itertools.count(1))
        rounds = [
            {name: _cpu_us(loop, name, base_url, next(texts), chunks) for name in WORKS} for _ in range(ROUNDS + 1)
        ][1:]
    print(f"\n{stream.name}: {chunks:,} chunks, {ROUNDS} rounds")
    for name in WORKS:
        cpu = statistics.median(told[name] for told in rounds)
        ratios = sorted(told[name] / told[FLOOR] for told in rounds)
        print(
            f"{name:22} {cpu:6.1f} µs a chunk  {statistics.median(ratios):5.2f} x the floor"
            f" ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    cheaper = statistics.median(told[SDK] / told[RUN] for told in rounds)
    print(f"a run is {cheaper:.1f} x cheaper than the SDK")


def main(chunks: int) -> None:
    """Measure and print."""
    loop = asyncio.new_event_loop()
    for stream in STREAMS:
        _measure(loop, stream, chunks // stream.part)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS)

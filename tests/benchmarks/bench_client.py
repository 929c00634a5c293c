"""CPU time a chunk: the floor, this client, a whole run up to its RunState, and the OpenAI SDK on the same stream.

python -m tests.benchmarks.bench_client [CHUNKS]

The floor is httpx's reads with one JSON decode (msgspec) of each chunk; one chunk is one network write. Medians of
three rounds, and of the ratios to the floor of the same round; the figures themselves are the machine's.
Goals: a whole run at most 1.5 x the floor, and at least 6 x cheaper than the SDK.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import msgspec

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import Completed
from playground.prompt.document import Document, Message
from playground.prompt.request import to_request
from playground.runs.run import Run

RATE = 2000
CHUNKS = 4000
ROUNDS = 3
FLOOR = "httpx and one decode"
DOCUMENT = Document(messages=(Message("user", "Hello"),))
REQUEST = to_request(DOCUMENT, "m")


@contextmanager
def _server(chunks: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.chunk_server", str(RATE), str(chunks)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def _reads(base_url: str) -> None:
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(60), trust_env=False) as client,
        client.stream("POST", f"{base_url}/chat/completions", content=REQUEST.body) as response,
    ):
        async for _ in response.aiter_bytes():
            pass


async def _floor(base_url: str) -> None:
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(60), trust_env=False) as client,
        client.stream("POST", f"{base_url}/chat/completions", content=REQUEST.body) as response,
    ):
        # One chunk a write comes as one chunk a read, so that this needs no framer; the count checks that it did.
        read = 0
        async for received in response.aiter_bytes():
            for line in received.split(b"\n\n"):
                if line.startswith(b"data: {"):
                    msgspec.json.decode(line[6:])
                    read += 1
        assert read, "nothing was decoded"


async def _sdk(base_url: str) -> None:
    # Imported here: this first costs a second, and the other three do not need it.
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        text = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    assert any(text)


async def _client(base_url: str) -> None:
    connection = Connection()
    endpoint = Endpoint(id="b", name="B", base_url=base_url)
    last = [event async for event in connection.stream(endpoint, None, REQUEST, time.monotonic)][-1]
    await connection.aclose()
    assert isinstance(last, Completed)


async def _run(base_url: str) -> None:
    connection = Connection()
    run = Run(
        id="b",
        document=DOCUMENT,
        request=REQUEST,
        endpoint=Endpoint(id="b", name="B", base_url=base_url),
        forecast=None,
        started_utc=datetime.now(UTC),
        connection=connection,
        key=None,
    )
    heard: list[object] = []
    run.listen(lambda _, event: heard.append(event))
    assert (await run.execute()).phase == "done"
    await connection.aclose()


def _cpu_us(loop: asyncio.AbstractEventLoop, work: Callable[[str], Awaitable[None]], chunks: int) -> float:
    async def main(base_url: str) -> float:
        began = time.process_time()
        await work(base_url)
        return time.process_time() - began

    with _server(chunks) as base_url:
        return loop.run_until_complete(main(base_url)) / chunks * 1e6


def main(chunks: int) -> None:
    """Measure and print."""
    loop = asyncio.new_event_loop()
    works = {"httpx reads": _reads, FLOOR: _floor, "client": _client, "run": _run, "OpenAI SDK": _sdk}
    for work in works.values():
        _cpu_us(loop, work, 200)  # the first of each pays for its imports
    rounds = [{name: _cpu_us(loop, work, chunks) for name, work in works.items()} for _ in range(ROUNDS)]
    for name in works:
        cpu = statistics.median(told[name] for told in rounds)
        ratio = statistics.median(told[name] / told[FLOOR] for told in rounds)
        print(f"{name:22} {cpu:6.1f} µs a chunk  {ratio:.2f} x the floor")
    cheaper = statistics.median(told["OpenAI SDK"] / told["run"] for told in rounds)
    print(f"a run is {cheaper:.1f} x cheaper than the SDK")
    beyond = statistics.median(
        (told["OpenAI SDK"] - told["httpx reads"]) / (told["run"] - told["httpx reads"]) for told in rounds
    )
    print(f"without the reads of the socket, which both pay: {beyond:.1f} x")
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS)

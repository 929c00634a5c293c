"""The Recorder: identical bytes in both directions for ten kinds of exchanges, kills, and a planted key.

Run with `python -m tests.benchmarks.bench_recorder_bytes [--requests N] [--kills N]`. Kinds: whole, streamed, tool
calls, 400, 429, 500, cut stream, gzip response, caller that hangs up, gzip request; 1 to 200 KB. Kills while ten
streams run: of the forwarding process, of the recording process, of the endpoint, of the parent (the window), and of
both processes at once.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]

from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog

KEY = "sk_planted_d41d8cd98f00b204e9800998ecf8427e"
KINDS = ("whole", "stream", "tools", "bad", "limited", "failed", "cut", "gzip", "hang_up", "gzip_request")
STREAMED = ("stream", "tools", "cut", "hang_up", "slow")
TEXT = "".join(random.Random(3).choices("abcdef \u00e9\u0939\u4f60", k=150_000))
STATUS = {"bad": 400, "limited": 429, "failed": 500}


def payload(number: int, kind: str) -> bytes:
    """Return the response body of request `number`, with the key in text, arguments and errors."""
    rng = random.Random(number)
    text = TEXT[rng.randint(0, 50_000) :][: rng.randint(300, 70_000)]
    usage = {"prompt_tokens": 900, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 16}}
    if kind in STATUS:
        return json.dumps({"error": {"message": f"refused {KEY} {text[:800]}", "code": KEY, "type": "x"}}).encode()
    if kind not in STREAMED:
        message = {"role": "assistant", "content": f"{KEY} {text}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json.dumps({"id": KEY, "choices": [choice], "usage": usage}, ensure_ascii=False).encode()
    deltas: list[dict[str, Any]] = [{"content": piece} for piece in (KEY[:20], KEY[20:], *text.split(" ")[:40])]
    if kind == "tools":
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "find", "arguments": ""}}
        deltas = [{"tool_calls": [call]}, {"tool_calls": [{"index": 0, "function": {"arguments": f'{{"k":"{KEY}"}}'}}]}]
    events: list[dict[str, object]] = [{"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events += [
        {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def request_body(number: int, kind: str) -> bytes:
    """Return the request body, with the key in its text."""
    rng = random.Random(-number)
    text = "Be kind. " * 200 + KEY + TEXT[rng.randint(0, 50_000) :][: rng.randint(100, 30_000)]
    messages = [{"role": "system", "content": text}, {"role": "user", "content": str(number)}]
    data = json.dumps({"model": "electron", "messages": messages, "stream": kind in STREAMED}).encode()
    return gzip.compress(data) if kind == "gzip_request" else data


class Server:
    """The endpoint: answers from `payload` and keeps a hash of each request body."""

    def __init__(self) -> None:
        self.bodies: dict[int, str] = {}
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections, as if this process had died."""
        for writer in self._writers:
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                fields = dict(line.split(": ", 1) for line in head.lower().split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(fields["content-length"]))
                number, kind = int(fields["x-number"]), fields["x-kind"]
                self.bodies[number] = hashlib.sha256(body).hexdigest()
                if not await self._respond(writer, number, kind):
                    break
        self._writers.discard(writer)
        writer.close()

    async def _respond(self, writer: asyncio.StreamWriter, number: int, kind: str) -> bool:
        data = payload(number, kind)
        names = f"X-Request-Id: r-{number}\r\nX-Echo: {KEY}\r\n"
        head = f"HTTP/1.1 {STATUS.get(kind, 200)} Reason\r\n{names}"
        if kind not in STREAMED:
            data = gzip.compress(data, mtime=0) if kind == "gzip" else data
            encoding = "Content-Encoding: gzip\r\n" if kind == "gzip" else ""
            head += f"Content-Type: application/json\r\n{encoding}Content-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            await writer.drain()
            return True
        writer.write((head + "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").encode())
        if kind == "cut":
            data = data[: len(data) // 2]
        for start in range(0, len(data), 700):
            piece = data[start : start + 700]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            if writer.transport.is_closing():
                return False
            await asyncio.sleep(0.02 if kind == "slow" else 0)
        writer.write(b"" if kind == "cut" else b"0\r\n\r\n")
        return kind != "cut"


PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
    "print(child.pid, file=sys.stderr, flush=True)\n"
    "time.sleep(600)\n"
)
"""Stands for a window: it holds the standard input of the Recorder."""


@contextlib.asynccontextmanager
async def recorder(folder: str, port: int, *, in_parent: bool = False) -> AsyncIterator[tuple[psutil.Process, str]]:
    """Run the command in a child process, or in a child of one. Yields the process to kill and the base URL."""
    command = [sys.executable, "-m", "playground", "record", "--port", "0", "--json", "--base-url"]
    command += [f"http://127.0.0.1:{port}/v1"]
    if in_parent:
        command = [sys.executable, "-c", PARENT, *command, "--stop-with-stdin"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ELECTRON_PLAYGROUND_HOME": folder},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    problems = asyncio.create_task(_problems(process.stderr))
    try:
        yield psutil.Process(process.pid), json.loads(await process.stdout.readline())["base_url"]
    finally:
        if process.returncode is None:
            process.terminate()
        for problem, count in (await problems).items():  # ends when the recording process has ended, too
            print(f"  {count} ×: {problem[:200]}")
        await process.wait()


async def _problems(stderr: asyncio.StreamReader) -> Counter[str]:
    """Read standard error to its end. A pipe that is not read would stop the recording process."""
    return Counter([line.decode().strip() async for line in stderr])


async def exchange(client: httpx.AsyncClient, base_url: str, number: int, kind: str, server: Server) -> bool:
    """Send one request. Returns whether request and response bytes are identical on both sides."""
    sent, expected = request_body(number, kind), payload(number, kind)
    headers = {"Authorization": f"Bearer {KEY}", "X-Number": str(number), "X-Kind": kind, "Accept-Encoding": "identity"}
    headers |= {"Content-Encoding": "gzip"} if kind == "gzip_request" else {}
    got, cut = b"", False
    try:
        async with client.stream("POST", f"{base_url}/chat/completions", content=sent, headers=headers) as response:
            async for piece in response.aiter_raw():
                got += piece
                if kind == "hang_up" and len(got) > 600:
                    break
    except httpx.RemoteProtocolError:
        cut = True
    expected = gzip.compress(expected, mtime=0) if kind == "gzip" else expected
    same = got == expected and not cut
    if kind == "cut":
        same = cut and expected[: len(expected) // 2] == got
    elif kind == "hang_up":
        same = expected.startswith(got)
    return same and server.bodies.get(number) == hashlib.sha256(sent).hexdigest()


async def read_log(folder: str) -> dict[str, tuple[str, str, str]]:
    """Return run_id, phase and the kind of the explanation, by request_id, after spooled requests are in the log."""
    recover = [sys.executable, "-m", "playground", "record", "--recover", "--data-dir", folder]
    await (await asyncio.create_subprocess_exec(*recover)).wait()
    log = await RequestLog.open(Path(folder))
    await log.recovered()
    found: dict[str, tuple[str, str, str]] = {}
    before: int | None = None
    while page := await log.page(EVERYTHING, before):
        before = page[-1].number
        names = {row.run_id: row.request_id or row.run_id for row in page}
        runs, damaged = await log.readable([row.number for row in page])
        assert not damaged
        for run in runs:
            assert KEY.encode() not in run.record.body
            assert KEY not in repr(run.events)
            state, explanation = run.state(), run.explanation
            usage = state.usage
            missed = state.phase == "done" and usage is not None and usage.cached_tokens != usage.prompt_tokens
            kind = str(explanation.get("kind", "")) if isinstance(explanation, dict) else ""
            found[names[run.record.run_id]] = run.record.run_id, state.phase, kind if kind or not missed else "none"
    await log.close()
    return found


def key_hits(folder: str) -> int:
    """Return how often the key is on disk: plain, base64 at three offsets, or as hexadecimal digits."""
    forms = {KEY.encode(), KEY.encode().hex().encode()}
    forms |= {base64.b64encode(b"x" * shift + KEY.encode())[4:40] for shift in range(3)}
    files = [path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()]
    return sum(data.count(form) for data in files for form in forms)


def _use(process: psutil.Process) -> str:
    """Return memory and CPU time of both processes, and the CPU time of this one."""
    parts = []
    for name, one in (("forwarding", process), ("recording", process.children()[0])):
        times = one.cpu_times()
        parts.append(f"{name} {one.memory_info().rss / 1e6:.0f} MB, CPU {times.user + times.system:.0f} s")
    return "; ".join([*parts, f"benchmark CPU {time.process_time():.0f} s"])


async def bytes_figures(requests: int, server: Server, port: int) -> None:
    """Print how many exchanges are identical, how many are logged, and the key's hits."""
    with tempfile.TemporaryDirectory() as folder:
        same: Counter[str] = Counter()
        client = httpx.AsyncClient(trust_env=False, timeout=60)
        async with recorder(folder, port) as (process, base_url), client:
            began = time.perf_counter()
            print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            for first in range(0, requests, 10):
                if first % 1_000 == 0:
                    print(f"{first:,} requests, {time.perf_counter() - began:.0f} s: {_use(process)}", flush=True)
                kinds = [(number, KINDS[number % 10]) for number in range(first, min(first + 10, requests))]
                results = await asyncio.gather(*(exchange(client, base_url, n, kind, server) for n, kind in kinds))
                same.update(kind for (_, kind), ok in zip(kinds, results, strict=True) if ok)
            print(f"{requests:,} requests, {time.perf_counter() - began:.0f} s: {_use(process)}", flush=True)
        print(f"everything written after {time.perf_counter() - began:.0f} s", flush=True)
        hits = key_hits(folder)
        logged = await read_log(folder)
        ids = sum(f"r-{number}" in logged for number in range(requests))
        print(f"{requests:,} requests: identical bytes in {sum(same.values()):,} ({dict(same)})")
        print(f"in the log {len(logged):,}, with their request_id {ids:,}")
        causes = Counter(cause for _, _, cause in logged.values() if cause)
        print(f"misses with a cause {sum(causes.values()) - causes['none']:,} of {sum(causes.values()):,}: {causes}")
        print(f"planted key on disk: {hits} hits; 0 in all decoded runs")


class Kill:
    """Kills of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind, self.finished, self.longest = kind, list[int](), 0.0

    async def run(self, folder: str, first: int, delay_s: float) -> None:
        """Kill once while ten streams run."""
        server = Server()
        listening = await asyncio.start_server(server.answer, "127.0.0.1", 0, limit=1_000_000)
        port = listening.sockets[0].getsockname()[1]
        client = httpx.AsyncClient(trust_env=False, timeout=30)
        async with recorder(folder, port, in_parent=self.kind == "window") as (process, base_url), client:
            numbers = range(first, first + 10)
            calls = [asyncio.create_task(exchange(client, base_url, n, "slow", server)) for n in numbers]
            await asyncio.wait(calls, timeout=delay_s)
            killed = time.perf_counter()
            if self.kind == "endpoint":
                server.cut()
            elif self.kind == "recording process":
                process.children()[0].kill()
            elif self.kind == "both processes":
                process.suspend()
                process.children()[0].kill()
                process.kill()
            else:
                process.kill()
            results = await asyncio.gather(*calls, return_exceptions=True)
            if self.kind != "recording process":
                self.longest = max(self.longest, time.perf_counter() - killed)
            self.finished += [n for n, result in zip(numbers, results, strict=True) if result is True]
        listening.close()


async def kill_figures(kills: int) -> None:
    """Kill while ten streams run; print finished requests that the log lacks, and the longest wait of a caller."""
    rng = random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        kinds = [Kill(kind) for kind in ("Recorder", "recording process", "endpoint", "window", "both processes")]
        for attempt in range(kills):
            await kinds[attempt % 5].run(folder, 1_000_000 + attempt * 10, rng.uniform(0.05, 2.5))
            if attempt % 20 == 19 or attempt == kills - 1:
                await print_kills(kinds, attempt + 1, await read_log(folder))


async def print_kills(kinds: list[Kill], kills: int, logged: dict[str, tuple[str, str, str]]) -> None:
    """Print the figures so far."""
    print(f"after {kills} kills: {len(logged)} rows of {kills * 10} streams")
    for kind in kinds:
        found = [logged[f"r-{n}"][1] for n in kind.finished if f"r-{n}" in logged]
        print(
            f"  {kind.kind}: finished for the caller {len(kind.finished)}, in the log {len(found)} "
            f"{dict(Counter(found))}; longest wait after the kill {kind.longest * 1_000:,.0f} ms",
            flush=True,
        )


async def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0, limit=1_000_000)
    port = listening.sockets[0].getsockname()[1]
    if options.requests:
        await bytes_figures(options.requests, server, port)
    listening.close()
    await kill_figures(options.kills)


if __name__ == "__main__":
    asyncio.run(main())

"""From stop to closed socket: how long until a server sees that the client has left.

python -m tests.benchmarks.bench_stop [STOPS]

Each stage is stopped that many times, and each time the connection is new. The clock starts at Run.stop and ends
where the server, in the same process, reads the end of the connection: its own wake-up is counted too. Goal: 100 ms.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from playground.client.connection import Connection
from playground.client.events import AnyEvent, ContentDelta, HeadersReceived
from tests.client import servers
from tests.client.servers import Peer, head, says
from tests.conformance.talk import new

STOPS = 50
CROWD = 20
STAGES: dict[str, tuple[bytes, type[AnyEvent] | None]] = {
    "before the headers": (b"", None),
    "before the first byte": (head(), HeadersReceived),
    "between two words": (head() + says("half"), ContentDelta),
}


class _Server:
    """Sends every client the same stream and records when each disconnect was seen."""

    def __init__(self, sent: bytes, pace_s: float) -> None:
        self._sent, self._pace_s = sent, pace_s
        self.reached, self.left = asyncio.Event(), asyncio.Event()
        self.left_at = 0.0

    async def script(self, peer: Peer) -> None:
        await peer.send(self._sent)
        if peer.headers.get("authorization", "").endswith("crowd"):
            await self._talk_on(peer)
            return
        self.reached.set()
        await peer.gone()
        self.left_at = time.perf_counter()
        self.left.set()

    async def _talk_on(self, peer: Peer) -> None:
        while not peer.writer.is_closing():
            await peer.send(says("and on"))
            await asyncio.sleep(self._pace_s)


async def _stop_once(connection: Connection, server: _Server, base_url: str, awaited: type[AnyEvent] | None) -> float:
    """Return the milliseconds from stop to the end of the connection at the server."""
    server.reached.clear()
    server.left.clear()
    told, came = new(connection, base_url), asyncio.Event()
    told.run.subscribe(lambda _, event: came.set() if awaited is None or isinstance(event, awaited) else None)
    executing = asyncio.create_task(told.run.execute())
    await server.reached.wait()
    await came.wait()
    began = time.perf_counter()
    told.run.stop()
    await server.left.wait()
    state = await executing
    assert state.phase == "stopped"
    return (server.left_at - began) * 1000


async def _measure(stage: str, stops: int, crowd: int) -> list[float]:
    """`crowd`: other streams on the same loop, each with 200 chunks per second."""
    sent, awaited = STAGES[stage]
    server = _Server(sent, 0.005)
    async with servers.serve(server.script) as listening:
        connection = Connection()
        others = [new(connection, listening.base_url, key="sk_crowd") for _ in range(crowd)]
        running = [asyncio.create_task(other.run.execute()) for other in others]
        for other in others:
            await other.content.wait()
        taken = [await _stop_once(connection, server, listening.base_url, awaited) for _ in range(stops)]
        for other in others:
            other.run.stop()
        await asyncio.gather(*running)
        await connection.aclose()
    return taken


def main(stops: int) -> None:
    """Measure and print."""
    asyncio.run(_measure("between two words", 3, 0))  # the first pays for its imports
    for crowd in (0, CROWD):
        for stage in STAGES:
            if crowd and stage != "between two words":
                continue  # A client without headers cannot send another request yet.
            taken = asyncio.run(_measure(stage, stops, crowd))
            beside = f", {crowd} streams beside it" if crowd else ""
            median, most = statistics.median(taken), max(taken)
            print(f"{stage + beside:42} {len(taken)} stops  median {median:6.2f} ms  max {most:6.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STOPS)

"""Stop and close: the server sees the disconnect, and no resources leak. Tests the order of events, not times.

How long it takes is measured by `python -m tests.benchmarks.bench_stop`.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, Completed, ContentDelta, Finished, HeadersReceived, RetryScheduled
from playground.client.retry import RetryPolicy
from playground.requestlog.log import RequestLog
from playground.runs.run import Run
from playground.runs.service import PendingRequest
from playground.services import AppServices
from playground.simulator.process import SimulatorProcess
from playground.tasks import Tasks
from tests.client import servers
from tests.client.servers import DONE, ENDS, Peer, Script, head, says
from tests.conformance.talk import DOCUMENT, Conversation, new, see_through, stats

Make = Callable[..., SimulatorProcess]
STREAMS = 20


@contextmanager
def _nothing_left() -> Iterator[None]:
    """No thread, no socket, and no object that warns when it is collected: warnings are errors here."""
    gc.collect()
    # What is here already is not looked at again: a visit of all modules takes longer than the test. In a forked worker
    # (tests/forked_workers.py) it stays so.
    is_frozen = gc.get_freeze_count() > 0
    gc.freeze()
    threads, sockets = set(threading.enumerate()), _sockets()
    try:
        yield
        gc.collect()
    finally:
        if not is_frozen:
            gc.unfreeze()
    assert set(threading.enumerate()) <= threads
    assert _sockets() <= sockets


def _sockets() -> set[object]:
    return {(item.fd, item.laddr, item.raddr) for item in psutil.Process().net_connections("tcp")}


def _no_other_task() -> None:
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Stop, at every stage. What the server says before it waits for ever, the event that the run must have told by
# then (None: none can be), the phase and the text it ends with.

Stage = tuple[bytes, type[AnyEvent] | None, str, str]
STAGES: dict[str, Stage] = {
    "before the headers": (b"", None, "stopped", ""),
    "within the headers": (head()[:40], None, "stopped", ""),
    "before the first byte": (head(), HeadersReceived, "stopped", ""),
    "within the first event": (head() + b'40\r\ndata: {"cho', HeadersReceived, "stopped", ""),
    "between two words": (head() + says("half"), ContentDelta, "stopped", "half"),
    "within a body that is not streamed": (
        head("application/json", length=999) + b'{"choices"',
        HeadersReceived,
        "stopped",
        "",
    ),
    "within the body of an error": (head("text/plain", "503 No", 999) + b"over", HeadersReceived, "stopped", ""),
    "before [DONE]": (head() + says("whole") + ENDS, Finished, "stopped", "whole"),
    "after [DONE]": (head() + says("whole") + ENDS + DONE, Completed, "done", "whole"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_after_stop_the_server_sees_the_client_leave(stage: str) -> None:
    """Nothing but the stop can end the run, or close the socket: the server waits for ever."""
    sent, awaited, phase, text = STAGES[stage]
    order: list[str] = []

    async def main() -> Conversation:
        reached = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(sent)
            reached.set()
            await peer.gone()
            order.append("left")

        async with servers.serve(script) as server:
            connection = Connection()
            told = new(connection, server.base_url)
            await _stop_at(told, reached, awaited, order)
            await asyncio.wait_for(server.all_left.wait(), 30)
            order.append("closing")
            await connection.aclose()
        _no_other_task()
        return told

    with _nothing_left():
        told = asyncio.run(main())
    assert (told.state.phase, told.state.text) == (phase, text)
    assert told.ids == [None if awaited is None else servers.REQUEST_ID]
    # The end of the run does not wait for the server: these two have no order among themselves.
    assert order[0] == "stop"
    assert sorted(order[1:3]) == ["ended", "left"]
    assert order[3:] == ["closing"]


async def _stop_at(
    told: Conversation, reached: asyncio.Event, awaited: type[AnyEvent] | None, order: list[str]
) -> None:
    came = asyncio.Event()
    told.run.subscribe(lambda _, event: came.set() if awaited is None or isinstance(event, awaited) else None)
    async with asyncio.TaskGroup() as group:
        executing = group.create_task(see_through(told))
        await reached.wait()
        await came.wait()
        order.append("stop")
        told.run.stop()
        told.run.stop()
        await executing
    order.append("ended")


def test_stop_while_a_secure_connection_is_being_made() -> None:
    """The server takes the connection and never says a word of TLS."""

    async def main() -> Conversation:
        asked, left = asyncio.Event(), asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            asked.set()
            await Peer(reader, writer, "", {}, b"").gone()
            writer.close()
            left.set()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
            connection = Connection()
            told = new(connection, f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1")
            await _stop_at(told, asked, None, [])
            await asyncio.wait_for(left.wait(), 30)
            await connection.aclose()
        _no_other_task()
        return told

    with _nothing_left():
        assert asyncio.run(main()).state.phase == "stopped"


def test_stop_while_a_large_request_is_on_its_way() -> None:
    """The server reads the first bytes and no more, so that the rest cannot be sent."""

    async def main() -> Conversation:
        asked, left = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await stopped.wait()
            await Peer(reader, writer, "", {}, b"").gone()
            writer.close()
            left.set()

        stopped = asyncio.Event()
        async with await asyncio.start_server(slow, "127.0.0.1", 0, limit=1024) as listening:
            connection = Connection()
            body = b'{"stream":true,"x":"' + b"x" * 30_000_000 + b'"}'
            told = new(connection, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", body=body)
            await _stop_at(told, asked, None, [])
            stopped.set()
            await asyncio.wait_for(left.wait(), 30)
            await connection.aclose()
        _no_other_task()
        return told

    with _nothing_left():
        assert asyncio.run(main()).state.phase == "stopped"


def test_stop_while_the_next_attempt_is_waited_for_sends_nothing_more() -> None:
    async def main() -> tuple[Conversation, int]:
        async def script(peer: Peer) -> None:
            await peer.send(servers.whole(b"{}", status="503 No"))

        async with servers.serve(script) as server:
            connection = Connection()
            told = new(connection, server.base_url, retries=RetryPolicy(first_s=3600, longest_s=3600))
            waiting = asyncio.Event()
            told.run.subscribe(lambda _, event: waiting.set() if isinstance(event, RetryScheduled) else None)
            await _stop_at(told, waiting, RetryScheduled, [])
            await connection.aclose()
        _no_other_task()
        return told, len(server.requests)

    with _nothing_left():
        told, asked = asyncio.run(main())
    assert (told.state.phase, told.ids, asked) == ("stopped", [servers.REQUEST_ID], 1)


@pytest.mark.parametrize("stream", [True, False])
def test_the_simulator_sees_a_stop_before_its_first_token(make_simulator: Make, stream: bool) -> None:
    """Each is counted, and its place is free again."""
    simulator = make_simulator("--ttft-ms", "3600000", "--plan", "standard")
    body = (
        b'{"model":"electron","messages":[{"role":"user","content":"hi"}],"stream":%s}' % str(stream).lower().encode()
    )

    async def main() -> list[Conversation]:
        connection = Connection()
        told = [new(connection, simulator.base_url, body=body) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            for one in told:
                group.create_task(see_through(one))
            await asyncio.to_thread(_until, lambda: stats(simulator)["in_flight"] == 3)
            for one in told:
                one.run.stop()
        await asyncio.to_thread(_until, lambda: stats(simulator)["in_flight"] == 0)
        await connection.aclose()
        return told

    assert [one.state.phase for one in asyncio.run(main())] == ["stopped"] * 3
    assert stats(simulator)["disconnects"] == 3


def _until(holds: Callable[[], bool]) -> None:
    """Ask until it holds; a test that waits in vain is ended by its patience, not by chance."""
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never held")


# Close, with many streams in flight.


def _talks(began: asyncio.Event) -> Script:
    """Each stream says a word, and all wait together."""
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        asked += 1
        await peer.send(head() + says("half"))
        if asked == STREAMS:
            began.set()
        await peer.gone()

    return script


def test_closing_the_connection_ends_every_stream_and_raises_nothing() -> None:
    async def main() -> list[Conversation]:
        began = asyncio.Event()
        async with servers.serve(_talks(began)) as server:
            connection = Connection()
            told = [new(connection, server.base_url) for _ in range(STREAMS)]
            async with asyncio.TaskGroup() as group:
                for one in told:
                    group.create_task(see_through(one))
                for one in told:
                    await one.content.wait()
                assert server.open == STREAMS
                await connection.aclose()
            await asyncio.wait_for(server.all_left.wait(), 30)
        _no_other_task()
        return told

    with _nothing_left():
        told = asyncio.run(main())
    assert [(one.state.phase, one.state.text, one.kinds) for one in told] == [("failed", "half", ["cut"])] * STREAMS


def test_closing_the_workspace_ends_every_stream_and_keeps_what_came(tmp_path: Path) -> None:
    """Nothing is stopped beforehand. The log has every stream's text and request_id when it is read again."""
    errors: list[tuple[str, BaseException]] = []

    async def main() -> None:
        began = asyncio.Event()
        async with servers.serve(_talks(began)) as server:
            tasks = Tasks(lambda name, error: errors.append((name, error)))
            workspace = AppServices(tmp_path, {}, tasks)
            added = workspace.endpoints.add(Endpoint("", "Scripted", server.base_url, needs_key=False))
            workspace.choose(added.id)
            await workspace.open_log()
            runs = await _twenty(workspace, tasks)
            assert server.open == STREAMS
            await workspace.close()
            assert {run.state.phase for run in runs} == {"stopped"}
            await asyncio.wait_for(server.all_left.wait(), 30)
        _no_other_task()
        await _read_again(tmp_path, runs)
        _no_other_task()

    with _nothing_left():
        asyncio.run(main())
    assert errors == []


async def _twenty(workspace: AppServices, tasks: Tasks) -> list[Run]:
    """Twenty sends, each of which has its first word."""
    runs: list[Run] = []
    waiting: list[asyncio.Event] = []

    def dispatched(dispatch: PendingRequest) -> None:
        came = asyncio.Event()
        dispatch.run.subscribe(lambda _, event: came.set() if isinstance(event, ContentDelta) else None)
        runs.append(dispatch.run)
        waiting.append(came)
        if len(runs) == STREAMS:
            all_there.set()

    async def send() -> None:
        await workspace.send(DOCUMENT, dispatched)

    all_there = asyncio.Event()
    for number in range(STREAMS):
        tasks.start(send(), f"send {number}")
    await all_there.wait()
    for came in waiting:
        await came.wait()
    return runs


async def _read_again(folder: Path, runs: list[Run]) -> None:
    log = await RequestLog.open(folder)
    for run in runs:
        stored = await log.get(run.id)
        assert stored is not None
        state = stored.state()
        assert (state.phase, state.text, state.request_id) == ("stopped", "half", servers.REQUEST_ID)
    await log.close()

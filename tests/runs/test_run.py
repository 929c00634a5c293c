"""Runs over a real socket: end, stop, and events for listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, Completed, ContentDelta, HeadersReceived, Stopped
from playground.prompt.document import Document, Message
from playground.prompt.request import to_request
from playground.runs.run import Run
from playground.runs.state import fold
from playground.runs.summary import summary
from playground.simulator.process import SimulatorProcess
from tests.client import servers
from tests.client.servers import Peer, serve

ANSWER = servers.says("Hello") + servers.ENDS + servers.USAGE + servers.DONE + servers.LAST


def _run(connection: Connection, endpoint: Endpoint, stream: bool = True) -> Run:
    document = Document(messages=(Message("user", "Hello there"),), stream=stream)
    return Run(
        id="run-1",
        document=document,
        request=to_request(document, "electron"),
        endpoint=endpoint,
        forecast=None,
        started_utc=datetime.now(UTC),
        connection=connection,
        key="sk_test_0123456789",
    )


async def _with(endpoint: Endpoint, use: Callable[[Run], Awaitable[None]], stream: bool = True) -> list[AnyEvent]:
    """Use one run; what its listener heard. Whatever happened, replaying it must give the state it ended in."""
    connection = Connection()
    heard: list[AnyEvent] = []
    run = _run(connection, endpoint, stream)
    run.subscribe(lambda _, event: heard.append(event))
    try:
        await use(run)
    finally:
        await connection.aclose()
    replayed = fold(heard)
    # Reading the text joins its pieces, which come to be compared.
    assert replayed.text == run.state.text
    assert replayed == run.state
    assert run.state.ended
    return heard


async def _answer(peer: Peer) -> None:
    await peer.send(servers.head() + ANSWER)


async def _execute(run: Run) -> None:
    await run.execute()


async def test_a_run_from_start_to_end() -> None:
    async with serve(_answer) as server:

        async def use(run: Run) -> None:
            assert await run.execute() is run.state
            assert (run.state.phase, run.state.text, run.state.request_id) == ("done", "Hello", servers.REQUEST_ID)
            run.stop()
            assert run.state.phase == "done"

        heard = await _with(server.endpoint, use)
        assert isinstance(heard[-1], Completed)


async def test_stop_after_the_end_of_the_answer_leaves_it_complete() -> None:
    async def hold(peer: Peer) -> None:
        await peer.send(servers.head() + ANSWER.removesuffix(servers.LAST))
        await peer.gone()

    async with serve(hold) as server:

        async def use(run: Run) -> None:
            reported = asyncio.Event()
            run.subscribe(lambda run, _event: reported.set() if run.state.usage else None)
            sending = asyncio.create_task(run.execute())
            await reported.wait()
            assert not run.state.ended
            run.stop()
            await sending
            assert (run.state.phase, run.state.text) == ("done", "Hello")

        heard = await _with(server.endpoint, use)
        assert isinstance(heard[-1], Completed)


async def test_error_is_in_the_state_and_not_raised() -> None:
    async with serve(_answer) as server:
        pass

    async def use(run: Run) -> None:
        state = await run.execute()
        assert state.phase == "failed"
        assert state.error is not None
        assert (state.error.kind, state.attempts[0].error) == ("connect", state.error)
        assert (state.status, state.request_id, state.usage) == (None, None, None)

    await _with(server.endpoint, use)


@pytest.mark.parametrize("sent", [b"", servers.head(), servers.head() + servers.says("half")])
async def test_stop_ends_it_and_the_server_sees_it(sent: bytes) -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(sent)
        reached.set()
        await peer.gone()
        left.set()

    async with serve(script) as server:

        async def use(run: Run) -> None:
            told = asyncio.Event()
            run.subscribe(lambda _, event: told.set() if isinstance(event, ContentDelta) else None)
            executing = asyncio.create_task(run.execute())
            await reached.wait()
            if b"half" in sent:
                await told.wait()
            run.stop()
            run.stop()
            state = await executing
            run.stop()
            await asyncio.wait_for(left.wait(), 10)
            assert state.phase == "stopped"
            assert state.text == ("half" if b"half" in sent else "")
            assert (state.usage, state.error) == (None, None)

        heard = await _with(server.endpoint, use)
        assert sum(isinstance(event, Stopped) for event in heard) == 1


async def test_stop_from_a_listener_keeps_what_had_come() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(servers.head() + servers.says("one") + servers.says("two") + ANSWER)

    async with serve(script) as server:

        async def use(run: Run) -> None:
            run.subscribe(lambda run, event: run.stop() if isinstance(event, HeadersReceived) else None)
            state = await run.execute()
            assert (state.phase, state.request_id) == ("stopped", servers.REQUEST_ID)

        await _with(server.endpoint, use)


async def test_stop_before_it_began_sends_nothing() -> None:
    async with serve(_answer) as server:

        async def use(run: Run) -> None:
            run.stop()
            assert (await run.execute()).phase == "stopped"

        assert [type(event) for event in await _with(server.endpoint, use)] == [Stopped]
        assert server.connections == 0


@pytest.mark.parametrize("begun", [False, True])
async def test_cancelling_from_outside_is_raised_and_leaves_it_stopped(begun: bool) -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(servers.head())
        reached.set()
        await peer.gone()
        left.set()

    async with serve(script) as server:

        async def use(run: Run) -> None:
            executing = asyncio.create_task(run.execute())
            if begun:
                await reached.wait()
            else:
                await asyncio.sleep(0)
            executing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await executing
            assert run.state.phase == "stopped"
            if begun:
                await asyncio.wait_for(left.wait(), 10)

        await _with(server.endpoint, use)


async def test_after_a_stop_the_next_run_goes_through() -> None:
    reached = asyncio.Event()

    async def script(peer: Peer) -> None:
        if not reached.is_set():
            reached.set()
            await peer.gone()
        else:
            await _answer(peer)

    async with serve(script) as server:
        connection = Connection()
        first, second = _run(connection, server.endpoint), _run(connection, server.endpoint)
        executing = asyncio.create_task(first.execute())
        await reached.wait()
        first.stop()
        assert (await executing).phase == "stopped"
        assert (await second.execute()).text == "Hello"
        await connection.aclose()


@pytest.mark.parametrize("stream", [True, False])
def test_against_the_simulator(simulator: SimulatorProcess, stream: bool) -> None:
    endpoint = Endpoint(id="simulator", name="Simulator", base_url=simulator.base_url, kind="simulator")

    async def use(run: Run) -> None:
        state = await run.execute()
        assert (state.phase, state.status, state.finish_reason) == ("done", 200, "stop")
        assert state.text
        assert state.request_id
        assert state.usage is not None
        assert state.usage.prompt_tokens
        assert state.usage.cached_tokens is not None
        told = summary(run)
        assert told["request_id"] == state.request_id
        assert told["error"] is None

    heard = asyncio.run(_with(endpoint, use, stream))
    assert any(isinstance(event, ContentDelta) for event in heard)

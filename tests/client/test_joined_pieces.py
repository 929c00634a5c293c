"""Pieces of a body that come without a wait are joined: when, in which order, and how a wait in between is ended."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator

import pytest

from playground.client.connection import Connection
from playground.client.events import Completed, ContentDelta
from playground.client.exchange import joined_pieces
from playground.client.response_decoder import SLICE_BYTES
from playground.prompt.request import Request
from tests.client import servers
from tests.client.servers import Peer, serve

REQUEST = Request(b'{"model":"m","messages":[],"stream":true}', "m", True)


class Source:
    """A body whose pieces come at once up to a None, which waits until `more` is set."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces = pieces
        self.more = asyncio.Event()
        self.ended_by: type[BaseException] | None = None
        self.closed = False

    async def body(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self._pieces:
                if piece is None:
                    await self.more.wait()
                else:
                    yield piece
        except BaseException as error:
            await asyncio.sleep(0)  # as httpx does when it closes a socket
            self.ended_by = type(error)
            raise
        finally:
            self.closed = True


async def test_pieces_before_a_wait_are_joined_and_not_delayed_by_it() -> None:
    source = Source(b"a", b"b", None, b"c", b"d")
    joined = joined_pieces(source.body())
    assert await anext(joined) == b"ab"
    assert not source.more.is_set()
    source.more.set()
    assert [piece async for piece in joined] == [b"cd"]
    assert source.closed


async def test_wait_that_ends_before_the_consumer_returns_loses_nothing() -> None:
    source = Source(b"a", None, b"b", None, b"c")
    joined = joined_pieces(source.body())
    assert await anext(joined) == b"a"
    source.more.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert [piece async for piece in joined] == [b"bc"]


async def test_pieces_before_an_error_come_before_it() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"a"
        yield b"b"
        raise ConnectionResetError

    joined = joined_pieces(broken())
    assert await anext(joined) == b"ab"
    with pytest.raises(ConnectionResetError):
        await anext(joined)


async def test_error_of_a_wait_is_raised() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"a"
        await asyncio.sleep(0)
        raise ConnectionResetError

    joined = joined_pieces(broken())
    assert await anext(joined) == b"a"
    with pytest.raises(ConnectionResetError):
        await anext(joined)


async def test_close_during_a_wait_ends_the_source() -> None:
    source = Source(b"a", None, b"b")
    joined = joined_pieces(source.body())
    assert await anext(joined) == b"a"
    await joined.aclose()
    assert (source.closed, source.ended_by) == (True, asyncio.CancelledError)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


@pytest.mark.parametrize("pieces", [(None, b"b"), (b"a", None, b"b")])
async def test_cancellation_of_a_wait_reaches_the_source(pieces: tuple[bytes | None, ...]) -> None:
    source = Source(*pieces)

    async def consume() -> None:
        async for _ in joined_pieces(source.body()):
            waiting.set()

    waiting = asyncio.Event()
    task = asyncio.create_task(consume())
    if pieces[0] is None:
        await asyncio.sleep(0)
    else:
        await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (source.closed, source.ended_by) == (True, asyncio.CancelledError)


async def test_endless_pieces_are_joined_up_to_a_slice() -> None:
    async def endless() -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(1000)

    joined = joined_pieces(endless())
    assert SLICE_BYTES <= len(await anext(joined)) < SLICE_BYTES + 1000
    await joined.aclose()


async def test_chunks_of_one_read_share_their_time_and_a_later_read_has_its_own() -> None:
    parts = [servers.says(word) for word in "abcdefgh"]
    second = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(servers.head() + b"".join(parts[:5]))
        await second.wait()
        await peer.send(b"".join(parts[5:]) + servers.ENDS + servers.DONE + servers.LAST)

    connection, ticks, times = Connection(), itertools.count(), []
    async with serve(script) as server:
        completed = False
        async for event in connection.stream(server.endpoint, None, REQUEST, lambda: float(next(ticks))):
            if isinstance(event, ContentDelta):
                times.append(event.at)
                if event.text == "e":  # all of the first read have come before the second is sent
                    second.set()
            completed = isinstance(event, Completed)
        assert completed
        await connection.aclose()
    assert len(set(times[:5])) == len(set(times[5:])) == 1
    assert times[4] < times[5]


async def test_cancellation_of_the_task_while_the_source_cleans_up_arrives() -> None:
    cleaning = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        yield b"a"
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(30)

    async def consume() -> None:
        joined = joined_pieces(slow())
        assert await anext(joined) == b"a"
        await joined.aclose()

    task = asyncio.create_task(consume())
    await cleaning.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

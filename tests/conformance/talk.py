"""Helpers that execute a run against the simulator or a scripted server, and set up both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from playground.client.connection import Connection, Timeouts
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, ContentDelta, RetryScheduled
from playground.client.retry import RetryPolicy
from playground.prompt.document import Document, Message
from playground.prompt.request import Request, to_request
from playground.runs.run import Run
from playground.runs.state import RunState, fold
from playground.simulator.process import SimulatorProcess
from tests.client import servers
from tests.client.servers import Peer
from tests.conftest import PATIENCE_S
from tests.simulator.talk import request
from tests.virtual_time import run_in_virtual_time

KEY = "sk_test_0123456789"
QUICK = RetryPolicy(first_s=0.01, longest_s=0.02)
USUAL = Timeouts()
STARTED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DOCUMENT = Document(messages=(Message("user", "hello"),))


@dataclass
class Conversation:
    """One run with all its attempts: its events and its final state."""

    run: Run
    heard: list[AnyEvent] = field(default_factory=list)
    content: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first text has come."""

    @property
    def state(self) -> RunState:
        return self.run.state

    @property
    def waits(self) -> list[float]:
        """Seconds before each further attempt."""
        return [event.wait_s for event in self.heard if isinstance(event, RetryScheduled)]

    @property
    def ids(self) -> list[str | None]:
        """Every attempt's request_id."""
        return [attempt.request_id for attempt in self.state.attempts]

    @property
    def statuses(self) -> list[int | None]:
        """Every attempt's status."""
        return [attempt.status for attempt in self.state.attempts]

    @property
    def kinds(self) -> list[str | None]:
        """Every attempt's kind of error."""
        return [attempt.error.kind if attempt.error else None for attempt in self.state.attempts]

    def hear(self, _run: Run, event: AnyEvent) -> None:
        """Listen in."""
        self.heard.append(event)
        if isinstance(event, ContentDelta):
            self.content.set()


def new(
    connection: Connection,
    base_url: str,
    *,
    key: str | None = KEY,
    body: bytes | None = None,
    retries: RetryPolicy = QUICK,
) -> Conversation:
    """Return a run that has not begun, with a listener. `body`: sent unchanged instead of the default greeting."""
    asked = to_request(DOCUMENT, "electron") if body is None else _request(body)
    run = Run(
        id="run",
        document=DOCUMENT,
        request=asked,
        endpoint=Endpoint("e", "Endpoint", base_url),
        forecast=None,
        started_utc=STARTED,
        connection=connection,
        key=key,
        retries=retries,
    )
    conversation = Conversation(run)
    run.subscribe(conversation.hear)
    return conversation


def _request(body: bytes) -> Request:
    return Request(body, "electron", bool(json.loads(body).get("stream")))


async def see_through(conversation: Conversation) -> Conversation:
    """Execute the run, and check that it ends and that its events fold to its final state."""
    async with asyncio.timeout(60):
        await conversation.run.execute()
    state, replayed = conversation.state, fold(conversation.heard)
    assert replayed.text == state.text  # reading it joins the pieces, which come to be compared
    assert replayed == state
    assert state.ended
    return conversation


def converse(base_url: str, *, body: bytes | None = None, retries: RetryPolicy = QUICK) -> Conversation:
    """One run from start to end, on a connection of its own."""

    async def main() -> Conversation:
        connection = Connection()
        try:
            return await see_through(new(connection, base_url, body=body, retries=retries))
        finally:
            await connection.aclose()

    return asyncio.run(main())


Step = bytes | Callable[[Peer, Conversation], Awaitable[None]]
"""Bytes to be sent, or something to be done."""


async def hang_up(peer: Peer, _: Conversation) -> None:
    """Close the connection, as a server that ends does."""
    peer.hang_up()


async def reset(peer: Peer, conversation: Conversation) -> None:
    """Break the connection after the client has read the sent bytes, since a reset can overtake them."""
    await asyncio.wait_for(conversation.content.wait(), PATIENCE_S)
    peer.reset()


async def silence(peer: Peer, _: Conversation) -> None:
    """Say nothing more until the client leaves."""
    await peer.gone()


def talk(*answers: Sequence[Step], timeouts: Timeouts = USUAL, retries: RetryPolicy = QUICK) -> Conversation:
    """One run to a server that answers request after request by these steps, as req-1, req-2 and so on.

    Every answer must have been asked for, and none more.
    """

    async def main() -> Conversation:
        conversation: Conversation
        asked = 0

        async def script(peer: Peer) -> None:
            nonlocal asked
            asked += 1
            for step in answers[asked - 1]:
                if isinstance(step, bytes):
                    await peer.send(step.replace(servers.REQUEST_ID.encode(), b"req-%d" % asked))
                else:
                    await step(peer, conversation)

        async with servers.serve(script) as server:
            connection = Connection(timeouts)
            conversation = new(connection, server.base_url, retries=retries)
            await see_through(conversation)
            await connection.aclose()
        assert asked == len(answers)
        return conversation

    return run_in_virtual_time(main())


def _root(simulator: SimulatorProcess) -> str:
    return simulator.base_url.removesuffix("/waves/v1")


def queue_faults(simulator: SimulatorProcess, *faults: str) -> None:
    """The next requests get these faults, one each."""
    for fault in faults:
        answer = request(f"{_root(simulator)}/simulator/faults", json.dumps({"fault": fault}).encode())
        assert answer.status == 200, answer.body


def stats(simulator: SimulatorProcess) -> dict[str, Any]:
    """What the simulator has counted: served, in_flight, disconnects, cached_blocks."""
    counted: dict[str, Any] = request(f"{_root(simulator)}/simulator/stats").json
    return counted

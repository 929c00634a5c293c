"""Network settings: they apply from the next request on, and errors name an unusable file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playground.client.connection import Connection, Network, Timeouts
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, AttemptFailed, Completed
from playground.prompt.document import Document, Message
from playground.prompt.request import Request, to_request
from playground.simulator.launch import SimulatorProcess


def _request() -> Request:
    return to_request(Document(messages=(Message("user", "hello"),)), "electron")


async def _all(connection: Connection, endpoint: Endpoint) -> list[AnyEvent]:
    return [event async for event in connection.stream(endpoint, None, _request(), lambda: 0.0)]


def test_a_certificate_file_that_is_none_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "certificates.pem"
    file.write_text("not a certificate")

    async def story() -> list[AnyEvent]:
        connection = Connection(ca_file=str(file))
        events = await _all(connection, Endpoint("e", "E", "https://127.255.0.1.example:1/v1", needs_key=False))
        await connection.aclose()
        return events

    last = asyncio.run(story())[-1]
    assert isinstance(last, AttemptFailed)
    assert last.error.kind == "setup"
    assert str(file) in last.error.detail
    assert "Settings" in last.error.advice


def test_other_settings_hold_from_the_next_request_on(simulator: SimulatorProcess) -> None:
    endpoint = Endpoint("s", "Simulator", simulator.base_url, needs_key=False)

    async def story() -> None:
        connection = Connection()
        first = connection.stream(endpoint, None, _request(), lambda: 0.0)
        begun = [await anext(first), await anext(first)]
        connection.use(Network(Timeouts(connect=3.0)))
        second = await _all(connection, endpoint)
        rest = [event async for event in first]
        await connection.aclose()
        assert begun
        assert isinstance(second[-1], Completed)
        assert isinstance(rest[-1], Completed)

    asyncio.run(story())

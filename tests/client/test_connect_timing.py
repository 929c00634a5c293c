"""Connection times: measured for the first request, 0 for a reused connection."""

from __future__ import annotations

import time

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import HeadersReceived
from playground.prompt.document import Document, Message
from playground.prompt.request import to_request
from playground.simulator.process import SimulatorProcess


async def _costs(base_url: str, requests: int) -> list[float | None]:
    connection = Connection()
    endpoint = Endpoint("test", "Test", base_url, needs_key=False)
    request = to_request(Document(messages=(Message("user", "Hello"),), parameters={"max_tokens": 3}), "electron")
    costs: list[float | None] = []
    for _ in range(requests):
        async for event in connection.stream(endpoint, None, request, time.monotonic):
            if isinstance(event, HeadersReceived):
                costs.append(event.connect_s)
    await connection.aclose()
    return costs


def test_the_first_pays_and_the_next_does_not(simulator: SimulatorProcess) -> None:
    import asyncio

    first, second, third = asyncio.run(_costs(simulator.base_url, 3))
    assert first is not None
    assert first > 0
    assert (second, third) == (0.0, 0.0)

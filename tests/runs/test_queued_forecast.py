"""The forecast of a request that waited for a slot counts the requests that were answered meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.endpoint import PlanLimits
from playground.prompt.document import Document, Message
from playground.services import AppServices
from playground.tasks import Tasks
from tests.client.servers import Peer, serve

DOCUMENT = Document(messages=(Message("system", "You are fine. " * 600), Message("user", "hi")), stream=False)


def test_forecast_of_a_queued_request_counts_the_answers_before_it_and_is_logged(tmp_path: Path) -> None:
    answered = 0

    async def script(peer: Peer) -> None:
        nonlocal answered
        cached = 2400 if answered else 0
        answered += 1
        usage = {"prompt_tokens": 2412, "completion_tokens": 1, "total_tokens": 2413}
        value = {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}],
            "usage": {**usage, "prompt_tokens_details": {"cached_tokens": cached}},
        }
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        await peer.send(head.encode() + body)

    async def main() -> None:
        services = AppServices(tmp_path, {}, Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}")))
        async with serve(script) as server:
            endpoint = services.endpoints.add(
                replace(server.endpoint, needs_key=False, plan=PlanLimits("One", None, in_flight=1))
            )
            services.choose(endpoint.id)
            await services.open_log()
            sent = await asyncio.gather(*(services.send(DOCUMENT, lambda _: None) for _ in range(4)))
            first, *others = sorted(sent, key=lambda each: each.forecast.cached_tokens)
            assert first.forecast.cached_tokens < 16
            assert all(each.forecast.cached_tokens > 2000 for each in others)
            score = services.sender.forecaster.score(endpoint.id, endpoint.model)
            assert score is not None
            log = services.log
            assert log is not None
            for each in sent:
                stored = await log.get(each.run.id)
                assert stored is not None
                assert stored.record.forecast == each.forecast == each.run.forecast
            await services.close()

    asyncio.run(main())

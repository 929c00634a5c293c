"""A later report corrects the explanation of an earlier request: in memory and in the log."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.prompt.document import Document, Message
from playground.runs.record import read_explanation
from playground.services import AppServices
from playground.tasks import Tasks
from tests.client.servers import Peer, serve

PROMPT = tuple(f"Rule {number}: answer the letter about parcel {number * 7} politely." for number in range(200))


async def test_report_with_cached_tokens_corrects_the_explanation_by_a_cache_that_is_off(tmp_path: Path) -> None:
    answered = itertools.count()

    async def script(peer: Peer) -> None:
        cached = 2400 if next(answered) == 2 else 0
        usage = {"prompt_tokens": 2412, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": cached}}
        message = {"role": "assistant", "content": "Yes"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = json.dumps({"choices": choices, "usage": usage}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        await peer.send(head.encode() + body)

    document = Document(messages=(Message("system", "\n".join(PROMPT)), Message("user", "hi")), stream=False)
    services = AppServices(tmp_path, {}, Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}")))
    async with serve(script) as server:
        services.choose(services.endpoints.add(replace(server.endpoint, needs_key=False)).id)
        await services.open_log()
        log = services.log
        assert log is not None
        await services.send(document, lambda _: None)
        second = await services.send(document, lambda _: None)
        first_said = second.why
        assert first_said is not None
        assert "switched_off" in {candidate.code for candidate in first_said.candidates}
        third = await services.send(document, lambda _: None)
        corrected = second.why
        assert corrected is not None
        assert corrected.revised_by in (third.run.state.request_id, third.run.id)
        assert corrected.sentence.startswith(first_said.sentence)
        assert {candidate.code for candidate in corrected.candidates}.isdisjoint({"switched_off"})
        stored = await log.get(second.run.id)
        assert stored is not None
        assert read_explanation(stored.explanation) == corrected
        await services.close()

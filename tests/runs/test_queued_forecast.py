"""The forecast of a request that waited for a slot counts the requests that were answered meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from playground.client.endpoint import PLANS, PlanLimits
from playground.client.events import AnyEvent, AttemptStarted
from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prompt.document import Document, Json, Message
from playground.requestlog.log import RequestLog
from playground.runs.record import RequestRecord
from playground.runs.run import Run
from playground.runs.service import PendingRequest
from playground.runs.state import RunState
from playground.services import AppServices
from playground.tasks import Tasks
from tests.client.servers import Peer, serve

DOCUMENT = Document(messages=(Message("system", "You are fine. " * 600), Message("user", "hi")), stream=False)


async def _answer_in_turn(peer: Peer, answered: int) -> None:
    usage = {"prompt_tokens": 2412, "completion_tokens": 1, "total_tokens": 2413}
    value = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}],
        "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 2400 if answered else 0}},
    }
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    await peer.send(head.encode() + body)


class _SlowLog:
    """The request log, in which the second request is stored only after the first one has ended."""

    def __init__(self, log: RequestLog) -> None:
        self._log, self._begun, self._ended = log, 0, asyncio.Event()
        self.note, self.set_explanation = log.note, log.set_explanation

    async def begin(self, record: RequestRecord) -> None:
        self._begun += 1
        if self._begun == 2:
            await self._ended.wait()
        await self._log.begin(record)

    async def finish(self, run_id: str, state: RunState, forecast: Forecast | None = None, why: Json = None) -> None:
        await self._log.finish(run_id, state, forecast, why)
        self._ended.set()


async def _send_together(
    folder: Path, count: int, plan: PlanLimits = PLANS["none"], *, slow_log: bool = False
) -> list[PendingRequest]:
    """Send a prompt several times at once. The first answer has nothing from the cache. All forecasts are logged and
    scored."""
    answered = itertools.count()

    async def script(peer: Peer) -> None:
        await _answer_in_turn(peer, next(answered))

    services = AppServices(folder, {}, Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}")))
    async with serve(script) as server:
        endpoint = services.endpoints.add(replace(server.endpoint, needs_key=False, plan=plan))
        services.choose(endpoint.id)
        await services.open_log()
        log = services.log
        assert log is not None
        if slow_log:
            services.sender.log = _SlowLog(log)
        sent = await asyncio.gather(*(services.send(DOCUMENT, lambda _: None) for _ in range(count)))
        for each in sent:
            stored = await log.get(each.run.id)
            assert stored is not None
            assert stored.record.forecast == each.forecast == each.run.forecast
        assert services.sender.forecaster.score(endpoint.id, endpoint.model) is not None
        await services.close()
    return sent


def test_forecast_of_a_request_that_waited_for_the_log_counts_the_answer_before_it(tmp_path: Path) -> None:
    first, second = asyncio.run(_send_together(tmp_path, 2, slow_log=True))
    assert first.forecast.cached_tokens < 16
    assert second.forecast.cached_tokens > 2000


def test_forecast_of_a_queued_request_counts_the_answers_before_it(tmp_path: Path) -> None:
    sent = asyncio.run(_send_together(tmp_path, 4, PlanLimits("One", None, in_flight=1)))
    first, *others = sorted(sent, key=lambda each: each.forecast.cached_tokens)
    assert first.forecast.cached_tokens < 16
    assert all(each.forecast.cached_tokens > 2000 for each in others)


def test_forecast_at_an_attempt_counts_the_answers_that_the_cache_model_has_not_learned_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache model's thread is busy when the second request begins: the first one is recorded only then."""
    attempts, record, happen = itertools.count(1), CacheForecaster.record, Run._happen
    second_began = threading.Event()

    def late(forecaster: CacheForecaster, *args: Any) -> None:
        second_began.wait(30)
        record(forecaster, *args)

    def noted(run: Run, event: AnyEvent) -> None:
        happen(run, event)
        if isinstance(event, AttemptStarted) and next(attempts) == 2:
            second_began.set()

    monkeypatch.setattr(CacheForecaster, "record", late)
    monkeypatch.setattr(Run, "_happen", noted)
    sent = asyncio.run(_send_together(tmp_path, 2, PlanLimits("One", None, in_flight=1)))
    assert min(each.forecast.cached_tokens for each in sent) < 16
    assert max(each.forecast.cached_tokens for each in sent) > 2000


def test_cache_model_works_on_one_other_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {}
    for name in ("compared_with", "record", "settle"):
        method = getattr(EndpointCacheModel, name)

        def noted(*args: object, _name: str = name, _method: Callable[..., object] = method, **more: object) -> object:
            seen.setdefault(_name, set()).add(threading.current_thread().name)
            return _method(*args, **more)

        monkeypatch.setattr(EndpointCacheModel, name, noted)
    asyncio.run(_send_together(tmp_path, 1))
    assert seen.keys() == {"compared_with", "record", "settle"}
    assert len(set.union(*seen.values())) == 1
    assert set.union(*seen.values()) != {threading.current_thread().name}

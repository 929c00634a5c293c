"""Recording: order of writing, order of forecasts, and the bound of what waits for the log."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from playground.cli import recording_process
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, AttemptStarted, HeadersReceived
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prompt.document import Json
from playground.recorder import recording
from playground.recorder.feed_messages import Begin, End, ExchangeMessage, RequestData, RequestEnd, Setup
from playground.recorder.recording import RecordedCacheModel, Recording
from playground.requestlog.log import RequestLog
from playground.requestlog.store import FILE_NAME
from playground.runs.record import RequestRecord
from playground.runs.state import RunState


class SlowLog:
    """Ends a request only after `free` is set. Keeps the steps in their order."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.steps: list[str] = []

    async def begin(self, record: RequestRecord) -> None:
        await asyncio.sleep(0)
        self.steps.append(f"begin {record.run_id}")

    def note(self, run_id: str, event: AnyEvent) -> None:
        self.steps.append(f"note {run_id}")

    async def finish(
        self, run_id: str, state: RunState, *, explanation: Json, saved: Callable[[], None] | None
    ) -> None:
        await self.free.wait()
        self.steps.append(f"finish {run_id}" if explanation is None else f"finish and explain {run_id}")
        if saved is not None:
            saved()

    async def set_explanation(self, run_id: str, explanation: Json) -> None:
        self.steps.append(f"explain {run_id}")


class Model:
    """Keeps the order of calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def forecast(self, record: RequestRecord) -> RequestRecord:
        self.calls.append(f"forecast {record.run_id}")
        return replace(record, model="forecast")

    def accept(self, record: RequestRecord, request_id: str | None) -> None:
        assert record.model == "forecast"
        self.calls.append(f"accept {record.run_id}")

    def settle(self, record: RequestRecord, state: RunState) -> dict[str, Json]:
        self.calls.append(f"settle {record.run_id}")
        return {record.run_id: {}}


def record(run_id: str) -> RequestRecord:
    return RequestRecord(run_id, "e", "E", "other", "", "m", datetime.now(UTC), b"{}", "{}")


def pass_request(made: Recording, run_id: str) -> None:
    made.begin(record(run_id))
    made.event(run_id, AttemptStarted(0.0, 1))
    made.event(run_id, HeadersReceived(0.1, 200, None, "", ()))
    made.end(run_id)


async def test_recording_model_follows_the_order_of_messages_however_slow_the_log_is() -> None:
    log, model = cast(Any, SlowLog()), cast(Any, Model())
    made = Recording(log, model, lambda message: None)
    pass_request(made, "one")
    pass_request(made, "two")
    assert model.calls == [f"{call} {run}" for run in ("one", "two") for call in ("forecast", "accept", "settle")]
    log.free.set()
    await made.close()
    of_one = [step for step in log.steps if step.endswith("one")]
    assert of_one == ["begin one", "note one", "note one", "finish and explain one"]


async def test_recording_request_that_the_model_cannot_handle_is_written_without_an_explanation() -> None:
    class Failing(Model):
        def forecast(self, record: RequestRecord) -> RequestRecord:
            raise ValueError("forecast")

        def accept(self, record: RequestRecord, request_id: str | None) -> None:
            raise KeyError("accept")

        def settle(self, record: RequestRecord, state: RunState) -> dict[str, Json]:
            raise FileNotFoundError("settle")

    log, problems = cast(Any, SlowLog()), list[str]()
    log.free.set()
    made = Recording(log, cast(Any, Failing()), problems.append)
    pass_request(made, "one")
    await asyncio.wait_for(made.close(), 10)
    assert log.steps == ["begin one", "note one", "note one", "finish one"]
    assert len(problems) == 3


def test_cache_model_accept_after_a_failed_forecast_does_nothing() -> None:
    model = RecordedCacheModel(CacheForecaster(300.0))
    with pytest.raises(ValueError, match="Expecting value"):
        model.forecast(replace(record("one"), body=b"no JSON"))
    model.accept(record("one"), "id")
    assert model.settle(record("one"), RunState()) == {}


async def test_recording_has_room_until_too_many_ended_requests_wait_for_the_log() -> None:
    log = cast(Any, SlowLog())
    made = Recording(log, None, lambda message: None)
    for number in range(recording.MAX_UNWRITTEN - 1):
        pass_request(made, str(number))
    await asyncio.wait_for(made.has_room(), 10)
    pass_request(made, "last")
    waiting = asyncio.ensure_future(made.has_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    log.free.set()
    await asyncio.wait_for(waiting, 10)
    await made.close()


async def test_recording_request_that_cannot_be_written_is_reported_and_the_next_one_is_written() -> None:
    class Refusing(SlowLog):
        async def begin(self, record: RequestRecord) -> None:
            if record.run_id == "one":
                raise RuntimeError("refused")
            await super().begin(record)

    log, problems, ended = cast(Any, Refusing()), list[str](), dict[str, bool]()
    log.free.set()
    made = Recording(log, None, problems.append, lambda run_id, state: ended.update({run_id: state is not None}))
    pass_request(made, "one")
    pass_request(made, "two")
    await made.close()
    assert len(problems) == 1
    assert ended == {"one": False, "two": True}
    await asyncio.wait_for(made.has_room(), 10)


async def test_recording_end_is_reported_when_a_locked_log_has_it_and_not_before(tmp_path: Path) -> None:
    log = await RequestLog.open(tmp_path)
    writer = log._files.writer
    assert writer is not None
    await log._write_worker.call(lambda: writer.execute("PRAGMA busy_timeout = 50").fetchall())
    ended: asyncio.Queue[str] = asyncio.Queue()
    made = Recording(log, cast(Any, Model()), lambda _problem: None, lambda run_id, _state: ended.put_nowait(run_id))
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        pass_request(made, "one")
        await made.close()
        await asyncio.sleep(0)
        assert ended.empty()
        other.execute("ROLLBACK")
        assert await asyncio.wait_for(ended.get(), 30) == "one"
        stored = await log.get("one")
        assert stored is not None
        assert stored.explanation == {}
        other.execute("BEGIN IMMEDIATE")
        pass_request(made, "two")
        await made.close()
        await log.close()
        await asyncio.sleep(0)
        assert ended.empty()


async def test_recording_requests_that_wait_for_a_locked_log_are_not_written_from_the_spool_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[str] = []
    monkeypatch.setattr(recording_process, "say", problems.append)
    log = await RequestLog.open(tmp_path)
    writer = log._files.writer
    assert writer is not None
    await log._write_worker.call(lambda: writer.execute("PRAGMA busy_timeout = 50").fetchall())
    saved = asyncio.Event()
    made = Recording(log, None, problems.append, lambda _run_id, _state: saved.set())
    spooled: list[ExchangeMessage] = [
        Begin("one", 1_700_000_000.0, "POST", "/v1/chat/completions", []),
        RequestData("one", b'{"messages": []}'),
        RequestEnd("one"),
        End("one", 0.1, "complete", ""),
    ]
    setup = Setup(str(tmp_path), Endpoint("test", "Test", "http://127.0.0.1:9/v1"), None)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        pass_request(made, "one")
        await made.close()
        assert not await recording_process._replay(log, None, setup, [spooled], made.unsaved)  # the spool is kept
        other.execute("ROLLBACK")
        await asyncio.wait_for(saved.wait(), 30)
    assert not made.unsaved
    assert await recording_process._replay(log, None, setup, [spooled], made.unsaved)
    await log.close()
    assert problems == []

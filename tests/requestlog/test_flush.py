"""Events of running requests are written by one timer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from playground.client.events import AnyEvent, AttemptStarted, Completed, ContentDelta, HeadersReceived, RawEvent
from playground.requestlog.filter import parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun
from playground.runs.state import RunState
from playground.runs.summary import further_choices
from tests.requestlog.samples import START, answered, keep, opened, record


async def test_settle_durable_leaves_events_of_other_running_requests_to_the_next_flush(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        writer = log._writer
        assert writer is not None
        first, second = record(), record()

        def steps() -> list[int]:
            writer.begin(first)
            writer.settle(durable=True)
            writer.take((first.run_id, event) for event in answered())
            writer.begin(second)
            writer.settle(durable=True)
            written = [writer._live[first.run_id].written]
            writer.settle(durable=False)
            return [*written, writer._live[first.run_id].written]

        assert await log._write_worker.call(steps) == [0, len(answered())]


async def test_note_while_other_requests_end_waits_for_one_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed: list[Callable[[], None]] = []

    def later(_seconds: float, function: Callable[[], None]) -> None:
        armed.append(function)

    async with opened(tmp_path) as log:
        monkeypatch.setattr(log._write_worker, "later", later)
        live = record()
        await log.begin(live)
        for _ in range(5):
            log.note(live.run_id, AttemptStarted(0.0, 1))
            await keep(log, record(), answered())
        assert armed.count(log._flush_by_timer) == 1


_CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"town": "Uppsala"}'}}
_DELTAS = [{"content": "Gothen"}, {"content": "burg"}, {"tool_calls": [_CALL]}]
TWO_CHOICES: list[AnyEvent] = [
    *(AttemptStarted(0.0, 1), HeadersReceived(0.2, 200, "id", "text/event-stream"), ContentDelta(0.3, "Lund")),
    *(RawEvent(0.3, json.dumps({"choices": [{"index": 1, "delta": delta}]})) for delta in _DELTAS),
]


@pytest.mark.parametrize("how", ["recovered", "imported"])
async def test_further_choices_of_a_recovered_or_imported_request_are_searched(tmp_path: Path, how: str) -> None:
    log, live = await RequestLog.open(tmp_path / "first"), record()
    if how == "imported":
        await log.add([EndedRun(live, (*TWO_CHOICES, Completed(0.4)))])
    else:
        await log.begin(live)
        for event in TWO_CHOICES:
            log.note(live.run_id, event)
        await log._write_worker.call(log._flush)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")  # no process holds its lock
    await log.close()
    async with opened(tmp_path / "copy") as log:
        await log.recovered()
        for text in ("Gothenburg", "Uppsala", "Lund"):
            assert [row.run_id for row in await log.page(parse(text, START))] == [live.run_id]


async def test_further_choices_are_read_once_at_the_end_and_then_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[RunState] = []

    def spy(state: RunState) -> dict[int, RunState]:
        read.append(state)
        return further_choices(state)

    monkeypatch.setattr("playground.requestlog.rows.further_choices", spy)

    log, live, state = await RequestLog.open(tmp_path), record(), RunState()
    await log.begin(live)
    for event in TWO_CHOICES:
        log.note(live.run_id, event)
        state.apply(event)
        await log._write_worker.call(log._flush)
    assert read == []
    log.note(live.run_id, Completed(0.4))
    state.apply(Completed(0.4))
    await log.finish(live.run_id, state)
    assert len(read) == 1
    for text in ("Gothenburg", "Uppsala", "Lund"):
        assert [row.run_id for row in await log.page(parse(text, START))] == [live.run_id]
    await log.close()

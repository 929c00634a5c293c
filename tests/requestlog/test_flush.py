"""Events of running requests are written by one timer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from playground.client.events import AttemptStarted
from playground.requestlog.log import RequestLog
from tests.requestlog.samples import answered, keep, record, run


def test_settle_durable_leaves_events_of_other_running_requests_to_the_next_flush(tmp_path: Path) -> None:
    async def work() -> None:
        log = await RequestLog.open(tmp_path)
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
        await log.close()

    run(work())


def test_note_while_other_requests_end_waits_for_one_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    armed: list[Callable[[], None]] = []

    def later(_seconds: float, function: Callable[[], None]) -> None:
        armed.append(function)

    async def work() -> None:
        log = await RequestLog.open(tmp_path)
        monkeypatch.setattr(log._write_worker, "later", later)
        live = record()
        await log.begin(live)
        for _ in range(5):
            log.note(live.run_id, AttemptStarted(0.0, 1))
            await keep(log, record(), answered())
        assert armed.count(log._flush_by_timer) == 1
        await log.close()

    run(work())

"""Recording: order of writing, and how long the end of a response waits for the log."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from playground.client.events import AnyEvent
from playground.recorder import recording
from playground.recorder.recording import Recording
from playground.runs.record import RequestRecord
from playground.runs.state import RunState


class SlowLog:
    """Ends a request only after `free` is set."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def begin(self, record: RequestRecord) -> None:
        """Begin at once."""

    def note(self, run_id: str, event: AnyEvent) -> None:
        """Note at once."""

    async def finish(self, run_id: str, state: RunState) -> None:
        """Wait."""
        await self.free.wait()


def record(run_id: str) -> RequestRecord:
    return RequestRecord(run_id, "e", "E", "other", "", "m", datetime.now(UTC), b"{}", "{}")


def test_recorded_locked_log_delays_one_response_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "HOLD_S", 0.2)

    async def story() -> None:
        log = SlowLog()
        made = Recording(log, None, lambda message: None)
        waits = []
        for run_id in ("one", "two", "three"):
            made.begin(record(run_id))
            made.end(run_id)
            started = time.monotonic()
            await made.recorded(run_id)
            waits.append(time.monotonic() - started >= 0.2)
        assert waits == [True, False, False]
        log.free.set()
        await made.close()
        log.free.clear()
        made.begin(record("four"))
        made.end("four")
        waiting = asyncio.ensure_future(made.recorded("four"))
        await asyncio.sleep(0)
        assert not waiting.done()
        log.free.set()
        await waiting
        await made.close()

    asyncio.run(story())

"""Writes recorded requests to the request log, forecasts them and explains their cache misses.

Everything here runs behind the forwarding: a full disk or a locked log is reported and never delays a caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from playground.client.events import AnyEvent, HeadersReceived
from playground.runs.record import RequestRecord
from playground.runs.state import RunState


class RecordingLog(Protocol):
    """The request log, as far as recording needs it."""

    async def begin(self, record: RequestRecord) -> None:
        """Record a request."""

    def note(self, run_id: str, event: AnyEvent) -> None:
        """Record an event."""

    async def finish(self, run_id: str, state: RunState) -> None:
        """Record the end of a request."""


class NoLog:
    """Takes the place of a log that cannot be opened: requests are forwarded and not recorded."""

    async def begin(self, record: RequestRecord) -> None:
        """Discard a request."""

    def note(self, run_id: str, event: AnyEvent) -> None:
        """Discard an event."""

    async def finish(self, run_id: str, state: RunState) -> None:
        """Discard the end."""


class CacheModel(Protocol):
    """Forecasts a request before it is answered and explains it afterwards."""

    def forecast(self, record: RequestRecord) -> RequestRecord:
        """Return the record with its forecast."""

    def accept(self, record: RequestRecord, request_id: str | None) -> None:
        """Note that the server accepted the request."""

    async def settle(self, record: RequestRecord, state: RunState) -> None:
        """Explain the reported usage, store the explanation, and learn from it."""


class Recording:
    """Keeps the order of events; satisfies `capture.Sink`. Call `run` in a task, `close` before the log is closed.

    `on_ended` is called with each request that has ended and is in the log.
    """

    def __init__(
        self,
        log: RecordingLog,
        model: CacheModel | None,
        on_problem: Callable[[str], None],
        on_ended: Callable[[RequestRecord, RunState], None] = lambda _record, _state: None,
    ) -> None:
        self._log, self._model, self._on_problem, self._on_ended = log, model, on_problem, on_ended
        self._open: dict[str, tuple[RequestRecord, RunState]] = {}
        self._events: asyncio.Queue[tuple[str, RequestRecord | AnyEvent | None]] = asyncio.Queue()

    def begin(self, record: RequestRecord) -> None:
        """Queue the beginning of a request."""
        self._open[record.run_id] = (record, RunState())
        self._events.put_nowait((record.run_id, record))

    def event(self, run_id: str, event: AnyEvent) -> None:
        """Queue an event."""
        self._open[run_id][1].apply(event)
        self._events.put_nowait((run_id, event))

    def end(self, run_id: str) -> None:
        """Queue the end of a request."""
        self._events.put_nowait((run_id, None))

    def skipped(self, reason: str) -> None:
        """Report a request that is not recorded."""
        self._on_problem(f"{reason} The request was forwarded and is not recorded.")

    async def run(self) -> None:
        """Write queued steps until cancelled."""
        while True:
            run_id, step = await self._events.get()
            try:
                await self._write(run_id, step)
            except Exception as error:  # the log reports expected failures itself; forwarding continues in any case
                self._on_problem(f"A request is not recorded: {type(error).__name__}: {error}")
            finally:
                self._events.task_done()

    async def close(self) -> None:
        """Wait until everything that was queued is written."""
        await self._events.join()

    async def _write(self, run_id: str, step: RequestRecord | AnyEvent | None) -> None:
        if isinstance(step, RequestRecord):
            if self._model is not None:
                step = self._model.forecast(step)
                self._open[run_id] = (step, self._open[run_id][1])
            await self._log.begin(step)
        elif step is not None:
            if self._model is not None and isinstance(step, HeadersReceived) and step.status == 200:
                self._model.accept(self._open[run_id][0], step.request_id)
            self._log.note(run_id, step)
        else:
            record, state = self._open.pop(run_id)
            await self._log.finish(run_id, state)
            if self._model is not None:
                await self._model.settle(record, state)
            self._on_ended(record, state)

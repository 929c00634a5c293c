"""Writes recorded requests to the request log, forecasts them and explains their cache misses.

Everything here runs behind the forwarding: a full disk or a locked log is reported and never delays a caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeAlias

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

    def forget(self, run_id: str) -> None:
        """Drop what is kept of a request that has ended, or could not be recorded."""

    async def settle(self, record: RequestRecord, state: RunState) -> None:
        """Explain the reported usage, store the explanation, and learn from it."""


HOLD_S = 2.0
"""Longest wait of a response's end for the log. A locked log delays one response, and no later one."""

_Steps: TypeAlias = "asyncio.Queue[AnyEvent | None]"


class Recording:
    """Keeps the order of events of each request; satisfies `capture.Sink`. Call `close` before the log is closed.

    Requests are written side by side, so that the log commits many at once. `on_ended` is called with each request that
    has ended and is in the log.
    """

    def __init__(
        self,
        log: RecordingLog,
        model: CacheModel | None,
        on_problem: Callable[[str], None],
        on_ended: Callable[[RequestRecord, RunState], None] = lambda _record, _state: None,
    ) -> None:
        self._log, self._model, self._on_problem, self._on_ended = log, model, on_problem, on_ended
        self._open: dict[str, tuple[_Steps, RunState]] = {}
        self._unfinished: dict[str, asyncio.Event] = {}
        """By run_id: set when the request is in the log with its end."""
        self._late = False
        """Whether the log did not keep up with the last request that waited for it: the next ones do not wait."""
        self._writing: set[asyncio.Task[None]] = set()

    def begin(self, record: RequestRecord) -> None:
        """Start writing a request."""
        steps: _Steps = asyncio.Queue()
        state = RunState()
        self._open[record.run_id] = steps, state
        self._unfinished[record.run_id] = asyncio.Event()
        writing = asyncio.create_task(self._write(record, steps, state), name=f"record {record.run_id}")
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    def event(self, run_id: str, event: AnyEvent) -> None:
        """Queue an event."""
        steps, state = self._open[run_id]
        state.apply(event)
        steps.put_nowait(event)

    def end(self, run_id: str) -> None:
        """Queue the end of a request."""
        self._open.pop(run_id)[0].put_nowait(None)

    async def recorded(self, run_id: str) -> None:
        """Return when an ended request is in the log, at most HOLD_S later; at once while the log does not keep up."""
        finished = self._unfinished.get(run_id)
        if finished is None or self._late:
            return
        try:
            async with asyncio.timeout(HOLD_S):
                await finished.wait()
        except TimeoutError:
            self._late = True

    def skipped(self, reason: str) -> None:
        """Report a request that is not recorded."""
        self._on_problem(f"{reason} The request was forwarded and is not recorded.")

    async def close(self) -> None:
        """Wait until everything that was queued is written."""
        for steps, _ in self._open.values():
            steps.put_nowait(None)
        await asyncio.gather(*self._writing)

    async def _write(self, record: RequestRecord, steps: _Steps, state: RunState) -> None:
        try:
            if self._model is not None:
                record = self._model.forecast(record)
            await self._log.begin(record)
            while (event := await steps.get()) is not None:
                if self._model is not None and isinstance(event, HeadersReceived) and event.status == 200:
                    self._model.accept(record, event.request_id)
                self._log.note(record.run_id, event)
            await self._log.finish(record.run_id, state)
            self._late = False
            self._unfinished.pop(record.run_id).set()
            if self._model is not None:
                await self._model.settle(record, state)
            self._on_ended(record, state)
        except Exception as error:  # the log reports expected failures itself; forwarding continues in any case
            self._on_problem(f"A request is not recorded: {type(error).__name__}: {error}")
        finally:
            if self._model is not None:
                self._model.forget(record.run_id)
            if (finished := self._unfinished.pop(record.run_id, None)) is not None:
                finished.set()

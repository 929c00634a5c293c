"""Writes recorded requests to the request log, forecasts them and explains their cache misses.

Runs in the recording process: a full disk or a locked log is reported and never delays a caller.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from playground.client.events import AnyEvent, AttemptStarted, HeadersReceived
from playground.client.response_decoder import ResponseDecoder
from playground.prefix_cache.forecast import Prediction
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import CacheView, view_of_fields
from playground.prompt.document import Json
from playground.prompt.json_text import loads
from playground.runs.record import RequestRecord
from playground.runs.service import cache_usage, stored_explanation
from playground.runs.state import RunState

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog


class _Forecasted(Struct, frozen=True):
    """A request that is not answered yet, as the cache model reads it. `fields`: those besides messages and tools."""

    view: CacheView
    fields: dict[str, Json]
    prediction: Prediction


class RecordedCacheModel:
    """Forecasts a request before it is answered and explains it afterwards."""

    def __init__(self, forecaster: CacheForecaster) -> None:
        self._forecaster = forecaster
        self._open: dict[str, _Forecasted] = {}

    def forecast(self, record: RequestRecord) -> RequestRecord:
        """Return the record with a forecast."""
        fields = loads(record.body)
        view = view_of_fields(fields)
        rest = {name: value for name, value in fields.items() if name not in ("messages", "tools")}
        forecast, prediction = self._forecaster.predict(view, record.endpoint_id, record.model, rest)
        self._open[record.run_id] = _Forecasted(view, rest, prediction)
        return replace(record, forecast=forecast)

    def accept(self, record: RequestRecord, request_id: str | None) -> None:
        """Note that the server accepted the request: its prefix may be in the cache from now on."""
        if (known := self._open.get(record.run_id)) is None:  # its forecast failed, which was reported
            return
        sent = Sent(record.run_id, request_id, time.time(), known.view.text, known.view, fields=known.fields)
        self._forecaster.record(record.endpoint_id, record.model, sent, known.prediction)

    def settle(self, record: RequestRecord, state: RunState) -> dict[str, Json]:
        """Learn from the reported usage of a response with status 200.

        Returns explanations by run id: that of this request, and those of earlier ones that its report corrects.
        """
        self._open.pop(record.run_id, None)
        if state.status != 200:
            return {}
        usage = cache_usage(state, record.body)
        settled = self._forecaster.settle(record.endpoint_id, record.model, record.run_id, usage, record.forecast)
        found: dict[str, Json] = {}
        if settled is not None:
            found = {run_id: stored_explanation(why) for run_id, why in settled.revised}
            if state.phase == "done":
                found[record.run_id] = stored_explanation(settled.explanation)
        return found


_WARM_BODY = b'{"model": "m", "messages": [{"role": "user", "content": "Today is 2026-11-27. Hello."}]}'
_WARM_RESPONSE = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}\n\ndata: [DONE]\n\n'
)


def warm_up() -> None:
    """Run a made-up exchange through a separate model, so that the first recorded one waits for no import."""
    model = RecordedCacheModel(CacheForecaster(300.0))
    for number in range(2):
        record = RequestRecord(f"warm-{number}", "warm", "", "other", "", "m", datetime.now(UTC), _WARM_BODY, "{}")
        decoder, state = ResponseDecoder("text/event-stream", None), RunState()
        head = HeadersReceived(0.0, 200, None, "text/event-stream", ())
        for event in (AttemptStarted(0.0, 1), head, *decoder.feed(_WARM_RESPONSE, 0.0), *decoder.end(0.0)):
            state.apply(event)
        record = model.forecast(record)
        model.accept(record, None)
        model.settle(record, state)


T = TypeVar("T")


MAX_UNWRITTEN = 64
"""Ended requests that may wait for the log; then no more messages are read, so that memory is bounded."""


class _Run(Struct):
    record: RequestRecord
    state: RunState = field(default_factory=RunState)
    steps: asyncio.Queue[AnyEvent | None] = field(default_factory=asyncio.Queue)
    """Events to write; None is the end."""
    explanations: dict[str, Json] = field(default_factory=dict)
    last_at: float | None = None
    """Time of the newest event."""


class Recording:
    """Keeps the order of events; its methods return at once. Call `close` before the log is closed.

    The cache model follows the requests in the order of their messages, so that each forecast uses every earlier
    report. Requests are written side by side, so that the log commits many at once.

    Args:
        log: None: no log can be opened; everything is discarded.
        on_ended: called with each request that has ended and is on disk in the log, never if the log was closed before;
            the state is None if it cannot be recorded.
    """

    def __init__(
        self,
        log: RequestLog | None,
        model: RecordedCacheModel | None,
        on_problem: Callable[[str], None],
        on_ended: Callable[[str, RunState | None], None] = lambda _run_id, _state: None,
    ) -> None:
        self._log, self._model, self._on_problem, self._on_ended = log, model, on_problem, on_ended
        self._open: dict[str, _Run] = {}
        self._ending: set[str] = set()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._writing: set[asyncio.Task[None]] = set()

    def begin(self, record: RequestRecord) -> None:
        """Forecast a request and start to write it."""
        model = self._model
        if model is not None:
            record = self._guarded(lambda: model.forecast(record), record)
        run = self._open[record.run_id] = _Run(record)
        writing = asyncio.create_task(self._write(run), name=f"record {record.run_id}")
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    def event(self, run_id: str, event: AnyEvent) -> None:
        run = self._open[run_id]
        run.state.apply(event)
        run.last_at = event.at
        model = self._model
        if model is not None and isinstance(event, HeadersReceived) and event.status == 200:
            request_id = event.request_id
            self._guarded(lambda: model.accept(run.record, request_id), None)
        run.steps.put_nowait(event)

    def end(self, run_id: str) -> None:
        """Explain a request and queue its end. One without a last event is interrupted."""
        run = self._open.pop(run_id)
        if not run.state.ended:  # the forwarding process was killed, or the rest cannot be understood
            run.state.phase, run.state.ended_at = "interrupted", run.last_at
        model = self._model
        if model is not None:
            run.explanations = self._guarded(lambda: model.settle(run.record, run.state), {})
        run.steps.put_nowait(None)
        self._ending.add(run_id)
        if len(self._ending) >= MAX_UNWRITTEN:
            self._has_room.clear()

    def _guarded(self, function: Callable[[], T], otherwise: T) -> T:
        """Call the cache model. A request that it cannot handle is recorded without its result."""
        try:
            return function()
        except Exception as error:
            self._on_problem(f"A request is recorded without explanation: {type(error).__name__}: {error}")
            return otherwise

    async def has_room(self) -> None:
        """Return when fewer than MAX_UNWRITTEN ended requests wait for the log."""
        await self._has_room.wait()

    def skipped(self, reason: str) -> None:
        self._on_problem(f"{reason} The request was forwarded and is not recorded.")

    def report(self, sentence: str) -> None:
        self._on_problem(sentence)

    async def close(self) -> None:
        """Wait until everything that was queued is written. All requests have ended before."""
        await asyncio.gather(*self._writing)

    async def _write(self, run: _Run) -> None:
        run_id = run.record.run_id
        try:
            if self._log is not None:
                await self._log.begin(run.record)
            while (event := await run.steps.get()) is not None:
                if self._log is not None:
                    self._log.note(run_id, event)
            explanation = run.explanations.pop(run_id, None)
            await self._explain(run)  # before the end is reported: only then another process would not write it again
            if self._log is None:
                self._on_ended(run_id, run.state)
            else:
                saved = partial(self._on_ended, run_id, run.state)
                await self._log.finish(run_id, run.state, explanation=explanation, saved=saved)
        except Exception as error:  # the log reports expected failures itself; forwarding continues in any case
            self._on_problem(f"A request is not recorded: {type(error).__name__}: {error}")
            self._on_ended(run_id, None)
        finally:
            self._ending.discard(run_id)
            if len(self._ending) < MAX_UNWRITTEN:
                self._has_room.set()

    async def _explain(self, run: _Run) -> None:
        """Write the explanations of earlier requests that this one corrects."""
        if self._log is None:
            return
        try:
            for run_id, explanation in run.explanations.items():
                await self._log.set_explanation(run_id, explanation)
        except Exception as error:
            self._on_problem(f"A request is recorded without explanation: {type(error).__name__}: {error}")

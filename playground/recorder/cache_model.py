"""Forecasts recorded requests and explains their cache misses, with the same model as the window's requests."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from playground.client.events import AttemptStarted, HeadersReceived
from playground.client.response_decoder import ResponseDecoder
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import CacheView, view_of_fields
from playground.prompt.document import Json
from playground.prompt.json_bounds import loads
from playground.runs.record import RequestRecord
from playground.runs.service import cache_usage
from playground.runs.state import RunState


class RecordedCacheModel:
    """Satisfies `recording.CacheModel`."""

    def __init__(self, forecaster: CacheForecaster) -> None:
        self._forecaster = forecaster
        self._views: dict[str, tuple[CacheView, dict[str, Json]]] = {}

    def forecast(self, record: RequestRecord) -> RequestRecord:
        """Return the record with the forecast of its cached tokens."""
        fields = loads(record.body)
        view = view_of_fields(fields)
        rest = {name: value for name, value in fields.items() if name not in ("messages", "tools")}
        self._views[record.run_id] = view, rest
        return replace(record, forecast=self._forecaster.forecast(view, record.endpoint_id, record.model))

    def accept(self, record: RequestRecord, request_id: str | None) -> None:
        """Note that the server accepted the request: its prefix may be in the cache from now on."""
        view, fields = self._views[record.run_id]
        sent = Sent(record.run_id, request_id, time.time(), view.text, view, fields=fields)
        self._forecaster.record(record.endpoint_id, record.model, sent)

    def settle(self, record: RequestRecord, state: RunState) -> Json:
        """Learn from the reported usage; only status 200 teaches. Returns the explanation; {} if nothing was missed.

        None: there is nothing to explain.
        """
        self._views.pop(record.run_id, None)
        if state.status != 200:
            return None
        usage = cache_usage(state)
        settled = self._forecaster.settle(record.endpoint_id, record.model, record.run_id, usage, record.forecast)
        if settled is None or state.phase != "done":
            return None
        explanation: Json = {} if settled.explanation is None else msgspec.to_builtins(settled.explanation)
        return explanation


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

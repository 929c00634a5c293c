"""Forecasts recorded requests and explains their cache misses, with the same model as the window's requests."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

import msgspec

from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import CacheView, view_of_fields
from playground.prompt.document import Json
from playground.prompt.json_bounds import loads
from playground.runs.record import RequestRecord
from playground.runs.service import cache_usage
from playground.runs.state import RunState


class ExplanationLog(Protocol):
    """Stores explanations."""

    async def set_explanation(self, run_id: str, explanation: Json) -> None:
        """Store the explanation of a request; an empty object if nothing was missed."""


class RecordedCacheModel:
    """Satisfies `recording.CacheModel`."""

    def __init__(self, forecaster: CacheForecaster, log: ExplanationLog) -> None:
        self._forecaster, self._log = forecaster, log
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

    async def settle(self, record: RequestRecord, state: RunState) -> None:
        """Explain the report, store the explanation, and learn from the report. Only status 200 teaches."""
        self._views.pop(record.run_id, None)
        if state.status != 200:
            return
        where = record.endpoint_id, record.model
        settled = self._forecaster.settle(*where, record.run_id, cache_usage(state), record.forecast)
        if settled is not None and state.phase == "done":
            explanation = settled.explanation
            await self._log.set_explanation(
                record.run_id, {} if explanation is None else msgspec.to_builtins(explanation)
            )

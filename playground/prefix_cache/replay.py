"""Replay of recorded traffic: the forecast before each request, and the explanation of its report."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from playground.prefix_cache.cache_profile import CacheProfile
from playground.prefix_cache.forecast import CacheUsage, Forecast
from playground.prefix_cache.forecaster import CacheForecaster, forecast_of
from playground.prefix_cache.index import Sent
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.prefix_size import NEAR
from playground.prefix_cache.traffic import TrafficRecord
from playground.prefix_cache.view import CacheView, view_of_fields
from playground.prompt.document import Json

REMEMBERED = 400
"""Number of requests stored with the learned state, for the next replay."""
VERSION = 1


class ReplayResult(Struct, frozen=True):
    """One request: the forecast before it, the report and the explanation. `explanation` is None for a request that
    the server did not take. `corrections`: explanations of earlier requests that the report corrects, by request_id."""

    record: TrafficRecord
    forecast: Forecast
    usage: CacheUsage | None
    explanation: MissExplanation | None
    corrections: tuple[tuple[str | None, MissExplanation], ...] = ()


class ReplaySummary(Struct, frozen=True):
    """Shares are 0 to 1, None without a report. `profile` is of the endpoint with the most requests."""

    requests: int
    reported: int
    within_block: float | None
    coverage: float | None
    profile: CacheProfile | None


class _Saved(msgspec.Struct):
    version: int
    learned: dict[str, Any]
    requests: list[dict[str, Any]]


class _Replayed(Struct):
    """A request that was sent, with its result once it has ended."""

    record: TrafficRecord
    run_id: str
    forecast: Forecast
    ended_unix: float
    result: ReplayResult | None = None


class TrafficReplay:
    """Iterate it once; then `summary` and `learned` are complete."""

    def __init__(self, records: Iterable[TrafficRecord], lifetime_s: float, learned: bytes | None) -> None:
        self._records = records
        self._now = 0.0
        self._forecaster = CacheForecaster(lifetime_s, lambda: self._now)
        self._counts: dict[tuple[str, str], int] = {}
        self._reported = self._within = self._covered = self._requests = 0
        self._kept: list[dict[str, Json]] = []
        self._request_ids: dict[str, str | None] = {}
        if learned is not None:
            self._restore(learned)

    def __iter__(self) -> Iterator[ReplayResult]:
        """Yield the results in the order of the records. A report is learned from when its request has ended."""
        waiting: deque[_Replayed] = deque()
        for number, record in enumerate(self._records):
            for one in waiting:
                if one.ended_unix > record.at_unix and _has_answer(record, one.record):
                    one.ended_unix = record.at_unix
            self._settle([one for one in waiting if one.ended_unix <= record.at_unix])
            waiting.append(self._send(record, f"replay-{number}"))
            if record.ended_unix is None:
                self._settle([waiting[-1]])
            while waiting and (result := waiting[0].result) is not None:
                waiting.popleft()
                yield result
        self._settle(waiting)
        yield from (one.result for one in waiting if one.result is not None)

    def _send(self, record: TrafficRecord, run_id: str) -> _Replayed:
        self._now = record.at_unix
        where = record.endpoint, record.model
        self._requests += 1
        self._counts[where] = self._counts.get(where, 0) + 1
        cache = self._forecaster.model(*where)
        view = view_of_fields(record.request)
        cache.prepare(view)
        sent = _sent(record, run_id, view)
        prediction = cache.predictor.predict(view, record.at_unix, sent.fields, thorough=True)
        prediction.compared = cache.compared_with(prediction, record.tag)
        forecast = forecast_of(cache, prediction, prediction.compared)
        if not record.accepted:
            result = ReplayResult(record, forecast, record.usage, None)
            return _Replayed(record, run_id, forecast, record.at_unix, result)
        self._forecaster.record(*where, sent, prediction)
        self._request_ids[run_id] = record.request_id
        self._keep(record)
        ended = record.at_unix if record.ended_unix is None else record.ended_unix
        return _Replayed(record, run_id, forecast, ended)

    def _settle(self, ended: Iterable[_Replayed]) -> None:
        for one in sorted(ended, key=lambda each: each.ended_unix):
            if one.result is not None:
                continue
            self._now = one.ended_unix
            where, usage = (one.record.endpoint, one.record.model), one.record.usage or CacheUsage()
            self._score(one.forecast, usage, self._forecaster.model(*where).learned.units.step)
            settled = self._forecaster.settle(*where, one.run_id, usage, one.forecast)
            why, revised = (settled.explanation, settled.revised) if settled is not None else (None, ())
            corrections = tuple((self._request_ids.get(run_id), better) for run_id, better in revised)
            one.result = ReplayResult(one.record, one.forecast, usage, why, corrections)

    def _score(self, forecast: Forecast, usage: CacheUsage, block: int) -> None:
        cached = usage.cached_tokens
        if cached is None:
            return
        self._reported += 1
        self._within += abs(cached - forecast.cached_tokens) <= max(NEAR, block)
        self._covered += round(forecast.low) <= cached <= round(forecast.high)

    @property
    def summary(self) -> ReplaySummary:
        where = max(self._counts, key=lambda key: self._counts[key], default=None)
        return ReplaySummary(
            self._requests,
            self._reported,
            self._within / self._reported if self._reported else None,
            self._covered / self._reported if self._reported else None,
            self._forecaster.learned(*where) if where is not None else None,
        )

    # -- memory between replays ------------------------------------------------------------------------------------

    @property
    def learned(self) -> bytes:
        """What was learned, with the last requests, as JSON."""
        saved = _Saved(VERSION, json.loads(self._forecaster.save()), self._kept[-REMEMBERED:])
        return json.dumps(msgspec.to_builtins(saved)).encode()  # prompts may have half of a surrogate pair

    def _keep(self, record: TrafficRecord) -> None:
        usage = record.usage or CacheUsage()
        self._kept.append(
            {
                "at": record.at_unix,
                "endpoint": record.endpoint,
                "request": dict(record.request),
                "request_id": record.request_id,
                "tag": record.tag,
                "prompt_tokens": usage.prompt_tokens,
                "cached_tokens": usage.cached_tokens,
                "completion_tokens": usage.completion_tokens,
                "message": dict(usage.message) if usage.message is not None else None,
            }
        )

    def _restore(self, data: bytes) -> None:
        try:
            saved = msgspec.convert(json.loads(data), _Saved)
        except RecursionError as error:
            raise ValueError from error
        if saved.version != VERSION:
            raise ValueError
        self._forecaster.load(json.dumps(saved.learned).encode())
        for number, one in enumerate(saved.requests):
            record = _saved_record(one)
            if record is None:
                continue
            self._now = record.at_unix
            sent = _sent(record, f"earlier-{number}", view_of_fields(record.request))
            self._forecaster.remember(record.endpoint, record.model, sent, record.usage or CacheUsage())
            self._kept.append(one)


def replay_traffic(
    records: Iterable[TrafficRecord], *, lifetime_s: float = 300.0, learned: bytes | None = None
) -> TrafficReplay:
    """Return a replay of records in the order in which they were sent, on their own clock.

    Raises ValueError if `learned` is not what an earlier replay has learned.
    """
    return TrafficReplay(records, lifetime_s, learned)


def _has_answer(record: TrafficRecord, earlier: TrafficRecord) -> bool:
    """Return whether a request has the answer of an earlier one, which has ended then, whatever the clocks say."""
    answer = earlier.usage.message if earlier.usage is not None else None
    mine, theirs = record.request.get("messages"), earlier.request.get("messages")
    if not answer or not isinstance(mine, list) or not isinstance(theirs, list) or len(mine) <= len(theirs):
        return False
    sent = mine[len(theirs)]
    if not isinstance(sent, dict) or mine[: len(theirs)] != theirs:
        return False
    return all((sent.get(key) or None) == (answer.get(key) or None) for key in ("content", "tool_calls"))


def _sent(record: TrafficRecord, run_id: str, view: CacheView) -> Sent:
    fields = {name: value for name, value in record.request.items() if name not in ("messages", "tools")}
    return Sent(run_id, record.request_id, record.at_unix, view.text, view, fields=fields, tag=record.tag)


def _saved_record(one: dict[str, Json]) -> TrafficRecord | None:
    request, at, message = one.get("request"), one.get("at"), one.get("message")
    if not isinstance(request, dict) or not isinstance(at, int | float):
        return None
    counts = [one.get(name) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")]
    prompt, cached, completion = (value if isinstance(value, int) else None for value in counts)
    usage = CacheUsage(prompt, cached, completion, 0, message if isinstance(message, dict) else None)
    request_id = one.get("request_id")
    return TrafficRecord(
        float(at),
        request,
        200,
        request_id if isinstance(request_id, str) else None,
        usage,
        endpoint=str(one.get("endpoint") or ""),
        tag=str(one.get("tag") or ""),
    )

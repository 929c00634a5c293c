"""Stored cache explanations, and explanations of requests that were logged without one."""

from __future__ import annotations

import json

import msgspec

from playground.prefix_cache.miss_explanation import (
    EarlierRequest,
    MissExplanation,
    MissKnowledge,
    OrderEvidence,
    explain_miss,
)
from playground.prefix_cache.prefix_size import Measure, Size
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import CacheView, view_of_document, view_of_fields
from playground.prompt.document import Document, Json
from playground.runs.record import RequestRecord
from playground.runs.service import cache_usage
from playground.runs.state import RunState


def read_explanation(value: Json) -> MissExplanation | None:
    """Return a stored explanation; None if nothing was missed or it is not readable."""
    if not value:
        return None
    try:
        return msgspec.convert(value, MissExplanation)
    except msgspec.ValidationError:
        return None


def explain_stored(
    record: RequestRecord, state: RunState, earlier: RequestRecord | None, document: Document
) -> MissExplanation | None:
    """Explain a logged request without a stored explanation, knowing only both requests and the report."""
    view, fields = _read(record)
    usage = cache_usage(state)
    measure = Measure(view, TokenEstimator())
    scale = usage.prompt_tokens / measure.total if usage.prompt_tokens and measure.total else 1.0
    known = MissKnowledge([OrderEvidence("first", 1.0, lambda offset: Size(measure.upto(offset) * scale, 4.0))])
    other = None
    if earlier is not None:
        before, before_fields = _read(earlier)
        gap_s = (record.started_utc - earlier.started_utc).total_seconds()
        forecast = record.forecast
        other = EarlierRequest(before, before_fields, forecast.request_id if forecast else None, gap_s)
    return explain_miss(view, fields, other, usage, known, view_of_document(document))


def _read(record: RequestRecord) -> tuple[CacheView, dict[str, Json]]:
    try:
        value = json.loads(record.body)
    except (ValueError, RecursionError):
        value = {}
    fields = value if isinstance(value, dict) else {}
    return view_of_fields(fields), fields

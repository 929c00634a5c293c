"""Records of one request, before it is sent and as the request log returns it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import msgspec
from msgspec import Struct, field

from playground.client.endpoint import Rates
from playground.prefix_cache.forecast import Forecast
from playground.prompt.document import Document, Json
from playground.runs.state import RunState
from playground.tools.schema import schemas_by_name

if TYPE_CHECKING:
    from playground.prefix_cache.miss_explanation import MissExplanation


class Asked(Struct, frozen=True):
    """What a request body asks of its response.

    `json`: response_format demands JSON. `schemas`: the parameters of each tool, by its name. `usage`: a usage report
    is due, which a streamed response has only with `stream_options.include_usage`.
    """

    json: bool = False
    schemas: Mapping[str, Json] = field(default_factory=dict)
    usage: bool = True


def asked_in(body: bytes) -> Asked:
    """Return what a sent body asks of its response; the defaults of Asked if it is not a JSON object."""
    fields = sent_fields(body)
    form = fields.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    return Asked(kind in ("json_object", "json_schema"), schemas_by_name(fields.get("tools")), _usage(fields))


def _usage(fields: dict[str, Json]) -> bool:
    options = fields.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    return asked or fields.get("stream") is not True


EndpointKind = Literal["simulator", "electron", "other"]

RequestSource = Literal["window", "command", "recorder", "experiment", "import", "keep_warm", "unknown"]
"""Who made a request. Requests logged before the log had this column are `unknown`."""

GroupKind = Literal["comparison", "batch", "repeat", "lab", "agent", "readiness", "keep_warm"]
"""Experiments whose requests the log lists as one group."""


def group_tag(kind: GroupKind, group_id: str = "") -> str:
    """Return the tag `KIND:ID` that the requests of one experiment share; without an id, a new one."""
    return f"{kind}:{group_id or uuid4().hex[:8]}"


def group_of_tag(kind: GroupKind, tag: str) -> str | None:
    """Return the id in a tag of `group_tag` that has 8 hexadecimal digits; None for other tags."""
    found = re.fullmatch(f"{kind}:([0-9a-f]{{8}})", tag)
    return found[1] if found else None


class RequestRecord(Struct, frozen=True):
    """One request before it is sent. `body` has the exact bytes; it contains no key.

    `started_utc` is aware. `document` is a prompt file's JSON (prompt.files.dump). `conversation` is an id shared by
    the requests of one conversation; None if the request belongs to none. `tags` are stored with the request.
    """

    run_id: str
    endpoint_id: str
    endpoint_name: str
    endpoint_kind: EndpointKind
    base_url: str
    model: str
    started_utc: datetime
    body: bytes
    document: str
    forecast: Forecast | None = None
    rates: Rates = Rates()
    source: RequestSource = "window"
    conversation: str | None = None
    tags: tuple[str, ...] = ()


class SentRow(Struct, frozen=True):
    """An accepted request and what the server reported for it: the input of the cache model.

    `answer` is the generated text without tool calls; `called` is whether tools were called, which makes the answer
    incomplete.
    """

    run_id: str
    request_id: str | None
    started_utc: datetime
    body: bytes
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None = None
    answer: str = ""
    called: bool = False
    source: RequestSource = "unknown"


def read_explanation(value: Json) -> MissExplanation | None:
    """Return a stored explanation; None if nothing was missed or it is not readable."""
    if not value:
        return None
    from playground.prefix_cache.miss_explanation import MissExplanation

    try:
        return msgspec.convert(value, MissExplanation)
    except msgspec.ValidationError:
        return None


def explain_stored(
    record: RequestRecord, state: RunState, earlier: RequestRecord | None, document: Document
) -> MissExplanation | None:
    """Explain a logged request without a stored explanation, knowing only both requests and the report."""
    from playground.prefix_cache.miss_evidence import EarlierRequest, MissKnowledge, OrderEvidence
    from playground.prefix_cache.miss_explanation import explain_miss
    from playground.prefix_cache.prefix_size import Measure, Size
    from playground.prefix_cache.token_estimator import TokenEstimator
    from playground.prefix_cache.view import view_of_document, view_of_fields
    from playground.runs.service import cache_usage

    fields = sent_fields(record.body)
    view = view_of_fields(fields)
    usage = cache_usage(state, record.body)
    measure = Measure(view, TokenEstimator())
    scale = usage.prompt_tokens / measure.total if usage.prompt_tokens and measure.total else 1.0
    known = MissKnowledge(
        [OrderEvidence("first", 1.0, lambda offset: Size(measure.upto(offset) * scale, 4.0))],
        prompt_tokens=measure.total,
    )
    other = None
    if earlier is not None:
        before = sent_fields(earlier.body)
        gap_s = (record.started_utc - earlier.started_utc).total_seconds()
        forecast = record.forecast
        other = EarlierRequest(view_of_fields(before), before, forecast.request_id if forecast else None, gap_s)
    return explain_miss(view, fields, other, usage, known, view_of_document(document))


def body_value(body: bytes) -> Json:
    """Return the JSON value of a sent body; its text if it is no JSON: the Recorder forwards any bytes."""
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return value


def sent_fields(body: bytes) -> dict[str, Json]:
    """Return the fields of a sent request body; none if it is not a JSON object."""
    value = body_value(body)
    return value if isinstance(value, dict) else {}

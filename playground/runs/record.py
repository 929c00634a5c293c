"""Records of one request, before it is sent and as the request log returns it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import uuid4

from playground.client.endpoint import Rates
from playground.prefix_cache.forecast import Forecast

EndpointKind = Literal["simulator", "electron", "other"]

RequestSource = Literal["window", "command", "recorder", "experiment", "import", "unknown"]
"""Who made a request. Requests logged before the log had this column are `unknown`."""

GroupKind = Literal["comparison", "batch", "repeat", "lab", "agent", "readiness"]
"""Experiments whose requests the log lists as one group."""


def group_tag(kind: GroupKind, group_id: str = "") -> str:
    """Return the tag `KIND:ID` that the requests of one experiment share; without an id, a new one."""
    return f"{kind}:{group_id or uuid4().hex[:8]}"


NO_RATES = Rates()
"""No rates: costs are unknown."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
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
    rates: Rates = NO_RATES
    source: RequestSource = "window"
    conversation: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SentRow:
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

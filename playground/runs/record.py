"""The record of one request: as it is about to be sent, and as the request log returns it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from playground.client.endpoint import Rates
from playground.prefix_cache.forecast import Forecast

EndpointKind = Literal["simulator", "electron", "other"]

NO_RATES = Rates()
"""Nothing is priced."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as it is about to be sent. `body` is kept byte for byte; there is no key in it.

    `started_utc` is aware. `document` is a prompt file's JSON (prompt.files.dump).
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


@dataclass(frozen=True, slots=True)
class SentRow:
    """What was sent and what the server said of it: the prefix index is fed from these."""

    run_id: str
    request_id: str | None
    started_utc: datetime
    body: bytes
    prompt_tokens: int | None
    cached_tokens: int | None

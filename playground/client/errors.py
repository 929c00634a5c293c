"""Trouble in words: what an error response, or the lack of a response, means and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from playground.client import error_body
from playground.client.error_body import too_long
from playground.client.events import ApiError
from playground.client.redact import redact, redact_trouble

ADVICE = {
    400: "Correct the request; sending the same again gives the same answer.",
    401: "Check the key under Connect to Electron.",
    403: "The key is valid, but this plan or workspace does not allow it. Look in the vendor's console.",
    404: "Check the base URL (on most servers its path ends in /v1) and the model's name.",
    413: "The request is larger than the server takes. Shorten the prompt.",
    422: "Correct the request; sending the same again gives the same answer.",
    429: "Send fewer requests at once, or fewer a minute.",
    502: "The server behind the endpoint was not reached. Send again in a moment.",
    503: "The model is overloaded or switched off. Send again in a moment.",
}
"""electron-api.md, Errors."""
NAMED_FIELD = "Correct the field that is named; sending the same again gives the same answer."
NO_RETRY_AFTER = "The server did not say how long to wait (no Retry-After); a few seconds usually do."
TITLES = {
    400: "The server refused the request",
    401: "The key was not accepted",
    403: "The key has no access",
    404: "The endpoint has no such address or model",
    413: "The request is too large",
    422: "The server refused the request",
    429: "Too many requests",
    502: "Upstream unavailable",
    503: "Overloaded or disabled",
}
MAX_BODY_CHARS = 65_536


def http_trouble(status: int, headers: Mapping[str, str], body: str, key: str | None) -> ApiError:
    """An error status and whatever body came with it. `headers` by lower-case name."""
    # Masked before it is cut, so that no part of a key is left at the end.
    body = redact(body, key)[:MAX_BODY_CHARS]
    said = error_body.parse(body)
    wait_s = retry_after_s(headers.get("retry-after"))
    trouble = ApiError(
        "http",
        _title(status),
        "\n".join(said.lines) or f"The server answered {status} and said no more.",
        _shorten(status, said) or _advice(status, headers, wait_s, said.names_a_field),
        status=status,
        error_type=said.type,
        details=said.details,
        body_request_id=said.request_id,
        retry_after_s=wait_s,
        body=body,
    )
    return redact_trouble(trouble, key)


def stream_trouble(body: str, key: str | None) -> ApiError:
    """An error object that came inside a 200 response."""
    body = redact(body, key)[:MAX_BODY_CHARS]
    said = error_body.parse(body)
    trouble = ApiError(
        "stream_error",
        "The server ended its answer with an error",
        "\n".join(said.lines),
        "What came before it is kept. Send again, or give the request_id to support.",
        error_type=said.type,
        details=said.details,
        body_request_id=said.request_id,
        body=body,
    )
    return redact_trouble(trouble, key)


def _title(status: int) -> str:
    if 300 <= status < 400:
        return "The server points to another address"
    return TITLES.get(status, "The server failed" if status >= 500 else "The request failed")


def _advice(status: int, headers: Mapping[str, str], wait_s: float | None, names_a_field: bool) -> str:
    if 300 <= status < 400:
        target = headers.get("location", "another address")
        return f"It names {target}. Nothing was sent there; change the base URL if that is right."
    if status in (400, 422) and names_a_field:
        return NAMED_FIELD
    advice = ADVICE.get(status, "Send again later, or give the request_id to support." if status >= 500 else "")
    if wait_s is not None:
        return f"The server asks to wait {math.ceil(wait_s)} s (Retry-After). {advice}".rstrip()
    return f"{advice} {NO_RETRY_AFTER}" if status == 429 else advice


def _shorten(status: int, said: error_body.Envelope) -> str:
    """By how much the request is too long, as the server counts; "" where it is not, or the server does not say."""
    if status not in (400, 413, 422):
        return ""
    length = next((found for line in said.lines if (found := too_long(line)) is not None), None)
    if length is None or length.over is None:
        return ""
    tokens = "token" if length.over == 1 else "tokens"
    return (
        f"{length.over:,} {tokens} over: {length.wanted:,} asked for, {length.limit:,} fit. "
        "Shorten the prompt or lower max_tokens."
    )


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Retry-After in seconds from now, never below 0: a number, or an HTTP date; None where it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value, now or datetime.now(UTC))
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _until(date: str, now: datetime) -> float | None:
    # Imported here: few responses need it, and the first paint does not.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def cut_trouble(rest: str = "") -> ApiError:
    """The stream ended in the middle. `rest` is what had come of the event that was not ended."""
    return ApiError(
        "cut",
        "The stream was cut",
        "The connection ended before the answer did.",
        "The text that came is kept; how much of it is billed is not known here.",
        body=rest[:MAX_BODY_CHARS],
    )


def turn_trouble(limit_s: float) -> ApiError:
    """The whole turn took longer than the voice limit."""
    return ApiError(
        "timeout",
        "The turn took too long",
        f"The voice limit of {limit_s:g} s was reached: a caller would have heard silence.",
        "The text that came is kept. Change or switch off the limit under Settings.",
    )


def key_trouble() -> ApiError:
    """A key that no header can carry."""
    return ApiError(
        "key",
        "The key cannot be sent",
        "It is empty, or has a character that no HTTP header may have; nothing was sent.",
        "Paste it again under Connect to Electron.",
    )


def exposed_key_trouble(base_url: str) -> ApiError:
    """A key would travel in the clear."""
    return ApiError(
        "key",
        "The key was not sent",
        f"{base_url} is plain http on another machine: anyone on the way could read the key. Nothing was sent.",
        "Use https, or switch off “needs a key” for this endpoint.",
    )

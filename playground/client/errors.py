"""Trouble in words: what an error response, or the lack of a response, means and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from playground.client.events import Trouble
from playground.client.redact import redact
from playground.prompt.problems import Problem

ADVICE = {
    400: "Correct the field that is named; sending the same again gives the same answer.",
    401: "Check the key under Connect to Electron.",
    403: "The key is valid, but this plan or workspace does not allow it. Look in the vendor's console.",
    404: "Check the base URL: the path ends in /v1 on most servers.",
    429: "Wait a little, and send fewer requests at once or a minute.",
    502: "The server behind the endpoint was not reached. Send again in a moment.",
    503: "The model is overloaded or switched off. Send again in a moment.",
}
"""electron-api.md, Errors."""
TITLES = {
    400: "The server refused the request",
    401: "The key was not accepted",
    403: "The key has no access",
    404: "The endpoint has no such address",
    429: "Too many requests",
    502: "Upstream unavailable",
    503: "Overloaded or disabled",
}
MAX_BODY_CHARS = 65_536


def http_trouble(status: int, headers: Mapping[str, str], body: str, key: str | None) -> Trouble:
    """An error status and whatever body came with it."""
    body = redact(body, key)[:MAX_BODY_CHARS]
    envelope = _envelope(body)
    details = _details(envelope.get("details"))
    return Trouble(
        "http",
        TITLES.get(status, "The server failed" if status >= 500 else "The request failed"),
        _detail(envelope, details, body),
        _advice(status, headers),
        status=status,
        error_type=_text(envelope.get("type")),
        details=details,
        body_request_id=_text(envelope.get("request_id")),
        retry_after_s=retry_after_s(headers.get("retry-after")),
        body=body,
    )


def stream_trouble(body: str, key: str | None) -> Trouble:
    """An error object that came inside a stream that had begun well."""
    body = redact(body, key)[:MAX_BODY_CHARS]
    envelope = _envelope(body)
    return Trouble(
        "stream_error",
        "The server ended its stream with an error",
        _detail(envelope, (), body),
        "What came before it is kept. Send again, or give the request_id to support.",
        error_type=_text(envelope.get("type")),
        body_request_id=_text(envelope.get("request_id")),
        body=body,
    )


def _envelope(body: str) -> dict[str, object]:
    """The error object, in Electron's shape, OpenAI's, or {"error": text, "message": text}; empty where it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    error = value.get("error", value)
    if isinstance(error, dict):
        return error
    return {"type": error, "message": value.get("message", error)}


def _details(value: object) -> tuple[dict[str, object], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _detail(envelope: Mapping[str, object], details: tuple[dict[str, object], ...], body: str) -> str:
    lines = [_text(envelope.get("message")) or ("" if envelope else body.strip()[:400])]
    for item in details:
        path = item.get("path")
        steps = tuple(step for step in path if isinstance(step, str | int)) if isinstance(path, list) else ()
        lines.append(str(Problem(steps, _text(item.get("message")) or "not accepted")))
    return "\n".join(line for line in lines if line)


def _advice(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        target = headers.get("location", "another address")
        return f"The server points to {target}. A key is never sent on; change the base URL if that is right."
    wait_s = retry_after_s(headers.get("retry-after"))
    advice = ADVICE.get(status, "Send again later, or give the request_id to support." if status >= 500 else "")
    return f"The server asks to wait {wait_s:g} s. {advice}" if wait_s else advice


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Retry-After in seconds from now: a number, or an HTTP date; None where it is neither."""
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - (now or datetime.now(UTC))).total_seconds(), 0.0)


def cut_trouble() -> Trouble:
    """The stream ended in the middle."""
    return Trouble(
        "cut",
        "The stream was cut",
        "The connection ended before the answer did.",
        "The text that came is kept; how much of it is billed is not known here.",
    )


def key_trouble() -> Trouble:
    """A key that no header can carry."""
    return Trouble(
        "key",
        "The key cannot be sent",
        "It has a character that no HTTP header may have; nothing was sent.",
        "Paste it again under Connect to Electron.",
    )


def exposed_key_trouble(base_url: str) -> Trouble:
    """A key would travel in the clear."""
    return Trouble(
        "key",
        "The key was not sent",
        f"{base_url} is plain http on another machine: anyone on the way could read the key. Nothing was sent.",
        "Use https, or switch off “needs a key” for this endpoint.",
    )

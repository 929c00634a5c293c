"""What a recording says about the end of a request: usage, time, failure, and the program that sent it."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from playground.prefix_cache.found_spans import PromptUsage
from playground.prompt.document import Json

Outcome = tuple[PromptUsage, float | None, bool, str, float | None]
"""Reported tokens, Unix seconds, whether it failed, title or user agent of the sender, duration in seconds."""
REFUSED = 400
"""Status from which on a request failed."""
_USAGE = re.compile(r'"usage"\s*:\s*(?=\{)')
_ID = re.compile(r"[0-9a-fA-F-]{16,}")
_ENDED = ("done", None)
_TIMES, _DURATIONS = ("started_utc", "timestamp", "at", "at_unix"), ("duration_s",)
_TITLES = ("x-title", "user-agent")


def recorded_outcome(value: Json) -> Outcome:
    """Return the outcome of a line with `request` or `body`: our export, or with `response`, `usage` and `status`."""
    line: Mapping[str, Json] = value if isinstance(value, dict) else {}
    record, summary = (_object(line.get(name)) for name in ("record", "summary"))
    response = _object(line.get("response"))
    usage = next((_object(one.get("usage")) for one in (summary, line, response) if one.get("usage")), {})
    status = summary.get("status", line.get("status", response.get("status")))
    failed = (isinstance(status, int) and status >= REFUSED) or summary.get("phase") not in _ENDED
    at = next((one[name] for one in (record, line) for name in _TIMES if one.get(name) is not None), None)
    lasted = next((one[name] for one in (summary, line, response) for name in _DURATIONS if name in one), None)
    headers = _object(line.get("headers"))
    agent = _agent({str(name).lower(): value for name, value in headers.items()})
    return _usage(usage), _time(at), failed, agent, _seconds(lasted)


def har_outcome(entry: Mapping[str, Json]) -> Outcome:
    """Return the outcome of an entry of a HAR file."""
    request, response = _object(entry.get("request")), _object(entry.get("response"))
    status, text = response.get("status"), _text(_object(response.get("content")))
    pairs = request.get("headers")
    headers = {
        str(one.get("name", "")).lower(): one.get("value")
        for one in (pairs if isinstance(pairs, list) else ())
        if isinstance(one, dict)
    }
    # HAR writes 0, or a negative number, if there was no response.
    failed = isinstance(status, int) and (status >= REFUSED or status <= 0)
    lasted = _seconds(entry.get("time"))
    seconds = None if lasted is None else lasted / 1_000
    return _usage(_last_usage(text)), _time(entry.get("startedDateTime")), failed, _agent(headers), seconds


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _text(content: Mapping[str, Json]) -> str:
    """Return the text of a response, which some programs write in base64."""
    text = content.get("text")
    if not isinstance(text, str):
        return ""
    if content.get("encoding") == "base64":
        with suppress(ValueError):
            return b64decode(text).decode("utf-8", "replace")
    return text


def _last_usage(text: str) -> Mapping[str, Json]:
    """Return the last usage in a response body, a JSON object or server-sent events."""
    found: Mapping[str, Json] = {}
    for match in _USAGE.finditer(text):
        try:
            found = _object(json.JSONDecoder().raw_decode(text, match.end())[0])
        except (ValueError, RecursionError):
            continue
    return found


def _usage(usage: Mapping[str, Json]) -> PromptUsage:
    prompt = usage.get("prompt_tokens")
    cached = _object(usage.get("prompt_tokens_details")).get("cached_tokens", usage.get("cached_tokens"))
    return PromptUsage(_count(prompt), _count(cached))


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _seconds(value: Json) -> float | None:
    """Return a duration; HAR writes -1 if there is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _time(value: Json) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _agent(headers: Mapping[str, Json]) -> str:
    """Return the title that a program gives itself, or its user agent; "" if it is an id."""
    texts = (text for name in _TITLES if isinstance(text := headers.get(name), str))
    return next((text[:60] for text in texts if re.search(r"[^\W\d_]{3}", text) and not _ID.fullmatch(text)), "")

"""Logged requests as HAR 1.2 entries, one an attempt, and chat completions read back out of a HAR of any tool."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from playground import __version__
from playground.client.chunks import DONE, ChunkDecoder, NotAChunk, StreamError, not_a_chunk
from playground.client.errors import cut_trouble, http_trouble, stream_trouble
from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    AttemptStarted,
    Completed,
    HeadersReceived,
    RawEvent,
    Stopped,
)
from playground.client.redact import redact
from playground.client.sse import FrameTooLarge, SseFramer
from playground.client.urls import check_base_url
from playground.export.import_validation import judged
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.files import dump, parse
from playground.requestlog.records import EndedRun, StoredRun
from playground.runs.record import RequestRecord
from playground.runs.state import Attempt

COMPLETIONS = "/chat/completions"
_BLANKED = "Bearer (left out)"
_SECRET = ("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key")


def head() -> str:
    """What stands before the entries."""
    creator = json.dumps({"name": "Electron Playground", "version": __version__})
    return '{"log":{"version":"1.2","creator":' + creator + ',"entries":['


TAIL = "]}}\n"


def to_entries(stored: StoredRun) -> Iterator[str]:
    """An entry for each attempt, as JSON. The key is left out; `_request_id` and `_run_id` are this program's own."""
    state = stored.state()
    for attempt in state.attempts:
        newest = attempt is state.attempts[-1]
        yield json.dumps(_entry(stored, attempt, newest, state.ended_at), ensure_ascii=True, separators=(",", ":"))


def _entry(stored: StoredRun, attempt: Attempt, newest: bool, ended_at: float | None) -> dict[str, Any]:
    record = stored.record
    began = record.started_utc + timedelta(seconds=attempt.started_at)
    end = attempt.ended_at if attempt.ended_at is not None else (ended_at if newest else None)
    headers_at = attempt.headers_at
    wait = (headers_at if headers_at is not None else end or attempt.started_at) - attempt.started_at
    receive = (end - headers_at) if end is not None and headers_at is not None else 0.0
    connect = min(attempt.connect_s, wait) if attempt.connect_s else None
    events = _of_attempt(stored.events, attempt.number)
    return {
        "startedDateTime": began.astimezone(UTC).isoformat(timespec="milliseconds"),
        "time": _ms(wait + receive),
        "request": _request(record),
        "response": _response(events, attempt),
        "cache": {},
        "timings": {
            "connect": -1 if connect is None else _ms(connect),
            "send": 0,
            "wait": _ms(wait - (connect or 0.0)),
            "receive": _ms(max(receive, 0.0)),
        },
        "_run_id": record.run_id,
        "_request_id": attempt.request_id,
        "_attempt": attempt.number,
    }


def _ms(value_s: float) -> float:
    return round(value_s * 1000, 3)


def _of_attempt(events: tuple[AnyEvent, ...], number: int) -> list[AnyEvent]:
    found: list[AnyEvent] = []
    at = 0
    for event in events:
        if isinstance(event, AttemptStarted):
            at = event.attempt
        if at == number:
            found.append(event)
    return found


def _request(record: RequestRecord) -> dict[str, Any]:
    text = record.body.decode("utf-8", "replace")
    return {
        "method": "POST",
        "url": record.base_url + COMPLETIONS,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [
            {"name": "Content-Type", "value": "application/json"},
            {"name": "Authorization", "value": _BLANKED},
        ],
        "queryString": [],
        "postData": {"mimeType": "application/json", "text": text},
        "headersSize": -1,
        "bodySize": len(record.body),
    }


def _response(events: list[AnyEvent], attempt: Attempt) -> dict[str, Any]:
    headers = next((event for event in events if isinstance(event, HeadersReceived)), None)
    kind = headers.content_type if headers else ""
    raw = [event.data for event in events if isinstance(event, RawEvent)]
    if "event-stream" in kind:
        done = any(isinstance(event, Completed) and event.saw_done for event in events)
        text = "".join(f"data: {data}\n\n" for data in (*raw, *((DONE,) if done else ())))
    else:
        text = raw[0] if raw else (attempt.trouble.body if attempt.trouble else "")
    return {
        "status": attempt.status or 0,
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [{"name": name, "value": value} for name, value in (headers.headers if headers else ())],
        "content": {"size": len(text.encode("utf-8", "replace")), "mimeType": kind, "text": text},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
        **({"_error": attempt.trouble.title} if attempt.trouble else {}),
    }


def from_har(value: object) -> list[EndedRun]:
    """The chat completions in a HAR, marked as imported; other entries are passed over. Raises InputError.

    A HAR knows no time of a single event: all of a response come at its end.
    """
    entries = _entries(value)
    runs = [_run(entry, ("log", "entries", index)) for index, entry in enumerate(entries) if _is_completion(entry)]
    if not runs:
        raise InputError(FieldError(("log", "entries"), f"there is no POST to …{COMPLETIONS} in it."))
    return runs


def _entries(value: object) -> list[Any]:
    log = value.get("log") if isinstance(value, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise InputError(FieldError(("log", "entries"), "is no list: this is no HAR."))
    return entries


def _is_completion(entry: object) -> bool:
    request = _mapping(_mapping(entry).get("request"))
    url = request.get("url")
    return request.get("method") == "POST" and isinstance(url, str) and url.split("?")[0].endswith(COMPLETIONS)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _run(entry: Any, path: Path) -> EndedRun:
    request, response = _mapping(entry["request"]), _mapping(entry.get("response"))
    text = _mapping(request.get("postData")).get("text")
    if not isinstance(text, str):
        raise InputError(FieldError((*path, "request", "postData", "text"), "is no text."))
    try:
        opened = parse(text)
        base_url = check_base_url(str(request["url"]).split("?")[0])
    except InputError as bad:
        raise InputError(*(FieldError((*path, "request"), str(problem)) for problem in bad.problems)) from None
    record = RequestRecord(
        run_id=_run_id(entry),
        endpoint_id="imported",
        endpoint_name=base_url,
        endpoint_kind="other",
        base_url=base_url,
        model=opened.model or "",
        started_utc=_moment(entry.get("startedDateTime"), path),
        body=redact(text, None).encode("utf-8", "surrogatepass"),
        document=dump(opened.document),
        source="import",
    )
    run = EndedRun(record, tuple(_events(response, _seconds(entry.get("time")))), imported=True)
    try:
        return judged(run)
    except InputError as bad:
        raise InputError(*(FieldError(path, str(problem)) for problem in bad.problems)) from None


def _run_id(entry: Mapping[str, Any]) -> str:
    """The same entry has the same id, so that it is not taken twice."""
    known = entry.get("_run_id")
    if isinstance(known, str) and known:
        return f"{known}-har-{entry.get('_attempt', 1)}"
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(entry, sort_keys=True)).hex


def _moment(value: object, path: Path) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise InputError(FieldError((*path, "startedDateTime"), f"{value!r} is no time.")) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(value: object) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e10
    return float(value) / 1000 if usable else 0.0  # type: ignore[arg-type]  # a number, by the line above


def _events(response: Mapping[str, Any], took_s: float) -> Iterator[AnyEvent]:
    status = response.get("status")
    yield AttemptStarted(0.0, 1)
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        yield Stopped(took_s)
        return
    headers = tuple(_headers(response.get("headers")))
    named = dict(headers)
    content = _mapping(response.get("content"))
    kind = named.get("content-type") or str(content.get("mimeType", ""))
    request_id = named.get("x-request-id")
    yield HeadersReceived(took_s, status, request_id, kind, headers)
    text = redact(_content(content), None)
    if not 200 <= status < 300:
        yield AttemptFailed(took_s, http_trouble(status, named, text, None), request_id)
        return
    try:
        yield from _read(text, took_s, request_id, streamed="event-stream" in kind)
    except StreamError as error:
        yield AttemptFailed(took_s, stream_trouble(error.body, None), request_id)
    except (NotAChunk, FrameTooLarge):
        yield AttemptFailed(took_s, not_a_chunk(text), request_id)


def _content(content: Mapping[str, Any]) -> str:
    """A response's text; browsers keep a stream's in base64."""
    text = str(content.get("text") or "")
    if content.get("encoding") != "base64":
        return text
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except ValueError:
        return text


def _headers(value: object) -> Iterator[tuple[str, str]]:
    for item in value if isinstance(value, list) else ():
        name, text = str(_mapping(item).get("name", "")).lower(), str(_mapping(item).get("value", ""))
        if name and name not in _SECRET:
            yield name, redact(text, None)


def _read(text: str, at: float, request_id: str | None, *, streamed: bool) -> Iterator[AnyEvent]:
    decoder = ChunkDecoder()
    if not streamed:
        yield RawEvent(at, text)
        yield from decoder.events(text, at)
        yield Completed(at)
        return
    for data in SseFramer().feed(text.encode("utf-8", "surrogatepass")):
        if data == DONE:
            yield Completed(at)
            return
        if data.strip():
            yield RawEvent(at, data)
            yield from decoder.events(data, at)
    yield Completed(at, saw_done=False) if decoder.finished else AttemptFailed(at, cut_trouble(), request_id)

"""Export of logged requests as HAR 1.2, one entry per attempt, and import of chat completions from any HAR."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from msgspec import Struct
from msgspec.structs import replace

from playground import __version__
from playground.client.chunks import DONE
from playground.client.credentials import credentials, stored_headers
from playground.client.endpoint import check_base_url
from playground.client.errors import http_error
from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    AttemptStarted,
    Completed,
    HeadersReceived,
    RawEvent,
    Stopped,
    TimesUnknown,
)
from playground.client.redact import redact
from playground.client.response_decoder import ResponseDecoder
from playground.export.jsonl import judged
from playground.export.masking import masked_run
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.files import dump, parse
from playground.requestlog.records import EndedRun, StoredRun, clean_tags
from playground.runs.record import RequestRecord, RequestSource
from playground.runs.state import Attempt

COMPLETIONS = "/chat/completions"
_BLANKED = "Bearer (left out)"


def head() -> str:
    """Return the text before the entries."""
    creator = json.dumps({"name": "Electron Playground", "version": __version__})
    return '{"log":{"version":"1.2","creator":' + creator + ',"entries":['


TAIL = "]}}\n"


def to_entries(stored: StoredRun) -> Iterator[str]:
    """Yield a JSON entry per attempt, without the key. Fields with an underscore are those of this program."""
    stored = masked_run(stored)
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
        "_source": record.source,
        **({"_conversation": record.conversation} if record.conversation else {}),
        **({"_tags": list(stored.tags)} if stored.tags else {}),
        **({"_marked": True} if stored.marked else {}),
        **({"comment": stored.comment} if stored.comment else {}),
    }


def _ms(value_s: float) -> float:
    return round(value_s * 1000, 3)


def _of_attempt(events: Iterable[AnyEvent], number: int) -> list[AnyEvent]:
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
        text = raw[0] if raw else (attempt.error.body if attempt.error else "")
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
        **({"_error": attempt.error.title} if attempt.error else {}),
    }


class HarEntries(Struct, frozen=True):
    """The chat completions of a HAR, and how many POST entries were skipped, by reason."""

    runs: tuple[EndedRun, ...]
    skipped: Mapping[str, int]


def from_har(value: object) -> HarEntries:
    """Read the chat completions of a HAR, marked as imported. Entries of other requests are ignored.

    A completion that cannot be read is skipped and counted. Raises InputError if none can be read. A HAR has no times
    of single events: all of a response get the time of its end. The attempts of a request that this program exported
    become one request again; equal entries of other programs are several requests.
    """
    runs: dict[str, dict[int, EndedRun]] = {}
    equal: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    first: InputError | None = None
    for place, entry in enumerate(_entries(value)):
        if not _is_completion(entry):
            continue
        try:
            run, attempt = _run(entry, ("log", "entries", place)), _attempt_of(entry)
        except InputError as error:
            first = first or error
            skipped[error.problems[0].message] += 1
            continue
        run_id = run.record.run_id
        if attempt is None and (before := equal[run_id]):
            run_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id} {before}").hex
            equal[run.record.run_id] += 1
            run = replace(run, record=replace(run.record, run_id=run_id))
        else:
            equal[run_id] += 1
        runs.setdefault(run_id, {}).setdefault(attempt or 1, run)
    if not runs:
        raise first or InputError.of(("log", "entries"), f"there is no POST to …{COMPLETIONS} in it.")
    return HarEntries(tuple(map(_joined, runs.values())), dict(skipped))


def _joined(attempts: Mapping[int, EndedRun]) -> EndedRun:
    """Return one request with the events of all its attempts, by number."""
    numbers = sorted(attempts)
    first, began = attempts[numbers[0]], attempts[numbers[0]].record.started_utc
    events: list[AnyEvent] = []
    for number in numbers:
        later = max((attempts[number].record.started_utc - began).total_seconds(), events[-1].at if events else 0.0)
        for event in attempts[number].events:
            if isinstance(event, AttemptStarted):
                events.append(AttemptStarted(later, number))
            elif not isinstance(event, TimesUnknown) or number == numbers[0]:
                events.append(replace(event, at=event.at + later))
    return replace(first, events=tuple(events))


def _entries(value: object) -> list[Any]:
    log = value.get("log") if isinstance(value, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise InputError.of(("log", "entries"), "is not a list: this is not a HAR.")
    return entries


def _is_completion(entry: object) -> bool:
    request = _mapping(_mapping(entry).get("request"))
    url, method = request.get("url"), request.get("method")
    return (
        isinstance(method, str)
        and method.upper() == "POST"
        and isinstance(url, str)
        and _bare(url).endswith(COMPLETIONS)
    )


def _bare(url: str) -> str:
    """Return the URL without query, fragment and trailing slashes."""
    return re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _run(entry: Any, path: Path) -> EndedRun:
    """Return the run of an entry. Raises InputError."""
    request, response = _mapping(entry["request"]), _mapping(entry.get("response"))
    text = _content(_mapping(request.get("postData")))
    key = _credentials(request, text)
    text = redact(text, key)
    if not text:
        raise InputError.of((*path, "request", "postData", "text"), "the request has no body.")
    try:
        opened = parse(text)
        base_url = check_base_url(redact(_USER.sub("://", _bare(str(request["url"]))), key))
    except InputError as error:
        raise InputError(*(FieldError((*path, "request"), str(problem)) for problem in error.problems)) from None
    record = RequestRecord(
        run_id=_run_id(entry),
        endpoint_id="imported",
        endpoint_name=base_url,
        endpoint_kind="other",
        base_url=base_url,
        model=opened.model or "",
        started_utc=_moment(entry.get("startedDateTime"), path),
        body=text.encode("utf-8", "backslashreplace"),
        document=dump(opened.document),
        source=_source(entry.get("_source")),
        conversation=_text(entry.get("_conversation")) or None,
    )
    timings = _mapping(entry.get("timings"))
    parts_s = sum(_seconds(timings.get(name)) for name in ("blocked", "dns", "connect", "send", "wait", "receive"))
    took_s = _seconds(entry.get("time")) or parts_s
    headers_s = max(took_s - _seconds(timings.get("receive")), 0.0)
    events = tuple(_events(response, headers_s, took_s, key, redact(_text(entry.get("_request_id")), key)))
    tags = [_text(tag) for tag in tags] if isinstance(tags := entry.get("_tags"), list) else []
    is_marked, comment = entry.get("_marked") is True, redact(_text(entry.get("comment")), key)
    run = masked_run(EndedRun(record, events, is_marked, clean_tags(tags), comment, imported=True))
    try:
        return judged(run)
    except InputError as error:
        raise InputError(*(FieldError(path, str(problem)) for problem in error.problems)) from None


def _run_id(entry: Mapping[str, Any]) -> str:
    """Return the same id for the same entry, so that it is not imported twice."""
    known = entry.get("_run_id")
    if isinstance(known, str) and known:
        return known
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(entry, sort_keys=True)).hex


def _attempt_of(entry: Mapping[str, Any]) -> int | None:
    """Return the number of the attempt in an export of this program; None for an entry of another program."""
    if not _text(entry.get("_run_id")):
        return None
    number = entry.get("_attempt")
    return number if type(number) is int and 0 < number < MOST_ATTEMPTS else 1


MOST_ATTEMPTS = 1_000


def other_forms(run: EndedRun) -> list[str]:
    """Return the run ids under which earlier versions stored the attempts of a request of a HAR."""
    numbers = dict.fromkeys(event.attempt for event in run.events if isinstance(event, AttemptStarted))
    return [f"{run.record.run_id}-har-{number}" for number in numbers]


def _source(value: object) -> RequestSource:
    """Return who made the request, as an export of this program says; `import` for other files."""
    return next((known for known in get_args(RequestSource) if known == value), "import")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: object, path: Path) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise InputError.of((*path, "startedDateTime"), f"{value!r} is no time.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(value: object) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e10
    return float(value) / 1000 if usable else 0.0  # type: ignore[arg-type]  # a number, by the line above


_USER = re.compile(r"://[^/@]*@")


def _credentials(request: Mapping[str, Any], body: str) -> str | None:
    """Return the credentials of a request, one per line: neither its body nor the response may repeat them."""
    pairs = list(_pairs(request.get("headers")))
    cookies = "; ".join(f"{name}={value}" for name, value in _pairs(request.get("cookies")))
    query = list(_pairs(request.get("queryString")))
    address = str(request.get("url", ""))
    return credentials(address, [*pairs, *query, ("cookie", cookies)], body=body.encode("utf-8", "surrogatepass"))


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    for item in value if isinstance(value, list) else ():
        yield str(_mapping(item).get("name", "")), str(_mapping(item).get("value", ""))


def _events(
    response: Mapping[str, Any], headers_s: float, took_s: float, key: str | None, exported_id: str
) -> Iterator[AnyEvent]:
    status = response.get("status")
    yield AttemptStarted(0.0, 1)
    yield TimesUnknown(0.0)
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        yield Stopped(took_s)
        return
    headers = stored_headers(((name, value) for name, value in _pairs(response.get("headers")) if name), key)
    named = dict(headers)
    content = _mapping(response.get("content"))
    kind = (named.get("content-type") or str(content.get("mimeType", ""))).lower()
    request_id = exported_id or named.get("x-request-id")
    yield HeadersReceived(headers_s, status, request_id, kind, headers)
    text = _content(content)
    if not 200 <= status < 300:
        yield AttemptFailed(took_s, http_error(status, named, text, key), request_id)
        return
    if not text:  # browsers omit bodies that they did not store: the server's answer is unknown
        yield Completed(took_s, saw_done=False)
        return
    decoder = ResponseDecoder(kind.split(";", 1)[0].strip(), key)
    yield from decoder.feed(text.encode("utf-8", "surrogatepass"), took_s)
    yield from decoder.end(took_s)
    if decoder.error is not None:
        yield AttemptFailed(took_s, decoder.error, request_id)


def _content(content: Mapping[str, Any]) -> str:
    """Return a body's text. Browsers store streams in base64, some tools wrapped into lines."""
    text = content.get("text")
    if not isinstance(text, str):
        return ""
    if _text(content.get("encoding")).lower() != "base64":
        return text
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "replace")
    except ValueError:
        return text

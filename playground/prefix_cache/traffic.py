"""Recorded traffic: one record per request, from JSON lines, HAR or an export of the request log."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TypeGuard

from msgspec import Struct

from playground.prefix_cache.forecast import CacheUsage
from playground.prompt.document import Json
from playground.prompt.json_text import JsonBoundsError, loads


class TrafficError(Exception):
    """A file that cannot be replayed; the text names the line or entry."""


class TrafficRecord(Struct, frozen=True):
    """One request. `at_unix` is when it was sent; `usage` is what the server reported, None if it reported none.

    `endpoint` separates caches. A request with a `tag` (experiment, example, voice demo) was sent by the program for
    a purpose of its own: it teaches the model, and is not compared with others' prompts.
    """

    at_unix: float
    request: Mapping[str, Json]
    status: int
    request_id: str | None
    usage: CacheUsage | None
    endpoint: str = ""
    run_id: str = ""
    tag: str = ""
    ended_unix: float | None = None
    """When the response was complete; None: not recorded, taken to be before the next request."""

    @property
    def accepted(self) -> bool:
        """Whether the server took the request: only then it can be in the cache. It counted the tokens of a prompt
        whose usage it reports, also if the request failed in the end."""
        usage = self.usage or CacheUsage()
        return self.status == 200 or usage.prompt_tokens is not None or usage.cached_tokens is not None

    @property
    def model(self) -> str:
        return str(self.request.get("model") or "")


_EVENT = re.compile(r"^data:", re.MULTILINE)
MAX_TRAFFIC_BYTES = 512 * 1024 * 1024
Foreign = Callable[[str], Sequence[TrafficRecord] | None]
"""Reads a line of another format: none for a request that is no chat completion. Returns None for an unknown format;
raises ValueError for a bad line."""


def read_traffic(
    path: Path, foreign: Foreign | None = None, on_left_out: Callable[[str], object] = lambda _place: None
) -> Iterator[TrafficRecord]:
    """Yield the records of a file in its order. Raises TrafficError for content that is not usable.

    `foreign` reads lines that have no `request`, for example of an export of the log. `on_left_out` is called
    with the place of each request that is no chat completion.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TRAFFIC_BYTES + 1)
    except OSError as error:
        raise TrafficError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > MAX_TRAFFIC_BYTES:
        raise TrafficError(f"{path} is larger than {MAX_TRAFFIC_BYTES // 1024 // 1024} MiB.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = data.count(b"\n", 0, error.start) + 1
        raise TrafficError(f"line {bad}: not UTF-8.") from error
    entries = _har_entries(text)
    found: Iterator[tuple[str, Sequence[TrafficRecord]]]
    if entries is not None:
        posts = ((number, entry) for number, entry in enumerate(entries, start=1) if _is_post(entry))
        found = ((f"entry {number}", _har_records(entry, number)) for number, entry in posts)
    else:
        lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
        found = ((f"line {number}", _records(line, number, foreign)) for number, line in lines)
    for place, records in found:
        if not records:
            on_left_out(place)
        yield from records


def _har_entries(text: str) -> list[Json] | None:
    """Return the entries of a HAR; None for another file."""
    head = text.lstrip()[:4096]
    if not head.startswith("{") or '"log"' not in head:
        return None
    try:
        value = loads(text, max_bytes=MAX_TRAFFIC_BYTES, finite=False)
    except ValueError:
        return None
    log = _object(_field(value, "log"))
    if log is None or "request" in value:
        return None
    entries = log.get("entries")
    if not isinstance(entries, list):
        raise TrafficError("log.entries is missing or not a list: this is no HAR.")
    return entries


def _is_post(entry: Json) -> bool:
    request, response = _object(_field(entry, "request")), _object(_field(entry, "response"))
    return request is not None and response is not None and request.get("method") == "POST"


def _har_records(entry: Json, number: int) -> Sequence[TrafficRecord]:
    """Return the record of a POST in a HAR, or nothing if its body is no chat completion."""
    request, response = _object(_field(entry, "request")) or {}, _object(_field(entry, "response")) or {}
    try:
        body = loads(str((_object(request.get("postData")) or {}).get("text") or ""))
    except ValueError:
        return ()
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return ()
    try:
        at = datetime.fromisoformat(str(_field(entry, "startedDateTime"))).timestamp()
    except (ValueError, OverflowError) as error:
        raise TrafficError(f"entry {number}: startedDateTime is not a time.") from error
    status = response.get("status")
    headers = response.get("headers")
    found = (_object(header) or {} for header in (headers if isinstance(headers, list) else ()))
    ids = [str(one.get("value")) for one in found if str(one.get("name")).lower() == "x-request-id"]
    took_ms = _field(entry, "time")
    return (
        TrafficRecord(
            at,
            body,
            status if isinstance(status, int) else 0,
            ids[0] if ids else None,
            har_usage(response),
            endpoint=str(request.get("url") or ""),
            ended_unix=at + took_ms / 1000 if _is_duration(took_ms) else None,
        ),
    )


def har_usage(response: Mapping[str, Json]) -> CacheUsage | None:
    """Return the usage in the response of a HAR entry, with its message; some programs write the text in base64."""
    content = _object(response.get("content")) or {}
    text = str(content.get("text") or "")
    if content.get("encoding") == "base64":
        with suppress(ValueError):
            text = b64decode(text).decode("utf-8", "replace")
    return usage_of_response(_answer(text))


def _is_duration(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def _answer(content: str) -> Mapping[str, Json]:
    """Return a completion's JSON; the events of a stream are joined."""
    if not _EVENT.search(content):
        try:
            value = loads(content)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}
    text, usage = [], None
    calls: dict[int, dict[str, Json]] = {}
    for line in content.split("\n"):
        if not line.startswith("data:"):
            continue
        try:
            chunk = _object(loads(line[5:]))
        except ValueError:
            continue
        if chunk is None:
            continue
        usage = chunk.get("usage") or usage
        choices = chunk.get("choices")
        delta = _object(_field(choices[0], "delta")) if isinstance(choices, list) and choices else None
        if delta is not None:
            text.append(str(delta.get("content") or ""))
            _join_calls(calls, delta.get("tool_calls"))
    message: dict[str, Json] = {"role": "assistant", "content": "".join(text) or None}
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {"choices": [{"message": message}], "usage": usage}


def _join_calls(calls: dict[int, dict[str, Json]], pieces: Json) -> None:
    for piece in pieces if isinstance(pieces, list) else ():
        one = _object(piece)
        function = _object((one or {}).get("function")) or {}
        if one is None:
            continue
        index = one.get("index")
        call = calls.setdefault(index if isinstance(index, int) else len(calls), {})
        known = _object(call.get("function")) or {}
        joined: dict[str, Json] = {
            "name": str(known.get("name") or "") + str(function.get("name") or ""),
            "arguments": str(known.get("arguments") or "") + str(function.get("arguments") or ""),
        }
        call.update({"id": call.get("id") or one.get("id"), "type": "function", "function": joined})


def usage_of_response(response: Mapping[str, Json]) -> CacheUsage | None:
    """Return the usage of a completion's JSON, with its message; None without a usage."""
    usage = _object(response.get("usage"))
    if usage is None:
        return None
    return usage_of(usage, _message(response))


def _message(response: Mapping[str, Json]) -> dict[str, Json] | None:
    """Return the message of the first choice."""
    choices = response.get("choices")
    return _object(_field(choices[0], "message")) if isinstance(choices, list) and choices else None


def usage_of(usage: Mapping[str, Json], message: Mapping[str, Json] | None) -> CacheUsage:
    """Return a `usage` object and the generated message as one value.

    Without `prompt_tokens`, all counts with "input" in their name add up to the prompt, as in Anthropic's usage and
    Langfuse's usage details; in the Responses API there is one.
    """
    details = _object(usage.get("prompt_tokens_details")) or _object(usage.get("input_tokens_details")) or {}
    completion = _object(usage.get("completion_tokens_details")) or {}
    inputs = {name: count for name, value in usage.items() if "input" in name and (count := _count(value)) is not None}
    inputs = {name: count for name, count in inputs.items() if "cost" not in name.lower()}
    read = [count for name, count in inputs.items() if "cache" in name and not re.search("creation|write", name)]
    places = (details.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))
    cached = next((count for value in places if (count := _count(value)) is not None), sum(read) if read else None)
    prompt = _count(usage.get("prompt_tokens"))
    return CacheUsage(
        sum(inputs.values()) if prompt is None and inputs else prompt,
        cached,
        _count(usage.get("completion_tokens")),
        _count(completion.get("reasoning_tokens")) or 0,
        message,
    )


def _records(line: str, number: int, foreign: Foreign | None) -> Sequence[TrafficRecord]:
    try:
        value = loads(line)
    except JsonBoundsError as error:
        raise TrafficError(f"line {number}: {error}") from error
    except ValueError as error:
        raise TrafficError(f"line {number}: not JSON.") from error
    if not isinstance(value, dict):
        raise TrafficError(f"line {number}: not a JSON object.")
    if "request" not in value and foreign is not None:
        try:
            found = foreign(line)
        except ValueError as error:
            raise TrafficError(f"line {number}: {error}") from error
        if found is not None:
            return found
    return (_issue_record(value, number),)


def _issue_record(value: Mapping[str, Json], number: int) -> TrafficRecord:
    at, request, response = value.get("at"), _object(value.get("request")), _object(value.get("response"))
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TrafficError(f"line {number}: `at` is missing or not a number.")
    if request is None or not isinstance(request.get("messages"), list):
        raise TrafficError(f"line {number}: `request` is missing or has no `messages`.")
    if response is None:
        raise TrafficError(f"line {number}: `response` is missing.")
    status = response.get("status")
    if isinstance(status, bool) or not isinstance(status, int):
        raise TrafficError(f"line {number}: `response.status` is missing or not a number.")
    usage, message = _object(response.get("usage")), _object(response.get("message")) or _message(response)
    took_s = response.get("duration_s")
    if took_s is not None and not _is_duration(took_s):
        raise TrafficError(f"line {number}: `response.duration_s` is not a number of seconds.")
    request_id = response.get("request_id")
    return TrafficRecord(
        float(at),
        request,
        status,
        None if request_id is None else str(request_id),
        usage_of(usage, message) if usage is not None else None,
        endpoint=str(value.get("endpoint") or ""),
        tag=str(value.get("tag") or ""),
        ended_unix=float(at) + took_s if _is_duration(took_s) else None,
    )


def _object(value: Json) -> dict[str, Json] | None:
    return value if isinstance(value, dict) else None


def _field(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _count(value: Json) -> int | None:
    if isinstance(value, float) and value.is_integer():  # some gateways write 1024.0
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

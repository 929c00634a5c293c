"""Masks API keys in stored requests before they leave the program, and in requests that are imported.

Responses are masked when they are received; this is the second check, for logs of earlier versions and foreign files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from playground.client.credentials import credentials
from playground.client.events import AnyEvent, ContentDelta, RawEvent, ToolCallDelta
from playground.client.redact import MASK, key_spans, redact
from playground.prompt.secret_values import masked_address
from playground.requestlog.records import EndedRun, StoredRun
from playground.runs.record import RequestRecord

_MAY_HOLD_KEY = re.compile(r"sk[_-]|\\|%|&#", re.I)
"""Quick test: a text without a match holds no key, not even an escaped one."""
_LEFT_OUT = '"(left out: it held a piece of a key)"'
Run = TypeVar("Run", StoredRun, EndedRun)


def masked_text(text: str, key: str | None = None) -> str:
    """Mask everything that looks like a key in `text`, also in escaped form, and `key` (one or several, by lines)."""
    return redact(text, key) if key or _MAY_HOLD_KEY.search(text) else text


def _key_of(record: RequestRecord) -> str | None:
    """Return the secrets among the parameters of the request: such a key is not the program's own."""
    return credentials(record.base_url, (), body=record.body)


def masked_run(run: Run) -> Run:
    """Return the run with keys masked in its record, events, tags and comment: what every output shows of it."""
    key = _key_of(run.record)
    return replace(
        run,
        record=_masked_record(run.record, key),
        events=masked_events(run.events, key),
        tags=tuple(masked_text(tag, key) for tag in run.tags),
        comment=masked_text(run.comment, key),
        explanation=masked_value(run.explanation, key),
    )


def masked_record(record: RequestRecord) -> RequestRecord:
    """Return the record with keys masked in body, document, addresses and names, also keys of parameters."""
    return _masked_record(record, _key_of(record))


def _masked_record(record: RequestRecord, key: str | None) -> RequestRecord:
    body = record.body.decode("utf-8", "surrogateescape")
    return replace(
        record,
        run_id=masked_text(record.run_id),
        endpoint_id=masked_text(record.endpoint_id, key),
        endpoint_name=masked_text(record.endpoint_name, key),
        base_url=redact(masked_address(record.base_url), key),
        model=masked_text(record.model, key),
        body=masked_text(body, key).encode("utf-8", "surrogateescape"),
        document=masked_text(record.document, key),
        conversation=None if record.conversation is None else masked_text(record.conversation, key),
    )


def masked_value(value: Any, key: str | None = None) -> Any:
    """Return a JSON value with keys masked in its texts and in the names of its members."""
    if isinstance(value, str):
        return masked_text(value, key)
    if isinstance(value, list | tuple):
        return [masked_value(item, key) for item in value]
    if isinstance(value, dict):
        return {masked_text(name, key): masked_value(item, key) for name, item in value.items()}
    return value


def masked_events(events: Sequence[AnyEvent], key: str | None = None) -> tuple[AnyEvent, ...]:
    """Return the events with keys masked, also a key that arrived in pieces."""
    found = tuple(_masked_event(event, key) for event in events)
    return _join_masked(found, key)


def _masked_event(event: AnyEvent, key: str | None) -> AnyEvent:
    match event:
        case ContentDelta(text=text) | RawEvent(data=text):
            if not key and not _MAY_HOLD_KEY.search(text):
                return event
    fields = msgspec.to_builtins(event)
    masked = masked_value(fields, key)
    return event if masked == fields else msgspec.convert(masked, type(event))


def _join_masked(events: tuple[AnyEvent, ...], key: str | None) -> tuple[AnyEvent, ...]:
    """Mask keys that span several pieces of the answer, of a tool call's arguments, or of raw events."""
    changed = dict[int, AnyEvent]()
    for places in _streams(events):
        texts = [_text(events[place]) for place in places]
        for place, text in zip(places, _without_keys(texts, key), strict=True):
            if text != _text(events[place]):
                changed[place] = _with_text(events[place], text)
                _leave_out_raw(events, place, changed)
    return tuple(changed.get(place, event) for place, event in enumerate(events)) if changed else events


def _streams(events: tuple[AnyEvent, ...]) -> Iterator[list[int]]:
    """Return the positions of the pieces of each text."""
    streams: dict[object, list[int]] = {}
    for place, event in enumerate(events):
        if isinstance(event, ToolCallDelta):
            streams.setdefault(event.index, []).append(place)
        elif hasattr(event, "text"):
            streams.setdefault(type(event), []).append(place)
    yield from streams.values()


def _text(event: AnyEvent) -> str:
    return event.arguments if isinstance(event, ToolCallDelta) else str(getattr(event, "text", ""))


def _with_text(event: AnyEvent, text: str) -> AnyEvent:
    if isinstance(event, ToolCallDelta):
        return msgspec.structs.replace(event, arguments=text)
    return msgspec.structs.replace(cast("ContentDelta", event), text=text)


def _without_keys(texts: list[str], key: str | None) -> list[str]:
    whole = "".join(texts)
    if not key and not _MAY_HOLD_KEY.search(whole):
        return texts
    spans = key_spans(whole, key)
    if not spans:
        return texts
    kept, start = [], 0
    for text in texts:
        end = start + len(text)
        kept.append("".join(_pieces(whole, start, end, spans)))
        start = end
    return kept


def _pieces(whole: str, start: int, end: int, spans: list[tuple[int, int]]) -> Iterator[str]:
    """Return whole[start:end] without the spans, with MASK at the beginning of each span."""
    for first, last in spans:
        if last <= start or first >= end:
            continue
        if first >= start:
            yield whole[start:first] + MASK
        start = min(end, last)
    yield whole[start:end]


def _leave_out_raw(events: tuple[AnyEvent, ...], place: int, changed: dict[int, AnyEvent]) -> None:
    """Remove the raw event of the piece: the newest one before it."""
    for before in range(place - 1, -1, -1):
        event = events[before]
        if isinstance(event, RawEvent):
            changed[before] = msgspec.structs.replace(event, data=_LEFT_OUT)
            return
        if event.at != events[place].at:
            return

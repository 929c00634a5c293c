"""Masks API keys in stored requests before they leave the program, and in requests that are imported.

Responses are masked when they are received; this is the second check, for logs of earlier versions and foreign files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from playground.client.credentials import MAX_CREDENTIALS, credentials
from playground.client.events import AnyEvent, ContentDelta, RawEvent, ToolCallDelta
from playground.client.redact import LEAST_CHARS, known_keys, mask_across, mask_key, redact, redact_value
from playground.client.stream_masking import step_of
from playground.prompt.json_text import check_depth
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
        explanation=redact_value(run.explanation, key),
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


def masked_events(events: Sequence[AnyEvent], key: str | None = None) -> tuple[AnyEvent, ...]:
    """Return the events with keys masked, also a key that arrived in pieces.

    What looks like a key is searched in joined texts: a piece may begin with `sk_`, the end of `disk_`.
    """
    texts: dict[tuple[object, ...], list[str]] = {}
    for place, event in enumerate(events):
        value, stream = msgspec.to_builtins(event), _stream_of(event)
        if isinstance(event, RawEvent):
            value, stream = event.data, RawEvent
            with suppress(ValueError):
                check_depth(value)
                value = msgspec.json.decode(value)
        _add_texts(value, (place if stream is None else stream,), texts)
    wholes = ["".join(pieces) for pieces in texts.values()]
    known = dict.fromkeys(one for text in wholes if _MAY_HOLD_KEY.search(text) for one in known_keys(text))
    key = "\n".join([*([key] if key else ()), *known][:MAX_CREDENTIALS])
    if not key:
        return tuple(events)
    # First in pieces: a masked piece would hide that the others belong to it.
    return tuple(_masked_event(event, key) for event in _join_masked(tuple(events), key))


def _add_texts(value: Any, path: tuple[object, ...], texts: dict[tuple[object, ...], list[str]]) -> None:
    """Add the names and texts of a JSON value to the pieces of each path. What each event repeats counts once."""
    if isinstance(value, str):
        pieces = texts.setdefault(path, [])
        if len(value) < LEAST_CHARS or pieces[-1:] != [value]:
            pieces.append(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            _add_texts(name, (*path, name, ""), texts)
            _add_texts(item, (*path, name), texts)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _add_texts(item, (*path, step_of(item, place)), texts)


def _masked_event(event: AnyEvent, key: str) -> AnyEvent:
    fields = msgspec.to_builtins(event)
    masked = redact_value(fields, key, mask_key)
    return event if masked == fields else msgspec.convert(masked, type(event))


def _join_masked(events: tuple[AnyEvent, ...], key: str) -> tuple[AnyEvent, ...]:
    """Mask keys that span several pieces of the answer, of a tool call's arguments, or of raw events."""
    changed, streams = dict[int, AnyEvent](), dict[object, list[int]]()
    for place, event in enumerate(events):
        if (stream := _stream_of(event)) is not None:
            streams.setdefault(stream, []).append(place)
    for places in streams.values():
        texts = [_text(events[place]) for place in places]
        for place, before, text in zip(places, texts, mask_across(texts, key, rest=""), strict=True):
            if text != before:
                changed[place] = _with_text(events[place], text)
                if text != mask_key(before, key):
                    _leave_out_raw(events, place, changed)
    return tuple(changed.get(place, event) for place, event in enumerate(events)) if changed else events


def _stream_of(event: AnyEvent) -> object:
    return event.index if isinstance(event, ToolCallDelta) else type(event) if hasattr(event, "text") else None


def _text(event: AnyEvent) -> str:
    return event.arguments if isinstance(event, ToolCallDelta) else str(getattr(event, "text", ""))


def _with_text(event: AnyEvent, text: str) -> AnyEvent:
    if isinstance(event, ToolCallDelta):
        return msgspec.structs.replace(event, arguments=text)
    return msgspec.structs.replace(cast("ContentDelta", event), text=text)


def _leave_out_raw(events: tuple[AnyEvent, ...], place: int, changed: dict[int, AnyEvent]) -> None:
    """Remove the raw event of the piece: the newest one before it."""
    for before in range(place - 1, -1, -1):
        event = events[before]
        if isinstance(event, RawEvent):
            changed[before] = msgspec.structs.replace(event, data=_LEFT_OUT)
            return
        if event.at != events[place].at:
            return

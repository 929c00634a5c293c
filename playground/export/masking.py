"""Masks API keys in stored requests before they leave the program, and in requests that are imported.

Responses are masked when they are received; this is the second check, for logs of earlier versions and foreign files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from playground.client.credentials import MAX_CREDENTIALS, credentials
from playground.client.events import AnyEvent, RawEvent, TokenProbabilities, ToolCallDelta
from playground.client.redact import LEAST_CHARS, known_keys, mask_across, mask_key, redact, redact_value
from playground.client.stream_masking import step_of
from playground.prompt.json_text import check_depth
from playground.prompt.secret_values import masked_address
from playground.requestlog.records import EndedRun, StoredRun
from playground.runs.record import RequestRecord

_MAY_HOLD_KEY = re.compile(r"sk[_-]|\\|%|&#", re.I)
"""Quick test: a text without a match holds no key, not even an escaped one."""
_SAME_AS_TOKEN = "top_logprobs", "bytes", "alternatives"
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
    """Return the events with keys masked, also a key that arrived in pieces. Text beside it stays in its event.

    What looks like a key is searched in joined texts: a piece may begin with `sk_`, the end of `disk_`.
    """
    values = [_value_of(event) for event in events]
    texts: list[list[_Piece]] = []
    streams: dict[object, _Path] = {}
    for place, (event, value) in enumerate(zip(events, values, strict=True)):
        stream = _stream_of(event)
        _add_texts(value, streams.setdefault(place if stream is None else stream, _Path()), texts, place)
    wholes = ["".join([piece[0] for piece in pieces]) for pieces in texts]
    known = dict.fromkeys(one for text in wholes if _MAY_HOLD_KEY.search(text) for one in known_keys(text))
    key = "\n".join([*([key] if key else ()), *known][:MAX_CREDENTIALS])
    if not key:
        return tuple(events)
    # First in pieces: a masked piece would hide that the others belong to it.
    changed = {place for pieces in texts for place in _mask_pieces(pieces, key)}
    whole = [_event_of(event, values[at]) if at in changed else event for at, event in enumerate(events)]
    return tuple(_masked_event(event, key) for event in whole)


_Piece: TypeAlias = tuple[str, int, Any, Any]
"""A text, the place of its event, the object or list that has it, and its name there: `piece[2][piece[3]]`. A name of
an object has no holder. No class: an export makes ten for each event."""


class _Path:
    """A place in the values of several events: the texts there, and the places below."""

    __slots__ = ("below", "pieces")

    def __init__(self) -> None:
        self.pieces: list[_Piece] | None = None
        self.below: dict[object, _Path] = {}


def _value_of(event: AnyEvent) -> dict[str, Any]:
    """Return an event as a JSON value; the data of a server-sent event is parsed if it is JSON."""
    value: dict[str, Any] = msgspec.to_builtins(event)
    if isinstance(event, RawEvent):
        with suppress(ValueError):
            check_depth(event.data)
            value["data"] = msgspec.json.decode(event.data)
    return value


def _event_of(event: AnyEvent, value: dict[str, Any]) -> AnyEvent:
    if isinstance(event, RawEvent) and not isinstance(value["data"], str):
        value["data"] = json.dumps(value["data"], ensure_ascii=False)
    return msgspec.convert(value, type(event))


def _add_texts(value: Any, path: _Path, texts: list[list[_Piece]], place: int) -> None:
    """Add the names and texts of a JSON value to the pieces of each path. What each event repeats counts once."""
    is_object = isinstance(value, dict)
    items: Iterable[tuple[Any, Any]] = value.items() if is_object else enumerate(value)
    for name, item in items:
        step = name if is_object else step_of(item, name)
        below = path.below.get(step)
        if below is None:
            below = path.below[step] = _Path()
            if is_object:
                texts.append([(name, place, None, None)])
        if isinstance(item, str):
            pieces = below.pieces
            if pieces is None:
                pieces = below.pieces = []
                texts.append(pieces)
            if len(item) < LEAST_CHARS or not pieces or pieces[-1][0] != item:
                pieces.append((item, place, value, name))
        elif isinstance(item, dict | list | tuple):
            _add_texts(item, below, texts, place)


def _mask_pieces(pieces: list[_Piece], key: str) -> Iterator[int]:
    """Mask a key that several texts have in pieces. Yields the places of the changed events."""
    masked = mask_across([piece[0] for piece in pieces], key, rest="")
    for (before, place, holder, name), text in zip(pieces, masked, strict=True):
        is_token = name == "token"
        if holder is None or text == before or (text == mask_key(before, key) and not is_token):
            continue  # a key in one event is masked there
        holder[name] = text
        if is_token:  # its alternatives and bytes are the same text
            holder.update({other: [] for other in _SAME_AS_TOKEN if other in holder})
        yield place


def _masked_event(event: AnyEvent, key: str) -> AnyEvent:
    fields = msgspec.to_builtins(event)
    masked = redact_value(fields, key, mask_key)
    return event if masked == fields else msgspec.convert(masked, type(event))


def _stream_of(event: AnyEvent) -> object:
    """Return what the texts of an event go on with: those of the same tool call, or of the same kind of event."""
    if isinstance(event, ToolCallDelta):
        return ToolCallDelta, event.index
    return type(event) if hasattr(event, "text") or isinstance(event, RawEvent | TokenProbabilities) else None

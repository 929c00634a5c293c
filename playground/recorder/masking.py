"""Decompression of recorded bodies, and masking of the caller's key in all messages of an exchange."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from playground.client.credentials import credentials, stored_headers
from playground.client.redact import MASK, SUSPECT_CHARS, key_forms, redact
from playground.prompt.json_bounds import check_depth
from playground.prompt.secret_addresses import masked_address
from playground.recorder.feed_messages import (
    Begin,
    End,
    ExchangeMessage,
    RequestData,
    RequestEnd,
    ResponseData,
    ResponseStart,
)
from playground.recorder.wire import RawHeaders

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A larger request is forwarded and not recorded."""

_ANY_BYTES = ("utf-8", "surrogateescape")


_BITS = {"gzip": 47, "x-gzip": 47, "deflate": 15}
MAX_CODINGS = 4


class Decompressor:
    """Decompresses a body piece by piece, also one with several codings. Other codings than gzip and deflate give
    nothing; `unreadable` then names the first of them.
    """

    def __init__(self, encoding: str) -> None:
        names = [name for one in encoding.lower().split(",") if (name := one.strip()) not in ("", "identity")]
        self.unreadable = next((name for name in names if name not in _BITS), "")
        if len(names) > MAX_CODINGS:
            self.unreadable = encoding
        # The coding that was applied last is removed first.
        self._steps = [] if self.unreadable else [_Inflater(_BITS[name]) for name in reversed(names)]

    def feed(self, data: bytes) -> bytes:
        """Return the decompressed bytes that `data` completes. Nothing follows on a piece that is too large."""
        if self.unreadable:
            return b""
        for step in self._steps:
            data = step.feed(data)
        return data


class _Inflater:
    """Removes one coding."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._member: Any = zlib.decompressobj(bits)
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        received, plain = data, bytearray()
        try:
            while data and self._member is not None:
                plain += self._member.decompress(data, MAX_BODY_BYTES + 1 - len(plain))
                data = self._member.unused_data
                if self._member.eof:
                    self._member = zlib.decompressobj(self._bits)  # a body may have several members
                if len(plain) > MAX_BODY_BYTES:
                    self._member = None
        except zlib.error:
            self._member = None
            if self._bits == 15 and not self._begun:
                # Many servers send deflate without the header of zlib, and clients accept it.
                self._bits = -15
                self._member = zlib.decompressobj(self._bits)
                return self.feed(received)
        self._begun = True
        return bytes(plain)


def caller_credentials(target: str, headers: RawHeaders, added: str | None = None, body: bytes = b"") -> str | None:
    """Return every credential of a recorded request, one per line, for `redact`. `added`: the Recorder's key."""
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    return credentials(target, texts, added, body)


def header(headers: RawHeaders, wanted: bytes) -> str:
    """Return the values of a header, separated by commas, or ""."""
    return ", ".join(value.decode("latin-1") for name, value in headers if name.lower() == wanted)


def masked_exchange(messages: Sequence[ExchangeMessage], key: str | None) -> list[ExchangeMessage]:
    """Return the messages of an ended exchange with its key masked, bodies decompressed, and no request headers.

    Args:
        key: the key that the Recorder adds, if it does; the caller's credentials are masked in any case.
    """
    begin = next(message for message in messages if isinstance(message, Begin))
    request = Decompressor(header(begin.headers, b"content-encoding"))
    body = b"".join(request.feed(message.data) for message in messages if isinstance(message, RequestData))
    key = caller_credentials(begin.target, begin.headers, key, body)
    whole = any(isinstance(message, End) and message.outcome == "complete" for message in messages)
    target = masked_address(redact(begin.target, key))
    found: list[ExchangeMessage] = [Begin(begin.exchange, begin.started_unix, begin.method, target, [])]
    if body:
        found.append(RequestData(begin.exchange, _masked_body(body, key, whole=whole)))
    found += [message for message in messages if isinstance(message, RequestEnd)]
    encoding = ""
    for message in messages:
        if isinstance(message, ResponseStart):
            encoding = header(message.headers, b"content-encoding")
            found.append(ResponseStart(message.exchange, message.at, message.status, _masked_fields(message, key)))
    pieces = [one for one in messages if isinstance(one, ResponseData)]
    found += _masked_response(pieces, Decompressor(encoding), key, whole=whole)
    for message in messages:
        if isinstance(message, End):
            found.append(End(message.exchange, message.at, message.outcome, redact(message.detail, key)))
    return found


def _masked_fields(head: ResponseStart, key: str | None) -> RawHeaders:
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
    # The pieces that follow are decompressed.
    left_out = "" if Decompressor(header(head.headers, b"content-encoding")).unreadable else "content-encoding"
    kept = [(name, value) for name, value in stored_headers(texts, key) if name != left_out]
    # The mask has a character outside Latin-1.
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in kept]


def _masked_response(
    pieces: Sequence[ResponseData], body: Decompressor, key: str | None, *, whole: bool
) -> list[ExchangeMessage]:
    """Return the pieces as they are if they do not have the key, else one piece with the time of the first."""
    plain = [(piece, body.feed(piece.data)) for piece in pieces]
    joined = b"".join(data for _, data in plain)
    masked = _masked_body(joined, key, whole=whole)
    if masked != joined:
        return [ResponseData(pieces[0].exchange, pieces[0].at, masked)]
    return [ResponseData(piece.exchange, piece.at, data) for piece, data in plain if data]


def _masked_body(body: bytes, key: str | None, *, whole: bool) -> bytes:
    """Return a body with its keys masked. One that is not whole may end within a key, which is masked too."""
    if b"\0" in body:
        body = _masked_wide(body, key)
    text = body.decode(*_ANY_BYTES)
    masked = _masked_text(text, key, whole=whole)
    if "data:" in masked and (not whole or _may_have_split_key(masked, key)):
        masked = _masked_events(masked, key, whole=whole)
    return body if masked is text or masked == text else masked.encode(*_ANY_BYTES)


_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def _masked_wide(body: bytes, key: str | None) -> bytes:
    """Return a body with its keys masked if it is in UTF-16 or UTF-32, also in a part of it."""
    encoding = json.detect_encoding(body)
    if encoding.startswith(("utf-16", "utf-32")):
        with suppress(ValueError):
            text = body.decode(encoding)
            masked = redact(text, key)
            return body if masked == text else masked.encode(encoding)
    for form in key_forms(key):
        for wide in _WIDE:
            body = body.replace(form.encode(wide), MASK.encode(wide))
    return body


def _masked_text(text: str, key: str | None, *, whole: bool) -> str:
    """Mask keys, and the beginning of a key at the end of a text that is not whole."""
    text = redact(text, key)
    for form in () if whole else key_forms(key):
        for length in range(min(len(form) - 1, len(text)), SUSPECT_CHARS - 1, -1):
            if text.endswith(form[:length]):
                return text[: len(text) - length] + MASK
    return text


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    index: int = 0
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, forbid_unknown_fields=True):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: None = None


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    """An event with no other fields than usual ones."""

    choices: list[_Choice]
    id: str | None = None
    object: str | None = None
    created: float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    usage: msgspec.Raw | None = None


_usual_event = msgspec.json.Decoder(_Event)


def _may_have_split_key(text: str, key: str | None) -> bool:
    """Return whether `_masked_events` may change a stream. Several times faster for usual events; True for others."""
    texts: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    repeated = set()
    for line in text.split("\n"):
        if not line.startswith("data: {"):
            continue
        try:
            event = _usual_event.decode(line[6:])
        except (ValueError, RecursionError):
            return True
        repeated.add((event.id, event.object, event.model, event.system_fingerprint, event.service_tier))
        for choice in event.choices:
            delta, index = choice.delta, choice.index
            if delta is None:
                continue
            for name in ("content", "reasoning_content", "reasoning", "refusal"):
                if (piece := getattr(delta, name)) is not None:
                    texts[index, name].append(piece)
            for call in delta.tool_calls or ():
                if call.function is not None:
                    texts[index, call.index, "name"].append(call.function.name or "")
                    texts[index, call.index, "arguments"].append(call.function.arguments or "")
    joined = ("".join(pieces) for pieces in texts.values())
    return len(repeated) > 1 or any(redact(one, key) != one for one in joined)


def _masked_events(text: str, key: str | None, *, whole: bool) -> str:
    """Mask keys that are split over server-sent events: each field's texts are joined and masked together."""
    lines = text.split("\n")
    values: dict[int, Any] = {}
    places: defaultdict[tuple[object, ...], list[tuple[int, Any, Any]]] = defaultdict(list)
    for number, line in enumerate(lines):
        if line.startswith("data:"):
            try:
                check_depth(line)
                values[number] = msgspec.json.decode(line[5:].encode("utf-8", "replace"))
            except ValueError:
                continue
            for path, holder, name in _texts(values[number], ()):
                places[path].append((number, holder, name))
    changed = set()
    for some in places.values():
        texts = [holder[name] for _, holder, name in some]
        if len(set(texts)) == 1:  # an id or a name that each event repeats
            continue
        joined = "".join(texts)
        masked = _masked_text(joined, key, whole=whole)
        if masked != joined:
            for index, (number, holder, name) in enumerate(some):
                holder[name] = "" if index else masked
                changed.add(number)
    for number in changed:
        lines[number] = "data: " + msgspec.json.encode(values[number]).decode()
    return "\n".join(lines)


def _texts(value: Any, path: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], Any, Any]]:
    """Yield the path, the container and the name of each text in a JSON value."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for name, one in items:
        # Elements of a list are parts of the same text if their `index` is equal, wherever they are in it.
        index = one.get("index", name) if isinstance(value, list) and isinstance(one, dict) else name
        step = index if isinstance(index, int | str) else name
        if isinstance(one, str):
            yield (*path, step), value, name
        else:
            yield from _texts(one, (*path, step))

"""Messages from the forwarding process to the recording process, MessagePack arrays with a length in front, and the
masking of the caller's key in them.

The recording process answers with JSON lines: `{"ready": true}` once, `{"ended": EXCHANGE, "line": TEXT}` when an
exchange is in the log, and `{"finished": true}` last, when everything is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec

from playground.client.chunks import is_done
from playground.client.content_coding import Decompressor
from playground.client.credentials import credentials, stored_headers
from playground.client.endpoint import Endpoint
from playground.client.errors import MAX_BODY_CHARS
from playground.client.key_stream import open_end
from playground.client.redact import MASK, PIECE_CHARS, key_forms, key_search, mask_key, redact
from playground.client.stream_masking import StreamMasker
from playground.prompt.secret_values import masked_address
from playground.recorder.proxy import ExchangeOutcome
from playground.recorder.wire import RawHeaders

LENGTH_BYTES = 4
MAX_EXCHANGE_BYTES = 2 * 1024 * 1024
"""Size above which an exchange is not spooled: while it is searched for keys, others wait for the interpreter."""


class TooLargeError(Exception):
    """The exchange is not spooled."""


class Setup(msgspec.Struct, array_like=True, tag=0):
    """The first message.

    Attributes:
        key: the key that the Recorder adds, which is masked like the caller's.
        replayed: exchanges whose messages an earlier recording process had received before it died.
        spool: the id of the forwarding process's spool; empty: it has none.
    """

    folder: str
    endpoint: Endpoint
    key: str | None
    replayed: list[str] = []
    spool: str = ""


class Begin(msgspec.Struct, array_like=True, tag=1):
    """A request's head. `exchange` becomes the run_id. Later times are seconds since `started_unix`."""

    exchange: str
    started_unix: float
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]


class RequestData(msgspec.Struct, array_like=True, tag=2):
    exchange: str
    data: bytes


class RequestEnd(msgspec.Struct, array_like=True, tag=3):
    exchange: str


class ResponseStart(msgspec.Struct, array_like=True, tag=4):
    exchange: str
    at: float
    status: int
    headers: list[tuple[bytes, bytes]]


class ResponseData(msgspec.Struct, array_like=True, tag=5):
    """A piece of the response body, without the framing of HTTP."""

    exchange: str
    at: float
    data: bytes


class End(msgspec.Struct, array_like=True, tag=6):
    exchange: str
    at: float
    outcome: ExchangeOutcome
    detail: str


class Closed(msgspec.Struct, array_like=True, tag=7):
    """The last message, unless the forwarding process was killed."""


ExchangeMessage: TypeAlias = Begin | RequestData | RequestEnd | ResponseStart | ResponseData | End
Message: TypeAlias = Setup | ExchangeMessage | Closed

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def frame(message: Message) -> bytes:
    """Return a message with its length."""
    data = _encoder.encode(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class MessageReader:
    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that `data` completes."""
        self._received += data
        received, offset = bytes(self._received), 0
        while len(received) - offset >= LENGTH_BYTES:
            start = offset + LENGTH_BYTES
            end = start + int.from_bytes(received[offset:start], "big")
            if end > len(received):
                break
            yield _decoder.decode(memoryview(received)[start:end])
            offset = end
        del self._received[:offset]


_ANY_BYTES = ("utf-8", "surrogateescape")


def caller_credentials(target: str, headers: RawHeaders, added: str | None = None, body: bytes = b"") -> str | None:
    """Return every credential of a recorded request, one per line, for `redact`. `added`: the Recorder's key."""
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    return credentials(target, texts, added, body)


def encoding_of(headers: RawHeaders) -> str:
    """Return the values of Content-Encoding, separated by commas, or ""."""
    return ", ".join(value.decode("latin-1") for name, value in headers if name.lower() == b"content-encoding")


def masked_exchange(messages: Sequence[ExchangeMessage], key: str | None) -> list[ExchangeMessage]:
    """Return the messages of an exchange with its key masked, bodies decompressed, and no request headers.

    Args:
        key: the key that the Recorder adds, if it does; the caller's credentials are masked in any case.

    Raises TooLargeError if a decompressed body has more than MAX_EXCHANGE_BYTES.
    """
    begin = next(message for message in messages if isinstance(message, Begin))
    request = Decompressor(encoding_of(begin.headers))
    body = b"".join(request.feed(message.data) for message in messages if isinstance(message, RequestData))
    pieces = [one for one in messages if isinstance(one, ResponseData)]
    head = next((one for one in messages if isinstance(one, ResponseStart)), None)
    response = Decompressor(encoding_of(head.headers) if head is not None else "")
    plain = [(piece, response.feed(piece.data)) for piece in pieces]
    if max(len(body), sum(len(data) for _, data in plain)) > MAX_EXCHANGE_BYTES:
        raise TooLargeError
    key = caller_credentials(begin.target, begin.headers, key, body)
    whole = any(isinstance(message, End) and message.outcome == "complete" for message in messages)
    target = masked_address(redact(begin.target, key))
    found: list[ExchangeMessage] = [Begin(begin.exchange, begin.started_unix, begin.method, target, [])]
    if body:
        found.append(RequestData(begin.exchange, _masked_body(body, key, whole=whole)))
    found += [message for message in messages if isinstance(message, RequestEnd)]
    if head is not None:
        found.append(ResponseStart(head.exchange, head.at, head.status, _masked_fields(head, key)))
    found += _masked_response(plain, key, whole=whole)
    for message in messages:
        if isinstance(message, End):
            outcome = "upstream_cut" if whole and not response.is_whole else message.outcome
            found.append(End(message.exchange, message.at, outcome, redact(message.detail, key)))
    return found


def _masked_fields(head: ResponseStart, key: str | None) -> RawHeaders:
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
    # The pieces that follow are decompressed.
    left_out = "" if Decompressor(encoding_of(head.headers)).unreadable else "content-encoding"
    kept = [(name, value) for name, value in stored_headers(texts, key) if name != left_out]
    # The mask has a character outside Latin-1.
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in kept]


def _masked_response(
    plain: Sequence[tuple[ResponseData, bytes]], key: str | None, *, whole: bool
) -> list[ExchangeMessage]:
    """Return decompressed pieces as they are if they do not have the key, else one with the time of the first."""
    joined = b"".join(data for _, data in plain)
    masked = _masked_body(joined, key, whole=whole, is_response=True)
    if masked != joined:
        return [ResponseData(plain[0][0].exchange, plain[0][0].at, masked)]
    return [ResponseData(piece.exchange, piece.at, data) for piece, data in plain if data]


def _masked_body(body: bytes, key: str | None, *, whole: bool, is_response: bool = False) -> bytes:
    """Return a body with its keys masked. One that is not whole may end within a key, which is masked too."""
    if b"\0" in body:
        body = _masked_wide(body, key)
    text = body.decode(*_ANY_BYTES)
    masked, mask = text, redact
    if is_response and "data:" in text:  # first in pieces: a masked piece would hide that the others belong to it
        masked, mask = _masked_events(text, key), mask_key
    elif is_response:
        masked = StreamMasker(key).masked(text, last=True)
    masked = _masked_text(mask(masked, key), key, whole=whole)
    if is_response:
        # An event that is cut may go on with a key.
        masked = masked if whole else masked[:-MAX_BODY_CHARS] + mask_key(masked[-MAX_BODY_CHARS:], key, PIECE_CHARS)
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
    """Mask a part of a key at the end of a text that is not whole."""
    begin = len(text) if whole else open_end(key_search(key), text)[0]
    return text if begin == len(text) else text[:begin] + MASK


def _masked_events(text: str, key: str | None) -> str:
    """Mask keys that are split over server-sent events. Delayed text comes before the end mark, or at the end."""
    masker = StreamMasker(key)
    lines: list[str] = []
    for line in text.split("\n"):
        if not line.startswith("data:"):
            lines.append(line)
            continue
        data = line[5:].removeprefix(" ")
        if is_done(data):
            lines += [*_rest(masker), line]
        else:
            shown = masker.masked(data)
            lines.append(line if shown == data else f"data: {shown}")
    rest = _rest(masker)
    return "\n".join(lines if not rest else [*lines, *rest])


def _rest(masker: StreamMasker) -> list[str]:
    return [line for data in masker.rest() if data for line in (f"data: {data}", "")]

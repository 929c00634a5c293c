"""Events as bytes and back, exactly: also text that is not valid Unicode."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from playground.client.events import AnyEvent
from playground.requestlog.parts import pack, unpack

_MSGPACK, _JSON = b"m", b"j"
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[AnyEvent]] = msgspec.msgpack.Decoder(list[AnyEvent])


def encode_events(events: Sequence[AnyEvent], level: int = 1) -> bytes:
    """One batch of events. `level` is zlib's, 1 (quick) to 9 (small)."""
    try:
        data = _MSGPACK + _encoder.encode(events)
    except UnicodeEncodeError:
        # Half a surrogate pair at the edge of a delta is no UTF-8; JSON keeps it as an escape.
        data = _JSON + json.dumps(msgspec.to_builtins(events)).encode("ascii")
    return pack(data, level)


def decode_events(blobs: Iterable[bytes]) -> tuple[AnyEvent, ...]:
    """All events of a run's batches, in order."""
    events: list[AnyEvent] = []
    for blob in blobs:
        data = unpack(blob)
        if data[:1] == _JSON:
            events += msgspec.convert(json.loads(data[1:]), list[AnyEvent])
        else:
            events += _decoder.decode(data[1:])
    return tuple(events)


def column_text(text: str) -> str:
    """Text as a column and the search can hold it; what cannot be is U+FFFD. The exact text is in the events."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""Events as bytes and back: also text that is not valid Unicode."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence

import msgspec

from playground.client.events import AnyEvent
from playground.requestlog.parts import unpack
from playground.requestlog.stream import Block, of_blocks, to_blocks

_MSGPACK, _JSON, _BLOCKS = b"m", b"j", b"b"
_PRIMED = b"\x02"
"""Marks what was deflated with _COMMON; `parts` has the other marks."""
_COMMON = (
    b'{"error":{"message":"","type":"","code":null,"request_id":"}}{"id":"chatcmpl-","object":"chat.completion.chunk",'
    b'"created":1,"model":"electron","system_fingerprint":null,"choices":[],"usage":{"prompt_tokens":,'
    b'"completion_tokens":,"total_tokens":,"prompt_tokens_details":{"cached_tokens":}}}"tool_calls":[{"index":0,"id":"'
    b'call_","type":"function","function":{"name":"","arguments":""}}]"logprobs":null,"finish_reason":"stop""choices":[{'
    b'"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}[DONE]text/event-stream; charset=utf-8'
    b"application/json\xa4date\xacMon, 23 Nov 2026 GMT\xa6server\xa7uvicorn\xaacloudflare\xb0strict-transport-security"
    b"\xadcache-control\xa8no-cache\xb1transfer-encoding\xa7chunked\xaaconnection\xaakeep-alive\xabcontent-type"
    b"\xacx-request-id\xacretry-after\x85\xa5event\xa7headers\xa6status\xcc\xc8\xaarequest_id\xd9$\xaccontent_type"
    b"\xb1text/event-stream\xa7headers\x83\xa5event\xa7body_id\xa2id\xa5model\x82\xa5event\xa7attempt\xa7attempt\x01"
    b"\x83\xa5event\xa3raw\xa2at\xcb?\xa4data\x83\xa5event\xa6finish\xa6reason\xa4stop\x83\xa5event\xa5usage\xa5usage"
    b"\x84\xadprompt_tokens\xb1completion_tokens\xactotal_tokens\xadcached_tokens\x82\xa5event\xa9completed\xa2at\xcb?"
    b"\xa8saw_done\xc3"
)
"""What most streams begin and end with, so that a short one is small too. Never changed: older files need it."""
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[AnyEvent]] = msgspec.msgpack.Decoder(list[AnyEvent])
_block_decoder: msgspec.msgpack.Decoder[list[Block]] = msgspec.msgpack.Decoder(list[Block])


def encode_events(events: Sequence[AnyEvent], level: int = 1) -> bytes:
    """One batch of events. `level` is zlib's, 1 (quick) to 9 (small)."""
    try:
        data = _BLOCKS + _encoder.encode(to_blocks(events))
    except UnicodeEncodeError:
        # Half a surrogate pair at the edge of a delta is no UTF-8; JSON keeps it as an escape.
        data = _JSON + json.dumps(msgspec.to_builtins(events)).encode("ascii")
    packer = zlib.compressobj(level, zdict=_COMMON)
    return _PRIMED + packer.compress(data) + packer.flush()


def decode_events(blobs: Iterable[bytes]) -> tuple[AnyEvent, ...]:
    """All events of a run's batches, in order."""
    events: list[AnyEvent] = []
    for blob in blobs:
        data = _unpack(blob)
        if data[:1] == _BLOCKS:
            events += of_blocks(_block_decoder.decode(data[1:]))
        elif data[:1] == _JSON:
            events += msgspec.convert(json.loads(data[1:]), list[AnyEvent])
        else:  # form 1
            events += _decoder.decode(data[1:])
    return tuple(events)


def _unpack(blob: bytes) -> bytes:
    return zlib.decompressobj(zdict=_COMMON).decompress(blob[1:]) if blob[:1] == _PRIMED else unpack(blob)


def column_text(text: str) -> str:
    """Text as a column and the search can hold it; what cannot be is U+FFFD. The exact text is in the events."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")

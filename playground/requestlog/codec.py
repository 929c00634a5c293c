"""Encoding of events as bytes, including text that is not valid Unicode."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from json.encoder import encode_basestring, encode_basestring_ascii

import msgspec

from playground.client.events import AnyEvent, ContentDelta, RawEvent
from playground.requestlog.blob_store import unpack

_MICRO = 1_000_000
_LEAST_PAIRS = 2


class Block(msgspec.Struct, array_like=True):
    """Some events, then pairs. `at`: microseconds since the previous event."""

    others: list[AnyEvent]
    head: str = ""
    tail: str = ""
    ascii: bool = False
    at: list[int] = msgspec.field(default_factory=list)
    texts: list[str] = msgspec.field(default_factory=list)


def to_blocks(events: Sequence[AnyEvent]) -> list[Block]:
    """Convert events to blocks."""
    blocks, block, at = [], Block([]), 0
    while at < len(events):
        pairs = _take_pairs(block, events, at) if type(events[at]) is RawEvent else 0
        if pairs:
            blocks.append(block)
            block = Block([])
            at += 2 * pairs
        else:
            block.others.append(events[at])
            at += 1
    return [*blocks, block] if block.others else blocks


def _take_pairs(block: Block, events: Sequence[AnyEvent], at: int) -> int:
    """Add the pairs from here on that match one template to a block. Returns their number."""
    times: list[float] = []
    texts: list[str] = []
    head = tail = ""
    quote = encode_basestring
    for raw, delta in zip(events[at::2], events[at + 1 :: 2], strict=False):
        if type(raw) is not RawEvent or type(delta) is not ContentDelta or raw.at != delta.at:
            break
        if not head:
            head, tail, quote = _template(raw.data, delta.text)
        if not head or raw.data != f"{head}{quote(delta.text)}{tail}":
            break
        times.append(delta.at)
        texts.append(delta.text)
    if len(texts) < _LEAST_PAIRS:
        return 0
    block.head, block.tail, block.ascii, block.texts = head, tail, quote is encode_basestring_ascii, texts
    whole = [round(time * _MICRO) for time in times]
    block.at = [whole[0], *(after - before for before, after in pairwise(whole))]
    return len(texts)


def _template(raw: str, text: str) -> tuple[str, str, Callable[[str], str]]:
    """Return the text around a delta in a stream's raw events, and its quoting; empty if the delta is not in it."""
    for quote in (encode_basestring, encode_basestring_ascii):
        head, found, tail = raw.rpartition(f'"content":{quote(text)}')
        if found:
            return f'{head}"content":', tail, quote
    return "", "", encode_basestring


def of_blocks(blocks: Sequence[Block]) -> Iterator[AnyEvent]:
    """Convert blocks back to events."""
    for block in blocks:
        yield from block.others
        quote = encode_basestring_ascii if block.ascii else encode_basestring
        for micro, text in zip(accumulate(block.at), block.texts, strict=True):
            at = micro / _MICRO
            yield RawEvent(at, f"{block.head}{quote(text)}{block.tail}")
            yield ContentDelta(at, text)


_MSGPACK, _JSON, _BLOCKS = b"m", b"j", b"b"
_PRIMED = b"\x02"
"""Marks data deflated with _COMMON; `parts` has the other marks."""
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
"""Preset dictionary with the usual beginning and end of streams, for short ones. Never change it: old files need it."""
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[AnyEvent]] = msgspec.msgpack.Decoder(list[AnyEvent])
_block_decoder: msgspec.msgpack.Decoder[list[Block]] = msgspec.msgpack.Decoder(list[Block])


def encode_events(events: Sequence[AnyEvent], level: int = 1) -> bytes:
    """Encode one batch of events. `level` is zlib's, 1 (fast) to 9 (small)."""
    try:
        data = _BLOCKS + _encoder.encode(to_blocks(events))
    except UnicodeEncodeError:
        # Half a surrogate pair at the edge of a delta is not valid UTF-8; JSON stores it as an escape.
        data = _JSON + json.dumps(msgspec.to_builtins(events)).encode("ascii")
    packer = zlib.compressobj(level, zdict=_COMMON)
    return _PRIMED + packer.compress(data) + packer.flush()


def decode_events(blobs: Iterable[bytes]) -> tuple[AnyEvent, ...]:
    """Decode all events of a run's batches, in order."""
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
    """Replace characters that a column cannot hold by U+FFFD. The exact text is in the events."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")

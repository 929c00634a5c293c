"""Encoding of events as bytes, including text that is not valid Unicode."""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from json.encoder import encode_basestring, encode_basestring_ascii
from math import floor
from operator import sub
from typing import TypeVar

import msgspec

from playground.client.events import AnyEvent, ContentDelta, RawEvent
from playground.requestlog.blob_store import unpack
from playground.runs.state import RunState, fold

T = TypeVar("T", str, float)
_MICRO = 1_000_000
_LEAST_PAIRS = 2
_COMPARED = 512
"""Events that are compared with a template at once: an even number."""


class Block(msgspec.Struct, array_like=True):
    """Some events, then pairs. `at`: microseconds since the previous event."""

    others: list[AnyEvent]
    head: str = ""
    tail: str = ""
    ascii: bool = False
    at: list[int] = msgspec.field(default_factory=list)
    texts: list[str] = msgspec.field(default_factory=list)


class Stream(msgspec.Struct, array_like=True):
    """A Block whose pairs' texts are a part of the answer, which is stored elsewhere.

    `first`, `at`: microseconds, as in Block; `at` are byte planes of integers with `width` bytes. `start`: offset of
    the texts in the answer; -1: they are in `texts`.
    """

    others: list[AnyEvent]
    head: str = ""
    tail: str = ""
    ascii: bool = False
    first: int = 0
    width: int = 0
    at: bytes | list[int] = b""
    start: int = -1
    lengths: bytes | list[int] = b""
    texts: list[str] = msgspec.field(default_factory=list)


_TYPES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _stream(block: Block, answer: str) -> Stream:
    made = Stream(block.others, block.head, block.tail, block.ascii)
    if not block.texts:
        return made
    made.first, later = block.at[0], block.at[1:]
    longest = max(later, default=0)
    made.width = next((width for width in _TYPES if longest < 1 << 8 * width), 0)
    try:
        made.at = _planes(array(_TYPES[made.width], later), made.width)
    except (LookupError, OverflowError):  # longer than eight bytes, or negative
        made.at = later
    made.start = answer.find("".join(block.texts))
    if made.start < 0:
        made.texts = block.texts
    else:
        lengths = list(map(len, block.texts))
        made.lengths = bytes(lengths) if max(lengths) < 256 else lengths
    return made


def _planes(values: array[int], width: int) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    data = values.tobytes()
    return b"".join(data[plane::width] for plane in range(width))


def _of_planes(data: bytes, width: int) -> list[int]:
    count = len(data) // width
    mixed = bytearray(len(data))
    for plane in range(width):
        mixed[plane::width] = data[plane * count : (plane + 1) * count]
    values = array(_TYPES[width], bytes(mixed))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def _of_stream(stream: Stream, answer: str) -> Iterator[AnyEvent]:
    """Yield the events of a Stream. Raises ValueError if the answer is shorter than its texts."""
    yield from stream.others
    texts: Iterable[str] = stream.texts
    count = len(stream.texts)
    if stream.start >= 0:
        count = len(stream.lengths)
        if stream.start + sum(stream.lengths) > len(answer):
            raise ValueError("the answer is shorter than its pieces")
        ends = accumulate(stream.lengths, initial=stream.start)
        texts = (answer[start:end] for start, end in pairwise(ends))
    if count:
        later = _of_planes(stream.at, stream.width) if isinstance(stream.at, bytes) and stream.width else stream.at
        if len(later) + 1 != count:
            raise ValueError("not one time per text")
        yield from _of_pairs(stream.head, stream.tail, stream.ascii, accumulate(later, initial=stream.first), texts)


def to_blocks(events: Sequence[AnyEvent]) -> list[Block]:
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
    delta = events[at + 1] if at + 1 < len(events) else None
    if type(delta) is not ContentDelta:
        return 0
    head, tail, quote = _template(events[at].data, delta.text)  # type: ignore[union-attr]  # the caller saw a RawEvent
    if not head:
        return 0
    times: list[float] = []
    texts: list[str] = []
    for first in range(at, len(events), _COMPARED):  # in parts, since few pairs may follow, and many events
        raws, deltas = _leading_pairs(events[first : first + _COMPARED])
        some, lines = [delta.text for delta in deltas], [raw.data for raw in raws]
        at_raw, at_delta = [raw.at for raw in raws], [delta.at for delta in deltas]
        count = _equal(at_raw, at_delta)
        if not _are_quoted(lines, some, head, tail, quote):
            count = min(count, _equal(lines, [f"{head}{quoted}{tail}" for quoted in map(quote, some)]))
        texts += some[:count]
        times += at_raw[:count]
        if count < _COMPARED // 2:
            break
    if len(texts) < _LEAST_PAIRS:
        return 0
    block.head, block.tail, block.ascii, block.texts = head, tail, quote is encode_basestring_ascii, texts
    whole = [floor(time * _MICRO + 0.5) for time in times]
    block.at = [whole[0], *map(sub, whole[1:], whole)]
    return len(texts)


def _leading_pairs(events: Sequence[AnyEvent]) -> tuple[list[RawEvent], list[ContentDelta]]:
    """Return the pairs of a raw event and its delta with which these events begin."""
    kinds = list(map(type, events))
    count = kinds.count(ContentDelta)
    if kinds[: 2 * count] != [RawEvent, ContentDelta] * count:
        wanted = zip(kinds[::2], kinds[1::2], strict=False)
        others = (place for place, pair in enumerate(wanted) if pair != (RawEvent, ContentDelta))
        count = next(others, len(kinds) // 2)
    return events[: 2 * count : 2], events[1 : 2 * count : 2]  # type: ignore[return-value]  # of these classes


_LINE, _TEXT = "\0", "\x7f"
"""Separators that JSON escapes, and does not escape."""


def _are_quoted(lines: list[str], texts: list[str], head: str, tail: str, quote: Callable[[str], str]) -> bool:
    """Return whether each line is certainly the quoted text with `head` and `tail`: one comparison for all of them."""
    joined = _TEXT.join(texts)
    if joined.count(_TEXT) != len(texts) - 1 or _LINE in head or _LINE in tail:
        return False
    between = f'"{tail}{_LINE}{head}"'
    return _LINE.join(lines) == f"{head}{quote(joined).replace(_TEXT, between)}{tail}"


def _equal(left: list[T], right: list[T]) -> int:
    """Return the number of equal items at the beginning of two lists of the same length."""
    return len(left) if left == right else next(n for n, (a, b) in enumerate(zip(left, right, strict=True)) if a != b)


def _template(raw: str, text: str) -> tuple[str, str, Callable[[str], str]]:
    """Return the text around a delta in a stream's raw events, and its quoting; empty if the delta is not in it."""
    for field in ('"content":', '"content": '):
        for quote in (encode_basestring, encode_basestring_ascii):
            head, found, tail = raw.rpartition(f"{field}{quote(text)}")
            if found:
                return f"{head}{field}", tail, quote
    return "", "", encode_basestring


def of_blocks(blocks: Sequence[Block]) -> Iterator[AnyEvent]:
    for block in blocks:
        yield from block.others
        yield from _of_pairs(block.head, block.tail, block.ascii, accumulate(block.at), block.texts)


def _of_pairs(
    head: str, tail: str, is_ascii: bool, micros: Iterable[int], texts: Iterable[str]
) -> Iterator[RawEvent | ContentDelta]:
    quote = encode_basestring_ascii if is_ascii else encode_basestring
    for micro, text in zip(micros, texts, strict=True):
        at = micro / _MICRO
        yield RawEvent(at, f"{head}{quote(text)}{tail}")
        yield ContentDelta(at, text)


_JSON, _BLOCKS = b"j", b"b"
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


def encode_events(events: Sequence[AnyEvent]) -> bytes:
    """Encode one batch of events, at the fastest level of zlib."""
    try:
        data = _BLOCKS + _encoder.encode(to_blocks(events))
    except UnicodeEncodeError:
        # Half a surrogate pair at the edge of a delta is not valid UTF-8; JSON stores it as an escape.
        data = _JSON + json.dumps(msgspec.to_builtins(events)).encode("ascii")
    packer = zlib.compressobj(1, zdict=_COMMON)
    return _PRIMED + packer.compress(data) + packer.flush()


_STREAM = b"\x04"
"""First byte of the events of an ended run: then a CRC-32, Streams deflated with _COMMON_STREAM and its ids, and since
0.1.0 of 2026-11-30 the answer's CRC-32, which earlier versions ignore."""
_COMMON_STREAM = (
    b'{"error": {"message": "", "type": "invalid_request_error", "param": null, "code": null, "status": }}'
    b'{"error":{"message":"","type":"","param":null,"code":"rate_limit_exceeded"}}"tool_calls":[{"index":0,"id":"call_'
    b'","type":"function","function":{"name":"","arguments":""}}]"reasoning_content":"logprobs":{"content":[{"token":"'
    b'","bytes":[],"top_logprobs":[]}]}\xa7trouble\x8d\xa4kind\xa4http\xa5title\xb1Too many requests\xa6detail\xa0'
    b"\xa6advice\xa0\xa6status\xcd\x01\xad\xaaerror_type\xc0\xa7details\x90\xafbody_request_id\xc0\xadretry_after_s"
    b"\xc0\xa4body\xd9\xa4code\xc0\xaecontext_length\xc0\xa5stale\xc2\xaarequest_id\xd9$\x83\xa5event\xa6failed\xa2at"
    b"\x83\xa5event\xa7stopped\xa2at\xcb?\x92\xb0content-encoding\xa4gzip\x92\xaeaccept-encoding\x92\xa3via"
    b"\x92\xb9strict-transport-security\xd9,max-age=31536000; includeSubDomains; preload\x92\xaacf-ray"
    b"\x92\xb3openai-organization\x92\xb4openai-processing-ms\x92\xacopenai-version\xaa2020-10-01\x92\xa4vary\xa6Origin"
    b"\x92\xb6x-content-type-options\xa7nosniff\x92\xbbx-ratelimit-limit-requests\x92\xb9x-ratelimit-limit-tokens"
    b"\x92\xbex-ratelimit-remaining-requests\x92\xbcx-ratelimit-remaining-tokens\x92\xbax-ratelimit-reset-requests"
    b'\x92\xb8x-ratelimit-reset-tokens\x92\xafcf-cache-status\xa7DYNAMIC\x92\xa7alt-svc\xb3h3=":443"; ma=86400'
    b"\x92\xabretry-after\x92\xaecontent-length\x92\xacaccess-control\x92\xacx-request-id\xd9$\x92\xb1transfer-encoding"
    b"\xa7chunked\x92\xaaconnection\xaakeep-alive\x92\xacx-request-id\xd9$\x92\xadcache-control\xa8no-cache\x92"
    b"\xa6server\xaacloudflare\x92\xa6server\xbaPython/3.11 aiohttp/3.14.5\x92\xa6server\xa7uvicorn\xa9connect_s\xcb?p"
    b'\xa4data\xd9\xdb{"id": "chatcmpl-", "object": "chat.completion.chunk", "created": 17, "model": "electron", '
    b'"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}'
    b'{"id": "chatcmpl-", "object": "chat.completion.chunk", "created": 17, "model": "electron", "choices": [], "usage"'
    b': {"prompt_tokens": , "completion_tokens": , "total_tokens": , "prompt_tokens_details": {"cached_tokens": 0}}}'
    b'","system_fingerprint":"fp_","service_tier":"default","choices":[],"usage":{"prompt_tokens":,"completion_tokens":,'
    b'"total_tokens":,"prompt_tokens_details":{"cached_tokens":}}}"choices":[{"index":0,"delta":{"role":"assistant",'
    b'"content":"","refusal":null},"logprobs":null,"finish_reason":null}]}\xa4data\xa6[DONE]"choices":[{"index":0,"delta":'
    b'{},"finish_reason":"length"}]}"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    b"\x91\x96\x92\x9a\x93\x9a\x93\x83\xa5event\xa7attempt\xa2at\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa7attempt\x01"
    b"\x87\xa5event\xa7headers\xa2at\xcb?\xa6status\xcd\x01\xf4\xa6status\xcd\x01\xad\xa6status\xcc\xc8\xaarequest_id"
    b"\xd9$\xaccontent_type\xb0application/json\xaccontent_type\xb1text/event-stream\xa7headers\x96\x92\xa4date\xbd"
    b"Mon, Tue, Wed, Thu, Fri, Sat, Sun, 01 Jan 2026 GMT\xa7headers\x96\x92\xa4date\xbdMon, 23 Nov 2026 14:02:11 GMT"
    b"\x92\xaccontent-type\xb1text/event-stream\x92\xaccontent-type\xd9\x1ftext/event-stream; charset=utf-8\x92\xb1"
    b"transfer-encoding\xa7chunked\x92\xacx-request-id\xd9$\x92\xadcache-control\xa8no-cache\x92\xa6server\xa7uvicorn"
    b"\xa9connect_s\xc0\x84\xa5event\xa7body_id\xa2at\xcb?\xa2id\xd9-chatcmpl-\xa5model\xa8electron\xa5model\xc0"
    b'\xd9\xa8{"id":"chatcmpl-","object":"chat.completion.chunk","created":17,"model":"electron","choices":[{"index":0,'
    b'"delta":{"content":\xb9},"finish_reason":null}]}\xc2\xce\x00\x02\xc4\x00\xc4\xa0\x90\x9a\x93\x83\xa5event\xa6finish'
    b"\xa2at\xcb?\xa6reason\xa6length\xa2at\xcb?\xa6reason\xa4stop\x83\xa5event\xa5usage\xa2at\xcb?\xa5usage\x84"
    b"\xadprompt_tokens\xcd\xb1completion_tokens\xactotal_tokens\xcd\xadcached_tokens\xc0\xadcached_tokens\xcd"
    b"\x82\xa5event\xa9completed\x83\xa5event\xa9completed\xa2at\xcb?\xa8saw_done\xc3\xa0\xa0\xc2\x00\x00\xc4\x00\xff"
    b"\xc4\x00\x90"
)
"""Preset dictionary: what servers and this program write around an answer. Never change it: files need it."""
_stream_decoder: msgspec.msgpack.Decoder[list[Stream]] = msgspec.msgpack.Decoder(list[Stream])
_LEVEL, _SMALL_WINDOW, _WINDOW, _MEMORY = 4, -13, -15, 6
_CRC_BYTES = 4
_STREAM_HEAD = 1 + _CRC_BYTES
_BLOCK_TYPE = 0b110
"""Bits of deflate's first byte; 0: the first block is not compressed."""
_PACKED_LATER = 16_384
"""Maximum size in bytes of events that stay uncompressed until their run's block is indexed."""


def fold_blocks(blocks: Iterable[Block]) -> RunState:
    """Return the state after the events of these blocks, without the raw events of pairs, which no figure needs."""
    state = RunState()
    for block in blocks:
        fold(block.others, state)
        if block.texts:
            for micro, text in ((block.at[0], block.texts[0]), (sum(block.at), "".join(block.texts[1:]))):
                state.apply(ContentDelta(micro / _MICRO, text))
    return state


def encode_ended(blocks: Sequence[Block], answer: str, ids: str) -> bytes:
    """Encode the events of an ended run; `decode_ended` needs the same answer and ids.

    Short data is deflated without compression, which `packed_ended` does later.
    """
    try:
        data = _encoder.encode([_stream(block, answer) for block in blocks])
    except UnicodeEncodeError:
        return encode_events(list(of_blocks(blocks)))
    deflated = _deflated(data, ids) if len(data) > _PACKED_LATER else zlib.compress(data, 0, _WINDOW)
    return _STREAM + _crc(data) + deflated + _crc_of_text(answer)


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CRC_BYTES, "little")


def _crc_of_text(text: str) -> bytes:
    return _crc(text.encode("utf-8", "surrogatepass"))


def packed_ended(blob: bytes, ids: str) -> bytes | None:
    """Return the shortest form of a result of `encode_ended`; None if it has this form. Raises zlib.error."""
    if blob[:1] != _STREAM or blob[_STREAM_HEAD] & _BLOCK_TYPE:
        return None
    unpacker = zlib.decompressobj(wbits=_WINDOW)
    data = unpacker.decompress(blob[_STREAM_HEAD:])
    return blob[:_STREAM_HEAD] + _deflated(data, ids) + unpacker.unused_data


def _deflated(data: bytes, ids: str) -> bytes:
    common = _COMMON_STREAM + ids.encode("utf-8", "replace")
    window = _SMALL_WINDOW if len(data) + len(common) <= 1 << -_SMALL_WINDOW else _WINDOW
    packer = zlib.compressobj(_LEVEL, wbits=window, memLevel=_MEMORY, zdict=common)
    return packer.compress(data) + packer.flush()


def decode_ended(blob: bytes, answer: str, ids: str, *, any_answer: bool = False) -> Iterator[AnyEvent]:
    """Yield the events of an ended run. Raises ValueError or zlib.error if they are damaged.

    `any_answer`: also with a damaged answer.
    """
    if blob[:1] != _STREAM:
        yield from decode_events((blob,))
        return
    unpacker = zlib.decompressobj(wbits=_WINDOW, zdict=_COMMON_STREAM + ids.encode("utf-8", "replace"))
    data = unpacker.decompress(blob[_STREAM_HEAD:])
    if _crc(data) != blob[1:_STREAM_HEAD]:
        raise ValueError("damaged events")
    streams = _stream_decoder.decode(data)
    uses_answer = any(stream.start >= 0 for stream in streams)
    if uses_answer and not any_answer and unpacker.unused_data not in (b"", _crc_of_text(answer)):
        raise ValueError("damaged answer")
    for stream in streams:
        yield from _of_stream(stream, answer)


def decode_events(blobs: Iterable[bytes]) -> Iterator[AnyEvent]:
    """Yield all events of a run's batches, in order. Raises ValueError or zlib.error if they are damaged."""
    for blob in blobs:
        data = _unpack(blob)
        if data[:1] == _BLOCKS:
            yield from of_blocks(_block_decoder.decode(data[1:]))
        elif data[:1] == _JSON:
            yield from msgspec.convert(json.loads(data[1:]), list[AnyEvent])
        else:  # form 1, b"m"
            yield from _decoder.decode(data[1:])


def _unpack(blob: bytes) -> bytes:
    return zlib.decompressobj(zdict=_COMMON).decompress(blob[1:]) if blob[:1] == _PRIMED else unpack(blob)

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

from playground import asset
from playground.client.events import AnyEvent, ContentDelta, RawEvent
from playground.requestlog.blob_store import unpack
from playground.runs.state import RunState, fold

T = TypeVar("T", str, float)
_MICRO = 1_000_000
_LEAST_PAIRS = 2
_COMPARED = 512
"""Events that are compared with a template at once: an even number."""


class Block(msgspec.Struct, array_like=True):
    """Some events, then pairs of a raw event and its delta, which one template makes of their texts.

    `head`, `tail`, `ascii`: the template. `at`: microseconds since the previous event.
    """

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
        yield from _of_pairs(stream, accumulate(later, initial=stream.first), texts)


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
    template = _template(events[at].data, delta.text)  # type: ignore[union-attr]  # the caller saw a RawEvent
    if template is None:
        return 0
    head, tail, quote = template.head, template.tail, template.quote
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


class _Template(msgspec.Struct, frozen=True):
    """The text of a raw event around that of its delta, and the function that quotes the latter."""

    head: str
    tail: str
    quote: Callable[[str], str]


def _template(raw: str, text: str) -> _Template | None:
    """Return the template of a raw event; None if the text of the delta is not in it."""
    for field in ('"content":', '"content": '):
        for quote in (encode_basestring, encode_basestring_ascii):
            head, found, tail = raw.rpartition(f"{field}{quote(text)}")
            if found:
                return _Template(f"{head}{field}", tail, quote)
    return None


def of_blocks(blocks: Sequence[Block]) -> Iterator[AnyEvent]:
    for block in blocks:
        yield from block.others
        yield from _of_pairs(block, accumulate(block.at), block.texts)


def _of_pairs(
    template: Block | Stream, micros: Iterable[int], texts: Iterable[str]
) -> Iterator[RawEvent | ContentDelta]:
    quote = encode_basestring_ascii if template.ascii else encode_basestring
    head, tail = template.head, template.tail
    for micro, text in zip(micros, texts, strict=True):
        at = micro / _MICRO
        yield RawEvent(at, f"{head}{quote(text)}{tail}")
        yield ContentDelta(at, text)


_JSON, _BLOCKS = b"j", b"b"
_PRIMED = b"\x02"
"""Marks data deflated with _COMMON; `parts` has the other marks."""
_COMMON = asset("deflate/batch.zdict").read_bytes()
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
_COMMON_STREAM = asset("deflate/stream.zdict").read_bytes()
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

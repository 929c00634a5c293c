"""A streamed answer's events, small: what each piece's raw event repeats is kept once.

A stream is mostly pairs: a raw event, and the piece of text that it carries. Within one stream the raw events differ in
that text alone. So a pair is kept as its time and its text, and what stands around the text in the raw event once. All
comes back as it was, but that a pair's time is kept to the microsecond: a third of the bytes of one to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from json.encoder import encode_basestring, encode_basestring_ascii

import msgspec

from playground.client.events import AnyEvent, ContentDelta, RawEvent

_MICRO = 1_000_000
_LEAST_PAIRS = 2


class Block(msgspec.Struct, array_like=True):
    """Some events, then pairs. `at`: microseconds, each since the one before."""

    others: list[AnyEvent]
    head: str = ""
    tail: str = ""
    ascii: bool = False
    at: list[int] = msgspec.field(default_factory=list)
    texts: list[str] = msgspec.field(default_factory=list)


def to_blocks(events: Sequence[AnyEvent]) -> list[Block]:
    """The events as blocks."""
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
    """Put the pairs that begin here, and which one template makes, into a block. Answers with how many."""
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
    """What stands around the text in a stream's raw events, and how it is quoted there; empty: it is not there."""
    for quote in (encode_basestring, encode_basestring_ascii):
        head, found, tail = raw.rpartition(f'"content":{quote(text)}')
        if found:
            return f'{head}"content":', tail, quote
    return "", "", encode_basestring


def of_blocks(blocks: Sequence[Block]) -> Iterator[AnyEvent]:
    """The events that `to_blocks` was given."""
    for block in blocks:
        yield from block.others
        quote = encode_basestring_ascii if block.ascii else encode_basestring
        for micro, text in zip(accumulate(block.at), block.texts, strict=True):
            at = micro / _MICRO
            yield RawEvent(at, f"{block.head}{quote(text)}{block.tail}")
            yield ContentDelta(at, text)

"""A streamed answer's events, small: what each piece's raw event repeats is kept once. Exact, whatever the events are.

A stream is mostly pairs: a raw event, and the piece of text that it carries. Within one stream the raw events differ in
that text alone. So a pair is kept as its time and its text, and what stands around the text in the raw event once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import msgspec

from playground.client.events import AnyEvent, ContentDelta, RawEvent

_MICRO = 1_000_000
_LEAST_PAIRS = 2


class Block(msgspec.Struct, array_like=True):
    """Some events, then pairs. `at`: microseconds, each since the one before; or seconds, where those are no such."""

    others: list[AnyEvent]
    head: str = ""
    tail: str = ""
    ascii: bool = False
    at: list[int | float] = msgspec.field(default_factory=list)
    texts: list[str] = msgspec.field(default_factory=list)


class _Template:
    """What stands around the text in a stream's raw events."""

    def __init__(self, raw: str, text: str) -> None:
        self.fits = False
        for ascii_only in (False, True):
            quoted = json.dumps(text, ensure_ascii=ascii_only)
            head, found, tail = raw.rpartition(f'"content":{quoted}')
            if found:
                self.head, self.tail, self.ascii = f'{head}"content":', tail, ascii_only
                self.fits = True
                return

    def holds(self, raw: str, text: str) -> bool:
        return raw == f"{self.head}{json.dumps(text, ensure_ascii=self.ascii)}{self.tail}"


def to_blocks(events: Sequence[AnyEvent]) -> list[Block]:
    """The events as blocks."""
    blocks: list[Block] = []
    others: list[AnyEvent] = []
    at = 0
    while at < len(events):
        pairs = _pairs(events, at)
        if len(pairs) < _LEAST_PAIRS:
            others.append(events[at])
            at += 1
            continue
        blocks.append(_block(others, events[at], pairs))
        others = []
        at += 2 * len(pairs)
    return [*blocks, Block(others)] if others else blocks


def _pairs(events: Sequence[AnyEvent], at: int) -> list[ContentDelta]:
    """The texts of the pairs that begin here, and which one template makes."""
    found: list[ContentDelta] = []
    template: _Template | None = None
    for place in range(at, len(events) - 1, 2):
        raw, delta = events[place], events[place + 1]
        if not (isinstance(raw, RawEvent) and isinstance(delta, ContentDelta) and raw.at == delta.at):
            break
        template = template or _Template(raw.data, delta.text)
        if not template.fits or not template.holds(raw.data, delta.text):
            break
        found.append(delta)
    return found


def _block(others: list[AnyEvent], first: AnyEvent, pairs: list[ContentDelta]) -> Block:
    assert isinstance(first, RawEvent)
    template = _Template(first.data, pairs[0].text)
    times = [delta.at for delta in pairs]
    texts = [delta.text for delta in pairs]
    return Block(others, template.head, template.tail, template.ascii, [*(_steps(times) or times)], texts)


def _steps(times: list[float]) -> list[int]:
    """Whole microseconds from each time to the next; empty where a time is not a whole number of them."""
    whole = [round(at * _MICRO) for at in times]
    if any(micro / _MICRO != at for micro, at in zip(whole, times, strict=True)):
        return []
    return [whole[0], *(after - before for before, after in pairwise(whole))]


def of_blocks(blocks: Sequence[Block]) -> Iterator[AnyEvent]:
    """The events that `to_blocks` was given."""
    for block in blocks:
        yield from block.others
        for at, text in zip(_times(block.at), block.texts, strict=True):
            yield RawEvent(at, f"{block.head}{json.dumps(text, ensure_ascii=block.ascii)}{block.tail}")
            yield ContentDelta(at, text)


def _times(at: list[int | float]) -> list[float]:
    # A whole number of seconds is a float all the same where the times were kept as they came.
    if all(isinstance(each, int) for each in at):
        return [micro / _MICRO for micro in accumulate(at)]
    return [float(each) for each in at]

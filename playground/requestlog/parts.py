"""Bodies in parts that are kept once: what one request shares with another is the same bytes in both.

A body is cut twice. First at the ends of the elements of its lists: the earlier messages of a conversation are the same
in every request of it. Then long elements are cut at places that depend on the few bytes there alone, so that a name
in the midst of a long prompt changes one part, and those before and after it are found again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise

import msgspec

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_BETWEEN = re.compile(rb"[ \t\r\n,]*")
_KNOWN_BY = 48
"""Bytes at its start by which a list is found: to look for the whole of a long one takes longer than to read it."""
_COMPRESS_FROM = 512
"""Bytes. Below this zlib saves nothing worth its call."""
_PLAIN, _ZLIB = b"\x00", b"\x01"
_LONG, _SHORTEST = 1024, 256
"""Bytes: an element from which on it is cut again, and the least that such a part is."""
_PLACE = re.compile(
    # Three bytes of which each is one of a class. In Latin scripts: a word's end, a space or line's end, a word's
    # start. The classes' other bytes were drawn until Hindi, Chinese and Arabic, too, are cut every 200 to 300 bytes.
    b"[,.:sy\x81\x8e\x9b\x9e\xa6\xa7\xbf\xc9\xd1\xd2\xd7\xde\xe0\xf9\xfc\xfe]"
    b"[ \x5cn\x87\x8c\x8d\x91\x93\x94\x99\x9e\x9f\xa0\xa7\xaa\xac\xaf\xb0\xb3\xb5\xb8\xb9\xba\xbb\xc0\xc1\xc8\xcb"
    b"\xcf\xd2\xd4\xd8\xdb\xe0\xe8\xe9\xeb\xee\xf3\xf5\xf7\xf9\xfd]"
    b"[bmw\x86\x8c\x8e\x95\x96\x9d\xa1\xa2\xa3\xa7\xb1\xb5\xb7\xba\xbc\xc7\xcf\xd1\xd9\xdc\xe0\xe6\xec\xed\xee\xf0\xf1\xf4"
    b"\xf6\xfa\xfd\xff]"
)


def cut(data: bytes) -> list[bytes]:
    """Cut a body into parts, which joined are `data`, byte for byte. Of nothing: none."""
    return [part for element in elements(data) for part in shorter(element)]


def elements(data: bytes) -> list[bytes]:
    """Cut a JSON object's text at the ends of the elements of its lists (messages, tools). Other bytes stay whole."""
    try:
        places = _places(data)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is what is no UTF-8
        places = []
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def _places(data: bytes) -> list[int]:
    places: set[int] = set()
    for value in _decode_fields(data).values():
        first = bytes(memoryview(value)[:_KNOWN_BY])
        if first[:1] == b"[":
            # Where the same bytes stand before this list, the cut is at another place: no harm, the parts still join.
            _ends(data, data.find(first) + 1, value, places)
    return sorted(place for place in places if place < len(data))


def _ends(data: bytes, at: int, value: msgspec.Raw, places: set[int]) -> None:
    for element in _decode_list(value):
        between = _BETWEEN.match(data, at)
        at = (between.end() if between else at) + len(memoryview(element))
        places.add(at)


def shorter(element: bytes) -> Iterator[bytes]:
    """Cut a long element by its content."""
    start = 0
    if len(element) >= _LONG:
        while found := _PLACE.search(element, start + _SHORTEST, len(element) - _SHORTEST):
            yield element[start : found.end()]
            start = found.end()
    yield element[start:]


def digest(part: bytes) -> bytes:
    """The name that a part is kept under: 16 bytes."""
    return blake2b(part, digest_size=16).digest()


def pack(data: bytes, level: int = 1) -> bytes:
    """One byte that tells the form, then the data, deflated where that is shorter."""
    if len(data) >= _COMPRESS_FROM:
        small = zlib.compress(data, level)
        if len(small) < len(data):
            return _ZLIB + small
    return _PLAIN + data


def unpack(blob: bytes) -> bytes:
    """What `pack` was given."""
    return zlib.decompress(blob[1:]) if blob[:1] == _ZLIB else blob[1:]

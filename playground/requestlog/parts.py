"""Bodies in parts that are kept once: what one request shares with another is the same bytes in both.

A body is cut twice. First at the ends of the elements of its lists: the earlier messages of a conversation are the same
in every request of it. Then long elements are cut at places that depend on the few bytes there alone, so that a name
in the midst of a long prompt changes one part, and those before and after it are found again.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from json.decoder import scanstring  # type: ignore[attr-defined]  # public name, absent from the stubs

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
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
    """Cut a JSON object's text at the elements of its top-level arrays (messages, tools), and long ones again.

    The parts joined are `data`, byte for byte. Anything that is not such JSON is cut by its content alone.
    """
    try:
        text = data.decode("utf-8")
        places = sorted(set(_places(text)))
    except (ValueError, IndexError, RecursionError):
        return list(_by_content(data)) if data else []
    edges = [0, *places, len(text)]
    elements = (text[start:end].encode() for start, end in pairwise(edges) if start < end)
    return [part for element in elements for part in _by_content(element)]


def _by_content(data: bytes) -> Iterator[bytes]:
    start = 0
    if len(data) >= _LONG:
        while found := _PLACE.search(data, start + _SHORTEST, len(data) - _SHORTEST):
            yield data[start : found.end()]
            start = found.end()
    yield data[start:]


def _places(text: str) -> Iterator[int]:
    at = _expect(text, 0, "{")
    while text[at] != "}":
        _, at = scanstring(text, _expect(text, at, '"', skip=False), True)
        at = _expect(text, at, ":")
        if text[at] == "[":
            inside: list[int] = []
            at = _elements(text, at, inside)
            yield from inside
        else:
            _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _elements(text: str, at: int, places: list[int]) -> int:
    at = _expect(text, at, "[")
    while text[at] != "]":
        _, at = _DECODER.raw_decode(text, at)
        places.append(at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, mark: str, skip: bool = True) -> int:
    at = _skip(text, at)
    if text[at] != mark:
        raise ValueError(f"{mark} expected")
    return _skip(text, at + 1) if skip else at + 1


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

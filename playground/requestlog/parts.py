"""Bodies in parts that are kept once: a conversation's earlier messages are the same bytes in every request of it."""

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


def cut(data: bytes) -> list[bytes]:
    """Cut a JSON object's text at the elements of its top-level arrays (messages, tools).

    The parts joined are `data`, byte for byte. Anything that is not such JSON is one part.
    """
    try:
        text = data.decode("utf-8")
        places = sorted(set(_places(text)))
    except (ValueError, IndexError, RecursionError):
        return [data] if data else []
    edges = [0, *places, len(text)]
    return [text[start:end].encode() for start, end in pairwise(edges) if start < end]


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
        places.append(at)
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

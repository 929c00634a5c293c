"""Comparison of a text with the parts of bodies, without joining them or decoding them as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from playground.requestlog.index import fold, readable

_SHORT = 64
"""Bytes. Parts of one string are longer."""
_STRUCTURE = b" \t\r\n{}[],:"
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB]..)\\u([dD][c-fC-F]..)|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_MOST_BYTES = 24
"""Bytes that one folded character can have in JSON: a composed one is up to three characters, escaped, also twice."""
_NESTED = b"\\\\u"
"""Start of an escape in JSON that is a string of JSON, such as the arguments of a tool call."""


def _unescaped(found: re.Match[str]) -> str:
    high, low, code, char = found.groups()
    try:
        if high:
            return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
        return chr(int(code, 16)) if code else _ESCAPED.get(char, char)
    except ValueError:
        return ""


def folded(data: bytes) -> str:
    """Return a piece of JSON, folded, with its escapes as characters."""
    if data.isascii() and b"\\" not in data:
        return data.decode().lower()
    text = data.decode("utf-8", "ignore")
    return fold(_ESCAPE.sub(_unescaped, text) if "\\" in text else text)


_ESCAPABLE = re.compile(r'["\\/\x00-\x1f]')
"""Characters that an escape of two characters can stand for."""


class PartReader(Protocol):
    """Reads a part of a body; satisfied by blob_store.Joiner."""

    def read(self, id_: int, /) -> bytes:
        """Return the bytes of a part."""


class PartScan:
    """Finds a folded text in bodies by their parts. Each part, and each seam between two, is compared once."""

    def __init__(self, reader: PartReader, part: str) -> None:
        self._reader, self._text = reader, part
        self._plain = part.encode() if part.isascii() and not _ESCAPABLE.search(part) else b""
        """The text's bytes, if no character of it needs an escape."""
        self._edges: dict[int, tuple[bytes, bytes]] = {}
        self._seams: set[tuple[int, int]] = set()
        self._possible_seams: set[tuple[int, int]] = set()
        self._possible: set[int] = set()
        """Parts that have the text, or may be inside of it."""
        self.sure: set[int] = set()
        """Parts with the text that are the middle of a matching string."""

    @property
    def size(self) -> int:
        """Return the number of parts that were compared."""
        return len(self._edges)

    def is_absent(self, ids: Sequence[int]) -> bool:
        """Return whether the joined parts do not have the text. False: they may have it."""
        for id_ in set(ids).difference(self._edges):
            self._compare(id_)
        if not self._possible.isdisjoint(ids):
            return False
        for pair in set(pairwise(ids)).difference(self._seams):
            self._compare_seam(pair)
        return not self._possible_seams or self._possible_seams.isdisjoint(pairwise(ids))

    def _compare(self, id_: int) -> None:
        data = self._reader.read(id_)
        plain = data.isascii() and (b"\\" not in data or self._is_bare(data))
        if plain and self._plain:
            length, found = len(data), self._plain in data.lower()
        else:
            text = folded(data)
            length, found = len(text), self._text in text
            if _NESTED in data:
                text = fold(readable(text))
                length, found = min(length, len(text)), found or self._text in text
        # The end of a string, and so a part with a quotation mark, is not inside of the text; nor is the end of a body.
        outside = (b'"' in data and b"\\" not in data) or (len(data) < _SHORT and not data.strip(_STRUCTURE))
        inside = length <= len(self._text) and not outside
        if found or inside:
            self._possible.add(id_)
        near = len(self._text) * (1 if plain else _MOST_BYTES) + (0 if plain else _MOST_BYTES)
        start = max(0, len(data) - near)
        while start and data[start - 1 : start] == b"\\":  # not within an escape
            start -= 1
        self._edges[id_] = data[:near], data[start:]

    def _compare_seam(self, pair: tuple[int, int]) -> None:
        self._seams.add(pair)
        data = self._edges[pair[0]][1] + self._edges[pair[1]][0]
        if data.isascii() and self._is_bare(data):
            found = self._plain in data.lower()
        else:
            text = folded(data)
            found = self._text in text or (_NESTED in data and self._text in fold(readable(text)))
        if found:
            self._possible_seams.add(pair)

    def _is_bare(self, data: bytes) -> bool:
        """Return whether no escape in ASCII data can be a part of the text: it may then be compared without decoding.

        A match that begins within an escape is possible; the whole element is compared later.
        """
        return bool(self._plain) and b"\\u" not in data

    def learn(self, ids: Sequence[int], element: bytes) -> None:
        """Note parts of a matching element in which the text is certainly in a value: those inside of one string."""
        for id_ in self._possible.intersection(ids):
            data = self._reader.read(id_)
            if b'"' not in data and data in element and self._text in folded(data):
                self.sure.add(id_)

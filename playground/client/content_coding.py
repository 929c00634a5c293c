"""Decompression of bodies piece by piece, for this program's own requests and for recorded ones."""

from __future__ import annotations

import zlib
from typing import Any

READ_CODINGS = {"gzip": 47, "x-gzip": 47, "deflate": 15}
"""Content codings that are read, each with the window bits of zlib."""
ACCEPTED = "gzip, deflate"
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Bytes that one piece may unpack to. A larger recorded request is forwarded and not recorded."""
MAX_CODINGS = 4


class Decompressor:
    """Decompresses a body piece by piece, also one with several codings. Other codings than gzip and deflate give
    nothing; `unreadable` then names the first of them.
    """

    def __init__(self, encoding: str) -> None:
        names = [name for one in encoding.lower().split(",") if (name := one.strip()) not in ("", "identity")]
        self.unreadable = next((name for name in names if name not in READ_CODINGS), "")
        if len(names) > MAX_CODINGS:
            self.unreadable = encoding
        # The coding that was applied last is removed first.
        self._steps = [] if self.unreadable else [_Inflater(READ_CODINGS[name]) for name in reversed(names)]

    def feed(self, data: bytes) -> bytes:
        """Return the decompressed bytes that `data` completes. Nothing follows on a piece that is too large."""
        if self.unreadable:
            return b""
        for step in self._steps:
            data = step.feed(data)
        return data

    @property
    def is_whole(self) -> bool:
        """Return whether the compressed data has ended where its own format says: false if it is cut or damaged."""
        return all(step.is_whole for step in self._steps)

    @property
    def failed(self) -> bool:
        """Return whether nothing more can be read."""
        return self.is_damaged or bool(self.unreadable)

    @property
    def is_damaged(self) -> bool:
        """Return whether some of the data cannot be decompressed."""
        return any(step.is_damaged for step in self._steps)


class _Inflater:
    """Removes one coding."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._member: Any = zlib.decompressobj(bits)
        self._begun = False
        self.is_whole = True
        self.is_damaged = False

    def feed(self, data: bytes) -> bytes:
        received, plain = data, bytearray()
        try:
            while data and self._member is not None:
                some = self._member.decompress(data, MAX_BODY_BYTES + 1 - len(plain))
                # What follows a member without being one, such as padding, is not part of the body.
                self.is_whole = self._member.eof or (self.is_whole and self._begun and not some)
                self._begun = True
                plain += some
                data = self._member.unused_data
                if self._member.eof:
                    self._member = zlib.decompressobj(self._bits)  # a body may have several members
                if len(plain) > MAX_BODY_BYTES:
                    self._member, self.is_whole = None, False
        except zlib.error:
            self._member = None
            if self._bits == 15 and not self._begun:
                # Many servers send deflate without the header of zlib, and clients accept it.
                self._bits = -15
                self._member = zlib.decompressobj(self._bits)
                return self.feed(received)
            self.is_whole = self.is_whole and self._begun
            self.is_damaged = not self.is_whole
        return bytes(plain)

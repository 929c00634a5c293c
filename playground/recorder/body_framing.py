"""Finds the end of an HTTP/1.1 message body, so that its bytes can be forwarded unchanged (RFC 9112, section 6)."""

from __future__ import annotations

from typing import Literal

MAX_LINE_BYTES = 65_536
"""Longest line of a chunk's size or of a trailer field."""

_State = Literal["size", "data", "after_data", "trailer", "plain", "until_close"]


class FramingError(Exception):
    """The body is not valid HTTP. The message is a sentence without an end."""


class BodyFramer:
    """Follows one body. `ended` is True after its last byte; `rest` has the bytes received after that.

    Args:
        chunked: whether the body has the chunked transfer coding.
        length: its Content-Length; None if it is chunked, or ends with the connection.
    """

    def __init__(self, *, chunked: bool, length: int | None = None) -> None:
        self.ended = False
        self.rest = b""
        self.until_close = not chunked and length is None
        self._state: _State = "size" if chunked else "until_close" if length is None else "plain"
        self._left = length or 0
        self._line = b""
        if self._state == "plain" and self._left == 0:
            self.ended = True

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`, without the framing. Raises FramingError."""
        if self.ended:
            self.rest += data
            return b""
        if self._state == "until_close":
            return data
        if self._state == "plain":
            return self._plain(data)
        return self._chunks(data)

    def end(self) -> None:
        """Note that the connection was closed. Raises FramingError if the body is incomplete."""
        if not self.ended and not self.until_close:
            raise FramingError("the body is incomplete")
        self.ended = True

    def _plain(self, data: bytes) -> bytes:
        if len(data) < self._left:
            self._left -= len(data)
            return data
        payload, self.rest = data[: self._left], data[self._left :]
        self.ended = True
        return payload

    def _chunks(self, data: bytes) -> bytes:
        pieces = []
        offset, size = 0, len(data)
        while offset < size and not self.ended:
            if self._state == "data":
                piece = data[offset : offset + self._left]
                pieces.append(piece)
                offset += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._state = "after_data"
                continue
            newline = data.find(b"\n", offset)
            if newline < 0:
                self._line += data[offset:]
                if len(self._line) > MAX_LINE_BYTES:
                    raise FramingError("a line of the chunked body is too long")
                break
            line = self._line + data[offset:newline]
            self._line = b""
            offset = newline + 1
            self._take_line(line.removesuffix(b"\r"))
        if self.ended:
            self.rest = data[offset:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._state == "size":
            digits = line.split(b";", 1)[0].strip()
            # int() also accepts signs, spaces and underscores.
            if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
                raise FramingError("a chunk has no valid size")
            self._left = int(digits, 16)
            self._state = "data" if self._left else "trailer"
        elif self._state == "after_data":
            if line:
                raise FramingError("a chunk is longer than its size")
            self._state = "size"
        elif not line:
            self.ended = True

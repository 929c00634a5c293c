"""Server-sent events, framed at byte level: lines end in CR, LF or CRLF and in nothing else.

The standard's other line-like characters (U+2028, U+2029, U+0085, VT, FF) are data; a text decoder that splits at
them breaks JSON. The stream is UTF-8 whatever a header says (WHATWG HTML, 9.2 Server-sent events).
"""

from __future__ import annotations

MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class FrameTooLarge(ValueError):  # noqa: N818 - expected from a broken server
    """One event has more than MAX_EVENT_BYTES."""


class SseFramer:
    """Bytes in, each event's data out. Blocks without a data line yield nothing."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []
        self._held = 0
        self._started = False

    def feed(self, received: bytes) -> list[str]:
        """The data of every event that these bytes complete. Raises FrameTooLarge."""
        self._buffer += received
        if not self._started and not self._begin():
            return []
        events: list[str] = []
        position = 0
        while (found := self._line(position)) is not None:
            line, position = found
            self._take(line, events)
        del self._buffer[:position]
        self._scanned = len(self._buffer) - (1 if self._buffer.endswith(b"\r") else 0)
        if self._held + len(self._buffer) > MAX_EVENT_BYTES:
            raise FrameTooLarge(f"One event has more than {MAX_EVENT_BYTES // 1024 // 1024} MiB.")
        return events

    def _begin(self) -> bool:
        """Drop a byte-order mark, once it is clear whether there is one."""
        head = bytes(self._buffer[:3])
        if len(head) < len(_BOM) and _BOM.startswith(head):
            return False
        if head == _BOM:
            del self._buffer[:3]
        self._started = True
        return True

    def _line(self, position: int) -> tuple[bytes, int] | None:
        """The line at `position` and where the next begins; None where it is not complete yet."""
        buffer = self._buffer
        start = max(position, self._scanned)
        feed = buffer.find(b"\n", start)
        stop = buffer.find(b"\r", start, feed if feed >= 0 else len(buffer))
        if stop < 0:
            return None if feed < 0 else (bytes(buffer[position:feed]), feed + 1)
        if stop + 1 == len(buffer):
            return None  # a LF may follow
        return bytes(buffer[position:stop]), stop + (2 if buffer[stop + 1] == 0x0A else 1)

    def _take(self, line: bytes, events: list[str]) -> None:
        self._scanned = 0
        if not line:
            if self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
            self._data, self._held = [], 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._held += len(value) + 1
            if self._held > MAX_EVENT_BYTES:
                raise FrameTooLarge(f"One event has more than {MAX_EVENT_BYTES // 1024 // 1024} MiB.")

    def eof(self) -> list[str]:
        """The stream ended: the event that a last line end completes. What is cut in the middle stays in `rest`."""
        events: list[str] = []
        if self._buffer.endswith(b"\r"):
            line = bytes(self._buffer[:-1])
            self._buffer.clear()
            self._take(line, events)
        return events

    @property
    def rest(self) -> str:
        """What came after the last whole event."""
        held = b"".join(piece + b"\n" for piece in self._data)
        return (held + bytes(self._buffer)).decode("utf-8", "replace")

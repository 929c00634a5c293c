"""Server-sent events, framed at byte level: lines end in CR, LF or CRLF and in nothing else.

The standard's other line-like characters (U+2028, U+2029, U+0085, VT, FF) are data; a text decoder that splits at
them breaks JSON. The stream is UTF-8 whatever a header says (WHATWG HTML, 9.2 Server-sent events).
"""

from __future__ import annotations

import re

MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n?|\n")
_USUAL = b"data: "
_LF, _CR = b"\n\r"


class FrameTooLarge(ValueError):  # noqa: N818 - expected from a broken server
    """One event has more bytes than the framer takes."""


class SseFramer:
    """Bytes in, each event's data out, as soon as its last byte is there. Blocks without a data line yield nothing.

    `limit` is the most bytes that one event, or one line of any kind, may have.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._held = 0
        self._head: bytes | None = b""
        self._after_cr = False

    def feed(self, received: bytes) -> list[str]:
        """The data of every event that these bytes complete. Raises FrameTooLarge."""
        if self._head is not None:
            received = self._without_bom(received)
        if self._after_cr and received:
            # The LF of a CRLF that was cut in two: its CR has ended the line already.
            self._after_cr = False
            received = received.removeprefix(b"\n")
        events: list[str] = []
        usual = len(received) <= self._limit and _CR not in received
        start = self._usual(received, 0, events) if usual else 0
        while start < len(received) and (end := _LINE_END.search(received, start)):
            self._take(received[start : end.start()], events)
            start = end.end()
            if usual:
                start = self._usual(received, start, events)
        self._after_cr = self._after_cr or received.endswith(b"\r")
        if start < len(received):
            self._line += received[start:]
            self._check(len(self._line))
        return events

    def _usual(self, received: bytes, start: int, events: list[str]) -> int:
        """Take the events from `start` on that are one `data: ` line and an empty one, which is what servers send.

        Tells where they end. It knows LF only, and no limit: that is for who calls.
        """
        if self._line or self._data:
            return start  # in the middle of an event
        last = len(received) - 1
        while received.startswith(_USUAL, start):
            end = received.find(_LF, start)
            if not 0 <= end < last or received[end + 1] != _LF:
                break
            events.append(received[start + len(_USUAL) : end].decode("utf-8", "replace"))
            start = end + 2
        return start

    def _without_bom(self, received: bytes) -> bytes:
        """Bytes are held back at the start until it is clear whether they are a byte-order mark."""
        if self._head is None:
            return received
        head = self._head + received
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _take(self, end_of_line: bytes, events: list[str]) -> None:
        line = bytes(self._line) + end_of_line if self._line else end_of_line
        self._line.clear()
        if not line:
            if self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
            self._data, self._held = [], 0
            return
        self._check(len(line))
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._held += len(value) + 1

    def _check(self, more: int) -> None:
        if self._held + more > self._limit:
            raise FrameTooLarge(f"One event has more than {self._limit // 1024 // 1024} MiB.")

    @property
    def rest(self) -> str:
        """What has come after the last whole event: its data so far, and the line that is not ended yet.

        At the end of a stream this is what the standard drops: an event that no empty line has ended.
        """
        line = (self._head or b"") + bytes(self._line)
        return b"\n".join([*self._data, line]).decode("utf-8", "replace")

"""Framing of server-sent events at byte level: lines end in CR, LF or CRLF only.

The standard's other line-like characters (U+2028, U+2029, U+0085, VT, FF) are data; a text decoder that splits at
them breaks JSON. The stream is UTF-8 whatever a header says (WHATWG HTML, 9.2 Server-sent events).
"""

from __future__ import annotations

import re

from msgspec import Struct

MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n?|\n")
_USUAL = b"data: "
_LF, _CR = b"\n\r"


JSON_LINES = "\njson"
"""Name for a block of lines that is not a server-sent event but may be JSON. No event can have this name."""
_KNOWN_FIELDS = (b"id", b"retry", b"")


class ResponseLimits(Struct, frozen=True):
    """Bounds on one response. Above one, the response fails; the received text stays.

    The defaults hold an answer of 32,768 tokens with 20 alternatives for each.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_events: int = 200_000


DEFAULT_LIMITS = ResponseLimits()


class FrameTooLarge(ValueError):  # noqa: N818 - expected from a broken server
    """One event has more bytes than the framer takes."""


class NamedData(str):
    """An event's data together with the event's name.

    `name`: the `event` field; "error" for llama.cpp's field `error:` instead of `data:`; JSON_LINES for lines outside
    any field that begin like JSON. `stray`: such lines after the data, which the standard ignores.
    """

    __slots__ = ("name", "stray")
    name: str
    stray: str

    def __new__(cls, data: str, name: str = "", stray: str = "") -> NamedData:
        named = super().__new__(cls, data)
        named.name, named.stray = name, stray
        return named


class SseFramer:
    """Turns bytes into the data of each event, as soon as its last byte has come. Events without data yield nothing.

    An event with a name yields NamedData, every other one a plain str. `limit`: the maximum number of bytes of one
    event, or of one line of any kind.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._stray: list[bytes] = []
        self._name = b""
        self._held = 0
        self._head: bytes | None = b""
        self._after_cr = False

    def feed(self, received: bytes) -> list[str]:
        """Return the data of every event that these bytes complete. Raises FrameTooLarge."""
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

    def end(self) -> list[str]:
        """Return the data of an event that the end of the stream has cut off before its empty line.

        The standard drops it; the caller must check whether it is complete.
        """
        events: list[str] = []
        if self._head:
            self._line += self._head
        self._head = None
        if self._line:
            self._take(b"", events)
        self._take(b"", events)
        return events

    def _usual(self, received: bytes, start: int, events: list[str]) -> int:
        """Take the events from `start` on that have the usual form: one `data: ` line and an empty one.

        Returns their end. Supports LF only and checks no limit: both are up to the caller.
        """
        if self._line or self._data or self._name or self._stray:
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
        """Remove a byte-order mark; hold back the first bytes until they are known to be one or not."""
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
            self._end_event(events)
            return
        self._check(len(line))
        name, _, value = line.partition(b":")
        if name == b"data" or name == b"error":
            value = value.removeprefix(b" ")
            if self._data and self._begins_event(value):
                self._end_event(events)
            self._data.append(value)
            self._held += len(value) + 1
            if name == b"error":
                self._name = name
        elif name == b"event":
            self._name = value.strip()
        elif name not in _KNOWN_FIELDS and (self._stray or self._data or line.lstrip()[:1] in (b"{", b"[")):
            self._stray.append(line)
            self._held += len(line) + 1

    def _begins_event(self, value: bytes) -> bool:
        """Return whether a data line begins an event although no empty line ended the previous one.

        Some servers send one line per event. Two objects one after the other are not JSON, so no event is divided.
        """
        ended = self._data[0][:1] == b"{" and self._data[-1].rstrip()[-1:] == b"}"
        return ended and (value[:1] == b"{" or value.strip() == b"[DONE]")

    def _end_event(self, events: list[str]) -> None:
        name, stray = self._name, b"\n".join(self._stray)
        if self._data or name == b"error":
            data = b"\n".join(self._data).decode("utf-8", "replace")
            if stray or name not in (b"", b"message"):
                data = NamedData(data, name.decode("utf-8", "replace"), stray.decode("utf-8", "replace"))
            events.append(data)
        elif stray:
            events.append(NamedData(stray.decode("utf-8", "replace"), JSON_LINES))
        self._data, self._stray, self._name, self._held = [], [], b"", 0

    def _check(self, more: int) -> None:
        if self._held + more > self._limit:
            raise FrameTooLarge(f"One event has more than {self._limit // 1024 // 1024} MiB.")

    @property
    def rest(self) -> str:
        """The received part of an event that is not complete: its data so far and its unfinished line."""
        line = (self._head or b"") + bytes(self._line)
        return b"\n".join([*self._data, *self._stray, line]).decode("utf-8", "replace")

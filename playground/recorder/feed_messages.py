"""Messages from the forwarding process to the recording process: MessagePack arrays with a length in front.

The recording process answers with JSON lines: `{"ready": true}` once, `{"ended": EXCHANGE, "line": TEXT}` when an
exchange is in the log, and `{"finished": true}` last, when everything is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from playground.client.endpoint import Endpoint
from playground.recorder.proxy import Outcome

LENGTH_BYTES = 4


class Setup(msgspec.Struct, array_like=True, tag=0):
    """The first message.

    Attributes:
        key: the key that the Recorder adds, which is masked like the caller's.
        replayed: exchanges whose messages an earlier recording process had received before it died.
        spool: the id of the forwarding process's spool; empty: it has none.
    """

    folder: str
    endpoint: Endpoint
    key: str | None
    replayed: list[str] = []
    spool: str = ""


class Begin(msgspec.Struct, array_like=True, tag=1):
    """A request's head. `exchange` becomes the run_id. Later times are seconds since `started_unix`."""

    exchange: str
    started_unix: float
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]


class RequestData(msgspec.Struct, array_like=True, tag=2):
    """A piece of the request body."""

    exchange: str
    data: bytes


class RequestEnd(msgspec.Struct, array_like=True, tag=3):
    """The request is complete."""

    exchange: str


class ResponseStart(msgspec.Struct, array_like=True, tag=4):
    """Status and headers."""

    exchange: str
    at: float
    status: int
    headers: list[tuple[bytes, bytes]]


class ResponseData(msgspec.Struct, array_like=True, tag=5):
    """A piece of the response body, without the framing of HTTP."""

    exchange: str
    at: float
    data: bytes


class End(msgspec.Struct, array_like=True, tag=6):
    """The end of the exchange."""

    exchange: str
    at: float
    outcome: Outcome
    detail: str


class Closed(msgspec.Struct, array_like=True, tag=7):
    """The last message, unless the forwarding process was killed."""


ExchangeMessage: TypeAlias = Begin | RequestData | RequestEnd | ResponseStart | ResponseData | End
Message: TypeAlias = Setup | ExchangeMessage | Closed

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def frame(message: Message) -> bytes:
    """Return a message with its length."""
    data = _encoder.encode(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class MessageReader:
    """Splits received bytes into messages."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that `data` completes."""
        self._received += data
        received, offset = bytes(self._received), 0
        while len(received) - offset >= LENGTH_BYTES:
            start = offset + LENGTH_BYTES
            end = start + int.from_bytes(received[offset:start], "big")
            if end > len(received):
                break
            yield _decoder.decode(memoryview(received)[start:end])
            offset = end
        del self._received[:offset]

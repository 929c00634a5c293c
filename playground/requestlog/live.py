"""A run of this process on its way into the file."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from playground.client.events import AnyEvent, BodyIdReceived, RawEvent
from playground.requestlog.records import RunRecord
from playground.requestlog.summary import Summary
from playground.runs.state import RunState

RAW_CAP_BYTES = 4 * 1024 * 1024
"""Raw events kept a run, in bytes of UTF-8; what is beyond is left out, and the run says so. All else is kept."""


@dataclass(slots=True)
class Live:
    """What of a run is on disk and what is not. `number` is None until its first row is; `written` events are there."""

    record: RunRecord
    number: int | None = None
    events: list[AnyEvent] = field(default_factory=list)
    written: int = 0
    state: RunState = field(default_factory=RunState)
    body_ids: set[str] = field(default_factory=set)
    raw_bytes: int = 0
    dropped_raw: bool = False
    end: Summary | None = None

    @property
    def owes(self) -> bool:
        """Whether something of it is not on disk."""
        return self.number is None or self.written < len(self.events) or self.end is not None

    def take(self, event: AnyEvent) -> None:
        """One more event; its time is kept to the microsecond, a third of the bytes of one to the last bit."""
        event = replace(event, at=round(event.at, 6))
        if isinstance(event, RawEvent):
            self.raw_bytes += len(event.data.encode("utf-8", "surrogatepass"))
            if self.raw_bytes > RAW_CAP_BYTES:
                self.dropped_raw = True
                return
        else:
            if isinstance(event, BodyIdReceived):
                self.body_ids.add(event.id)
            self.state.apply(event)
        self.events.append(event)

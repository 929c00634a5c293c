"""A run of this process on its way into the file."""

from __future__ import annotations

from dataclasses import dataclass, field

from playground.client.events import AnyEvent, BodyIdReceived, RawEvent
from playground.requestlog.records import RunRecord
from playground.requestlog.summary import Summary
from playground.runs.state import RunState

RAW_CAP_CHARS = 4 * 1024 * 1024
"""Raw events kept a run, in characters; what is beyond is left out, and the run says so. All else is kept."""


@dataclass(slots=True)
class Live:
    """What of a run is on disk and what is not. `number` is None until its first row is; `written` events are there."""

    record: RunRecord
    number: int | None = None
    events: list[AnyEvent] = field(default_factory=list)
    written: int = 0
    folded: int = 0
    so_far: RunState = field(default_factory=RunState)
    body_ids: set[str] = field(default_factory=set)
    raw_chars: int = 0
    dropped_raw: bool = False
    end: Summary | None = None

    @property
    def owes(self) -> bool:
        """Whether something of it is not on disk."""
        return self.number is None or self.written < len(self.events) or self.end is not None

    def take(self, events: list[AnyEvent]) -> None:
        """More events."""
        self.body_ids.update(event.id for event in events if type(event) is BodyIdReceived)
        more = sum(len(event.data) for event in events if type(event) is RawEvent)
        if self.raw_chars + more <= RAW_CAP_CHARS:
            self.raw_chars += more
            self.events += events
        else:
            self.events += [event for event in events if self._is_kept(event)]

    def _is_kept(self, event: AnyEvent) -> bool:
        if isinstance(event, RawEvent):
            self.raw_chars += len(event.data)
            if self.raw_chars > RAW_CAP_CHARS:
                self.dropped_raw = True
                return False
        return True

    def state(self) -> RunState:
        """What the events so far come to. Taken in only when asked for: most runs end before they are written twice."""
        for event in self.events[self.folded :]:
            self.so_far.apply(event)
        self.folded = len(self.events)
        return self.so_far

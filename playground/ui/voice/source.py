"""The run that the voice timeline follows: the current one, a logged one, an example, a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import QObject, Signal

from playground.client.events import AnyEvent
from playground.runs.run import Run
from playground.services import Recalled
from playground.ui.controllers.request import Requests
from playground.voice.times import Stopwatch, TurnTimes

if TYPE_CHECKING:
    from playground.voice.speech import AudioTimes
    from playground.voice.timeline import MeasuredTurn


def _never() -> float | None:
    return None


class TimelineSource(Struct, frozen=True):
    """`turns` returns the current turns; `now` the seconds on their axis while they run, None after the end."""

    title: str
    turns: Callable[[], tuple[MeasuredTurn, ...]]
    now: Callable[[], float | None] = _never


NOTHING = TimelineSource("No run yet", lambda: ())


class CurrentRun(QObject):
    """The run in the response pane, with its times from the first event on."""

    changed = Signal()
    """Emitted for every event; receivers redraw at most once per frame."""
    begun = Signal(object)
    """Emitted with a new Run of this window."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests
        self._run: Run | None = None
        self._watch = Stopwatch()
        self._logged: TurnTimes | None = None
        self.audio: tuple[AudioTimes | None, ...] = ()
        """Measurements of a real speech engine for the parts of the current run."""
        requests.looking_back.connect(self._shown)

    @property
    def source(self) -> TimelineSource:
        """Return the current run as a source."""
        if self._logged is not None:
            return TimelineSource("A logged request", self.turns)
        return TimelineSource("The newest request" if self._run else NOTHING.title, self.turns, self.now)

    def turns(self) -> tuple[MeasuredTurn, ...]:
        """Return the turn; empty without a run."""
        from playground.voice.timeline import MeasuredTurn  # the window starts without the patterns of speech

        if self._logged is not None:
            return (MeasuredTurn(0.0, self._logged),)
        return (MeasuredTurn(0.0, self._watch.times, audio=self.audio),) if self._run is not None else ()

    def now(self) -> float | None:
        """Return the seconds since the run began; None if it has ended."""
        run = self._run
        return None if run is None or run.state.ended or self._logged is not None else run.clock()

    def measured(self, audio: tuple[AudioTimes | None, ...]) -> None:
        """Store the measurements of a speech engine for the current run."""
        self.audio = audio
        self.changed.emit()

    def _shown(self, recalled: object) -> None:
        if isinstance(recalled, Recalled):
            self._logged = recalled.times
        else:
            self._logged = None
            self._take_current()
        self.changed.emit()

    def _take_current(self) -> None:
        current = self._requests.current
        run = current.run if current is not None else None
        if run is not self._run:
            self._run, self._watch, self.audio = run, Stopwatch(), ()
            if run is not None:
                run.subscribe(self._heard)
                self.begun.emit(run)

    def _heard(self, run: Run, event: AnyEvent) -> None:
        if run is self._run:
            self._watch.apply(event)
            self.changed.emit()

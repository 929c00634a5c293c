"""Where the timeline's turns come from: the run in hand, a logged one, an example, a chain. Plain values all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal

from playground.client.events import AnyEvent
from playground.runs.run import Run
from playground.services import Recalled
from playground.ui.controllers.request import Requests
from playground.voice.speech import AudioTimes
from playground.voice.times import Stopwatch, TurnTimes, measure
from playground.voice.variants import MeasuredTurn


def _never() -> float | None:
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """`turns` as they are now; `now`: seconds on their axis while it goes on, None when it has ended."""

    title: str
    turns: Callable[[], tuple[MeasuredTurn, ...]]
    now: Callable[[], float | None] = _never


NOTHING = Source("Nothing has run yet", lambda: ())


class RunInHand(QObject):
    """What the response pane shows, with a stopwatch on it from its first event on."""

    changed = Signal()
    """Something came: look again, at most once a frame."""
    begun = Signal(object)
    """A Run of this window has begun."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests
        self._run: Run | None = None
        self._watch = Stopwatch()
        self._logged: TurnTimes | None = None
        self.audio: tuple[AudioTimes | None, ...] = ()
        """What a real speech engine took for the parts of the run in hand."""
        requests.looking_back.connect(self._shown)

    @property
    def source(self) -> Source:
        """The run in hand as a source."""
        if self._logged is not None:
            return Source("A logged request", self.turns)
        return Source("The newest request" if self._run else NOTHING.title, self.turns, self.now)

    def turns(self) -> tuple[MeasuredTurn, ...]:
        """One turn, or none."""
        if self._logged is not None:
            return (MeasuredTurn(0.0, self._logged),)
        return (MeasuredTurn(0.0, self._watch.times, audio=self.audio),) if self._run is not None else ()

    def now(self) -> float | None:
        """Seconds since the run began, while it goes on."""
        run = self._run
        return None if run is None or run.state.ended or self._logged is not None else run.clock()

    def measured(self, audio: tuple[AudioTimes | None, ...]) -> None:
        """A speech engine has spoken these parts of the run in hand."""
        self.audio = audio
        self.changed.emit()

    def _shown(self, recalled: object) -> None:
        if isinstance(recalled, Recalled):
            self._logged = measure(recalled.stored.events)
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
                run.listen(self._heard)
                self.begun.emit(run)

    def _heard(self, run: Run, event: AnyEvent) -> None:
        if run is self._run:
            self._watch.apply(event)
            self.changed.emit()


def with_audio(turns: tuple[MeasuredTurn, ...], audio: tuple[AudioTimes | None, ...]) -> tuple[MeasuredTurn, ...]:
    """The last turn's parts with what a speech engine took for them."""
    return (*turns[:-1], replace(turns[-1], audio=audio)) if turns else turns

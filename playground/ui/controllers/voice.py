"""The voice timeline: the run that it follows (current, logged, example, conversation), and its dialog on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog, QWidget

from playground.client.endpoint import SIMULATOR_ID
from playground.prompt.limits import refuse_empty
from playground.runs.state import Stopwatch
from playground.services import AppServices
from playground.ui.appearance import Appearance
from playground.ui.controllers.request import Requests

if TYPE_CHECKING:
    from playground.agent.service import Example
    from playground.prompt.document import Document
    from playground.runs.run import Run
    from playground.runs.service import PendingRequest
    from playground.runs.state import RunState, TurnTimes
    from playground.ui.dialogs.repeat import Ahead
    from playground.ui.panes.prompt.pane import PromptPane
    from playground.ui.voice.dialog import VoiceDialog
    from playground.ui.voice.speak_tab import SpeakTab
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
    """The run in the response pane with its times. Its signals are emitted between `follow` and `leave`."""

    changed = Signal()
    """Emitted for every event; receivers redraw at most once per frame."""
    begun = Signal(object)
    """Emitted with a new Run of this window."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests
        self._pending: PendingRequest | None = None
        self._watch, self._taken = Stopwatch(), 0
        self._unsubscribe: Callable[[], object] = _never
        self.audio: tuple[AudioTimes | None, ...] = ()
        """Measurements of a real speech engine for the parts of the current run."""

    def follow(self) -> None:
        self._requests.looking_back.connect(self._shown)
        self._take_current()

    def leave(self) -> None:
        self._requests.looking_back.disconnect(self._shown)
        self._unsubscribe()

    @property
    def source(self) -> TimelineSource:
        if self._requests.recalled is not None:
            return TimelineSource("A logged request", self.turns)
        return TimelineSource("The newest request" if self._pending else NOTHING.title, self.turns, self.now)

    def turns(self) -> tuple[MeasuredTurn, ...]:
        from playground.voice.timeline import MeasuredTurn  # the window starts without the patterns of speech

        if self._requests.recalled is not None:
            return (MeasuredTurn(0.0, self._requests.recalled.times),)
        if self._pending is None:
            return ()
        for event in self._pending.events[self._taken :]:
            self._watch.apply(event)
        self._taken = len(self._pending.events)
        return (MeasuredTurn(0.0, self._watch.times, audio=self.audio),)

    def now(self) -> float | None:
        """Return the seconds since the run began; None if it has ended."""
        run = self._pending.run if self._pending is not None else None
        return None if run is None or run.state.ended or self._requests.recalled is not None else run.clock()

    def measured(self, audio: tuple[AudioTimes | None, ...]) -> None:
        self.audio = audio
        self.changed.emit()

    def _shown(self, _recalled: object) -> None:
        self._take_current()
        self.changed.emit()

    def _take_current(self) -> None:
        self._unsubscribe()
        pending = self._requests.current
        begun = pending is not self._pending
        if begun:
            self._pending, self._watch, self._taken, self.audio = pending, Stopwatch(), 0, ()
        if pending is not None:
            self._unsubscribe = pending.run.subscribe(lambda _run, _event: self.changed.emit())
            if begun:
                self.begun.emit(pending.run)


WIDTH_PX = 640


class VoiceController(QObject):
    """One a window."""

    def __init__(
        self,
        workspace: AppServices,
        appearance: Appearance,
        prompt: PromptPane,
        requests: Requests,
        window: QWidget,
        show_page: Callable[[QDialog, int], None],
    ) -> None:
        """`show_page` shows a dialog in the side panel, at a preferred width in device-independent pixels."""
        super().__init__(window)
        self._show_page = show_page
        self._workspace, self._appearance = workspace, appearance
        self._prompt, self._requests, self._window = prompt, requests, window
        self.current_run = CurrentRun(requests)
        self.dialog: VoiceDialog | None = None
        self.speak: SpeakTab
        """There with the dialog."""

    def open(self) -> VoiceDialog:
        """Show the page in the side panel; create it if necessary."""
        if self.dialog is None:
            self.dialog = self._made()
        self._show_page(self.dialog, WIDTH_PX)
        return self.dialog

    def _made(self) -> VoiceDialog:
        # Imported on first use, as the dialogs are.
        from playground.ui.voice.dialog import VoiceDialog
        from playground.ui.voice.readiness_tab import ReadinessServices

        self.current_run.follow()
        dialog = VoiceDialog(
            self._workspace.settings,
            self.current_run,
            self._play,
            ReadinessServices(self._ahead, self._measured, self._workspace.tasks.start),
            self._window,
        )
        dialog.finished.connect(self._gone)
        self._add_speech(dialog)
        return dialog

    def _add_speech(self, dialog: VoiceDialog) -> None:
        """Replace assumed times of the timeline by those of measured speech."""
        from playground.ui.voice.speak_tab import SpeakTab

        self.speak = SpeakTab(self._workspace, self._workspace.tasks.start, lambda: dialog.form.value.start)
        dialog.tabs.addTab(self.speak, "Speak it")
        self.current_run.begun.connect(self.speak.run_began)
        self.speak.measured.connect(self.current_run.measured)
        dialog.finished.connect(lambda _result: self.speak.leave())

    def speak_turn(self, run: Run) -> None:
        if self.dialog is not None:
            self.speak.turn_began(run)

    def _gone(self, _result: int) -> None:
        self.current_run.leave()
        self.dialog = None

    def _ahead(self) -> Ahead:
        from playground.ui.dialogs.repeat import ahead_of

        current = self._requests.current
        return ahead_of(self._workspace, self._prompt.document(), current.run.state if current else None)

    async def _measured(self, cold: bool, group: str) -> tuple[TurnTimes, RunState]:
        """Send the prompt once, tagged with the group of this series, and return its times."""
        from playground.voice.timeline import cold as unseen

        document, watch = self._prompt.document(), Stopwatch()
        refuse_empty(document)

        def began(sent: PendingRequest) -> None:
            self._requests.sent_beside(sent.run.id)
            sent.run.subscribe(lambda _run, event: watch.apply(event))

        sent = await self._workspace.send(unseen(document) if cold else document, began, tags=[group])
        return watch.times, sent.run.state

    async def _play(self) -> Example:
        from playground.agent.service import play

        workspace = self._workspace
        endpoint = next(one for one in workspace.endpoints.all() if one.id == SIMULATOR_ID)

        async def send(document: Document, began: Callable[[Run], None]) -> RunState:
            dispatch = await workspace.sender.send(
                document, endpoint, lambda sent: self._began(sent.run, began), tag="example"
            )
            return dispatch.run.state

        return await play(send)

    def _began(self, run: Run, began: Callable[[Run], None]) -> None:
        self._requests.sent_beside(run.id)
        began(run)

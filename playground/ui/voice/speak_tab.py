"""Speech tab: speaks completions while they stream and measures the speech. Off until the user agrees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QWidget

from playground import install_advice
from playground.client.endpoint import Endpoint
from playground.client.speech import DEFAULT, SAMPLE_RATES, SpeechError, Voice
from playground.runs.metrics import seconds
from playground.runs.run import Run
from playground.storage.paths import write_shared
from playground.tasks import Start as StartTask
from playground.ui.theme import GRID
from playground.ui.widgets.form import combo_box, line_edit
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import FlowLayout, column_of
from playground.ui.widgets.notice import words, write_errors
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import ask_save
from playground.voice.speech import SPEAKERS, Engine, Lightning, Speaker, SpokenPart, Start, as_wav

if TYPE_CHECKING:
    from playground.services import AppServices


MISSING = (
    "The system's voice needs Qt's speech module and, on Linux, a speech engine (speech-dispatcher) and libpulse."
    + ("" if find_spec("PySide6.QtTextToSpeech") else f" {install_advice('speech')}")
)

LONGEST_S = 120.0
"""Timeout for one part."""


def system_voice() -> SystemVoice | None:
    """Return the operating system's voice; None if Qt cannot load it."""
    try:
        module = import_module("PySide6.QtTextToSpeech")
    except ImportError:
        return None
    found: list[str] = [name for name in module.QTextToSpeech.availableEngines() if name != "mock"]
    if not found:
        return None
    speech = module.QTextToSpeech(found[0])
    # An engine in Qt's list may still fail to load.
    return None if speech.state() == module.QTextToSpeech.State.Error else SystemVoice(module, speech)


class SystemVoice:
    """Plays its own audio, which cannot be saved. Times are those of Qt's states: speaking, and ready again."""

    def __init__(self, module: Any, speech: Any) -> None:
        self._states, self._speech = module.QTextToSpeech.State, speech

    async def say(self, text: str, _on_audio: Callable[[bytes], None]) -> SpokenPart:
        """See `Engine.say`."""
        began = time.monotonic()
        speaks_at: list[float] = []
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def changed(state: Any) -> None:
            if state == self._states.Speaking and not speaks_at:
                speaks_at.append(time.monotonic())
            elif state == self._states.Error and not ended.done():
                ended.set_exception(SpeechError(f"The system's voice failed: {self._speech.errorString()}"))
            elif state == self._states.Ready and speaks_at and not ended.done():
                ended.set_result(None)

        self._speech.stateChanged.connect(changed)
        try:
            self._speech.say(text)
            async with asyncio.timeout(LONGEST_S):
                await ended
        except TimeoutError:
            raise SpeechError(f"The system's voice was not done after {LONGEST_S:.0f} seconds.") from None
        finally:
            self._speech.stateChanged.disconnect(changed)
            if not ended.done() or ended.cancelled():
                self._speech.stop()
        return SpokenPart(text, speaks_at[0] - began, time.monotonic() - speaks_at[0], b"", None)


NO_PLAYER = (
    f"Speech is measured and can be saved. To play it, Qt's multimedia module is needed. {install_advice('speech')}"
)


class Player(Protocol):
    """Plays PCM as it arrives."""

    def play(self, pcm: bytes) -> None:
        """Append audio to the queue."""

    def stop(self) -> None:
        """Stop the audio immediately."""


class _QtPlayer:
    """Writes as much as the audio device accepts, and the rest when it has room again."""

    def __init__(self, sink: Any, device: Any) -> None:
        self._sink, self._device, self._waiting = sink, device, bytearray()
        sink.stateChanged.connect(lambda _state: self._push())

    def play(self, pcm: bytes) -> None:
        self._waiting += pcm
        self._push()

    def _push(self) -> None:
        taken = self._device.write(bytes(self._waiting[: max(self._sink.bytesFree(), 0)]))
        if taken > 0:
            del self._waiting[:taken]

    def stop(self) -> None:
        self._waiting.clear()
        self._sink.stop()


def _make(sample_rate: int) -> Player | None:
    """Return a player on this machine's audio output; None without an output, or without libpulse."""
    try:
        from PySide6.QtMultimedia import QAudioFormat, QAudioSink, QMediaDevices
    except ImportError:
        return None

    if QMediaDevices.defaultAudioOutput().isNull():
        return None
    form = QAudioFormat()
    form.setSampleRate(sample_rate)
    form.setChannelCount(1)
    form.setSampleFormat(QAudioFormat.SampleFormat.Int16)
    sink = QAudioSink(form)
    sink.setBufferSize(sample_rate * 2 * 60)
    return _QtPlayer(sink, sink.start())


make_player: Callable[[int], Player | None] | None = _make if find_spec("PySide6.QtMultimedia") else None
"""Return a factory of players for a sample rate; None if the extra is not installed."""


COLUMNS = ("part", "first audio", "length", "request_id")


class SpeakTab(QWidget):
    """`start` runs a task. Spoken text is sent only to the endpoint's own origin, with its own key."""

    measured = Signal(tuple)
    """Emitted with the AudioTimes of the parts spoken so far."""

    def __init__(
        self,
        workspace: AppServices,
        start: StartTask,
        waits_for: Callable[[], Start],
    ) -> None:
        """`waits_for` returns the text that speech waits for, a clause or a sentence, as in the timeline."""
        super().__init__()
        self._workspace, self._start, self._waits_for = workspace, start, waits_for
        self._task: asyncio.Task[None] | None = None
        self._speaker: Speaker | None = None
        self._player: Player | None = None
        self._spoken_at = DEFAULT.sample_rate
        self.on = QCheckBox("Speak each new completion")
        self.consent = words("")
        self.system = system_voice()
        self.engine = combo_box("Speech engine", ["Lightning", "the system's voice"])
        self.engine.currentIndexChanged.connect(lambda _index: self.show_endpoint())
        self.voice = line_edit("Voice", text=DEFAULT.voice_id)
        self.voice.setMaximumWidth(160)
        self.rate = combo_box("Sample rate")
        for rate in SAMPLE_RATES:
            self.rate.addItem(f"{rate:,} Hz", rate)
        self.rate.setCurrentIndex(SAMPLE_RATES.index(DEFAULT.sample_rate))
        self.stop = push_button("Stop speaking", clicked=self.stop_speaking)
        self.stop.setEnabled(False)
        self.save = push_button("Save as WAV…", clicked=self._ask)
        self.save.setEnabled(False)
        self.message = words("Nothing spoken yet.", "muted")
        self.table = plain_table("Spoken parts", COLUMNS, 0, {1: 110, 2: 110, 3: 330})
        self._lay_out()
        self.show_endpoint()

    def _lay_out(self) -> None:
        row = FlowLayout()
        row.addWidget(self.on)
        for label, widget in (("by", self.engine), ("Voice", self.voice), ("at", self.rate)):
            row.add_labelled(label, widget)
        row.add_all((self.stop, self.save))
        column_of(row, self.consent, self.message, (self.table, 1), on=self, margins=(0, GRID, 0, 0))

    def show_endpoint(self) -> None:
        """Show the consequences of speaking for the current endpoint; disabled if it has no speech service."""
        endpoint = self._workspace.endpoint
        able = self.system is not None if self.by_system else endpoint.kind in SPEAKERS
        if not able:
            self.on.setChecked(False)
        self.on.setEnabled(able)
        for field in (self.voice, self.rate):
            field.setEnabled(not self.by_system)
        if self.by_system:
            self.consent.setText(MISSING if self.system is None else "Nothing leaves this computer for it.")
        else:
            self.consent.setText(what_is_sent(endpoint) + (NO_PLAYER if make_player is None else ""))

    @property
    def by_system(self) -> bool:
        return self.engine.currentIndex() == 1

    def _engine(self, run: Run) -> Engine | None:
        if self.by_system:
            return self.system
        if run.endpoint.kind not in SPEAKERS:
            return None
        workspace = self._workspace
        connection, keys = workspace.sender.connection, workspace.keys
        return Lightning(connection, keys, run.endpoint, self.chosen_voice, workspace.rate_limiter)

    @property
    def chosen_voice(self) -> Voice:
        return Voice(self.voice.text().strip() or DEFAULT.voice_id, sample_rate=int(self.rate.currentData()))

    def run_began(self, run: Run) -> None:
        self.show_endpoint()
        engine = self._engine(run) if self.on.isChecked() else None
        if engine is None:
            return
        self.stop_speaking()
        fill_table(self.table, [])
        self._spoken_at = self.chosen_voice.sample_rate
        self._player = make_player(self._spoken_at) if make_player is not None and not self.by_system else None
        speaker = Speaker(engine, start=self._waits_for(), on_part=lambda _part: self._show(), on_audio=self._play)
        speaker.follow(run)
        self._speaker = speaker
        self._task = self._start(self._speak(speaker), "speak a completion")
        self.stop.setEnabled(True)
        self.message.setText("Speaking…")

    def turn_began(self, run: Run) -> None:
        """Speak a turn of the agent loop, after the speech of the previous turn has ended."""
        before = self._task
        if not self.on.isChecked() or before is None:
            self.run_began(run)
            return
        self._start(self._after(before, run), "speak a turn after the one before")

    async def _after(self, before: asyncio.Task[None], run: Run) -> None:
        await asyncio.wait([before])
        if not before.cancelled():
            self.run_began(run)

    def _play(self, pcm: bytes) -> None:
        if self._player is not None:
            self._player.play(pcm)

    async def _speak(self, speaker: Speaker) -> None:
        said = "All text was spoken."
        try:
            await speaker.speak()
        except SpeechError as failed:
            id_words = f" request_id {failed.request_id}" if failed.request_id else ""
            said = f"{failed}{id_words}"
        except asyncio.CancelledError:
            said = "Stopped."
            raise
        finally:
            # Another completion may be playing by now, or the dialog may be closed.
            if speaker is self._speaker:
                self._task = None
                self.stop.setEnabled(False)
                self.message.setText(said)

    def leave(self) -> None:
        """Stop the speech and update no widget any more."""
        self.stop_speaking()
        self._speaker = None

    def stop_speaking(self) -> None:
        """Stop the speech and keep the spoken parts in the table."""
        if self._speaker is not None:
            self._speaker.stop()
        if self._task is not None:
            self._task.cancel()
        if self._player is not None:
            self._player.stop()

    def _show(self) -> None:
        parts = self._speaker.parts if self._speaker is not None else []
        fill_table(self.table, [_cells(part) for part in parts])
        self.save.setEnabled(any(part.pcm for part in parts))
        self.measured.emit(tuple(part.times for part in parts))

    def _ask(self) -> None:
        ask_save(self, "Save speech as WAV", {"WAV (*.wav)": "wav"}, self.save_to)

    def save_to(self, path: Path) -> None:
        if self._speaker is None:
            return
        with write_errors(path, self.message.setText):
            write_shared(path, as_wav(self._speaker.parts, self._spoken_at))
            self.message.setText(f"Saved as {path}.")


def what_is_sent(endpoint: Endpoint) -> str:
    """Return the terms that the user agrees to by enabling speech."""
    if endpoint.kind == "simulator":
        return "The simulator answers with a quiet tone as long as the text takes to read: its times are real. "
    if endpoint.kind in SPEAKERS:
        return (
            f"Switched on, the text of each new completion goes to {endpoint.base_url}/tts/live with this endpoint's "
            "key; your plan says what that costs. One request at a time. "
        )
    return f"{endpoint.name} has no speech service that this program knows; Electron and the simulator have. "


def _cells(part: SpokenPart) -> tuple[str, str, str, str]:
    return part.text, seconds(part.engine_s), seconds(part.length_s), part.request_id or "—"

"""Speech of completions in the real window: only if enabled, measured into the timeline, stopped, saved."""

from __future__ import annotations

import wave
from enum import Enum
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from playground.cli.selftest import UiDriver
from playground.client.endpoint import ELECTRON_ID, Endpoint
from playground.prompt.document import Document, Message
from playground.ui.session import Session
from playground.ui.voice.speak_tab import MISSING, SpeakTab, SystemVoice, what_is_sent

SCRIPT = [[{"at_ms": 1, "content": "One moment, please. "}, {"at_ms": 300, "content": "It is ₹412."}]]
PROMPT = Document("spoken", messages=(Message("user", "How much?"),), parameters={"scenario": SCRIPT})  # type: ignore[dict-item]


async def _sent(session: Session, hand: UiDriver) -> SpeakTab:
    window = session.window
    window.requests.send_or_stop()
    await hand.until(lambda: window.requests.current is not None and not window.requests.running, "the completion")
    return window.voicing.speak


def _opened(session: Session) -> SpeakTab:
    window = session.window
    window.prompt.set_document(PROMPT)
    assert window.answers
    window.voicing.open()
    return window.voicing.speak


async def test_nothing_is_spoken_unless_it_is_switched_on(session: Session, hand: UiDriver) -> None:
    tab = _opened(session)
    assert not tab.on.isChecked()
    await _sent(session, hand)
    assert tab.table.rowCount() == 0
    assert tab.message.text() == "Nothing spoken yet."


async def test_what_is_spoken_is_measured_into_the_timeline_and_saved(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    tab = _opened(session)
    tab.on.setChecked(True)
    await _sent(session, hand)
    await hand.until(lambda: tab.message.text() == "All text was spoken.", "the end of the speech")
    assert tab.table.rowCount() == 3
    audio = session.window.voicing.current_run.audio
    assert len(audio) == 3
    assert all(one is not None and one.engine_s >= 0.2 for one in audio)
    (turn,) = session.window.voicing.current_run.turns()
    assert turn.audio == audio
    tab.save_to(tmp_path / "spoken.wav")
    with wave.open(str(tmp_path / "spoken.wav")) as file:
        assert file.getnframes() > 0


async def test_a_stop_is_silent_at_once_and_keeps_what_was_spoken(session: Session, hand: UiDriver) -> None:
    tab = _opened(session)
    tab.on.setChecked(True)
    await _sent(session, hand)
    await hand.until(lambda: tab.table.rowCount() >= 1, "the first part")
    tab.stop.click()
    await hand.until(lambda: not tab.stop.isEnabled(), "the stop")
    assert 1 <= tab.table.rowCount() < 3


async def test_closing_the_dialog_is_silent_and_nothing_goes_wrong(session: Session, hand: UiDriver) -> None:
    tab = _opened(session)
    tab.on.setChecked(True)
    await _sent(session, hand)
    await hand.until(lambda: tab.table.rowCount() >= 1, "the first part")
    dialog = session.window.voicing.dialog
    assert dialog is not None
    dialog.close()
    await hand.until(lambda: session.window.voicing.dialog is None, "the end of the dialog")
    await _sent(session, hand)
    assert not session.window.notice_bar.isVisible()


async def test_an_endpoint_without_the_service_switches_it_off(session: Session, hand: UiDriver) -> None:
    tab = _opened(session)
    tab.on.setChecked(True)
    mine = session.workspace.endpoints.add(Endpoint("", "Mine", "http://127.0.0.1:9/v1", "m", needs_key=False))
    session.window.choose_endpoint(mine.id)
    tab.show_endpoint()
    assert not tab.on.isEnabled()
    assert not tab.on.isChecked()
    electron = session.workspace.endpoints.get(ELECTRON_ID)
    assert f"{electron.base_url}/tts/live with this endpoint's key" in what_is_sent(electron)


async def test_the_systems_voice_says_what_it_needs_where_it_is_not_there(session: Session, hand: UiDriver) -> None:
    tab = _opened(session)
    tab.system = None
    tab.engine.setCurrentIndex(1)
    assert tab.consent.text() == MISSING
    assert not tab.on.isEnabled()
    tab.engine.setCurrentIndex(0)
    assert tab.on.isEnabled()


class _Module:
    """Replacement for Qt's speech module, which the test's packages do not contain: the edge of the program."""

    class QTextToSpeech:
        State = Enum("State", "Ready Speaking Error")


class _Speech(QObject):
    stateChanged = Signal(object)  # noqa: N815 - Qt's name

    def say(self, _text: str) -> None:
        QTimer.singleShot(20, lambda: self.stateChanged.emit(_Module.QTextToSpeech.State.Speaking))
        QTimer.singleShot(60, lambda: self.stateChanged.emit(_Module.QTextToSpeech.State.Ready))

    def stop(self) -> None:
        self.stopped = True


async def test_the_systems_voice_speaks_part_by_part_and_is_measured(session: Session, hand: UiDriver) -> None:
    tab = _opened(session)
    tab.system = SystemVoice(_Module, _Speech())
    tab.engine.setCurrentIndex(1)
    tab.on.setChecked(True)
    await _sent(session, hand)
    await hand.until(lambda: tab.message.text() == "All text was spoken.", "the end of the speech")
    assert tab.table.rowCount() == 3
    assert not tab.save.isEnabled()
    audio = session.window.voicing.current_run.audio
    assert all(one is not None and one.engine_s > 0 and one.length_s > 0 for one in audio)


async def test_a_chains_turns_are_spoken_one_after_the_other(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.files.open_tools_sample()
    assert window.answers
    window.voicing.open()
    tab = window.voicing.speak
    tab.on.setChecked(True)
    spoken: list[int] = []
    tab.measured.connect(lambda parts: spoken.append(len(parts)))
    dialog = window.chaining.run()
    await hand.until(lambda: not dialog.running, "the answer")
    await hand.until(lambda: spoken.count(1) == 2, "the first part of the second turn")
    tab.stop.click()

"""The system's own speech engine, where Qt's speech module is installed: an optional extra, `speech`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from playground.client.lightning import SpeechFailed
from playground.speaking import Part

MISSING = (
    "The system's voice needs Qt's speech module (pip install 'electron-playground[speech]') and, on Linux, a speech "
    "engine and libpulse."
)

LONGEST_S = 120.0
"""For one part."""


def system_voice(engine: str = "") -> SystemVoice | None:
    """The system's voice; None where Qt's module cannot be loaded, or finds no engine. `engine`: Qt's name of one."""
    try:
        module = import_module("PySide6.QtTextToSpeech")
    except ImportError:
        return None
    found: list[str] = [name for name in module.QTextToSpeech.availableEngines() if name != "mock"]
    if not (engine or found):
        return None
    speech = module.QTextToSpeech(engine or found[0])
    # An engine that Qt lists may still not load.
    return None if speech.state() == module.QTextToSpeech.State.Error else SystemVoice(module, speech)


class SystemVoice:
    """Plays by itself; gives no audio to save. Its times are those that Qt tells: speaking, and ready again."""

    def __init__(self, module: Any, speech: Any) -> None:
        self._states, self._speech = module.QTextToSpeech.State, speech

    async def say(self, text: str, _on_audio: Callable[[bytes], None]) -> Part:
        """As speaking.Engine."""
        began = time.monotonic()
        speaks_at: list[float] = []
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def changed(state: Any) -> None:
            if state == self._states.Speaking and not speaks_at:
                speaks_at.append(time.monotonic())
            elif state == self._states.Error and not ended.done():
                ended.set_exception(SpeechFailed(f"The system's voice failed: {self._speech.errorString()}"))
            elif state == self._states.Ready and speaks_at and not ended.done():
                ended.set_result(None)

        self._speech.stateChanged.connect(changed)
        try:
            self._speech.say(text)
            async with asyncio.timeout(LONGEST_S):
                await ended
        except TimeoutError:
            raise SpeechFailed(f"The system's voice was not done after {LONGEST_S:.0f} seconds.") from None
        finally:
            self._speech.stateChanged.disconnect(changed)
            if not ended.done() or ended.cancelled():
                self._speech.stop()
        return Part(text, speaks_at[0] - began, time.monotonic() - speaks_at[0], b"", None)

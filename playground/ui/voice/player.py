"""Plays audio where Qt's multimedia module is installed: an optional extra, `speech`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

NO_PLAYER = (
    "It is measured and can be saved; to hear it as well: pip install 'electron-playground[speech]', which adds Qt's "
    "multimedia module."
)


class Player(Protocol):
    """Plays PCM as it comes."""

    def play(self, pcm: bytes) -> None:
        """Play this after what was given before."""

    def stop(self) -> None:
        """Be silent at once."""


def _made(sink: Any, device: Any) -> Player:
    class QtPlayer:
        """Writes what the device takes, and the rest when it has room again."""

        def __init__(self) -> None:
            self._waiting = bytearray()
            sink.stateChanged.connect(lambda _state: self._push())

        def play(self, pcm: bytes) -> None:
            self._waiting += pcm
            self._push()

        def _push(self) -> None:
            taken = device.write(bytes(self._waiting[: max(sink.bytesFree(), 0)]))
            if taken > 0:
                del self._waiting[:taken]

        def stop(self) -> None:
            self._waiting.clear()
            sink.stop()

    return QtPlayer()


def _make(sample_rate: int) -> Player | None:
    """A player on this machine's audio output; None where there is none."""
    from PySide6.QtMultimedia import QAudioFormat, QAudioSink, QMediaDevices

    if QMediaDevices.defaultAudioOutput().isNull():
        return None
    form = QAudioFormat()
    form.setSampleRate(sample_rate)
    form.setChannelCount(1)
    form.setSampleFormat(QAudioFormat.SampleFormat.Int16)
    sink = QAudioSink(form)
    sink.setBufferSize(sample_rate * 2 * 60)
    return _made(sink, sink.start())


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("PySide6.QtMultimedia") is not None


make_player: Callable[[int], Player | None] | None = _make if _installed() else None
"""Makes a player for a sample rate; None where the extra is not installed."""

"""A person's hand and eye: keys pressed, things waited for, pictures taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

PATIENCE_S = 20.0
LOOK_S = 0.01


class StepFailed(Exception):  # noqa: N818 - what a step reports
    """What was expected was not seen; the text says what was seen instead."""


def expect(seen: bool, words: str) -> None:
    """Raises StepFailed with `words` where something was not seen."""
    if not seen:
        raise StepFailed(words)


class Hand:
    """Works on one window."""

    def __init__(self, window: QWidget, screenshots: Path | None) -> None:
        self._window, self._screenshots = window, screenshots

    async def until(self, seen: Callable[[], bool], what: str) -> None:
        """Look again and again until something is seen. Raises StepFailed after PATIENCE_S seconds."""
        deadline = time.monotonic() + PATIENCE_S
        while not seen():
            expect(time.monotonic() < deadline, f"not seen within {PATIENCE_S:.0f} s: {what}")
            await asyncio.sleep(LOOK_S)

    async def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key where the focus is."""
        QTest.keyClick(self._window.focusWidget() or self._window, key, modifiers)
        await asyncio.sleep(0)

    async def type(self, text: str) -> None:
        """Type a text where the focus is."""
        focus = self._window.focusWidget()
        expect(focus is not None, "nothing in the window takes keys")
        QTest.keyClicks(focus, text)
        await asyncio.sleep(0)

    async def shoot(self, name: str) -> None:
        """Save a picture of the window."""
        # The log's rows follow at most four times a second.
        await asyncio.sleep(0.4)
        if self._screenshots is not None:
            path = self._screenshots / f"{name}.png"
            expect(self._window.grab().save(str(path)), f"{path} cannot be written")

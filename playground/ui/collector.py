"""Python's cyclic garbage is collected in the window's thread, between frames, and nowhere else.

By itself Python collects in whichever thread happens to allocate: the log's or the key store's among them. A widget
that is part of a cycle would then be destroyed outside the window's thread, which Qt does not survive.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

EVERY_MS = 250


class Collector(QObject):
    """Takes over from construction until `stop`. The thresholds stay Python's own."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        gc.disable()

    def look(self) -> None:
        """Collect the oldest generation whose time has come."""
        counts, thresholds = gc.get_count(), gc.get_threshold()
        for generation in (2, 1, 0):
            if counts[generation] > thresholds[generation]:
                gc.collect(generation)
                return

    def keep(self) -> None:
        """What is there now stays for long, and is not looked through again: doing so would cost a frame."""
        gc.freeze()

    def stop(self) -> None:
        """Give the work back to Python."""
        self._timer.stop()
        gc.enable()

"""Notification of the desktop when long work ends while the window is in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget

from playground.export.terminal import visible_line
from playground.ui.widgets.icons import icon

if TYPE_CHECKING:
    from PySide6.QtWidgets import QSystemTrayIcon

    from playground.runs.run import Run

LONG_S = 10.0
SHOWN_MS = 15_000
TASKS = {
    "run a batch": "Batch",
    "send a comparison": "Comparison",
    "cache lab": "Cache lab",
    "repeat the prompt": "Repeat",
    "voice readiness": "Readiness",
    "run until answer": "Agent loop",
    "keep the cache warm": "Keep warm",
}
"""Tasks whose end is notified, by their names in `Tasks`."""


class EndNotice:
    """Marks the window in the task bar, with the number of ends that were not seen as a badge where the desktop has
    one, and shows a message if it has a notification area."""

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._tray: QSystemTrayIcon | None = None
        self.unseen = 0
        """Number of ends since the window was active."""
        self.last = ""
        """The text of the newest notification."""

    def clear(self) -> None:
        """Remove the badge: the window has become active."""
        if self.unseen:
            self.unseen = 0
            _badge(0)

    def notify_end(self, run: Run) -> None:
        """Notify the user of the end of a run, unless it was short or the window is active."""
        name = visible_line(run.document.name) or "The request"
        self._notify(name, run.state.phase, run.state.ended_at or 0.0)

    def notify_task(self, name: str, seconds: float, finished: bool) -> None:
        """Notify the user of the end of an experiment, by the name of its task."""
        if name in TASKS:
            self._notify(TASKS[name], "done" if finished else "stopped", seconds)

    def _notify(self, name: str, outcome: str, seconds: float) -> None:
        if seconds < LONG_S or self._window.isActiveWindow():
            return
        from PySide6.QtWidgets import QSystemTrayIcon

        self.last = f"{name}: {outcome} after {seconds:.0f} s"
        self.unseen += 1
        _badge(self.unseen)
        QApplication.alert(self._window)
        if QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages():
            if self._tray is None:
                self._tray = QSystemTrayIcon(icon("bolt", self._window.palette().windowText().color()), self._window)
                self._tray.messageClicked.connect(self._window.activateWindow)
            self._tray.show()
            self._tray.showMessage("Electron Playground", self.last, self._tray.icon(), SHOWN_MS)

    def rest(self) -> None:
        """Remove the icon from the notification area, and the badge."""
        _badge(0)
        if self._tray is not None:
            self._tray.hide()


def _badge(number: int) -> None:
    application = QGuiApplication.instance()
    if isinstance(application, QGuiApplication):
        application.setBadgeNumber(number)

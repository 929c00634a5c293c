"""Notification of the desktop when a long request ends while the window is in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QApplication, QWidget

from playground.export.terminal import visible_line
from playground.ui.widgets.icons import icon

if TYPE_CHECKING:
    from PySide6.QtWidgets import QSystemTrayIcon

    from playground.runs.run import Run

LONG_S = 10.0
SHOWN_MS = 15_000


class EndNotice:
    """Marks the window in the task bar; shows a message where the desktop has a notification area."""

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._tray: QSystemTrayIcon | None = None
        self.last = ""
        """The text of the newest notification."""

    def tell_end(self, run: Run) -> None:
        """Notify the user of the end of a run, unless it was short or the window is active."""
        seconds = run.state.ended_at or 0.0
        if seconds < LONG_S or self._window.isActiveWindow():
            return
        from PySide6.QtWidgets import QSystemTrayIcon

        name = visible_line(run.document.name) or "The request"
        self.last = f"{name}: {run.state.phase} after {seconds:.0f} s"
        QApplication.alert(self._window)
        if QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages():
            if self._tray is None:
                self._tray = QSystemTrayIcon(icon("bolt", self._window.palette().windowText().color()), self._window)
                self._tray.messageClicked.connect(self._window.activateWindow)
            self._tray.show()
            self._tray.showMessage("Electron Playground", self.last, self._tray.icon(), SHOWN_MS)

    def rest(self) -> None:
        """Remove the icon from the notification area."""
        if self._tray is not None:
            self._tray.hide()

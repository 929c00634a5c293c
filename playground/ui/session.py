"""One session of the window: built, shown, warmed up after its first paint, and ended in reverse order."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop

from playground.services import AppServices
from playground.tasks import Tasks
from playground.ui.appearance import Appearance
from playground.ui.main_window import MainWindow

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


SWITCH_S = 0.0005
"""How long the window's thread waits for Python while the log's thread has it.

Python's own 5 ms are a third of a frame, and every read of a socket and every call of Qt lets go of it.
"""


def make_application() -> QApplication:
    """The one QApplication."""
    application = QApplication(sys.argv[:1])
    application.setApplicationName("electron-playground")
    application.setApplicationDisplayName("Electron Playground")
    application.setDesktopFileName("electron-playground")
    # qasync ends its loop with the last window; shutting down needs the loop a little longer.
    application.setQuitOnLastWindowClosed(False)
    sys.setswitchinterval(SWITCH_S)
    return application


def make_runner(application: QApplication) -> asyncio.Runner:
    """A runner for one loop that carries Qt and asyncio.

    asyncio's own Runner cancels what is pending when it ends, and leaves the process's event loop policy alone.
    """
    return asyncio.Runner(loop_factory=lambda: QEventLoop(application))


class Session:
    """Everything that lives as long as the window does. Construct inside the running loop."""

    def __init__(
        self,
        application: QApplication,
        folder: Path,
        environment: Mapping[str, str],
        *,
        simulator_options: Sequence[str] = (),
    ) -> None:
        self._collector = Collector()
        self._closed = asyncio.Event()
        self._tasks = Tasks(self._report)
        self.workspace = AppServices(folder, environment, self._tasks, simulator_options=simulator_options)
        self.appearance = Appearance(application, self.workspace.settings)
        self.window = MainWindow(self.workspace, self.appearance)
        self.window.closing.connect(self.end)
        self.window.files.replaced.connect(self._collector.keep)
        self.ready = asyncio.Event()
        """Set when the log is open and the simulator is up."""

    async def run(self, *, exit_after_first_paint: bool = False) -> int:
        """Show the window and wait until it is closed. Returns the exit status."""
        if exit_after_first_paint:
            self.window.first_painted.connect(self.end, Qt.ConnectionType.QueuedConnection)
        self.show(warm=not exit_after_first_paint)
        try:
            await self._closed.wait()
        finally:
            await self.close()
        return 0

    def show(self, *, warm: bool = True) -> None:
        """Show the window; what the first paint does not need comes after it."""
        self.window.start()
        self.appearance.apply()
        if warm:
            self.window.first_painted.connect(self._after_first_paint, Qt.ConnectionType.QueuedConnection)
        self.window.places.restore()
        self.window.show()

    def end(self) -> None:
        """Leave `run`."""
        self._closed.set()

    def _after_first_paint(self) -> None:
        self.window.complete()
        self.window.show_question()
        self._tasks.start(self._warm(), "what comes after the first paint")

    async def _warm(self) -> None:
        await self.workspace.open_log()
        self.window.log_opened()
        await self.workspace.sender.connection.warm()
        await self.window.start_simulator()
        self._collector.keep()
        self.ready.set()

    async def close(self) -> None:
        """End everything in reverse order: requests, draft, log, connections, simulator, window."""
        self.window.hide()
        self.window.rest()
        await self.workspace.close()
        self.window.deleteLater()
        self._collector.stop()

    def _report(self, name: str, error: BaseException) -> None:
        logging.getLogger("playground").error("%s went wrong", name, exc_info=error)
        self.window.say_trouble(f"Something went wrong in this program ({name}: {type(error).__name__}).")

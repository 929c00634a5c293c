"""One session of the window: built, shown, completed after the first paint, and ended in reverse order."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from PySide6.QtCore import QFileSystemWatcher, QObject, QSize, Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop

from playground import asset
from playground.services import AppServices
from playground.tasks import Tasks
from playground.ui.appearance import Appearance
from playground.ui.controllers.tabs import is_log
from playground.ui.main_window import MainWindow
from playground.ui.theme import STYLED
from playground.ui.widgets.layouts import repeating_timer, single_timer

EVERY_MS = 250
"""Interval at which the collector looks at its thresholds."""
LOOK_MS = 500
"""Wait after a change in the data folder, after which the window looks whether the folder was deleted."""
DELETED = (
    "The data folder was deleted while this window was open. It was created again: your prompts and settings are saved "
    "in it, earlier requests are lost."
)


class Collector(QObject):
    """Collects garbage in the window's thread from `start` until `stop`, at Python's own thresholds."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = repeating_timer(self, EVERY_MS, self.look)
        gc.disable()

    def start(self) -> None:
        """Collect from now on; before the first paint there is no garbage."""
        self._timer.start()

    def look(self) -> None:
        """Collect the oldest generation that is over its threshold."""
        counts, thresholds = gc.get_count(), gc.get_threshold()
        for generation in (2, 1, 0):
            if counts[generation] > thresholds[generation]:
                gc.collect(generation)
                return

    def keep(self) -> None:
        """Exclude the present objects from collection: they live long, and visiting them costs a frame."""
        gc.freeze()

    def stop(self) -> None:
        self._timer.stop()
        gc.enable()


FIRST_REQUEST = ("client.exchange", "runs.run", "telemetry.service", "versions.service", "agent.tool_mocks")
"""Modules that the first request needs, which take over 100 ms. None of them needs an extra."""
FIRST_VIEWS = (
    "ui.agent.dialog",
    "ui.voice.dialog",
    "ui.voice.speak_tab",
    *(f"ui.controllers.{mode}" for mode in ("compare", "batch", "recorder")),
)
"""Modules of panels and the modes that would hold the window at the first click. None of them needs an extra."""
ICON_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
WORKERS = 10
"""Maximum number of threads for work that would block the event loop."""
_M_ARENA_MAX = -8
"""The number of the parameter in glibc's malloc.h."""
SWITCH_S = 0.0005
"""How long the window's thread waits for the interpreter lock while another thread runs Python code.

Python's default of 5 ms is a third of a frame, and every socket read and every Qt call releases the lock.
"""


def make_application() -> QApplication:
    # The style as an argument: `setStyle` returns a QStyle, and PySide would build its 600 enum members.
    application = QApplication([*sys.argv[:1], "-style", "fusion"])
    application.setProperty(STYLED, True)
    # The program's texts are English. Text of the user has the direction of its own first letters.
    application.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
    application.setApplicationName("electron-playground")
    application.setApplicationDisplayName("Electron Playground")
    # The taskbar finds the icon by the desktop entry's name on Wayland (app id), and by the class or pixels on X11.
    application.setDesktopFileName("electron-playground")
    application.setWindowIcon(app_icon())
    # qasync ends its loop with the last window; the shutdown still needs the loop.
    application.setQuitOnLastWindowClosed(False)
    sys.setswitchinterval(SWITCH_S)
    return application


def use_one_heap() -> None:
    """Have all threads allocate from one heap, where the C library allows it (glibc).

    With a heap per thread, what a thread frees is of use to that thread only: 12 MB after 1,000 requests. Threads that
    run Python code do not allocate at the same time.
    """
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def app_icon() -> QIcon:
    """Return the program's icon, from the shipped sizes: no SVG is rendered at the start."""
    icon = QIcon()
    for size in ICON_SIZES:
        icon.addFile(str(asset(f"app/icons/{size}.png")), QSize(size, size))
    return icon


def make_runner(application: QApplication) -> asyncio.Runner:
    """Return a runner for one loop of Qt and asyncio.

    asyncio's own Runner cancels pending tasks when it ends, and does not change the process's event loop policy.
    """
    return asyncio.Runner(loop_factory=lambda: _make_loop(application))


def _make_loop(application: QApplication) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = QEventLoop(application)
    # qasync's own executor starts ten threads at once; this one starts them on demand.
    loop.set_default_executor(ThreadPoolExecutor(WORKERS, "worker"))
    return loop


async def _in_worker(module: str, function: str = "", *arguments: str) -> None:
    """Import a module of the program in a worker, and call a function of it there."""

    def work() -> None:
        found = importlib.import_module(f"playground.{module}")
        if function:
            getattr(found, function)(*arguments)

    await asyncio.to_thread(work)


class Session:
    """Owns the services and the window. Construct inside the running loop."""

    def __init__(
        self,
        application: QApplication,
        folder: Path,
        environment: Mapping[str, str],
        *,
        simulator_options: Sequence[str] = (),
        file: Path | None = None,
    ) -> None:
        """`file`: the prompt to open, or the log to import, after the window is displayed."""
        self._file = file.absolute() if file is not None else None
        self._collector = Collector()
        self._closed = asyncio.Event()
        self._tasks = Tasks(self._report)
        self.workspace = AppServices(folder, environment, self._tasks, simulator_options=simulator_options)
        self.appearance = Appearance(application, self.workspace.settings)
        self.window = MainWindow(self.workspace, self.appearance)
        self.window.closing.connect(self.end)
        self.window.files.replaced.connect(self._collector.keep)
        self._watcher = QFileSystemWatcher([str(folder)])
        self._look = single_timer(
            self._watcher, LOOK_MS, lambda: self._tasks.start(self._restore_folder(), "restore the data folder")
        )
        self._watcher.directoryChanged.connect(lambda _path: self._look.start())
        self.ready = asyncio.Event()
        """Set when the log is open and the simulator runs, or when their errors are reported."""

    async def run(self, *, exit_after_first_paint: bool = False) -> int:
        """Show the window, wait until it is closed and return the exit status."""
        if exit_after_first_paint:
            self.window.first_painted.connect(self.end, Qt.ConnectionType.QueuedConnection)
        self.show(warm=not exit_after_first_paint)
        try:
            await self._closed.wait()
        finally:
            await self.close(delete=False)
        return 0

    def show(self, *, warm: bool = True) -> None:
        """Show the window. `warm`: start the other services after the first paint."""
        self.window.start()
        self.appearance.apply()
        if warm:
            self.window.first_painted.connect(self._after_first_paint, Qt.ConnectionType.QueuedConnection)
        self.window.places.restore()
        self.window.show()

    def end(self) -> None:
        """Make `run` return."""
        self._closed.set()

    def _after_first_paint(self) -> None:
        self._collector.start()
        use_one_heap()
        for name, step in (
            ("complete the window", self.window.complete),
            ("show the prompt", self.window.show_draft),
            ("open a file", self._open_prompt),
        ):
            try:
                step()
            except Exception as error:  # an error in one pane must not keep the log and the simulator from starting
                self._report(name, error)
        self._tasks.start(self._start_services(), "start the log and the simulator")

    async def _start_services(self) -> None:
        steps: tuple[tuple[str, Callable[[], Awaitable[object]]], ...] = (
            ("open the log", self._open_log),
            ("prepare the connection", lambda: self.workspace.sender.connection.warm()),
            ("start the simulator", self.window.start_simulator),
            ("import the schema checks", partial(_in_worker, "tools.schema", "preload")),
            ("compile the patterns of varying text", partial(_in_worker, "prefix_cache.volatile_scan", "prepare")),
            *((f"import {name}", partial(_in_worker, name)) for name in FIRST_REQUEST + FIRST_VIEWS),
            ("import the colors of JSON", partial(_in_worker, "ui.widgets.highlight", "load", "json")),
        )
        for name, step in steps:
            try:
                await step()
            except Exception as error:  # each service is useful without the others
                self._report(name, error)
        self._collector.keep()
        self.ready.set()

    async def _restore_folder(self) -> None:
        if await self.workspace.restore_folder():
            self.window.log_opened()
            self.window.show_notice(DELETED)
            self._watcher.addPath(str(self.workspace.folder))
        elif self.workspace.log_is_lost:
            self._look.start()

    def _open_prompt(self) -> None:
        if self._file is not None and not is_log(self._file):
            self.window.files.open_path(self._file)

    async def _open_log(self) -> None:
        await self.workspace.open_log()
        self.window.log_opened()
        self.workspace.tasks.start(self.workspace.recover_recordings(), "recover recorded requests")
        if self._file is not None and is_log(self._file):
            self.window.files.open_path(self._file)

    async def close(self, *, delete: bool = True) -> None:
        """End everything in reverse order: requests, draft, log, connections, simulator, window.

        `delete`: also delete the widgets and collect garbage again, which is of no use to a process that ends.
        """
        self.window.hide()
        self.window.shut_down()
        self._watcher.blockSignals(True)
        self._look.stop()
        await self.workspace.close()
        self.appearance.shut_down()
        if delete:
            self.window.deleteLater()
            self._collector.stop()

    def _report(self, name: str, error: BaseException) -> None:
        logging.getLogger("playground").error("%s failed", name, exc_info=error)
        self.window.show_notice(f"An error occurred in this program ({name}: {type(error).__name__}).")

"""A dialog whose work runs in tasks: however it is closed, the work is stopped before the widgets are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from PySide6.QtWidgets import QDialog, QWidget


def open_once(dialog: QDialog) -> None:
    """Open a dialog without blocking. It is deleted when it closes: a typed key must not stay in memory."""
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


class TaskDialog(QDialog):
    """Escape, Close and the window's own button all stop the work. Deleted when the last task has ended."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._closing = False

    def work(self) -> Iterable[asyncio.Task[None] | None]:
        """Return the tasks that may still use this dialog's widgets."""
        raise NotImplementedError

    def stop_work(self) -> None:
        """Stop the work. Default: cancel every task."""
        for task in self.work():
            if task is not None:
                task.cancel()

    def done(self, result: int) -> None:
        """Stop the work and close. Qt calls this for every way to close a dialog."""
        running = {task for task in self.work() if task is not None and not task.done()}
        if not self._closing:
            self._closing = True
            self.stop_work()
        super().done(result)
        if not running:
            self.deleteLater()
            return

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            if not running:
                self.deleteLater()

        for task in tuple(running):
            task.add_done_callback(ended)

"""Work that takes longer than a moment: a dialog with its progress that can stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPushButton, QWidget

from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted
from playground.ui.widgets.form import progress_bar
from playground.ui.widgets.layouts import single_timer
from playground.ui.widgets.notice import words
from playground.ui.widgets.task_dialog import fill_dialog

DELAY_MS = 400
"""What takes less is over before it is read."""
T = TypeVar("T")


class ProgressDialog(QDialog):
    """`total` is the expected number, None if unknown. Escape also stops."""

    def __init__(self, title: str, total: int | None, stop: Callable[[], object], parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._total = total
        self.said = words("Reading…" if total is None else f"0 of {counted(total, 'request')}")
        self.bar = progress_bar(title)
        self.bar.setRange(0, total or 0)
        self.stop_button = QPushButton("Stop")
        buttons = QDialogButtonBox()
        buttons.addButton(self.stop_button, QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        self.rejected.connect(stop)
        fill_dialog(self, (420, 0), self.said, self.bar, buttons)
        self._wait = single_timer(self, DELAY_MS, self.open)
        self._wait.start()

    def show_done(self, done: int) -> None:
        self.said.setText(
            f"{counted(done, 'request')} so far"
            if self._total is None
            else f"{done:,} of {counted(self._total, 'request')}"
        )
        if self._total is not None:
            self.bar.setValue(min(done, self._total))

    def end(self) -> None:
        self._wait.stop()
        self.blockSignals(True)
        self.close()
        self.deleteLater()


async def watched(
    parent: QWidget, title: str, total: int | None, work: Callable[[Callable[[int], None]], Awaitable[T]]
) -> T | None:
    """Run work that reports progress; return None if the user stops it. Call it in a separate task."""
    task = asyncio.current_task()
    assert task is not None, "called in a task"
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    dialog = ProgressDialog(title, total, stop, parent)
    try:
        return await work(dialog.show_done)
    except asyncio.CancelledError:
        if not stopped:
            raise
        task.uncancel()
        return None
    finally:
        dialog.end()


async def read_watched(parent: QWidget, path: Path, read: Callable[[], T], report: Callable[[str], object]) -> T | None:
    """Read a file in a worker. Reports why nothing was read, and returns None: also if the user stops it."""
    try:
        found = await watched(parent, f"Open {path.name}", None, lambda _progress: asyncio.to_thread(read))
        if found is None:
            report(f"Stopped: {path.name} was not opened.")
        return found
    except InputError as bad:
        report(f"{path.name} was not opened: {bad.problems[0]}")
    except FileNotFoundError:
        report(f"{path} does not exist any more.")
    except OSError as error:
        report(f"{path} cannot be read: {error.strerror or error}.")
    return None

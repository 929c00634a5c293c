"""How far something is that takes a while, with a way to stop it. What is done at once opens no dialog."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QProgressBar, QPushButton, QVBoxLayout, QWidget

from playground.ui.theme import GRID
from playground.ui.widgets.notice import words

DELAY_MS = 400
"""What takes less is over before it is read."""
T = TypeVar("T")


class ProgressDialog(QDialog):
    """`total` is how many there will be; None where nobody knows. Escape stops, too."""

    def __init__(self, title: str, total: int | None, stop: Callable[[], object], parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._total = total
        self.said = words("Reading…" if total is None else f"0 of {total:,} requests")
        self.bar = QProgressBar()
        self.bar.setRange(0, total or 0)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(title)
        self.stop_button = QPushButton("Stop")
        buttons = QDialogButtonBox()
        buttons.addButton(self.stop_button, QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        self.rejected.connect(stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.addWidget(self.said)
        column.addWidget(self.bar)
        column.addWidget(buttons)
        self.resize(420, self.sizeHint().height())
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.timeout.connect(self.open)
        self._wait.start(DELAY_MS)

    def show_done(self, done: int) -> None:
        """So many are done."""
        self.said.setText(
            f"{done:,} requests so far" if self._total is None else f"{done:,} of {self._total:,} requests"
        )
        if self._total is not None:
            self.bar.setValue(min(done, self._total))

    def end(self) -> None:
        """There is nothing to stop any more."""
        self._wait.stop()
        self.blockSignals(True)
        self.close()
        self.deleteLater()


async def watched(
    parent: QWidget, title: str, total: int | None, work: Callable[[Callable[[int], None]], Awaitable[T]]
) -> T | None:
    """See work through that tells how far it is; None where the person stopped it. Call it in a task of its own."""
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

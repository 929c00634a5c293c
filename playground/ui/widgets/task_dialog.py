"""Dialogs that open without blocking: questions, file dialogs, dialogs whose work runs in tasks, progress of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QPushButton, QWidget

from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted
from playground.ui.theme import GRID, scaled
from playground.ui.widgets.form import progress_bar
from playground.ui.widgets.layouts import Item, column_of, single_timer
from playground.ui.widgets.notice import words

if TYPE_CHECKING:
    from PySide6.QtWidgets import QDialogButtonBox, QFileDialog, QInputDialog, QMessageBox


ANY_FILE = "All files (*)"


def open_once(dialog: QDialog) -> None:
    """Open a dialog without blocking. It is deleted when it closes: a typed key must not stay in memory."""
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def resize_dialog(dialog: QDialog, width: int, height: int) -> None:
    """Give a dialog a size in the present text size, within its screen; `height` 0: as its contents need."""
    parent, room = dialog.parentWidget(), dialog.screen().availableSize()
    if parent is not None:
        room = room.expandedTo(parent.window().size())
    wanted = QSize(scaled(width), scaled(height) or dialog.sizeHint().height())
    dialog.resize(wanted.boundedTo(room))


def fill_dialog(dialog: QDialog, size: tuple[int, int], *items: Item, spacing: int | None = None) -> None:
    """Lay out a dialog: its items from top to bottom, in a size for `resize_dialog`."""
    column_of(*items, on=dialog, margins=GRID * 2, spacing=spacing)
    resize_dialog(dialog, *size)


def ask_open(parent: QWidget | None, title: str, filters: str, take: Callable[[Path], object]) -> QFileDialog:
    """Ask for an existing file, and call `take` with it. `filters`: Qt's name filters, separated by ";;"."""
    from PySide6.QtWidgets import QFileDialog  # not for the first frame

    dialog = QFileDialog(parent, title)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setNameFilters(filters.split(";;"))
    dialog.fileSelected.connect(lambda path: take(Path(path)))
    open_once(dialog)
    return dialog


def ask_save(
    parent: QWidget | None, title: str, suffixes: Mapping[str, str], take: Callable[[Path], object], name: str = ""
) -> QFileDialog:
    """Ask where to save, and call `take` with the file.

    `suffixes`: by Qt's name filter, what is added to a name without a suffix. `name`: the file that is offered.
    """
    from PySide6.QtWidgets import QFileDialog  # not for the first frame

    dialog = QFileDialog(parent, title)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters(list(suffixes))
    first = next(iter(suffixes.values()))
    dialog.setDefaultSuffix(first)
    if name:
        dialog.selectFile(name)
    dialog.filterSelected.connect(lambda chosen: dialog.setDefaultSuffix(suffixes.get(chosen, first)))
    dialog.fileSelected.connect(lambda path: take(Path(path)))
    open_once(dialog)
    return dialog


def ask_text(
    parent: QWidget | None, title: str, label: str, take: Callable[[str], object], text: str = ""
) -> QInputDialog:
    """Ask for a line of text, which begins as `text`, and call `take` with it."""
    from PySide6.QtWidgets import QInputDialog  # not for the first frame

    dialog = QInputDialog(parent)
    dialog.setWindowTitle(title)
    dialog.setLabelText(label)
    dialog.setTextValue(text)
    dialog.textValueSelected.connect(take)
    open_once(dialog)
    return dialog


def ask_which(
    parent: QWidget | None, title: str, question: str, detail: str, answers: Mapping[str, Callable[[], object]]
) -> QMessageBox:
    """Ask which of several things to do, and do it; the last answer destroys something. Cancel does nothing."""
    from PySide6.QtWidgets import QMessageBox  # not for the first frame

    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(question)
    box.setInformativeText(detail)
    *safe, last = answers
    for label in safe:
        box.addButton(label, QMessageBox.ButtonRole.AcceptRole).clicked.connect(answers[label])
    box.addButton(last, QMessageBox.ButtonRole.DestructiveRole).clicked.connect(answers[last])
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    if not safe:
        box.setDefaultButton(cancel)
    open_once(box)
    return box


def button_box(close: Callable[[], object], *buttons: QPushButton, label: str = "Close") -> QDialogButtonBox:
    """Return the buttons of a dialog: `buttons`, and "Close" or "Cancel" (`label`), which calls `close`."""
    from PySide6.QtWidgets import QDialogButtonBox  # not for the first frame

    box = QDialogButtonBox(QDialogButtonBox.StandardButton[label])
    for button in buttons:
        box.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
    box.rejected.connect(close)
    return box


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


async def asked(parent: QWidget, title: str, sentence: str, agree: str) -> bool:
    """Return whether the user agrees. Escape, Enter and closing the box do not."""
    from PySide6.QtWidgets import QMessageBox  # not for the first frame

    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    box = QMessageBox(QMessageBox.Icon.Question, title, sentence, QMessageBox.StandardButton.NoButton, parent)
    box.setTextFormat(Qt.TextFormat.PlainText)
    yes = box.addButton(agree, QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(cancel)
    box.setEscapeButton(cancel)

    def ended(_result: int) -> None:
        if not answer.done():
            answer.set_result(box.clickedButton() is yes)

    box.finished.connect(ended)
    box.open()
    try:
        return await answer
    finally:
        box.close()
        box.deleteLater()


DELAY_MS = 400
"""What takes less is over before it is read."""
T = TypeVar("T")


class ProgressDialog(QDialog):
    """`total` is the expected number, None if unknown. Escape also stops."""

    def __init__(self, title: str, total: int | None, stop: Callable[[], object], parent: QWidget | None) -> None:
        from PySide6.QtWidgets import QDialogButtonBox  # not for the first frame

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

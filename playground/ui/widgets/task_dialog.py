"""Dialogs that open without blocking: any dialog, questions, file dialogs, dialogs whose work runs in tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QWidget

from playground.ui.theme import GRID, scaled
from playground.ui.widgets.layouts import Item, column_of

if TYPE_CHECKING:
    from PySide6.QtWidgets import QDialogButtonBox, QFileDialog, QInputDialog, QMessageBox, QPushButton

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

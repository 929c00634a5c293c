"""Questions to the user in window-modal message boxes that do not block the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QMessageBox, QPushButton, QWidget

from playground.prompt.diff import DiffRow
from playground.ui.theme import GRID
from playground.ui.widgets.highlight import DifferenceView
from playground.ui.widgets.layouts import STRETCH, column_of, row_of
from playground.ui.widgets.notice import words


class FileChangesDialog(QDialog):
    """Removed lines are on disk only, added lines in the editor only."""

    reload_requested = Signal()
    keep_requested = Signal()

    def __init__(self, name: str, rows: Sequence[DiffRow], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"{name}: disk and editor")
        self.view = DifferenceView()
        self.view.show_rows(rows or (DiffRow("same", "The prompts are identical."),))
        column = column_of(
            words(f"{name} changed on disk", "strong"),
            words("− lines of the file on disk · + lines of the editor", "muted"),
            (self.view, 1),
            on=self,
            margins=GRID * 2,
            spacing=GRID,
        )
        row = row_of(STRETCH)
        for label, signal in (("Reload", self.reload_requested), ("Keep mine", self.keep_requested), ("Close", None)):
            button = QPushButton(label)
            if signal is not None:
                button.clicked.connect(signal)
            button.clicked.connect(self.close)
            row.addWidget(button)
        column.addLayout(row)
        self.resize(760, 520)


async def asked(parent: QWidget, title: str, sentence: str, agree: str) -> bool:
    """Return whether the user agrees. Escape, Enter and closing the box mean no."""
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    box = QMessageBox(QMessageBox.Icon.Question, title, sentence, QMessageBox.StandardButton.NoButton, parent)
    box.setTextFormat(Qt.TextFormat.PlainText)
    yes = box.addButton(agree, QMessageBox.ButtonRole.AcceptRole)
    no = box.addButton("No", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(no)
    box.setEscapeButton(no)

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

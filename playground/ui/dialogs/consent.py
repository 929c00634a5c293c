"""A non-modal question to the user."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QWidget


async def asked(parent: QWidget, title: str, sentence: str, agree: str) -> bool:
    """Whether the person agrees. No is what Escape, Enter and closing mean."""
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

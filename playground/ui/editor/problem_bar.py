"""What is wrong with the prompt, said at the top of it until it is changed or put away."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QWidget

from playground.ui.theme import GRID
from playground.ui.widgets.notice import words


class ProblemBar(QFrame):
    """One sentence, wrapped, and a button to put it away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("look", "trouble")
        self._words = words("")
        dismiss = QPushButton("Dismiss")
        dismiss.setProperty("look", "quiet")
        dismiss.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID + 4, GRID // 2, GRID, GRID // 2)
        row.addWidget(self._words, 1)
        row.addWidget(dismiss)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._words.text()

    def say(self, sentence: str) -> None:
        """Show it."""
        self._words.setText(sentence)
        self.setAccessibleName(f"Not sent: {sentence}")
        self.show()

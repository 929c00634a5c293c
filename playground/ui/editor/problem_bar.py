"""What is wrong with the prompt, said at the top of it until it is changed or put away."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QWidget

from playground.ui.theme import GRID
from playground.ui.widgets.notice import words


class ProblemBar(QFrame):
    """One sentence, wrapped, a button to put it away, and where it can be overruled one for that."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("look", "trouble")
        self._words = words("")
        self._overrule: Callable[[], object] | None = None
        self.anyway = QPushButton("Send anyway")
        self.anyway.setToolTip("To see what the server says")
        self.anyway.clicked.connect(self._go_on)
        dismiss = QPushButton("Dismiss")
        dismiss.setProperty("look", "quiet")
        dismiss.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID + 4, GRID // 2, GRID, GRID // 2)
        row.addWidget(self._words, 1)
        row.addWidget(self.anyway)
        row.addWidget(dismiss)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._words.text()

    def say(self, sentence: str, anyway: Callable[[], object] | None = None) -> None:
        """Show it; `anyway` is offered as a button where it is given."""
        self._overrule = anyway
        self.anyway.setVisible(anyway is not None)
        self._words.setText(sentence)
        self.setAccessibleName(f"Not sent: {sentence}")
        self.show()

    def _go_on(self) -> None:
        overrule, self._overrule = self._overrule, None
        self.hide()
        if overrule is not None:
            overrule()

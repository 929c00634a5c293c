"""A banner: one sentence and its actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton

from playground.ui.theme import GRID
from playground.ui.widgets.elided_label import ElidedLabel


class SlimBar(QFrame):
    """Hidden without a sentence."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setProperty("look", "notice")
        self.setAccessibleName(name)
        self._words = ElidedLabel(name, Qt.TextElideMode.ElideRight)
        self._words.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(GRID * 2, 3, GRID, 3)
        self._row.setSpacing(GRID)
        self._row.addWidget(self._words, 1)
        self._buttons: list[QPushButton] = []
        self.hide()

    def say(self, words: str, actions: Sequence[tuple[str, Callable[[], object]]] = ()) -> None:
        """Show a sentence with buttons; each is (label, handler)."""
        self._words.set_full_text(words)
        for button in self._buttons:
            button.deleteLater()
        self._buttons = [self._button(label, handler) for label, handler in actions]
        self.show()

    @property
    def words(self) -> str:
        """Return the whole sentence."""
        return self._words.full_text

    def press(self, label: str) -> None:
        """Press the button of that label. Raises StopIteration if no button has it."""
        next(button for button in self._buttons if button.text() == label).click()

    def _button(self, label: str, handler: Callable[[], object]) -> QPushButton:
        button = QPushButton(label)
        button.setProperty("look", "link")
        button.clicked.connect(lambda: handler())
        self._row.addWidget(button)
        return button

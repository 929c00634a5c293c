"""Find across all messages."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QToolButton

from playground.prompt.document import Message
from playground.ui.theme import GRID


class FindBar(QFrame):
    """Looks for a text, whatever its case, in the order of the messages."""

    found = Signal(int, int, int)
    """Message, code point, and how many code points."""
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "bar")
        self._messages: tuple[Message, ...] = ()
        self._places: list[tuple[int, int]] = []
        self._at = -1
        self._line = QLineEdit()
        self._line.setPlaceholderText("Find in the prompt")
        self._line.setAccessibleName("Find in the prompt")
        self._line.textChanged.connect(self._search)
        self._count = QLabel()
        self._count.setProperty("tone", "muted")
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID, 4, GRID, 4)
        row.addWidget(self._line, 1)
        row.addWidget(self._count)
        for text, name, step in (("↑", "Previous", -1), ("↓", "Next", 1)):
            row.addWidget(self._button(text, name, step))
        row.addWidget(self._button("×", "Close", 0))
        self.hide()

    def _button(self, text: str, name: str, step: int) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.clicked.connect(lambda: self.step(step) if step else self.close_bar())
        return button

    def open_bar(self) -> None:
        """Show the bar and wait for a text."""
        self.show()
        self._line.setFocus()
        self._line.selectAll()

    def close_bar(self) -> None:
        """Hide the bar."""
        self.hide()
        self.closed.emit()

    def show_messages(self, messages: tuple[Message, ...]) -> None:
        """Look in these from now on."""
        self._messages = messages
        if self.isVisible():
            self._search(self._line.text())

    def _search(self, wanted: str) -> None:
        self._places = list(_places(self._messages, wanted)) if wanted else []
        self._at = -1
        self._say()

    def step(self, step: int) -> None:
        """Go to the next (1) or the previous (-1) place, round and round."""
        if not self._places:
            return
        self._at = (
            (self._at + step) % len(self._places) if self._at >= 0 else (0 if step > 0 else len(self._places) - 1)
        )
        message, offset = self._places[self._at]
        self.found.emit(message, offset, len(self._line.text()))
        self._say()

    def _say(self) -> None:
        if not self._line.text():
            self._count.setText("")
        elif not self._places:
            self._count.setText("not found")
        else:
            self._count.setText(f"{self._at + 1 or '–'} of {len(self._places):,}")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close_bar()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not (
            event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            self.step(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)


def _places(messages: tuple[Message, ...], wanted: str) -> list[tuple[int, int]]:
    # lower() keeps every code point's place but for a few letters (İ); for those the exact text is searched.
    wanted_lower = wanted.lower()
    found = []
    for index, message in enumerate(messages):
        text = message.content or ""
        lower = text.lower()
        folded = len(lower) == len(text) and len(wanted_lower) == len(wanted)
        haystack, needle = (lower, wanted_lower) if folded else (text, wanted)
        at = haystack.find(needle)
        while at >= 0:
            found.append((index, at))
            at = haystack.find(needle, at + len(needle))
    return found

"""The Text tab: the completion as it comes, and words where there is none."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QStackedLayout, QVBoxLayout

from playground.runs.state import RunState
from playground.ui.panes.response.labels import ending, placeholder
from playground.ui.panes.response.live_text import LiveText
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.elided_label import ElidedLabel
from playground.ui.widgets.notice import words


class CallStrip(QFrame):
    """`◆ get_account_info({"account_id": "AC-10442"})`, and the way to the whole of it. Hidden without a call."""

    show_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._calls = ElidedLabel("tool calls")
        self._calls.setFont(mono_font())
        self._calls.setProperty("mono", True)
        self._show = QPushButton("show")
        self._show.setProperty("look", "link")
        self._show.setAccessibleName("Show the tool calls")
        self._show.clicked.connect(self.show_requested)
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID * 2, GRID // 2, GRID, GRID // 2)
        row.setSpacing(GRID)
        row.addWidget(self._calls, 1)
        row.addWidget(self._show)
        self.setVisible(False)

    @property
    def line(self) -> str:
        """What it says; empty while hidden."""
        return self._calls.full_text

    def show_state(self, state: RunState | None) -> None:
        """The calls as far as they came."""
        calls = sorted(state.tool_calls.items()) if state else []
        line = "  ".join(f"◆ {call.name or 'tool'}({call.arguments})" for _, call in calls)
        if line != self._calls.full_text:
            self._calls.set_full_text(line)
            self.setVisible(bool(line))


class TextTab(QFrame):
    """The completion, live. `elapsed_s` of `refresh` feeds the words of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "pane")
        self.text = LiveText("Completion")
        self.calls = CallStrip()
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._words.setProperty("tone", "muted")
        self._words.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._words.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        self._ending = words("", "variable")
        self._ending.setContentsMargins(GRID * 2, GRID // 2, GRID * 2, GRID)
        self._ending.setVisible(False)
        # A stacked layout shows its first widget at once: inside this one, never as a window of its own.
        column = QVBoxLayout(self)
        self._places = QStackedLayout()
        column.addLayout(self._places, 1)
        self._places.addWidget(self._words)
        self._places.addWidget(self.text)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.calls)
        column.addWidget(self._ending)

    @property
    def words_shown(self) -> str:
        """What stands in the text's place; empty while the text is shown."""
        return self._words.text() if self._places.currentWidget() is self._words else ""

    @property
    def ending_shown(self) -> str:
        """The line under the text; empty where it ended as it should."""
        return self._ending.text()

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        """Show what is new."""
        text = state.text if state else ""
        self.text.show_text(text, final=state is None or state.ended)
        self._places.setCurrentWidget(self.text if text else self._words)
        if not text:
            self._set_words(placeholder(state, elapsed_s))
        self.calls.show_state(state)
        line = ending(state)
        if line != self._ending.text():
            self._ending.setText(line)
            self._ending.setVisible(bool(line))

    def _set_words(self, text: str) -> None:
        if text != self._words.text():
            self._words.setText(text)

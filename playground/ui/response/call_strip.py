"""The line under a text that says which tools the model called."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton

from playground.runs.state import RunState
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.elided_label import ElidedLabel


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

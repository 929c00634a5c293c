"""The thin line over a response: which request this is, as soon as its headers say so."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel

from playground.runs.state import RunState
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.copy_button import CopyButton
from playground.ui.widgets.elided_label import ElidedLabel

NO_ID = "the server sent no X-Request-Id"


class Header(QFrame):
    """request_id with its copy button, HTTP status, and whether the reply is simulated. Hidden until headers come."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "pane")
        self._caption = QLabel("request_id")
        self._caption.setProperty("tone", "muted")
        self._id = ElidedLabel("request_id")
        self._id.setFont(mono_font())
        self._id.setProperty("mono", True)
        self._copy = CopyButton("the request_id")
        self._simulated = QLabel("simulated")
        self._simulated.setProperty("tone", "muted")
        self._simulated.setToolTip("The built-in simulator wrote this reply; nothing left this computer")
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID * 2, GRID // 2, GRID, GRID // 2)
        row.setSpacing(GRID)
        for widget in (self._caption, self._id, self._copy, self._simulated):
            row.addWidget(widget, 1 if widget is self._id else 0)
        self.setVisible(False)

    @property
    def request_id(self) -> str:
        """The id shown; empty where there is none."""
        return self._copy.text_to_copy

    def show_state(self, state: RunState | None, simulated: bool) -> None:
        """Cheap when nothing changed."""
        attempts = state.attempts if state else []
        came = bool(attempts) and attempts[-1].headers_at is not None
        request_id = (state.request_id if state else None) or ""
        self._id.set_full_text(request_id or NO_ID, "" if request_id else "Ask support with the time instead")
        self._copy.set_text_to_copy(request_id)
        self._simulated.setVisible(simulated)
        self.setVisible(came or bool(request_id))

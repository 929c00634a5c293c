"""The JSON tab: the answer as one object, coloured."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout

from playground.runs.state import RunState
from playground.ui.response.answer import answer_json
from playground.ui.response.highlight import JsonHighlighter
from playground.ui.response.live_text import LiveText
from playground.ui.response.steps import SlowSteps
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.copy_button import CopyButton

NOTHING = "The answer's JSON will stand here."


class JsonTab(QFrame):
    """Made again in slow steps while the response comes, and once at its end."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("look", "pane")
        self.text = LiveText("The answer's JSON", follows=False)
        self._theme = theme
        self._colors: JsonHighlighter | None = None
        self._state: RunState | None = None
        self._steps = SlowSteps()
        self._what = QLabel(NOTHING)
        self._what.setProperty("tone", "muted")
        self._copy = CopyButton("the answer's JSON")
        row = QHBoxLayout()
        row.setContentsMargins(GRID * 2, GRID, GRID, 0)
        row.addWidget(self._what, 1)
        row.addWidget(self._copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(self.text, 1)

    @property
    def caption(self) -> str:
        """What the JSON below is."""
        return self._what.text()

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        """Show the answer as far as it came, when it is due."""
        if state is not self._state:
            self._state, self._steps = state, SlowSteps()
        if state is None or not (state.raw or state.text or state.trouble or state.tool_calls):
            self._show(NOTHING, "")
        else:
            self._steps.run(lambda: self._show(*answer_json(state)), now=state.ended)

    def set_theme(self, theme: Theme) -> None:
        """Colour in the new theme."""
        self._theme = theme
        if self._colors is not None:
            self._colors.set_theme(theme)

    def _show(self, what: str, text: str) -> None:
        if self._colors is None and text:
            self._colors = JsonHighlighter(self.text.document(), self._theme)
        self._what.setText(what)
        self._copy.set_text_to_copy(text)
        self.text.show_text(text)

"""The line under a response: finish reason, speed and token usage."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy

from playground.client.events import Usage
from playground.runs.metrics import Figure, seconds, speed
from playground.runs.output_estimate import output_figure
from playground.runs.state import RunState
from playground.ui.panes.response.labels import outcome
from playground.ui.theme import GRID, ui_font
from playground.ui.widgets.copy_button import CopyButton

NO_ID = "the server sent no X-Request-Id"


MIN_PX = 240


class ResponseFooter(QFrame):
    """`stop · 1.1 s   96 tok/s   1,204 in (1,152 cached)   86 out`; — marks unreported values."""

    def __init__(self) -> None:
        super().__init__()
        self.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        self.setProperty("look", "footer")
        self._outcome, self._speed, self._input, self._output = (QLabel() for _ in range(4))
        self.setMinimumWidth(MIN_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID * 2, GRID - 1, GRID * 2, GRID - 1)
        row.setSpacing(GRID * 2)
        for label in (self._outcome, self._speed, self._input, self._output):
            label.setProperty("tone", "muted")
            label.setFont(ui_font(12, tabular=True))
            label.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
            row.addWidget(label)
        row.addStretch(1)
        self.copy = CopyButton("the answer")
        row.addWidget(self.copy)

    @property
    def line(self) -> str:
        """All of it as one line of text."""
        labels = (self._outcome, self._speed, self._input, self._output)
        return "   ".join(label.text() for label in labels if label.text())

    def show_state(
        self, state: RunState | None, elapsed_s: float, estimated_prompt_tokens: float | None = None
    ) -> None:
        """`elapsed_s` is the time since sending, for a run that has not ended.

        `estimated_prompt_tokens` is shown with ≈ if the server reported no input tokens.
        """
        ended = state is not None and state.ended
        self.copy.setVisible(ended)
        self.copy.set_text_to_copy(state.text if ended and state is not None else "")
        for label, text in zip(
            (self._outcome, self._speed, self._input, self._output),
            _texts(state, elapsed_s, estimated_prompt_tokens),
            strict=True,
        ):
            if label.text() != text:
                label.setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit: the inspector has it, too."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        left = self.width() - 4 * GRID - (self.copy.sizeHint().width() + 2 * GRID if not self.copy.isHidden() else 0)
        for label in (self._outcome, self._input, self._output, self._speed):
            left -= label.sizeHint().width() + 2 * GRID if label.text() else 0
            label.setVisible(bool(label.text()) and (label is self._outcome or left >= 0))


def _texts(state: RunState | None, elapsed_s: float, estimated: float | None) -> tuple[str, str, str, str]:
    if state is None or not state.attempts:
        return outcome(state), "", "", ""
    duration = state.ended_at if state.ended else elapsed_s
    head = f"{outcome(state)} · {seconds(duration)}"
    if not state.ended or (state.phase == "failed" and state.usage is None):
        return head, "", "", ""
    usage = state.usage
    cached = Figure.reported(usage.cached_tokens if usage else None).text
    return (
        head,
        speed(state.tokens_per_s) + (" tok/s" if state.tokens_per_s is None else ""),
        f"{_input(usage, estimated)} in ({cached} cached)",
        f"{output_figure(state, '').text} out",
    )


def _input(usage: Usage | None, estimated: float | None) -> str:
    reported = usage.prompt_tokens if usage else None
    if reported is None and estimated is not None:
        return f"≈ {estimated:,.0f}"
    return Figure.reported(reported).text

"""Each attempt of a run: its status, its own request_id, the wait after it, how long it took and why it failed."""

from __future__ import annotations

from playground.runs.metrics import UNKNOWN, seconds
from playground.runs.state import Attempt, RunState
from playground.ui.panes.inspector.sections import Section
from playground.ui.widgets.copy_button import CopyButton
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.notice import words


class AttemptsSection(Section):
    """Hidden for a single attempt: the request rows already show it."""

    def __init__(self) -> None:
        super().__init__("Attempts")
        self._rows: list[tuple[FigureRow, CopyButton]] = []
        self._next = words("", "variable")
        self.column.addWidget(self._next)
        self.hide()

    def show_state(self, state: RunState) -> None:
        """One row per attempt, and the current wait."""
        shown = len(state.attempts) > 1 or state.retry is not None or state.queued is not None
        self.setVisible(shown)
        if not shown:
            return
        while len(self._rows) < len(state.attempts):
            self._add()
        for number, (row, button) in enumerate(self._rows):
            row.setVisible(number < len(state.attempts))
            if number < len(state.attempts):
                attempt = state.attempts[number]
                row.show_value(line(state, number), why(attempt), "failure" if attempt.trouble is not None else "warm")
                button.set_text_to_copy(attempt.request_id or "")
        self._next.setText(coming(state))
        self._next.setVisible(bool(self._next.text()))

    def _add(self) -> None:
        number = len(self._rows) + 1
        row = FigureRow(f"{number}")
        button = CopyButton(f"the request_id of attempt {number}")
        row.row.addWidget(button)
        self._rows.append((row, button))
        self.column.insertWidget(self.column.indexOf(self._next), row)

    @property
    def lines(self) -> list[str]:
        """What the rows say."""
        return [row.value for row, _ in self._rows if not row.isHidden()]


def line(state: RunState, number: int) -> str:
    """`503 · 51c0fa1e · +250 ms`: status, the id's beginning, and the wait before the next attempt."""
    attempt = state.attempts[number]
    parts = [_status(attempt), (attempt.request_id or UNKNOWN)[:8]]
    if attempt.ended_at is not None and number + 1 < len(state.attempts):
        parts.append(f"+{seconds(state.attempts[number + 1].started_at - attempt.ended_at)}")
    return " · ".join(parts)


def why(attempt: Attempt) -> str:
    """The trouble, how long the attempt took, and the whole id."""
    took = f"took {seconds(attempt.ended_at - attempt.started_at)}" if attempt.ended_at is not None else "under way"
    said = f"{attempt.trouble.title}. {attempt.trouble.detail}" if attempt.trouble is not None else ""
    return f"{said}\n{took} · request_id {attempt.request_id or UNKNOWN}".strip()


def coming(state: RunState) -> str:
    """Return the text of the current wait; "" without one."""
    if state.queued is not None:
        return f"waiting for a place: {state.queued.reason}"
    if state.retry is not None:
        return f"attempt {state.retry.attempt} of at most {state.retry.of} after {seconds(state.retry.wait_s)}"
    return ""


def _status(attempt: Attempt) -> str:
    if attempt.status is not None:
        return str(attempt.status)
    return attempt.trouble.kind if attempt.trouble is not None else "sent"

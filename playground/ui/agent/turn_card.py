"""Card of one turn: user message, answer, tool calls with results, usage and cost."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from playground.agent.conversation import Result, Turn
from playground.export.terminal import visible, visible_line
from playground.prompt.document import ToolCall
from playground.ui.agent.labels import outcome, pretty, result_words
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.id_label import CopyButton
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import plain_tip


class CallRow(QFrame):
    """A call with its arguments, state and result."""

    edit_asked = Signal(str)
    """Emitted with the call's id."""

    def __init__(self, call: ToolCall) -> None:
        super().__init__()
        self.call = call
        self.setProperty("look", "aside")
        self.head = words(f"calls {visible_line(call.name)}", "strong")
        self.arguments = _mono(visible(pretty(call.arguments)))
        self.state = words("", "muted")
        self.result = _mono("")
        self.edit = QPushButton("Edit the result…")
        self.edit.setProperty("look", "link")
        self.edit.setAccessibleName(f"Edit the result of {visible_line(call.name)}")
        self.edit.clicked.connect(lambda: self.edit_asked.emit(call.id))
        row = QHBoxLayout()
        row.addWidget(self.state, 1)
        row.addWidget(self.edit)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID + 4, GRID // 2, GRID, GRID // 2)
        column.setSpacing(2)
        column.addWidget(self.head)
        column.addWidget(self.arguments)
        column.addLayout(row)
        column.addWidget(self.result)

    def show_result(self, result: Result | None, now: float, *, running: bool) -> None:
        """Show a result; None: not called yet. Editing is disabled while the loop runs."""
        self.state.setText("not called yet" if result is None else result_words(result, now))
        text = "" if result is None or result.kind in ("running", "stopped") else visible(result.text)
        if self.result.text() != text:
            self.result.setText(text)
        self.result.setVisible(bool(text))
        self.edit.setVisible(not running)


class TurnCard(QFrame):
    """Shows one turn, also while it streams."""

    result_asked = Signal(str, str)
    """(turn id, call id): the user wants to edit this result."""
    answer_asked = Signal(str)
    """Emitted when the user wants to edit the answer."""
    go_on_asked = Signal(str)

    def __init__(self, number: int, turn_id: str) -> None:
        super().__init__()
        self.turn_id = turn_id
        self.setProperty("look", "card")
        self.title = QLabel(f"Turn {number}")
        self.title.setProperty("tone", "strong")
        self.state = words("", "muted")
        self.request_id = words("", "muted")
        self.copy = CopyButton(f"the request_id of turn {number}")
        self.added = words("")
        self.text = words("")
        self.filler = words("filler: spoken while the tool runs", "muted")
        self.coming = _mono("")
        self.figures = words("", "muted")
        self.prefix = words("", "muted")
        self.error = words("", "failure")
        self.edit = self._link("Edit the answer…", lambda: self.answer_asked.emit(turn_id))
        self.go_on = self._link("Branch from here", lambda: self.go_on_asked.emit(turn_id))
        self._calls: dict[str, CallRow] = {}
        self._lay_out()

    def _link(self, label: str, handler: object) -> QPushButton:
        button = QPushButton(label)
        button.setProperty("look", "link")
        button.clicked.connect(handler)
        return button

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        for widget in (self.title, self.state):
            head.addWidget(widget)
            widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        head.addStretch(1)
        head.addWidget(self.request_id)
        head.addWidget(self.copy)
        self.calls = QVBoxLayout()
        self.calls.setSpacing(GRID // 2)
        tail = QHBoxLayout()
        tail.addWidget(self.edit)
        tail.addWidget(self.go_on)
        tail.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID, GRID * 2, GRID)
        column.setSpacing(GRID // 2)
        column.addLayout(head)
        for widget in (self.added, self.text, self.filler):
            column.addWidget(widget)
        column.addLayout(self.calls)
        for widget in (self.coming, self.error, self.figures, self.prefix):
            column.addWidget(widget)
        column.addLayout(tail)

    def show_turn(
        self, turn: Turn, *, figures: str, prefix: str, added: str, coming: str, now: float, running: bool
    ) -> None:
        """Show the turn. `coming`: calls whose arguments are incomplete."""
        self._say(self.state, outcome(turn))
        self._say(self.request_id, turn.request_id[:8] if turn.request_id else "")
        self.request_id.setToolTip(plain_tip(visible_line(turn.request_id or "")))
        self.copy.set_text_to_copy(turn.request_id or "")
        self._say(self.added, added)
        self._say(self.text, turn.text)
        self.filler.setVisible(bool(turn.text and turn.calls))
        self._say(self.coming, coming)
        self._say(self.error, turn.error)
        self._say(self.figures, figures)
        self._say(self.prefix, prefix)
        self._show_calls(turn, now, running=running)
        self.edit.setVisible(not running)
        self.go_on.setVisible(not running and turn.phase == "done")

    def _show_calls(self, turn: Turn, now: float, *, running: bool) -> None:
        for call in turn.calls:
            if call.id not in self._calls:
                row = CallRow(call)
                row.edit_asked.connect(lambda call_id: self.result_asked.emit(self.turn_id, call_id))
                self._calls[call.id] = row
                self.calls.addWidget(row)
        results = {result.call_id: result for result in turn.results}
        for call_id, row in self._calls.items():
            row.show_result(results.get(call_id), now, running=running)

    @property
    def call_rows(self) -> list[CallRow]:
        """Return the calls in order."""
        return list(self._calls.values())

    def _say(self, label: QLabel, text: str) -> None:
        text = visible(text)
        if label.text() != text:
            label.setText(text)
        label.setVisible(bool(text))


def _mono(text: str) -> QLabel:
    label = words(text)
    label.setFont(mono_font(12))
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    return label


def stretch() -> QWidget:
    """Return the flexible space below the last turn."""
    widget = QWidget()
    widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
    return widget

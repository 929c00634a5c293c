"""The Tool calls tab: the streamed arguments of each call, and the filler text before them."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QWidget

from playground.prompt.field_errors import FieldError
from playground.prompt.json_text import read_json
from playground.runs.record import Asked
from playground.runs.state import RunState, ToolCallState
from playground.tools.schema import check_arguments
from playground.ui.panes.response.live_text import LiveText
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID
from playground.ui.widgets.labels import CopyButton, ElidedLabel, push_button, show_or_hide, toned
from playground.ui.widgets.layouts import STRETCH, PageScroll, Panel, column_of, discard, row_of
from playground.ui.widgets.notice import words

NOTHING = "Tool calls appear here while their arguments stream."
NONE_CAME = "The model called no tool."
TALLEST = 240
ASSEMBLING: tuple[str, str, tuple[FieldError, ...]] = ("muted", "… assembling", ())


def mark(call: ToolCallState, ended: bool, asked: Asked | None = None) -> tuple[str, str, tuple[FieldError, ...]]:
    """Return (tone, label, error) for the arguments of a call: complete only if they are one JSON object.

    If `asked` is known, validate complete arguments against the schema of the tool.
    """
    if not isinstance(read_json(call.arguments), dict):
        return ("failure", "✗ not a JSON object", check_arguments(call.arguments, None).errors) if ended else ASSEMBLING
    if asked is None:
        return "warm", "✓ complete", ()
    if call.name not in asked.schemas:
        return "failure", "✗ no tool of this name was sent", ()
    schema = asked.schemas[call.name]
    checked = check_arguments(call.arguments, schema)
    if checked.errors:
        return "failure", "✗ does not fit its schema", checked.errors
    if checked.unchecked:
        return "warm", f"✓ complete, not checked: {checked.unchecked}", ()
    return "warm", "✓ complete, fits its schema" if schema else "✓ complete", ()


class CallCard(Panel):
    """One call: name, id, arguments, and whether they are whole."""

    def __init__(self, index: int) -> None:
        super().__init__("card")
        self._name = toned("", "strong")
        self._id = ElidedLabel(f"id of tool call {index + 1}", "muted", middle=True)
        self.mark = QLabel()
        self._copy = CopyButton("the arguments")
        self._judged: tuple[str, str, bool] | None = None
        self.problems = words("", "failure")
        self.problems.setVisible(False)
        self.arguments = LiveText(f"Arguments of tool call {index + 1}")
        self.arguments.document().setDocumentMargin(0)
        row = row_of(self._name, (self._id, 1), self.mark, self._copy, spacing=GRID)
        column_of(row, self.arguments, self.problems, on=self, margins=(GRID + 4, GRID, GRID, GRID), spacing=GRID // 2)

    def show_call(self, call: ToolCallState, ended: bool, asked: Asked | None) -> None:
        arguments = call.arguments
        self._name.setText(call.name or "unnamed tool")
        self._id.set_full_text(call.id or "no id yet")
        self.arguments.show_text(arguments)
        self._copy.set_text_to_copy(arguments)
        if (key := (call.name, arguments, ended)) != self._judged:
            self._judged = key
            self._update_text(*mark(call, ended, asked))
        self._fit()

    def _update_text(self, tone: str, word: str, problems: tuple[FieldError, ...]) -> None:
        if word != self.mark.text():
            self.mark.setText(word)
            restyle(self.mark, tone=tone)
        show_or_hide(self.problems, "\n".join(str(problem) for problem in problems))

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._fit()

    def _fit(self) -> None:
        lines = max(int(self.arguments.document().size().height()), 1)
        height = min(lines * self.arguments.fontMetrics().lineSpacing() + 6, TALLEST)
        if height != self.arguments.height():
            self.arguments.setFixedHeight(height)


class ToolCallsTab(PageScroll):
    """A card a call; on top the filler, which is text that came before the first call."""

    run_requested = Signal()
    """Answer the calls, and go on until there is an answer."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Tool calls")
        self.cards: dict[int, CallCard] = {}
        self._state: RunState | None = None
        self._asked: Asked | None = None
        self._words = words(NOTHING, "muted")
        self._filler_mark = toned("◆ filler · spoken before the call to avoid silence", "output", wraps=True)
        self.filler = words("")
        self.run = push_button("Run agent loop: answer these calls and continue", "link", self.run_requested)
        self.run.hide()
        inside = QWidget(self.viewport())
        items = self._words, self._filler_mark, self.filler, (self.run, 0, Qt.AlignmentFlag.AlignLeft), STRETCH
        self._column = column_of(*items, on=inside, margins=GRID * 2, spacing=GRID)
        self.setWidget(inside)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    @property
    def words_shown(self) -> str:
        """Return the placeholder shown without calls."""
        return "" if self.cards else self._words.text()

    def set_asked(self, asked: Asked | None) -> None:
        """Set the options of the request, None if unknown. Applies to the next state shown."""
        self._asked = asked

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        if state is not self._state:
            self._state = state
            while self.cards:
                discard(self._column, self.cards.popitem()[1])
        calls = state.tool_calls if state else {}
        for index in sorted(calls):
            if index not in self.cards:
                self.cards[index] = CallCard(index)
                # Before the way to go on, and the stretch that ends the column.
                self._column.insertWidget(self._column.count() - 2, self.cards[index])
            self.cards[index].show_call(calls[index], bool(state and state.ended), self._asked)
        self.run.setVisible(bool(calls and state and state.phase == "done"))
        self._words.setText(NONE_CAME if state and state.ended else NOTHING)
        self._words.setVisible(not calls)
        filler = state.text if state and calls else ""
        show_or_hide(self.filler, filler)
        self._filler_mark.setVisible(bool(filler))

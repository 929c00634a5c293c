"""The Text tab (the streamed completion, or why there is none) and the Tool calls tab (the arguments of each call)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QStackedLayout, QWidget

from playground.prompt.field_errors import FieldError
from playground.prompt.json_text import read_json
from playground.runs.metrics import counted, whole_seconds
from playground.runs.record import Asked
from playground.runs.state import RunState, ToolCallState
from playground.tools.schema import check_arguments
from playground.ui.panes.response.labels import ending, left_s, placeholder, queued
from playground.ui.panes.response.live_text import LiveText
from playground.ui.theme import GRID, mono_font, restyle
from playground.ui.widgets.form import progress_bar
from playground.ui.widgets.icons import IconLabel, set_icon
from playground.ui.widgets.labels import CopyButton, ElidedLabel, push_button, show_or_hide, toned
from playground.ui.widgets.layouts import (
    STRETCH,
    FittedScroll,
    PageScroll,
    Panel,
    Space,
    column_of,
    discard,
    grid_of,
    row_of,
)
from playground.ui.widgets.notice import words


class CallStrip(QFrame):
    """`◆ get_account_info({"account_id": "AC-10442"})`, and the way to the whole of it. Hidden without a call."""

    show_requested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.text = ElidedLabel("tool calls", middle=True, parent=self)
        self.text.setFont(mono_font())
        self.text.setProperty("mono", True)
        self._show = push_button("show", "link", self.show_requested, name="Show the tool calls")
        row_of((self.text, 1), self._show, on=self, margins=(GRID * 2, GRID // 2, GRID, GRID // 2), spacing=GRID)
        self.setVisible(False)

    def show_state(self, state: RunState | None) -> None:
        calls = state.calls if state else []
        line = "  ".join(f"◆ {call.name or 'tool'}({call.arguments})" for call in calls)
        self.text.set_full_text(line)
        self.setVisible(bool(line))


class WaitBox(QFrame):
    """Why a request waits, how long, and Cancel. Hidden while nothing waits."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.title = words("", "strong")
        self.reason = words("", "muted")
        self.bar = progress_bar("Elapsed part of the wait")
        self.bar.setFixedHeight(4)
        self.cancel = push_button("Cancel")
        head = row_of(IconLabel("clock"), (self.title, 1), spacing=GRID)
        items = head, self.reason, self.bar, Space(GRID // 2), (self.cancel, 0, Qt.AlignmentFlag.AlignLeft)
        column_of(*items, on=self, margins=(GRID * 2, GRID * 2, GRID * 2, GRID), spacing=GRID // 2)
        self.hide()

    def show_state(self, state: RunState | None, elapsed_s: float) -> None:
        """Show the wait for a slot or for the next attempt."""
        found = _wait(state, elapsed_s)
        self.setVisible(found is not None)
        if found is None:
            return
        title, reason, whole_s, left = found
        if (self.title.text(), self.reason.text()) != (title, reason):
            self.title.setText(title)
            self.reason.setText(reason)
            self.setAccessibleName(title)
        self.reason.setVisible(bool(reason))
        self.bar.setVisible(left is not None and whole_s > 0)
        if left is not None and whole_s > 0:
            self.bar.setRange(0, round(whole_s))
            self.bar.setValue(round(whole_s - left))


def _wait(state: RunState | None, elapsed_s: float) -> tuple[str, str, float, float | None] | None:
    """Return (title, reason, seconds of the whole wait, seconds left) of a waiting request."""
    if state is None or state.ended:
        return None
    if state.queued is not None:
        event, sent = state.queued, left_s(state.queued, elapsed_s)
        at = "" if sent is None else f" Sent automatically at {datetime.now() + timedelta(seconds=sent):%H:%M:%S}."
        reason = f"{event.reason[:1].upper()}{event.reason[1:]}.{at}"
        return queued(event, elapsed_s), reason, event.expected_s or 0.0, sent
    if state.phase == "retrying" and state.retry is not None and state.error is not None:
        left = max(state.retry.at + state.retry.wait_s - elapsed_s, 0.0)
        status = f"{state.error.status} " if state.error.status is not None else ""
        title = f"Retrying in {whole_seconds(left)}: attempt {state.retry.attempt} of {state.retry.of}"
        asked = " The server asked for this wait." if state.error.retry_after_s is not None else ""
        return title, f"{status}{state.error.title}.{asked}", state.retry.wait_s, left
    return None


STEPS = (
    ("Send the prompt", "The completion streams in here; its request_id is known before the first token."),
    ("Send it again", "Most input tokens now come from the cache: cheaper, and the first token comes sooner."),
    ("Change one early character", "The inspector shows where the shared prefix ended, and what that costs."),
)


class StepsPanel(PageScroll):
    """What an empty response pane offers: how to see the cache work."""

    action = Signal(str)
    """The id of an action of the window."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName("See the cache work in three steps")
        page = QWidget(self.viewport())
        title = toned("See the cache work in three steps", "title", wraps=True)
        grid = grid_of(stretched=1, across=GRID + 4, down=0)
        for place, (head, text) in enumerate(STEPS):
            number = QLabel(f"{place + 1}", page)
            number.setProperty("look", "step")
            number.setAlignment(Qt.AlignmentFlag.AlignCenter)
            number.setFixedSize(22, 22)
            grid.addWidget(number, 3 * place, 0, 2, 1, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(toned(head, "strong"), 3 * place, 1)
            grid.addWidget(toned(text, "muted", wraps=True), 3 * place + 1, 1)
            grid.setRowMinimumHeight(3 * place + 2, GRID + 4)
        verify = push_button("Send twice for me", "link", lambda: self.action.emit("verify"), icon=("play", "accent"))
        guide = push_button("Guide", "link", lambda: self.action.emit("guide"))
        links = row_of(verify, guide, STRETCH, margins=(22 + GRID + 4 - 5, 0, 0, 0), spacing=GRID)
        margins = (GRID * 3, GRID * 3, GRID * 3, GRID * 2)
        column_of(title, grid, links, STRETCH, on=page, margins=margins, spacing=GRID * 2)
        self.setWidget(page)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)


class FoldedText(QFrame):
    """Reasoning or a refusal: folded to one line until it is opened. Hidden while there is none."""

    def __init__(self, name: str, *, folded: bool, parent: QWidget) -> None:
        super().__init__(parent)
        self._name = name
        self._has_text = False
        self.head = push_button(name, "quiet", icon=("right" if folded else "down", "muted"))
        self.head.setCheckable(True)
        self.head.setChecked(not folded)
        self.head.toggled.connect(self._fold)
        head, margins = (self.head, 0, Qt.AlignmentFlag.AlignLeft), (GRID, GRID // 2, GRID, 0)
        self._column = column_of(head, on=self, margins=margins, spacing=0)
        self.hide()

    @cached_property
    def text(self) -> LiveText:
        """The text, created with its first character."""
        text = LiveText(self._name, parent=self)
        text.setMaximumHeight(160)
        self._column.addWidget(text)
        text.setVisible(self.head.isChecked())
        return text

    def _fold(self, opened: bool) -> None:
        set_icon(self.head, "down" if opened else "right")
        self.text.setVisible(opened)

    def show_text(self, text: str, *, final: bool) -> None:
        if not (text or self._has_text):
            return
        self._has_text = bool(text)
        self.text.show_text(text, final=final)
        self.head.setText(f"{self._name} · {counted(len(text), 'character')}")
        self.setVisible(bool(text))


class TextTab(Panel):
    """The completion, live. `elapsed_s` of `refresh` feeds the words of waiting."""

    action = Signal(str)
    """The id of an action of the window."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("pane", parent=parent)
        # With a style sheet, a new parent costs time for every widget below: each widget is made below its own.
        self.text = LiveText("Completion", parent=self)
        self.calls = CallStrip(self)
        self.waiting = WaitBox(self)
        self.reasoning = FoldedText("Reasoning", folded=True, parent=self)
        self.refusal = FoldedText("Refusal", folded=False, parent=self)
        self._words = words("", "muted")
        self._words.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._words.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        self.ending = words("", "variable")
        self.ending.setContentsMargins(GRID * 2, GRID // 2, GRID * 2, GRID)
        self.ending.setVisible(False)
        self._places = QStackedLayout()
        self.steps = StepsPanel(self)
        self.steps.action.connect(self.action)
        # A stacked layout shows its first widget at once: inside this one, never as a window of its own.
        items = FittedScroll(self.waiting), self.reasoning, self.refusal, (self._places, 1), self.calls, self.ending
        column_of(*items, on=self, margins=0, spacing=0)
        for place in (self._words, self.text, self.steps):
            self._places.addWidget(place)

    @property
    def words_shown(self) -> str:
        """Return the placeholder for the text; "" while text is visible."""
        return "" if self._places.currentWidget() is self.text else self._words.text()

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        text, ended = state.text if state else "", state is None or state.ended
        self.text.show_text(text, final=ended)
        self._places.setCurrentWidget(self.text if text else self._words if state else self.steps)
        self.waiting.show_state(state, elapsed_s)
        self.reasoning.show_text(state.reasoning if state else "", final=ended)
        self.refusal.show_text(state.refusal if state else "", final=ended)
        if not text:
            hidden = self.waiting.isVisibleTo(self) or self.refusal.isVisibleTo(self)
            self._words.setText("" if hidden else placeholder(state, elapsed_s))
        self.calls.show_state(state)
        show_or_hide(self.ending, ending(state))


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

"""The response pane: the completion as it streams, the request that it answers, and how the request ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from PySide6.QtCore import QElapsedTimer, QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QStackedWidget, QWidget

from playground.client.error_body import parse, path_of, steps_of
from playground.client.events import ApiError
from playground.prompt.field_errors import FieldError
from playground.runs.metrics import Figure, input_figure, output_figure, seconds, speed
from playground.runs.record import Asked
from playground.runs.state import RunState
from playground.ui.panes.response.labels import LOOKS, can_be_added, outcome
from playground.ui.panes.response.live_text import SlowSteps
from playground.ui.panes.response.raw_tabs import DisplayedRequest, JsonTab, RequestTab
from playground.ui.panes.response.text_tab import TextTab, ToolCallsTab
from playground.ui.theme import GRID, mono_font, restyle, scaled, ui_font
from playground.ui.widgets.icons import IconLabel
from playground.ui.widgets.labels import CopyButton, push_button
from playground.ui.widgets.layouts import (
    STRETCH,
    FittedScroll,
    Panel,
    column_of,
    discard,
    grid_of,
    repeating_timer,
    row_of,
)
from playground.ui.widgets.notice import Notice, SlimBar, field_link, shortened, words
from playground.ui.widgets.plain_table import hairline
from playground.ui.widgets.tab_bar import tab_bar, with_count

if TYPE_CHECKING:
    from playground.ui.panes.response.probabilities_tab import ProbabilitiesTab
    from playground.ui.panes.response.raw_tabs import EventsTab
    from playground.ui.panes.response.rendered_tab import RenderedTab

MOST_DETAILS = 6


def problems_of(error: ApiError) -> list[FieldError]:
    """Each detail as a problem with its path, as the server wrote it; the `param` of OpenAI's errors is one too."""
    said = (item.get("message") or item.get("msg") for item in error.details)
    problems = [
        FieldError(path_of(item), text if isinstance(text, str) else "not accepted")
        for item, text in zip(error.details, said, strict=True)
    ]
    param = parse(error.body).param if error.body and not any(p.path for p in problems) else None
    if param:
        problems.append(FieldError(steps_of(param), "is the field that the server names"))
    return problems


def details_grid(problems: list[FieldError], chosen: Callable[[FieldError], object]) -> QGridLayout:
    """One row per field error: the path as a button, then the message. Calls `chosen` on a click."""
    grid = grid_of(stretched=1, across=GRID, down=0)
    for row, problem in enumerate(problems[:MOST_DETAILS]):
        if problem.path:
            grid.addWidget(field_link(problem, chosen), row, 0)
        grid.addWidget(words(shortened(problem.message)), row, 1)
    if len(problems) > MOST_DETAILS:
        grid.addWidget(words(f"and {len(problems) - MOST_DETAILS} more: see JSON", "muted"), MOST_DETAILS, 1)
    return grid


MOST_LINES = 7
MOST_CHARS = 1_000
_KEY_STATUSES = (401, 403)


def trouble_notice(state: RunState, go_to: Callable[[FieldError], object]) -> Notice | None:
    """Return the error banner for a failed run; None for other runs. Its buttons trigger actions of the window.

    `go_to` is called with the clicked field.
    """
    error = state.error
    if error is None or state.phase != "failed":
        return None
    problems = problems_of(error)
    # The detail without the lines that have a row of their own.
    rows = {line for problem in problems for line in (str(problem), problem.message)}
    detail = "\n".join(line for line in error.detail.split("\n") if line not in rows)
    notice = Notice(error.title, _cut(detail), error.advice, _buttons(error))
    # Under the words, over the buttons.
    if problems:
        notice.column.insertLayout(notice.column.count() - 1, details_grid(problems, go_to))
    if facts := _facts(error):
        label = words(facts, "muted")
        label.setFont(mono_font())
        notice.column.insertWidget(notice.column.count() - 1, label)
    return notice


def _buttons(error: ApiError) -> tuple[tuple[str, str], ...]:
    again = ("Send again", "send")
    if error.context_length is not None:
        return (("Fix prompt structure…", "mend"), again)
    if error.kind == "key" or error.status in _KEY_STATUSES:
        return (("Set the key…", "connect"), again)
    if error.kind in ("connect", "tls", "setup", "protocol"):
        return (again, ("Check the endpoint…", "connect"))
    return (again,)


def _facts(error: ApiError) -> str:
    """Status and type, and the wait that the server asks for."""
    facts = [
        f"status {error.status}" if error.status is not None else "",
        f"type {error.error_type}" if error.error_type else "",
        f"Retry-After {error.retry_after_s:g} s" if error.retry_after_s is not None else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _cut(detail: str) -> str:
    text = "\n".join(detail.split("\n")[:MOST_LINES])[:MOST_CHARS]
    return text if text == detail else f"{text} … (all of it: see JSON)"


MIN_PX = 240
FOOTER_PX = 30
"""The same as of the prompt's footer."""


class ResponseFooter(Panel):
    """`stop · 1.1 s   96 tok/s   1,204 in (1,152 cached)   86 out`; — marks unreported values."""

    def __init__(self) -> None:
        super().__init__("footer")
        self.setProperty("small", "true")
        self._labels = self._outcome, self._speed, self._input, self._output = [QLabel() for _ in range(4)]
        self._head = ""
        """The outcome and the time, which is left out where it does not fit."""
        self.setMinimumWidth(MIN_PX)
        self.setFixedHeight(FOOTER_PX)
        self._icon = IconLabel("")
        self._icon.hide()
        for label in self._labels:
            label.setProperty("tone", "muted")
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setFont(ui_font(12, tabular=True))
            label.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
        self.copy = CopyButton("the answer")
        self.add = push_button("Add to prompt", "link", icon=("plus", "accent"))
        self.add.setToolTip("Add the completion to the prompt as a message, and an empty message of the user below it")
        self._addable = False
        head, margins = row_of(self._icon, self._outcome, spacing=GRID), (GRID * 2, 0, GRID * 2, 0)
        row_of(head, *self._labels[1:], STRETCH, self.add, self.copy, on=self, margins=margins, spacing=GRID * 2)

    @property
    def line(self) -> str:
        """All of it as one line of text."""
        return "   ".join(label.text() for label in self._labels if label.text())

    def show_state(
        self, state: RunState | None, elapsed_s: float, estimated_prompt_tokens: float | None = None
    ) -> None:
        """`elapsed_s` is the time since sending, for a run that has not ended.

        `estimated_prompt_tokens` is shown with ≈ if the server reported no input tokens.
        """
        ended = state is not None and state.ended
        self.copy.setVisible(ended)
        self._addable = state is not None and can_be_added(state)
        self.copy.set_text_to_copy(state.text if ended and state is not None else "")
        self._head, *others = _texts(state, elapsed_s, estimated_prompt_tokens)
        for label, text in zip(self._labels[1:], others, strict=True):
            label.setText(text)
        icon, role, tone = LOOKS[state.phase if state is not None else None]
        self._icon.show_icon(icon, role)
        restyle(self._outcome, tone=tone)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit: the inspector has it, too."""
        super().resizeEvent(event)
        self._fit()

    def event(self, event: QEvent) -> bool:
        """Follow another text size, and labels that have become wider."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return done

    def _fit(self) -> None:
        left = (
            self.width()
            - 4 * GRID
            - (0 if self._icon.isHidden() else self._icon.width() + GRID)
            - (self.copy.sizeHint().width() + 2 * GRID if not self.copy.isHidden() else 0)
        )
        rest = left - self.add.sizeHint().width() - 2 * GRID
        least = self._outcome.fontMetrics().horizontalAdvance(self._head.partition(" · ")[0])
        self.add.setVisible(self._addable and rest >= least)
        left = left if self.add.isHidden() else rest
        fits = self._outcome.fontMetrics().horizontalAdvance(self._head) <= left
        self._outcome.setText(self._head if fits else self._head.partition(" · ")[0])
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
    prompt = usage.prompt_tokens if usage else None
    read = input_figure(prompt, estimated, state.phase, state.status, len(state.attempts), "")
    cached = Figure.reported(usage.cached_tokens if usage else None).text
    return (
        head,
        speed(state.tokens_per_s) + (" tok/s" if state.tokens_per_s is None else ""),
        f"{read.text} in ({cached} cached)",
        f"{output_figure(state, '').text} out",
    )


TICK_MS = 100
TEXT, REQUEST, RENDERED, TOOLS, EVENTS, JSON, PROBABILITIES = range(7)


class _Tab(Protocol):
    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None: ...


_Created = TypeVar("_Created", bound=QWidget)


_LEAST_TEXT_PX = 60
"""Room for the text that came before an error, of which the notice scrolls in a low window."""


class _Pages(QStackedWidget):
    def hasHeightForWidth(self) -> bool:
        """Return False: a layout would take the height for its width as the least height, also that of a notice."""
        return False


class ResponsePane(Panel):
    """Shows the state of one run. The run changes the state; `refresh` updates the view."""

    notice_action = Signal(str)
    """The name of an action that a button in the error notice asks for: "send" or "connect"."""

    left = Signal()
    """Escape: back from a logged request."""
    place_requested = Signal(object)
    """A Problem whose path names the field of the prompt that the cursor is to go to."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("pane", "Response", parent)
        self._state: RunState | None = None
        self._estimated: float | None = None
        self.notice: Notice | None = None
        """The error notice, while there is one."""
        self._phase: str | None = None
        self._since = QElapsedTimer()
        self._labels = SlowSteps()
        self._stack = _Pages(self)
        self._stack.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)  # a notice keeps its size
        self.text_tab = TextTab(self._stack)
        self.request_tab = RequestTab(self._stack)
        self.tools_tab = ToolCallsTab(self._stack)
        self.tools_tab.run_requested.connect(lambda: self.notice_action.emit("chain"))
        self.json_tab = JsonTab(self._stack)
        self.footer = ResponseFooter()
        self.from_log = SlimBar("From the log")
        titles = ("Text", "Request", "Rendered", "Tool calls", "Events", "JSON", "Probabilities")
        self.tabs = tab_bar("Views of the response", titles)
        self.tabs.tightens = True
        made = {TEXT: self.text_tab, REQUEST: self.request_tab, TOOLS: self.tools_tab, JSON: self.json_tab}
        for index in range(len(titles)):
            self._stack.addWidget(made.get(index) or QWidget(self._stack))
        items = self.tabs, hairline(), self.from_log, (self._stack, 1), self.footer
        self._column = column_of(*items, on=self, margins=0, spacing=0)
        self.tabs.currentChanged.connect(self._choose)
        # Nothing comes while the first token is awaited; the wait is counted all the same.
        self._tick = repeating_timer(self, TICK_MS, lambda: self.refresh())
        self.footer.add.clicked.connect(lambda: self.notice_action.emit("add_to_prompt"))
        self.text_tab.waiting.cancel.clicked.connect(lambda: self.notice_action.emit("stop"))
        self.text_tab.action.connect(self.notice_action)
        self.text_tab.calls.show_requested.connect(lambda: self.show_tab(TOOLS))
        self.show_state(None)

    def show_state(
        self,
        state: RunState | None,
        *,
        sent: DisplayedRequest | None = None,
        asked: Asked | None = None,
        estimated_prompt_tokens: float | None = None,
        elapsed_s: float = 0.0,
    ) -> None:
        """Show another run from here on; None: nothing was sent yet.

        Args:
            sent: the request, for the Request tab.
            asked: the form of answer that the request asks for.
            estimated_prompt_tokens: the forecast's, shown with ≈ if the server reports none.
            elapsed_s: seconds since the run began.
        """
        self._state, self._estimated = state, estimated_prompt_tokens
        self.request_tab.show_request(sent)
        self.tools_tab.set_asked(asked)
        self.json_tab.set_asked(asked)
        self._since.start()
        self._before_s = elapsed_s
        self._drop_notice()
        self._labels = SlowSteps()
        self.refresh()

    @property
    def _elapsed_s(self) -> float:
        return self._before_s + (self._since.elapsed() / 1000 if self._since.isValid() else 0.0)

    def refresh(self, elapsed_s: float | None = None) -> None:
        """Take in what the shown state gained. Cheap: at most 60 times a second; hidden tabs are not touched.

        `elapsed_s`: seconds since the run began, from here on; None: counted since `show_state`.
        """
        state = self._state
        if elapsed_s is not None:
            if elapsed_s != self._before_s and state is not None and not state.ended:
                self.footer.show_state(state, elapsed_s, self._estimated)
            self._since.invalidate()
            self._before_s = elapsed_s
        running = state is not None and not state.ended
        elapsed = self._elapsed_s if running else 0.0
        self._tab(self._stack.currentIndex()).refresh(state, elapsed)
        phase = state.phase if state else None
        self._labels.run(self._refresh_labels, now=not running or phase != self._phase)
        self._phase = phase
        if running:
            self._drop_notice()  # a retry was scheduled after the failure was displayed
        elif state is not None and self.notice is None:
            self._show_notice(trouble_notice(state, self.place_requested.emit))
        counts = running and self._since.isValid()  # else the caller counts
        if counts != self._tick.isActive():
            self._tick.start() if counts else self._tick.stop()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def take_focus(self) -> None:
        self.tabs.setFocus()

    def show_tab(self, index: int) -> None:
        """Bring a tab to the front: TEXT, RENDERED, TOOLS, EVENTS, JSON or, where any came, PROBABILITIES."""
        self.tabs.setCurrentIndex(index)

    @cached_property
    def rendered_tab(self) -> RenderedTab:
        """The completion as rendered Markdown, created on first use like the two tabs below."""
        from playground.ui.panes.response.rendered_tab import RenderedTab

        return self._put(RENDERED, RenderedTab())

    @cached_property
    def events_tab(self) -> EventsTab:
        from playground.ui.panes.response.raw_tabs import EventsTab

        return self._put(EVENTS, EventsTab())

    @cached_property
    def probabilities_tab(self) -> ProbabilitiesTab:
        from playground.ui.panes.response.probabilities_tab import ProbabilitiesTab

        return self._put(PROBABILITIES, ProbabilitiesTab())

    def _put(self, index: int, tab: _Created) -> _Created:
        blank, chosen = self._stack.widget(index), self._stack.currentIndex()
        self._stack.insertWidget(index, tab)
        if blank is not None:
            self._stack.removeWidget(blank)
            blank.deleteLater()
        self._stack.setCurrentIndex(chosen)
        return tab

    def _tab(self, index: int) -> _Tab:
        later = {RENDERED: "rendered_tab", EVENTS: "events_tab", PROBABILITIES: "probabilities_tab"}
        return cast("_Tab", getattr(self, later[index]) if index in later else self._stack.widget(index))

    def _choose(self, index: int) -> None:
        self._tab(index)
        self._stack.setCurrentIndex(index)
        self.refresh()

    def _refresh_labels(self) -> None:
        state = self._state
        running = state is not None and not state.ended
        self.footer.show_state(state, self._elapsed_s if running else 0.0, self._estimated)
        tokens = state.probabilities_came if state else 0
        titles = {
            TOOLS: with_count("Tool calls", len(state.tool_calls) if state else 0),
            EVENTS: with_count("Events", len(state.raw) if state else 0),
            JSON: self.json_tab.title(state),
            PROBABILITIES: with_count("Probabilities", tokens),
        }
        for index, text in titles.items():
            if self.tabs.tabText(index) != text:
                self.tabs.setTabText(index, text)
        # Who looks at it while the next answer is awaited is not sent away before it is known that none come.
        stays = running and self.tabs.currentIndex() == PROBABILITIES
        self.tabs.setTabVisible(PROBABILITIES, tokens > 0 or stays)

    def _show_notice(self, notice: Notice | None) -> None:
        if notice is None or self._state is None:
            return
        self.notice = notice
        notice.action.connect(self.notice_action)
        # Where it happened: after the text that had come, or in the place where text would be.
        above = self._stack if not self._state.text else self.footer
        self._notice_area = FittedScroll(notice)
        self._stack.setMinimumHeight(scaled(_LEAST_TEXT_PX) if self._state.text else 0)
        self._column.insertWidget(self._column.indexOf(above), self._notice_area)
        self._notice_area.show()

    def _drop_notice(self) -> None:
        if self.notice is not None:
            discard(self._column, self._notice_area)
            self._stack.setMinimumHeight(0)
            self.notice = None

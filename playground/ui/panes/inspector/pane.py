"""The inspector: request_id, usage, cache, latency and cost of the request on display, and advice on the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QMenu, QStackedWidget, QWidget

from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.text_compare import common_prefix
from playground.runs.metrics import seconds
from playground.runs.state import Attempt, RunState
from playground.ui.panes.inspector.figures import InspectorModel, status_text, until_line
from playground.ui.panes.inspector.sections import (
    AdviceSection,
    CostSection,
    ForecastSection,
    IdSection,
    InspectorStrip,
    LatencySection,
    RequestSection,
    Section,
    UsageSection,
)
from playground.ui.theme import GRID, mono_font, restyle
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.labels import IdRow, push_button, show_or_hide, toned
from playground.ui.widgets.layouts import STRETCH, PageScroll, add_items, column_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import hairline
from playground.ui.widgets.tab_bar import tab_bar

if TYPE_CHECKING:
    from playground.prefix_cache.cache_profile import ColdClock
    from playground.prefix_cache.miss_explanation import MissExplanation as Why


class WhyBox(QFrame):
    """Hidden while there is nothing to say."""

    place_requested = Signal(int, int)
    """(message, code point offset in the sent text)."""
    compare_requested = Signal(str)
    """A run_id: be held against that earlier request."""

    def __init__(self) -> None:
        super().__init__()
        self._why: Why | None = None
        self._title = toned("", "strong", wraps=True)
        self._sentence = words("")
        self._before, self._after = (words("") for _ in range(2))
        self._captions = (toned("before", "muted"), toned("now", "muted"))
        self._button = push_button("Show the place", clicked=self._go)
        self.comparable: Callable[[], Sequence[tuple[str, str]]] = tuple
        """Names the earlier requests to choose from: (run_id, words)."""
        self.compare = push_button("Compare with ▾", "link", tip="Compare this request with another earlier one")
        self.compare.setProperty("flush", "true")
        self.choices = QMenu(self)
        self.choices.aboutToShow.connect(self._fill)
        self.compare.setMenu(self.choices)
        margins = (GRID + 4, GRID, GRID, GRID)
        column = column_of(self._title, self._sentence, on=self, margins=margins, spacing=GRID // 2)
        for caption, snippet in zip(self._captions, (self._before, self._after), strict=True):
            snippet.setFont(mono_font())
            snippet.setProperty("mono", True)
            snippet.setTextFormat(Qt.TextFormat.RichText)
            add_items(column, caption, snippet)
        left = Qt.AlignmentFlag.AlignLeft
        add_items(column, (self._button, 0, left), (self.compare, 0, left))
        self.setVisible(False)

    @property
    def sentence(self) -> str:
        """Return the visible text; "" while hidden."""
        return self._why.sentence if self._why else ""

    @property
    def snippets(self) -> tuple[str, str]:
        """The characters before and now."""
        return (self._why.before, self._why.after) if self._why else ("", "")

    def show_why(self, why: Why | None) -> None:
        """Show an explanation; None hides the box. After a fix the miss is expected: grey instead of amber."""
        if why == self._why:
            return
        self._why = why
        self.setVisible(why is not None)
        if why is None:
            return
        self._title.setText(why.title)
        self._sentence.setText(why.sentence)
        self.setAccessibleName(f"Why: {why.sentence}")
        head = common_prefix(why.before, why.after)
        tail = common_prefix(why.before[head:][::-1], why.after[head:][::-1])
        for label, snippet in ((self._before, why.before), (self._after, why.after)):
            label.setText(_marked(snippet, head, len(snippet) - tail))
        for widget in (*self._captions, self._before, self._after):
            widget.setVisible(bool(why.before or why.after))
        self._button.setVisible(why.message is not None)
        restyle(self, look="callout" if why.avoidable else "aside")

    def _fill(self) -> None:
        self.choices.clear()
        for run_id, label in self.comparable():
            self.choices.addAction(label.replace("&", "&&"), partial(self.compare_requested.emit, run_id))
        if self.choices.isEmpty():
            self.choices.addAction("No other request is remembered").setEnabled(False)

    def _go(self) -> None:
        if self._why is not None and self._why.message is not None:
            self.place_requested.emit(self._why.message, self._why.offset)


def _marked(snippet: str, begin: int, end: int) -> str:
    """Rich text: what differs is bold and underlined, so that color is not needed to see it."""
    if not snippet:
        return "<i>nothing</i>"
    head, other, tail = (escape(part) for part in (snippet[:begin], snippet[begin:end], snippet[end:]))
    return f'<span style="white-space:pre-wrap">{head}<b><u>{other}</u></b>{tail}</span>'


class AttemptsSection(Section):
    """Hidden for a single attempt: the request rows already show it."""

    def __init__(self) -> None:
        super().__init__("Attempts")
        self._rows: list[tuple[FigureRow, IdRow]] = []
        self._next = words("", "variable")
        self.column.addWidget(self._next)
        self.hide()

    def show_state(self, state: RunState) -> None:
        """One row per attempt, and the current wait."""
        shown = len(state.attempts) > 1 or state.retry is not None or state.queued is not None
        self.setVisible(shown)
        if not shown:
            return
        while (number := len(self._rows) + 1) <= len(state.attempts):
            self._rows.append((FigureRow(f"Attempt {number}"), IdRow(f"request_id of attempt {number}")))
            for widget in self._rows[-1]:
                self.column.insertWidget(self.column.indexOf(self._next), widget)
        for number, (row, ids) in enumerate(self._rows):
            row.setVisible(number < len(state.attempts))
            ids.setVisible(number < len(state.attempts))
            if number < len(state.attempts):
                attempt = state.attempts[number]
                row.show_value(line(state, number), why(attempt), "failure" if attempt.error is not None else "warm")
                ids.show_id(attempt.request_id or "", "" if attempt.request_id else "No request_id came")
        show_or_hide(self._next, coming(state))


def line(state: RunState, number: int) -> str:
    """`503 · then waited 250 ms`: status, and the wait before the next attempt."""
    attempt = state.attempts[number]
    parts = [status_text(attempt)]
    if attempt.ended_at is not None and number + 1 < len(state.attempts):
        parts.append(f"then waited {seconds(state.attempts[number + 1].started_at - attempt.ended_at)}")
    return " · ".join(parts)


def why(attempt: Attempt) -> str:
    """Return the error, and how long the attempt took."""
    took = f"took {seconds(attempt.ended_at - attempt.started_at)}" if attempt.ended_at is not None else "under way"
    said = f"{attempt.error.title}. {attempt.error.detail}" if attempt.error is not None else ""
    return f"{said}\n{took}".strip()


def coming(state: RunState) -> str:
    """Return the text of the current wait; "" without one."""
    if state.queued is not None:
        return f"waiting for a place: {state.queued.reason}"
    if state.retry is not None:
        return f"attempt {state.retry.attempt} of at most {state.retry.of} after {seconds(state.retry.wait_s)}"
    return ""


LEAST_WIDTH = 290
ADVICE = 1
UNSELECTED = "Select a request to see its figures."


class InspectorPane(QWidget):
    """Figures of the request on display, and advice on the prompt on a second tab."""

    rates_requested = Signal()
    """The user wants to set rates."""
    action = Signal(str)
    """The id of an action that a link asks for."""
    place_requested = Signal(int, int)
    """(message, code point offset in the sent text): go to the position in `why`."""

    def __init__(self, place: Callable[[QWidget], object] | None = None) -> None:
        """`place` gives the empty pane its parent."""
        super().__init__()
        self.strip = InspectorStrip()
        """Shown elsewhere while this pane is hidden."""
        self.setAccessibleName("Inspector")
        self.setMinimumWidth(LEAST_WIDTH)
        self.id = IdSection()
        self.usage = UsageSection()
        self.forecast = ForecastSection()
        self.latency = LatencySection()
        self.cost = CostSection()
        self.request = RequestSection(self.latency.more)
        self.attempts = AttemptsSection()
        self.why = WhyBox()
        self.advice = AdviceSection()
        self.no_advice = toned("No advice on this prompt.", "muted", wraps=True)
        self._seen: object = None
        self._model: InspectorModel | None = None  # held, so that no other state can come to have the same id
        self.tabs = tab_bar("Views of the inspector", ("Inspector", "Advice 0"))
        self._stack = QStackedWidget(self)
        self._unselected: QLabel | None = None
        if place is not None:
            place(self)
        self._lay_out()
        self.tabs.currentChanged.connect(self._stack.setCurrentIndex)
        self.id.action.connect(self._act)
        self.strip.details.clicked.connect(lambda: self.action.emit("toggle_inspector"))
        self.cost.set_rate.clicked.connect(self.rates_requested)
        self.why.place_requested.connect(self.place_requested)
        self.advice.counted.connect(self._count_advice)

    def take_focus(self) -> None:
        """Give the keyboard focus to the first figure."""
        self.usage.rows["cached"].setFocus()

    def setVisible(self, visible: bool) -> None:
        """Show or hide the pane; the strip is visible while the pane is not."""
        # Not in hideEvent: a pane that was never visible gets none.
        super().setVisible(visible)
        if self.strip.parentWidget() is not None:
            self.strip.setVisible(not visible)
            self.strip.show_model(self._model)

    def _act(self, name: str) -> None:
        if name == "compare_with":
            self.why.choices.popup(self.id.links[name].mapToGlobal(QPoint(0, self.id.links[name].height())))
        else:
            self.action.emit(name)

    def _count_advice(self, count: int) -> None:
        self.tabs.setTabText(ADVICE, f"Advice {count:,}")
        self.no_advice.setVisible(not count)

    def show_model(self, model: InspectorModel | None) -> None:
        """Show a run; None: nothing was sent. Cheap at every frame while nothing that shows here has changed."""
        if model is None:
            self.show_forecast(None)
            return
        seen = _signature(model)
        if seen == self._seen:
            return
        self._seen, self._model = seen, model
        if self._stack.currentWidget() is self._unselected:
            self._stack.setCurrentIndex(0)
        self.request.setVisible(True)
        self.id.show_model(model)
        if not self.strip.isHidden():
            self.strip.show_model(model)
        self.usage.show_model(model)
        self.forecast.show_forecast(model.forecast, model.state, model.score)
        self.latency.show_state(model.state, model.elapsed)
        self.cost.show_model(model)
        self.request.show_model(model)
        self.attempts.show_state(model.state)
        self.why.show_why(model.why)

    def show_unselected(self) -> None:
        """Show that a request has to be selected, in place of the figures."""
        if self._unselected is None:
            self._unselected = toned(UNSELECTED, "muted", wraps=True)
            self._unselected.setContentsMargins(GRID * 2, GRID, GRID * 2, GRID)
            self._unselected.setAlignment(Qt.AlignmentFlag.AlignTop)
            self._stack.addWidget(self._unselected)
        self._seen = self._model = None
        self._stack.setCurrentWidget(self._unselected)

    def show_forecast(self, forecast: Forecast | None, clock: ColdClock | None = None) -> None:
        """Show the forecast of the first request, before anything was sent."""
        self._seen = self._model = None
        self.request.setVisible(False)
        self.latency.show_state(None)
        self.cost.show_model(None)
        self.attempts.hide()
        self.id.show_model(None)
        self.strip.show_model(None)
        self.usage.show_forecast(forecast)
        self.forecast.show_forecast(forecast, None)
        self.forecast.show_next(None, None, until_line(clock))
        self.why.show_why(None)

    def show_next(self, same: Forecast | None, new: Forecast | None, clock: ColdClock | None = None) -> None:
        """Show the forecast of the next request with the same and with new values of variables, and when it ends."""
        self.forecast.show_next(same, new, until_line(clock))

    def _lay_out(self) -> None:
        # The reason for missed tokens comes early: it is visible without scrolling in a small window.
        figures: list[QWidget] = [self.id, self.usage, self.why, self.forecast]
        figures += [self.latency, self.cost, self.attempts, self.request]
        for widgets in (figures, [self.no_advice, self.advice]):
            scroll = PageScroll(self._stack)
            scroll.setFrameShape(QFrame.Shape.NoFrame)
            scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self._stack.addWidget(scroll)
            inside = QWidget()
            inside.setProperty("look", "pane")
            # Filled when it has its parent: with a style sheet, a new parent costs time for every widget below.
            scroll.setWidget(inside)
            column_of(*widgets, STRETCH, on=inside, margins=(GRID * 2, GRID + 4, GRID * 2, GRID * 2), spacing=GRID + 2)
        column_of(self.tabs, hairline(), (self._stack, 1), on=self, margins=0, spacing=0)


def _signature(model: InspectorModel) -> tuple[object, ...]:
    """Everything of a growing state that shows here. The bar's last piece and the time move by tenths of a second."""
    state = model.state
    last = None if state.last_token_at is None else round(state.last_token_at, 1)
    elapsed = None if state.ended else int(model.since_s * 10)
    attempts = tuple((one.status, one.request_id, one.headers_at is None) for one in state.attempts)
    return (
        id(state), state.phase, attempts, state.retry, state.queued, state.body_id, state.finish_reason,
        state.usage, state.ended_at,
        state.first_token_at, None if state.ended else last, elapsed, id(model.forecast), model.rates, model.why,
        model.score, model.endpoint_name, model.simulated, model.started_utc, model.model,
    )  # fmt: skip

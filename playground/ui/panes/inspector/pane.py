"""The inspector: request_id, usage, cache, latency and cost of the request on display, and advice on the prompt."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from playground.prefix_cache.forecast import Forecast
from playground.ui.panes.inspector.attempts import AttemptsSection
from playground.ui.panes.inspector.explanation import WhyBox
from playground.ui.panes.inspector.figures import InspectorModel
from playground.ui.panes.inspector.lint_section import AdviceSection
from playground.ui.panes.inspector.sections import (
    CostSection,
    ForecastSection,
    IdSection,
    InspectorStrip,
    LatencySection,
    RequestSection,
    UsageSection,
)
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.rule import hairline
from playground.ui.widgets.tab_bar import tab_bar

LEAST_WIDTH = 290
INSPECTOR, ADVICE = range(2)


class InspectorPane(QWidget):
    """Figures of the request on display, and advice on the prompt on a second tab."""

    rates_requested = Signal()
    """The user wants to set rates."""
    action = Signal(str)
    """The id of an action that a link asks for."""
    place_requested = Signal(int, int)
    """(message, code point offset in the sent text): go to the position in `why`."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        self.setAccessibleName("Inspector")
        self.setMinimumWidth(LEAST_WIDTH)
        self.id = IdSection()
        self.strip = InspectorStrip()
        """Shown elsewhere while this pane is hidden."""
        self.usage = UsageSection(theme)
        self.forecast = ForecastSection()
        self.latency = LatencySection(theme)
        self.cost = CostSection()
        self.request = RequestSection()
        self.attempts = AttemptsSection()
        self.why = WhyBox()
        self.advice = AdviceSection()
        self.no_advice = QLabel("No advice on this prompt.")
        self.no_advice.setProperty("tone", "muted")
        self.no_advice.setWordWrap(True)
        self._seen: object = None
        # Held, so that no other state can come to have the same id.
        self._model: InspectorModel | None = None
        self.tabs = tab_bar("Views of the inspector", ("Inspector", "Advice 0"))
        self._stack = QStackedWidget()
        self._lay_out()
        self.tabs.currentChanged.connect(self._stack.setCurrentIndex)
        self.id.action.connect(self._act)
        self.cost.set_rate.clicked.connect(self.rates_requested)
        self.why.place_requested.connect(self.place_requested)
        self.advice.counted.connect(self._count_advice)
        self.show_outlook(None)

    def take_focus(self) -> None:
        """Give the keyboard focus to the first figure."""
        self.usage.rows["cached"].setFocus()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.strip.setVisible(self.isHidden())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.strip.hide()

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
            self.show_outlook(None)
            return
        seen = _signature(model)
        if seen == self._seen:
            return
        self._seen, self._model = seen, model
        self._show_sections(True)
        self.id.show_model(model)
        self.strip.show_model(model)
        self.usage.show_model(model)
        self.forecast.show_score(model.score)
        self.forecast.show_forecast(model.forecast, model.state)
        self.latency.show_state(model.state)
        self.cost.show_model(model)
        self.request.show_model(model)
        self.attempts.show_state(model.state)
        self.why.show_why(model.why)

    def show_outlook(self, forecast: Forecast | None) -> None:
        """Show the forecast of the first request, before anything was sent."""
        self._seen = None
        self._show_sections(False)
        self.id.show_model(None)
        self.strip.show_model(None)
        self.usage.show_outlook(forecast)
        self.forecast.show_forecast(forecast, None)
        self.why.show_why(None)

    def show_next(self, same: Forecast | None, new: Forecast | None) -> None:
        """Show the forecast of the next request with the same and with new values of variables."""
        self.forecast.show_next(same, new)

    def set_theme(self, theme: Theme) -> None:
        """Apply a theme."""
        self.usage.bar.set_theme(theme)
        self.latency.set_theme(theme)

    def _show_sections(self, sent: bool) -> None:
        for section in (self.latency, self.cost, self.request):
            section.setVisible(sent)
        if not sent:
            self.attempts.hide()
            self.forecast.show_next(None, None)

    def _lay_out(self) -> None:
        figures: list[QWidget] = [self.id, hairline(), self.usage, hairline(), self.forecast, self.why]
        figures += [self.latency, self.cost, self.attempts, self.request]
        for widgets in (figures, [self.no_advice, self.advice]):
            inside = QWidget()
            inside.setProperty("look", "pane")
            column = QVBoxLayout(inside)
            column.setContentsMargins(GRID * 2, GRID + 4, GRID * 2, GRID * 2)
            column.setSpacing(GRID + 2)
            for widget in widgets:
                column.addWidget(widget)
            column.addStretch(1)
            scroll = QScrollArea()
            scroll.setWidgetResizable(True)
            scroll.setFrameShape(QFrame.Shape.NoFrame)
            scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            scroll.setWidget(inside)
            self._stack.addWidget(scroll)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(self.tabs)
        whole.addWidget(hairline())
        whole.addWidget(self._stack, 1)


def _signature(model: InspectorModel) -> tuple[object, ...]:
    """Everything of a growing state that shows here. The bar's last piece moves in steps of a tenth of a second."""
    state = model.state
    last = None if state.last_token_at is None else round(state.last_token_at, 1)
    attempts = tuple((one.status, one.request_id, one.headers_at is None) for one in state.attempts)
    return (
        id(state), state.phase, attempts, state.retry, state.queued, state.body_id, state.finish_reason,
        state.usage, state.ended_at,
        state.first_token_at, None if state.ended else last, id(model.forecast), model.rates, model.why,
        model.score, model.endpoint_name, model.simulated, model.started_utc, model.model,
    )  # fmt: skip

"""The inspector: what one request used, what it cost, how long it took, which it was, and why the cache did that."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

from playground.prefix_cache.forecast import Forecast
from playground.ui.panes.inspector.attempts import AttemptsSection
from playground.ui.panes.inspector.explanation import WhyBox
from playground.ui.panes.inspector.figures import InspectorModel
from playground.ui.panes.inspector.lint_section import AdviceSection
from playground.ui.panes.inspector.sections import (
    CostSection,
    ForecastSection,
    LatencySection,
    RequestSection,
    UsageSection,
)
from playground.ui.theme import GRID, Theme

NOTHING_SENT = "Usage, latency, cost and the request_id will stand here after the first request."
LEAST_WIDTH = 256


class InspectorPane(QScrollArea):
    """Every figure is reported, estimated (≈) or unknown (—, with why)."""

    rates_requested = Signal()
    """The user wants to set rates."""
    place_requested = Signal(int, int)
    """(message, code point in what was sent): go to the place that `why` names."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Inspector")
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(LEAST_WIDTH)
        self.usage = UsageSection(theme)
        self.forecast = ForecastSection()
        self.latency = LatencySection(theme)
        self.cost = CostSection()
        self.request = RequestSection()
        self.attempts = AttemptsSection()
        self.why = WhyBox()
        self.advice = AdviceSection()
        self._words = QLabel(NOTHING_SENT)
        self._words.setProperty("tone", "muted")
        self._words.setWordWrap(True)
        self._seen: object = None
        # Held, so that no other state can come to have the same id.
        self._model: InspectorModel | None = None
        self.cost.set_rate.clicked.connect(self.rates_requested)
        self.why.place_requested.connect(self.place_requested)
        self.setWidget(self._lay_out())
        self.show_outlook(None)

    def take_focus(self) -> None:
        """The keyboard comes to the first figure."""
        self.usage.rows["cached"].setFocus()

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
        self.usage.show_model(model)
        self.forecast.show_forecast(model.forecast, model.state)
        self.forecast.show_score(model.score)
        self.latency.show_state(model.state)
        self.cost.show_model(model)
        self.request.show_model(model)
        self.attempts.show_state(model.state)
        self.why.show_why(model.why)

    def show_outlook(self, forecast: Forecast | None) -> None:
        """Nothing was sent yet: what is expected of the next request."""
        self._seen = None
        self._show_sections(False)
        self.usage.show_outlook(forecast)
        self.forecast.show_forecast(forecast, None)
        self.why.show_why(None)

    def set_theme(self, theme: Theme) -> None:
        """Draw in the new theme's colours."""
        self.usage.bar.set_theme(theme)
        self.latency.set_theme(theme)

    def _show_sections(self, sent: bool) -> None:
        for section in (self.latency, self.cost, self.request):
            section.setVisible(sent)
        self._words.setVisible(not sent)
        if not sent:
            self.attempts.hide()

    def _lay_out(self) -> QWidget:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.setSpacing(GRID * 2)
        for widget in (
            self.usage,
            self.forecast,
            self.why,
            self.advice,
            self._words,
            self.latency,
            self.cost,
            self.request,
            self.attempts,
        ):
            column.addWidget(widget)
        column.addStretch(1)
        return inside


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

"""The line under the prompt: how many ≈ tokens lie in which zone, and what the cache is expected to serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QSizePolicy, QWidget

from playground.ui.panes.prompt.zone_paint import EDGE_PX, MEANINGS, paint_edge, whole_words
from playground.ui.theme import GRID, Theme, ui_font
from playground.ui.widgets.plain_tip import plain_tip

if TYPE_CHECKING:
    from playground.prefix_cache.forecast import Forecast
    from playground.prefix_cache.forecaster import PromptForecast as Outlook
    from playground.prefix_cache.zones import Zone

_MARK_GAP = 5
_SIDE = GRID + 6
_SHORT_PART = 30


def forecast_words(forecast: Forecast) -> str:
    """The forecast as a sentence; nothing expected is said as what it is: a known ≈ 0, with its reason."""
    return f"forecast ≈ {forecast.cached_tokens:,.0f} cached · {forecast.basis}"


class Footer(QFrame):
    """Painted, so that a new figure at every keystroke lays nothing out anew."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._legend: list[tuple[Zone, str]] = []
        self._forecast = ""
        self.setProperty("look", "footer")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Zones and forecast")

    @property
    def legend(self) -> list[tuple[Zone, str]]:
        """Each zone that is shown, with its words."""
        return self._legend

    @property
    def forecast(self) -> str:
        """The forecast, whole."""
        return self._forecast

    def set_outlook(self, outlook: Outlook | None) -> None:
        """Show the figures of an outlook; nothing is shown where there is none."""
        legend, words = ([], "") if outlook is None else (_legend(outlook), forecast_words(outlook.forecast))
        if (legend, words) != (self._legend, self._forecast):
            self._legend, self._forecast = legend, words
            self.setToolTip(plain_tip("\n".join([words, *(MEANINGS[zone] for zone, _ in legend)])))
            self.setAccessibleDescription(", ".join([*(text for _, text in legend), words]))
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """One line of small text with room around it."""
        return QSize(200, QFontMetricsF(ui_font(12)).lineSpacing().__ceil__() + 2 * GRID)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Legend at the left, forecast at the right; where there is no room for both, the legend is shortened first."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setFont(ui_font(12, tabular=True))
        metrics = QFontMetricsF(painter.font())
        x = self._paint_legend(painter, metrics)
        painter.setPen(self._theme.muted)
        room = QRectF(x, 0, self.width() - x - _SIDE, self.height())
        words = _shortened(self._forecast, metrics, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, words)

    def _paint_legend(self, painter: QPainter, metrics: QFontMetricsF) -> float:
        x = float(_SIDE)
        middle, half = self.height() / 2, metrics.ascent() / 2
        for zone, words in self._legend:
            paint_edge(painter, self._theme, zone, x, middle - half, middle + half)
            x += EDGE_PX + _MARK_GAP
            painter.setPen(self._theme.muted)
            width = metrics.horizontalAdvance(words)
            painter.drawText(QRectF(x, 0, width + 1, self.height()), Qt.AlignmentFlag.AlignVCenter, words)
            x += width + GRID + 4
        return x


def _shortened(text: str, metrics: QFontMetricsF, room: float) -> str:
    """As many whole words as there is room for; a short part ("40 s ago") is shown whole or not at all."""
    shown = whole_words(text, metrics, room)
    if shown == text or " · " not in shown:
        return shown
    kept = shown.count(" · ")
    cut_part = text.split(" · ")[kept]
    if len(cut_part) > _SHORT_PART:
        return shown
    return " · ".join(text.split(" · ")[:kept]) + " …"


def _legend(outlook: Outlook) -> list[tuple[Zone, str]]:
    zones = outlook.zones
    counts: list[tuple[Zone, float]] = [
        ("warm", zones.warm_tokens),
        ("stable", zones.stable_tokens),
        ("variable", zones.variable_tokens),
    ]
    return [(zone, f"{zone} ≈ {tokens:,.0f}") for zone, tokens in counts if tokens >= 0.5]

"""The ruler at the prompt's side: all of it at a glance, in proportion to ≈ tokens, and how far the cache was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QToolTip, QWidget

from playground.prompt.document import Document
from playground.ui.panes.prompt.zone_paint import MEANINGS, edge, ground
from playground.ui.theme import Theme
from playground.ui.widgets.plain_tip import plain_tip

if TYPE_CHECKING:
    from playground.prefix_cache.zones import Zone, ZoneMap

WIDTH_PX = 10
_MARGIN = 3


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the ruler: `tokens` ≈ tokens of one zone, in message `message` (None: a tool) from code point `offset`
    on, `length` code points long."""

    zone: Zone
    tokens: float
    message: int | None
    offset: int
    length: int


def stretches(zones: ZoneMap, document: Document) -> Iterator[Stretch]:
    """The whole prompt, in order. A message's tokens are shared out over its zones by their length."""
    for zone, tokens in zip(zones.tool_zones, zones.tool_tokens, strict=True):
        yield Stretch(zone, tokens, None, 0, 0)
    for index, (spans, tokens) in enumerate(zip(zones.messages, zones.message_tokens, strict=True)):
        length = sum(span.end - span.start for span in spans)
        if not length:
            yield Stretch(zones.message_zones[index], tokens, index, 0, 0)
        for span in spans:
            size = span.end - span.start
            yield Stretch(span.zone, tokens * size / (length or 1), index, span.start, size)


class Ruler(QWidget):
    """Zones from top to bottom; a click goes to the place."""

    place_chosen = Signal(int, int)
    """Message and code point in it."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._stretches: tuple[Stretch, ...] = ()
        self._painted: list[tuple[Zone, float]] = []
        self._reported: tuple[int, int] | None = None
        self.setFixedWidth(WIDTH_PX)
        self.setAccessibleName("The prompt's zones")
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    @property
    def reported(self) -> tuple[int, int] | None:
        """Cached and prompt tokens as the server reported them, where it reported both."""
        return self._reported

    def set_zones(self, zones: ZoneMap | None, document: Document) -> None:
        """Show these zones."""
        new = tuple(stretches(zones, document)) if zones is not None else ()
        self._stretches = new
        if self._bars() != self._painted:
            self.update()

    def set_reported(self, cached: int | None, prompt: int | None) -> None:
        """Mark how far the server says it read from its cache; nothing where it did not say."""
        self._reported = (cached, prompt) if cached is not None and prompt else None
        self.setAccessibleDescription(self._says())
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.update()

    def _says(self) -> str:
        if self._reported is None:
            return "no report of cached tokens"
        return f"the server reported {self._reported[0]:,} of {self._reported[1]:,} prompt tokens cached"

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Zones as solid, ruled and dotted bars: the pattern says what the colour says."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.surface)
        top = 0.0
        self._painted = self._bars()
        for zone, bottom in self._painted:
            self._bar(painter, zone, QRectF(_MARGIN, top, WIDTH_PX - 2 * _MARGIN, bottom - top))
            top = bottom
        if self._painted and self._reported is not None:
            self._mark(painter, self.height() * min(self._reported[0] / self._reported[1], 1.0))

    def _bars(self) -> list[tuple[Zone, float]]:
        """Each zone and the pixel that it reaches down to; neighbours of one zone are one bar."""
        total = sum(stretch.tokens for stretch in self._stretches)
        bars: list[tuple[Zone, float]] = []
        tokens = 0.0
        for stretch in self._stretches if total > 0 else ():
            tokens += stretch.tokens
            bar = (stretch.zone, round(tokens * self.height() / total, 1))
            if bars and bars[-1][0] == stretch.zone:
                bars[-1] = bar
            else:
                bars.append(bar)
        return bars

    def _bar(self, painter: QPainter, zone: Zone, area: QRectF) -> None:
        color = edge(self._theme, zone)
        if zone == "warm":
            painter.fillRect(area, color)
        elif zone == "stable":
            painter.fillRect(area, ground(self._theme, zone))
            painter.fillRect(QRectF(area.left(), area.top(), 1.5, area.height()), color)
            painter.fillRect(QRectF(area.right() - 1.5, area.top(), 1.5, area.height()), color)
        else:
            painter.fillRect(area, ground(self._theme, zone))
            pen = QPen(color, area.width())
            pen.setDashPattern([2 / area.width(), 2 / area.width()])
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
            painter.setPen(pen)
            painter.drawLine(QPointF(area.center().x(), area.top()), QPointF(area.center().x(), area.bottom()))

    def _mark(self, painter: QPainter, y: float) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        y = min(max(y, 3.0), self.height() - 3.0)
        painter.setPen(QPen(self._theme.surface, 1))
        painter.setBrush(self._theme.text)
        painter.drawPolygon(QPolygonF([QPointF(0, y - 4), QPointF(6, y), QPointF(0, y + 4)]))
        painter.setPen(QPen(self._theme.text, 1.5))
        painter.drawLine(QPointF(0, y), QPointF(WIDTH_PX, y))

    def _at(self, y: float) -> tuple[Stretch, float] | None:
        total = sum(stretch.tokens for stretch in self._stretches)
        tokens = y / max(self.height(), 1) * total
        for stretch in self._stretches:
            if tokens <= stretch.tokens:
                return stretch, tokens / stretch.tokens if stretch.tokens else 0.0
            tokens -= stretch.tokens
        return None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the place."""
        found = self._at(event.position().y())
        if found is not None and found[0].message is not None:
            stretch, share = found
            self.place_chosen.emit(stretch.message, stretch.offset + int(stretch.length * share))

    def event(self, event: QEvent) -> bool:
        """The zone under the pointer in words, and the report."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self._at(event.pos().y())
            words = [MEANINGS[found[0].zone]] if found else []
            if self._reported is not None:
                words.append(self._says())
            QToolTip.showText(event.globalPos(), plain_tip("\n".join(words)), self)
            return True
        return super().event(event)

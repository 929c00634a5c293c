"""Painting of the two axes: fill (structure), left edge (cache), the boundary and the served rule between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.ui.theme import Theme, current_theme, mono_font, ui_font

if TYPE_CHECKING:
    from playground.prefix_cache.stable_end import StableEnd
    from playground.ui.panes.prompt.axes import Served

EDGE_PX = 5
ROW_PX = 22
SIDE_PX = 18
"""Left side of text, edge included."""
RIGHT_PX = 14
_SHORTEST_DASHES = 24
STABLE = "stable: the same in every request of this prompt"
VARIABLE = "variable: from the first variable on, this changes between requests"
EXPECTED = "solid edge: expected from the cache"
NOT_EXPECTED = "hollow edge: not expected from the cache"


def fill_color(theme: Theme, *, variable: bool) -> QColor:
    """Return the fill of stable or variable text."""
    return theme.variable if variable else theme.stable


def paint_edge(painter: QPainter, theme: Theme, area: QRectF, *, warm: bool) -> None:
    """Paint the left edge: solid teal if expected from the cache, otherwise a hollow grey outline."""
    edge = QRectF(area.left(), area.top(), EDGE_PX, area.height())
    if warm:
        painter.fillRect(edge, theme.warm_edge)
    elif edge.height() > 0:
        painter.fillRect(edge, theme.surface)
        painter.setPen(QPen(theme.fresh_outline, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawLine(QPointF(edge.left() + 0.5, edge.top()), QPointF(edge.left() + 0.5, edge.bottom()))
        painter.drawLine(QPointF(edge.right() - 0.5, edge.top()), QPointF(edge.right() - 0.5, edge.bottom()))


def close_edge(painter: QPainter, theme: Theme, y: float) -> None:
    """Close a hollow edge that begins or ends at `y`."""
    painter.setPen(QPen(theme.fresh_outline, 1))
    painter.drawLine(QPointF(0.5, y), QPointF(EDGE_PX - 0.5, y))


def boundary_text(end: StableEnd) -> str:
    """Return the text of the boundary row."""
    return f"stable prefix ends · ≈ {end.tokens:,} tokens"


def served_text(served: Served) -> str:
    """Return the text of the served rule."""
    return f"served from cache to here · {served.tokens:,}" if served.tokens else "served from cache · 0"


def whole_words(text: str, metrics: QFontMetricsF, room: float) -> str:
    """Return `text`, or as many of its words as there is room for, and "…"."""
    if metrics.horizontalAdvance(text) <= room:
        return text
    words = text.split(" ")
    while words and metrics.horizontalAdvance(" ".join(words) + " …") > room:
        words.pop()
    return " ".join(words).rstrip("·,;: ") + " …" if words else ""


def paint_boundary(painter: QPainter, theme: Theme, area: QRectF, end: StableEnd, notch: float | None = None) -> None:
    """Paint the boundary row: text, dashed line, the variable's chip; `notch`: x of the character that it is about."""
    painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
    painter.fillRect(area.adjusted(EDGE_PX, 0, 0, 0), theme.surface)
    inner = area.adjusted(SIDE_PX, 0, -RIGHT_PX, 0)
    painter.setFont(ui_font(12, bold=True, tabular=True))
    painter.setPen(theme.variable_edge)
    metrics = QFontMetricsF(painter.font())
    text = whole_words(boundary_text(end), metrics, inner.width())
    painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, text)
    start = inner.left() + metrics.horizontalAdvance(text) + 8
    chip = f"{{{{{end.name}}}}}"
    painter.setFont(mono_font(12))
    width = QFontMetricsF(painter.font()).horizontalAdvance(chip) + 8
    stop = inner.right()
    if stop - start - width > _SHORTEST_DASHES:
        box = QRectF(stop - width, area.center().y() - 9, width, 18)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.chip)
        painter.drawRoundedRect(box, 3, 3)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
        painter.setPen(theme.variable_edge)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, chip)
        stop = box.left() - 8
    pen = QPen(theme.variable_edge, 1)
    pen.setDashPattern([4, 3])
    _rule(painter, pen, start, stop, area.center().y() + 1)
    if notch is not None:
        _notch(painter, theme, area, notch)


def paint_served(painter: QPainter, theme: Theme, area: QRectF, served: Served, fill: QColor) -> None:
    """Paint the served rule: text, thin line, and the time of the report."""
    painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
    painter.fillRect(area.adjusted(EDGE_PX, 0, 0, 0), fill)
    inner = area.adjusted(SIDE_PX, 0, -RIGHT_PX, 0)
    font = ui_font(12, tabular=True)
    font.setWeight(QFont.Weight.Medium)
    painter.setFont(font)
    painter.setPen(theme.warm_edge)
    metrics = QFontMetricsF(font)
    text = whole_words(served_text(served), metrics, inner.width())
    painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, text)
    start = inner.left() + metrics.horizontalAdvance(text) + 8
    stop = inner.right()
    painter.setFont(ui_font(12, tabular=True))
    time = f"reported, {served.time}"
    width = QFontMetricsF(painter.font()).horizontalAdvance(time)
    if stop - start - width > _SHORTEST_DASHES:
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, time)
        stop -= width + 8
    _rule(painter, QPen(theme.warm_edge, 1), start, stop, area.center().y() + 1)


def _rule(painter: QPainter, pen: QPen, start: float, stop: float, y: float) -> None:
    if stop > start:
        painter.setPen(pen)
        painter.drawLine(QLineF(start, round(y) - 0.5, stop, round(y) - 0.5))


def _notch(painter: QPainter, theme: Theme, area: QRectF, x: float) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.variable_edge)
    bottom = area.bottom()
    painter.drawPolygon(QPolygonF([QPointF(x - 4, bottom - 5), QPointF(x + 4, bottom - 5), QPointF(x, bottom)]))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)


def paint_swatch(painter: QPainter, theme: Theme, area: QRectF, *, variable: bool) -> None:
    """Paint a legend's square in the fill of stable or variable text."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(theme.variable_edge if variable else theme.stable_edge, 1))
    painter.setBrush(fill_color(theme, variable=variable))
    painter.drawRoundedRect(area.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)


class BoundaryRow(QWidget):
    """The boundary between two messages."""

    chosen = Signal()
    """Clicked: go to the variable."""

    def __init__(self) -> None:
        super().__init__()
        self._end: StableEnd | None = None
        self._warm: bool | None = None
        self.setFixedHeight(ROW_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_boundary(self, end: StableEnd, *, warm: bool) -> None:
        """Show this boundary; `warm`: the cache is expected to serve beyond it."""
        if (end, warm) != (self._end, self._warm):
            self._end, self._warm = end, warm
            self.setAccessibleName(f"{boundary_text(end)}, at {end.name}")
            self.setToolTip(f"Everything from {{{{{end.name}}}}} on changes when its value changes")
            self.update()

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:
        self.chosen.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._end is not None:
            painter, theme, area = QPainter(self), current_theme(), QRectF(self.rect())
            paint_edge(painter, theme, area, warm=bool(self._warm))
            paint_boundary(painter, theme, area, self._end)


class ServedRow(QWidget):
    """The served rule at a message's end, or above the first message."""

    def __init__(self) -> None:
        super().__init__()
        self._served: Served | None = None
        self._variable: bool | None = None
        self.setFixedHeight(ROW_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_served(self, served: Served, *, variable: bool | None) -> None:
        """Show the rule on the fill of stable or variable text, or on none."""
        if (served, variable) != (self._served, self._variable):
            self._served, self._variable = served, variable
            self.setAccessibleName(f"{served_text(served)}, reported {served.time}")
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._served is None:
            return
        painter, theme, area = QPainter(self), current_theme(), QRectF(self.rect())
        fill = theme.surface if self._variable is None else fill_color(theme, variable=self._variable)
        # The edge beside the rule is the message's own.
        painter.fillRect(area.adjusted(EDGE_PX, 0, 0, 0), fill)
        paint_served(painter, theme, area, self._served, fill)

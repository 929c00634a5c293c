"""How a zone looks: its ground, its edge at the left, and the words for it: no zone is told by its colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.ui.theme import GRID, Theme, ui_font
from playground.ui.widgets.plain_tip import plain_tip

if TYPE_CHECKING:
    from playground.prefix_cache.zones import Boundary, Zone


ROW_PX = 26
"""Height of the line with its words."""
_SHORTEST_DASHES = 24


def words_of(boundary: Boundary) -> tuple[str, str]:
    """What stands at the left of the line (where, ≈ how much) and at the right of it (what ends it)."""
    tokens = f"≈ {boundary.tokens:,.0f} tokens"
    if boundary.kind == "end":
        return f"the whole prompt is prefix · {tokens}", ""
    if boundary.kind == "variable" and boundary.name:
        return f"prefix ends here · {tokens}", f"{{{{{boundary.name}}}}}"
    return f"prefix ends here · {tokens}", boundary.cause


def whole_words(text: str, metrics: QFontMetricsF, room: float) -> str:
    """`text`, or as many of its words as there is room for, and "…"."""
    if metrics.horizontalAdvance(text) <= room:
        return text
    words = text.split(" ")
    while words and metrics.horizontalAdvance(" ".join(words) + " …") > room:
        words.pop()
    return " ".join(words).rstrip("·,;: ") + " …" if words else ""


def paint_boundary(painter: QPainter, theme: Theme, area: QRectF, boundary: Boundary, notch: float | None) -> None:
    """Draw the row into `area`. `notch` is the x of the character below it that the prefix ends before."""
    painter.fillRect(area, theme.surface)
    painter.setFont(ui_font(12, bold=True, tabular=True))
    metrics = QFontMetricsF(painter.font())
    left, right = words_of(boundary)
    color = theme.muted if boundary.kind == "end" else theme.variable_edge
    painter.setPen(color)
    inner = area.adjusted(GRID + 4, 0, -GRID - 4, 0)
    left = whole_words(left, metrics, inner.width())
    painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, left)
    start = inner.left() + metrics.horizontalAdvance(left) + GRID
    right = whole_words(right, metrics, inner.right() - start - _SHORTEST_DASHES - GRID)
    painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, right)
    end = inner.right() - (metrics.horizontalAdvance(right) + GRID if right else 0)
    _dashes(painter, color_pen(theme, boundary), QLineF(start, area.center().y() + 1, end, area.center().y() + 1))
    if notch is not None:
        _notch(painter, theme, area, notch)


def color_pen(theme: Theme, boundary: Boundary) -> QPen:
    """The dashed pen of the line."""
    pen = QPen(theme.muted if boundary.kind == "end" else theme.variable_edge, 1)
    pen.setDashPattern([4, 3])
    return pen


def _dashes(painter: QPainter, pen: QPen, line: QLineF) -> None:
    if line.dx() > 0:
        painter.setPen(pen)
        painter.drawLine(line)


def _notch(painter: QPainter, theme: Theme, area: QRectF, x: float) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.variable_edge)
    bottom = area.bottom()
    painter.drawPolygon(QPolygonF([QPointF(x - 4, bottom - 5), QPointF(x + 4, bottom - 5), QPointF(x, bottom)]))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)


class BoundaryRow(QWidget):
    """The line between two cards."""

    chosen = Signal()
    """The person clicked: show what ends the prefix."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._boundary: Boundary | None = None
        self.setFixedHeight(ROW_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_boundary(self, boundary: Boundary) -> None:
        """Say this boundary."""
        if boundary != self._boundary:
            self._boundary = boundary
            self.setAccessibleName(" ".join((*words_of(boundary), boundary.cause)))
            self.setToolTip(plain_tip(boundary.cause))
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.update()

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:
        """Go there."""
        self.chosen.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """The line and its words."""
        if self._boundary is not None:
            paint_boundary(QPainter(self), self._theme, QRectF(self.rect()), self._boundary, None)


EDGE_PX = 4
GLYPHS: dict[Zone, str] = {"warm": "▎", "stable": "║", "variable": "┊"}
"""The edge's pattern as a character: solid, double, dotted."""
MEANINGS: dict[Zone, str] = {
    "warm": "warm: shared with a request sent recently, expect it from the cache",
    "stable": "stable: the same in every request of this prompt, not yet seen by the cache",
    "variable": "variable: from the first variable or changed character on, fresh in every request",
}


def ground(theme: Theme, zone: Zone) -> QColor:
    """The zone's background."""
    return {"warm": theme.warm, "stable": theme.stable, "variable": theme.variable}[zone]


def edge(theme: Theme, zone: Zone) -> QColor:
    """The zone's strong colour."""
    return {"warm": theme.warm_edge, "stable": theme.stable_edge, "variable": theme.variable_edge}[zone]


@dataclass(frozen=True, slots=True)
class Band:
    """A zone from the character at (`x`, line `top` to `bottom`) on, until the next band."""

    zone: Zone
    x: float
    top: float
    bottom: float
    rtl: bool = False


def paint_bands(painter: QPainter, theme: Theme, area: QRectF, bands: Sequence[Band]) -> None:
    """Fill `area` with the zones of `bands`, which are in order; the first reaches up to the area's top."""
    for index, band in enumerate(bands):
        following = bands[index + 1] if index + 1 < len(bands) else None
        first = index == 0
        top = area.top() if first else band.top
        bottom = following.bottom if following else area.bottom()
        painter.fillRect(QRectF(area.left(), top, area.width(), bottom - top), ground(theme, band.zone))
        if not first:
            _restore_head(painter, theme, area, bands[index - 1], band)
    for index, band in enumerate(bands):
        top = area.top() if index == 0 else _edge_top(area, band)
        bottom = _edge_top(area, bands[index + 1]) if index + 1 < len(bands) else area.bottom()
        paint_edge(painter, theme, band.zone, area.left(), top, bottom)


def _restore_head(painter: QPainter, theme: Theme, area: QRectF, before: Band, band: Band) -> None:
    """The part of the boundary's line that still belongs to the zone before."""
    left, right = (band.x, area.right()) if band.rtl else (area.left(), band.x)
    painter.fillRect(QRectF(left, band.top, right - left, band.bottom - band.top), ground(theme, before.zone))


def _edge_top(area: QRectF, band: Band) -> float:
    starts_line = band.x <= area.left() + 2 * EDGE_PX + 12
    return band.top if starts_line else band.bottom


def paint_edge(painter: QPainter, theme: Theme, zone: Zone, left: float, top: float, bottom: float) -> None:
    """The edge from `top` to `bottom`: solid warm, double stable, dotted variable."""
    color = edge(theme, zone)
    if zone == "warm":
        painter.fillRect(QRectF(left, top, EDGE_PX, bottom - top), color)
    elif zone == "stable":
        painter.fillRect(QRectF(left, top, 1.5, bottom - top), color)
        painter.fillRect(QRectF(left + EDGE_PX - 1.5, top, 1.5, bottom - top), color)
    else:
        pen = QPen(color, EDGE_PX, Qt.PenStyle.CustomDashLine, Qt.PenCapStyle.FlatCap)
        pen.setDashPattern([0.5, 0.5])
        # In step with the page, so that neighbouring cards' dots run on.
        pen.setDashOffset((top % EDGE_PX) / EDGE_PX)
        painter.setPen(pen)
        painter.drawLine(QPointF(left + EDGE_PX / 2, top), QPointF(left + EDGE_PX / 2, bottom))

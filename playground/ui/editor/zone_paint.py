"""How a zone looks: its ground, its edge at the left, and the words for it: no zone is told by its colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from playground.ui.theme import Theme

if TYPE_CHECKING:
    from playground.prefix.zones import Zone

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

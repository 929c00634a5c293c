"""A distribution as it is: a dot a turn, a box from quartile to quartile, the median as a line. Cold beside warm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.ui.theme import GRID, Theme, ui_font
from playground.ui.voice.picture import milliseconds
from playground.ui.voice.scale import Scale
from playground.voice.readiness import Cache, Distribution

GUTTER, ROW_PX, HEAD_PX, AXIS_PX = 76, 30, 20, 20
FEWEST_FOR_A_BOX = 8
"""Quartiles of fewer say nothing that the dots do not."""
_DOT = 3.5


@dataclass(frozen=True, slots=True)
class Row:
    """One group of turns."""

    cache: Cache
    values: Distribution


class Spread(QWidget):
    """Rows over one axis of milliseconds from 0 on. Hollow dots are cold, filled ones warm, crosses not reported."""

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__()
        self._theme, self._name = theme, name
        self._rows: tuple[Row, ...] = ()
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.show_rows(())

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Draw these groups; those without turns are left out."""
        self._rows = tuple(row for row in rows if row.values.values)
        told = [f"{row.cache}: {len(row.values.values)}, {_summary(row.values)}" for row in self._rows]
        self.setAccessibleDescription("; ".join(told) or "nothing measured")
        self.setToolTip(f"{self._name}\n" + "\n".join(told) if told else "")
        self.setFixedHeight(self.sizeHint().height())
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """As high as two groups, or as it has."""
        return QSize(420, HEAD_PX + ROW_PX * max(len(self._rows), 2) + AXIS_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Name, axis, rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self._theme.surface)
        painter.setFont(ui_font(12, bold=True))
        painter.setPen(self._theme.text)
        side = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(GRID, 0, self.width() - GRID, HEAD_PX), side, self._name)
        painter.setFont(ui_font(11, tabular=True))
        if not self._rows:
            painter.setPen(self._theme.muted)
            painter.drawText(self.rect().adjusted(0, HEAD_PX, 0, 0), Qt.AlignmentFlag.AlignCenter, "nothing measured")
            return
        most = max(row.values.values[-1] for row in self._rows)
        scale = Scale(0.0, max(most, 0.001) * 1.05, GUTTER, max(self.width() - GUTTER - GRID * 3, 1))
        self._paint_axis(painter, scale)
        for number, row in enumerate(self._rows):
            self._paint_row(painter, scale, HEAD_PX + number * ROW_PX, row)

    def _paint_axis(self, painter: QPainter, scale: Scale) -> None:
        bottom = HEAD_PX + ROW_PX * len(self._rows)
        for at in scale.ticks():
            x = scale.x(at)
            painter.setPen(QPen(self._theme.line, 1))
            painter.drawLine(QPointF(x, HEAD_PX), QPointF(x, bottom))
            painter.setPen(self._theme.muted)
            painter.drawText(QRectF(x - 44, bottom + 2, 88, 16), Qt.AlignmentFlag.AlignCenter, _tick(at))

    def _paint_row(self, painter: QPainter, scale: Scale, top: float, row: Row) -> None:
        painter.setPen(self._theme.text)
        side = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        values = row.values.values
        name = {"cold": "cold", "warm": "warm", "unknown": "not reported"}[row.cache]
        painter.drawText(QRectF(GRID, top, GUTTER - GRID, ROW_PX), side, f"{name} {len(values)}")
        color = self._color(row.cache)
        if len(values) >= FEWEST_FOR_A_BOX:
            left, right = scale.x(values[len(values) // 4]), scale.x(values[(3 * len(values)) // 4])
            fill = QColor(color)
            fill.setAlpha(40)
            painter.fillRect(QRectF(left, top + 5, max(right - left, 1), ROW_PX - 10), fill)
        median = row.values.median
        if median is not None and len(values) > 1:
            painter.setPen(QPen(self._theme.text, 2))
            x = scale.x(median)
            painter.drawLine(QPointF(x, top + 4), QPointF(x, top + ROW_PX - 4))
        for number, value in enumerate(values):
            place = QPointF(scale.x(value), top + ROW_PX / 2 + (number % 3 - 1) * 5)
            self._paint_dot(painter, place, row.cache, color)

    def _paint_dot(self, painter: QPainter, place: QPointF, cache: Cache, color: QColor) -> None:
        painter.setPen(QPen(color, 1.5))
        if cache == "unknown":
            for tilt in (-1, 1):
                painter.drawLine(place + QPointF(-3, -3 * tilt), place + QPointF(3, 3 * tilt))
            return
        painter.setBrush(self._theme.surface if cache == "cold" else color)
        painter.drawEllipse(place, _DOT, _DOT)

    def _color(self, cache: Cache) -> QColor:
        if cache == "warm":
            return self._theme.warm_edge
        return self._theme.stable_edge if cache == "cold" else self._theme.muted


def _tick(at: float) -> str:
    return f"{at:g} s" if at >= 10 else milliseconds(at)


def _summary(values: Distribution) -> str:
    return (
        f"from {milliseconds(values.values[0])} to {milliseconds(values.highest)}, median {milliseconds(values.median)}"
    )

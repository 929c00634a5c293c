"""A small chart: points or steps over one axis, also described in words."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from PySide6.QtCore import QBuffer, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QImage, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.storage.paths import write_shared
from playground.ui.theme import GRID, current_theme, ui_font
from playground.ui.widgets.task_dialog import ask_save

_LEFT, _BOTTOM, _TOP = 58, 34, 22
_POINT_PX = 3.5
SCALE = 2
"""Pixels of a saved picture per pixel of the chart."""


class Series(Struct, frozen=True):
    """Points in order. `role` is a color of the theme; `hollow` points are the second mark beside color."""

    name: str
    points: tuple[tuple[float, float], ...]
    role: str
    hollow: bool = False
    joined: bool = False


class Chart(QWidget):
    """Axes from 0 to a round number; empty without points."""

    notice = Signal(str)
    """A picture could not be written."""

    def __init__(self, name: str, start: Callable[[Coroutine[Any, Any, None], str], object]) -> None:
        """`start` runs the writing of a picture beside the event loop."""
        super().__init__()
        self._start = start
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        save = QAction("Save as a picture…", self)
        save.triggered.connect(lambda _checked: self.ask_file())
        self.addAction(save)
        self._series: tuple[Series, ...] = ()
        self._axes = ("", "")
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_series(self, series: Sequence[Series], across: str, up: str) -> None:
        """Draw these; `across` and `up` name the axes with their units."""
        self._series, self._axes = tuple(series), (across, up)
        described = (f"{one.name}: {len(one.points)} points, {_range(one)}" for one in series if one.points)
        self.setAccessibleDescription(f"{up} over {across}. " + "; ".join(described))
        self.setToolTip(self.accessibleDescription())
        self.update()

    def ask_file(self) -> None:
        """Ask for a PNG or SVG file and write the chart to it."""
        ask_save(
            self,
            "Save the chart",
            {"PNG (*.png)": "png", "SVG (*.svg)": "svg"},
            lambda path: self._start(self.save(path), "save a chart"),
        )

    async def save(self, path: Path) -> None:
        """Write the chart as PNG at twice its size, or as SVG if the name ends in .svg. Reports through `notice`."""
        data = self.as_svg() if path.suffix.lower() == ".svg" else self.as_png()
        try:
            await asyncio.to_thread(write_shared, path, data)
        except OSError as error:
            self.notice.emit(f"{path} cannot be written: {error.strerror or error}.")

    def as_png(self) -> bytes:
        """Return the chart as PNG."""
        image = QImage(self.size() * SCALE, QImage.Format.Format_ARGB32)
        image.setDevicePixelRatio(SCALE)
        with QPainter(image) as painter:
            self._paint(painter)
        buffer = QBuffer()
        buffer.open(QBuffer.OpenModeFlag.WriteOnly)
        image.save(buffer, "PNG")  # type: ignore[call-overload]  # the stubs lack str for the format
        return bytes(buffer.data().data())

    def as_svg(self) -> bytes:
        """Return the chart as SVG."""
        buffer, generator = QBuffer(), QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(self.size())
        generator.setViewBox(self.rect())
        generator.setTitle(self.accessibleName())
        generator.setDescription(self.accessibleDescription())
        with QPainter(generator) as painter:
            self._paint(painter)
        return bytes(buffer.data().data())

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(420, 210)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Axes, legend, points."""
        painter = QPainter(self)
        self._paint(painter)
        if self.hasFocus():
            painter.setPen(QPen(current_theme().accent, 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(ui_font(11, tabular=True))
        painter.fillRect(self.rect(), current_theme().surface)
        area = QRectF(_LEFT, _TOP, self.width() - _LEFT - GRID * 2, self.height() - _TOP - _BOTTOM)
        points = [point for one in self._series for point in one.points]
        if not points:
            painter.setPen(current_theme().muted)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Nothing has been measured yet")
            return
        most = round_up(max(x for x, _ in points)), round_up(max(y for _, y in points))
        self._paint_axes(painter, area, most)
        self._paint_legend(painter, area)
        for one in self._series:
            self._paint_series(painter, area, most, one)

    def _paint_axes(self, painter: QPainter, area: QRectF, most: tuple[float, float]) -> None:
        for step in range(5):
            y = area.bottom() - area.height() * step / 4
            painter.setPen(QPen(current_theme().line, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(current_theme().muted)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, y - 8, _LEFT - 6, 16), right, figure(most[1] * step / 4))
            x = area.left() + area.width() * step / 4
            middle = Qt.AlignmentFlag.AlignHCenter
            painter.drawText(QRectF(x - 40, area.bottom() + 3, 80, 14), middle, figure(most[0] * step / 4))
        foot = QRectF(area.left(), area.bottom() + 17, area.width(), 16)
        painter.drawText(foot, Qt.AlignmentFlag.AlignHCenter, self._axes[0])

    def _paint_legend(self, painter: QPainter, area: QRectF) -> None:
        x = area.left()
        painter.setPen(current_theme().muted)
        painter.drawText(QPointF(4, 13), self._axes[1])
        x += painter.fontMetrics().horizontalAdvance(self._axes[1])
        for one in self._series:
            x += GRID * 2
            self._paint_point(painter, QPointF(x, 9), one)
            painter.setPen(current_theme().text)
            painter.drawText(QPointF(x + 8, 13), one.name)
            x += painter.fontMetrics().horizontalAdvance(one.name) + 8

    def _paint_series(self, painter: QPainter, area: QRectF, most: tuple[float, float], one: Series) -> None:
        places = [
            QPointF(area.left() + area.width() * x / most[0], area.bottom() - area.height() * y / most[1])
            for x, y in one.points
        ]
        if one.joined:
            painter.setPen(QPen(getattr(current_theme(), one.role), 1.5))
            painter.drawPolyline(QPolygonF(places))
        for place in places:
            self._paint_point(painter, place, one)

    def _paint_point(self, painter: QPainter, place: QPointF, one: Series) -> None:
        color: QColor = getattr(current_theme(), one.role)
        painter.setPen(QPen(color, 1.5))
        painter.setBrush(current_theme().surface if one.hollow else color)
        painter.drawEllipse(place, _POINT_PX, _POINT_PX)


def round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 8 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 5, 8, 10) if power * step >= value * 0.999999)


def figure(value: float) -> str:
    """Format an axis's figure, short."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _range(one: Series) -> str:
    ups = [y for _, y in one.points]
    return f"from {figure(min(ups))} to {figure(max(ups))}"

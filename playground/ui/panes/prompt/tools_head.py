"""The tools' card at the top of the prompt: which tools there are, ≈ tokens, and the way to their tab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from playground.prompt.document import Tool
from playground.ui.panes.prompt.card_text import SIDE_PX
from playground.ui.panes.prompt.cards import COUNT_RIGHT_PX
from playground.ui.panes.prompt.zone_paint import EDGE_PX, ground, paint_edge, whole_words
from playground.ui.theme import GRID, Theme, ui_font

if TYPE_CHECKING:
    from playground.prefix_cache.zones import Zone

HEAD_PX = 30


class ToolsHead(QAbstractButton):
    """A button over the whole width. Its zone is that of the first tool that is not warm."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._names = ""
        self._zone: Zone | None = None
        self._count = ""
        self.setFixedHeight(HEAD_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Edit the tools. That the cache sees them before the messages is an assumption.")
        self.hide()

    def set_tools(self, tools: tuple[Tool, ...]) -> None:
        """Name the tools; hidden where there are none."""
        self._names = ", ".join(tool.name or "(no name)" for tool in tools)
        self.setVisible(bool(tools))
        self.setAccessibleName(f"Tools: {self._names}. Edit")
        self.update()

    def set_zones(self, zones: tuple[Zone, ...], tokens: tuple[float, ...]) -> None:
        """Their zones and ≈ tokens."""
        zone = coldest(zones)
        count = f"≈ {sum(tokens):,.0f} tokens" if zones else ""
        if (zone, count) != (self._zone, self._count):
            self._zone, self._count = zone, count
            self.setAccessibleDescription(f"{zone}, {count}" if zone else "")
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Word, names, count, on the ground of the zone."""
        painter = QPainter(self)
        area = QRectF(self.rect())
        if self._zone is not None:
            painter.fillRect(area, ground(self._theme, self._zone))
            paint_edge(painter, self._theme, self._zone, 0, 0, area.height())
        inner = area.adjusted(SIDE_PX, 2, -COUNT_RIGHT_PX, 0)
        painter.setFont(ui_font(bold=True))
        painter.setPen(self._theme.text)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, "tools")
        left = inner.left() + QFontMetricsF(painter.font()).horizontalAdvance("tools") + GRID
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(self._theme.muted)
        metrics = QFontMetricsF(painter.font())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self._count)
        room = inner.right() - metrics.horizontalAdvance(self._count) - GRID * 2 - left
        names = QRectF(left, inner.top(), room, inner.height())
        painter.drawText(names, Qt.AlignmentFlag.AlignVCenter, whole_words(self._names, metrics, room))
        if self.hasFocus():
            painter.setPen(self._theme.accent)
            painter.drawRect(area.adjusted(EDGE_PX + 1, 1, -2, -2))


def coldest(zones: tuple[Zone, ...]) -> Zone | None:
    """The zone that a whole of several parts is shown in: the first that is not warm."""
    for zone in zones:
        if zone != "warm":
            return zone
    return "warm" if zones else None

"""The line where the prefix ends, with the words that say what ends it: between two cards, or inside one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.ui.theme import GRID, Theme, ui_font
from playground.ui.widgets.plain_tip import plain_tip

if TYPE_CHECKING:
    from playground.prefix.zones import Boundary

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

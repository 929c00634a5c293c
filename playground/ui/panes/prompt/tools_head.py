"""The tools at the top of the prompt in one row: names, tokens (≈), and the way to their tab."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from playground.prompt.document import Tool
from playground.ui.panes.prompt.axes import PromptAxes
from playground.ui.panes.prompt.axis_paint import SIDE_PX, paint_edge, whole_words
from playground.ui.panes.prompt.cards import COUNT_RIGHT_PX, HEAD_PX
from playground.ui.theme import GRID, current_theme, ui_font


class ToolsHead(QAbstractButton):
    """A button over the whole width."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names = ""
        self._warm: bool | None = None
        self._count = ""
        self.setFixedHeight(HEAD_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Edit the tools. Their position before the messages is an assumption.")
        self.hide()

    def set_tools(self, tools: tuple[Tool, ...]) -> None:
        """Name the tools; hidden if there are none."""
        self._names = ", ".join(tool.name or "(no name)" for tool in tools)
        self.setVisible(bool(tools))
        self.setAccessibleName(f"Tools: {self._names}. Edit")
        self.update()

    def show_axes(self, axes: PromptAxes | None) -> None:
        """Show tokens and cache expectation."""
        warm = axes.tools_warm if axes is not None else None
        count = f"≈ {axes.tools_tokens:,}" if axes is not None else ""
        if (warm, count) != (self._warm, self._count):
            self._warm, self._count = warm, count
            words = "expected from the cache" if warm else "not expected from the cache"
            self.setAccessibleDescription(f"stable, {words}, {count} tokens" if axes is not None else "")
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        area = QRectF(self.rect())
        if self._warm is not None:
            painter.fillRect(area, theme.stable)
            paint_edge(painter, theme, area, warm=self._warm)
        inner = area.adjusted(SIDE_PX, 0, -COUNT_RIGHT_PX, 0)
        painter.setFont(ui_font(bold=True))
        painter.setPen(theme.text)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, "tools")
        left = inner.left() + QFontMetricsF(painter.font()).horizontalAdvance("tools") + GRID
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(theme.muted)
        metrics = QFontMetricsF(painter.font())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self._count)
        room = inner.right() - metrics.horizontalAdvance(self._count) - GRID * 2 - left
        names = QRectF(left, inner.top(), room, inner.height())
        painter.drawText(names, Qt.AlignmentFlag.AlignVCenter, whole_words(self._names, metrics, room))
        if self.hasFocus():
            painter.setPen(theme.accent)
            painter.drawRect(area.adjusted(1, 1, -2, -2))

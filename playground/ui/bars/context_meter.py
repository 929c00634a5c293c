"""How full the context is, and with what: a figure over a bar; a click or Space opens the parts as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy

from playground.ui.theme import GRID, Theme, ui_font

if TYPE_CHECKING:
    from playground.prefix_cache.composition import Composition

BAR_PX = 4
_GROUNDS = {"tools": "stable_edge", "system": "warm_edge", "history": "output", "rest": "variable_edge"}


class ContextMeter(QAbstractButton):
    """Painted, so that a new figure at every keystroke lays nothing out anew."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._parts: Composition | None = None
        self._label = ""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.clicked.connect(self.open)

    @property
    def label(self) -> str:
        """The figure."""
        return self._label

    @property
    def over(self) -> bool:
        """Whether prompt and answer do not fit."""
        return self._parts is not None and self._parts.left < 0

    def show_parts(self, parts: Composition) -> None:
        """Show a composition."""
        if parts == self._parts:
            return
        self._parts = parts
        mark = "✗ " if self.over else ""
        label = f"{mark}context ≈ {round(parts.prompt):,} of {parts.room:,}"
        wider = len(label) != len(self._label)
        self._label = label
        self.setToolTip(self.words)
        self.setAccessibleName(label)
        self.setAccessibleDescription(self.words)
        if wider:
            self.updateGeometry()
        self.update()

    @property
    def words(self) -> str:
        """The whole composition, a line a part."""
        if self._parts is None:
            return ""
        lines = [f"{name}: {amount_words(name, amount)}" for name, amount in self._parts.parts if amount]
        return "\n".join([*lines, left_words(self._parts)])

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """One line over the bar."""
        metrics = QFontMetricsF(ui_font(12, tabular=True))
        return QSize(round(metrics.horizontalAdvance(self._label)) + GRID + 6, round(metrics.height()) + BAR_PX + 6)

    def open(self) -> None:
        """The parts as a table, under the meter."""
        if self._parts is None:
            return
        # Imported here: the first frame shows no table.
        from playground.ui.bars.context_table import ContextTable

        popup = ContextTable(self._parts, self)
        popup.move(self.mapToGlobal(QPoint(0, self.height() + 2)))
        popup.open()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Figure, bar, and a frame where the keyboard is."""
        painter = QPainter(self)
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(self._theme.failure if self.over else self._theme.muted)
        text = QRectF(GRID / 2, 1, self.width() - GRID, self.height() - BAR_PX - 4)
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self._label)
        paint_parts(painter, self._theme, QRectF(text.left(), text.bottom() + 1, text.width(), BAR_PX), self._parts)
        if self.hasFocus():
            painter.setPen(QPen(self._theme.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)


def paint_parts(painter: QPainter, theme: Theme, area: QRectF, parts: Composition | None) -> None:
    """The parts in proportion to the whole context; what is kept for the answer is hatched."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.fillRect(area, theme.line)
    if parts is None:
        return
    whole = max(parts.room, parts.prompt + parts.max_tokens)
    left = area.left()
    for name, amount in parts.parts:
        width = area.width() * amount / whole
        if amount:
            width = max(width, 1.0)
            painter.fillRect(QRectF(left, area.top(), width, area.height()), _brush(theme, name))
        left += width


def _brush(theme: Theme, name: str) -> QBrush:
    if name == "max_tokens":
        return QBrush(theme.muted, Qt.BrushStyle.BDiagPattern)
    color: QColor = getattr(theme, _GROUNDS[name])
    return QBrush(color)


def amount_words(name: str, amount: float) -> str:
    """A part's tokens: max_tokens is exact, everything else an estimate."""
    return f"{amount:,.0f}" if name == "max_tokens" else f"≈ {amount:,.0f}"


def left_words(parts: Composition) -> str:
    """What is left, or by how much it does not fit."""
    if parts.left < 0:
        return f"≈ {-parts.left:,.0f} tokens too many: the server will refuse this"
    return f"≈ {parts.left:,.0f} tokens left"

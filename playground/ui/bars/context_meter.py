"""Use of the context: a figure and a bar; a click or Space opens the parts as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QDialog, QGridLayout, QLabel, QSizePolicy

from playground.ui.theme import GRID, Theme, current_theme, ui_font

if TYPE_CHECKING:
    from playground.prefix_cache.zones import Composition


BAR_PX = 4
BAR_WIDTH_PX = 44


class ContextMeter(QAbstractButton):
    """Painted: a new figure at every keystroke needs no layout."""

    def __init__(
        self,
    ) -> None:
        super().__init__()
        self._parts: Composition | None = None
        self._label = ""
        self._words_shown = True
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.clicked.connect(self.open)

    @property
    def label(self) -> str:
        """Return the figure."""
        return self._label

    @property
    def over(self) -> bool:
        """Return whether prompt and answer do not fit."""
        return self._parts is not None and self._parts.over

    def show_words(self, shown: bool) -> None:
        """Show the figure beside the bar, or the bar alone; the tooltip has the figure then."""
        if shown != self._words_shown:
            self._words_shown = shown
            self.updateGeometry()
            self.update()

    def show_parts(self, parts: Composition, total: int = 0) -> None:
        """Show a composition, scaled to the prompt's `total` tokens as the other panes show it, if it is given."""
        if total and parts.prompt:
            scale = total / parts.prompt
            parts = replace(
                parts,
                tools=parts.tools * scale,
                system=parts.system * scale,
                history=parts.history * scale,
                rest=parts.rest * scale,
            )
        if parts == self._parts:
            return
        self._parts = parts
        mark = "over the limit: " if self.over else ""
        room = "—" if parts.room is None else f"{parts.room:,}"
        label = f"{mark}context ≈ {round(parts.prompt):,} of {room}"
        wider = len(label) != len(self._label)
        self._label = label
        self.setToolTip(f"{label}\n{self.words}")
        self.setAccessibleName(label)
        self.setAccessibleDescription(self.words)
        if wider:
            self.updateGeometry()
        self.update()

    @property
    def words(self) -> str:
        """Return the whole composition, one line per part."""
        if self._parts is None:
            return ""
        lines = [f"{name}: {amount_words(name, amount)}" for name, amount in self._parts.parts if amount]
        return "\n".join([*lines, left_words(self._parts)])

    def sizeHint(self) -> QSize:
        metrics = QFontMetricsF(ui_font(12, tabular=True))
        words = round(metrics.horizontalAdvance(self._label)) + GRID + 8 if self._words_shown else 0
        return QSize(words + BAR_WIDTH_PX + GRID, round(metrics.height()) + 13)

    def open(self) -> None:
        """Show the parts as a table, under the meter."""
        if self._parts is None:
            return
        # Imported here: the first frame shows no table.

        popup = ContextTable(self._parts, self)
        popup.move(self.mapToGlobal(QPoint(0, self.height() + 2)))
        popup.open()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint figure, bar and focus ring."""
        painter, theme = QPainter(self), current_theme()
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(theme.failure if self.over else theme.muted)
        if self._words_shown:
            area = QRectF(GRID / 2, 0, self.width() - BAR_WIDTH_PX - GRID * 2, self.height())
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, self._label)
        if self._parts is not None:
            left, top = self.width() - BAR_WIDTH_PX - GRID / 2, (self.height() - BAR_PX) / 2
            paint_parts(painter, theme, QRectF(left, top, BAR_WIDTH_PX, BAR_PX), self._parts)
        if self.hasFocus():
            painter.setPen(QPen(theme.accent, 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)


def paint_parts(painter: QPainter, theme: Theme, area: QRectF, parts: Composition) -> None:
    """Paint the prompt in proportion to the whole context, and max_tokens hatched; all red over the limit."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.fillRect(area, theme.line)
    if parts.over:
        painter.fillRect(area, theme.failure)
        return
    if parts.room is None:
        return
    left = area.left()
    for amount, brush in (
        (parts.prompt, QBrush(theme.text)),
        (float(parts.max_tokens), QBrush(theme.muted, Qt.BrushStyle.BDiagPattern)),
    ):
        width = max(area.width() * amount / parts.room, 1.0) if amount else 0.0
        painter.fillRect(QRectF(left, area.top(), width, area.height()), brush)
        left += width


def amount_words(name: str, amount: float) -> str:
    """Return a part's tokens: max_tokens is exact, everything else an estimate."""
    return f"{amount:,.0f}" if name == "max_tokens" else f"≈ {amount:,.0f}"


def left_words(parts: Composition) -> str:
    """Return the text about the tokens that are left, or about those that do not fit."""
    if parts.left is None:
        return "The context length of this endpoint is not known: set it in the endpoint's settings."
    source = f"\nContext length: {parts.room:,} tokens, {parts.source}" if parts.source else ""
    if parts.left < 0:
        return f"≈ {-parts.left:,.0f} tokens too many: the server will refuse this{source}"
    return f"≈ {parts.left:,.0f} tokens left{source}"


_MEANINGS = {
    "tools": "the catalogue, sent on every turn",
    "system": "system messages",
    "history": "turns before this one",
    "rest": "this turn's question and all after it",
    "max_tokens": "kept for the answer",
}


class ContextTable(QDialog):
    """The parts with their meanings."""

    def __init__(self, parts: Composition, parent: ContextMeter) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setProperty("look", "popup")
        self.setWindowTitle("Context")
        self.setAccessibleName("What the context holds")
        self.setAccessibleDescription(parent.words)
        grid = QGridLayout(self)
        grid.setContentsMargins(GRID * 2, GRID + 4, GRID * 2, GRID + 4)
        grid.setHorizontalSpacing(GRID * 2)
        for row, (name, amount) in enumerate(parts.parts):
            text = amount_words(name, amount) if amount or name != "max_tokens" else "not set"
            for column, (words, tone) in enumerate(((name, ""), (text, ""), (_MEANINGS[name], "muted"))):
                grid.addWidget(_label(words, tone, right=column == 1), row, column)
        last = _label(left_words(parts), "failure" if parts.over else "strong")
        grid.addWidget(last, len(parts.parts), 0, 1, 3)
        limit = f"Input and output together are at most {parts.room:,} tokens. " if parts.room else ""
        note = f"{limit}≈ is this program's estimate."
        grid.addWidget(_label(note, "muted"), len(parts.parts) + 1, 0, 1, 3)


def _label(text: str, tone: str, *, right: bool = False) -> QLabel:
    label = QLabel(text)
    label.setFont(ui_font(13, tabular=True))
    label.setProperty("tone", tone)
    if right:
        label.setAlignment(Qt.AlignmentFlag.AlignRight)
    return label
